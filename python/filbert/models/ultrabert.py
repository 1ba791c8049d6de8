"""UltraBERT."""

from dataclasses import dataclass
from typing import Any, ClassVar

from ..base_model import BaseModel
from ..checks import integer
from ..configuration import PretrainedConfig
from ..layer_settings import layer_types_by_pattern, rotation, share_heads
from ..tasks import ForMaskedLM, ForQuestionAnswering, ForSequenceClassification, ForTokenClassification


@dataclass(init=False, repr=False, eq=False)
class UltrabertConfig(PretrainedConfig):
    """UltraBERT (https://huggingface.co/dmis-lab/UltraBERT-150M), with the defaults of transformers.

    sliding_window: how many tokens are seen to either side. layer_types, rope_parameters: if None, made of what older
    files list for each layer, attention_windows (null or 0 where it sees all) and rope_theta; else every third layer
    sees all. Lists of several windows, or of several rotations for one kind of layers, stay as they are: the engine
    refuses them.
    """

    model_type: ClassVar[str] = "ultrabert"
    checked_by_engine = PretrainedConfig.checked_by_engine | {"attention_windows", "rope_scaling", "rope_theta"}

    vocab_size: int = 32000
    hidden_size: int = 4096
    intermediate_size: int = 11008
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int | None = None
    hidden_act: str = "silu"
    max_position_embeddings: int = 32768
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-6
    use_cache: bool = False
    pad_token_id: int | None = 0
    bos_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 0
    tie_word_embeddings: bool = False
    rope_parameters: dict[str, Any] | None = None
    attention_bias: bool = False
    attention_dropout: float = 0.0
    mlp_bias: bool = False
    head_dim: int | None = None
    classifier_pooling: str = "cls"
    sliding_window: int = 128
    layer_types: list[str] | None = None
    prediction_head_size: int = 768
    classifier_dropout: float = 0.0

    def __init__(self, /, **kwargs: Any) -> None:
        windows, thetas = kwargs.pop("attention_windows", None), kwargs.pop("rope_theta", None)
        super().__init__(**kwargs)
        share_heads(self)
        if windows is not None:
            self._read_windows(windows)
        if self.layer_types is None:
            self.layer_types = layer_types_by_pattern(self.num_hidden_layers, 3)
        self._read_rotations(thetas)

    def _read_windows(self, windows: Any) -> None:
        listed = windows if isinstance(windows, list) else []
        counts = [0 if window is None else integer(window) for window in listed]
        window = next((count for count in counts if count), self.sliding_window)
        if len(counts) != self.num_hidden_layers or any(count not in (0, window) for count in counts):
            self.attention_windows = windows
            return
        self.sliding_window = window
        if self.layer_types is None:
            self.layer_types = ["sliding_attention" if count else "full_attention" for count in counts]

    def _read_rotations(self, thetas: Any) -> None:
        kinds = self.layer_types if isinstance(self.layer_types, list) else []
        own = self.rope_parameters
        if isinstance(own, dict):  # thetas are not looked at, as in transformers
            given = {kind: own[kind] for kind in own if kind in kinds and own[kind] is not None}
        elif own is not None:
            return
        elif thetas is None:
            given = {"sliding_attention": {"rope_theta": 10000.0}, "full_attention": {"rope_theta": 2560000.0}}
        else:
            listed = thetas if isinstance(thetas, list) else []
            of_layers = [*zip(map(str, kinds), listed, strict=False)]
            given = {kind: {"rope_theta": theta} for kind, theta in of_layers}
            if len(listed) != len(kinds) or any(given[kind]["rope_theta"] != theta for kind, theta in of_layers):
                self.rope_theta = thetas
                return
        turned = {kind: rotation(each, 10000.0, self.max_position_embeddings) for kind, each in given.items()}
        self.rope_parameters = {**(own or {}), **turned}


class UltrabertModel(BaseModel):
    """UltraBERT without a head of a task (https://huggingface.co/dmis-lab/UltraBERT-150M)."""

    config_class = UltrabertConfig


class UltrabertForSequenceClassification(ForSequenceClassification):
    """UltraBERT with logits for a whole text."""

    config_class = UltrabertConfig


class UltrabertForTokenClassification(ForTokenClassification):
    """UltraBERT with logits for each token."""

    config_class = UltrabertConfig


class UltrabertForQuestionAnswering(ForQuestionAnswering):
    """UltraBERT with the places where answers begin and end."""

    config_class = UltrabertConfig


class UltrabertForMaskedLM(ForMaskedLM):
    """UltraBERT with logits over the vocabulary for each token."""

    config_class = UltrabertConfig
