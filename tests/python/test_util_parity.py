"""filbert.util beside sentence_transformers.util, on random vectors, where no two scores are equal."""

import inspect

import numpy as np
import pytest

from filbert import util


@pytest.fixture(scope="module")
def reference():
    pytest.importorskip("sentence_transformers", reason="the reference extra is not installed")
    from sentence_transformers import util as reference

    return reference


def vectors(count, size=32, seed=0):
    return np.random.default_rng(seed).standard_normal((count, size), np.float32)


def test_every_name_has_its_arguments(reference):
    for name in util.__all__:
        if name != "SimilarityFunction" and "maxsim" not in name:
            ours, theirs = (inspect.signature(getattr(module, name)).parameters for module in (util, reference))
            assert list(ours) == list(theirs), name
            defaults = {key: value.default for key, value in theirs.items() if key != "score_function"}
            assert {key: ours[key].default for key in defaults} == defaults, name
    assert util.SimilarityFunction.possible_values() == reference.SimilarityFunction.possible_values()


@pytest.mark.parametrize("name", ["cos_sim", "dot_score", "euclidean_sim", "manhattan_sim"])
def test_scores(reference, name):
    a, b = vectors(70), vectors(90, seed=1)
    # Sums of 32 float32 terms of up to 10 in another order: 32 * 6e-8 * 10.
    assert getattr(util, name)(a, b) == pytest.approx(getattr(reference, name)(a, b).numpy(), abs=2e-5)
    pairs = getattr(reference, f"pairwise_{name}")(a, b[:70]).numpy()
    assert getattr(util, f"pairwise_{name}")(a, b[:70]) == pytest.approx(pairs, abs=2e-5)


@pytest.mark.parametrize("name", ["maxsim", "mean_maxsim", "maxsim_pairwise", "mean_maxsim_pairwise"])
def test_late_interaction_of_one_query(reference, name):
    """A bare array of vectors is padded with zeros, a list is not."""
    query, document = vectors(6), vectors(9, seed=1)
    query[4:], document[7:] = 0, 0
    for arguments in ((query, document), (query[None], document[None]), ([query], [document])):
        expected = getattr(reference, name)(*arguments).numpy()
        assert getattr(util, name)(*arguments) == pytest.approx(expected, abs=2e-5)


def test_search(reference):
    queries, corpus = vectors(30), vectors(800, seed=1)
    ours, theirs = (module.semantic_search(queries, corpus, top_k=17) for module in (util, reference))
    for own, their in zip(ours, theirs, strict=True):
        assert [hit["corpus_id"] for hit in own] == [hit["corpus_id"] for hit in their]
        assert [hit["score"] for hit in own] == pytest.approx([hit["score"] for hit in their], abs=1e-6)


@pytest.mark.parametrize(("top_k", "max_pairs"), [(3, 100000), (100, 500)])
def test_mining(reference, torch, top_k, max_pairs):
    rows = vectors(300)
    ours = util.paraphrase_mining_embeddings(rows, top_k=top_k, max_pairs=max_pairs)
    theirs = reference.paraphrase_mining_embeddings(torch.from_numpy(rows), top_k=top_k, max_pairs=max_pairs)
    assert [pair[1:] for pair in ours] == [pair[1:] for pair in theirs]
    assert [pair[0] for pair in ours] == pytest.approx([pair[0] for pair in theirs], abs=1e-6)


@pytest.mark.parametrize("threshold", [0.6, 0.75])
def test_communities(reference, threshold):
    centres = np.repeat(vectors(30, seed=2), 20, axis=0)
    rows = centres + 0.45 * vectors(600)
    assert util.community_detection(rows, threshold, 5) == reference.community_detection(rows, threshold, 5)


@pytest.mark.parametrize("precision", ["float32", "int8", "uint8", "binary", "ubinary"])
def test_quantising(reference, precision):
    rows, ranges = vectors(200, 30), np.sort(vectors(2, 30, seed=1), axis=0)
    for options in ({}, {"ranges": ranges}, {"calibration_embeddings": vectors(150, 30, seed=3)}):
        ours, theirs = (module.quantize_embeddings(rows, precision, **options) for module in (util, reference))
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype
