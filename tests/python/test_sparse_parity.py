"""SparseEncoder beside sentence-transformers, on folders that sentence-transformers saved."""

import numpy as np
import pytest
from sparse_models import SIZES, family_folder, generated_texts, splade_folder
from text_models import official_vocabulary

import filbert
from filbert import SparseEncoder

TEXTS = generated_texts(240)
FEW = generated_texts(60, seed=1)
# Logits of tiny models are below 20, and a logarithm only makes their errors smaller.
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def library():
    torch = pytest.importorskip("torch", reason="the reference extra is not installed")
    library = pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # for tiny models, waiting for others on a busy machine is most of the time
    yield library
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def reference(library):
    """Loads a folder with sentence-transformers."""
    settings = {"dtype": "float32", "attn_implementation": "eager"}
    return lambda folder, **more: library.SparseEncoder(str(folder), device="cpu", model_kwargs=settings, **more)


def check(found, expected, tolerance=TOLERANCE):
    """The same numbers, and no word that one has and the other has not but those of next to no weight."""
    assert found.shape == tuple(expected.shape)
    dense, other = found.toarray(), expected.to_dense().numpy()
    assert np.abs(dense - other).max(initial=0) < tolerance
    differ = (dense != 0) != (other != 0)
    assert not differ.any() or np.maximum(dense, other)[differ].max() < tolerance


def assert_same_weights(found, expected):
    """The same numbers; of two that are nearly equal, each side may have left out the other."""
    assert np.sort(found.toarray()) == pytest.approx(np.sort(expected.to_dense().numpy()), abs=TOLERANCE)


def by_weight(pairs):
    """Tokens and weights, with equal weights in one order."""
    return sorted(pairs, key=lambda pair: (-pair[1], str(pair[0])))


@pytest.mark.parametrize("pooling", [("max", "relu"), ("max", "log1p_relu"), ("sum", "relu")])
@pytest.mark.parametrize("name", ["bert", "distilbert", "roberta", "xlm-roberta"])
def test_many_texts(tmp_path, reference, library, name, pooling):
    theirs = reference(family_folder(tmp_path / "base", name))
    theirs[1].pooling_strategy, theirs[1].activation_function = pooling
    theirs.save_pretrained(str(tmp_path / "saved"))
    ours = SparseEncoder(tmp_path / "saved")
    expected, found = theirs.encode(TEXTS), ours.encode(TEXTS)
    tolerance = TOLERANCE * (ours.max_seq_length if pooling[0] == "sum" else 1)
    check(found, expected, tolerance)
    check(ours.encode(TEXTS[3]), theirs.encode(TEXTS[3]), tolerance)
    assert 5 < found.nnz / len(found) < 0.97 * found.shape[1], "neither all of the words nor none"
    tensor = found.to_torch()
    assert list(map(by_weight, ours.decode(found))) == list(map(by_weight, theirs.decode(tensor)))
    assert all(row == sorted(row, key=lambda pair: -pair[1]) for row in ours.decode(found))
    assert ours.decode(found, top_k=3) == theirs.decode(tensor, top_k=3)
    assert ours.decode(found[5]) == theirs.decode(tensor[5])
    assert ours.sparsity(found) == pytest.approx(theirs.sparsity(tensor), rel=1e-6)
    assert ours.max_seq_length <= theirs.max_seq_length
    assert ours.get_embedding_dimension() == found.shape[1] == theirs[1].get_embedding_dimension()


def test_a_vocabulary_of_30522_words(tmp_path, reference):
    folder = official_vocabulary(tmp_path)
    words = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
    filbert.BertForMaskedLM(filbert.BertConfig(vocab_size=len(words), **SIZES), seed=0).save_pretrained(folder)
    ours, theirs = SparseEncoder(folder), reference(folder)
    texts = [text[:60] for text in FEW]  # of 24 tokens at most, or else sentence-transformers goes beyond the model
    texts = [text for text in texts if len(ours.tokenizer(text)["input_ids"]) <= 24]
    texts = texts[:16]
    check(ours.encode(texts), theirs.encode(texts))
    assert_same_weights(ours.encode(texts, max_active_dims=100), theirs.encode(texts, max_active_dims=100))


def test_tensors(tmp_path, reference, torch):
    folder = splade_folder(tmp_path)
    ours, theirs = SparseEncoder(folder), reference(folder)
    for texts in (FEW, FEW[3]):
        for options in ({"convert_to_tensor": True}, {"convert_to_tensor": True, "convert_to_sparse_tensor": False}):
            for more in ({}, {"save_to_cpu": True}):
                found, expected = ours.encode(texts, **options, **more), theirs.encode(texts, **options, **more)
                assert (found.layout, found.dtype, found.shape) == (expected.layout, expected.dtype, expected.shape)
                assert torch.allclose(found.to_dense(), expected.to_dense(), atol=TOLERANCE)
    for sparse in (True, False):
        options = {"convert_to_tensor": False, "convert_to_sparse_tensor": sparse}
        found, expected = ours.encode(FEW, **options), theirs.encode(FEW, **options)
        assert [(one.layout, one.shape) for one in found] == [(one.layout, one.shape) for one in expected]
        stacked = torch.stack([one.to_dense() for one in found])
        assert torch.allclose(stacked, torch.stack([one.to_dense() for one in expected]), atol=TOLERANCE)
    assert ours.encode([], convert_to_tensor=True).shape == (0, 40)
    assert ours.encode([], convert_to_tensor=False) == theirs.encode([], convert_to_tensor=False) == []
    positional = ("query", None, 7, False, True, True, False, None, 5)
    assert torch.allclose(
        ours.encode(FEW, *positional).to_dense(), theirs.encode(FEW, *positional).to_dense(), atol=1e-5
    )


