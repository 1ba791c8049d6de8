"""filbert beside the libraries people use instead, on the CPU: same threads, one interleaved run.

    pip install ".[bench]"
    python bench/compare.py --work /tmp/filbert-bench --bench-ops build/release/bench/bench_ops

Batches of equal length, every token a real one, last_hidden_state out. Each engine's output is checked against that of
torch in float32 before it is timed: a peer that is wrong or missing is reported and left out, filbert being wrong ends
the run. protocol.py says how engines take turns; all are in this process or, with --isolated, each in its own. With
--bench-ops, turns while the machine was slow are left out. Everything takes about 15 minutes on two cores.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cases import ALL_MODELS, MODELS, PRECISIONS, Sizes, flops, memory_floor_ms, parse_case
from engines import ENGINES, LIBRARIES, Forward, Spec, quiet, torch_engine
from exports import ModelFiles
from gate import Gate
from isolated import Isolated
from machine import PEAK_OF, YARDSTICK_OF, Peaks, default_output, higher, measure_peaks, save
from protocol import (
    FAST,
    FEWEST_ROUNDS,
    PAUSE,
    TURN,
    Turn,
    fast_turns,
    interleave_turns,
    row_cosines,
    summarize,
    take_turn,
)
from result_tables import comparison

# The lowest cosine of a token's vector with that of torch in float32. These catch a wrong graph, and a lower precision
# than is claimed; what a precision costs in accuracy is measured by accuracy.py. The tokens are random, which int8
# with one scale for a whole tensor takes badly.
LIMITS = {"float32": 0.99999, "bfloat16": 0.99, "int8": 0.8}


def main() -> None:
    args = parse_arguments()
    quiet(args.threads)
    peaks: Peaks = {}
    rate = None
    if args.bench_ops:
        peaks = measure_peaks(args.bench_ops, args.threads)
        rate = Gate(args.bench_ops, args.threads).rate
    results: list[dict[str, Any]] = []
    left_out: list[dict[str, str]] = []
    for model in args.models:
        results += run_model(ModelFiles(model, args.work), args, rate, left_out)
    if args.bench_ops:
        peaks = higher(peaks, measure_peaks(args.bench_ops, args.threads))
        add_shares(results, peaks)
    record = save(
        args.output,
        args.threads,
        {
            "protocol": {
                "pause_s": PAUSE,
                "untimed_runs_a_turn": 1,
                "turn_s": TURN,
                "isolated": args.isolated,
                "seconds_an_engine_and_case": args.seconds,
                "fewest_rounds": FEWEST_ROUNDS,
                "rate_of_turns_that_count": FAST if rate else None,
                "cosine_limits": LIMITS,
            },
            "peaks": peaks,
            "left_out": left_out,
            "summary": summary(results),
            "results": results,
        },
    )
    print("\n".join(["", *comparison(record)]))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=ALL_MODELS, default=MODELS)
    parser.add_argument("--precision", nargs="+", choices=PRECISIONS, default=PRECISIONS)
    parser.add_argument("--engines", nargs="+", choices=LIBRARIES, default=LIBRARIES)
    parser.add_argument("--cases", nargs="+", default=["1x8", "1x32", "1x128", "1x512", "8x128", "32x128"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=3.0, help="for each engine and case")
    parser.add_argument("--isolated", action="store_true", help="a process for each engine")
    parser.add_argument("--work", type=Path, default=Path("build/bench"), help="keeps exported models between runs")
    parser.add_argument("--bench-ops", type=Path, help="the C++ program bench_ops, for shares of the machine's peak")
    parser.add_argument("--output", type=Path, default=default_output("cpu"))
    args = parser.parse_args()
    try:
        args.cases = [parse_case(case) for case in args.cases]
    except ValueError as error:
        parser.error(f"--cases: {error}")
    return args


def run_model(
    files: ModelFiles, args: argparse.Namespace, rate: Callable[[], float] | None, left_out: list[dict[str, str]]
) -> list[dict[str, Any]]:
    """The rows of one model: engines of all precisions take their turns together."""
    reference = torch_engine(files.folder(), "float32", args.threads)
    chosen = [spec for spec in ENGINES if spec.library in args.engines and spec.precision in args.precision]
    engines = load(chosen, files, args, reference, left_out)
    sizes = Sizes.of(files.folder())
    rows = []
    for batch, length in args.cases:
        case = f"{batch}x{length}"
        ids = np.random.default_rng(0).integers(0, sizes.vocabulary, (batch, length))
        cosines = check(engines, files.name, case, ids, reference(ids), left_out)
        turns = {spec: turn_of(engines[spec], ids) for spec in cosines}
        taken = interleave_turns(turns, args.seconds, rate or (lambda: 0.0))
        kept = fast_turns(taken)
        for precision in args.precision:
            row = {"model": files.name, "case": case, "batch": batch, "length": length, "precision": precision}
            row["flops"] = flops(sizes, [length] * batch)
            row["engines"] = {
                spec.name: {**figures_of_turns(kept[spec], len(taken[spec])), **cosines[spec]}
                for spec in cosines
                if spec.precision == precision
            }
            row |= ratios(row["engines"])
            row["sizes"] = vars(sizes)
            rows.append(row)
            print(line(row), flush=True)
    for engine in engines.values():
        if isinstance(engine, Isolated):
            engine.close()
    return rows


def load(
    specs: list[Spec],
    files: ModelFiles,
    args: argparse.Namespace,
    reference: Forward,
    left_out: list[dict[str, str]],
) -> dict[Spec, Forward]:
    """The engines that can be had. Those that cannot are reported."""
    from filbert import DeviceError

    engines = {}
    for spec in specs:
        if (spec.library, spec.precision) == ("torch", "float32") and not args.isolated:
            engines[spec] = reference
            continue
        try:
            engines[spec] = Isolated(spec, files, args.threads) if args.isolated else spec.load(files, args.threads)
        except DeviceError as error:
            leave_out(left_out, spec, files.name, "all", f"not available: {error}")
        except Exception as error:
            if spec.library == "filbert":
                raise
            leave_out(left_out, spec, files.name, "all", f"does not load: {type(error).__name__}: {error}")
    return engines


def check(
    engines: dict[Spec, Forward],
    model: str,
    case: str,
    ids: np.ndarray,
    expected: np.ndarray,
    left_out: list[dict[str, str]],
) -> dict[Spec, dict[str, float]]:
    """The lowest and the mean cosine of token vectors to torch's in float32, of the engines that pass."""
    passed = {}
    for spec, forward in engines.items():
        try:
            found = forward(ids)
            if found.shape != expected.shape:
                raise ValueError(f"found shape {list(found.shape)}, expected {list(expected.shape)}")
            cosines = row_cosines(found, expected)
            if not cosines.min() >= LIMITS[spec.precision]:
                raise ValueError(
                    f"the cosine of a token with torch in float32 is {cosines.min():.6f}, "
                    f"expected at least {LIMITS[spec.precision]}"
                )
        except Exception as error:
            if spec.library == "filbert":
                raise SystemExit(f"filbert {spec.precision}, {model} {case}: {error}") from error
            leave_out(left_out, spec, model, case, f"{type(error).__name__}: {error}")
        else:
            passed[spec] = {"min_cosine": float(cosines.min()), "mean_cosine": float(cosines.mean())}
    return passed


