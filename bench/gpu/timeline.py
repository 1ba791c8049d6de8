"""timeline.py MODELS OUTPUT: what each kernel of a forward takes, and the gap before it, from CUPTI by way of torch's
profiler; replayed graphs where filbert replays. The profiler itself lengthens gaps: compare sums with bench.json."""

import json
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path

from gpu_cases import MODELS, Case
from gpu_engines import FilbertEngine, filbert_model

CASES = ("1x8", "1x32", "1x128", "1x512", "512x128", "128x512")
CALLS = 10


def events(engine: FilbertEngine) -> list[dict]:
    """What ran on the device, in order, of CALLS calls."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    torch.zeros(1, device="cuda")
    for _ in range(5):
        engine.run()
    with profile(activities=[ProfilerActivity.CUDA]) as found:
        for _ in range(CALLS):
            engine.run()
        torch.cuda.synchronize()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        found.export_chrome_trace(str(path))
        trace = json.loads(path.read_text())["traceEvents"]
    kinds = ("kernel", "gpu_memcpy", "gpu_memset")
    return sorted((each for each in trace if each.get("cat") in kinds), key=lambda each: each["ts"])


def short(name: str) -> str:
    found = re.search(r"(\w+)_kernel", name) or re.search(r"(\w+)<", name)
    shape = re.search(r"GemmShape<([\d, ]+)>", name)
    return (found[1] if found else name[:40]) + (" " + "x".join(shape[1].split(", ")[:2]) if shape else "")


def medians(found: list[dict]) -> list[tuple[str, float, float]]:
    """Name, microseconds and the gap before it, of each step of a call. Empty if calls differ."""
    if not found or len(found) % CALLS:
        return []
    steps = len(found) // CALLS
    rows = []
    for step in range(steps):
        each = found[step::steps]
        gaps = [
            found[i]["ts"] - found[i - 1]["ts"] - found[i - 1]["dur"] for i in range(step or steps, len(found), steps)
        ]
        rows.append((short(each[0]["name"]), statistics.median(e["dur"] for e in each), statistics.median(gaps)))
    return rows


def main() -> None:
    record: dict[str, object] = {}
    for name, model in MODELS.items():
        own = filbert_model(Path(sys.argv[1]) / f"{name}.random", "bfloat16")
        for case in map(Case.parse, CASES):
            engine = FilbertEngine(own, case.batch_of(model.sizes.vocabulary))
            begin = time.perf_counter()
            rows = medians(events(engine))
            if not rows:
                print(f"{name} {case.name}: calls differ", flush=True)
                continue
            spans: dict[str, float] = {}
            for kernel, duration, _ in rows:
                spans[kernel] = spans.get(kernel, 0.0) + duration
            busy, gaps = sum(row[1] for row in rows), sum(row[2] for row in rows[1:])
            record[f"{name} {case.name}"] = {"busy_us": busy, "gaps_us": gaps, "by_kernel_us": spans, "steps": rows}
            Path(sys.argv[2]).write_text(json.dumps(record))
            shares = ", ".join(
                f"{kernel} {us:.1f}" for kernel, us in sorted(spans.items(), key=lambda item: -item[1])[:6]
            )
            print(
                f"{name:<10} {case.name:<8} {len(rows)} steps, busy {busy:.1f} us, gaps {gaps:.1f} us: {shares}"
                f"  ({time.perf_counter() - begin:.1f} s)",
                flush=True,
            )


if __name__ == "__main__":
    main()
