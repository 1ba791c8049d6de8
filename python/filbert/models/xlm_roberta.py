"""XLM-RoBERTa: RoBERTa with another vocabulary."""

from dataclasses import dataclass
from typing import Any, ClassVar

from ..base_model import BaseModel
from ..configuration import code_of
from ..tasks import ForMaskedLM, ForQuestionAnswering, ForSequenceClassification, ForTokenClassification
from .roberta import RobertaConfig

_JINA_CODE = "XLMRobertaFlashConfig"

# Of jina-embeddings-v3.
_JINA = {
    **{"vocab_size": 250002, "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16},
    **{"intermediate_size": 4096, "max_position_embeddings": 8194, "type_vocab_size": 1, "layer_norm_eps": 1e-5},
}


def is_jinas(config: dict[str, Any]) -> bool:
    """Whether the contents of a config.json are those of an XLM-R of Jina's, which says no model_type."""
    return config.get("position_embedding_type") == "rotary" or code_of(config) == _JINA_CODE


@dataclass(init=False, repr=False, eq=False)
class XLMRobertaConfig(RobertaConfig):
    """XLM-RoBERTa (https://arxiv.org/abs/1911.02116), with the defaults of transformers.

    With position_embedding_type "rotary" it is jina-embeddings-v3 (https://arxiv.org/abs/2409.10173), as on the hub.
    The hub's files of that and of jina-reranker-v2 name the code of their authors, and no model_type.
    """

    model_type: ClassVar[str] = "xlm-roberta"
    checked_by_engine = RobertaConfig.checked_by_engine | {
        *("rotary_emb_base", "lora_adaptations", "lora_rank", "lora_alpha", "task")
    }
    known_code = frozenset({_JINA_CODE})
    # Of Jina's models: ways to compute the same, of training, and texts that its prompts have, too.
    unused_keys = frozenset(
        {"load_trained_adapters", "lora_dropout_p", "lora_main_params_trainable", "task_instructions", "truncate_dim"}
        | {"use_flash_attn", "use_reentrant"}
    )

    vocab_size: int = 30522

    def __init__(self, /, **kwargs: Any) -> None:
        defaults = _JINA if kwargs.get("position_embedding_type") == "rotary" else {}
        super().__init__(**{**defaults, **kwargs})

    def to_dict(self) -> dict[str, Any]:
        """Every attribute. Jina's files say no model_type; by this one, transformers would draw random weights."""
        values = super().to_dict()
        if is_jinas(values):
            del values["model_type"]
        return values


class XLMRobertaModel(BaseModel):
    """XLM-RoBERTa without a head of a task (https://arxiv.org/abs/1911.02116)."""

    config_class = XLMRobertaConfig


class XLMRobertaForSequenceClassification(ForSequenceClassification):
    """XLM-RoBERTa with logits for a whole text."""

    config_class = XLMRobertaConfig


class XLMRobertaForTokenClassification(ForTokenClassification):
    """XLM-RoBERTa with logits for each token."""

    config_class = XLMRobertaConfig


class XLMRobertaForQuestionAnswering(ForQuestionAnswering):
    """XLM-RoBERTa with the places where answers begin and end."""

    config_class = XLMRobertaConfig


class XLMRobertaForMaskedLM(ForMaskedLM):
    """XLM-RoBERTa with logits over the vocabulary for each token."""

    config_class = XLMRobertaConfig
