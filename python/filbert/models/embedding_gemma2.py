"""EmbeddingGemma 2: the encoder of texts of a model that takes images and sounds, too."""

from dataclasses import dataclass
from typing import Any, ClassVar

from ..base_model import BaseModel
from ..checks import integer
from ..configuration import PretrainedConfig
from ..errors import ConfigError
from ..layer_settings import layer_types, rotation

_WHOLE = "embedding_gemma2"


@dataclass(init=False, repr=False, eq=False)
class EmbeddingGemma2TextConfig(PretrainedConfig):
    """The texts of EmbeddingGemma 2, with the defaults of transformers; of a whole model's configuration, text_config.

    layer_types, rope_parameters, per_layer_config: if None, made as transformers makes them of sliding_window_pattern
    (6), global_head_dim (512) and num_global_key_value_heads (1). sliding_window: on either side of a token.
    """

    model_type: ClassVar[str] = "embedding_gemma2_text"

    vocab_size: int = 262144
    hidden_size: int = 512
    intermediate_size: int = 2048
    num_hidden_layers: int = 24
    num_attention_heads: int = 4
    num_key_value_heads: int = 2
    head_dim: int = 256
    hidden_activation: str = "gelu_pytorch_tanh"
    max_position_embeddings: int = 262144
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-6
    pad_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 1
    bos_token_id: int | None = 2
    rope_parameters: dict[str, Any] | None = None
    attention_bias: bool = False
    attention_dropout: float | None = 0.0
    sliding_window: int = 512
    layer_types: list[str] | None = None
    hidden_size_per_layer_input: int = 512
    embedding_dim: int = 768
    per_layer_config: dict[Any, Any] | None = None

    def __init__(self, /, **kwargs: Any) -> None:
        text = kwargs.get("text_config")
        if isinstance(text, dict):
            kwargs = {**text, "name_or_path": kwargs.get("name_or_path", "")}
        pattern = kwargs.pop("sliding_window_pattern", 6)
        every = integer(pattern)
        own = {
            "head_dim": kwargs.pop("global_head_dim", 512),
            "num_key_value_heads": kwargs.pop("num_global_key_value_heads", 1),
        }
        super().__init__(**kwargs)
        if self.layer_types is None:
            if not every:
                raise ConfigError(f"sliding_window_pattern: found {pattern!r}, expected an integer above 0")
            self.layer_types = layer_types(self.num_hidden_layers, lambda i: (i + 1) % every != 0)
        if isinstance(self.layer_types, list) and self.layer_types:
            self.layer_types = [*self.layer_types[:-1], "full_attention"]  # whatever files say, as in transformers
            if self.per_layer_config is None:
                digits = len(str(len(self.layer_types) - 1))
                full = (i for i, kind in enumerate(self.layer_types) if kind == "full_attention")
                self.per_layer_config = {f"{i:0{digits}}": dict(own) for i in full}
        parameters = {} if self.rope_parameters is None else self.rope_parameters
        if isinstance(parameters, dict):
            thetas = {"full_attention": 1e6, "sliding_attention": 1e4}
            longest = self.max_position_embeddings
            turned = {kind: rotation(parameters.get(kind), theta, longest) for kind, theta in thetas.items()}
            self.rope_parameters = {**parameters, **turned}


class EmbeddingGemma2TextModel(BaseModel):
    """The encoder of texts of EmbeddingGemma 2; the last hidden state has embedding_dim numbers, others hidden_size."""

    config_class = EmbeddingGemma2TextConfig
