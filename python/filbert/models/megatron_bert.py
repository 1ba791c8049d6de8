"""Megatron-BERT: BERT with norms before each part."""

from dataclasses import dataclass
from typing import ClassVar

from ..base_model import BaseModel
from ..configuration import PretrainedConfig
from ..tasks import ForMaskedLM, ForQuestionAnswering, ForSequenceClassification, ForTokenClassification


@dataclass(init=False, repr=False, eq=False)
class MegatronBertConfig(PretrainedConfig):
    """Megatron-BERT (https://arxiv.org/abs/1909.08053), with the defaults of transformers."""

    model_type: ClassVar[str] = "megatron-bert"
    checked_by_engine = PretrainedConfig.checked_by_engine | {"position_embedding_type"}
    unused_keys = frozenset({"tokenizer_type"})  # in Megatron's words

    vocab_size: int = 29056
    hidden_size: int = 1024
    num_hidden_layers: int = 24
    num_attention_heads: int = 16
    intermediate_size: int = 4096
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int | None = 0
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    use_cache: bool = True
    is_decoder: bool = False
    add_cross_attention: bool = False
    tie_word_embeddings: bool = True


class MegatronBertModel(BaseModel):
    """Megatron-BERT without a head of a task (https://arxiv.org/abs/1909.08053)."""

    config_class = MegatronBertConfig


class MegatronBertForSequenceClassification(ForSequenceClassification):
    """Megatron-BERT with logits for a whole text."""

    config_class = MegatronBertConfig


class MegatronBertForTokenClassification(ForTokenClassification):
    """Megatron-BERT with logits for each token."""

    config_class = MegatronBertConfig


class MegatronBertForQuestionAnswering(ForQuestionAnswering):
    """Megatron-BERT with the places where answers begin and end."""

    config_class = MegatronBertConfig


class MegatronBertForMaskedLM(ForMaskedLM):
    """Megatron-BERT with logits over the vocabulary for each token."""

    config_class = MegatronBertConfig
