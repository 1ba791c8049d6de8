"""ALBERT."""

from dataclasses import dataclass
from typing import ClassVar

from ..base_model import BaseModel
from ..configuration import PretrainedConfig
from ..tasks import ForMaskedLM, ForQuestionAnswering, ForSequenceClassification, ForTokenClassification


@dataclass(init=False, repr=False, eq=False)
class AlbertConfig(PretrainedConfig):
    """ALBERT (https://arxiv.org/abs/1909.11942), with the defaults of transformers: those of albert-xxlarge."""

    model_type: ClassVar[str] = "albert"
    checked_by_engine = PretrainedConfig.checked_by_engine | {"position_embedding_type"}
    # Of the code that first trained it.
    unused_keys = frozenset(
        {"down_scale_factor", "gap_size", "net_structure_type", "num_memory_blocks", "layers_to_keep"}
    )

    vocab_size: int = 30000
    embedding_size: int = 128
    hidden_size: int = 4096
    num_hidden_layers: int = 12
    num_hidden_groups: int = 1
    num_attention_heads: int = 64
    intermediate_size: int = 16384
    inner_group_num: int = 1
    hidden_act: str = "gelu_new"
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    classifier_dropout_prob: float = 0.1
    pad_token_id: int | None = 0
    bos_token_id: int | None = 2
    eos_token_id: int | list[int] | None = 3
    tie_word_embeddings: bool = True


class AlbertModel(BaseModel):
    """ALBERT without a head of a task (https://arxiv.org/abs/1909.11942)."""

    config_class = AlbertConfig


class AlbertForSequenceClassification(ForSequenceClassification):
    """ALBERT with logits for a whole text."""

    config_class = AlbertConfig


class AlbertForTokenClassification(ForTokenClassification):
    """ALBERT with logits for each token."""

    config_class = AlbertConfig


class AlbertForQuestionAnswering(ForQuestionAnswering):
    """ALBERT with the places where answers begin and end."""

    config_class = AlbertConfig


class AlbertForMaskedLM(ForMaskedLM):
    """ALBERT with logits over the vocabulary for each token."""

    config_class = AlbertConfig
