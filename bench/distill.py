"""A distilled MiniLM beside MiniLM: documents a second, and how well their cosines agree with people.

    python bench/distill.py --work work

The documents are those of `ragged.py`, 512 texts of 43 tokens in the mean, tokenising included. The judgements are
those of `human_sets.py`. model2vec and sentence-transformers run the files that filbert makes. What model2vec makes of
the same model is judged, too, with `--beside-model2vec`, which needs model2vec[distill].
"""

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np

from engines import each_precision, quiet
from exports import minilm_folder, once
from human_sets import agreement
from machine import default_output, save
from protocol import interleave
from ragged import sentence_transformer, texts_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=3.0, help="for each row of the table")
    parser.add_argument("--dims", type=int, nargs="+", default=[256, 64])
    parser.add_argument("--work", type=Path, default=Path("build/bench"), help="keeps static models between runs")
    parser.add_argument("--beside-model2vec", action="store_true", help="distil with model2vec, too")
    parser.add_argument("--output", type=Path, default=default_output("cpu-distill"))
    args = parser.parse_args()
    quiet(args.threads)
    args.work.mkdir(parents=True, exist_ok=True)
    from filbert import SentenceEncoder
    from filbert.bench import ragged_lengths

    folder = minilm_folder()
    encoders: dict[str, Any] = {
        f"filbert MiniLM {precision}": encoder
        for precision, encoder in each_precision(
            lambda precision: SentenceEncoder.from_pretrained(folder, dtype=precision, num_threads=args.threads)
        ).items()
    }
    seconds = {}
    for dims in args.dims:
        static, seconds[dims] = distilled(folder, dims, args.work, args.threads)
        encoders[f"filbert static {dims}"] = SentenceEncoder.from_pretrained(static, num_threads=args.threads)
    texts = texts_of(encoders["filbert MiniLM float32"].tokenizer, ragged_lengths().tolist())
    encodes = {
        name: lambda texts, encoder=encoder: encoder.encode(texts, show_progress_bar=False)
        for name, encoder in encoders.items()
    }
    encodes |= peers(args.work, args.dims[0], args.threads, encodes[f"filbert static {args.dims[0]}"], texts)
    runs = {name: lambda encode=encode: encode(texts) for name, encode in encodes.items()}
    medians = {name: statistics.median(times) for name, times in interleave(runs, args.seconds).items()}
    if args.beside_model2vec:
        encodes["model2vec's own"] = made_by_model2vec(folder, args.dims[0])
    baseline = medians["filbert MiniLM int8"]
    results: dict[str, Any] = {}
    for name, encode in encodes.items():
        quality = agreement(encode)
        row: dict[str, Any] = {"correlation": quality}
        line = "  ".join(f"{key} {value:.3f}" for key, value in quality.items())
        if name in medians:
            row |= {"documents_per_second": 1e3 * len(texts) / medians[name], "of_int8": baseline / medians[name]}
            line += f"  {row['documents_per_second']:10,.0f} documents/s, {row['of_int8']:6.2f} times MiniLM int8"
        print(f"{name:<36}{line}", flush=True)
        results[name] = row
    save(args.output, args.threads, {"texts": len(texts), "distilling_seconds": seconds, "results": results})


def distilled(folder: Path, dims: int, work: Path, threads: int) -> tuple[Path, float | None]:
    """The static model, and how long it took if it was made now."""
    from filbert import distill

    taken: list[float] = []

    def make(path: Path) -> None:
        begin = time.perf_counter()
        distill(folder, path, dims=dims, num_threads=threads)
        taken.append(time.perf_counter() - begin)

    static = once(work / f"MiniLM-static-{dims}", make)
    return static, taken[0] if taken else None


def peers(work: Path, dims: int, threads: int, ours: Any, texts: list[str]) -> dict[str, Any]:
    """The libraries that run the same files. Their vectors must be ours."""
    from model2vec import StaticModel
    from sentence_transformers import SentenceTransformer

    folder = work / f"MiniLM-static-{dims}"
    theirs = StaticModel.from_pretrained(folder)
    transformer = sentence_transformer(SentenceTransformer, folder, threads)
    found = {
        f"model2vec, static {dims}": theirs.encode,
        f"sentence-transformers, static {dims}": lambda texts: transformer.encode(texts, show_progress_bar=False),
    }
    for name, encode in found.items():
        difference = float(np.abs(encode(texts) - ours(texts)).max())
        if difference > 1e-5:
            raise SystemExit(f"{name}: a vector differs by {difference:.1e}, expected at most 1e-5")
    return found


def made_by_model2vec(folder: Path, dims: int) -> Any:
    from model2vec.distill import distill

    return distill(str(folder), pca_dims=dims, quantize_to="float32").encode


if __name__ == "__main__":
    main()
