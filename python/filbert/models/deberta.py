"""DeBERTa, the first version."""

from dataclasses import dataclass
from typing import Any, ClassVar

from ..base_model import BaseModel
from ..configuration import PretrainedConfig
from ..tasks import ForMaskedLM, ForQuestionAnswering, ForSequenceClassification, ForTokenClassification


@dataclass(init=False, repr=False, eq=False)
class DebertaConfig(PretrainedConfig):
    """DeBERTa (https://arxiv.org/abs/2006.03654), with the defaults of transformers, which are those of no
    checkpoint: attention is not relative.

    embedding_size is an attribute only if it is given, as in transformers.
    """

    model_type: ClassVar[str] = "deberta"
    checked_by_engine = PretrainedConfig.checked_by_engine | {"embedding_size", "talking_head"}
    # Of some files; transformers reads neither.
    unused_keys = frozenset({"attention_head_size", "padding_idx"})

    vocab_size: int = 50265
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
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


class DebertaModel(BaseModel):
    """DeBERTa without a head of a task (https://arxiv.org/abs/2006.03654)."""

    config_class = DebertaConfig


class DebertaForSequenceClassification(ForSequenceClassification):
    """DeBERTa with logits for a whole text."""

    config_class = DebertaConfig


class DebertaForTokenClassification(ForTokenClassification):
    """DeBERTa with logits for each token."""

    config_class = DebertaConfig


class DebertaForQuestionAnswering(ForQuestionAnswering):
    """DeBERTa with the places where answers begin and end."""

    config_class = DebertaConfig


class DebertaForMaskedLM(ForMaskedLM):
    """DeBERTa with logits over the vocabulary for each token."""

    config_class = DebertaConfig
