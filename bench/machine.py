"""What a result depends on besides the code: the machine, its measured peaks, and the versions of the libraries."""

import json
import os
import platform
import subprocess
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"

LIBRARIES = (
    "filbert",
    "numpy",
    "tokenizers",
    "torch",
    "triton",
    "transformers",
    "sentence-transformers",
    "onnxruntime",
    "openvino",
    "ctranslate2",
)
_FLAGS = (
    "avx2",
    "fma",
    "avx_vnni",
    "avx512f",
    "avx512_bf16",
    "avx512_vnni",
    "amx_bf16",
    "amx_int8",
    "asimd",
    "bf16",
    "i8mm",
)

PEAK_OF = {"float32": "fp32_gflops", "bfloat16": "bf16_gflops", "int8": "int8_gops"}
YARDSTICK_OF = {
    "float32": "fp32_yardstick_gflops",
    "bfloat16": "bf16_yardstick_gflops",
    "int8": "int8_yardstick_gops",
}

Peaks = dict[str, float]


def default_output(kind: str) -> Path:
    return RESULTS / f"{date.today().isoformat()}-{kind}.json"


def save(path: Path, threads: int, figures: dict[str, Any]) -> dict[str, Any]:
    """Writes the figures with what they depend on, and returns what is written."""
    record = {"date": date.today().isoformat(), "machine": describe(), "threads": threads, "versions": versions()}
    record |= figures
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n")
    print(f"written to {path}")
    return record


def versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def describe() -> dict[str, object]:
    """The processor as Linux names it, its flags that matter here, its caches, and how busy it is with other things."""
    fields = {}
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    flags = set(fields.get("flags", fields.get("Features", "")).split())
    return {
        "processor": fields.get("model name", platform.machine()),
        "flags": [flag for flag in _FLAGS if flag in flags],
        "cores": len(os.sched_getaffinity(0)),
        "caches": _caches(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load_average": os.getloadavg()[0],
    }


def _caches() -> dict[str, str]:
    """{"L2": "2048K"} of the first core."""
    found = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind = ((index / name).read_text().strip() for name in ("level", "type"))
        if kind != "Instruction":
            found[f"L{level}"] = (index / "size").read_text().strip()
    return found


def measure_peaks(program: Path, threads: int) -> Peaks:
    """What `bench_ops --peaks` finds: peaks of each dtype, its yardstick product, and read_gbps."""
    command = [str(program), "--peaks", "--threads", str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {key: float(value) for key, value in json.loads(done.stdout).items() if isinstance(value, (int, float))}


def higher(first: Peaks, second: Peaks) -> Peaks:
    """The better of each: a peak is what the machine can do, and anything that disturbs it lowers what is found."""
    return {key: max(first.get(key, 0.0), second.get(key, 0.0)) for key in first | second}
