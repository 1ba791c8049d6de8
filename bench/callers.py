"""filbert called by several Python threads at once, and with one thread of its own or several.

    python bench/callers.py --work /tmp/filbert-bench

Throughput and latency at 1, 2, 4 and 8 callers of one model and at two callers each of two models, all sending one
sequence at a time; and how much faster 8x128 gets with all threads than with one.
"""

import argparse
import math
import statistics
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cases import MODELS, PRECISIONS
from engines import Forward, each_precision, filbert_engine, quiet
from exports import ModelFiles
from machine import default_output, save
from protocol import PAUSE, interleave

CALLERS = (1, 2, 4, 8)
TWO_MODELS = "2+2"
LENGTHS = (8, 32, 128)
SCALING_CASE = (8, 128)
VOCABULARY = 30522


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=PRECISIONS)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", type=Path, default=Path("build/bench"), help="keeps the models between runs")
    parser.add_argument("--output", type=Path, default=default_output("cpu-callers"))
    args = parser.parse_args()
    quiet(args.threads)
    callers: list[dict[str, Any]] = []
    scaling: list[dict[str, Any]] = []
    for name in args.models:
        folder = ModelFiles(name, args.work).folder()
        models = each_precision(lambda precision, folder=folder: filbert_engine(folder, precision, args.threads))
        for precision, forward in models.items():
            if precision not in args.precisions:
                continue
            other = filbert_engine(folder, precision, args.threads)
            for length in LENGTHS:
                found = measure_callers(forward, other, length, args.seconds, args.rounds)
                callers += [{"model": name, "precision": precision, "length": length, **each} for each in found]
                for each in found:
                    print(
                        f"{name:<10} {precision:<8} 1x{length:<4} {each['callers']:>3} callers "
                        f"{each['sequences_per_second']:8.1f}/s {each['relative']:6.2f}  "
                        f"p50 {each['p50_ms']:7.2f}  p99 {each['p99_ms']:7.2f} ms",
                        flush=True,
                    )
            single = filbert_engine(folder, precision, 1)
            scaling.append({"model": name, "precision": precision, **measure_scaling(single, forward, args.seconds)})
            print(
                f"{name:<10} {precision:<8} {scaling[-1]['case']:<6} {args.threads} threads "
                f"{scaling[-1]['speedup']:.2f} times as fast as 1",
                flush=True,
            )
    save(args.output, args.threads, {"callers": callers, "scaling": scaling})


def measure_callers(forward: Forward, other: Forward, length: int, seconds: float, rounds: int) -> list[dict[str, Any]]:
    """Medians of rounds in which each number of callers has its turn; latencies are those of the slowest caller."""
    ids = np.random.default_rng(0).integers(0, VOCABULARY, (1, length))
    cases = {str(count): [forward] * count for count in CALLERS} | {TWO_MODELS: [forward, forward, other, other]}
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, forwards in cases.items():
            time.sleep(PAUSE)
            for each in forwards:
                each(ids)
            found[name].append(measure([partial(each, ids) for each in forwards], seconds))
    rows = []
    for name, values in found.items():
        rate, p50, p99 = (statistics.median(column) for column in zip(*values, strict=True))
        rows.append({"callers": name, "sequences_per_second": rate, "p50_ms": p50, "p99_ms": p99})
    return [{**row, "relative": row["sequences_per_second"] / rows[0]["sequences_per_second"]} for row in rows]


def measure(calls: list[Callable[[], object]], seconds: float) -> tuple[float, float, float]:
    """Calls a second of all threads, one a call, and the largest p50 and p99 that one of them saw, in milliseconds."""
    times: list[list[float]] = [[] for _ in calls]
    start = threading.Barrier(len(calls) + 1)

    def work(index: int) -> None:
        start.wait()
        begin = time.perf_counter()
        end = begin + seconds
        while begin < end:
            calls[index]()
            now = time.perf_counter()
            times[index].append(1e3 * (now - begin))
            begin = now

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(calls))]
    for thread in threads:
        thread.start()
    start.wait()
    begin = time.perf_counter()
    for thread in threads:
        thread.join()
    rate = sum(map(len, times)) / (time.perf_counter() - begin)
    return rate, max(map(statistics.median, times)), max(percentile(each, 0.99) for each in times)


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[math.ceil(share * len(values)) - 1]


def measure_scaling(
    single: Callable[[np.ndarray], object], several: Callable[[np.ndarray], object], seconds: float
) -> dict[str, Any]:
    ids = np.random.default_rng(0).integers(0, VOCABULARY, SCALING_CASE)
    times = interleave({"single": lambda: single(ids), "several": lambda: several(ids)}, seconds)
    one, all_threads = (statistics.median(times[name]) for name in ("single", "several"))
    case = f"{SCALING_CASE[0]}x{SCALING_CASE[1]}"
    return {"case": case, "one_thread_ms": one, "all_threads_ms": all_threads, "speedup": one / all_threads}


if __name__ == "__main__":
    main()
