"""What `filbert info` tells about a model."""

import math
import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

from . import _core
from .auto import AutoConfig
from .hub import Source
from .jsonfile import read_json
from .tokenization import NO_LIMIT, AutoTokenizer
from .weights import open_weights, shard_names

# By the names that families have for them.
_SIZES = {
    "layers": ("num_hidden_layers",),
    "hidden size": ("hidden_size",),
    "heads": ("num_attention_heads",),
    "feed-forward size": ("intermediate_size", "hidden_dim"),
    "activation": ("hidden_act", "activation"),
    "positions": ("max_position_embeddings",),
    "vocabulary": ("vocab_size",),
}


def describe(name: str, **where: Any) -> Iterator[str]:
    """Lines about a model's configuration, weights, tokenizer and modules. The weights are looked at, not loaded.

    `where` are keywords of `Source`. Raises what loading the model would raise: ConfigError, WeightsError, OSError.
    """
    source = Source(name, **where)
    config = AutoConfig.from_json_file(source.get("config.json"))
    yield _row("model", name)
    yield _row("architecture", ", ".join([config.model_type, *(config.architectures or [])]))
    for title, keys in _SIZES.items():
        value = next(getattr(config, key) for key in keys if hasattr(config, key))
        yield _row(title, f"{value:,}" if isinstance(value, int) else str(value))

    path = source.weights()
    weights = open_weights(path)
    match = _core.match_tensors(config.to_json_string(), weights, "model", False)
    used = [stored for _, stored in match.tensors]
    parameters = sum(math.prod(weights.shape(tensor)) for tensor in used)
    dtypes = Counter(weights.dtype(tensor) for tensor in used)
    yield _row("parameters", f"{parameters:,}{'' if match.head or not match.has_head else ' (no pooler)'}")
    yield _row("stored as", ", ".join(f"{dtype} ({count} tensors)" for dtype, count in dtypes.most_common()))
    shards = shard_names(path) if path.endswith(".json") else []
    files = [os.path.join(os.path.dirname(path), shard) for shard in shards] or [path]
    size = sum(map(os.path.getsize, files))
    yield _row("weights", f"{path} ({f'{len(shards)} shards, ' if shards else ''}{size / 1e6:,.1f} MB)")
    if match.unexpected:
        others = ", ".join(match.unexpected[:3]) + (", ..." if len(match.unexpected) > 3 else "")
        yield _row("not used", f"{len(match.unexpected)} tensors: {others}")

    if any(source.find(file) for file in ("tokenizer.json", "vocab.txt")):
        where["revision"] = source.revision
        tokenizer = AutoTokenizer.from_pretrained(name, **where)
        limit = "any length" if tokenizer.model_max_length >= NO_LIMIT else f"up to {tokenizer.model_max_length} tokens"
        kind = type(tokenizer.backend_tokenizer.model).__name__
        yield _row("tokenizer", f"{kind}, {len(tokenizer):,} tokens, {limit}")
    else:
        yield _row("tokenizer", "none")
    modules = source.find("modules.json")
    if modules is not None:
        kinds = [str(entry.get("type")).rsplit(".", 1)[-1] for entry in read_json(modules)]
        yield _row("modules", " -> ".join(kinds))


def _row(title: str, value: str) -> str:
    return f"{title:<18}{value}"
