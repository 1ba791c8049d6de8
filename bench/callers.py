"""filbert called by several Python threads at once, and with one thread of its own or several.

    python bench/callers.py --work /tmp/filbert-bench

Throughput at 1, 2 and 4 callers of one model, each sending one sequence at a time; and how much faster 8x128 gets with
all threads than with one.
"""

import argparse
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from cases import MODELS
from engines import each_precision, filbert_engine, quiet
from exports import ModelFiles
from machine import default_output, save
from protocol import PAUSE, interleave

CALLERS = (1, 2, 4)
LENGTHS = (32, 128)
SCALING_CASE = (8, 128)
VOCABULARY = 30522


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
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
            for length in LENGTHS:
                found = measure_callers(forward, length, args.seconds, args.rounds)
                callers.append({"model": name, "precision": precision, "length": length, "sequences_per_second": found})
                rates = "  ".join(f"{count} callers {rate:8.1f}/s" for count, rate in found.items())
                print(f"{name:<10} {precision:<8} 1x{length:<4} {rates}", flush=True)
            single = filbert_engine(folder, precision, 1)
            scaling.append({"model": name, "precision": precision, **measure_scaling(single, forward, args.seconds)})
            print(
                f"{name:<10} {precision:<8} {scaling[-1]['case']:<6} {args.threads} threads "
                f"{scaling[-1]['speedup']:.2f} times as fast as 1",
                flush=True,
            )
    save(args.output, args.threads, {"callers": callers, "scaling": scaling})


def measure_callers(
    forward: Callable[[np.ndarray], object], length: int, seconds: float, rounds: int
) -> dict[int, float]:
    """Sequences a second by the number of callers: medians of rounds in which each number has its turn."""
    ids = np.random.default_rng(0).integers(0, VOCABULARY, (1, length))
    rates: dict[int, list[float]] = {count: [] for count in CALLERS}
    for _ in range(rounds):
        for count in CALLERS:
            time.sleep(PAUSE)
            forward(ids)
            rates[count].append(throughput(lambda: forward(ids), count, seconds))
    return {count: statistics.median(values) for count, values in rates.items()}


def throughput(call: Callable[[], object], callers: int, seconds: float) -> float:
    """Calls a second of so many threads that call for so long."""
    done = [0] * callers
    start = threading.Barrier(callers + 1)

    def work(index: int) -> None:
        start.wait()
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            call()
            done[index] += 1

    threads = [threading.Thread(target=work, args=(index,)) for index in range(callers)]
    for thread in threads:
        thread.start()
    start.wait()
    begin = time.perf_counter()
    for thread in threads:
        thread.join()
    return sum(done) / (time.perf_counter() - begin)


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
