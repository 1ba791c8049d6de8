"""XLM-RoBERTa-XL: XLM-RoBERTa with norms before each part."""

from dataclasses import dataclass
from typing import ClassVar

from ..base_model import BaseModel
from ..tasks import ForMaskedLM, ForQuestionAnswering, ForSequenceClassification, ForTokenClassification
from .roberta_prelayernorm import RobertaPreLayerNormConfig


@dataclass(init=False, repr=False, eq=False)
class XLMRobertaXLConfig(RobertaPreLayerNormConfig):
    """XLM-RoBERTa-XL and XXL (https://arxiv.org/abs/2105.00572), with the defaults of transformers."""

    model_type: ClassVar[str] = "xlm-roberta-xl"

    vocab_size: int = 250880
    hidden_size: int = 2560
    num_hidden_layers: int = 36
    num_attention_heads: int = 32
    intermediate_size: int = 10240
    max_position_embeddings: int = 514
    type_vocab_size: int = 1
    layer_norm_eps: float = 1e-5


class XLMRobertaXLModel(BaseModel):
    """XLM-RoBERTa-XL without a head of a task (https://arxiv.org/abs/2105.00572)."""

    config_class = XLMRobertaXLConfig


class XLMRobertaXLForSequenceClassification(ForSequenceClassification):
    """XLM-RoBERTa-XL with logits for a whole text."""

    config_class = XLMRobertaXLConfig


class XLMRobertaXLForTokenClassification(ForTokenClassification):
    """XLM-RoBERTa-XL with logits for each token."""

    config_class = XLMRobertaXLConfig


class XLMRobertaXLForQuestionAnswering(ForQuestionAnswering):
    """XLM-RoBERTa-XL with the places where answers begin and end."""

    config_class = XLMRobertaXLConfig


class XLMRobertaXLForMaskedLM(ForMaskedLM):
    """XLM-RoBERTa-XL with logits over the vocabulary for each token."""

    config_class = XLMRobertaXLConfig
