"""The arguments of a model in one form, from lists, NumPy, PyTorch, CuPy and anything with DLPack."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .errors import InputError
from .libraries import like

_DLPACK_CPU = 1


class Inputs(NamedTuple):
    """What `_core.Model.forward` takes: C-contiguous [batch, seq]."""

    input_ids: npt.NDArray[np.int64]
    attention_mask: npt.NDArray[np.uint8] | None
    token_type_ids: npt.NDArray[np.int64] | None
    position_ids: npt.NDArray[np.int64] | None


def prepare(input_ids: Any, attention_mask: Any, token_type_ids: Any, position_ids: Any) -> Inputs:
    """Checks the arguments of a model and brings them into one form.

    Rows of `input_ids` may have different lengths if they are lists; then the other arguments have the same lengths
    or the shape of the padded batch. Masks count as true where they are not zero. Raises InputError.
    """
    ids, lengths = _matrix("input_ids", input_ids)
    _expect_integers("input_ids", ids)
    mask = _mask(attention_mask, ids.shape, lengths)
    types = _like_ids("token_type_ids", token_type_ids, ids.shape, lengths)
    positions = _like_ids("position_ids", position_ids, ids.shape, lengths)
    return Inputs(_as_int64("input_ids", ids), mask, types, positions)


def places_of(positions: Any, inputs: Inputs) -> npt.NDArray[np.int64]:
    """Where in a batch tokens stand, counted row by row: of rows and columns [n, 2]. Raises InputError."""
    shape, mask = inputs.input_ids.shape, inputs.attention_mask
    if hasattr(positions, "__next__"):
        positions = list(positions)
    is_empty = hasattr(positions, "__len__") and len(positions) == 0
    pairs, _ = _matrix("positions", np.zeros((0, 2), np.int64) if is_empty else positions)
    _expect_integers("positions", pairs)
    if pairs.shape[1] != 2:
        raise InputError(f"positions: found shape {list(pairs.shape)}, expected [n, 2]: rows and columns")
    for index, (row, column) in enumerate(pairs.tolist()):
        if not (0 <= row < shape[0] and 0 <= column < shape[1]):
            raise InputError(
                f"positions {index}: found row {row}, column {column}, the batch has {shape[0]} rows of {shape[1]}"
            )
        if mask is not None and not mask[row, column]:
            raise InputError(f"positions {index}: found row {row}, column {column}, where the token is masked")
    return _as_int64("positions", pairs[:, 0].astype(np.int64) * shape[1] + pairs[:, 1].astype(np.int64))


def _matrix(name: str, value: Any) -> tuple[npt.NDArray[Any], list[int] | None]:
    """A two-dimensional array, and the lengths of its rows if they differ."""
    if value is None:
        raise InputError(f"{name}: found None, expected token ids of shape [batch, seq]")
    if isinstance(value, (str, bytes)):
        raise InputError(f"{name}: found text, expected token ids; AutoTokenizer turns text into them")
    if hasattr(value, "keys"):
        raise InputError(f"{name}: found a {type(value).__name__}, expected token ids; call model(**encoded)")
    if not isinstance(value, (list, tuple)):
        array = _array(name, value)
    elif len(value) == 0:
        array = np.zeros((0, 0), np.int64)
    else:
        rows = [_array(name, row) for row in value]
        if any(row.ndim != 1 for row in rows):
            array = _array(name, value)
        else:
            filled = [row for row in rows if row.size]
            kind = np.result_type(*{row.dtype for row in filled}) if filled else np.dtype(np.int64)
            lengths = [len(row) for row in rows]
            array = np.zeros((len(rows), max(lengths)), kind)
            for target, row in zip(array, rows, strict=True):
                target[: len(row)] = row
            if min(lengths) != max(lengths):
                return array, lengths
    if array.ndim != 2:
        hint = "; for one sequence pass [ids]" if array.ndim == 1 else ""
        raise InputError(f"{name}: found shape {list(array.shape)}, expected [batch, seq]{hint}")
    return array, None


def _array(name: str, value: Any) -> npt.NDArray[Any]:
    """Any array as NumPy, without a copy where that can be."""
    array: npt.NDArray[Any]
    try:
        pattern = like(value)
        if pattern is not None:
            array = pattern.to_numpy()
        elif hasattr(value, "__dlpack__") and not isinstance(value, (np.ndarray, np.generic)):
            # NumPy asks the exporter for a copy in host memory where the array is on a GPU (NumPy 2.1).
            elsewhere = value.__dlpack_device__()[0] != _DLPACK_CPU
            array = np.from_dlpack(value, device="cpu", copy=True) if elsewhere else np.from_dlpack(value)
        else:
            array = np.asarray(value)
    except (TypeError, ValueError, OverflowError, RuntimeError, BufferError) as error:
        raise InputError(f"{name}: cannot be read as an array of numbers: {error}") from None
    if array.dtype.kind not in "iubf":
        what = "text" if array.dtype.kind in "US" else f"dtype {array.dtype}"
        raise InputError(f"{name}: found {what}, expected numbers (64-bit at most, and rows of one depth)")
    return array


def _expect_integers(name: str, array: npt.NDArray[Any]) -> None:
    if array.dtype.kind not in "iu" and array.size:
        raise InputError(f"{name}: found {array.dtype}, expected integers")


def _as_int64(name: str, array: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    if array.dtype == np.uint64 and array.size and array.max() > np.iinfo(np.int64).max:
        raise InputError(f"{name}: found {array.max()}, which no model has")
    return np.ascontiguousarray(array, np.int64)


def _mask(value: Any, shape: tuple[int, ...], lengths: list[int] | None) -> npt.NDArray[np.uint8] | None:
    real = None if lengths is None else np.arange(shape[1]) < np.array(lengths)[:, None]
    if value is None:
        return None if real is None else real.astype(np.uint8)
    mask, mask_lengths = _matrix("attention_mask", value)
    _expect_same("attention_mask", mask, mask_lengths, shape, lengths)
    if mask.dtype.kind == "f" and np.isnan(mask).any():
        raise InputError("attention_mask: found NaN, expected numbers, zero where a token is masked")
    nonzero = mask != 0
    return np.ascontiguousarray(nonzero if real is None else nonzero & real, np.uint8)


def _like_ids(name: str, value: Any, shape: tuple[int, ...], lengths: list[int] | None) -> npt.NDArray[np.int64] | None:
    if value is None:
        return None
    array, own_lengths = _matrix(name, value)
    _expect_integers(name, array)
    if own_lengths is None and array.shape == (1, shape[1]):
        array = np.broadcast_to(array, shape)
    _expect_same(name, array, own_lengths, shape, lengths)
    return _as_int64(name, array)


def _expect_same(
    name: str, array: npt.NDArray[Any], own: list[int] | None, shape: tuple[int, ...], lengths: list[int] | None
) -> None:
    if array.shape != shape:
        raise InputError(f"{name}: found shape {list(array.shape)}, expected {list(shape)}, that of input_ids")
    if own is not None and own != lengths:
        raise InputError(f"{name}: found rows of other lengths than input_ids has")
