"""Sparse vectors and their comparison, beside dense arrays in float64."""

import pickle

import numpy as np
import pytest

from filbert import InputError
from filbert.sentence.sparse import SparseVector, SparseVectors, as_vectors
from filbert.sentence.sparse_similarity import intersection, similarity, similarity_pairwise, sparsity

MEASURES = ("dot", "cosine", "euclidean", "manhattan")


def random_dense(rng, rows, size, filled=0.2):
    """Numbers of both signs, some rows of zeros."""
    dense = rng.standard_normal((rows, size)).astype(np.float32)
    dense[rng.random((rows, size)) >= filled] = 0
    dense[rng.random(rows) < 0.1] = 0
    return dense


def expected_score(name, a, b):
    a, b = a.astype(np.float64), b.astype(np.float64)
    if name == "dot":
        return a @ b
    if name == "cosine":
        lengths = np.linalg.norm(a) * np.linalg.norm(b)
        return a @ b / lengths if lengths else 0
    return -np.linalg.norm(a - b, 2 if name == "euclidean" else 1)


@pytest.mark.parametrize("seed", range(30))
def test_rows(seed):
    rng = np.random.default_rng(seed)
    dense = random_dense(rng, int(rng.integers(0, 12)), int(rng.integers(1, 40)), rng.random())
    vectors = SparseVectors.from_dense(dense)
    assert (vectors.shape, len(vectors), vectors.nnz) == (dense.shape, len(dense), np.count_nonzero(dense))
    assert (vectors.data.dtype, vectors.indices.dtype, vectors.indptr.dtype) == (np.float32, np.int32, np.int64)
    assert vectors.toarray().tobytes() == vectors.todense().tobytes() == dense.tobytes()
    for index, (row, numbers) in enumerate(zip(vectors, dense, strict=True)):
        assert isinstance(row, SparseVector)
        assert (row.shape, row.nnz) == ((dense.shape[1],), np.count_nonzero(numbers))
        assert row.toarray().tobytes() == row.todense().tobytes() == numbers.tobytes()
        assert vectors[index].toarray().tobytes() == vectors[index - len(dense)].toarray().tobytes()
    chosen = rng.integers(0, len(dense), 5) if len(dense) else np.zeros(0, int)
    for key in (slice(1, None, 2), slice(None, None, -1), chosen, chosen.tolist(), rng.random(len(dense)) < 0.5):
        assert np.array_equal(vectors[key].toarray(), dense[key]) or not len(dense[key])
        assert vectors[key].shape == (len(dense[key]), dense.shape[1])
    assert pickle.loads(pickle.dumps(vectors)).toarray().tobytes() == dense.tobytes()


def test_what_rows_say():
    vectors = SparseVectors([1, 2, 3], [0, 3, 1], [0, 2, 2, 3], (3, 5))
    assert repr(vectors) == "SparseVectors(3 x 5, 1.0 in each)"
    assert repr(vectors[0]) == "SparseVector(2 of 5)"
    for bad in (3, -4):
        with pytest.raises(IndexError, match=f"row {bad} of 3"):
            vectors[bad]
    with pytest.raises(TypeError, match="rows alone are taken"):
        vectors[0, 1]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (([1], [0], [0, 1], (2, 5)), "found 2 bounds, 1 numbers and 1 columns, which make no 2 rows"),
        (([1], [0, 1], [0, 1], (1, 5)), "1 numbers and 2 columns"),
        (([1, 2], [0, 1], [0, 1], (1, 5)), "2 numbers"),
        (([1, 2], [0, 1], [0, 2, 1, 2], (3, 5)), "a row that ends before it begins"),
        (([1], [5], [0, 1], (1, 5)), "one outside of the 5 columns"),
        (([1], [-1], [0, 1], (1, 5)), "one outside of the 5 columns"),
    ],
)
def test_parts_that_make_no_rows(parts, message):
    with pytest.raises(InputError, match=message):
        SparseVectors(*parts)


