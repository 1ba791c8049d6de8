"""ModernBERT."""

from dataclasses import dataclass
from typing import Any, ClassVar

from ..base_model import BaseModel
from ..checks import integer
from ..configuration import PretrainedConfig
from ..errors import ConfigError
from ..layer_settings import layer_types, merged, rotation
from ..tasks import ForMaskedLM, ForQuestionAnswering, ForSequenceClassification, ForTokenClassification


@dataclass(init=False, repr=False, eq=False)
class ModernBertConfig(PretrainedConfig):
    """ModernBERT (https://arxiv.org/abs/2412.13663), with the defaults of ModernBERT-base.

    layer_types, rope_parameters: if None, made of what older files have instead: global_attn_every_n_layers (3),
    global_rope_theta (160000) and local_rope_theta (10000; null in a file: as the global one).
    """

    model_type: ClassVar[str] = "modernbert"
    checked_by_engine = PretrainedConfig.checked_by_engine | {"sliding_window"}
    # What layer_types is made of, ways to compute the same, and keys of BERT's configuration, from which this one once
    # derived.
    unused_keys = frozenset(
        {"global_attn_every_n_layers", "layer_norm_eps", "position_embedding_type", "reference_compile"}
        | {"repad_logits_with_grad", "hidden_act", "hidden_dropout_prob", "attention_probs_dropout_prob"}
    )

    vocab_size: int = 50368
    hidden_size: int = 768
    intermediate_size: int = 1152
    num_hidden_layers: int = 22
    num_attention_heads: int = 12
    hidden_activation: str = "gelu"
    max_position_embeddings: int = 8192
    initializer_range: float = 0.02
    initializer_cutoff_factor: float = 2.0
    norm_eps: float = 1e-5
    norm_bias: bool = False
    pad_token_id: int | None = 50283
    eos_token_id: int | list[int] | None = 50282
    bos_token_id: int | None = 50281
    cls_token_id: int | None = 50281
    sep_token_id: int | None = 50282
    attention_bias: bool = False
    attention_dropout: float = 0.0
    layer_types: list[str] | None = None
    rope_parameters: dict[str, Any] | None = None
    local_attention: int = 128
    embedding_dropout: float = 0.0
    mlp_bias: bool = False
    mlp_dropout: float = 0.0
    decoder_bias: bool = True
    classifier_pooling: str = "cls"
    classifier_dropout: float = 0.0
    classifier_bias: bool = False
    classifier_activation: str = "gelu"
    deterministic_flash_attn: bool = False
    sparse_prediction: bool = False
    sparse_pred_ignore_index: int = -100
    tie_word_embeddings: bool = True

    def __init__(self, /, **kwargs: Any) -> None:
        scaling = kwargs.pop("rope_scaling", None)
        full_theta = kwargs.pop("global_rope_theta", 160000.0)
        sliding_theta = kwargs.pop("local_rope_theta", 10000.0)
        super().__init__(**kwargs)
        every = kwargs.get("global_attn_every_n_layers", 3)
        if self.layer_types is None:
            if not integer(every):
                raise ConfigError(f"global_attn_every_n_layers: found {every!r}, expected an integer above 0")
            self.layer_types = layer_types(self.num_hidden_layers, lambda i: i % every != 0)
        parameters = {} if self.rope_parameters is None else self.rope_parameters
        if isinstance(parameters, dict):
            sliding_theta = full_theta if sliding_theta is None else sliding_theta
            kinds = {"full_attention": full_theta, "sliding_attention": sliding_theta}
            own = {
                kind: rotation(merged(parameters.get(kind), scaling), theta, self.max_position_embeddings)
                for kind, theta in kinds.items()
            }
            self.rope_parameters = {**parameters, **own}


class ModernBertModel(BaseModel):
    """ModernBERT without a head of a task (https://arxiv.org/abs/2412.13663)."""

    config_class = ModernBertConfig


class ModernBertForSequenceClassification(ForSequenceClassification):
    """ModernBERT with logits for a whole text."""

    config_class = ModernBertConfig


class ModernBertForTokenClassification(ForTokenClassification):
    """ModernBERT with logits for each token."""

    config_class = ModernBertConfig


class ModernBertForQuestionAnswering(ForQuestionAnswering):
    """ModernBERT with the places where answers begin and end."""

    config_class = ModernBertConfig


class ModernBertForMaskedLM(ForMaskedLM):
    """ModernBERT with logits over the vocabulary for each token."""

    config_class = ModernBertConfig
