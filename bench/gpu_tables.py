"""Markdown tables of what bench_gpu.py writes. Times are milliseconds."""

import re
from typing import Any

from gpu_cases import OVER_COMPILE, Rates
from gpu_engines import COMPILED, FILBERT, TORCH

Record = dict[str, Any]


def digits(value: float) -> str:
    """Three digits, or more before the point."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def table(heads: list[str], rows: list[list[str]]) -> list[str]:
    lines = [f"| {' | '.join(cells)} |" for cells in (heads, *rows)]
    return ["", lines[0], "|---" * len(heads) + "|", *lines[1:]]


def rates_table(rates: Rates, origin: str) -> list[str]:
    matmul = ", ".join(f"{precision} {value:.0f}" for precision, value in rates.matmul_tflops.items())
    return [
        f"rates ({origin}): copy {rates.copy_gbps:.0f} GB/s; matrix product, TFLOP/s: {matmul}; "
        f"kernel in a graph {rates.kernel_us:.2f} us"
    ]


def results_table(record: Record) -> list[str]:
    """Each case with its floor and its goal; p50 / p95 as callers see them, and torch's p50 between events."""
    heads = ["batch", "floor", "goal", FILBERT, "floor / it", "it / goal"]
    heads += [TORCH, "on device", COMPILED, "on device", f"{FILBERT} / {COMPILED}"]
    lines = []
    for title in dict.fromkeys((row["model"], row["precision"]) for row in record["results"]):
        rows = [row for row in record["results"] if (row["model"], row["precision"]) == title]
        lines += table([" ".join(title), *heads[1:]], [result_cells(row) for row in rows])
        lines += half_cost(rows)
    return lines


def result_cells(row: dict[str, Any]) -> list[str]:
    engines = row["engines"]
    cells = [row["case"], digits(row["floor_ms"]), digits(row["goal_ms"])]
    own = engines.get(FILBERT)
    cells += [both(own), *((f"{row['floor_ms'] / own['p50_ms']:.0%}", over(own, row["goal_ms"])) if own else "--")]
    for name in (TORCH, COMPILED):
        found = engines.get(name)
        cells += [both(found), digits(found["device_p50_ms"]) if found else "-"]
    if not own or COMPILED not in engines:
        return [*cells, "-"]
    goal = f" (goal {OVER_COMPILE:.2f})" if row["batch"] == 1 else ""
    return [*cells, over(own, engines[COMPILED]["p50_ms"]) + goal]


def both(figures: dict[str, float] | None) -> str:
    return f"{digits(figures['p50_ms'])} / {digits(figures['p95_ms'])}" if figures else "-"


def over(figures: dict[str, float], value: float) -> str:
    return f"{figures['p50_ms'] / value:.2f}"


def half_cost(rows: list[dict[str, Any]]) -> list[str]:
    """What a batch costs of which half is padding, relative to a full one."""
    times = {
        row["case"]: (row["engines"][FILBERT]["p50_ms"], row["floor_ms"]) for row in rows if row["engines"].get(FILBERT)
    }
    lines = []
    for name, (time, floor) in times.items():
        full = name.removesuffix("-half")
        if full != name and full in times:
            ratio, floors = time / times[full][0], floor / times[full][1]
            lines.append(f"{name} costs {FILBERT} {ratio:.2f} of {full} (floors: {floors:.2f})")
    return ["", *lines] if lines else []


_FIGURES = ("us", "tflops", "weights_gbps")


def yardstick_tables(found: dict[str, Any]) -> list[str]:
    linears = [
        [row["model"], row["product"], *(str(row[size]) for size in "mnk"), *(f"{row[name]:.1f}" for name in _FIGURES)]
        for row in found["linear"]
    ]
    attention = [
        [
            row["model"],
            f"{row['heads']} of {row['head_size']}",
            str(row["length"]),
            digits(row["ms"]),
            f"{row['tflops']:.1f}",
        ]
        for row in found["attention"]
    ]
    gelu = found["gelu_epilogue"]
    return [
        *table(["torch bfloat16", "product", "M", "N", "K", "us", "TFLOP/s", "weights GB/s"], linears),
        *table(["torch SDPA bfloat16", "heads", "length", "ms for 64k tokens", "TFLOP/s"], attention),
        "",
        f"the GELU that cuBLASLt fuses is {gelu['is']} (equal outputs: erf {gelu['equal_to_erf']:.1%}, "
        f"tanh {gelu['equal_to_tanh']:.1%}); 65536 x 4096 x 1024: product {gelu['product_ms']:.3f} ms, "
        f"fused {gelu['fused_ms']:.3f}, as a kernel of its own {gelu['product_and_gelu_kernel_ms']:.3f}",
    ]


_RATE = re.compile(r"([\d.]+) (GFLOP/s|GB/s)")


def kernel_lines(lines: list[str], rates: Rates) -> list[str]:
    """What bench_ops prints of a device, with shares of what torch reached."""
    return [line + kernel_share(line, rates) for line in lines]


def kernel_share(line: str, rates: Rates) -> str:
    found = _RATE.search(line)
    if not found:
        return ""
    value, unit = float(found[1]), found[2]
    if unit == "GB/s":
        return f"  {value / rates.copy_gbps:.0%} of torch's copy"
    return f"  {value / 1e3 / rates.matmul_tflops['bfloat16']:.0%} of torch's product"
