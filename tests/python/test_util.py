"""filbert.util by its definitions: every result is computed again, one pair at a time."""

import itertools
import warnings

import numpy as np
import pytest

from filbert import util
from filbert.errors import InputError
from filbert.sentence.sparse import SparseVectors
from filbert.util import search

PAIRS = {
    "cos_sim": lambda a, b: a @ b / np.sqrt((a @ a) * (b @ b)),
    "dot_score": lambda a, b: a @ b,
    "euclidean_sim": lambda a, b: -np.sqrt(((a - b) ** 2).sum()),
    "manhattan_sim": lambda a, b: -np.abs(a - b).sum(),
}


PAIRS_BY_NAME = ["cosine", "dot", "euclidean", "manhattan"]


def vectors(count, size=16, seed=0):
    return np.random.default_rng(seed).standard_normal((count, size), np.float32)


def clusters(count, each):
    """`count` groups of `each` vectors around a centre, in a random order."""
    generator = np.random.default_rng(1)
    centres = generator.standard_normal((count, 16))
    rows = np.repeat(centres, each, axis=0) + 0.5 * generator.standard_normal((count * each, 16))
    return generator.permutation(rows).astype(np.float32)


@pytest.mark.parametrize("name", PAIRS)
def test_scores_are_those_of_each_pair(name):
    a, b = vectors(7), vectors(5, seed=1)
    expected = [[PAIRS[name](left, right) for right in b.astype(float)] for left in a.astype(float)]
    # 16 products of numbers of about 1, each rounded to float32 (6e-8), give sums of up to some 30.
    assert getattr(util, name)(a, b) == pytest.approx(np.array(expected), abs=2e-5)
    assert getattr(util, f"pairwise_{name}")(a[:5], b) == pytest.approx(np.diagonal(expected), abs=2e-5)
    assert getattr(util, name)(a, b).dtype == getattr(util, f"pairwise_{name}")(a[:5], b).dtype == np.float32


@pytest.mark.parametrize("name", PAIRS)
def test_single_vectors_lists_and_sparse_rows(name):
    a, b = vectors(3), vectors(4, seed=1)
    function, pairwise = getattr(util, name), getattr(util, f"pairwise_{name}")
    scores = function(a, b)
    assert function(a[0], b).shape == (1, 4)
    np.testing.assert_array_equal(function(a.tolist(), list(b)), scores)
    assert pairwise(a[0], b[0]) == pytest.approx(scores[0, 0], abs=2e-5)
    assert np.ndim(pairwise(a[0], b[0])) == 0
    sparse = SparseVectors.from_dense(a)
    assert function(sparse, b) == pytest.approx(scores, abs=2e-5)
    assert pairwise(sparse, b[:3]) == pytest.approx(np.diagonal(scores), abs=2e-5)


def test_a_score_does_not_depend_on_its_company():
    a, b = vectors(37, 100), vectors(53, 100, seed=1)
    whole = util.cos_sim(a, b)
    np.testing.assert_array_equal(util.cos_sim(b, a), whole.T)
    for rows, columns in itertools.product((1, 6, 37), (1, 16, 53)):
        np.testing.assert_array_equal(util.cos_sim(a[:rows], b[:columns]), whole[:rows, :columns])


def test_tensors_with_gradients(torch):
    a, b = torch.randn(3, 8, requires_grad=True), torch.randn(4, 8, dtype=torch.bfloat16)
    expected = util.cos_sim(a.detach().numpy(), b.float().numpy())
    np.testing.assert_array_equal(util.cos_sim(a, b), expected)
    np.testing.assert_array_equal(util.cos_sim(list(a), list(b)), expected)


def test_tensors_give_tensors(torch):
    a, b = torch.randn(3, 8, requires_grad=True), torch.randn(3, 8)
    left, right = a.detach().numpy(), b.numpy()
    for name in (*PAIRS, *(f"pairwise_{name}" for name in PAIRS)):
        function = getattr(util, name)
        expected = torch.from_numpy(function(left, right))
        assert all(torch.equal(function(*two), expected) for two in ((a, b), (list(a), list(b)), (a, right))), name
        sparse = function(a.detach().to_sparse(), b)
        assert isinstance(sparse, torch.Tensor), name
        torch.testing.assert_close(sparse, expected)
    assert torch.equal(util.pairwise_cos_sim(a[0], b[0]), util.pairwise_cos_sim(a, b)[0])
    for name in ("maxsim", "mean_maxsim", "maxsim_pairwise", "mean_maxsim_pairwise"):
        function = getattr(util, name)
        assert torch.equal(function([a, b], [b, a]), torch.from_numpy(function([left, right], [right, left]))), name
    assert torch.equal(util.normalize_embeddings(a), torch.from_numpy(util.normalize_embeddings(left)))
    assert util.semantic_search(a, b) == util.semantic_search(left, right)
    assert util.paraphrase_mining_embeddings(a) == util.paraphrase_mining_embeddings(left)


