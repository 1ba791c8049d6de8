"""Feature extraction: beside transformers, and by itself."""

import copy
import warnings

import numpy as np
import pytest
from pipeline_references import KINDS, assert_alike, fitting, model_folder, plain_folder, random_texts, reference
from text_models import ODD_TEXTS

from filbert import AutoModel, AutoTokenizer, InputError, pipeline

TASK = "feature-extraction"
TEXTS = [*ODD_TEXTS, *random_texts(200)]
# Vectors after a norm are numbers about 1; rounding through two layers of large weights.
TOLERANCE = 2e-5


def write(folder, kind="wordpiece", **config):
    return model_folder(folder, kind, "Model", **config)


@pytest.fixture(scope="module", params=KINDS)
def both(request, tmp_path_factory):
    """(filbert's pipeline, transformers') of a folder."""
    folder = write(tmp_path_factory.mktemp("vectors") / request.param, request.param)
    return pipeline(TASK, folder), reference(TASK, folder)


@pytest.fixture(scope="module")
def extractor(tmp_path_factory):
    return pipeline(TASK, plain_folder(tmp_path_factory.mktemp("one") / "model", "Model"))


def assert_near(ours, theirs):
    """The same nesting to the shapes of arrays, and numbers that are near."""
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert np.shape(a) == np.shape(b)
        assert np.abs(np.asarray(a) - np.asarray(b)).max(initial=0) < TOLERANCE


def test_random_texts(both):
    ours, theirs = both
    assert_near(ours(TEXTS, truncation=True), theirs(TEXTS, truncation=True))


def test_lists_of_lists_of_floats(both):
    ours, theirs = both
    for texts in ("the cat", "", ["the cat"], ["the cat", "a"]):
        assert_alike(ours(texts), theirs(texts), tolerance=TOLERANCE)


@pytest.mark.parametrize("asked", [True, "pt", "np", False, None])
def test_tensors(both, torch, asked):
    ours, theirs = both
    for texts in ("the cat", ["the cat", "a"]):
        mine, others = ours(texts, return_tensors=asked), theirs(texts, return_tensors=asked)
        if isinstance(texts, str):
            mine, others = [mine], [others]
        assert_near(mine, others)
        kind = {"np": np.ndarray, False: list, None: list}.get(asked, torch.Tensor)
        for found in mine:
            assert isinstance(found, kind)
            if kind is not list:
                assert str(found.dtype).endswith("float32")


@pytest.mark.parametrize(
    "arguments",
    [
        {"truncation": True, "tokenize_kwargs": {"max_length": 7}},
        {"tokenize_kwargs": {"truncation": "longest_first", "max_length": 4}},
        {"tokenize_kwargs": {"truncation": True, "add_special_tokens": False}},
        {"tokenize_kwargs": {"max_length": 6}},
        {"truncation": True, "tokenize_kwargs": {"padding": True}},
    ],
    ids=str,
)
def test_keywords_of_the_tokenizer(both, arguments):
    ours, theirs = both
    texts = [text for text in TEXTS if text.strip()][:30]
    # transformers writes into the dict that it is given.
    assert_near(ours(texts, **arguments), theirs(texts, **copy.deepcopy(arguments)))


def test_texts_that_fit_are_not_cut(both):
    ours, theirs = both
    texts = fitting(theirs.model.name_or_path, random_texts(100, seed=1, longest=8), 20)
    assert_near(ours(texts), theirs(texts))


def test_options_given_early(tmp_path):
    folder = plain_folder(tmp_path / "model", "Model")
    ours = pipeline(TASK, folder, truncation=True, return_tensors="np")
    assert ours("the cat " * 40).shape == (1, 24, 32)
    with pytest.raises(InputError, match="input 0: has 82 tokens"):
        ours("the cat " * 40, truncation=False)


def test_a_call_leaves_what_it_says_nothing_of(tmp_path):
    folder = plain_folder(tmp_path / "model", "Model")
    ours = pipeline(TASK, folder, truncation=True, return_tensors="np")
    assert ours("the cat " * 40, truncation=None, return_tensors=None, tokenize_kwargs=None).shape == (1, 24, 32)
    assert ours("the cat " * 40, tokenize_kwargs={"max_length": 5}).shape == (1, 5, 32)
    ours = pipeline(TASK, folder, tokenize_kwargs={"truncation": True, "max_length": 6}, return_tensors="np")
    assert ours("the cat " * 40, tokenize_kwargs={"add_special_tokens": False}).shape == (1, 6, 32)
    with pytest.raises(InputError, match="input 0: has 82 tokens"):
        ours("the cat " * 40, truncation=False)


