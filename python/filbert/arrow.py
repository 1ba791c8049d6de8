"""Sentence vectors of columns of Arrow: what Polars, DuckDB, Dask, Spark and Ray hand to a function of columns."""

import os
from functools import lru_cache
from typing import Any

import numpy as np

from .errors import InputError
from .optional_packages import need
from .sentence import SentenceEncoder


def encode(encoder: "SentenceEncoder | str | os.PathLike[str]", array: Any, **encode_options: Any) -> Any:
    """The vectors of a column of texts, as a column; a null stays a null.

    Args:
        encoder: the encoder, or a folder or an id on the hub: it is loaded once in a process, for the CPU.
        array: `pyarrow.Array` or `ChunkedArray` of strings, of any layout; dictionaries of strings too.
        encode_options: of `SentenceEncoder.encode`: prompt, prompt_name, normalize_embeddings, truncate_dim, task,
            on_truncate; precision: "float32", "float16", "binary" or "ubinary".

    Returns:
        `pyarrow.FixedSizeListArray` of as many vectors: of float32, or what `precision` says.

    Raises:
        ImportError: without pyarrow.
        InputError: the column is none of strings, or `SentenceEncoder.encode` cannot take one of them. precision is
            "int8" or "uint8", whose steps would depend on how an engine cuts a column.
    """
    pyarrow = need("pyarrow", "arrow")
    if isinstance(array, pyarrow.ChunkedArray):
        array = array.combine_chunks()
    if not isinstance(array, pyarrow.Array):
        raise InputError(f"array: found {type(array).__name__}, expected pyarrow.Array or pyarrow.ChunkedArray")
    if not is_text(array.type):
        raise InputError(f"array: found type {array.type}, expected strings")
    if not isinstance(encoder, SentenceEncoder):
        encoder = _load(os.fspath(encoder))
    precision = encode_options.pop("precision", None) or "float32"
    if precision in ("int8", "uint8"):
        raise InputError(f"precision: found {precision!r}, whose steps depend on all vectors of a call")
    narrow = precision == "float16"
    options = {"precision": "float32" if narrow else precision, "show_progress_bar": False, **encode_options}
    valid = None if array.null_count == 0 else array.is_valid().to_numpy(zero_copy_only=False)
    vectors = encoder.encode((array if valid is None else array.drop_null()).to_pylist(), **options)
    vectors = vectors.astype(np.float16) if narrow else vectors
    if valid is not None:
        whole = np.zeros((len(array), vectors.shape[1]), vectors.dtype)
        whole[valid] = vectors
        vectors = whole
    return as_lists(vectors, valid)


def as_lists(vectors: Any, valid: Any = None) -> Any:
    """Vectors [n, width] as a `pyarrow.FixedSizeListArray`. valid: bool [n], false where a null is to be."""
    pyarrow = need("pyarrow", "arrow")
    values = pyarrow.array(np.ascontiguousarray(vectors).reshape(-1))
    mask = None if valid is None else pyarrow.array(~valid)
    return pyarrow.FixedSizeListArray.from_arrays(values, vectors.shape[1], mask=mask)


def is_text(type: Any) -> bool:
    """Whether a type of Arrow is one of strings, or of nothing but nulls."""
    types = need("pyarrow.types", "arrow")
    if types.is_dictionary(type):
        return is_text(type.value_type)
    return any(test(type) for test in (types.is_string, types.is_large_string, types.is_string_view, types.is_null))


@lru_cache(maxsize=4)
def _load(name: str) -> SentenceEncoder:
    return SentenceEncoder.from_pretrained(name)
