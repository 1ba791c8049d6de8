"""Nomic's BERT."""

from dataclasses import dataclass
from typing import Any, ClassVar

from ..base_model import BaseModel
from ..checks import integer
from ..configuration import PretrainedConfig
from ..errors import ConfigError
from ..layer_settings import rotation
from ..tasks import ForMaskedLM, ForSequenceClassification, ForTokenClassification

_ACTIVATIONS_OF_GATES = {"swiglu": "silu", "geglu": "gelu", "glu": "sigmoid"}
# What goes without saying in transformers' words, and is required beside the authors'.
_UNSAID = {"activation_function": "swiglu", "rotary_emb_fraction": 1.0}
_UNSAID |= {"qkv_proj_bias": False, "mlp_fc1_bias": False, "mlp_fc2_bias": False}


@dataclass(init=False, repr=False, eq=False)
class NomicBertConfig(PretrainedConfig):
    """Nomic's BERT (https://arxiv.org/abs/2402.01613), with the defaults of transformers.

    The names that its files on the hub have, which are GPT-2's, are read too: n_embd, n_layer, rotary_emb_base...
    With num_experts some layers are mixtures of experts (https://arxiv.org/abs/2502.07972), as transformers has none.
    """

    model_type: ClassVar[str] = "nomic_bert"
    attribute_map: ClassVar[dict[str, str]] = {
        "n_embd": "hidden_size",
        "n_layer": "num_hidden_layers",
        "n_head": "num_attention_heads",
        "n_inner": "intermediate_size",
        "n_positions": "max_position_embeddings",
        "layer_norm_epsilon": "layer_norm_eps",
    }
    checked_by_engine = PretrainedConfig.checked_by_engine | {
        *(
            "prenorm",
            "use_rms_norm",
            "rotary_emb_interleaved",
            "rotary_emb_fraction",
            "rotary_emb_scale_base",
            "causal",
        ),
        *("rotary_scaling_factor", "parallel_block", "scale_attn_by_inverse_layer_idx", "activation_function"),
        *(
            "qkv_proj_bias",
            "mlp_fc1_bias",
            "mlp_fc2_bias",
            "max_trained_positions",
        ),
        *("num_experts", "moe_every_n_layers", "moe_top_k", "moe_impl", "moe_normalize_expert_weights"),
        *("expert_choice_router", "num_shared_experts", "ffn_div"),
    }
    known_code = frozenset({"NomicBertConfig"})
    # Ways to compute the same, dropout, training, and settings of GPT-2.
    unused_keys = frozenset(
        {"attn_pdrop", "embd_pdrop", "resid_pdrop", "dense_seq_output", "fused_bias_fc", "fused_dropout_add_ln"}
        | {"last_layer_subset", "pad_vocab_size_multiple", "parallel_block_tied_norm"}
        | {
            "reorder_and_upcast_attn",
            "scale_attn_weights",
            "use_flash_attn",
            "use_xentropy",
            "use_cache",
            "tie_word_embeddings",
        }
        | {"summary_activation", "summary_first_dropout", "summary_proj_to_labels", "summary_type", "summary_use_proj"}
        | {"add_pooling_layer", "moe_resid_pdrop", "router_aux_loss_coef"}
    )

    vocab_size: int = 30528
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int | None = 3072
    hidden_act: str = "silu"
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    max_position_embeddings: int = 2048
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int | None = 0
    classifier_dropout: float | None = None
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    rope_parameters: dict[str, Any] | None = None
    head_dim: int | None = None

    def __init__(self, /, **kwargs: Any) -> None:
        scaling, theta = kwargs.pop("rope_scaling", None), kwargs.pop("rope_theta", None)
        base = kwargs.pop("rotary_emb_base", None)
        if None not in (base, theta) and base != theta:
            raise ConfigError(f"rotary_emb_base: found {base}, expected what rope_theta says: {theta}")
        if kwargs.get("max_position_embeddings") is not None:
            kwargs.pop("n_positions", None)  # files with both mean the first one
        for key, name in self.attribute_map.items():
            if key in kwargs and name in kwargs and kwargs[key] != kwargs[name]:
                raise ConfigError(f"{key}: found {kwargs[key]}, expected what {name} says: {kwargs[name]}")
        if kwargs.get("n_embd") is not None and kwargs.get("n_inner") is None and "intermediate_size" not in kwargs:
            kwargs["n_inner"] = 4 * kwargs["n_embd"]  # GPT-2's default
        super().__init__(**kwargs)
        if self.head_dim is None and integer(self.hidden_size) and integer(self.num_attention_heads):
            self.head_dim = self.hidden_size // self.num_attention_heads
        theta = theta if base is None else base
        theta = 1000.0 if theta is None else theta
        self.rope_parameters = rotation(scaling or self.rope_parameters, theta, self.max_position_embeddings)
        gate = vars(self).get("activation_function")
        if isinstance(gate, str):
            self.hidden_act = _ACTIVATIONS_OF_GATES.get(gate, gate)

    def to_diff_dict(self) -> dict[str, Any]:
        """What config.json should hold; of mixtures of experts by the names of their authors, whose code opens them."""
        values = super().to_diff_dict()
        if values.get("num_experts"):
            values.update({key: values.pop(name) for key, name in self.attribute_map.items()})
            values = _UNSAID | values
            if isinstance(values["rope_parameters"], dict):
                values["rotary_emb_base"] = values["rope_parameters"].get("rope_theta")
        return values


class NomicBertModel(BaseModel):
    """Nomic's BERT without a head of a task (https://arxiv.org/abs/2402.01613)."""

    config_class = NomicBertConfig


class NomicBertForSequenceClassification(ForSequenceClassification):
    """Nomic's BERT with logits for a whole text."""

    config_class = NomicBertConfig


class NomicBertForTokenClassification(ForTokenClassification):
    """Nomic's BERT with logits for each token."""

    config_class = NomicBertConfig


class NomicBertForMaskedLM(ForMaskedLM):
    """Nomic's BERT with logits over the vocabulary for each token."""

    config_class = NomicBertConfig
