"""Filling masks: the steps by themselves, and the whole beside transformers."""

import itertools
import random

import numpy as np
import pytest
from pipeline_models import LIMIT, SPACES, WORDS, write_model

import filbert
from filbert import ConfigError, InputError
from filbert.pipelines.fill_mask import best_tokens
from filbert.pipelines.ranking import highest

TEXT = "the [MASK] is sunny"
KEYS = ["score", "token", "token_str", "sequence"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("mlm"), "bert", "ForMaskedLM")


@pytest.fixture(scope="module")
def fill(folder):
    return filbert.pipeline("fill-mask", folder)


def random_text(draw, mask):
    words = draw.choices(WORDS, k=draw.randint(0, 9))
    for _ in range(draw.choice([0, 1, 1, 1, 1, 1, 2, 3])):
        words.insert(draw.randint(0, len(words)), mask)
    return "".join(word + draw.choice(SPACES) for word in words)


# The steps.


def test_the_highest_are_those_of_a_sort():
    generator = np.random.default_rng(0)
    for _ in range(200):
        values = generator.integers(0, 6, generator.integers(1, 30)).astype(np.float32)
        number = int(generator.integers(1, 35))
        expected = sorted(range(len(values)), key=lambda index: (-values[index], index))
        assert highest(values, number).tolist() == expected[:number]


def test_scores_are_shares_among_all_tokens():
    logits = np.random.default_rng(0).standard_normal((3, 50)).astype(np.float32) * 4
    exact = np.exp(logits.astype(np.float64))
    exact /= exact.sum(axis=1, keepdims=True)
    every = best_tokens(logits, 50)
    assert every.scores.sum(axis=1) == pytest.approx(1, abs=1e-6)
    assert every.scores == pytest.approx(np.take_along_axis(exact, every.tokens, axis=1), rel=1e-6)
    assert (best_tokens(logits, 4).tokens == every.tokens[:, :4]).all()
    among = best_tokens(logits, 3, np.array([3, 8, 20, 40]))
    for tokens, scores, row in zip(among.tokens, among.scores, exact, strict=True):
        assert tokens.tolist() == sorted([3, 8, 20, 40], key=lambda token: -row[token])[:3]
        assert scores == pytest.approx(row[tokens], rel=1e-6)


def test_scores_of_large_logits():
    found = best_tokens(np.array([[1e4, -1e4, 1e4, 0]], np.float32), 3)
    assert (found.tokens.tolist(), found.scores.tolist()) == ([[0, 2, 3]], [[0.5, 0.5, 0.0]])


# Beside transformers.


@pytest.mark.parametrize("family", ["bert", "roberta"])
@pytest.mark.filterwarnings("ignore:targets")
def test_beside_transformers(family, transformers, tmp_path):
    folder = write_model(tmp_path, family, "ForMaskedLM")
    ours = filbert.pipeline("fill-mask", folder)
    theirs = transformers.pipeline("fill-mask", str(folder), dtype="float32", device="cpu")
    transformers.logging.set_verbosity_error()
    draw = random.Random(family)
    targets = ["the", ["the", "cat", "zzz"], ["hello", "the", "hello", "北京", "Ġthe", "<s>"], ["unbeliev", "dog runs"]]
    compared = 0
    for _ in range(160):
        text = random_text(draw, ours.tokenizer.mask_token)
        options = {"top_k": draw.choice([None, 1, 2, 5, 20]), "targets": draw.choice([None, None, *targets])}
        if draw.random() < 0.2:
            options["tokenizer_kwargs"] = {"truncation": True, "max_length": draw.choice([8, 16])}
        inputs = draw.choice([text, text, [text], [text, ours.tokenizer.mask_token]])
        try:
            expected = theirs(inputs, **options)
        except Exception:
            with pytest.raises(InputError, match=r"(?i)input 0: has (no .*mask.* among its )?\d+ tokens"):
                ours(inputs, **options)
            continue
        found = ours(inputs, **options)
        if not near(expected):
            assert_same(found, expected)
            compared += 1
    assert compared >= 100


