"""Tasks beside the libraries that people use for them: reranking, sparse vectors, named entities.

    python bench/tasks.py                 # all three
    python bench/tasks.py --tasks rerank

A model of MiniLM's size with its weights and a head of random ones. 100 passages for a query, or 512 texts, whose
lengths in tokens are log-normal: a mean of 43, at most 256. All of it is timed, tokenising too. onnxruntime is given
what a careful program does: passages sorted by length, in padded batches of 32. Sparse vectors also get the memory that
a process has at most, beside one that computes the vectors of the same texts with the base model.
"""

import argparse
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from engines import each_precision, onnxruntime_session, quiet
from exports import fuse, minilm_folder, once, quantize
from machine import default_output, save
from protocol import interleave
from ragged import texts_of

Runs = dict[str, Callable[[], Any]]

PASSAGES, TEXTS, BATCH = 100, 512, 32
TASKS = ("rerank", "sparse", "entities")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=5.0, help="for each row of a table")
    parser.add_argument("--work", type=Path, default=Path("work"), help="where models are made, once")
    parser.add_argument("--output", type=Path, default=default_output("cpu-tasks"))
    parser.add_argument("--peak-of", choices=("base", "sparse"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    quiet(args.threads)
    args.work.mkdir(parents=True, exist_ok=True)
    if args.peak_of:
        print(peak_of(args.peak_of, args.work, args.threads))
        return
    results: dict[str, Any] = {}
    for task in args.tasks:
        runs = {"rerank": rerank, "sparse": sparse, "entities": entities}[task](args.work, args.threads)
        medians = {name: statistics.median(times) for name, times in interleave(runs, args.seconds).items()}
        best = min(value for name, value in medians.items() if not name.startswith("filbert"))
        print(f"{task}:")
        for name, value in medians.items():
            print(f"  {name:<32}{value:10.1f} ms  {best / value:5.2f}x the best of the others", flush=True)
        results[task] = {"p50_ms": medians}
        if task == "sparse":
            peaks = {kind: measured_peak(kind, args.work, args.threads) for kind in ("base", "sparse")}
            print(f"  peak memory {peaks['sparse']} MB, of the base model {peaks['base']} MB")
            results[task]["peak_mb"] = peaks
    save(args.output, args.threads, {"results": results})


def texts(count: int) -> list[str]:
    from filbert import AutoTokenizer
    from filbert.bench import ragged_lengths

    lengths = np.random.default_rng(0).permutation(ragged_lengths())[:count].tolist()
    return texts_of(AutoTokenizer.from_pretrained(minilm_folder()), lengths)


def with_head(work: Path, head: str, **settings: Any) -> Path:
    """MiniLM with a head of random weights."""

    def make(folder: Path) -> None:
        import torch
        import transformers

        torch.manual_seed(0)
        model = getattr(transformers, f"BertFor{head}").from_pretrained(minilm_folder(), **settings).eval()
        tokenizer = transformers.AutoTokenizer.from_pretrained(minilm_folder())
        if head == "MaskedLM":  # as sparse as what was trained: a text has some 150 words
            with torch.no_grad():
                largest = model(**tokenizer(texts(1), return_tensors="pt")).logits[0].max(0).values
                model.cls.predictions.bias -= largest.sort(descending=True).values[150]
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)

    return once(work / f"MiniLM-{head}", make)


def rerank(work: Path, threads: int) -> Runs:
    import torch
    from sentence_transformers import CrossEncoder

    import filbert

    folder = with_head(work, "SequenceClassification", num_labels=1)
    query, *passages = texts(PASSAGES + 1)
    pairs = [(query, passage) for passage in passages]
    torch.set_num_threads(threads)
    peer = CrossEncoder(str(folder), device="cpu", model_kwargs={"dtype": torch.float32})
    runs: Runs = {"sentence-transformers float32": lambda: peer.predict(pairs, show_progress_bar=False)}
    graph = once(work / "MiniLM-SequenceClassification.onnx", lambda path: export_logits(folder, path))
    fused = once(work / "MiniLM-SequenceClassification.fused.onnx", lambda path: fuse(graph, folder, path))
    for name, source in (("", graph), (" fused", fused)):
        small = once(source.with_suffix(".int8.onnx"), lambda path, source=source: quantize(source, path))
        runs[f"onnxruntime{name} float32"] = onnxruntime_scores(source, folder, pairs, threads)
        runs[f"onnxruntime{name} int8"] = onnxruntime_scores(small, folder, pairs, threads)
    encoders = each_precision(
        lambda precision: filbert.CrossEncoder.from_pretrained(folder, dtype=precision, num_threads=threads)
    )
    for precision, encoder in encoders.items():
        runs[f"filbert {precision}"] = lambda encoder=encoder: encoder.predict(pairs, show_progress_bar=False)
    expected = runs["sentence-transformers float32"]()
    for name, run in runs.items():
        limit = 1e-4 if name.endswith("float32") else 0.2
        if np.abs(np.ravel(run()) - expected).max() > limit:
            raise SystemExit(f"{name}: scores differ from those of sentence-transformers by more than {limit}")
    return runs


def export_logits(folder: Path, path: Path) -> None:
    import torch
    import transformers

    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder, attn_implementation="eager")

    class Logits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
            return self.model(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids).logits

    ids = torch.ones((2, 16), dtype=torch.int64)
    names = ["input_ids", "attention_mask", "token_type_ids"]
    torch.onnx.export(
        Logits().eval(),
        (ids, torch.ones_like(ids), torch.zeros_like(ids)),
        path,
        input_names=names,
        output_names=["logits"],
        dynamic_axes={name: {0: "batch", 1: "sequence"} for name in names} | {"logits": {0: "batch"}},
        opset_version=17,
        dynamo=False,
    )


