"""RoBERTa."""

from dataclasses import dataclass
from typing import ClassVar

from ..base_model import BaseModel
from ..tasks import ForMaskedLM, ForQuestionAnswering, ForSequenceClassification, ForTokenClassification
from .bert import BertConfig


@dataclass(init=False, repr=False, eq=False)
class RobertaConfig(BertConfig):
    """RoBERTa (https://arxiv.org/abs/1907.11692), with the defaults of transformers.

    Positions are counted from pad_token_id + 1 on, over the ids that are no padding.
    """

    model_type: ClassVar[str] = "roberta"
    known_code = frozenset()

    vocab_size: int = 50265
    pad_token_id: int | None = 1
    bos_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 2


class RobertaModel(BaseModel):
    """RoBERTa without a head of a task (https://arxiv.org/abs/1907.11692)."""

    config_class = RobertaConfig


class RobertaForSequenceClassification(ForSequenceClassification):
    """RoBERTa with logits for a whole text."""

    config_class = RobertaConfig


class RobertaForTokenClassification(ForTokenClassification):
    """RoBERTa with logits for each token."""

    config_class = RobertaConfig


class RobertaForQuestionAnswering(ForQuestionAnswering):
    """RoBERTa with the places where answers begin and end."""

    config_class = RobertaConfig


class RobertaForMaskedLM(ForMaskedLM):
    """RoBERTa with logits over the vocabulary for each token."""

    config_class = RobertaConfig
