"""Markdown tables of what compare.py writes."""

from typing import Any

from cases import PRECISIONS

LIBRARIES = {
    "filbert": "filbert",
    "torch": "transformers (torch)",
    "onnxruntime": "onnxruntime",
    "openvino": "OpenVINO",
    "ctranslate2": "CTranslate2",
}

Record = dict[str, Any]


def libraries(row: dict[str, Any]) -> dict[str, float]:
    """Median milliseconds of each library: of its variants, such as a fused graph, the better one."""
    found: dict[str, float] = {}
    for name, values in row["engines"].items():
        library = name.split()[0]
        found[library] = min(values["p50_ms"], found.get(library, values["p50_ms"]))
    return found


def readme_table(record: Record) -> list[str]:
    """One line for each precision and library, one column for each model and case."""
    columns = list(dict.fromkeys((row["model"], row["case"]) for row in record["results"]))
    heads = [
        case if index and columns[index - 1][0] == model else f"{model}: {case}"
        for index, (model, case) in enumerate(columns)
    ]
    lines = [f"| ms, {record['threads']} threads | {' | '.join(heads)} |", "|---" * (len(columns) + 1) + "|"]
    for precision in PRECISIONS:
        rows = {
            (row["model"], row["case"]): libraries(row) for row in record["results"] if row["precision"] == precision
        }
        for library, label in LIBRARIES.items():
            if any(library in found for found in rows.values()):
                cells = [cell(rows.get(column, {}), library) for column in columns]
                lines.append(f"| {label} {precision} | {' | '.join(cells)} |")
    return lines


def cell(times: dict[str, float], library: str) -> str:
    """Milliseconds to three digits, in bold where no library is faster."""
    if library not in times:
        return "-"
    value = times[library]
    text = f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
    return f"**{text}**" if value == min(times.values()) else text


def comparison(record: Record) -> list[str]:
    """The table, and filbert's ratios, shares of the peak and ratios to the memory floor."""
    lines = readme_table(record)
    if record["summary"]:
        lines += ["", "| filbert's time over that of | geometric mean | worst | in |", "|---|---|---|---|"]
    for precision, columns in record["summary"].items():
        for name, values in columns.items():
            lines.append(
                f"| {name}, {precision} | {values['geometric_mean']:.2f} | {values['worst']:.2f} "
                f"| {values['worst_case']} |"
            )
    return lines + shares(record)


def shares(record: Record) -> list[str]:
    own = [row for row in record["results"] if "share_of_peak" in row["engines"].get("filbert", {})]
    if not own:
        return []
    lines = [
        "",
        "| filbert | share of peak | of yardstick | p50 ms | p95 ms | p99 ms | time over memory floor |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in own:
        values = row["engines"]["filbert"]
        times = " | ".join(f"{values[name]:.2f}" for name in ("p50_ms", "p95_ms", "p99_ms"))
        floor = f"{values['ratio_to_memory_floor']:.2f}" if "ratio_to_memory_floor" in values else ""
        yardstick = f"{values['share_of_yardstick']:.0%}" if "share_of_yardstick" in values else ""
        lines.append(
            f"| {row['model']} {row['case']} {row['precision']} | {values['share_of_peak']:.0%} | {yardstick} "
            f"| {times} | {floor} |"
        )
    return lines