def onnxruntime_scores(graph: Path, folder: Path, pairs: list[tuple[str, str]], threads: int) -> Callable[[], Any]:
    from tokenizers import Tokenizer

    session = onnxruntime_session(graph, threads)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(512)

    def run() -> Any:
        encodings = tokenizer.encode_batch(pairs)
        order = sorted(range(len(pairs)), key=lambda index: -len(encodings[index].ids))
        scores = np.empty(len(pairs), np.float32)
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            shape = (len(batch), len(encodings[batch[0]].ids))
            inputs = {name: np.zeros(shape, np.int64) for name in ("input_ids", "attention_mask", "token_type_ids")}
            for row, index in enumerate(batch):
                length = len(encodings[index].ids)
                inputs["input_ids"][row, :length] = encodings[index].ids
                inputs["token_type_ids"][row, :length] = encodings[index].type_ids
                inputs["attention_mask"][row, :length] = 1
            scores[batch] = session.run(None, inputs)[0][:, 0]
        return 1 / (1 + np.exp(-scores))

    return run


def sparse(work: Path, threads: int) -> Runs:
    import torch
    from sentence_transformers import SparseEncoder

    import filbert

    folder, some = with_head(work, "MaskedLM"), texts(TEXTS)
    torch.set_num_threads(threads)
    peer = SparseEncoder(str(folder), device="cpu", model_kwargs={"dtype": torch.float32})
    runs: Runs = {"sentence-transformers float32": lambda: peer.encode(some, show_progress_bar=False)}
    for precision, encoder in each_precision(
        lambda precision: filbert.SparseEncoder.from_pretrained(folder, dtype=precision, num_threads=threads)
    ).items():
        runs[f"filbert {precision}"] = lambda encoder=encoder: encoder.encode(some, show_progress_bar=False)
    return runs


def peak_of(kind: str, work: Path, threads: int) -> int:
    """Megabytes that this process has at most while it encodes the texts."""
    import filbert

    folder, some = with_head(work, "MaskedLM"), texts(TEXTS)
    maker = filbert.SparseEncoder if kind == "sparse" else filbert.SentenceEncoder
    maker.from_pretrained(folder, num_threads=threads).encode(some, show_progress_bar=False)
    # Not getrusage: what it says goes back to the process that started this one.
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


def measured_peak(kind: str, work: Path, threads: int) -> int:
    command = [sys.executable, __file__, "--peak-of", kind, "--work", str(work), "--threads", str(threads)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def entities(work: Path, threads: int) -> Runs:
    import torch
    import transformers

    import filbert

    folder, some = with_head(work, "TokenClassification", num_labels=9), texts(TEXTS)
    torch.set_num_threads(threads)
    options = {"aggregation_strategy": "simple"}
    peer = transformers.pipeline("token-classification", model=str(folder), device="cpu", dtype="float32", **options)
    runs: Runs = {
        f"transformers float32, batches of {size}": lambda size=size: peer(some, batch_size=size) for size in (1, BATCH)
    }
    for precision in ("float32", "bfloat16", "int8"):
        own = filbert.pipeline("ner", folder, dtype=precision, num_threads=threads, **options)
        runs[f"filbert {precision}"] = lambda own=own: own(some, show_progress_bar=False)
    return runs


if __name__ == "__main__":
    main()