def near(value):
    """Whether scores follow one another so nearly that their order is rounding."""
    if isinstance(value[0], list):
        return any(map(near, value))
    scores = [filling["score"] for filling in value]
    return any(first - second < 1e-5 * first for first, second in itertools.pairwise(scores))


def assert_same(found, expected):
    assert type(found) is type(expected) is list
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        if isinstance(theirs, list):
            assert_same(ours, theirs)
            continue
        assert list(ours) == list(theirs) == KEYS
        assert list(map(type, ours.values())) == list(map(type, theirs.values())) == [float, int, str, str]
        assert list(ours.values())[1:] == list(theirs.values())[1:]
        # Logits are off by some 1e-6 on either side.
        assert ours["score"] == pytest.approx(theirs["score"], rel=1e-4, abs=1e-7)


# How it is called.


def test_what_comes_back(fill):
    one = fill(TEXT)
    assert [list(filling) for filling in one] == [KEYS] * 5
    assert all(
        filling["sequence"] == f"the {filling['token_str']} is sunny" for filling in one if "#" not in str(filling)
    )
    other = "hello [MASK] !"
    assert fill([TEXT]) == one
    assert fill([TEXT, other]) == fill((TEXT, other)) == fill(np.array([TEXT, other])) == [one, fill(other)]
    assert fill([]) == []
    assert fill(TEXT, top_k=2, num_workers=1) == one[:2]
    assert len(fill(TEXT, top_k=10**6)) == fill.model.vocabulary


def test_several_masks(fill):
    first, second = fill("[MASK] cat [MASK]", top_k=2)
    assert [filling["sequence"] for filling in first] == [
        f"[CLS] {filling['token_str']} cat [MASK] [SEP]".replace(" ##", "") for filling in first
    ]
    assert len(second) == 2
    assert all(filling["sequence"].startswith("[CLS] [MASK] cat") for filling in second)


def test_targets(fill, folder):
    everything = {filling["token_str"]: filling for filling in fill(TEXT, top_k=10**6)}
    found = fill(TEXT, targets=["cat", "dog", "run", "cat"])
    assert found == sorted((everything[word] for word in ("cat", "dog", "run")), key=lambda each: -each["score"])
    assert fill(TEXT, targets=["cat", "dog", "run"], top_k=1) == found[:1]
    assert fill(TEXT, targets={"cat", "dog", "run"}) == found
    assert fill(TEXT, targets="dog") == [everything["dog"]]
    with pytest.warns(UserWarning, match="targets: 'catdog' is not in the vocabulary: 'cat' is taken"):
        assert fill(TEXT, targets="catdog") == [everything["cat"]]
    with pytest.warns(UserWarning, match="targets: ' ' is not in the vocabulary: it is left out"):
        assert fill(TEXT, targets=["dog", " "]) == [everything["dog"]]
    with pytest.warns(UserWarning, match="left out"), pytest.raises(InputError, match="targets: found"):
        fill(TEXT, targets=[" "])
    with_default = filbert.pipeline("fill-mask", folder, targets=["dog", "cat"], top_k=1)
    assert (
        with_default(TEXT)
        == with_default(TEXT, targets=None, top_k=None)
        == fill(TEXT, targets=["dog", "cat"], top_k=1)
    )
    assert with_default(TEXT, targets="run") == [everything["run"]]


def test_long_texts(fill):
    text = "[MASK] " + "dog " * (LIMIT + 10)
    with pytest.raises(InputError, match=r'input 1: has 73 tokens.*tokenizer_kwargs=\{"truncation": True\} cuts it'):
        fill([TEXT, text])
    cut = fill(text, tokenizer_kwargs={"truncation": True})
    assert cut[0]["sequence"].count("dog") >= LIMIT - 3
    assert fill(TEXT, tokenizer_kwargs={"padding": "max_length"}) == fill(TEXT)
    with pytest.raises(InputError, match=r"input 0: has no \[MASK\] among its 60 tokens"):
        fill("dog " * LIMIT + "[MASK]", tokenizer_kwargs={"truncation": True})
    with pytest.raises(TypeError, match="truncate"):
        fill(TEXT, tokenizer_kwargs={"truncate": True})


