"""Pairs of texts that mean the same."""

from typing import Any

import numpy as np

from ..checks import count
from ..scores import Floats
from .search import Best, Integers, ScoreFunction, block, prepared, rows_of
from .similarities import cos_sim


def paraphrase_mining(
    model: Any,
    sentences: list[str],
    show_progress_bar: bool = False,
    batch_size: int = 32,
    query_chunk_size: int = 5000,
    corpus_chunk_size: int = 100000,
    max_pairs: int = 500000,
    top_k: int = 100,
    score_function: ScoreFunction = cos_sim,
    truncate_dim: int | None = None,
    prompt_name: str | None = None,
    prompt: str | None = None,
) -> list[list[float | int]]:
    """The pairs of some texts with the largest scores.

    Args:
        model: a SentenceEncoder, or anything with its `encode`, which gets the texts, `show_progress_bar`,
            `batch_size`, `truncate_dim`, `prompt_name` and `prompt`.
        sentences: strings.
        query_chunk_size, corpus_chunk_size, max_pairs, top_k, score_function: see `paraphrase_mining_embeddings`.

    Returns:
        See `paraphrase_mining_embeddings`.

    Raises:
        InputError, MemoryError: see there, and `SentenceEncoder.encode`.
    """
    embeddings = model.encode(
        sentences,
        show_progress_bar=show_progress_bar,
        batch_size=batch_size,
        truncate_dim=truncate_dim,
        prompt_name=prompt_name,
        prompt=prompt,
    )
    return paraphrase_mining_embeddings(
        embeddings, query_chunk_size, corpus_chunk_size, max_pairs, top_k, score_function
    )


def paraphrase_mining_embeddings(
    embeddings: Any,
    query_chunk_size: int = 5000,
    corpus_chunk_size: int = 100000,
    max_pairs: int = 500000,
    top_k: int = 100,
    score_function: ScoreFunction = cos_sim,
) -> list[list[float | int]]:
    """The pairs of some vectors with the largest scores. All are compared with all, and never all at once.

    Args:
        embeddings: vectors [n, hidden]; an array, a tensor, a list or sparse rows.
        query_chunk_size, corpus_chunk_size: vectors compared at a time, at most; see `semantic_search`.
        max_pairs: how many pairs to return, at most.
        top_k: how many others are considered for each vector: those with the largest scores.
        score_function: see `semantic_search`; it has to be symmetric.

    Returns:
        [score, one number, a larger number] for each pair once, the largest score first, of equal ones by numbers.

    Raises:
        InputError: see `semantic_search`. MemoryError.
    """
    rows, columns = count("query_chunk_size", query_chunk_size), count("corpus_chunk_size", corpus_chunk_size)
    max_pairs, top_k = count("max_pairs", max_pairs), count("top_k", top_k)
    vectors = rows_of("embeddings", embeddings)
    number = len(vectors)
    columns = block(columns, min(rows, number))
    pairs = np.zeros(0, np.int64)  # each as one integer: the first, times `number`, and the second
    scores = np.zeros(0, np.float32)
    for begin in range(0, number, rows):
        queries = vectors[begin : begin + rows]
        best = Best(len(queries), min(top_k + 1, number))
        for first in range(0, number, columns):
            part, compare = prepared(score_function, vectors[first : first + columns])
            best.add(compare(queries, part), first)
        found, found_scores = _neighbours(best, begin, number, top_k)
        pairs, scores = _largest(np.concatenate([pairs, found]), np.concatenate([scores, found_scores]), max_pairs)
    return [[score, *divmod(pair, number)] for score, pair in zip(scores.tolist(), pairs.tolist(), strict=True)]


def _neighbours(best: Best, begin: int, number: int, top_k: int) -> tuple[Integers, Floats]:
    """The pairs of vectors from `begin` on with the best of the others, and their scores."""
    ids, scores = best.ids(), best.scores()
    own = np.arange(begin, begin + len(ids))[:, None]
    others = ids != own
    chosen = others & (np.cumsum(others, axis=1) <= top_k)
    pairs = np.minimum(ids, own) * number + np.maximum(ids, own)
    return pairs[chosen], scores[chosen]


def _largest(pairs: Integers, scores: Floats, most: int) -> tuple[Integers, Floats]:
    """Each pair once, with the first of its scores, and of these the largest."""
    pairs, first = np.unique(pairs, return_index=True)
    scores = scores[first]
    order = np.argsort(-scores, kind="stable")[:most]
    return pairs[order], scores[order]
