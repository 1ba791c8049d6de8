"""RoFormer."""

from dataclasses import dataclass
from typing import Any, ClassVar

from ..base_model import BaseModel
from ..configuration import PretrainedConfig
from ..tasks import ForMaskedLM, ForQuestionAnswering, ForSequenceClassification, ForTokenClassification


@dataclass(init=False, repr=False, eq=False)
class RoFormerConfig(PretrainedConfig):
    """RoFormer (https://arxiv.org/abs/2104.09864), with the defaults of transformers.

    embedding_size: the width of the embeddings; None: hidden_size. max_position_embeddings: no text may be longer.
    rotary_value: values turn, too, as queries and keys do.
    """

    model_type: ClassVar[str] = "roformer"
    checked_by_engine = PretrainedConfig.checked_by_engine | {"norm_type", "use_bias"}
    # Of its authors' pooler, which transformers has not.
    unused_keys = frozenset({"pooler_activation"})

    vocab_size: int = 50000
    embedding_size: int | None = None
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 1536
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int | None = 0
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    rotary_value: bool = False
    use_cache: bool = True
    is_decoder: bool = False
    add_cross_attention: bool = False
    tie_word_embeddings: bool = True

    def __init__(self, /, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if self.embedding_size is None:
            self.embedding_size = self.hidden_size


class RoFormerModel(BaseModel):
    """RoFormer without a head of a task (https://arxiv.org/abs/2104.09864)."""

    config_class = RoFormerConfig


class RoFormerForSequenceClassification(ForSequenceClassification):
    """RoFormer with logits for a whole text."""

    config_class = RoFormerConfig


class RoFormerForTokenClassification(ForTokenClassification):
    """RoFormer with logits for each token."""

    config_class = RoFormerConfig


class RoFormerForQuestionAnswering(ForQuestionAnswering):
    """RoFormer with the places where answers begin and end."""

    config_class = RoFormerConfig


class RoFormerForMaskedLM(ForMaskedLM):
    """RoFormer with logits over the vocabulary for each token."""

    config_class = RoFormerConfig
