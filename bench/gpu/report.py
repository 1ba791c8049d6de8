"""report.py RESULTS: the first answers, from the logs of first_run.sh, in a screenful."""

import json
import sys
from pathlib import Path

RESULTS = Path(sys.argv[1])


def lines(name: str) -> list[dict]:
    path = RESULTS / f"{name}.log"
    found = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return [each for each in found if isinstance(each, dict)]


def probe() -> None:
    found = lines("probe")
    bits = [each for each in found if each.get("section") == "bits"]
    if bits:
        print(
            f"bits: wgmma differs from mma.sync in {sum(b['wgmma_differs'] for b in bits)} "
            f"of {sum(b['of'] for b in bits)}, "
            f"two k8 from one k16 in {sum(b['k8_differs'] for b in bits)}"
        )
    for each in found:
        if each.get("section") in ("latency", "rate", "trip", "barrier", "capture") or "error" in each:
            print(" ", " ".join(f"{value}" for key, value in each.items() if key != "section"))


def sweep() -> None:
    """Where another tile than the chosen one was faster by more than a twentieth, and whether bits differed."""
    found = [each for each in lines("sweep") if "tile" in each]
    if not found:
        return
    print(f"sweep: {sum(not each['same_bits'] for each in found)} of {len(found)} have other bits than the first tile")
    shapes: dict[tuple, list[dict]] = {}
    for each in found:
        shapes.setdefault((each["model"], each["product"], each["m"]), []).append(each)
    for shape, tiles in shapes.items():
        best = min(tiles, key=lambda each: each["us"])
        chosen = next((each for each in tiles if each["chosen"]), None)
        if chosen and chosen["us"] > 1.05 * best["us"]:
            print(f"  {shape}: {best['tile']} {best['us']} us, chosen {chosen['tile']} {chosen['us']} us")


def bench(name: str) -> None:
    path = RESULTS / f"{name}.json"
    if not path.exists():
        return
    record = json.loads(path.read_text())
    print(name, json.dumps(record.get("rates")), "left out:", record.get("left_out"))
    for row in record.get("results", []):
        times = ", ".join(f"{engine} {values['p50_ms']:.4f}" for engine, values in row["engines"].items())
        print(f"  {row['model']} {row['precision']} {row['case']}: goal {row['goal_ms']:.3f} ms, {times}")


if __name__ == "__main__":
    probe()
    sweep()
    for each in ("bench", "float16", "compiled"):
        bench(each)
