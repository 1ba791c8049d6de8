"""Scores between vectors, one function a measure.

Each takes float vectors [n, hidden] or one [hidden], as lists, NumPy arrays, tensors of PyTorch (from any device, with
gradients too) or filbert's, SciPy's and PyTorch's sparse rows. It gives float32: a tensor on their device, without
gradients, for tensors or a list of them, else NumPy. A score of `cos_sim` and `dot_score` is bit-identical whatever it
is computed with. All raise InputError for what is no vectors, and for vectors of two widths.
"""

from collections.abc import Callable
from enum import Enum
from typing import Any

from ..sentence import maxsim as late_interaction
from ..sentence import sparse_similarity, vectors
from ..sentence.alike import alike
from ..sentence.sparse import SparseVector, SparseVectors


def cos_sim(a: Any, b: Any) -> Any:
    """Cosines [n, m] of all vectors of `a` with all of `b`; with a vector of zeros 0."""
    return _scores("cosine", a, b)


pytorch_cos_sim = cos_sim  # its name before sentence-transformers 1.0


def dot_score(a: Any, b: Any) -> Any:
    """Dot products [n, m] of all vectors of `a` with all of `b`."""
    return _scores("dot", a, b)


def euclidean_sim(a: Any, b: Any) -> Any:
    """Negative Euclidean distances [n, m] of all vectors of `a` from all of `b`."""
    return _scores("euclidean", a, b)


def manhattan_sim(a: Any, b: Any) -> Any:
    """Negative sums of absolute differences [n, m] of all vectors of `a` from all of `b`."""
    return _scores("manhattan", a, b)


def pairwise_cos_sim(a: Any, b: Any) -> Any:
    """Cosines [n] of each vector of `a` with the one of `b` at its place; of two single vectors a number."""
    return _pair_scores("cosine", a, b)


def pairwise_dot_score(a: Any, b: Any) -> Any:
    """Dot products [n] of each vector of `a` with the one of `b` at its place; of two single vectors a number."""
    return _pair_scores("dot", a, b)


def pairwise_euclidean_sim(a: Any, b: Any) -> Any:
    """Negative Euclidean distances [n] of each vector of `a` from the one of `b` at its place."""
    return _pair_scores("euclidean", a, b)


def pairwise_manhattan_sim(a: Any, b: Any) -> Any:
    """Negative sums of absolute differences [n] of each vector of `a` and the one of `b` at its place."""
    return _pair_scores("manhattan", a, b)


def maxsim(a: Any, b: Any) -> Any:
    """Scores of late interaction [n, m] of lists of arrays [tokens, width]: see `MultiVectorEncoder.similarity`."""
    return alike(late_interaction.scores("maxsim", a, b), a, b)


def mean_maxsim(a: Any, b: Any) -> Any:
    """`maxsim`, divided by the number of vectors that each of `a` has."""
    return alike(late_interaction.scores("meanmaxsim", a, b), a, b)


def maxsim_pairwise(a: Any, b: Any) -> Any:
    """Scores of late interaction [n] of each array of `a` with the one of `b` at its place."""
    return alike(late_interaction.pair_scores("maxsim", a, b), a, b)


def mean_maxsim_pairwise(a: Any, b: Any) -> Any:
    """`maxsim_pairwise`, divided by the number of vectors that each of `a` has."""
    return alike(late_interaction.pair_scores("meanmaxsim", a, b), a, b)


class SimilarityFunction(Enum):
    """The measures by their names."""

    COSINE = "cosine"
    DOT_PRODUCT = "dot"
    DOT = "dot"  # another name for the same
    EUCLIDEAN = "euclidean"
    MANHATTAN = "manhattan"
    MAXSIM = "maxsim"
    MEAN_MAXSIM = "meanmaxsim"

    @staticmethod
    def to_similarity_fn(similarity_function: "str | SimilarityFunction") -> Callable[[Any, Any], Any]:
        """The function for all pairs. Raises ValueError for a name that is none."""
        return _FUNCTIONS[SimilarityFunction(similarity_function)][0]

    @staticmethod
    def to_similarity_pairwise_fn(similarity_function: "str | SimilarityFunction") -> Callable[[Any, Any], Any]:
        """The function for pairs at one place. Raises ValueError for a name that is none."""
        return _FUNCTIONS[SimilarityFunction(similarity_function)][1]

    @staticmethod
    def possible_values() -> list[str]:
        return [measure.value for measure in SimilarityFunction]


_FUNCTIONS: dict[SimilarityFunction, tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]]] = {
    SimilarityFunction.COSINE: (cos_sim, pairwise_cos_sim),
    SimilarityFunction.DOT_PRODUCT: (dot_score, pairwise_dot_score),
    SimilarityFunction.EUCLIDEAN: (euclidean_sim, pairwise_euclidean_sim),
    SimilarityFunction.MANHATTAN: (manhattan_sim, pairwise_manhattan_sim),
    SimilarityFunction.MAXSIM: (maxsim, maxsim_pairwise),
    SimilarityFunction.MEAN_MAXSIM: (mean_maxsim, mean_maxsim_pairwise),
}


def is_sparse(value: Any) -> bool:
    """Whether `value` is rows of mostly zeros: filbert's, SciPy's, PyTorch's, or a list of such vectors."""
    if isinstance(value, list | tuple):
        return any(is_sparse(item) for item in value[:1])
    return (
        isinstance(value, SparseVector | SparseVectors)
        or hasattr(value, "tocsr")
        or getattr(value, "is_sparse", False) is True
    )


def _scores(name: str, a: Any, b: Any) -> Any:
    if is_sparse(a) or is_sparse(b):
        return alike(sparse_similarity.similarity(name, a, b), a, b)
    return alike(vectors.similarity(name, a, b), a, b)


def _pair_scores(name: str, a: Any, b: Any) -> Any:
    if is_sparse(a) or is_sparse(b):
        return alike(sparse_similarity.similarity_pairwise(name, a, b), a, b)
    return alike(vectors.similarity_pairwise(name, a, b), a, b)
