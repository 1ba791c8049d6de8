"""GTE, which transformers calls "gte" and the files of its authors "new"."""

from dataclasses import dataclass
from typing import Any, ClassVar

from ..base_model import BaseModel
from ..configuration import PretrainedConfig
from ..layer_settings import rotation
from ..tasks import ForMaskedLM, ForSequenceClassification, ForTokenClassification


@dataclass(init=False, repr=False, eq=False)
class GteConfig(PretrainedConfig):
    """GTE (https://arxiv.org/abs/2407.19669), with the defaults of transformers."""

    model_type: ClassVar[str] = "gte"
    checked_by_engine = PretrainedConfig.checked_by_engine | {
        *("is_decoder", "add_cross_attention", "layer_norm_type", "position_embedding_type", "pack_qkv"),
        *("logn_attention_scale", "logn_attention_clip1"),
    }
    known_code = frozenset({"GteConfig", "NewConfig"})
    unused_keys = frozenset({"unpad_inputs", "use_memory_efficient_attention", "use_cache"})
    default_theta: ClassVar[float] = 160000.0

    vocab_size: int = 250048
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.0
    max_position_embeddings: int = 8192
    type_vocab_size: int = 1
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int | None = 1
    classifier_dropout: float | None = None
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    tie_word_embeddings: bool = True
    rope_parameters: dict[str, Any] | None = None

    def __init__(self, /, **kwargs: Any) -> None:
        scaling, theta = kwargs.pop("rope_scaling", None), kwargs.pop("rope_theta", None)
        super().__init__(**kwargs)
        theta = self.default_theta if theta is None else theta
        self.rope_parameters = rotation(scaling or self.rope_parameters, theta, self.max_position_embeddings)


class GteModel(BaseModel):
    """GTE without a head of a task (https://arxiv.org/abs/2407.19669)."""

    config_class = GteConfig


class GteForSequenceClassification(ForSequenceClassification):
    """GTE with logits for a whole text."""

    config_class = GteConfig


class GteForTokenClassification(ForTokenClassification):
    """GTE with logits for each token."""

    config_class = GteConfig


class GteForMaskedLM(ForMaskedLM):
    """GTE with logits over the vocabulary for each token."""

    config_class = GteConfig


@dataclass(init=False, repr=False, eq=False)
class NewConfig(GteConfig):
    """GTE as its authors name it (https://huggingface.co/Alibaba-NLP/new-impl), with their defaults."""

    model_type: ClassVar[str] = "new"
    default_theta: ClassVar[float] = 10000.0

    vocab_size: int = 30528
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 2048
    pad_token_id: int | None = 0


class NewModel(BaseModel):
    """GTE as its authors name it, without a head of a task (https://arxiv.org/abs/2407.19669)."""

    config_class = NewConfig


class NewForSequenceClassification(ForSequenceClassification):
    """GTE as its authors name it, with logits for a whole text."""

    config_class = NewConfig


class NewForTokenClassification(ForTokenClassification):
    """GTE as its authors name it, with logits for each token."""

    config_class = NewConfig


class NewForMaskedLM(ForMaskedLM):
    """GTE as its authors name it, with logits over the vocabulary for each token."""

    config_class = NewConfig
