"""EuroBERT."""

from dataclasses import dataclass
from typing import Any, ClassVar

from ..base_model import BaseModel
from ..configuration import PretrainedConfig
from ..errors import ConfigError
from ..layer_settings import rotation, share_heads
from ..tasks import ForMaskedLM, ForSequenceClassification, ForTokenClassification


@dataclass(init=False, repr=False, eq=False)
class EuroBertConfig(PretrainedConfig):
    """EuroBERT (https://arxiv.org/abs/2503.05500), with the defaults of transformers.

    rope_parameters: if None, made of the older key rope_theta (10000).
    """

    model_type: ClassVar[str] = "eurobert"
    known_code = frozenset({"EuroBertConfig"})
    attribute_map: ClassVar[dict[str, str]] = {"clf_pooling": "classifier_pooling"}  # of its authors' code
    # Names of tokens, and settings of its authors' code for training.
    unused_keys = frozenset({"bos_token", "eos_token", "mask_token", "pad_token", "hidden_dropout"})

    vocab_size: int = 128256
    hidden_size: int = 768
    intermediate_size: int = 3072
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    num_key_value_heads: int | None = None
    hidden_act: str = "silu"
    max_position_embeddings: int = 8192
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-5
    use_cache: bool = True
    pad_token_id: int | None = 128001
    bos_token_id: int | None = 128000
    eos_token_id: int | list[int] | None = 128001
    pretraining_tp: int = 1
    tie_word_embeddings: bool = False
    rope_parameters: dict[str, Any] | None = None
    attention_bias: bool = False
    attention_dropout: float = 0.0
    mlp_bias: bool = False
    head_dim: int | None = None
    mask_token_id: int = 128002
    classifier_pooling: str = "late"

    def __init__(self, /, **kwargs: Any) -> None:
        scaling, theta = kwargs.pop("rope_scaling", None), kwargs.pop("rope_theta", 10000.0)
        pooling = kwargs.get("clf_pooling")
        said = kwargs.get("classifier_pooling", pooling)
        if pooling is not None and pooling != said:
            raise ConfigError(f"clf_pooling: found {pooling!r}, expected what classifier_pooling says: {said!r}")
        super().__init__(**kwargs)
        share_heads(self)
        self.rope_parameters = rotation(scaling or self.rope_parameters, theta, self.max_position_embeddings)


class EuroBertModel(BaseModel):
    """EuroBERT without a head of a task (https://arxiv.org/abs/2503.05500)."""

    config_class = EuroBertConfig


class EuroBertForSequenceClassification(ForSequenceClassification):
    """EuroBERT with logits for a whole text."""

    config_class = EuroBertConfig


class EuroBertForTokenClassification(ForTokenClassification):
    """EuroBERT with logits for each token."""

    config_class = EuroBertConfig


class EuroBertForMaskedLM(ForMaskedLM):
    """EuroBERT with logits over the vocabulary for each token."""

    config_class = EuroBertConfig
