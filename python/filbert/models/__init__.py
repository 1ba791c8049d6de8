"""The model families. A new one is a module here and a line in FAMILIES; names, configurations and classes follow."""

from importlib import import_module
from typing import Any

# What the names of classes end in.
_BASE = ("Config", "Model")
_CLASSIFIES = (*_BASE, "ForSequenceClassification")

# model_type -> (module of this package, what the names of its classes begin with, and what they end in)
FAMILIES = {
    "albert": ("albert", "Albert", _BASE),
    "bert": ("bert", "Bert", _CLASSIFIES),
    "camembert": ("camembert", "Camembert", _CLASSIFIES),
    "deberta-v2": ("deberta_v2", "DebertaV2", _BASE),
    "distilbert": ("distilbert", "DistilBert", _CLASSIFIES),
    "electra": ("electra", "Electra", _BASE),
    "eurobert": ("eurobert", "EuroBert", _BASE),
    "gemma3_text": ("gemma3_text", "Gemma3Text", _BASE),
    "gte": ("gte", "Gte", _BASE),
    "jina_embeddings_v3": ("jina_embeddings_v3", "JinaEmbeddingsV3", _BASE),
    "model2vec": ("model2vec", "Model2Vec", _BASE),
    "modernbert": ("modernbert", "ModernBert", _CLASSIFIES),
    "mpnet": ("mpnet", "MPNet", _CLASSIFIES),
    "new": ("gte", "New", _BASE),
    "nomic_bert": ("nomic_bert", "NomicBert", _BASE),
    "qwen3": ("qwen3", "Qwen3", _BASE),
    "roberta": ("roberta", "Roberta", _CLASSIFIES),
    "xlm-roberta": ("xlm_roberta", "XLMRoberta", _CLASSIFIES),
}

# The classes of all families -> their modules.
NAMES = {f"{stem}{kind}": f"models.{module}" for module, stem, kinds in FAMILIES.values() for kind in kinds}


def class_of(model_type: Any, kind: str) -> Any:
    """The class of a family, imported now; None if there is no such family, or it has none of that kind."""
    if not isinstance(model_type, str) or model_type not in FAMILIES:
        return None
    module, stem, kinds = FAMILIES[model_type]
    return getattr(import_module(f".{module}", __name__), stem + kind) if kind in kinds else None


def having(kind: str) -> list[str]:
    """The families that have a class of that kind, by model_type."""
    return sorted(model_type for model_type, (_, _, kinds) in FAMILIES.items() if kind in kinds)