def leave_out(left_out: list[dict[str, str]], spec: Spec, model: str, case: str, reason: str) -> None:
    reason = " ".join(reason.split())[:300]
    left_out.append({"engine": spec.name, "precision": spec.precision, "model": model, "case": case, "reason": reason})
    print(f"left out: {spec.name} {spec.precision}, {model}, case {case}: {reason}", flush=True)


def turn_of(engine: Forward, ids: np.ndarray) -> Callable[[], list[float]]:
    return partial(engine.turn, ids) if isinstance(engine, Isolated) else partial(take_turn, partial(engine, ids))


def figures(times: list[float]) -> dict[str, float]:
    from filbert.bench import percentiles

    return {**percentiles(times), "runs": len(times)}


def figures_of_turns(kept: list[Turn], taken: int) -> dict[str, float]:
    times = [time for turn in kept for time in turn.times]
    return {**figures(times), "turns": len(kept), "slow_turns_left_out": taken - len(kept)}


def ratios(engines: dict[str, dict[str, float]]) -> dict[str, Any]:
    """filbert's median over each peer's, and the peer with the lowest. Empty without filbert or without a peer."""
    peers = {name: values["p50_ms"] for name, values in engines.items() if name != "filbert"}
    if "filbert" not in engines or not peers:
        return {}
    own = engines["filbert"]["p50_ms"]
    best = min(peers, key=lambda name: peers[name])
    return {
        "best_peer": best,
        "ratio_to_best_peer": own / peers[best],
        "ratios": {name: own / value for name, value in peers.items()},
    }


def summary(results: list[dict[str, Any]]) -> dict[str, Any]:
    """By precision: filbert's time relative to the best peer of each case, and to each peer in all its cases."""
    found: dict[str, Any] = {}
    for precision in dict.fromkeys(row["precision"] for row in results):
        rows = [row for row in results if row["precision"] == precision and "ratios" in row]
        if not rows:
            continue
        columns = {"best peer": {title(row): row["ratio_to_best_peer"] for row in rows}}
        for name in dict.fromkeys(name for row in rows for name in row["ratios"]):
            columns[name] = {title(row): row["ratios"][name] for row in rows if name in row["ratios"]}
        found[precision] = {name: summarize(values) for name, values in columns.items()}
    return found


def title(row: dict[str, Any]) -> str:
    return f"{row['model']} {row['case']}"


def add_shares(results: list[dict[str, Any]], peaks: Peaks) -> None:
    """Each engine's share of the peak and of the yardstick of its precision, where the machine has them; for one short
    text its time over that to read the weights."""
    for row in results:
        peak = peaks.get(PEAK_OF[row["precision"]])
        yardstick = peaks.get(YARDSTICK_OF[row["precision"]])
        floor = memory_floor_ms(Sizes(**row["sizes"]), row["precision"], peaks["read_gbps"])
        for values in row["engines"].values():
            if peak:
                values["share_of_peak"] = row["flops"] / values["p50_ms"] / 1e6 / peak
            if yardstick:
                values["share_of_yardstick"] = row["flops"] / values["p50_ms"] / 1e6 / yardstick
            if row["case"] == "1x8":
                values["ratio_to_memory_floor"] = values["p50_ms"] / floor


def line(row: dict[str, Any]) -> str:
    times = "  ".join(f"{name} {values['p50_ms']:.2f}" for name, values in row["engines"].items())
    ratio = f"   filbert / {row['best_peer']} {row['ratio_to_best_peer']:.2f}" if "ratios" in row else ""
    return f"{title(row):<17} {row['precision']:<8}  {times}{ratio}"


if __name__ == "__main__":
    main()