def test_what_is_no_vectors_is_refused():
    with pytest.raises(InputError, match="embeddings1: found list, expected vectors"):
        util.cos_sim([[1.0, 2.0], [1.0]], [[1.0, 2.0]])
    with pytest.raises(InputError, match=r"found shape \[2, 2, 2\]"):
        util.dot_score(np.zeros((2, 2, 2)), np.zeros((2, 2)))
    with pytest.raises(InputError, match="found vectors of 4 and 3 numbers"):
        util.cos_sim(vectors(2, 4), vectors(2, 3))
    with pytest.raises(InputError, match=r"found shapes \[2, 16\] and \[3, 16\]"):
        util.pairwise_cos_sim(vectors(2), vectors(3))


def test_no_vectors():
    assert util.cos_sim(np.zeros((0, 4)), vectors(3, 4)).shape == (0, 3)
    assert util.semantic_search(np.zeros((0, 4)), vectors(3, 4)) == []
    assert util.semantic_search(vectors(2, 4), np.zeros((0, 4))) == [[], []]
    assert util.paraphrase_mining_embeddings(np.zeros((0, 4))) == []
    assert util.community_detection([]) == []


def nearest(scores, top_k):
    order = np.argsort(-scores, axis=1, kind="stable")[:, :top_k]
    return [[{"corpus_id": i, "score": float(row[i])} for i in ids.tolist()] for row, ids in zip(scores, order)]  # noqa: B905


@pytest.mark.parametrize("name", PAIRS)
def test_search_finds_the_largest_of_all(name):
    queries, corpus = vectors(11), vectors(9000, seed=1)
    score = getattr(util, name)
    # More columns than are sorted at a time, and more than a chunk.
    found = util.semantic_search(queries, corpus, query_chunk_size=4, corpus_chunk_size=5000, score_function=score)
    expected = nearest(score(queries, corpus), 10)
    assert [[hit["corpus_id"] for hit in hits] for hits in found] == [[h["corpus_id"] for h in x] for x in expected]
    if name in ("cos_sim", "dot_score"):
        assert found == expected


@pytest.mark.parametrize(("query_chunk_size", "corpus_chunk_size"), [(1, 1), (3, 7), (100, 40)])
def test_search_does_not_depend_on_chunks(monkeypatch, query_chunk_size, corpus_chunk_size):
    queries, corpus = vectors(10, 40), vectors(50, 40, seed=1)
    whole = util.semantic_search(queries, corpus, top_k=60)
    assert [len(hits) for hits in whole] == [50] * 10
    assert util.semantic_search(queries, corpus, query_chunk_size, corpus_chunk_size, top_k=60) == whole
    monkeypatch.setattr(search, "SCORES_AT_ONCE", 20)
    assert util.semantic_search(queries, corpus, query_chunk_size, corpus_chunk_size, top_k=60) == whole


def test_of_equal_scores_the_lower_number_comes_first():
    corpus = np.tile(vectors(3), (400, 1))
    hits = util.semantic_search(corpus[0], corpus, top_k=5, corpus_chunk_size=7)[0]
    assert [hit["corpus_id"] for hit in hits] == [0, 3, 6, 9, 12]
    assert len({hit["score"] for hit in hits}) == 1


def test_scores_of_any_function_and_sign():
    def signs(a, b):
        return np.broadcast_to(np.array([-0.0, 0.0, -1.0, -np.inf, 2.0], np.float32), (len(a), 5))

    hits = util.semantic_search(vectors(2), vectors(5), score_function=signs)
    assert [(hit["corpus_id"], hit["score"]) for hit in hits[1]] == [(4, 2), (0, 0), (1, 0), (2, -1), (3, -np.inf)]


def test_search_in_sparse_rows():
    queries, corpus = np.maximum(vectors(4), 0.5) - 0.5, np.maximum(vectors(30, seed=1), 0.5) - 0.5
    found = util.semantic_search(SparseVectors.from_dense(queries), SparseVectors.from_dense(corpus), 2, 7, top_k=3)
    assert [[hit["corpus_id"] for hit in hits] for hits in found] == [
        [hit["corpus_id"] for hit in hits] for hits in nearest(util.cos_sim(queries, corpus), 3)
    ]


def test_mining_in_sparse_rows():
    rows = np.maximum(vectors(40), 0.5) - 0.5
    found = util.paraphrase_mining_embeddings(SparseVectors.from_dense(rows), 7, 11, top_k=5)
    expected = mined(rows, 5, 1000)
    assert [pair[1:] for pair in found] == [pair[1:] for pair in expected]
    assert [pair[0] for pair in found] == pytest.approx([pair[0] for pair in expected], abs=1e-6)


