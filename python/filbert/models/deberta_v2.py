"""DeBERTa-v2 and -v3."""

from dataclasses import dataclass
from typing import ClassVar

from ..base_model import BaseModel
from ..configuration import PretrainedConfig
from ..tasks import ForMaskedLM, ForQuestionAnswering, ForSequenceClassification, ForTokenClassification
from .deberta import DebertaConfig


@dataclass(init=False, repr=False, eq=False)
class DebertaV2Config(DebertaConfig):
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
    unused_keys = PretrainedConfig.unused_keys

    vocab_size: int = 128100
    hidden_size: int = 1536
    num_hidden_layers: int = 24
    num_attention_heads: int = 24
    intermediate_size: int = 6144


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