def test_vectors_of_different_sizes():
    vector = SparseVectors.from_dense(np.ones((1, 3)))[0]
    with pytest.raises(InputError, match="vector 1: found 3 numbers, expected 4"):
        SparseVectors.from_rows([SparseVectors.from_dense(np.ones((1, 4)))[0], vector], 4)
    for compare in (intersection, lambda a, b: similarity("dot", a, b), lambda a, b: similarity_pairwise("dot", a, b)):
        with pytest.raises(InputError, match="found vectors of 3 and 4 numbers"):
            compare(vector, np.ones(4))


def test_the_largest():
    vector = SparseVectors.from_dense(np.array([[0, 2, -5, 2, 1, 0, 2]]))[0]
    assert vector.largest(None) is vector.largest(5) is vector.largest(9) is vector
    assert vector.largest(1).toarray().tolist() == [0, 0, -5, 0, 0, 0, 0]
    assert vector.largest(3).toarray().tolist() == [0, 2, -5, 2, 0, 0, 0], "of equal ones the first"


@pytest.mark.parametrize("name", MEASURES)
@pytest.mark.parametrize("seed", range(15))
def test_scores(name, seed):
    rng = np.random.default_rng(seed)
    size = int(rng.integers(1, 60))
    a = random_dense(rng, int(rng.integers(0, 20)), size, rng.random())
    b = random_dense(rng, int(rng.integers(0, 20)), size, rng.random())
    if len(a) and len(b):
        b[-1] = a[0]
    left, right = SparseVectors.from_dense(a), SparseVectors.from_dense(b)
    scores = similarity(name, left, right)
    expected = np.array([[expected_score(name, x, y) for y in b] for x in a]).reshape(len(a), len(b))
    assert (scores.dtype, scores.flags.c_contiguous) == (np.float32, True)
    # Of equal vectors a distance is the root of what float64 leaves of squares below 200.
    assert scores == pytest.approx(expected, rel=1e-6, abs=1e-6)
    assert similarity(name, right, left).tobytes() == np.ascontiguousarray(scores.T).tobytes()
    for row in range(len(a)):
        assert similarity(name, left[row], right).tobytes() == scores[row].tobytes(), "whatever else is compared"
    many = min(len(a), len(b))
    assert similarity_pairwise(name, left[:many], right[:many]) == pytest.approx(
        expected[range(many), range(many)], rel=1e-6, abs=1e-6
    )


def test_scores_of_single_vectors_and_pairs_that_do_not_match():
    vectors = SparseVectors.from_dense(np.array([[1, 0, 2], [0, 3, 1]]))
    assert similarity("dot", vectors[0], vectors[1]).tolist() == [[2]]
    assert similarity_pairwise("dot", vectors[0], vectors[1]) == 2
    assert np.ndim(similarity_pairwise("dot", vectors[0], vectors[1])) == 0
    assert similarity_pairwise("dot", vectors[:1], vectors[1]).tolist() == [2]
    with pytest.raises(InputError, match="found 2 and 1 vectors, expected as many"):
        similarity_pairwise("dot", vectors, vectors[1])


@pytest.mark.parametrize("seed", range(20))
def test_intersections_and_sparsity(seed):
    rng = np.random.default_rng(seed)
    dense = random_dense(rng, 9, int(rng.integers(1, 30)), 0.5)
    vectors = SparseVectors.from_dense(dense)
    for index, row in enumerate(vectors):
        expected = np.maximum(dense[index] * dense, 0)
        shared = intersection(row, vectors)
        assert shared.toarray().tobytes() == SparseVectors.from_dense(expected).toarray().tobytes()
        assert shared.nnz == np.count_nonzero(expected)
        assert isinstance(intersection(row, vectors[0]), SparseVector)
        assert intersection(row, vectors[0]).toarray().tolist() == expected[0].tolist()
        active = np.count_nonzero(dense[index])
        assert sparsity(row) == {"active_dims": active, "sparsity_ratio": 1 - active / dense.shape[1]}
    assert sparsity(vectors) == sparsity(dense)
    assert sparsity(vectors)["active_dims"] == np.count_nonzero(dense) / len(dense)
    assert sparsity(vectors[:0]) == {"active_dims": 0.0, "sparsity_ratio": 1.0}
    with pytest.raises(InputError, match="embeddings_1: found 9 vectors, expected one"):
        intersection(vectors, vectors)