@pytest.mark.parametrize("name", ["dot", "cosine", "euclidean", "manhattan"])
def test_similarities(tmp_path, reference, name):
    folder = splade_folder(tmp_path)
    ours, theirs = SparseEncoder(folder), reference(folder)
    assert ours.similarity_fn_name == theirs.similarity_fn_name == "dot"
    ours.similarity_fn_name = theirs.similarity_fn_name = name
    a, b = ours.encode(TEXTS[:40]), ours.encode(FEW[20:60])
    # Both sums are of 40 products below 10; theirs of a distance is a root of what is left of them.
    for left, right in ((a, b), (a[0], b), (a[:7], b[3])):
        expected = theirs.similarity(left.to_torch(), right.to_torch()).numpy()
        assert ours.similarity(left, right) == pytest.approx(expected, abs=1e-2 if name == "euclidean" else 1e-4)
    dense = theirs.similarity_pairwise(a.to_torch().to_dense(), b.to_torch().to_dense()).numpy()
    assert ours.similarity_pairwise(a, b) == pytest.approx(dense, abs=1e-4)


def test_intersections(tmp_path, reference):
    folder = splade_folder(tmp_path)
    ours, theirs = SparseEncoder(folder), reference(folder)
    vectors = ours.encode(FEW)
    tensor = vectors.to_torch()
    for row in range(20):
        check(ours.intersection(vectors[row], vectors), theirs.intersection(tensor[row], tensor))
        check(ours.intersection(vectors[row], vectors[5]), theirs.intersection(tensor[row], tensor[5]))


def test_max_active_dims(tmp_path, reference, library):
    folder = splade_folder(tmp_path, settings={"max_active_dims": 9})
    ours, theirs = SparseEncoder(folder), reference(folder)
    assert ours.max_active_dims == theirs.max_active_dims == 9
    every = ours.encode(TEXTS, max_active_dims=1000)
    check(every, theirs.encode(TEXTS, max_active_dims=1000))
    select = library.util.select_max_active_dims
    for options, most in (({}, 9), ({"max_active_dims": 1}, 1), ({"max_active_dims": 20}, 20)):
        found = ours.encode(TEXTS, **options)
        assert np.array_equal(found.toarray(), select(every.toarray(), most).numpy())
        assert_same_weights(found, theirs.encode(TEXTS, **options))
    assert SparseEncoder(folder, max_active_dims=2).encode("hello world").nnz == 2


PROMPTS = {"query": "the cat ", "passage": "we ", "none": None}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"prompts": PROMPTS},
        {"prompts": PROMPTS, "default_prompt_name": "passage"},
        {"prompts": {}, "default_prompt_name": "query"},
        {"prompts": {**PROMPTS, "document": None}, "default_prompt_name": "query"},
    ],
)
@pytest.mark.parametrize("given", [{}, {"prompts": {"query": "sun ", "new": "1 "}, "default_prompt_name": "new"}])
def test_prompts(tmp_path, reference, settings, given):
    folder = splade_folder(tmp_path, settings=settings)
    ours, theirs = SparseEncoder(folder, **given), reference(folder, **given)
    assert ours.prompts == theirs.prompts
    assert ours.default_prompt_name == theirs.default_prompt_name
    for name in ("encode", "encode_query", "encode_document"):
        for options in ({}, {"prompt": "a dog "}, {"prompt": ""}, {"prompt_name": "document"}):
            check(getattr(ours, name)(FEW[:25], **options), getattr(theirs, name)(FEW[:25], **options))


def test_evaluators(tmp_path, reference):
    """Those of sentence-transformers, which ask for tensors by save_to_cpu alone."""
    evaluation = pytest.importorskip("sentence_transformers.sparse_encoder.evaluation")
    folder = splade_folder(tmp_path)
    ours, theirs = SparseEncoder(folder), reference(folder)
    first, second, labels = ["a cat", "the dog", "long day"], ["cats", "the sun", "hello"], [1, 1, 0]
    evaluators = [
        evaluation.SparseInformationRetrievalEvaluator(
            dict(zip("pqr", first, strict=True)), dict(zip("abc", second, strict=True)), {"p": {"a"}, "q": {"c"}}
        ),
        evaluation.SparseEmbeddingSimilarityEvaluator(first, second, [1.0, 0.7, 0.1]),
        evaluation.SparseBinaryClassificationEvaluator(first, second, labels),
        evaluation.SparseTripletEvaluator(first, second, first[::-1]),
        evaluation.SparseRerankingEvaluator([{"query": "a cat", "positive": ["cats"], "negative": ["sun", "day"]}]),
    ]
    for evaluator in evaluators:
        evaluator.write_csv = False
        assert evaluator(ours) == pytest.approx(evaluator(theirs), abs=1e-4)
    # Some of them leave their results a second time, with those of sparsity.
    assert list(dict.fromkeys(each[0] for each in ours.model_card_data.evaluations)) == evaluators
