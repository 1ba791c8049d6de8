"""What configurations say layer by layer, in the form that transformers gives it today.

Older files tell the rotation of rotary positions by single keys, and which layers see only what is near by a rule.
"""

import copy
from collections.abc import Callable
from typing import Any

from .checks import integer
from .errors import ConfigError


def layer_types(layers: Any, is_sliding: Callable[[int], bool]) -> list[str]:
    """The kind of attention of each of `layers` layers. Raises ConfigError if that is no number of layers."""
    count = integer(layers)
    if count is None or not 1 <= count <= 4096:
        raise ConfigError(f"num_hidden_layers: found {layers!r}, expected an integer from 1 to 4096")
    return ["sliding_attention" if is_sliding(i) else "full_attention" for i in range(count)]


def layer_types_by_pattern(layers: Any, pattern: Any) -> list[str]:
    """The same where every `pattern`th layer sees all. Raises ConfigError also if that is no number above 0."""
    every = integer(pattern)
    if not every:
        raise ConfigError(f"sliding_window_pattern: found {pattern!r}, expected an integer above 0")
    return layer_types(layers, lambda i: (i + 1) % every != 0)


def share_heads(config: Any) -> None:
    """Sets num_key_value_heads and head_dim where they are None: as many as heads, which share the hidden size."""
    if config.num_key_value_heads is None:
        config.num_key_value_heads = config.num_attention_heads
    heads = integer(config.num_attention_heads)
    if config.head_dim is None and integer(config.hidden_size) and heads:
        config.head_dim = config.hidden_size // heads


def rotation(parameters: Any, theta: Any, longest: Any) -> Any:
    """One object of rope_parameters (or rope_scaling, as it was called) with the keys that it leaves out.

    What is no object comes back as it is: the engine names what is wrong.

    Args:
        parameters: the object, or None.
        theta: rope_theta, where the object has none.
        longest: max_position_embeddings, which stand for the original ones that YaRN and Llama 3 begin with.
    """
    if not isinstance(parameters, dict | None):
        return parameters
    found: dict[str, Any] = copy.deepcopy(parameters or {})
    found.setdefault("rope_type", found.get("type", "default"))
    found.setdefault("rope_theta", theta)
    if found["rope_type"] in ("llama3", "longrope", "yarn"):
        found.setdefault("original_max_position_embeddings", longest)
    return found


def merged(parameters: Any, scaling: Any) -> Any:
    """One of several objects of rope_parameters, with the older rope_scaling in it; whichever is no object as it is."""
    if not isinstance(parameters, dict | None) or not isinstance(scaling, dict | None):
        return scaling or parameters
    return {**({"rope_type": "default"} if parameters is None else parameters), **(scaling or {})}
