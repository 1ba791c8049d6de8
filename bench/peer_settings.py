"""The other libraries in settings of their own, beside those that compare.py gives them.

    pip install ".[bench]"
    python bench/peer_settings.py --work /tmp/filbert-bench

Each row is a setting's median time over that of compare.py's in the same turns, case by case. What a library reads from
the environment when it is loaded is tried in a process of its own (--with), as is what it is compared with.
"""

import argparse
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np

from cases import ALL_MODELS, MINILM, Sizes, parse_case
from engines import Forward, ctranslate2_engine, onnxruntime_engine, onnxruntime_session, openvino_engine, quiet
from exports import ModelFiles
from protocol import interleave

CASES = ("1x8", "1x128", "1x512", "8x128")
# Of CTranslate2: packed weights and Intel's library, by default off and chosen by the processor's maker.
ENVIRONMENTS = ({"CT2_USE_EXPERIMENTAL_PACKED_GEMM": "1"}, {"CT2_USE_MKL": "1"}, {"CT2_USE_MKL": "0"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=ALL_MODELS, default=[MINILM])
    parser.add_argument("--cases", nargs="+", type=parse_case, default=[parse_case(case) for case in CASES])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=1.0, help="for each setting and case")
    parser.add_argument("--work", type=Path, default=Path("build/bench"), help="keeps exported models between runs")
    parser.add_argument("--with", nargs="*", metavar="NAME=VALUE", help="CTranslate2 alone, in this environment")
    args = parser.parse_args()
    alone = getattr(args, "with")
    if alone is not None:
        os.environ.update(setting.split("=", 1) for setting in alone)
    quiet(args.threads)
    for name in args.models:
        files = ModelFiles(name, args.work)
        vocabulary = Sizes.of(files.folder()).vocabulary
        for batch, length in args.cases:
            ids = np.random.default_rng(0).integers(0, vocabulary, (batch, length))
            if alone is not None:
                report(name, ids, alone_with(files, args.threads), args.seconds, " ".join(alone))
                continue
            for library in (onnxruntimes, openvinos):
                report(name, ids, library(files, ids.shape, args.threads), args.seconds)
        if alone is None:
            for environment in ({}, *ENVIRONMENTS):
                settings = [f"{key}={value}" for key, value in environment.items()]
                cases = [f"{batch}x{length}" for batch, length in args.cases]
                own = ["--models", name, "--cases", *cases, "--threads", str(args.threads), "--work", str(args.work)]
                own += ["--seconds", str(args.seconds)]
                subprocess.run([sys.executable, __file__, *own, "--with", *settings], check=True)


def report(model: str, ids: np.ndarray, settings: dict[str, Forward], seconds: float, where: str = "") -> None:
    times = interleave({name: partial(forward, ids) for name, forward in settings.items()}, seconds)
    medians = {name: float(np.median(values)) for name, values in times.items()}
    base = next(iter(medians))
    print(f"{model} {ids.shape[0]}x{ids.shape[1]} {base} {medians[base]:.2f} ms {where}", flush=True)
    for name, value in medians.items():
        if name != base:
            print(f"    {name}: {value / medians[base]:.2f}", flush=True)


def onnxruntimes(files: ModelFiles, _: tuple[int, ...], threads: int) -> dict[str, Forward]:
    path = files.fused_onnx()
    return {
        "onnxruntime fused": onnxruntime_engine(path, threads),
        "plain graph": onnxruntime_engine(files.onnx(), threads),
        "threads do not spin": onnxruntime_engine(path, threads, {"session.intra_op.allow_spinning": "0"}),
        "denormal numbers are zero": onnxruntime_engine(path, threads, {"session.set_denormal_as_zero": "1"}),
        "bound outputs": bound_onnxruntime(path, threads),
    }


def bound_onnxruntime(path: Path, threads: int) -> Forward:
    session = onnxruntime_session(path, threads)
    binding = session.io_binding()

    def forward(ids: np.ndarray) -> np.ndarray:
        binding.bind_cpu_input("input_ids", ids)
        binding.bind_cpu_input("attention_mask", np.ones_like(ids))
        binding.bind_output(session.get_outputs()[0].name)
        session.run_with_iobinding(binding)
        return binding.copy_outputs_to_cpu()[0]

    return forward


def openvinos(files: ModelFiles, shape: tuple[int, ...], threads: int) -> dict[str, Forward]:
    made = partial(openvino_engine, files.openvino(), "float32", threads)
    return {
        "OpenVINO": made(),
        "shapes known": made(shape=shape),
        "one stream": made(PERFORMANCE_HINT="THROUGHPUT", NUM_STREAMS="1"),
        "threads not pinned": made(ENABLE_CPU_PINNING=False),
        "with hyper-threads": made(ENABLE_HYPER_THREADING=True),
    }


def alone_with(files: ModelFiles, threads: int) -> dict[str, Forward]:
    return {
        "CTranslate2": ctranslate2_engine(files.ctranslate2(), "float32", threads),
        "int8": ctranslate2_engine(files.ctranslate2(), "int8", threads),
    }


if __name__ == "__main__":
    main()
