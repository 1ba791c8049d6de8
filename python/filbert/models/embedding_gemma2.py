"""EmbeddingGemma 2: the encoder of texts of a model that takes images and sounds, too."""

from dataclasses import dataclass
from typing import Any, ClassVar

from ..base_model import BaseModel
from ..configuration import PretrainedConfig
from ..layer_settings import layer_types_by_pattern, rotation

# What a whole model's configuration says of its texts, too.
_OF_ANY = ("name_or_path", "_name_or_path", "auto_map", "output_hidden_states", "output_attentions", "return_dict")


@dataclass(init=False, repr=False, eq=False)
class EmbeddingGemma2TextConfig(PretrainedConfig):
    """The texts of EmbeddingGemma 2, with the defaults of transformers; of a whole model's configuration, text_config.

    layer_types, rope_parameters: if None, made as transformers makes them, of sliding_window_pattern (6).
    per_layer_config: the heads of layers that have others; if it is not given, global_head_dim (512) and
    num_global_key_value_heads (1) are those of layers that see all. sliding_window: on either side of a token.
    """

    model_type: ClassVar[str] = "embedding_gemma2_text"
    checked_by_engine = PretrainedConfig.checked_by_engine | {"rope_scaling", "rope_theta"}

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
            kwargs = {**text, **{key: kwargs[key] for key in _OF_ANY if key in kwargs}}
        pattern = kwargs.pop("sliding_window_pattern", 6)
        own = {
            "head_dim": kwargs.pop("global_head_dim", 512),
            "num_key_value_heads": kwargs.pop("num_global_key_value_heads", 1),
        }
        says_own = "per_layer_config" in kwargs
        super().__init__(**kwargs)
        if self.layer_types is None:
            self.layer_types = layer_types_by_pattern(self.num_hidden_layers, pattern)
        if isinstance(self.layer_types, list) and self.layer_types:
            self.layer_types = [*self.layer_types[:-1], "full_attention"]  # whatever files say, as in transformers
            if not says_own:
                digits = len(str(len(self.layer_types) - 1))
                full = (i for i, kind in enumerate(self.layer_types) if kind == "full_attention")
                differing = {key: value for key, value in own.items() if value != getattr(self, key)}
                self.per_layer_config = {f"{i:0{digits}}": dict(differing) for i in full if differing}
        if self.per_layer_config is None:
            self.per_layer_config = {}
        parameters = {} if self.rope_parameters is None else self.rope_parameters
        if isinstance(parameters, dict):
            thetas = {"full_attention": 1e6, "sliding_attention": 1e4}
            longest = self.max_position_embeddings
            turned = {kind: rotation(parameters.get(kind), theta, longest) for kind, theta in thetas.items()}
            self.rope_parameters = {**parameters, **turned}


class EmbeddingGemma2TextModel(BaseModel):
    """The encoder of texts of EmbeddingGemma 2; the last hidden state has embedding_dim numbers, others hidden_size."""

    config_class = EmbeddingGemma2TextConfig
