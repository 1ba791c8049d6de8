"""The families under test: a row each. From a row follow parity, invariance, saving and loading both ways."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

ACTIVATIONS = ("gelu", "gelu_new", "relu", "silu", "tanh", "gelu_fast")


class Family(NamedTuple):
    """stem: what the names of its classes begin with, here and in transformers. draw: a small configuration.

    pads: whether padding ids may stand among the others (where positions are counted from ids).
    """

    stem: str
    draw: Callable[[np.random.Generator], dict[str, Any]]
    pads: bool = False
    types: bool = True
    pooler: bool = True


def _bert(rng: np.random.Generator) -> dict[str, Any]:
    head_size, heads = [(16, 1), (12, 3), (20, 2), (32, 3), (64, 2), (33, 4), (8, 5)][rng.integers(7)]
    return {
        "vocab_size": int(rng.integers(20, 300)),
        "hidden_size": head_size * heads,
        "num_attention_heads": heads,
        "num_hidden_layers": int(rng.integers(1, 4)),
        "intermediate_size": int(rng.integers(1, 200)),
        "max_position_embeddings": int(rng.choice([24, 64, 300])),
        "type_vocab_size": int(rng.integers(1, 4)),
        "hidden_act": str(rng.choice(ACTIVATIONS)),
        "layer_norm_eps": float(rng.choice([1e-12, 1e-5])),
        "initializer_range": float(rng.choice([0.02, 0.2])),
        "num_labels": int(rng.integers(1, 6)),
    }


def _roberta(rng: np.random.Generator) -> dict[str, Any]:
    return {**_bert(rng), "pad_token_id": int(rng.integers(0, 4))}


def _distilbert(rng: np.random.Generator) -> dict[str, Any]:
    drawn = _bert(rng)
    return {
        "vocab_size": drawn["vocab_size"],
        "dim": drawn["hidden_size"],
        "n_heads": drawn["num_attention_heads"],
        "n_layers": drawn["num_hidden_layers"],
        "hidden_dim": drawn["intermediate_size"],
        "max_position_embeddings": drawn["max_position_embeddings"],
        "activation": drawn["hidden_act"],
        "initializer_range": drawn["initializer_range"],
        "num_labels": drawn["num_labels"],
    }


FAMILIES = {
    "bert": Family("Bert", _bert),
    "camembert": Family("Camembert", _roberta, pads=True),
    "distilbert": Family("DistilBert", _distilbert, types=False, pooler=False),
    "roberta": Family("Roberta", _roberta, pads=True),
    "xlm-roberta": Family("XLMRoberta", _roberta, pads=True),
}


def draw_call(
    family: Family, config: dict[str, Any], rng: np.random.Generator, kind: int, batch: int | None = None
) -> dict[str, Any]:
    """Inputs of a call: ids, and of five kinds of masks (none, ones, holes, right and left padding) one."""
    padding = config.get("pad_token_id", 0)
    longest = config["max_position_embeddings"] - (padding + 1 if family.pads else 0)
    length = int(rng.integers(1, longest + 1)) if batch is None else int(rng.integers(1, 17))
    batch = int(rng.integers(1, 5)) if batch is None else batch
    ids = rng.integers(0, config["vocab_size"], (batch, length))
    if not family.pads:
        ids[ids == padding] = padding + 1
    call = {"input_ids": ids}
    mask = [
        None,
        np.ones((batch, length)),
        rng.random((batch, length)) < 0.7,
        np.arange(length) < rng.integers(1, length + 1, (batch, 1)),
        np.arange(length) >= rng.integers(0, length, (batch, 1)),
    ][kind]
    if mask is not None:
        mask = mask.astype(np.int64)
        mask[mask.sum(1) == 0, 0] = 1
        call["attention_mask"] = mask
        if family.pads and kind > 2:
            ids[mask == 0] = padding
    if family.types and rng.random() < 0.5:
        call["token_type_ids"] = rng.integers(0, config["type_vocab_size"], (batch, length))
    return call
