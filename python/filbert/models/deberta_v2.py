"""DeBERTa-v2 and -v3."""

from dataclasses import dataclass
from typing import Any, ClassVar

from ..base_model import BaseModel
from ..configuration import PretrainedConfig
from ..tasks import ForMaskedLM, ForQuestionAnswering, ForSequenceClassification, ForTokenClassification


@dataclass(init=False, repr=False, eq=False)
class DebertaV2Config(PretrainedConfig):
    """DeBERTa-v2 (https://arxiv.org/abs/2006.03654) and -v3 (https://arxiv.org/abs/2111.09543), with the defaults of
    transformers, which are those of no checkpoint: attention is not relative.

    Attributes only if they are given, as in transformers: position_buckets (-1), share_att_key (False), norm_rel_ebd
    ("none"), conv_kernel_size (0), conv_act ("tanh"), conv_groups (1), embedding_size and attention_head_size.
    """

    model_type: ClassVar[str] = "deberta-v2"
    checked_by_engine = PretrainedConfig.checked_by_engine | {
        "attention_head_size",
        "conv_act",
        "conv_groups",
        "conv_kernel_size",
        "embedding_size",
        "norm_rel_ebd",
        "position_buckets",
        "share_att_key",
    }

    vocab_size: int = 128100
    hidden_size: int = 1536
    num_hidden_layers: int = 24
    num_attention_heads: int = 24
    intermediate_size: int = 6144
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 0
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-7
    relative_attention: bool = False
    max_relative_positions: int = -1
    pad_token_id: int | None = 0
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    position_biased_input: bool = True
    pos_att_type: str | list[str] | None = None
    pooler_dropout: float = 0.0
    pooler_hidden_act: str = "gelu"
    pooler_hidden_size: int | None = None
    legacy: bool = True
    tie_word_embeddings: bool = True

    def __init__(self, /, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if isinstance(self.pos_att_type, str):
            self.pos_att_type = [term.strip() for term in self.pos_att_type.lower().split("|")]
        if self.pooler_hidden_size is None:
            self.pooler_hidden_size = self.hidden_size


class DebertaV2Model(BaseModel):
    """DeBERTa-v2 without a head of a task (https://arxiv.org/abs/2006.03654)."""

    config_class = DebertaV2Config


class DebertaV2ForSequenceClassification(ForSequenceClassification):
    """DeBERTa-v2 with logits for a whole text."""

    config_class = DebertaV2Config


class DebertaV2ForTokenClassification(ForTokenClassification):
    """DeBERTa-v2 with logits for each token."""

    config_class = DebertaV2Config


class DebertaV2ForQuestionAnswering(ForQuestionAnswering):
    """DeBERTa-v2 with the places where answers begin and end."""

    config_class = DebertaV2Config


class DebertaV2ForMaskedLM(ForMaskedLM):
    """DeBERTa-v2 with logits over the vocabulary for each token."""

    config_class = DebertaV2Config
