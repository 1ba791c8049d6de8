"""bench_gpu.py again, without the yardsticks that its first run measured, and with torch.compile in the mode of the
environment's COMPILE_MODE: "reduce-overhead" (CUDA graphs, seconds to compile) unless given, for "max-autotune" takes
minutes a case."""

import os
import sys

import torch

import bench_gpu

compiled = torch.compile
mode = os.environ.get("COMPILE_MODE", "reduce-overhead")
torch.compile = lambda function, **options: compiled(function, **{**options, "mode": mode})
bench_gpu.measure_yardsticks = dict

if __name__ == "__main__":
    print(f"torch.compile: {mode}")
    sys.exit(bench_gpu.main())