def test_the_vectors_are_those_of_the_model(extractor):
    tokenizer = AutoTokenizer.from_pretrained(extractor.model.name_or_path)
    model = AutoModel.from_pretrained(extractor.model.name_or_path)
    expected = model(**tokenizer(["the cat"], return_tensors="np")).last_hidden_state
    assert expected.shape == (1, 4, 32)
    assert np.array_equal(extractor("the cat", return_tensors="np"), expected)


def test_no_pooler_is_asked_for(tmp_path):
    folder = plain_folder(tmp_path / "model", "Model")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = pipeline(TASK, folder)
        assert "no pooler" in repr(made)
        with_one = AutoModel.from_pretrained(folder)
        assert pipeline(TASK, with_one)("the cat") == made("the cat")


@pytest.mark.parametrize("batch_size", [None, 1, 3, 64])
def test_results_do_not_depend_on_the_batch(both, batch_size):
    ours, _ = both
    arguments = {"truncation": True, "return_tensors": "np"}
    alone = [ours(text, **arguments) for text in TEXTS]
    for results in (
        ours(TEXTS, batch_size=batch_size, **arguments),
        ours(iter(TEXTS), batch_size=batch_size, **arguments),
    ):
        assert all(np.array_equal(a, b) for a, b in zip(alone, results, strict=True))


def test_iterators_give_iterators(extractor):
    read = []
    results = extractor((read.append(text) or text for text in ["the cat"] * 100), return_tensors="np")
    assert iter(results) is results
    assert not read
    next(results)
    assert len(read) == extractor.of_iterator
    assert len(list(results)) == 99


def test_more_texts_than_are_run_at_a_time(extractor):
    texts = random_texts(600, seed=2, longest=3)
    results = extractor(texts, return_tensors="np", truncation=True)
    for index in (0, 255, 256, 511, 512, 599):
        assert np.array_equal(results[index], extractor(texts[index], return_tensors="np", truncation=True))


def test_no_inputs(extractor):
    assert extractor([]) == []
    assert list(extractor(iter([]))) == []


def test_a_text_without_tokens(extractor):
    found = extractor(["", "the"], tokenize_kwargs={"add_special_tokens": False}, return_tensors="np")
    assert [array.shape for array in found] == [(1, 0, 32), (1, 1, 32)]
    assert extractor("", tokenize_kwargs={"add_special_tokens": False}) == [[]]


@pytest.mark.parametrize("bad", [None, 3, float("nan"), b"text", "a\ud800b", ["a", "b"], {"text": "a"}], ids=repr)
def test_a_bad_input_is_named(extractor, bad):
    with pytest.raises(InputError, match=r"input 1: found|input 1: character 1"):
        extractor(["the", bad])
    with pytest.raises(InputError, match="input 70: "):
        list(extractor(text for text in ["the"] * 70 + [bad]))


@pytest.mark.parametrize("bad", [None, 3, b"text", {"text": "a"}, {"a"}, np.zeros((2, 2))], ids=repr)
def test_what_is_no_list(extractor, bad):
    with pytest.raises(InputError, match="inputs: found "):
        extractor(bad)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"return_tensors": "tf"}, "return_tensors: found 'tf'"),
        ({"truncation": "yes"}, "truncation: found 'yes'"),
        ({"truncation": True, "tokenize_kwargs": {"truncation": True}}, "truncation: found twice"),
        ({"tokenize_kwargs": {"padding": "max_length"}}, "padding: found 'max_length', and there are no vectors of"),
        ({"tokenize_kwargs": {"max_length": 0}}, "max_length: found 0"),
        ({"tokenize_kwargs": {"max_length": 1}}, "max_length: found 1, but 2 special tokens are added"),
        ({"tokenize_kwargs": {"text_pair": "a"}}, "tokenize_kwargs: found text_pair, expected truncation"),
        ({"tokenize_kwargs": 3}, "tokenize_kwargs: found 3"),
    ],
)
def test_bad_options(extractor, options, message):
    with pytest.raises(InputError, match=message):
        extractor("the cat", **options)
    with pytest.raises(TypeError, match="unexpected keyword arguments: top_k"):
        extractor("the cat", top_k=3)
