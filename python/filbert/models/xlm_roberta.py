"""XLM-RoBERTa: RoBERTa with another vocabulary."""

from dataclasses import dataclass
from typing import ClassVar

from ..base_model import BaseModel
from ..sequence_classification import ForSequenceClassification
from .roberta import RobertaConfig


@dataclass(init=False, repr=False, eq=False)
class XLMRobertaConfig(RobertaConfig):
    """XLM-RoBERTa (https://arxiv.org/abs/1911.02116), with the defaults of transformers.

    With position_embedding_type "rotary" it is jina-embeddings-v3 (https://arxiv.org/abs/2409.10173), as on the hub.
    """

    model_type: ClassVar[str] = "xlm-roberta"
    checked_by_engine = RobertaConfig.checked_by_engine | {"rotary_emb_base"}

    vocab_size: int = 30522


class XLMRobertaModel(BaseModel):
    """XLM-RoBERTa without a head of a task (https://arxiv.org/abs/1911.02116)."""

    config_class = XLMRobertaConfig


class XLMRobertaForSequenceClassification(ForSequenceClassification):
    """XLM-RoBERTa with logits for a whole text."""

    config_class = XLMRobertaConfig
