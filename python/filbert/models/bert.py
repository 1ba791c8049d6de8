"""BERT."""

from dataclasses import dataclass
from typing import ClassVar

from ..base_model import BaseModel
from ..configuration import PretrainedConfig
from ..tasks import ForMaskedLM, ForQuestionAnswering, ForSequenceClassification, ForTokenClassification


@dataclass(init=False, repr=False, eq=False)
class BertConfig(PretrainedConfig):
    """BERT (https://arxiv.org/abs/1810.04805), with the defaults of bert-base-uncased."""

    model_type: ClassVar[str] = "bert"
    checked_by_engine = PretrainedConfig.checked_by_engine | {"position_embedding_type", "feed_forward_type"}
    known_code = frozenset({"JinaBertConfig"})

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int | None = 0
    use_cache: bool = True
    classifier_dropout: float | None = None
    is_decoder: bool = False
    add_cross_attention: bool = False
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    tie_word_embeddings: bool = True


class BertModel(BaseModel):
    """BERT without a head of a task (https://arxiv.org/abs/1810.04805)."""

    config_class = BertConfig


class BertForSequenceClassification(ForSequenceClassification):
    """BERT with logits for a whole text."""

    config_class = BertConfig


class BertForTokenClassification(ForTokenClassification):
    """BERT with logits for each token."""

    config_class = BertConfig


class BertForQuestionAnswering(ForQuestionAnswering):
    """BERT with the places where answers begin and end."""

    config_class = BertConfig


class BertForMaskedLM(ForMaskedLM):
    """BERT with logits over the vocabulary for each token."""

    config_class = BertConfig
