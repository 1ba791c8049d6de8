"""ELECTRA."""

from dataclasses import dataclass
from typing import ClassVar

from ..base_model import BaseModel
from ..configuration import PretrainedConfig
from ..tasks import ForMaskedLM, ForQuestionAnswering, ForSequenceClassification, ForTokenClassification


@dataclass(init=False, repr=False, eq=False)
class ElectraConfig(PretrainedConfig):
    """ELECTRA (https://arxiv.org/abs/2003.10555), with the defaults of transformers: those of electra-small."""

    model_type: ClassVar[str] = "electra"
    checked_by_engine = PretrainedConfig.checked_by_engine | {"position_embedding_type"}

    vocab_size: int = 30522
    embedding_size: int = 128
    hidden_size: int = 256
    num_hidden_layers: int = 12
    num_attention_heads: int = 4
    intermediate_size: int = 1024
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    summary_type: str = "first"
    summary_use_proj: bool = True
    summary_activation: str = "gelu"
    summary_last_dropout: float = 0.1
    pad_token_id: int | None = 0
    use_cache: bool = True
    classifier_dropout: float | None = None
    is_decoder: bool = False
    add_cross_attention: bool = False
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    tie_word_embeddings: bool = True


class ElectraModel(BaseModel):
    """ELECTRA without a head of a task (https://arxiv.org/abs/2003.10555)."""

    config_class = ElectraConfig


class ElectraForSequenceClassification(ForSequenceClassification):
    """ELECTRA with logits for a whole text."""

    config_class = ElectraConfig


class ElectraForTokenClassification(ForTokenClassification):
    """ELECTRA with logits for each token."""

    config_class = ElectraConfig


class ElectraForQuestionAnswering(ForQuestionAnswering):
    """ELECTRA with the places where answers begin and end."""

    config_class = ElectraConfig


class ElectraForMaskedLM(ForMaskedLM):
    """ELECTRA with logits over the vocabulary for each token."""

    config_class = ElectraConfig
