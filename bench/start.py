"""From `import` to the first MiniLM vector, and the memory that takes; and what a forward of filbert allocates.

    python bench/start.py --work /tmp/filbert-bench

Each engine starts in a fresh process, in turns, its files in the page cache. The time is that inside the process, from
its first line; the memory is the process's peak resident set, pages of mapped files included.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from allocations import measure_allocations
from cases import MINILM
from engines import each_precision, filbert_engine, quiet
from exports import ModelFiles
from machine import default_output, save
from protocol import row_cosines

TEXT = "The weather is lovely today."
LIMIT = 0.99  # of the cosine with filbert's vector in float32

BEGIN = """
import time
begin = time.perf_counter()
import sys
path, tokenizer_path, threads, text = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
"""
END = """
elapsed = time.perf_counter() - begin
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
import json
print(json.dumps({"seconds": elapsed, "megabytes": int(peak.split()[1]) / 1e3, "vector": [float(x) for x in vector]}))
"""
TOKENIZE = """
import numpy as np
from tokenizers import Tokenizer
tokenizer = Tokenizer.from_file(tokenizer_path)
tokenizer.no_padding()
ids = np.array([tokenizer.encode(text).ids])
"""
POOL = """
vector = hidden[0].mean(axis=0)
vector /= np.linalg.norm(vector)
"""
FILBERT = """
from filbert import SentenceEncoder
vector = SentenceEncoder.from_pretrained(path, dtype="{precision}", num_threads=threads).encode(text)
"""
ONNXRUNTIME = """
import onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = threads
session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
hidden = session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0]
"""
OPENVINO = """
import openvino
options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
model = openvino.Core().compile_model(path, "CPU", options)
hidden = model({"input_ids": ids, "attention_mask": np.ones_like(ids)})[0]
"""
CTRANSLATE2 = """
import ctranslate2
encoder = ctranslate2.Encoder(path, compute_type="float32", inter_threads=1, intra_threads=threads)
hidden = np.array(encoder.forward_batch(ids.tolist()).last_hidden_state)
"""
TRANSFORMERS = """
import torch
from transformers import AutoModel, AutoTokenizer
torch.set_num_threads(threads)
batch = AutoTokenizer.from_pretrained(path)([text], return_tensors="pt")
with torch.inference_mode():
    hidden = AutoModel.from_pretrained(path)(**batch).last_hidden_state[0]
vector = torch.nn.functional.normalize(hidden.mean(dim=0), dim=0)
"""
SENTENCE_TRANSFORMERS = """
import torch
from sentence_transformers import SentenceTransformer
torch.set_num_threads(threads)
vector = SentenceTransformer(path, device="cpu").encode(text)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7, help="of starts that count, for all but the two on torch")
    parser.add_argument("--work", type=Path, default=Path("build/bench"), help="keeps exported models between runs")
    parser.add_argument("--output", type=Path, default=default_output("cpu-start"))
    args = parser.parse_args()
    quiet(args.threads)
    files = ModelFiles(MINILM, args.work)
    folder = files.folder()
    models = each_precision(lambda precision: filbert_engine(folder, precision, args.threads))

    light = {f"filbert {precision}": (FILBERT.replace("{precision}", precision), folder) for precision in models}
    light |= {
        "onnxruntime + tokenizers": (TOKENIZE + ONNXRUNTIME + POOL, files.onnx()),
        "openvino + tokenizers": (TOKENIZE + OPENVINO + POOL, files.openvino()),
        "ctranslate2 + tokenizers": (TOKENIZE + CTRANSLATE2 + POOL, files.ctranslate2()),
    }
    heavy = {
        "transformers": (TRANSFORMERS, folder),
        "sentence-transformers": (SENTENCE_TRANSFORMERS, folder),
    }
    starts: dict[str, list[dict[str, Any]]] = {name: [] for name in light | heavy}
    for number in range(args.rounds + 1):
        for name, (code, path) in (light | heavy if number < 2 else light).items():
            found = start(name, code, path, folder / "tokenizer.json", args.threads)
            if number > 0:
                starts[name].append(found)

    expected = np.array(starts["filbert float32"][0]["vector"])
    rows = []
    for name, found in starts.items():
        cosine = float(row_cosines(np.array(found[0]["vector"]), expected)[0])
        if cosine < LIMIT:
            raise SystemExit(f"{name}: cosine {cosine:.6f} with filbert in float32, expected at least {LIMIT}")
        medians = {key: statistics.median(each[key] for each in found) for key in ("seconds", "megabytes")}
        rows.append({"name": name, "starts": len(found), **medians})
        print(f"{name:<28}{medians['seconds']:8.2f} s {medians['megabytes']:8.0f} MB", flush=True)

    allocated = {name: measure_allocations(model) for name, model in models.items()}
    for name, values in allocated.items():
        print(f"filbert {name}, bytes a forward: {json.dumps(values)}")
    save(args.output, args.threads, {"starts": rows, "allocations": allocated})


def start(name: str, code: str, path: Path, tokenizer: Path, threads: int) -> dict[str, Any]:
    """Seconds, megabytes and the vector of one process."""
    command = [sys.executable, "-c", BEGIN + code + END, str(path), str(tokenizer), str(threads), TEXT]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{name} does not start:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
