"""CamemBERT: RoBERTa with another vocabulary."""

from dataclasses import dataclass
from typing import ClassVar

from ..base_model import BaseModel
from ..tasks import ForMaskedLM, ForQuestionAnswering, ForSequenceClassification, ForTokenClassification
from .roberta import RobertaConfig


@dataclass(init=False, repr=False, eq=False)
class CamembertConfig(RobertaConfig):
    """CamemBERT (https://arxiv.org/abs/1911.03894), with the defaults of transformers."""

    model_type: ClassVar[str] = "camembert"

    vocab_size: int = 30522


class CamembertModel(BaseModel):
    """CamemBERT without a head of a task (https://arxiv.org/abs/1911.03894)."""

    config_class = CamembertConfig


class CamembertForSequenceClassification(ForSequenceClassification):
    """CamemBERT with logits for a whole text."""

    config_class = CamembertConfig


class CamembertForTokenClassification(ForTokenClassification):
    """CamemBERT with logits for each token."""

    config_class = CamembertConfig


class CamembertForQuestionAnswering(ForQuestionAnswering):
    """CamemBERT with the places where answers begin and end."""

    config_class = CamembertConfig


class CamembertForMaskedLM(ForMaskedLM):
    """CamemBERT with logits over the vocabulary for each token."""

    config_class = CamembertConfig