def test_search_refuses_what_has_no_order():
    corpus = vectors(5)
    corpus[3, 0] = np.nan
    with pytest.raises(InputError, match="found NaN"):
        util.semantic_search(vectors(2), corpus)
    for name in ("top_k", "query_chunk_size", "corpus_chunk_size"):
        with pytest.raises(InputError, match=f"{name}: found 0"):
            util.semantic_search(vectors(2), vectors(5), **{name: 0})


def mined(rows, top_k, max_pairs):
    scores = util.cos_sim(rows, rows)
    pairs = set()
    for i, row in enumerate(scores):
        others = [j for j in np.argsort(-row, kind="stable").tolist() if j != i]
        pairs |= {(min(i, j), max(i, j)) for j in others[:top_k]}
    return sorted(([float(scores[i, j]), i, j] for i, j in pairs), key=lambda pair: (-pair[0], *pair[1:]))[:max_pairs]


@pytest.mark.parametrize("top_k", [1, 5, 100])
@pytest.mark.parametrize("max_pairs", [1, 40, 5000])
def test_mining_finds_the_pairs_of_all(monkeypatch, top_k, max_pairs):
    rows = vectors(60, 40)
    rows[30:40] = rows[7]
    expected = mined(rows, top_k, max_pairs)
    for chunks in ({}, {"query_chunk_size": 7, "corpus_chunk_size": 11}):
        assert util.paraphrase_mining_embeddings(rows, top_k=top_k, max_pairs=max_pairs, **chunks) == expected
    monkeypatch.setattr(search, "SCORES_AT_ONCE", 200)
    assert util.paraphrase_mining_embeddings(rows, top_k=top_k, max_pairs=max_pairs) == expected


def test_mining_encodes_what_it_is_given():
    class Model:
        def encode(self, sentences, **options):
            assert options == {
                "show_progress_bar": False,
                "batch_size": 32,
                "truncate_dim": 8,
                "prompt_name": None,
                "prompt": "x",
            }
            return vectors(len(sentences))

    assert util.paraphrase_mining(Model(), list("abc"), truncate_dim=8, prompt="x") == mined(vectors(3), 100, 3)


def communities(rows, threshold, smallest):
    scores = util.cos_sim(rows, rows)
    around = sorted(((np.flatnonzero(row >= np.float32(threshold)), i) for i, row in enumerate(scores)),
                    key=lambda pair: -len(pair[0]))  # fmt: skip
    groups, used = [], set()
    for close, centre in around:
        free = sorted((j for j in close.tolist() if j not in used), key=lambda j: -scores[centre, j])
        if centre not in used and len(close) >= smallest and len(free) >= smallest:
            groups.append([centre, *(j for j in free if j != centre)])
            used |= set(free)
    return sorted(groups, key=len, reverse=True)


@pytest.mark.parametrize("threshold", [0.5, 0.75, 0.9])
@pytest.mark.parametrize("smallest", [1, 4])
def test_communities_are_those_of_the_definition(monkeypatch, threshold, smallest):
    rows = clusters(12, 9)
    expected = communities(rows, threshold, smallest)
    assert len(expected) > 1
    assert util.community_detection(rows, threshold, smallest) == expected
    monkeypatch.setattr(search, "SCORES_AT_ONCE", 300)
    monkeypatch.setattr("filbert.util.communities.SCORES_AT_ONCE", 300)
    assert util.community_detection(rows.tolist(), threshold, smallest, batch_size=5) == expected


def test_a_community_that_is_too_small_is_none():
    assert util.community_detection(np.eye(5, dtype=np.float32), min_community_size=2) == []
    assert util.community_detection(np.eye(5, dtype=np.float32), min_community_size=6) == []


def test_quantising_with_given_ranges_does_not_depend_on_the_call():
    rows = vectors(200)
    ranges = np.stack([rows.min(axis=0), rows.max(axis=0)])
    whole = util.quantize_embeddings(rows, "int8")
    np.testing.assert_array_equal(util.quantize_embeddings(rows, "int8", ranges=ranges), whole)
    np.testing.assert_array_equal(util.quantize_embeddings(rows[:3], "int8", calibration_embeddings=rows), whole[:3])
    np.testing.assert_array_equal(util.quantize_embeddings(rows[5], "int8", ranges.tolist()), whole[5])
    np.testing.assert_array_equal(util.quantize_embeddings(rows, "uint8") - 128, whole.view(np.uint8))
    assert (whole.min(), whole.max()) == (-128, 127)
    assert util.quantize_embeddings(2 * ranges[1], "uint8", ranges).tolist() == [255] * 16
    assert util.quantize_embeddings(2 * ranges[0], "uint8", ranges).tolist() == [0] * 16


