"""Vectors of mostly zeros, as NumPy arrays: one, and rows of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..checks import integer
from ..errors import InputError
from ..scores import Floats

Indices = npt.NDArray[np.int32]
Integers = npt.NDArray[np.int64]

_SOUND: dict[str, Any] = {"is_coalesced": True, "check_invariants": False}  # a tensor that need not be looked through


@dataclass(frozen=True, eq=False, repr=False)
class SparseVector:
    """One vector of `size` numbers, all zero but some.

    indices: int32 [nnz], where the others are, ascending: for a text, the ids of words. data: float32 [nnz], what they
    are. `dict(zip(vector.indices.tolist(), vector.data.tolist()))` is what many vector databases take.
    """

    data: Floats
    indices: Indices
    size: int

    @property
    def shape(self) -> tuple[int]:
        return (self.size,)

    @property
    def nnz(self) -> int:
        """How many numbers are kept."""
        return len(self.data)

    def toarray(self) -> Floats:
        """All numbers, zeros too: float32 [size]."""
        dense = np.zeros(self.size, np.float32)
        dense[self.indices] = self.data
        return dense

    todense = toarray

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return _dense(self, dtype, copy)

    def largest(self, most: int | None) -> "SparseVector":
        """With so many of the largest numbers alone, of equal ones the first; None: with all."""
        if most is None or most >= self.nnz:
            return self
        kept = np.sort(np.argsort(-np.abs(self.data), kind="stable")[:most])
        return SparseVector(self.data[kept], self.indices[kept], self.size)

    def to_torch(self) -> Any:
        """A sparse COO tensor of PyTorch [size]."""
        import torch

        places = torch.from_numpy(self.indices.astype(np.int64)[None])
        return torch.sparse_coo_tensor(places, torch.from_numpy(self.data), self.shape, **_SOUND)

    def __repr__(self) -> str:
        return f"SparseVector({self.nnz} of {self.size})"


class SparseVectors:
    """Vectors of mostly zeros [n, size], one after the other (the CSR form of SciPy).

    data: float32 [nnz], the numbers that are kept. indices: int32 [nnz], the column of each, ascending within a row.
    indptr: int64 [n + 1], where in them rows begin and end. shape: (n, size). `len(vectors)`, `vectors[3]` (a
    SparseVector), `vectors[2:5]`, `vectors[[4, 0]]`, `vectors[mask]` (SparseVectors) and iteration are over rows.
    """

    def __init__(self, data: Any, indices: Any, indptr: Any, shape: tuple[int, int]) -> None:
        """From the arrays of a CSR matrix whose rows are sorted. Raises InputError if they do not fit each other."""
        self.data: Floats = np.asarray(data, np.float32)
        self.indices: Indices = np.asarray(indices, np.int32)
        self.indptr: Integers = np.asarray(indptr, np.int64)
        self.shape = (int(shape[0]), int(shape[1]))
        ends = (len(self.data), len(self.indices))
        if len(self.indptr) != self.shape[0] + 1 or self.indptr[0] != 0 or ends != (self.indptr[-1],) * 2:
            raise InputError(
                f"SparseVectors: found {len(self.indptr)} bounds, {ends[0]} numbers and {ends[1]} columns, which make "
                f"no {self.shape[0]} rows"
            )
        if np.any(np.diff(self.indptr) < 0):
            raise InputError("SparseVectors: indptr: found a row that ends before it begins")
        if len(self.indices) and not 0 <= self.indices.min() <= self.indices.max() < self.shape[1]:
            raise InputError(f"SparseVectors: indices: found one outside of the {self.shape[1]} columns")

    @classmethod
    def from_rows(cls, rows: Sequence[SparseVector], size: int) -> "SparseVectors":
        """Those vectors, which have `size` numbers each. Raises InputError if one has not."""
        for index, row in enumerate(rows):
            if row.size != size:
                raise InputError(f"vector {index}: found {row.size} numbers, expected {size}")
        bounds = np.cumsum([0, *(row.nnz for row in rows)], dtype=np.int64)
        data = np.concatenate([np.zeros(0, np.float32), *(row.data for row in rows)])
        indices = np.concatenate([np.zeros(0, np.int32), *(row.indices for row in rows)])
        return cls(data, indices, bounds, (len(rows), size))

    @classmethod
    def from_dense(cls, dense: npt.NDArray[Any]) -> "SparseVectors":
        """The rows of an array [n, size]."""
        rows, columns = np.nonzero(dense)
        return cls.from_places(rows, columns, dense[rows, columns], dense.shape)

    @classmethod
    def from_places(cls, rows: Any, columns: Any, data: Any, shape: Any) -> "SparseVectors":
        """From the row and the column of each number, in their order by rows and columns."""
        bounds = np.searchsorted(rows, np.arange(shape[0] + 1))
        return cls(data, columns, bounds, shape)

    @property
    def nnz(self) -> int:
        """How many numbers are kept."""
        return len(self.data)

    @property
    def rows(self) -> Integers:
        """The row of each number that is kept: int64 [nnz]."""
        return np.repeat(np.arange(len(self)), np.diff(self.indptr))

    def toarray(self) -> Floats:
        """All numbers, zeros too: float32 [n, size]."""
        dense = np.zeros(self.shape, np.float32)
        dense[self.rows, self.indices] = self.data
        return dense

    todense = toarray

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return _dense(self, dtype, copy)

    def to_scipy(self) -> Any:
        """A scipy.sparse.csr_matrix of the same numbers; of memory only the indices are copied."""
        from scipy.sparse import csr_matrix

        return csr_matrix((self.data, self.indices, self.indptr), self.shape)

    def to_torch(self) -> Any:
        """A sparse COO tensor of PyTorch [n, size]."""
        import torch

        places = torch.from_numpy(np.stack([self.rows, self.indices.astype(np.int64)]))
        return torch.sparse_coo_tensor(places, torch.from_numpy(self.data), self.shape, **_SOUND)

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[SparseVector]:
        return map(self._row, range(len(self)))

    def __getitem__(self, key: Any) -> Any:
        index = integer(key)
        if index is not None:
            if not -len(self) <= index < len(self):
                raise IndexError(f"row {index} of {len(self)}")
            return self._row(index % len(self))
        if isinstance(key, tuple):
            raise TypeError("rows alone are taken; toarray() and to_scipy() have columns, too")
        chosen = np.arange(len(self))[np.asarray(key, int) if isinstance(key, list) and not key else key]
        return self.from_rows([self._row(row) for row in chosen], self.shape[1])

    def _row(self, row: int) -> SparseVector:
        begin, end = self.indptr[row], self.indptr[row + 1]
        return SparseVector(self.data[begin:end], self.indices[begin:end], self.shape[1])

    def __repr__(self) -> str:
        return f"SparseVectors({len(self)} x {self.shape[1]}, {self.nnz / max(len(self), 1):.1f} in each)"


def _dense(vectors: SparseVector | SparseVectors, dtype: npt.DTypeLike | None, copy: bool | None) -> npt.NDArray[Any]:
    if copy is False:
        raise ValueError(f"{type(vectors).__name__}: a dense array of it is always a copy, expected copy=None or True")
    return vectors.toarray().astype(np.float32 if dtype is None else dtype, copy=False)


def as_tensors(vectors: SparseVector | SparseVectors, stacked: bool, sparse: bool, device: str) -> Any:
    """A tensor of PyTorch, or for vectors that are not `stacked` one of each, as sentence-transformers gives them."""
    import torch

    if not stacked and isinstance(vectors, SparseVectors):
        return [as_tensors(vector, True, sparse, device) for vector in vectors]
    tensor = vectors.to_torch() if sparse else torch.from_numpy(vectors.toarray())
    return tensor.to(device)


def as_vectors(name: str, value: Any) -> tuple[bool, SparseVectors]:
    """Whether `value` is a single vector, and the rows of what may be: filbert's own, sparse or dense arrays of
    PyTorch, SciPy and NumPy, and lists of vectors. Raises InputError for what has not one or two dimensions.
    """
    if isinstance(value, SparseVectors):
        return False, value
    if isinstance(value, SparseVector):
        return True, SparseVectors.from_rows([value], value.size)
    if isinstance(value, list | tuple) and value and not isinstance(value[0], int | float | np.number | list | tuple):
        rows = [_one(f"{name} {index}", item) for index, item in enumerate(value)]
        return False, SparseVectors.from_rows(rows, rows[0].size)
    if hasattr(value, "tocsr"):
        matrix = value.reshape(1, -1).tocsr() if value.ndim == 1 else value.tocsr().copy()
        matrix.sum_duplicates()  # sorts too
        return value.ndim == 1, SparseVectors(matrix.data, matrix.indices, matrix.indptr, matrix.shape)
    if hasattr(value, "to_sparse_coo"):
        return _of_torch(name, value.detach().cpu())
    try:
        dense = np.asarray(value, np.float32)
    except (ValueError, TypeError):
        raise InputError(f"{name}: found {type(value).__name__}, expected vectors") from None
    _check_dimensions(name, dense.shape)
    return dense.ndim == 1, SparseVectors.from_dense(np.atleast_2d(dense))


def _one(name: str, value: Any) -> SparseVector:
    single, vectors = as_vectors(name, value)
    if not single:
        raise InputError(f"{name}: found {len(vectors)} vectors, expected one")
    row: SparseVector = vectors[0]
    return row


def _of_torch(name: str, tensor: Any) -> tuple[bool, SparseVectors]:
    _check_dimensions(name, tuple(tensor.shape))
    single = tensor.ndim == 1
    places = (tensor.unsqueeze(0) if single else tensor).float().to_sparse_coo().coalesce()
    rows, columns = places.indices().numpy()
    return single, SparseVectors.from_places(rows, columns, places.values().numpy(), places.shape)


def _check_dimensions(name: str, shape: tuple[int, ...]) -> None:
    if len(shape) not in (1, 2):
        raise InputError(f"{name}: found shape {list(shape)}, expected [size] or [n, size]")
