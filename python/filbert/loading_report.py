"""What became of the tensors of a checkpoint: told in warnings, and as transformers' loading info."""

import warnings
from typing import Any

from . import _core


def warn_about_tensors(kind: str, name: str, match: _core.TensorMatch, is_base: bool, expects_pooler: bool) -> None:
    """Warns of tensors that a model does not use, and of a pooler that its files do not have.

    Args:
        kind: the class of the model. name: where it comes from.
        is_base: whether it is a base model with its pooler; others have no use for one.
        expects_pooler: whether a pooler is taken where there is one, and its absence is worth a warning.
    """
    unexpected = match.unexpected if is_base else [name for name in match.unexpected if ".pooler." not in f".{name}"]
    if unexpected:
        listed = ", ".join(unexpected[:10]) + (f" and {len(unexpected) - 10} more" if len(unexpected) > 10 else "")
        warnings.warn(
            f"{kind} does not use these tensors of {name}: {listed}. "
            "That is as it should be if they belong to the head of another task.",
            stacklevel=3,
        )
    if expects_pooler and not match.head and match.has_head:
        warnings.warn(
            f"{name} has no pooler: pooler_output will be None. "
            "add_pooling_layer=False asks for that without this warning.",
            stacklevel=3,
        )


def loading_info(match: _core.TensorMatch) -> dict[str, Any]:
    """What transformers gives for `output_loading_info=True`.

    Nothing is ever missing or of another size: that is a WeightsError, where transformers draws random numbers.
    """
    return {
        "missing_keys": set(),
        "unexpected_keys": set(match.unexpected),
        "mismatched_keys": set(),
        "error_msgs": [],
    }