def test_quantising_lists_of_matrices_shares_ranges():
    rows = vectors(120)
    parts = [rows[:50], rows[50:50], rows[50:]]
    found = util.quantize_embeddings(parts, "int8")
    np.testing.assert_array_equal(np.concatenate(found), util.quantize_embeddings(rows, "int8"))
    assert [part.shape for part in util.quantize_embeddings(parts, "ubinary")] == [(50, 2), (0, 2), (70, 2)]
    assert util.quantize_embeddings([], "int8") == []


def test_quantising_refuses():
    with pytest.raises(InputError, match=r"ranges: found shape \[2, 3\], expected \[2, 16\]"):
        util.quantize_embeddings(vectors(2), "int8", ranges=np.zeros((2, 3)))
    with pytest.raises(InputError, match="takes its ranges from the vectors, and one has none"):
        util.quantize_embeddings(vectors(1), "int8")
    with pytest.raises(InputError, match="takes its ranges from the vectors, and one has none"):
        util.quantize_embeddings(vectors(1)[0], "uint8")
    with pytest.raises(InputError, match="found integers"):
        util.quantize_embeddings(np.zeros((2, 2), np.int8), "binary")
    with pytest.raises(InputError, match="precision: found 'int4'"):
        util.quantize_embeddings(vectors(2), "int4")
    with pytest.raises(InputError, match="calibration_embeddings: found shape"):
        util.quantize_embeddings(vectors(2), "int8", calibration_embeddings=vectors(1)[0])


def test_the_warning_about_few_vectors_names_the_caller():
    with pytest.warns(UserWarning, match="2 are few") as warned:
        util.quantize_embeddings(vectors(2), "int8")
    assert warned[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        util.quantize_embeddings(vectors(100), "int8")


def test_normalising_and_truncating():
    rows = vectors(3)
    assert np.linalg.norm(util.normalize_embeddings(rows), axis=1) == pytest.approx(np.ones(3), abs=1e-6)
    np.testing.assert_array_equal(util.normalize_embeddings(rows[0]), util.normalize_embeddings(rows)[0])
    assert util.normalize_embeddings(np.zeros((1, 4))).tolist() == [[0, 0, 0, 0]]
    np.testing.assert_array_equal(util.truncate_embeddings(rows, 5), rows[:, :5])
    assert util.truncate_embeddings(rows, None).shape == rows.shape
    with pytest.raises(InputError, match="truncate_dim: found -1"):
        util.truncate_embeddings(rows, -1)
    for listed in (rows.tolist(), list(rows), tuple(rows), rows[0].tolist()):
        found = util.truncate_embeddings(listed, 5)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, np.asarray(listed, np.float32)[..., :5])
    assert util.truncate_embeddings([], 5).shape == (0,)
    with pytest.raises(InputError, match="embeddings: found list, expected vectors"):
        util.truncate_embeddings([[1.0], [1.0, 2.0]], 5)


def test_measures_by_name():
    a, b = vectors(3), vectors(3, seed=1)
    for name in PAIRS_BY_NAME:
        scores = util.SimilarityFunction.to_similarity_fn(name)(a, b)
        pairs = util.SimilarityFunction.to_similarity_pairwise_fn(util.SimilarityFunction(name))(a, b)
        assert pairs == pytest.approx(np.diagonal(scores), abs=2e-5)
    assert util.SimilarityFunction.DOT is util.SimilarityFunction.DOT_PRODUCT
    assert util.SimilarityFunction.possible_values() == [*PAIRS_BY_NAME, "maxsim", "meanmaxsim"]
    with pytest.raises(ValueError, match="jaccard"):
        util.SimilarityFunction.to_similarity_fn("jaccard")


def test_late_interaction():
    query, document = vectors(3), vectors(5, seed=1)
    expected = util.dot_score(query, document).max(axis=1).sum()
    assert util.maxsim([query], [document]) == pytest.approx(np.array([[expected]]), abs=2e-5)
    assert util.maxsim_pairwise([query], [document]) == pytest.approx(np.array([expected]), abs=2e-5)
    assert util.mean_maxsim([query], [document]) == pytest.approx(np.array([[expected / 3]]), abs=2e-5)
    assert util.mean_maxsim_pairwise([query], [document]) == pytest.approx(np.array([expected / 3]), abs=2e-5)
    padded = np.concatenate([query, np.zeros((2, query.shape[1]), np.float32)])
    for one in (padded, padded[None]):
        assert util.mean_maxsim(one, document) == pytest.approx(np.array([[expected / 3]]), abs=2e-5)
        assert util.mean_maxsim_pairwise(one, document) == pytest.approx(np.array([expected / 3]), abs=2e-5)
    assert util.mean_maxsim([padded], [document]) == pytest.approx(np.array([[expected / 5]]), abs=2e-5)
