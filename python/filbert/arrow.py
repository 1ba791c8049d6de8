"""Sentence vectors of columns of Arrow: what Polars, DuckDB, Dask, Spark and Ray hand to a function of columns."""

import os
from typing import Any

import numpy as np

from .encode_options import check_options, check_precision
from .errors import InputError
from .optional_packages import need
from .pickling import load_once
from .sentence.encoder import SentenceEncoder


def encode(encoder: "SentenceEncoder | str | os.PathLike[str]", array: Any, **encode_options: Any) -> Any:
    """The vectors of a column of texts, as a column; a null stays a null.

    Args:
        encoder: the encoder, or a folder or an id on the hub: it is loaded once in a process, for the CPU, and
            kept while it is one of the last four and its folder is not written again.
        array: `pyarrow.Array` or `ChunkedArray` of strings, of any layout; dictionaries of strings too.
        encode_options: of `SentenceEncoder.encode`: prompt, prompt_name, normalize_embeddings, truncate_dim, task,
            batch_size, on_truncate; precision: "float32" (None), "float16", "binary" or "ubinary".

    Returns:
        `pyarrow.FixedSizeListArray` of as many vectors: of float32, or what `precision` says.

    Raises:
        ImportError: without pyarrow.
        InputError: the column is none of strings, or `SentenceEncoder.encode` cannot take one of them. precision is
            another, such as "int8", whose steps would depend on how an engine cuts a column.
        TypeError: options that are none of these.
        ConfigError, WeightsError, OSError: the model cannot be loaded.
    """
    pyarrow = need("pyarrow", "arrow")
    precision = check_precision(encode_options.pop("precision", None))
    check_options("filbert.arrow.encode", encode_options)
    if not isinstance(array, pyarrow.Array | pyarrow.ChunkedArray):
        raise InputError(f"array: found {type(array).__name__}, expected pyarrow.Array or pyarrow.ChunkedArray")
    if not is_text(array.type):
        raise InputError(f"array: found type {array.type}, expected strings")
    model = encoder if isinstance(encoder, SentenceEncoder) else load_once(SentenceEncoder, os.fspath(encoder))
    narrow = precision == "float16"
    options = {"precision": "float32" if narrow else precision, "show_progress_bar": False, **encode_options}
    texts = array.to_pylist()
    # Not by the nulls that Arrow counts: those among the values of a dictionary are none of them.
    valid = np.array([text is not None for text in texts], np.bool_)
    vectors = model.encode([text for text in texts if text is not None], **options)
    vectors = vectors.astype(np.float16) if narrow else vectors
    if not valid.all():
        whole = np.zeros((len(array), vectors.shape[1]), vectors.dtype)
        whole[valid] = vectors
        vectors = whole
    return as_lists(vectors, None if valid.all() else valid)


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
