"""DistilBERT."""

from dataclasses import dataclass
from typing import ClassVar

from ..base_model import BaseModel
from ..configuration import PretrainedConfig
from ..tasks import ForMaskedLM, ForQuestionAnswering, ForSequenceClassification, ForTokenClassification


@dataclass(init=False, repr=False, eq=False)
class DistilBertConfig(PretrainedConfig):
    """DistilBERT (https://arxiv.org/abs/1910.01108), with the defaults of distilbert-base-uncased."""

    model_type: ClassVar[str] = "distilbert"
    attribute_map: ClassVar[dict[str, str]] = {
        "hidden_size": "dim",
        "num_attention_heads": "n_heads",
        "num_hidden_layers": "n_layers",
    }

    vocab_size: int = 30522
    max_position_embeddings: int = 512
    sinusoidal_pos_embds: bool = False
    n_layers: int = 6
    n_heads: int = 12
    dim: int = 768
    hidden_dim: int = 3072
    dropout: float = 0.1
    attention_dropout: float = 0.1
    activation: str = "gelu"
    initializer_range: float = 0.02
    qa_dropout: float = 0.1
    seq_classif_dropout: float = 0.2
    pad_token_id: int | None = 0
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    tie_word_embeddings: bool = True


class DistilBertModel(BaseModel):
    """DistilBERT without a head of a task (https://arxiv.org/abs/1910.01108)."""

    config_class = DistilBertConfig


class DistilBertForSequenceClassification(ForSequenceClassification):
    """DistilBERT with logits for a whole text."""

    config_class = DistilBertConfig


class DistilBertForTokenClassification(ForTokenClassification):
    """DistilBERT with logits for each token."""

    config_class = DistilBertConfig


class DistilBertForQuestionAnswering(ForQuestionAnswering):
    """DistilBERT with the places where answers begin and end."""

    config_class = DistilBertConfig


class DistilBertForMaskedLM(ForMaskedLM):
    """DistilBERT with logits over the vocabulary for each token."""

    config_class = DistilBertConfig
