"""Writes docs/models.md: what filbert has of each family, how near it is to transformers, and how fast.

`python tests/python/models_page.py` writes the page from bench/results/, and measures nothing. What is there was
measured by bench/parity.py (*-parity*.json) and by bench/compare.py (*-cpu-families*.json); a newer file of those names
counts for the families that it has.
"""

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import hub_configs

from filbert.info import DTYPES
from filbert.models import FAMILIES

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "models.md"
CASES = ("8x128", "1x512")
PEERS = ("onnxruntime", "openvino")
SHOWN = 3  # checkpoints of a family

sys.path.append(str(ROOT / "bench"))

from cases import MODEL_OF  # noqa: E402
from machine import RESULTS  # noqa: E402
from result_tables import libraries  # noqa: E402

SPECIAL = {
    "albert": "layers that share weights, in groups; embeddings of another width",
    "bert": "also Jina's second models: ALiBi, a gated feed-forward layer",
    "camembert": "as `roberta`",
    "data2vec-text": "as `roberta`",
    "deberta": "attention with terms for positions, one for each distance",
    "deberta-v2": "as `deberta`, in buckets; a convolution in the largest of the second version",
    "distilbert": "no token types, no pooler",
    "electra": "the discriminator; embeddings of another width",
    "embedding_gemma2_text": "the texts of `embedding_gemma2`: `gemma3_text` both ways, wider heads where all is seen, "
    "per-layer embeddings",
    "ernie": "as `bert`; maybe embeddings of tasks, of which every text is of the first",
    "esm": "proteins: norms before each part, rotary or learned positions, words scaled by how many are masked",
    "eurobert": "`qwen3` without norms of queries and keys; both ways",
    "gemma3_text": "RMS norms before and after each part, grouped queries, windows; both ways or causal",
    "gte": "rotary positions, a gated feed-forward layer, NTK scaling",
    "jina_embeddings_v3": "rotary positions; an adapter for each task, merged (the hub's files: `XLMRobertaModel`)",
    "llama": "grouped queries; causal or not; rotations for long texts",
    "megatron-bert": "as `bert`, with norms before each part and none of the embeddings",
    "mistral": "as `llama`, with a window in all layers",
    "model2vec": "a vector for each token, no transformer (also `StaticEmbedding` of sentence-transformers)",
    "modernbert": "norms before each part, rotary positions, windows in most layers, a gated feed-forward layer",
    "mpnet": "a bias for each distance, in buckets",
    "mt5": "as `t5`; a gated feed-forward layer",
    "new": "`gte` under the names of its authors",
    "nomic_bert": "rotary positions, a gated feed-forward layer, or mixtures of experts (the hub's files: v2-moe)",
    "qwen2": "as `llama`, with biases of queries, keys and values; windows in some layers",
    "qwen3": "grouped queries, norms of queries and keys, windows; causal or not",
    "rembert": "embeddings of another width; of a third one what the layer over the vocabulary reads",
    "roberta": "positions counted from the ids",
    "roberta-prelayernorm": "as `roberta`, with norms before each part",
    "roformer": "`bert` with rotary positions, maybe of values too; embeddings of another width",
    "t5": "the encoder alone: RMS norms before each part, a bias for each distance, in buckets, scores without a scale",
    "ultrabert": "as `eurobert`; windows in most layers, which have a rotation of their own",
    "umt5": "as `mt5`; a table of biases in each layer",
    "xlm-roberta": "as `roberta`",
    "xlm-roberta-xl": "as `roberta-prelayernorm`, without a norm of the embeddings",
}
_PEER_HEADS = ("onnxruntime", "OpenVINO", "ratio")
SAME_MATHS = {"new": "gte"}  # of what transformers has not by that name

_HEADS = {
    "ForSequenceClassification": "sequences",
    "ForTokenClassification": "tokens",
    "ForQuestionAnswering": "answers",
    "ForMaskedLM": "words",
    "ForNextToken": "next token",
}


class Figure(NamedTuple):
    """What was measured of a family or a model, and the whole record of that day."""

    values: dict[str, Any]
    record: dict[str, Any]


def records(pattern: str) -> Iterator[dict[str, Any]]:
    """Oldest first, by their names."""
    return (json.loads(path.read_text()) for path in sorted(RESULTS.glob(pattern)))


def parities() -> dict[str, Figure]:
    """By family."""
    found = records("*-parity*.json")
    return {
        name: Figure(values, record) for record in found for name, values in record["error_over_that_of_torch"].items()
    }


def speeds() -> dict[tuple[str, str], Figure]:
    """By model and case: the median milliseconds of each library."""
    return {
        (row["model"], row["case"]): Figure(libraries(row), record)
        for record in records("*-cpu-families*.json")
        for row in record["results"]
        if row["precision"] == "float32" and row["case"] in CASES
    }


def checkpoints() -> dict[str, list[str]]:
    """Those whose configuration opens, by family. Those that do not say theirs are Jina's."""
    found: dict[str, list[str]] = {}
    for name, outcome in hub_configs.outcomes().items():
        config = hub_configs.CONFIGS[name]
        if outcome.error is None:
            is_rotary = config.get("position_embedding_type") == "rotary"
            family = config.get("model_type", "jina_embeddings_v3" if is_rotary else "xlm-roberta")
            found.setdefault(family, []).append(name)
    return found


