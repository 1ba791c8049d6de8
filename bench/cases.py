"""The models and batches that are timed, and what they need at the least."""

import json
from dataclasses import dataclass
from pathlib import Path

MINILM = "MiniLM-L6"
BERT_BASE = "BERT-base"
MPNET = "MPNet-base"
MODERNBERT = "ModernBERT-base"
DEBERTA = "DeBERTa-v3-base"
MODELS = (MINILM, BERT_BASE)  # those that are compared unless others are named
ALL_MODELS = (*MODELS, MPNET, MODERNBERT, DEBERTA)

PRECISIONS = ("float32", "bfloat16", "int8")
BYTES = {"float32": 4, "bfloat16": 2, "int8": 1}


@dataclass(frozen=True)
class Sizes:
    layers: int
    hidden: int
    inner: int
    vocabulary: int
    gated: bool = False
    window: int = 0  # tokens that a query sees to either side; 0: all
    global_every: int = 1  # layers, of which one sees all tokens

    @classmethod
    def of(cls, folder: Path) -> "Sizes":
        config = json.loads((folder / "config.json").read_text())
        modern = config["model_type"] == "modernbert"
        return cls(
            config["num_hidden_layers"],
            config["hidden_size"],
            config["intermediate_size"],
            config["vocab_size"],
            gated=modern,
            window=config["local_attention"] // 2 if modern else 0,
            global_every=config["layer_types"][1:].index("full_attention") + 1 if modern else 1,
        )


def layer_weights(sizes: Sizes) -> int:
    """Numbers in the matrices of all layers: query, key, value, attention output, feed-forward gate, up and down."""
    inner = (3 if sizes.gated else 2) * sizes.inner
    return sizes.layers * sizes.hidden * (4 * sizes.hidden + inner)


def flops(sizes: Sizes, lengths: list[int]) -> int:
    """Multiplications and additions of the layers' matrices and of attention, over sequences of these lengths."""
    matrices = 2 * layer_weights(sizes) * sum(lengths)
    full = -(-sizes.layers // sizes.global_every)
    seen = [min(length, 2 * sizes.window + 1) for length in lengths]
    keys = full * sum(length**2 for length in lengths)
    keys += (sizes.layers - full) * sum(length * width for length, width in zip(lengths, seen, strict=True))
    return matrices + 4 * sizes.hidden * keys


def memory_floor_ms(sizes: Sizes, precision: str, read_gbps: float) -> float:
    """Milliseconds to read the layers' matrices once."""
    return layer_weights(sizes) * BYTES[precision] / read_gbps / 1e6


def parse_case(text: str) -> tuple[int, int]:
    """(batch, length) of "8x128"."""
    batch, length = map(int, text.split("x"))
    if batch < 1 or length < 1:
        raise ValueError(f"found {text}, expected two integers above 0, as in 8x128")
    return batch, length
