"""ERNIE."""

from dataclasses import dataclass
from typing import ClassVar

from ..base_model import BaseModel
from ..tasks import ForMaskedLM, ForQuestionAnswering, ForSequenceClassification, ForTokenClassification
from .bert import BertConfig


@dataclass(init=False, repr=False, eq=False)
class ErnieConfig(BertConfig):
    """ERNIE (https://arxiv.org/abs/1907.12412), with the defaults of transformers.

    With use_task_id there are embeddings of tasks; every token is of the first task, as in transformers without
    task_type_ids.
    """

    model_type: ClassVar[str] = "ernie"
    known_code = frozenset()

    task_type_vocab_size: int = 3
    use_task_id: bool = False


class ErnieModel(BaseModel):
    """ERNIE without a head of a task (https://arxiv.org/abs/1907.12412)."""

    config_class = ErnieConfig


class ErnieForSequenceClassification(ForSequenceClassification):
    """ERNIE with logits for a whole text."""

    config_class = ErnieConfig


class ErnieForTokenClassification(ForTokenClassification):
    """ERNIE with logits for each token."""

    config_class = ErnieConfig


class ErnieForQuestionAnswering(ForQuestionAnswering):
    """ERNIE with the places where answers begin and end."""

    config_class = ErnieConfig


class ErnieForMaskedLM(ForMaskedLM):
    """ERNIE with logits over the vocabulary for each token."""

    config_class = ErnieConfig
