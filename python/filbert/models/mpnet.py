"""MPNet."""

from dataclasses import dataclass
from typing import ClassVar

from ..base_model import BaseModel
from ..configuration import PretrainedConfig
from ..tasks import ForMaskedLM, ForQuestionAnswering, ForSequenceClassification, ForTokenClassification


@dataclass(init=False, repr=False, eq=False)
class MPNetConfig(PretrainedConfig):
    """MPNet (https://arxiv.org/abs/2004.09297), with the defaults of transformers.

    Positions are counted from 2 on, over the ids that are not 1, whatever pad_token_id is.
    """

    model_type: ClassVar[str] = "mpnet"

    vocab_size: int = 30527
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    relative_attention_num_buckets: int = 32
    pad_token_id: int | None = 1
    bos_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 2
    tie_word_embeddings: bool = True


class MPNetModel(BaseModel):
    """MPNet without a head of a task (https://arxiv.org/abs/2004.09297)."""

    config_class = MPNetConfig


class MPNetForSequenceClassification(ForSequenceClassification):
    """MPNet with logits for a whole text."""

    config_class = MPNetConfig


class MPNetForTokenClassification(ForTokenClassification):
    """MPNet with logits for each token."""

    config_class = MPNetConfig


class MPNetForQuestionAnswering(ForQuestionAnswering):
    """MPNet with the places where answers begin and end."""

    config_class = MPNetConfig


class MPNetForMaskedLM(ForMaskedLM):
    """MPNet with logits over the vocabulary for each token."""

    config_class = MPNetConfig
