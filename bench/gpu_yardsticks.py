"""What the GPU does at most, through torch and its libraries: the rates that results are held against.

Times are medians between events. What is short is replayed as a CUDA graph, so that no launch is timed, and goes
through as many weights as the model has layers, so that they come from where they come from in the model: the L2 for
MiniLM, memory for BERT-large. Everything multiplies random numbers: zeros are faster.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn.functional import gelu, linear, scaled_dot_product_attention

from gpu_cases import MODELS, PRECISIONS, Model, Rates

TOKENS = (8, 32, 128, 512, 4096, 65536)
LENGTHS = (32, 64, 128, 256, 512)

_PACKED_TOKENS = 65536
_FEW_TOKENS = 1024
_FEWEST_PRODUCTS = 48  # in a graph, of few tokens: else the graph is shorter than events can tell
_KERNELS = 1000


def rates() -> Rates:
    return Rates(_copy_gbps(), {precision: _matmul_tflops(precision) for precision in PRECISIONS}, _kernel_us())


def yardsticks() -> dict[str, Any]:
    """In bfloat16: products of matrices and attention of the models' shapes, and what the fused GELU computes."""
    return {
        "linear": [row for name, model in MODELS.items() for row in _linears(name, model)],
        "attention": [_attention(name, model, length) for name, model in MODELS.items() for length in LENGTHS],
        "gelu_epilogue": _gelu_epilogue(),
    }


def gpu() -> dict[str, object]:
    properties = torch.cuda.get_device_properties(0)
    return {
        "name": properties.name,
        "capability": f"{properties.major}.{properties.minor}",
        "multiprocessors": properties.multi_processor_count,
        "memory_bytes": properties.total_memory,
        "l2_bytes": properties.L2_cache_size,
        "cuda_of_torch": torch.version.cuda,
    }


def products(model: Model) -> dict[str, tuple[int, int]]:
    """(N, K) of the matrices of a layer."""
    hidden, inner = model.sizes.hidden, model.sizes.inner
    return {"qkv": (3 * hidden, hidden), "out": (hidden, hidden), "up": (inner, hidden), "down": (hidden, inner)}


def _linears(name: str, model: Model) -> list[dict[str, Any]]:
    layers = model.sizes.layers
    rows = []
    for product, (n, k) in products(model).items():
        weights = [_random(n, k) / k**0.5 for _ in range(layers)]
        for tokens in TOKENS:
            rounds = -(-_FEWEST_PRODUCTS // layers) if tokens <= _FEW_TOKENS else 1
            time_us = 1e3 * _graph_ms(_all_products(_random(tokens, k), weights * rounds)) / (layers * rounds)
            row = {"model": name, "product": product, "m": tokens, "n": n, "k": k, "us": time_us}
            row["tflops"] = 2 * tokens * n * k / time_us / 1e6
            row["weights_gbps"] = 2 * n * k / time_us / 1e3
            rows.append(row)
    return rows


def _all_products(x: torch.Tensor, weights: list[torch.Tensor]) -> Callable[[], None]:
    bias = _random(len(weights[0]))

    def body() -> None:
        for weight in weights:
            linear(x, weight, bias)

    return body


def _attention(name: str, model: Model, length: int) -> dict[str, Any]:
    heads, size = model.heads, model.sizes.hidden // model.heads
    qkv = _random(_PACKED_TOKENS // length, length, 3, heads, size)
    time_ms = _graph_ms(lambda: scaled_dot_product_attention(*qkv.permute(2, 0, 3, 1, 4)))
    flop = 4 * _PACKED_TOKENS * length * heads * size
    row = {"model": name, "heads": heads, "head_size": size, "length": length, "ms": time_ms}
    return row | {"tflops": flop / time_ms / 1e9}


def _gelu_epilogue() -> dict[str, Any]:
    """Which GELU cuBLASLt fuses into a product, by the share of outputs that equal either rounded, and what it saves.

    The two differ by up to 5e-4; for inputs below 0 outputs are small, so that bfloat16 tells them apart.
    """
    values = torch.linspace(-4, -0.5, 4096, device="cuda").bfloat16()
    identity = torch.eye(4096, device="cuda", dtype=torch.bfloat16)
    found = torch._addmm_activation(torch.zeros_like(values), values.repeat(128, 1), identity, use_gelu=True)
    equal = {kind: (found == gelu(values.double(), approximate=kind).bfloat16()) for kind in ("none", "tanh")}
    shares = {kind: float(each.double().mean()) for kind, each in equal.items()}
    x, weight, bias = _random(_PACKED_TOKENS, 1024), _random(4096, 1024) / 32, _random(4096)
    return {
        "is": "tanh" if shares["tanh"] > shares["none"] else "erf",
        "equal_to_erf": shares["none"],
        "equal_to_tanh": shares["tanh"],
        "product_ms": _graph_ms(lambda: linear(x, weight, bias)),
        "product_and_gelu_kernel_ms": _graph_ms(lambda: gelu(linear(x, weight, bias))),
        "fused_ms": _graph_ms(lambda: torch._addmm_activation(bias, x, weight.t(), use_gelu=True)),
    }


def _copy_gbps() -> float:
    source = torch.empty(1 << 32, dtype=torch.uint8, device="cuda").random_()
    target = torch.empty_like(source)
    return 2 * source.numel() / _median_ms(lambda: target.copy_(source)) / 1e6


def _matmul_tflops(precision: str) -> float:
    left, right = (_random(8192, 8192).to(getattr(torch, precision)) for _ in range(2))
    return 2 * 8192**3 / _median_ms(lambda: left @ right) / 1e9


def _kernel_us() -> float:
    number = torch.ones(1, device="cuda")

    def body() -> None:
        for _ in range(_KERNELS):
            number.mul_(-1)

    return 1e3 * _graph_ms(body) / _KERNELS


def _random(*shape: int) -> torch.Tensor:
    return torch.randn(shape, device="cuda", dtype=torch.bfloat16)


def _graph_ms(body: Callable[[], object]) -> float:
    """The time of what body() launches, as one CUDA graph."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        body()  # libraries set themselves up in their first calls, which cannot be captured
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        body()
    return _median_ms(graph.replay)


def _median_ms(run: Callable[[], object]) -> float:
    for _ in range(3):
        run()
    times = []
    for _ in range(20):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        run()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end))
    return sorted(times)[len(times) // 2]
