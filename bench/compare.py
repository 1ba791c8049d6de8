"""filbert beside transformers and onnxruntime, float32, same threads, interleaved in one run.

    pip install ".[bench]"
    python bench/compare.py --output results.json

Every engine's output is checked against torch's before anything is timed. In each round each engine has a turn, in a
shuffled order, so that a slow spell of the machine falls on all of them. A turn is a pause, in which the threads of the
engine before stop spinning, a run that does not count, and then runs for a tenth of a second. The table gives medians.
"""

import argparse
import json
import platform
import random
import statistics
import tempfile
import time
from datetime import date
from importlib.metadata import version
from pathlib import Path

import numpy as np

from engines import BERT_BASE, MINILM, engines, limit_threads

PAUSE, TURN = 0.05, 0.1  # seconds
CASES = [(1, 8), (1, 32), (1, 128), (1, 512), (8, 128), (32, 128)]


def check(name, found, expected):
    """float32 through 6 or 12 layers: the libraries agree to about 1e-5; 1e-3 catches a wrong graph."""
    error = float(np.abs(found - expected).max())
    if error > 1e-3:
        raise SystemExit(f"{name} differs from torch by {error:.1e}")
    return error


def time_case(forwards, ids, seconds):
    """Median milliseconds of each engine."""
    times = {name: [] for name in forwards}
    end = time.perf_counter() + seconds * len(forwards)
    order = list(forwards)
    while time.perf_counter() < end or len(times[order[0]]) < 3:
        random.shuffle(order)
        for name in order:
            time.sleep(PAUSE)
            forwards[name](ids)
            turn_end = time.perf_counter() + TURN
            while not times[name] or time.perf_counter() < turn_end:
                begin = time.perf_counter()
                forwards[name](ids)
                times[name].append(1e3 * (time.perf_counter() - begin))
    return {name: statistics.median(values) for name, values in times.items()}


def run_model(name, work, threads, seconds):
    forwards = dict(engines(name, work, threads))
    results = []
    for batch, length in CASES:
        ids = np.random.default_rng(0).integers(0, 30522, (batch, length))
        expected = forwards["torch"](ids)
        for other in forwards:
            check(other, forwards[other](ids), expected)
        medians = time_case(forwards, ids, seconds)
        best = min(value for other, value in medians.items() if other != "filbert")
        row = {
            "model": name,
            "case": f"{batch}x{length}",
            "ms": medians,
            "ratio_to_torch": medians["filbert"] / medians["torch"],
            "ratio_to_best": medians["filbert"] / best,
        }
        results.append(row)
        line = "  ".join(f"{other} {value:8.2f}" for other, value in medians.items())
        print(
            f"{name:10} {row['case']:<7} {line}   filbert/torch {row['ratio_to_torch']:.2f}  "
            f"filbert/best {row['ratio_to_best']:.2f}",
            flush=True,
        )
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=3.0, help="per engine and case")
    parser.add_argument("--output", type=Path, help="a JSON file for the results")
    parser.add_argument("--work", type=Path, help="a folder that keeps exported models between runs")
    args = parser.parse_args()
    limit_threads(args.threads)
    work = args.work or Path(tempfile.mkdtemp(prefix="filbert-bench-"))
    work.mkdir(parents=True, exist_ok=True)

    print("milliseconds, medians; padded batches of equal length, last_hidden_state out")
    results = [row for name in (MINILM, BERT_BASE) for row in run_model(name, work, args.threads, args.seconds)]
    for key in ("ratio_to_torch", "ratio_to_best"):
        mean = statistics.geometric_mean(row[key] for row in results)
        print(f"geometric mean of {key}: {mean:.2f}, worst {max(row[key] for row in results):.2f}")
    if args.output:
        from filbert import devices

        record = {
            "date": date.today().isoformat(),
            "machine": {"processor": devices()[0].description, "threads": args.threads, "system": platform.system()},
            "versions": {name: version(name) for name in ("filbert", "torch", "transformers", "onnxruntime", "numpy")},
            "unit": "ms, median",
            "results": results,
        }
        args.output.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
