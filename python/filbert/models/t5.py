"""The encoders of T5, mT5 and umT5. Their decoders are not computed."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from ..base_model import BaseModel
from ..configuration import PretrainedConfig
from ..errors import ConfigError
from ..tasks import ForTokenClassification


@dataclass(init=False, repr=False, eq=False)
class T5Config(PretrainedConfig):
    """T5 (https://arxiv.org/abs/1910.10683), with the defaults of transformers.

    dense_act_fn, is_gated_act: if None, as feed_forward_proj says ("gated-gelu": "gelu_new" and true).
    """

    model_type: ClassVar[str] = "t5"
    attribute_map: ClassVar[dict[str, str]] = {
        "hidden_size": "d_model",
        "num_attention_heads": "num_heads",
        "num_hidden_layers": "num_layers",
        "head_dim": "d_kv",
    }
    checked_by_engine = PretrainedConfig.checked_by_engine | {"add_cross_attention"}
    unused_keys = frozenset({"n_positions", "scale_decoder_outputs", "scalable_attention"})

    vocab_size: int = 32128
    d_model: int = 512
    d_kv: int = 64
    d_ff: int = 2048
    num_layers: int = 6
    num_decoder_layers: int | None = None
    num_heads: int = 8
    relative_attention_num_buckets: int = 32
    relative_attention_max_distance: int = 128
    dropout_rate: float = 0.1
    layer_norm_epsilon: float = 1e-6
    initializer_factor: float = 1.0
    feed_forward_proj: str = "relu"
    dense_act_fn: str | None = None
    is_gated_act: bool | None = None
    is_encoder_decoder: bool = True
    use_cache: bool = True
    pad_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 1
    classifier_dropout: float = 0.0
    is_decoder: bool = False
    tie_word_embeddings: bool = True

    def __init__(self, /, **kwargs: Any) -> None:
        # transformers reads it as scale_decoder_outputs, and then sets it to true.
        is_tied = kwargs.pop("tie_word_embeddings", None)
        if self.model_type == "t5":
            kwargs.setdefault("scale_decoder_outputs", is_tied is not False)
        super().__init__(**kwargs)
        if self.num_decoder_layers is None:
            self.num_decoder_layers = self.num_layers
        usual = type(self).feed_forward_proj
        feed_forward = str(usual if self.feed_forward_proj is None else self.feed_forward_proj)
        kind, _, name = feed_forward.rpartition("-")
        if kind not in ("", "gated"):
            raise ConfigError(f"feed_forward_proj: found {feed_forward!r}, expected an activation, or one after gated-")
        if self.dense_act_fn is None:
            self.dense_act_fn = "gelu_new" if feed_forward == "gated-gelu" else name
        if self.is_gated_act is None:
            self.is_gated_act = kind == "gated"

    def weight_deviation(self, name: str) -> float:
        """See `PretrainedConfig`: 1 / sqrt(inputs); q has the 1 / sqrt(d_kv), too, that attention leaves out."""
        inputs = {"shared": 1, "classifier": 1, "q": self.d_model * self.d_kv, "o": self.num_heads * self.d_kv}
        count = {**inputs, "wo": self.d_ff}.get(name.split(".")[-2], self.d_model)
        return self.initializer_factor / math.sqrt(count)


@dataclass(init=False, repr=False, eq=False)
class MT5Config(T5Config):
    """mT5 (https://arxiv.org/abs/2010.11934), with the defaults of transformers."""

    model_type: ClassVar[str] = "mt5"

    vocab_size: int = 250112
    d_ff: int = 1024
    num_layers: int = 8
    num_heads: int = 6
    feed_forward_proj: str = "gated-gelu"
    bos_token_id: int | None = None
    decoder_start_token_id: int | None = 0


@dataclass(init=False, repr=False, eq=False)
class UMT5Config(T5Config):
    """umT5 (https://arxiv.org/abs/2304.09151), with the defaults of transformers."""

    model_type: ClassVar[str] = "umt5"

    vocab_size: int = 250112
    d_ff: int = 1024
    num_layers: int = 8
    num_heads: int = 6
    feed_forward_proj: str = "gated-gelu"
    decoder_start_token_id: int | None = 0


class T5EncoderModel(BaseModel):
    """T5's encoder without a head of a task (https://arxiv.org/abs/1910.10683)."""

    config_class = T5Config


class T5ForTokenClassification(ForTokenClassification):
    """T5's encoder with logits for each token."""

    config_class = T5Config


class MT5EncoderModel(BaseModel):
    """mT5's encoder without a head of a task (https://arxiv.org/abs/2010.11934)."""

    config_class = MT5Config


class MT5ForTokenClassification(ForTokenClassification):
    """mT5's encoder with logits for each token."""

    config_class = MT5Config


class UMT5EncoderModel(BaseModel):
    """umT5's encoder without a head of a task (https://arxiv.org/abs/2304.09151)."""

    config_class = UMT5Config


class UMT5ForTokenClassification(ForTokenClassification):
    """umT5's encoder with logits for each token."""

    config_class = UMT5Config
