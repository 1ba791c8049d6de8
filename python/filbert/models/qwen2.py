"""Qwen2, as it makes vectors of texts, and its heads."""

from dataclasses import dataclass
from typing import Any, ClassVar

from ..base_model import BaseModel
from ..checks import integer
from ..configuration import PretrainedConfig
from ..errors import ConfigError
from ..layer_settings import layer_types, rotation
from ..tasks import ForNextToken, ForQuestionAnswering, ForSequenceClassification, ForTokenClassification


@dataclass(init=False, repr=False, eq=False)
class Qwen2Config(PretrainedConfig):
    """Qwen2 (https://arxiv.org/abs/2407.10671), with the defaults of transformers.

    layer_types, rope_parameters: if None, made of max_window_layers and of the older key rope_theta (10000).
    """

    model_type: ClassVar[str] = "qwen2"
    # is_causal: whether a token sees no later one. transformers takes these of any decoder.
    checked_by_engine = PretrainedConfig.checked_by_engine | {"head_dim", "is_causal", "token_classification_bias"}
    unused_keys = frozenset({"use_mrope"})

    vocab_size: int = 151936
    hidden_size: int = 4096
    intermediate_size: int = 22016
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int | None = 32
    hidden_act: str = "silu"
    max_position_embeddings: int = 32768
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-6
    use_cache: bool = True
    tie_word_embeddings: bool = False
    rope_parameters: dict[str, Any] | None = None
    use_sliding_window: bool = False
    sliding_window: int | None = 4096
    max_window_layers: int = 28
    layer_types: list[str] | None = None
    attention_dropout: float = 0.0
    pad_token_id: int | None = None
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None

    def __init__(self, /, **kwargs: Any) -> None:
        scaling, theta = kwargs.pop("rope_scaling", None), kwargs.pop("rope_theta", 10000.0)
        super().__init__(**kwargs)
        if not self.use_sliding_window:
            self.sliding_window = None
        if self.num_key_value_heads is None:
            self.num_key_value_heads = self.num_attention_heads
        if self.layer_types is None:
            first = None if self.sliding_window is None else integer(self.max_window_layers)
            if first is None and self.sliding_window is not None:
                raise ConfigError(f"max_window_layers: found {self.max_window_layers!r}, expected an integer")
            self.layer_types = layer_types(self.num_hidden_layers, lambda i: first is not None and i >= first)
        self.rope_parameters = rotation(scaling or self.rope_parameters, theta, self.max_position_embeddings)


class Qwen2Model(BaseModel):
    """Qwen2 without a head of a task (https://arxiv.org/abs/2407.10671)."""

    config_class = Qwen2Config


class Qwen2ForSequenceClassification(ForSequenceClassification):
    """Qwen2 with logits for a whole text."""

    config_class = Qwen2Config


class Qwen2ForTokenClassification(ForTokenClassification):
    """Qwen2 with logits for each token."""

    config_class = Qwen2Config


class Qwen2ForQuestionAnswering(ForQuestionAnswering):
    """Qwen2 with the places where answers begin and end."""

    config_class = Qwen2Config


class Qwen2ForNextToken(ForNextToken):
    """Qwen2 with logits of the token that follows a text."""

    config_class = Qwen2Config
