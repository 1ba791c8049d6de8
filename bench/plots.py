"""Bar charts, or the table of bench/README.md, of a result of compare.py.

python bench/plots.py bench/results/DATE-cpu.json            # docs/cpu-float32.png and so on
python bench/plots.py bench/results/DATE-cpu.json --readme   # the table, as Markdown
"""

import argparse
import json
from pathlib import Path
from typing import Any

from cases import PRECISIONS
from result_tables import LIBRARIES, Record, libraries, readme_table

DOCS = Path(__file__).resolve().parents[1] / "docs"
COLORS = {
    "filbert": "#b5541c",
    "torch": "#9aa5b1",
    "onnxruntime": "#5b7fa6",
    "openvino": "#7d6ba0",
    "ctranslate2": "#6a9a78",
}
HIGHEST = 2.5  # bars end here; what they reach is written on them


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("result", type=Path)
    parser.add_argument("--readme", action="store_true", help="print the table of bench/README.md and draw nothing")
    parser.add_argument("--output", type=Path, default=DOCS, help="the folder of the charts (default: docs)")
    args = parser.parse_args()
    record = json.loads(args.result.read_text())
    if args.readme:
        print("\n".join(readme_table(record)))
        return
    for precision in PRECISIONS:
        rows = [row for row in record["results"] if row["precision"] == precision and "best_peer" in row]
        if rows:
            path = args.output / f"cpu-{precision}.png"
            draw(record, precision, rows, path)
            print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


def draw(record: Record, precision: str, rows: list[dict[str, Any]], path: Path) -> None:
    """A panel for each model, a group of bars for each case."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    models = list(dict.fromkeys(row["model"] for row in rows))
    figure, panels = pyplot.subplots(1, len(models), figsize=(5.5 * len(models), 3.8), sharey=True, squeeze=False)
    present = [each for each in LIBRARIES if any(each in libraries(row) for row in rows)]
    for panel, model in zip(panels[0], models, strict=True):
        draw_model(panel, [row for row in rows if row["model"] == model], present)
        panel.set_title(model, fontsize=11)
    panels[0][0].set_ylabel("time, best peer = 1 (lower is better)")
    figure.suptitle(f"{precision}, {record['threads']} threads, {record['machine']['processor']}", fontsize=12)
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=len(labels), frameon=False, fontsize=9)
    figure.tight_layout(rect=(0, 0.06, 1, 1))
    figure.savefig(path, dpi=100, facecolor="white", metadata={"Software": None})
    pyplot.close(figure)


def draw_model(panel: Any, rows: list[dict[str, Any]], present: list[str]) -> None:
    width = 0.84 / len(present)
    for place, library in enumerate(present):
        positions, heights = [], []
        for number, row in enumerate(rows):
            times = libraries(row)
            if library in times:
                best = min(value for name, value in times.items() if name != "filbert")
                positions.append(number + (place - (len(present) - 1) / 2) * width)
                heights.append(times[library] / best)
        shown = [min(height, HIGHEST) for height in heights]
        panel.bar(positions, shown, width * 0.94, label=LIBRARIES[library], color=COLORS[library])
        for position, height in zip(positions, heights, strict=True):
            if library == "filbert" or height > HIGHEST:
                panel.annotate(
                    f"{height:.2f}" if library == "filbert" else f"{height:.1f}",
                    (position, min(height, HIGHEST)),
                    textcoords="offset points",
                    xytext=(0, 2),
                    ha="center",
                    fontsize=7,
                )
    panel.axhline(1, color="black", linewidth=0.8, linestyle="--")
    panel.set_xticks(range(len(rows)), [row["case"] for row in rows])
    panel.set_xlabel("batch x tokens")
    panel.set_ylim(0, HIGHEST * 1.06)
    panel.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    main()
