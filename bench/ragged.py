"""Texts of many lengths: filbert beside sentence-transformers, and what raggedness costs filbert.

    python bench/ragged.py --bench-ops build/release/bench/bench_ops

512 texts of MiniLM's own words whose lengths in tokens are log-normal: a mean of 43, at most 256. sentence-transformers
sorts them by length and pads batches of 32; it is timed in float32 and in bfloat16 (int8 is compared with its float32).
Besides the rate, with tokenising and (filbert) of the model alone: how many vectors change bits when a text is encoded
alone, and the time of as many tokens in sequences of equal length.
"""

import argparse
import statistics
from pathlib import Path
from typing import Any

import numpy as np

from cases import Sizes, flops
from engines import each_precision, quiet
from exports import minilm_folder
from machine import PEAK_OF, Peaks, default_output, higher, measure_peaks, save
from protocol import interleave, row_cosines

REFERENCE = "sentence-transformers float32"
PEER_OF = {"float32": REFERENCE, "bfloat16": "sentence-transformers bfloat16", "int8": REFERENCE}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=3.0, help="for each row of the table")
    parser.add_argument("--bench-ops", type=Path, help="the C++ program bench_ops, for shares of the machine's peak")
    parser.add_argument("--output", type=Path, default=default_output("cpu-ragged"))
    args = parser.parse_args()
    quiet(args.threads)

    from sentence_transformers import SentenceTransformer

    from filbert import SentenceEncoder
    from filbert.bench import packed_batches, ragged_lengths, run_packed

    folder = minilm_folder()
    lengths = ragged_lengths().tolist()
    even = equal_lengths(lengths)
    encoders = each_precision(
        lambda precision: SentenceEncoder.from_pretrained(folder, dtype=precision, num_threads=args.threads)
    )
    tokenizer = next(iter(encoders.values())).tokenizer
    texts = texts_of(tokenizer, lengths)
    ids = [np.array(row) for row in tokenizer(texts)["input_ids"]]
    even_ids = np.split(np.concatenate(ids), np.cumsum(even)[:-1])

    encodes, runs = {}, {}
    for name in dict.fromkeys(PEER_OF.values()):
        peer = sentence_transformer(SentenceTransformer, folder, precision_of(name), args.threads)
        encodes[name] = lambda texts, peer=peer: peer.encode(texts, batch_size=32, show_progress_bar=False)
        runs[name] = lambda name=name: encodes[name](texts)
    for precision, encoder in encoders.items():
        name = f"filbert {precision}"
        encodes[name] = lambda texts, encoder=encoder: encoder.encode(texts, show_progress_bar=False)
        runs[name] = lambda name=name: encodes[name](texts)
        for title, sequences in ((", model alone", ids), (", equal lengths", even_ids)):
            batches = packed_batches(sequences)
            runs[name + title] = lambda model=encoder.model, batches=batches: run_packed(model, batches)

    accuracy = {name: agreement(name, encode, encodes[REFERENCE], texts) for name, encode in encodes.items()}
    peaks: Peaks = measure_peaks(args.bench_ops, args.threads) if args.bench_ops else {}
    medians = {name: statistics.median(times) for name, times in interleave(runs, args.seconds).items()}
    if args.bench_ops:
        peaks = higher(peaks, measure_peaks(args.bench_ops, args.threads))
    sizes = Sizes.of(folder)
    work = {name: flops(sizes, even if name.endswith("equal lengths") else lengths) for name in runs}
    rows = []
    for name, value in medians.items():
        row: dict[str, Any] = {"name": name, "p50_ms": value, "tokens_per_second": 1e3 * sum(lengths) / value}
        row["ratio_to_peer"] = value / medians[PEER_OF[precision_of(name)]]
        peak = peaks.get(PEAK_OF[precision_of(name)])
        if peak:
            row["share_of_peak"] = work[name] / value / 1e6 / peak
        rows.append(row | accuracy.get(name, {}))
        print_row(rows[-1])
    cost = {precision: ragged_cost(f"filbert {precision}", medians, work) for precision in encoders}
    for precision, ratio in cost.items():
        print(
            f"filbert {precision}: ragged over equal lengths {ratio['time']:.3f} in time, {ratio['flops']:.3f} in work"
        )
    lengths_found = {"texts": len(lengths), "tokens": sum(lengths), "longest": max(lengths)}
    save(args.output, args.threads, {"lengths": lengths_found, "peaks": peaks, "results": rows, "ragged_cost": cost})


def precision_of(name: str) -> str:
    return name.split()[1].strip(",")


def sentence_transformer(make: Any, folder: Path, precision: str, threads: int) -> Any:
    import torch

    torch.set_num_threads(threads)
    return make(str(folder), device="cpu", model_kwargs={"dtype": getattr(torch, precision)})


def equal_lengths(lengths: list[int]) -> list[int]:
    """As many sequences with as many tokens, as even as can be."""
    each, more = divmod(sum(lengths), len(lengths))
    return [each + (index < more) for index in range(len(lengths))]


def texts_of(tokenizer: Any, lengths: list[int]) -> list[str]:
    """Random texts of exactly these lengths in tokens, [CLS] and [SEP] included."""
    vocabulary = tokenizer.get_vocab()
    candidates = sorted(word for word in vocabulary if word.isascii() and word.isalpha() and word.islower())
    special = 2
    encoded = tokenizer(candidates)["input_ids"]
    words = [word for word, row in zip(candidates, encoded, strict=True) if row[1:-1] == [vocabulary[word]]]
    generator = np.random.default_rng(0)
    texts = [" ".join(generator.choice(words, length - special)) for length in lengths]
    found = [len(row) for row in tokenizer(texts)["input_ids"]]
    if found != lengths:
        raise SystemExit("the tokenizer does not give the texts the lengths they are made for")
    return texts


def agreement(name: str, encode: Any, reference: Any, texts: list[str]) -> dict[str, float]:
    """The lowest cosine with the peer's vectors (too low ends the run) and the share of vectors that differ alone."""
    together = encode(texts)
    alone = np.stack([encode([text])[0] for text in texts])
    cosine = float(row_cosines(together, reference(texts)).min())
    limit = 0.99999 if name.endswith("float32") else 0.99
    if cosine < limit:
        raise SystemExit(f"{name}: cosine {cosine:.6f} with {REFERENCE}, expected at least {limit}")
    changed = (together.view(np.uint32) != alone.view(np.uint32)).any(axis=1).mean()
    return {"min_cosine": cosine, "changed_rows": float(changed)}


def ragged_cost(name: str, medians: dict[str, float], work: dict[str, int]) -> dict[str, float]:
    """The ragged set over the same tokens in equal lengths: in time, and (attention grows with length) in work."""
    ragged, equal = f"{name}, model alone", f"{name}, equal lengths"
    return {"time": medians[ragged] / medians[equal], "flops": work[ragged] / work[equal]}


def print_row(row: dict[str, Any]) -> None:
    share = f"  {row['share_of_peak']:4.0%} of peak" if "share_of_peak" in row else ""
    changed = f"  {row['changed_rows']:6.1%} change bits alone" if "changed_rows" in row else ""
    print(
        f"{row['name']:<32}{row['p50_ms']:10.1f} ms {row['tokens_per_second']:10,.0f} tokens/s "
        f"{row['ratio_to_peer']:6.2f}{share}{changed}",
        flush=True,
    )


if __name__ == "__main__":
    main()
