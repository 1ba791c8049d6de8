"""The models and batches that are timed, and what they need at the least."""

import json
from dataclasses import dataclass
from pathlib import Path

MINILM = "MiniLM-L6"
BERT_BASE = "BERT-base"
MODELS = (MINILM, BERT_BASE)

PRECISIONS = ("float32", "bfloat16", "int8")
BYTES = {"float32": 4, "bfloat16": 2, "int8": 1}


@dataclass(frozen=True)
class Sizes:
    layers: int
    hidden: int
    inner: int
    vocabulary: int

    @classmethod
    def of(cls, folder: Path) -> "Sizes":
        config = json.loads((folder / "config.json").read_text())
        return cls(
            config["num_hidden_layers"], config["hidden_size"], config["intermediate_size"], config["vocab_size"]
        )


def layer_weights(sizes: Sizes) -> int:
    """Numbers in the matrices of all layers: query, key, value, attention output, feed-forward up and down."""
    return sizes.layers * (4 * sizes.hidden**2 + 2 * sizes.hidden * sizes.inner)


def flops(sizes: Sizes, lengths: list[int]) -> int:
    """Multiplications and additions of the layers' matrices and of attention, over sequences of these lengths."""
    matrices = 2 * layer_weights(sizes) * sum(lengths)
    attention = 4 * sizes.layers * sizes.hidden * sum(length**2 for length in lengths)
    return matrices + attention


def memory_floor_ms(sizes: Sizes, precision: str, read_gbps: float) -> float:
    """Milliseconds to read the layers' matrices once."""
    return layer_weights(sizes) * BYTES[precision] / read_gbps / 1e6


def parse_case(text: str) -> tuple[int, int]:
    """(batch, length) of "8x128"."""
    batch, length = map(int, text.split("x"))
    if batch < 1 or length < 1:
        raise ValueError(f"found {text}, expected two integers above 0, as in 8x128")
    return batch, length
