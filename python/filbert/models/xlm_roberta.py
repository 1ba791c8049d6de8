"""XLM-RoBERTa: RoBERTa with another vocabulary."""

from dataclasses import dataclass
from typing import ClassVar

from ..base_model import BaseModel
from ..sequence_classification import ForSequenceClassification
from .roberta import RobertaConfig


@dataclass(init=False, repr=False, eq=False)
class XLMRobertaConfig(RobertaConfig):
    """XLM-RoBERTa (https://arxiv.org/abs/1911.02116), with the defaults of transformers."""

    model_type: ClassVar[str] = "xlm-roberta"

    vocab_size: int = 30522


class XLMRobertaModel(BaseModel):
    """XLM-RoBERTa without a head of a task (https://arxiv.org/abs/1911.02116)."""

    config_class = XLMRobertaConfig


class XLMRobertaForSequenceClassification(ForSequenceClassification):
    """XLM-RoBERTa with logits for a whole text."""

    config_class = XLMRobertaConfig
