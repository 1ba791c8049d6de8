"""filbert on a GPU beside transformers (SDPA), eager and compiled by torch with CUDA graphs: one interleaved run.

    python bench/bench_gpu.py --bench-ops build/release/bench/bench_ops

Random weights in the shapes of MiniLM-L6, BERT-base and BERT-large, in bfloat16 and float16. Ids in host memory in, one
vector a sequence in host memory out; each engine's tokens and vectors are checked against torch in float32 before it is
timed, and one that is wrong is not timed. Beside the times stand the floors and goals of gpu_cases.py at rates that
torch reaches in the same run. Without CUDA in torch, filbert is timed alone and floors are those of an H200.
torch.compile takes minutes for each model and precision: --engines filbert torch leaves it out.
"""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from compare import figures
from engines import quiet
from exports import random_bert
from gpu_cases import CASES, H200, MODELS, PRECISIONS, Batch, Case, Model, Rates, floor_ms, goal_ms
from gpu_engines import COMPILED, ENGINES, FILBERT, TORCH, Engine, FilbertEngine, filbert_model, no_filbert_cuda
from gpu_tables import kernel_lines, rates_table, results_table, yardstick_tables
from machine import default_output, save
from protocol import interleave, row_cosines

# The lowest cosine with torch in float32: of what is timed, the sequences' vectors, and of every token's. In bfloat16,
# which rounds each layer's outputs, vectors of a few tokens of BERT-large have 0.99989, of torch itself 0.99985.
LEAST_COSINES = {"vectors": 0.9998, "tokens": 0.999}
_WARM_UP = 5  # torch.compile records its graphs in the second run or the third

LeftOut = list[dict[str, str]]


def main(arguments: list[str] | None = None) -> int:
    args = parse_arguments(arguments)
    quiet(threads=1)
    from gpu_torch import no_torch_cuda

    missing = {FILBERT: "not asked for" if args.yardsticks_only else no_filbert_cuda(), TORCH: no_torch_cuda()}
    missing[COMPILED] = missing[TORCH]
    if missing[FILBERT] and missing[TORCH]:
        print(f"no GPU to measure: filbert: {missing[FILBERT]}; torch: {missing[TORCH]}", file=sys.stderr)
        return 2
    rates = measure_rates(missing[TORCH])
    record: dict[str, Any] = {"gpu": gpu(missing), "rates": asdict(rates), "left_out": [], "results": []}
    if not missing[TORCH]:
        record["yardsticks"] = measure_yardsticks()
    save(args.output, 1, record)  # as after each model: this machine may be taken away
    if args.bench_ops:
        record["kernels"] = measure_kernels(args.bench_ops, rates)
        save(args.output, 1, record)
    if not args.yardsticks_only:
        compare(args, missing, rates, record)
        print("\n".join(results_table(record)))
    return 1 if any(each["engine"] == FILBERT and "case" in each for each in record["left_out"]) else 0


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--precision", nargs="+", choices=PRECISIONS, default=PRECISIONS)
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=ENGINES)
    parser.add_argument("--cases", nargs="+", default=[case.name for case in CASES])
    parser.add_argument("--seconds", type=float, default=1.0, help="for each engine and case")
    parser.add_argument("--work", type=Path, default=Path("build/bench"), help="keeps models between runs")
    parser.add_argument("--bench-ops", type=Path, help="the C++ program bench_ops, for the table of kernels")
    parser.add_argument("--yardsticks-only", action="store_true", help="only what torch reaches; needs no filbert")
    parser.add_argument("--output", type=Path, default=default_output("gpu"))
    args = parser.parse_args(arguments)
    try:
        args.cases = [Case.parse(case) for case in args.cases]
    except ValueError as error:
        parser.error(f"--cases: {error}")
    return args


def gpu(missing: dict[str, str]) -> dict[str, object]:
    """The GPU as torch, filbert and the driver name it."""
    found: dict[str, object] = {}
    if not missing[TORCH]:
        import gpu_yardsticks

        found["torch"] = gpu_yardsticks.gpu()
    if not missing[FILBERT]:
        from filbert import devices

        found["filbert"] = next(device.description for device in devices() if device.name.startswith("cuda"))
    if shutil.which("nvidia-smi"):
        fields = "name,driver_version,clocks.sm,clocks.mem,clocks.max.sm,power.limit,temperature.gpu"
        command = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader", "--id=0"]
        values = subprocess.run(command, capture_output=True, text=True).stdout.strip().split(", ")
        found["nvidia-smi"] = dict(zip(fields.split(","), values, strict=False))
    return found


def measure_rates(no_torch: str) -> Rates:
    if no_torch:
        rates, origin = H200, f"those of an H200, not measured: {no_torch}"
    else:
        import gpu_yardsticks

        rates, origin = gpu_yardsticks.rates(), "measured with torch"
    print("\n".join(rates_table(rates, origin)), flush=True)
    return rates


def measure_yardsticks() -> dict[str, Any]:
    import gpu_yardsticks

    found = gpu_yardsticks.yardsticks()
    print("\n".join(yardstick_tables(found)), flush=True)
    return found


