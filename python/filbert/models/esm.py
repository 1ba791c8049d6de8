"""ESM, language models of proteins."""

from dataclasses import dataclass
from typing import Any, ClassVar

from ..base_model import BaseModel
from ..configuration import PretrainedConfig
from ..tasks import ForMaskedLM, ForSequenceClassification, ForTokenClassification


@dataclass(init=False, repr=False, eq=False)
class EsmConfig(PretrainedConfig):
    """ESM-2 (https://doi.org/10.1126/science.ade2574) and ESM-1b, with the defaults of transformers.

    vocab_size: has no default. position_embedding_type: "rotary" or "absolute", which are counted from pad_token_id + 1
    on, over the ids that are no padding. token_dropout: the words of mask_token_id are left out, and those of the other
    tokens of a text are multiplied by 0.88 / (1 - the share of masked tokens).
    """

    model_type: ClassVar[str] = "esm"
    checked_by_engine = PretrainedConfig.checked_by_engine | {"add_bias_fnn", "rope_scaling", "rope_parameters"}
    # The activation is GELU, whatever a file says.
    unused_keys = frozenset({"hidden_act", "classifier_dropout"})

    vocab_size: int | None = None
    mask_token_id: int | None = None
    pad_token_id: int | None = None
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 1026
    rope_theta: float = 10000.0
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    position_embedding_type: str = "absolute"
    use_cache: bool = True
    emb_layer_norm_before: bool | None = None
    token_dropout: bool | None = False
    is_folding_model: bool | None = False
    esmfold_config: dict[str, Any] | None = None
    vocab_list: list[str] | None = None
    is_decoder: bool = False
    add_cross_attention: bool = False
    tie_word_embeddings: bool = True
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = 2


class EsmModel(BaseModel):
    """ESM without a head of a task (https://doi.org/10.1126/science.ade2574)."""

    config_class = EsmConfig


class EsmForSequenceClassification(ForSequenceClassification):
    """ESM with logits for a whole sequence."""

    config_class = EsmConfig


class EsmForTokenClassification(ForTokenClassification):
    """ESM with logits for each token."""

    config_class = EsmConfig


class EsmForMaskedLM(ForMaskedLM):
    """ESM with logits over the vocabulary for each token."""

    config_class = EsmConfig
