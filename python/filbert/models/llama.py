"""Llama, as it makes vectors of texts, and its heads."""

from dataclasses import dataclass
from typing import Any, ClassVar

from ..base_model import BaseModel
from ..configuration import PretrainedConfig
from ..layer_settings import rotation, share_heads
from ..tasks import ForNextToken, ForQuestionAnswering, ForSequenceClassification, ForTokenClassification


@dataclass(init=False, repr=False, eq=False)
class LlamaConfig(PretrainedConfig):
    """Llama (https://arxiv.org/abs/2302.13971), with the defaults of transformers.

    rope_parameters: if None, made of the older key rope_theta (10000).
    """

    model_type: ClassVar[str] = "llama"
    # is_causal: whether a token sees no later one. transformers takes these of any decoder.
    checked_by_engine = PretrainedConfig.checked_by_engine | {"is_causal", "token_classification_bias"}

    vocab_size: int = 32000
    hidden_size: int = 4096
    intermediate_size: int = 11008
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int | None = None
    hidden_act: str = "silu"
    max_position_embeddings: int = 2048
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-6
    use_cache: bool = True
    pad_token_id: int | None = None
    bos_token_id: int | None = 1
    eos_token_id: int | list[int] | None = 2
    pretraining_tp: int | None = 1
    tie_word_embeddings: bool = False
    rope_parameters: dict[str, Any] | None = None
    attention_bias: bool = False
    attention_dropout: float = 0.0
    mlp_bias: bool = False
    head_dim: int | None = None

    def __init__(self, /, **kwargs: Any) -> None:
        scaling, theta = kwargs.pop("rope_scaling", None), kwargs.pop("rope_theta", 10000.0)
        super().__init__(**kwargs)
        share_heads(self)
        self.rope_parameters = rotation(scaling or self.rope_parameters, theta, self.max_position_embeddings)


class LlamaModel(BaseModel):
    """Llama without a head of a task (https://arxiv.org/abs/2302.13971)."""

    config_class = LlamaConfig


class LlamaForSequenceClassification(ForSequenceClassification):
    """Llama with logits for a whole text."""

    config_class = LlamaConfig


class LlamaForTokenClassification(ForTokenClassification):
    """Llama with logits for each token."""

    config_class = LlamaConfig


class LlamaForQuestionAnswering(ForQuestionAnswering):
    """Llama with the places where answers begin and end."""

    config_class = LlamaConfig


class LlamaForNextToken(ForNextToken):
    """Llama with logits of the token that follows a text."""

    config_class = LlamaConfig
