"""Gemma 3 for texts, as it makes vectors of them, and its classifier."""

from dataclasses import dataclass
from typing import Any, ClassVar

from ..base_model import BaseModel
from ..configuration import PretrainedConfig
from ..layer_settings import layer_types_by_pattern, merged, rotation
from ..tasks import ForSequenceClassification


@dataclass(init=False, repr=False, eq=False)
class Gemma3TextConfig(PretrainedConfig):
    """Gemma 3 for texts (https://arxiv.org/abs/2503.19786), with the defaults of transformers.

    layer_types, rope_parameters: if None, made of what older files have instead: sliding_window_pattern (6),
    rope_theta (1000000) and rope_local_base_freq (10000). sliding_window: as files have it, both sides together where
    attention is bidirectional; transformers shows half of that and one more.
    """

    model_type: ClassVar[str] = "gemma3_text"
    checked_by_engine = PretrainedConfig.checked_by_engine | {"is_causal"}
    unused_keys = frozenset({"sliding_window_pattern", "_sliding_window_pattern", "cache_implementation"})

    vocab_size: int = 262208
    hidden_size: int = 2304
    intermediate_size: int = 9216
    num_hidden_layers: int = 26
    num_attention_heads: int = 8
    num_key_value_heads: int = 4
    head_dim: int = 256
    hidden_activation: str = "gelu_pytorch_tanh"
    max_position_embeddings: int = 131072
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-6
    use_cache: bool = True
    pad_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 1
    bos_token_id: int | None = 2
    tie_word_embeddings: bool = True
    rope_parameters: dict[str, Any] | None = None
    attention_bias: bool = False
    attention_dropout: float = 0.0
    query_pre_attn_scalar: float = 256
    sliding_window: int | None = 4096
    layer_types: list[str] | None = None
    final_logit_softcapping: float | None = None
    attn_logit_softcapping: float | None = None
    use_bidirectional_attention: bool | None = False

    def __init__(self, /, **kwargs: Any) -> None:
        scaling = kwargs.pop("rope_scaling", None)
        full_theta = kwargs.pop("rope_theta", 1000000.0)
        sliding_theta = kwargs.pop("rope_local_base_freq", 10000.0)
        super().__init__(**kwargs)
        pattern = kwargs.get("sliding_window_pattern", 6)
        if self.layer_types is None:
            self.layer_types = layer_types_by_pattern(self.num_hidden_layers, pattern)
        self._sliding_window_pattern = kwargs.get("_sliding_window_pattern", pattern)  # as transformers keeps it
        longest = self.max_position_embeddings
        parameters = {} if self.rope_parameters is None else self.rope_parameters
        if isinstance(parameters, dict):
            self.rope_parameters = {
                **parameters,
                "full_attention": rotation(merged(parameters.get("full_attention"), scaling), full_theta, longest),
                "sliding_attention": rotation(parameters.get("sliding_attention"), sliding_theta, longest),
            }


class Gemma3TextModel(BaseModel):
    """Gemma 3 for texts without a head of a task (https://arxiv.org/abs/2503.19786)."""

    config_class = Gemma3TextConfig


class Gemma3TextForSequenceClassification(ForSequenceClassification):
    """Gemma 3 for texts with logits for a whole text."""

    config_class = Gemma3TextConfig
