"""data2vec's texts: RoBERTa, learned from its own representations."""

from dataclasses import dataclass
from typing import ClassVar

from ..base_model import BaseModel
from ..tasks import ForMaskedLM, ForQuestionAnswering, ForSequenceClassification, ForTokenClassification
from .roberta import RobertaConfig


@dataclass(init=False, repr=False, eq=False)
class Data2VecTextConfig(RobertaConfig):
    """Data2VecText (https://arxiv.org/abs/2202.03555), with the defaults of transformers."""

    model_type: ClassVar[str] = "data2vec-text"
    unused_keys = frozenset({"mask_token_id"})

    vocab_size: int = 30522


class Data2VecTextModel(BaseModel):
    """Data2VecText without a head of a task (https://arxiv.org/abs/2202.03555)."""

    config_class = Data2VecTextConfig


class Data2VecTextForSequenceClassification(ForSequenceClassification):
    """Data2VecText with logits for a whole text."""

    config_class = Data2VecTextConfig


class Data2VecTextForTokenClassification(ForTokenClassification):
    """Data2VecText with logits for each token."""

    config_class = Data2VecTextConfig


class Data2VecTextForQuestionAnswering(ForQuestionAnswering):
    """Data2VecText with the places where answers begin and end."""

    config_class = Data2VecTextConfig


class Data2VecTextForMaskedLM(ForMaskedLM):
    """Data2VecText with logits over the vocabulary for each token."""

    config_class = Data2VecTextConfig
