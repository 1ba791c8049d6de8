"""RemBERT."""

from dataclasses import dataclass
from typing import ClassVar

from ..base_model import BaseModel
from ..configuration import PretrainedConfig
from ..tasks import ForMaskedLM, ForQuestionAnswering, ForSequenceClassification, ForTokenClassification


@dataclass(init=False, repr=False, eq=False)
class RemBertConfig(PretrainedConfig):
    """RemBERT (https://arxiv.org/abs/2010.12821), with the defaults of transformers.

    input_embedding_size: the width of the embeddings. output_embedding_size: of what the last layer of a masked
    language model reads, which is never tied to them.
    """

    model_type: ClassVar[str] = "rembert"
    # Of Google's file.
    unused_keys = frozenset({"embedding_size", "embedding_dropout_prob"})

    vocab_size: int = 250300
    hidden_size: int = 1152
    num_hidden_layers: int = 32
    num_attention_heads: int = 18
    input_embedding_size: int = 256
    output_embedding_size: int = 1664
    intermediate_size: int = 4608
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    classifier_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    use_cache: bool = True
    pad_token_id: int | None = 0
    bos_token_id: int | None = 312
    eos_token_id: int | list[int] | None = 313
    is_decoder: bool = False
    add_cross_attention: bool = False
    tie_word_embeddings: bool = False


class RemBertModel(BaseModel):
    """RemBERT without a head of a task (https://arxiv.org/abs/2010.12821)."""

    config_class = RemBertConfig


class RemBertForSequenceClassification(ForSequenceClassification):
    """RemBERT with logits for a whole text."""

    config_class = RemBertConfig


class RemBertForTokenClassification(ForTokenClassification):
    """RemBERT with logits for each token."""

    config_class = RemBertConfig


class RemBertForQuestionAnswering(ForQuestionAnswering):
    """RemBERT with the places where answers begin and end."""

    config_class = RemBertConfig


class RemBertForMaskedLM(ForMaskedLM):
    """RemBERT with logits over the vocabulary for each token."""

    config_class = RemBertConfig
