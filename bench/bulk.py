"""Bulk jobs beside a plain `encode` of the same texts: rows a second, and the memory that a job takes.

    python bench/bulk.py --rows 1000000 --dtype int8

Short texts (about ten tokens) of MiniLM's words, from a file of lines into parts. Each turn is a process of its own,
plain and bulk one after the other, `--rounds` times; loading the model is not counted, planning, fingerprint and
writing are. Memory is what is resident, sampled every 20 ms, at most while each shard was done.
"""

import argparse
import multiprocessing
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from engines import quiet
from exports import minilm_folder
from machine import default_output, save

SAMPLE = 0.02  # seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=str(minilm_folder()), help="a folder or hub id (default: MiniLM)")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--shard-rows", type=int, default=65_536)
    parser.add_argument("--format", default="parquet")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--output", type=Path, default=default_output("cpu-bulk"))
    args = parser.parse_args()
    quiet(args.threads)
    turns: dict[str, list[dict[str, Any]]] = {"plain": [], "bulk": []}
    with tempfile.TemporaryDirectory() as work:
        source = Path(work) / "texts.txt"
        write_texts(source, args.rows)
        for number in range(args.rounds):
            for name, turn in (("plain", plain), ("bulk", bulk)):
                found = in_a_process(turn, args, source, Path(work) / f"out {number}")
                turns[name].append(found)
                print(
                    f"{name:<6} {found['rows_per_second']:9.0f} rows/s, {found['cpu_microseconds_a_row']:7.1f} us of "
                    f"all cores a row, {found['megabytes'][-1]:.0f} MB",
                    flush=True,
                )
    rates = {name: statistics.median(each["rows_per_second"] for each in found) for name, found in turns.items()}
    first, *later = turns["bulk"][-1]["megabytes"]
    print(f"bulk has {rates['bulk'] / rates['plain']:.3f} of the rate of plain encode")
    print(f"memory: {first:.0f} MB at most in the first shard, {max(later, default=first):.0f} MB in those after it")
    save(
        args.output,
        args.threads,
        {key: getattr(args, key) for key in ("rows", "shard_rows", "format", "dtype")}
        | {"model": Path(args.model).name, "turns": turns},
    )


def write_texts(path: Path, rows: int) -> None:
    words = [word for word in (minilm_folder() / "vocab.txt").read_text(encoding="utf-8").split() if word.isalpha()]
    draw = np.random.default_rng(0)
    with open(path, "w", encoding="utf-8") as file:
        for count in draw.integers(4, 13, rows):
            file.write(" ".join(words[index] for index in draw.integers(0, len(words), count)) + "\n")


def in_a_process(turn: Callable[..., None], args: argparse.Namespace, source: Path, out: Path) -> dict[str, Any]:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=turn, args=(there, args, source, out))
    process.start()
    found: dict[str, Any] = here.recv()
    process.join()
    return found


def plain(reply: Any, args: argparse.Namespace, source: Path, out: Path) -> None:
    encoder = load(args)
    clock = Clock(args.rows)
    encoder.encode(source.read_text(encoding="utf-8").splitlines(), show_progress_bar=False)
    reply.send({**clock.read(), "megabytes": [resident()]})


def bulk(reply: Any, args: argparse.Namespace, source: Path, out: Path) -> None:
    from filbert import bulk

    encoder = load(args)
    peaks: dict[int, float] = {}
    done = threading.Event()

    def sample() -> None:
        while not done.wait(SAMPLE):
            parts = len(list(out.glob("part-*")))
            peaks[parts] = max(peaks.get(parts, 0.0), resident())

    sampler = threading.Thread(target=sample)
    sampler.start()
    clock = Clock(args.rows)
    bulk.encode(encoder, source, out, format=args.format, shard_rows=args.shard_rows, show_progress_bar=False)
    figures = clock.read()
    done.set()
    sampler.join()
    reply.send({**figures, "megabytes": [peaks[parts] for parts in sorted(peaks)]})


class Clock:
    """What some rows take from now on, by the wall and of all cores: the latter hardly depends on other programs."""

    def __init__(self, rows: int) -> None:
        self._rows, self._wall, self._cpu = rows, time.perf_counter(), time.process_time()

    def read(self) -> dict[str, float]:
        cpu, wall = time.process_time() - self._cpu, time.perf_counter() - self._wall
        return {"rows_per_second": self._rows / wall, "cpu_microseconds_a_row": 1e6 * cpu / self._rows}


def load(args: argparse.Namespace) -> Any:
    from filbert import SentenceEncoder

    encoder = SentenceEncoder.from_pretrained(args.model, dtype=args.dtype, num_threads=args.threads)
    encoder.encode(["warm"] * 100, show_progress_bar=False)
    return encoder


def resident() -> float:
    """Megabytes of this process in memory."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1e3


if __name__ == "__main__":
    main()