def test_batches_change_no_bit(fill):
    draw = random.Random(3)
    texts = [random_text(draw, "[MASK]") + " [MASK]" for _ in range(60)]
    expected = [fill(text) for text in texts]
    for batch_size in (1, 7, None):
        assert fill(texts, batch_size=batch_size) == expected
    assert fill(texts[::-1]) == expected[::-1]


def test_many_masks_go_through_the_vocabulary_in_parts(folder, monkeypatch):
    fill = filbert.pipeline("fill-mask", folder)
    texts = [TEXT] * 3000
    run, sizes = fill.model.run_packed, []

    def measured(*arguments):
        found = run(*arguments)
        sizes.append(found.size)
        return found

    monkeypatch.setattr(fill.model, "run_packed", measured)
    monkeypatch.setattr("filbert.pipelines.base._LOGITS_A_TOKEN", 4)
    assert fill(texts, top_k=1) == [fill(TEXT, top_k=1)] * 3000
    assert max(sizes) <= 4 * 8192


def test_an_iterator_gives_results_one_by_one(fill):
    texts = ["[MASK] " + word for word in ("dog", "cat", "run", "day")]
    taken = []
    results = fill((taken.append(text) or text for text in texts), batch_size=2)
    assert taken == []
    assert next(results) == fill(texts[0])
    assert taken == texts[:2]
    assert list(results) == [fill(text) for text in texts[1:]]
    assert list(fill(iter([]))) == []


# Bad input.


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "found None"),
        (b"[MASK]", "found b"),
        (float("nan"), "found nan"),
        (["[MASK]"], "found "),
        ("[MASK] \udc00", "character 7 is a lone surrogate"),
        ("", r"has no \[MASK\] among its 2 tokens"),
        ("the dog", r"has no \[MASK\] among its 4 tokens"),
    ],
)
def test_a_bad_text_is_named(fill, value, message):
    with pytest.raises(InputError, match=f"input 2: {message}"):
        fill([TEXT, TEXT, value])
    with pytest.raises(InputError, match=f"input 1: {message}"):
        list(fill(iter([TEXT, value])))
    if not isinstance(value, list):
        with pytest.raises(InputError, match=r"input( 0)?: "):
            fill(value)


@pytest.mark.parametrize("value", [{"a": 1}, {"a"}, 3, None, b"x", np.array([["a"]])])
def test_what_is_no_list_of_texts(fill, value):
    with pytest.raises(InputError, match="input: found"):
        fill(value)


def test_bad_options(fill, folder):
    for value in (0, -1, 2.5, "3", True):
        with pytest.raises(InputError, match=f"top_k: found {value!r}"):
            fill(TEXT, top_k=value)
    with pytest.raises(InputError, match="targets 1: found None"):
        fill(TEXT, targets=["dog", None])
    for value in ([], 3, {"dog": 1}, b"dog"):
        with pytest.raises(InputError, match="targets: found"):
            fill(TEXT, targets=value)
    with pytest.raises(TypeError, match="unexpected keyword arguments: topk"):
        fill(TEXT, topk=None)
    with pytest.raises(TypeError, match="unexpected keyword arguments: aggregation_strategy"):
        filbert.pipeline("fill-mask", folder, aggregation_strategy="simple")


def test_a_tokenizer_without_a_mask(tmp_path):
    folder = write_model(tmp_path, "bert", "ForMaskedLM")
    vocabulary = (folder / "vocab.txt").read_text(encoding="utf-8")
    (folder / "vocab.txt").write_text(vocabulary.replace("[MASK]", "masks"), encoding="utf-8")
    with pytest.raises(ConfigError, match="no mask token"):
        filbert.pipeline("fill-mask", folder)


def test_a_target_that_the_model_does_not_have(tmp_path):
    folder = write_model(tmp_path, "bert", "ForMaskedLM")
    with (folder / "vocab.txt").open("a", encoding="utf-8") as file:
        file.write("newest\n")
    fill = filbert.pipeline("fill-mask", folder)
    with pytest.raises(InputError, match=r"targets: 'newest' has id \d+, but the model has \d+ tokens"):
        fill(TEXT, targets=["dog", "newest"])