def page() -> str:
    parity, speed = parities(), speeds()
    dtypes = "; ".join(f"on `{device}` {', '.join(names)}" for device, names in DTYPES.items())
    return _PAGE.format(
        families=table(("model_type", "classes", "heads", "what is special", "checkpoints"), families()),
        dtypes=dtypes,
        parity=table(
            ("model_type", "models", "error: median", "largest"), (nearness(name, parity) for name in FAMILIES)
        ),
        speed=table(
            ("model", "families", *(head for case in CASES for head in (f"{case}: filbert ms", *_PEER_HEADS))),
            (times(model, speed) for model in dict.fromkeys(MODEL_OF.values())),
        ),
        sources="".join(f"- {line}\n" for line in sources(parity, speed)),
    )


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n".replace("  |", " |") for cells in lines)


def families() -> Iterator[tuple[str, ...]]:
    opening = checkpoints()
    for name, (_, stem, kinds) in FAMILIES.items():
        known = opening.get(name, [])
        examples = ", ".join(f"`{each}`" for each in known[:SHOWN])
        if len(known) > SHOWN:
            examples += f" and {len(known) - SHOWN} more"
        heads = ", ".join(head for kind, head in _HEADS.items() if kind in kinds)
        yield f"`{name}`", f"`{stem}...`", heads, SPECIAL[name], examples


def nearness(name: str, parity: dict[str, Figure]) -> tuple[str, ...]:
    if same := SAME_MATHS.get(name):
        return f"`{name}`", f"as `{same}`", "", ""
    if name not in parity:
        return f"`{name}`", "", "", ""
    values = parity[name].values
    return f"`{name}`", str(values["models"]), f"{values['median']:.2f}", f"{values['largest']:.2f}"


def times(model: str, speed: dict[tuple[str, str], Figure]) -> tuple[str, ...]:
    """The model, the families it stands for, and for each case the times and filbert's over the best of the others."""
    standing = ", ".join(f"`{name}`" for name, each in MODEL_OF.items() if each == model)
    cells: list[str] = []
    for case in CASES:
        found = speed[model, case].values if (model, case) in speed else {}
        others = [found[peer] for peer in PEERS if peer in found]
        cells += [f"{found[each]:.0f}" if each in found else "" for each in ("filbert", *PEERS)]
        cells.append(f"{found['filbert'] / min(others):.2f}" if others else "")
    return model, standing, *cells


def sources(parity: dict[str, Figure], speed: dict[tuple[str, str], Figure]) -> Iterator[str]:
    """When and on what each number was measured, and which ones if not all."""
    models = {name: figure for (name, _), figure in speed.items()}
    for kind, figures, packages in (
        ("Parity", parity, ("torch", "transformers")),
        ("Time", models, PEERS),
    ):
        told: dict[str, list[str]] = {}
        for name, figure in figures.items():
            record = figure.record
            versions = ", ".join(f"{package} {record['versions'][package]}" for package in packages)
            machine = f"{record['machine']['processor']} ({', '.join(record['machine']['flags'])})"
            text = f"{kind}: {record['date']}, {machine}, {record['threads']} threads, {versions}"
            told.setdefault(text, []).append(name)
        for text, names in told.items():
            yield f"{text}: {', '.join(names)}." if len(told) > 1 else f"{text}."


_PAGE = """# Models

Written by `python tests/python/models_page.py`, from the table of families, from the configurations behind
[the list of checkpoints](checkpoints.md), and from measurements in `bench/results/`.

Every family computes {dtypes}. Every family and head but those of Data2VecText, DeBERTa's first version,
EmbeddingGemma 2, ERNIE, ESM, Megatron-BERT, RemBERT, RoBERTa-PreLayerNorm, RoFormer, XLM-RoBERTa-XL, T5, UltraBERT,
Llama, Mistral and Qwen2 has run on an H200, small models of it; BERT in real sizes. No mixture of experts has. Heads of
more than 256 numbers, which the published EmbeddingGemma 2 has, are refused on `cuda`.
The classes are `BertModel`, and for the heads `BertForSequenceClassification`, `BertForTokenClassification`,
`BertForQuestionAnswering` (answers) and `BertForMaskedLM` (words); `Auto...` finds them. Of T5, mT5 and umT5 the
encoder is computed, and `AutoModel` gives that (`T5EncoderModel`), where transformers gives encoder and decoder. The
hidden states of T5's encoder outgrow float16: on a GPU take float32 or bfloat16.

{families}
## Parity

Small models of random configurations and weights, as many as "models" says, each over ten batches with every kind of
mask (`bench/parity.py`). The error is the largest of a model's last hidden states against float64 throughout; shown is
filbert's in float32 over that of torch's own float32, so 1 is as exact as `transformers`. Of one model, which of two
errors is larger is luck.

{parity}
## Speed

8 texts of 128 tokens and one of 512 in float32, a model of a published size with random weights, in turns with
onnxruntime, of its plain and its fused graph the better one, and with OpenVINO (`bench/compare.py`); medians, and the
ratio of filbert's to that of the faster of these. Families of the same maths share a model; `llama`, `mistral` and
`qwen2`, which have no norms of heads, stand with `qwen3`. GTE-base is without NTK scaling; some have a smaller
vocabulary than published, which changes no time.

{speed}
{sources}"""

if __name__ == "__main__":
    PAGE.write_text(page())