def measure_kernels(program: Path, rates: Rates) -> list[str]:
    done = subprocess.run([str(program), "--device", "cuda"], stdout=subprocess.PIPE, text=True, check=True)
    lines = kernel_lines(done.stdout.splitlines(), rates)
    print("\n".join(["", *lines]), flush=True)
    return lines


def compare(args: argparse.Namespace, missing: dict[str, str], rates: Rates, record: dict[str, Any]) -> None:
    """Adds the rows of each model to the record, and who could not run."""
    usable = []
    for engine in args.engines:
        if missing[engine]:
            leave_out(record["left_out"], {"engine": engine}, missing[engine])
        else:
            usable.append(engine)
    for name in args.models:
        for precision in args.precision:
            record["results"] += run_model(name, precision, usable, rates, args, record["left_out"])
            save(args.output, 1, record)


def run_model(
    name: str, precision: str, engines: list[str], rates: Rates, args: argparse.Namespace, left_out: LeftOut
) -> list[dict[str, Any]]:
    """The rows of a model in one precision."""
    from gpu_torch import TorchEngine, torch_model

    model = MODELS[name]
    folder = random_bert(args.work, name, model.sizes, model.heads)
    reference = torch_model(folder, "float32")
    makers: dict[str, Callable[[Batch], Engine]] = {}
    if FILBERT in engines:
        own = filbert_model(folder, precision)
        makers[FILBERT] = lambda batch: FilbertEngine(own, batch)
    if {TORCH, COMPILED} & set(engines):
        peer = torch_model(folder, precision)
        makers[TORCH] = lambda batch: TorchEngine(peer, batch)
        makers[COMPILED] = lambda batch: TorchEngine(peer, batch, compiled=True)
    rows = []
    for case in args.cases:
        batch = case.batch_of(model.sizes.vocabulary)
        title = {"model": name, "precision": precision, "case": case.name}
        expected = outputs(TorchEngine(reference, batch))
        passed = {}
        for engine in engines:
            try:
                made = makers[engine](batch)
                passed[engine] = (made, check(made, expected))
            except Exception as error:
                leave_out(left_out, {"engine": engine, **title}, f"{type(error).__name__}: {error}")
        rows.append(title | row_of(model, case, precision, rates) | {"engines": measure(passed, args.seconds)})
        print(line(rows[-1]), flush=True)
    return rows


def row_of(model: Model, case: Case, precision: str, rates: Rates) -> dict[str, Any]:
    return {
        "batch": case.batch,
        "tokens": sum(case.lengths()),
        "floor_ms": floor_ms(model, case, precision, rates),
        "goal_ms": goal_ms(model, case, precision, rates),
    }


def outputs(engine: Engine) -> tuple[np.ndarray, np.ndarray]:
    return engine.token_vectors(), engine.run()


def check(engine: Engine, expected: tuple[np.ndarray, np.ndarray]) -> dict[str, float]:
    """Cosines of the vectors with those of torch in float32."""
    tokens, vectors = (row_cosines(*pair) for pair in zip(outputs(engine), expected, strict=True))
    for what, cosines in (("tokens", tokens), ("vectors", vectors)):
        if not cosines.min() >= LEAST_COSINES[what]:
            raise ValueError(
                f"the lowest cosine of {what} with those of torch in float32 is {cosines.min():.6f}, "
                f"expected at least {LEAST_COSINES[what]}"
            )
    return {
        "min_cosine": float(vectors.min()),
        "token_min_cosine": float(tokens.min()),
        "token_mean_cosine": float(tokens.mean()),
    }


def measure(engines: dict[str, tuple[Engine, dict[str, float]]], seconds: float) -> dict[str, dict[str, float]]:
    """Times of each engine as its caller sees them and, of torch's, on the device: all take turns."""
    runs: dict[str, Callable[[], object]] = {}
    for name, (engine, _) in engines.items():
        for _ in range(_WARM_UP):
            engine.run()
        runs[name] = engine.run
        if engine.device_ms is not None:
            runs[f"{name} on device"] = engine.run_on_device
    times = interleave(runs, seconds)
    found = {}
    for name, (engine, cosines) in engines.items():
        found[name] = figures(times[name]) | cosines
        if engine.device_ms is not None:
            found[name]["device_p50_ms"] = float(np.median(engine.device_ms))
    return found


def leave_out(left_out: LeftOut, what: dict[str, str], reason: str) -> None:
    reason = " ".join(reason.split())[:300]
    left_out.append({**what, "reason": reason})
    print(f"left out: {', '.join(what.values())}: {reason}", flush=True)


def line(row: dict[str, Any]) -> str:
    times = "  ".join(f"{name} {values['p50_ms']:.3f}" for name, values in row["engines"].items())
    return f"{row['model']:<10} {row['precision']:<8} {row['case']:<12}  {times}  goal {row['goal_ms']:.3f} ms"


if __name__ == "__main__":
    sys.exit(main())
