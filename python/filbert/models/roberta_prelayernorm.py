"""RoBERTa-PreLayerNorm: RoBERTa with norms before each part."""

from dataclasses import dataclass
from typing import ClassVar

from ..base_model import BaseModel
from ..configuration import PretrainedConfig
from ..tasks import ForMaskedLM, ForQuestionAnswering, ForSequenceClassification, ForTokenClassification
from .roberta import RobertaConfig


@dataclass(init=False, repr=False, eq=False)
class RobertaPreLayerNormConfig(RobertaConfig):
    """RoBERTa-PreLayerNorm (https://arxiv.org/abs/1904.01038), with the defaults of transformers."""

    model_type: ClassVar[str] = "roberta-prelayernorm"
    checked_by_engine = PretrainedConfig.checked_by_engine | {"position_embedding_type"}


class RobertaPreLayerNormModel(BaseModel):
    """RoBERTa-PreLayerNorm without a head of a task (https://arxiv.org/abs/1904.01038)."""

    config_class = RobertaPreLayerNormConfig


class RobertaPreLayerNormForSequenceClassification(ForSequenceClassification):
    """RoBERTa-PreLayerNorm with logits for a whole text."""

    config_class = RobertaPreLayerNormConfig


class RobertaPreLayerNormForTokenClassification(ForTokenClassification):
    """RoBERTa-PreLayerNorm with logits for each token."""

    config_class = RobertaPreLayerNormConfig


class RobertaPreLayerNormForQuestionAnswering(ForQuestionAnswering):
    """RoBERTa-PreLayerNorm with the places where answers begin and end."""

    config_class = RobertaPreLayerNormConfig


class RobertaPreLayerNormForMaskedLM(ForMaskedLM):
    """RoBERTa-PreLayerNorm with logits over the vocabulary for each token."""

    config_class = RobertaPreLayerNormConfig
