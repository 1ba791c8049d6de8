"""Qwen3, as it makes vectors of texts, and its heads."""

from dataclasses import dataclass
from typing import ClassVar

from ..base_model import BaseModel
from ..tasks import ForNextToken, ForQuestionAnswering, ForSequenceClassification, ForTokenClassification
from .qwen2 import Qwen2Config


@dataclass(init=False, repr=False, eq=False)
class Qwen3Config(Qwen2Config):
    """Qwen3 (https://arxiv.org/abs/2505.09388), with the defaults of transformers.

    layer_types, rope_parameters: if None, made of max_window_layers and of the older key rope_theta (10000).
    """

    model_type: ClassVar[str] = "qwen3"

    head_dim: int = 128
    attention_bias: bool = False


class Qwen3Model(BaseModel):
    """Qwen3 without a head of a task (https://arxiv.org/abs/2505.09388)."""

    config_class = Qwen3Config


class Qwen3ForSequenceClassification(ForSequenceClassification):
    """Qwen3 with logits for a whole text."""

    config_class = Qwen3Config


class Qwen3ForTokenClassification(ForTokenClassification):
    """Qwen3 with logits for each token."""

    config_class = Qwen3Config


class Qwen3ForQuestionAnswering(ForQuestionAnswering):
    """Qwen3 with the places where answers begin and end."""

    config_class = Qwen3Config


class Qwen3ForNextToken(ForNextToken):
    """Qwen3 with logits of the token that follows a text."""

    config_class = Qwen3Config
