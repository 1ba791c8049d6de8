"""The model families. A new one is a module here and a line in FAMILIES; names, configurations and classes follow."""

from importlib import import_module
from typing import Any

# model_type -> (module of this package, what the names of its classes begin with)
FAMILIES = {
    "bert": ("bert", "Bert"),
    "camembert": ("camembert", "Camembert"),
    "distilbert": ("distilbert", "DistilBert"),
    "roberta": ("roberta", "Roberta"),
    "xlm-roberta": ("xlm_roberta", "XLMRoberta"),
}
# What the names end in.
KINDS = ("Config", "Model", "ForSequenceClassification")

# The classes of all families -> their modules.
NAMES = {f"{stem}{kind}": f"models.{module}" for module, stem in FAMILIES.values() for kind in KINDS}


def class_of(model_type: Any, kind: str) -> Any:
    """The class of a family, imported now; None if there is no such family."""
    if not isinstance(model_type, str) or model_type not in FAMILIES:
        return None
    module, stem = FAMILIES[model_type]
    return getattr(import_module(f".{module}", __name__), stem + kind)