def test_of_numpy_and_lists():
    dense = np.array([[1.5, 0, 0], [0, 0, -2]], np.float32)
    rows = list(SparseVectors.from_dense(dense))
    for value in (dense, dense.tolist(), dense.astype(np.float64), rows, tuple(rows), list(dense)):
        single, vectors = as_vectors("a", value)
        assert not single
        assert vectors.toarray().tobytes() == dense.tobytes()
    for value in (dense[0], dense[0].tolist(), list(dense[0]), rows[0]):
        single, vectors = as_vectors("a", value)
        assert single
        assert vectors.toarray().tobytes() == dense[:1].tobytes()
    for bad in (3, np.zeros((1, 2, 3)), "text", None, [[1, 2], [3]], object(), [dense]):
        with pytest.raises(InputError, match=r"^a( 0)?: found|^vector 1: found|expected vectors"):
            as_vectors("a", bad)


def test_as_an_array_of_numpy():
    dense = random_dense(np.random.default_rng(0), 7, 30)
    vectors = SparseVectors.from_dense(dense)
    for value, expected in ((vectors, dense), (vectors[2], dense[2]), (list(vectors), dense)):
        assert np.array(value).tobytes() == np.asarray(value).tobytes() == expected.tobytes()
        assert np.asarray(value).shape == expected.shape
        assert np.asarray(value, np.float64).dtype == np.float64
    for value in (vectors, vectors[2]):
        with pytest.raises(ValueError, match="always a copy"):
            value.__array__(copy=False)


def test_of_scipy_and_to_it():
    sparse = pytest.importorskip("scipy.sparse")
    dense = random_dense(np.random.default_rng(0), 7, 30)
    vectors = SparseVectors.from_dense(dense)
    matrix = vectors.to_scipy()
    assert (matrix.format, matrix.shape) == ("csr", dense.shape)
    assert matrix.has_canonical_format
    assert np.array_equal(matrix.toarray(), dense)
    unsorted = sparse.coo_matrix(([1.0, 2.0, 3.0], ([0, 0, 0], [2, 0, 2])), (1, 4))
    assert as_vectors("a", unsorted)[1].toarray().tolist() == [[2, 0, 4, 0]]
    for form in ("csr", "csc", "coo", "lil"):
        for value in (matrix.asformat(form), sparse.coo_array(dense).asformat(form)):
            assert np.array_equal(as_vectors("a", value)[1].toarray(), dense)
    assert similarity("dot", matrix, vectors).tobytes() == similarity("dot", vectors, vectors).tobytes()


def test_of_torch_and_to_it(torch):
    dense = random_dense(np.random.default_rng(0), 7, 30)
    vectors = SparseVectors.from_dense(dense)
    tensor = vectors.to_torch()
    assert tensor.is_sparse
    assert tensor.is_coalesced()
    torch._validate_sparse_coo_tensor_args(tensor.indices(), tensor.values(), tensor.shape)
    assert np.array_equal(tensor.to_dense().numpy(), dense)
    assert np.array_equal(vectors[2].to_torch().to_dense().numpy(), dense[2])
    tensors = (
        tensor,
        tensor.to_dense(),
        tensor.to_sparse_csr(),
        list(tensor),
        tensor.double(),
        tensor.requires_grad_(),
    )
    for value in tensors:
        single, found = as_vectors("a", value)
        assert not single
        assert found.toarray().tobytes() == dense.tobytes()
    single, found = as_vectors("a", tensor[2])
    assert single
    assert found.toarray().tobytes() == dense[2:3].tobytes()
    assert as_vectors("a", tensor.bfloat16())[1].nnz == vectors.nnz
    with pytest.raises(InputError, match=r"a: found shape \[1, 7, 30\]"):
        as_vectors("a", tensor.to_dense()[None])
