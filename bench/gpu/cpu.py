"""cpu.py MODELS OUTPUT: filbert on the processor beside the GPU, which may have AMX where one's own has not:
milliseconds of each instruction set in turns on two cores, and whether bits are the same alone and in a batch."""

import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from gpu_cases import Case

NAMES = ("MiniLM-L6", "BERT-base")
CASES = ("1x8", "1x32", "1x128", "1x512", "8x128", "32x128")
DTYPES = ("float32", "bfloat16", "int8")
SETS = ("", "avx512")  # the best there is, and without AMX
SECONDS = 0.4


def worker(folder: str, dtype: str) -> None:
    """Answers each case on standard input with its milliseconds, the first one with the set in use."""
    from filbert import AutoModel

    model = AutoModel.from_pretrained(folder, dtype=dtype, device="cpu", num_threads=2, add_pooling_layer=False)
    vocabulary = model.config.vocab_size
    batch = Case.parse("8x128").batch_of(vocabulary)
    together = model(batch.ids).last_hidden_state
    alone = [model(row[None]).last_hidden_state[0] for row in batch.ids]
    same = np.stack(alone).tobytes() == together.tobytes()
    print(json.dumps({"isa": model.isa, "same_bits": same}), flush=True)
    for line in sys.stdin:
        batch = Case.parse(line.strip()).batch_of(vocabulary)
        ids, bounds = batch.ids.ravel(), batch.cu_seqlens
        model.embed(ids, bounds, "mean", True)
        times, end = [], time.perf_counter() + SECONDS
        while not times or time.perf_counter() < end:
            begin = time.perf_counter()
            model.embed(ids, bounds, "mean", True)
            times.append(1e3 * (time.perf_counter() - begin))
        print(statistics.median(times), flush=True)


def main(models: Path, output: Path) -> None:
    os.sched_setaffinity(0, {0, 1})
    record = {}
    for name, dtype in itertools.product(NAMES, DTYPES):
        command = [sys.executable, __file__, "worker", str(models / f"{name}.random"), dtype]
        workers = [
            subprocess.Popen(
                command,
                env={**os.environ, "FILBERT_CPU_ISA": isa},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for isa in SETS
        ]
        facts = [json.loads(each.stdout.readline()) for each in workers]
        for case in CASES:
            rounds = []
            for _ in range(2):
                for each in workers:
                    print(case, file=each.stdin, flush=True)
                    rounds.append(float(each.stdout.readline()))
            ms = np.array(rounds).reshape(2, -1).min(axis=0)
            record[f"{name} {dtype} {case}"] = {**facts[0], "ms": ms.tolist(), "sets": [fact["isa"] for fact in facts]}
            output.write_text(json.dumps(record, indent=1))
            print(f"{name} {dtype} {case}: {[fact['isa'] for fact in facts]} {ms.round(2)} ms", flush=True)
        print(f"{name} {dtype}: same bits in a batch: {[fact['same_bits'] for fact in facts]}", flush=True)
        for each in workers:
            each.stdin.close()
            each.wait()


if __name__ == "__main__":
    if sys.argv[1] == "worker":
        worker(*sys.argv[2:])
    else:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
