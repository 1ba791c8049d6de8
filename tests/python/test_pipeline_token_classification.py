"""Token classification: the strategies by hand, beside transformers, and the pipeline by itself."""

import itertools
import random
import warnings

import numpy as np
import pytest
from pipeline_references import KINDS, REAL, assert_alike, model_folder, plain_folder, quietly, random_texts, reference
from text_models import ODD_TEXTS

from filbert import AutoModelForTokenClassification, AutoTokenizer, ConfigError, InputError, pipeline
from filbert.pipelines.entities import STRATEGIES, Token, entities_of, without_labels, without_overlaps

TASK = "token-classification"
LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "MISC", "X-Y-Z"]
TEXTS = [*ODD_TEXTS, *random_texts(200)]


def write(folder, kind="wordpiece", **config):
    return model_folder(folder, kind, "ForTokenClassification", **{"id2label": dict(enumerate(LABELS)), **config})


def plain(folder, labels=LABELS):
    return plain_folder(folder, "ForTokenClassification", labels)


@pytest.fixture(scope="module", params=[*KINDS, *REAL])
def both(request, tmp_path_factory):
    """(filbert's pipeline, transformers') of a folder."""
    folder = write(tmp_path_factory.mktemp("entities") / request.param, request.param)
    return pipeline("ner", folder), reference("ner", folder)


@pytest.fixture(scope="module")
def tagger(tmp_path_factory):
    return pipeline(TASK, plain(tmp_path_factory.mktemp("one") / "model"))


def assert_same(both, inputs, **options):
    ours, theirs = both
    assert_alike(quietly(ours, inputs, **options), quietly(theirs, inputs, **options))


def test_none_in_a_call_leaves_what_the_pipeline_was_made_with(tmp_path):
    made = {"aggregation_strategy": "simple", "stride": 2, "ignore_labels": []}
    tagger, text = pipeline(TASK, plain(tmp_path / "model"), **made), "the cat runs the dog hello world " * 8
    found = tagger(text)
    assert "entity_group" in found[0]
    assert found[-1]["end"] == len(text) - 1
    assert tagger(text, **dict.fromkeys(made)) == found


# The strategies, on scores given by hand.


def tokens(text, rows):
    """Tokens of a text, a row of scores for O, B-A, I-A, B-B, I-B each; ## marks those that go on with a word."""
    found, place = [], 0
    for position, (word, scores) in enumerate(rows, 1):
        plain = word.removeprefix("##")
        start = text.index(plain, place)
        place = start + len(plain)
        found.append(Token(word, np.float32(scores), start, place, position, word != plain))
    return found


def aggregated(rows, strategy):
    words = [word for word, _ in rows]
    text = " ".join(words).replace(" ##", "")
    labels = ["O", "B-A", "I-A", "B-B", "I-B"]
    found = entities_of(tokens(text, rows), labels, strategy, lambda words: " ".join(words).replace(" ##", ""))
    for entity in found:
        assert isinstance(entity["score"], np.float32)
        assert text[entity["start"] : entity["end"]] == entity["word"].removeprefix("##")
    return [
        (entity.get("entity", entity.get("entity_group")), entity["word"], float(entity["score"])) for entity in found
    ]


NONE, BA, IA, BB, IB = np.eye(5).tolist()


def test_no_strategy_gives_every_token():
    rows = [("new", [0.25, 0.75, 0, 0, 0]), ("york", IA), ("##er", [0, 0, 0.5, 0, 0.5])]
    assert aggregated(rows, "none") == [("B-A", "new", 0.75), ("I-A", "york", 1), ("I-A", "##er", 0.5)]
    assert [list(entity) for entity in entities_of(tokens("new york", rows[:1]), LABELS, "none", str)] == [
        ["entity", "score", "index", "word", "start", "end"]
    ]


@pytest.mark.parametrize(
    ("labels", "groups"),
    [
        ([BA, IA, IA], ["a b c"]),
        ([BA, BA, IA], ["a", "b c"]),
        ([IA, IA, BA], ["a b", "c"]),
        ([BA, IB, IB], ["a", "b c"]),
        ([BA, NONE, IA], ["a", "b", "c"]),
        ([NONE, NONE, BB], ["a b", "c"]),
    ],
)
def test_what_is_grouped(labels, groups):
    rows = list(zip("abc", labels, strict=True))
    for strategy in ("simple", "first", "average", "max"):
        assert [word for _, word, _ in aggregated(rows, strategy)] == groups


WORD = [("micro", [0, 0.5, 0.25, 0.25, 0]), ("##soft", [0, 0, 0.75, 0, 0.25]), ("##s", [0, 0.375, 0, 0.625, 0])]


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("simple", [("A", "microsoft", 0.625), ("B", "##s", 0.625)]),  # B-A and I-A go together, B-B does not
        ("first", [("A", "microsofts", 0.5)]),
        ("max", [("A", "microsofts", 0.75)]),
        ("average", [("A", "microsofts", 1 / 3)]),
    ],
)
def test_strategies_of_words(strategy, expected):
    found = aggregated(WORD, strategy)
    assert [entity[:2] for entity in found] == [entity[:2] for entity in expected]
    assert [entity[2] for entity in found] == pytest.approx([entity[2] for entity in expected])


def test_scores_of_groups_are_means():
    rows = [("a", [0, 0.75, 0.25, 0, 0]), ("b", [0.5, 0, 0.5, 0, 0]), ("c", [0.25, 0, 0.75, 0, 0])]
    assert aggregated(rows, "simple") == [("A", "a", 0.75), ("O", "b", 0.5), ("A", "c", 0.75)]
    assert aggregated([rows[0], rows[2]], "simple") == [("A", "a c", 0.75)]


def test_a_text_may_begin_within_a_word():
    assert aggregated([("##s", BA), ("x", NONE)], "first") == [("A", "##s", 1), ("O", "x", 1)]
    assert aggregated([], "first") == aggregated([], "none") == []


def entity(start, end, score, label="A"):
    return {"entity_group": label, "score": np.float32(score), "start": start, "end": end}


def test_of_two_that_overlap_the_longer_is_kept_then_the_likelier():
    short, long, likely, apart = entity(0, 4, 0.9), entity(2, 9, 0.5), entity(3, 10, 0.7), entity(10, 12, 0.1)
    assert without_overlaps([short, long, likely, apart]) == [likely, apart]
    assert without_overlaps([apart, likely, short]) == [likely, apart]
    assert without_overlaps([entity(0, 4, 0.5), entity(0, 4, 0.25)]) == [entity(0, 4, 0.5)]
    assert without_overlaps([entity(0, 4, 0.5), entity(4, 6, 0.5)]) == [entity(0, 4, 0.5), entity(4, 6, 0.5)]
    assert without_overlaps([]) == []


def test_labels_that_are_left_out():
    found = [entity(0, 1, 1, "O"), entity(1, 2, 1, "A")]
    assert without_labels(found, ["O"]) == found[1:]
    assert without_labels(found, ()) == found
    assert without_labels(found, {"O", "A"}) == []


# Beside transformers.


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_random_texts(both, strategy):
    texts = TEXTS if strategy in ("none", "average") else TEXTS[len(strategy) % 3 :: 3]
    assert_same(both, texts, aggregation_strategy=strategy)


def test_very_long_texts(both):
    texts = ["the cat runs, " * 300, "北京" * 2000]
    for options in ({}, {"aggregation_strategy": "simple", "stride": 3}):
        assert_same(both, texts, **options)


@pytest.fixture
def shorter(both):
    """`both`, whose sequences have at most 30 tokens."""
    before = both[0].tokenizer.model_max_length
    for made in both:
        made.tokenizer.model_max_length = min(before, 30)
    yield both
    for made in both:
        made.tokenizer.model_max_length = before


@pytest.mark.parametrize("strategy", STRATEGIES[1:])
def test_parts_that_overlap(shorter, strategy):
    for stride in (0, 1, 5):
        assert_same(shorter, TEXTS[stride::10], aggregation_strategy=strategy, stride=stride)


def test_parts_without_a_strategy(shorter):
    if shorter[0].tokenizer.padding_side == "left":
        pytest.skip("transformers counts padding into the index then")
    assert_same(shorter, TEXTS[:40], stride=4)


@pytest.mark.parametrize("ignored", [None, [], ["O", "PER"], ["MISC", "B-LOC", "Y-Z"]], ids=str)
@pytest.mark.parametrize("strategy", ["none", "simple", "max", None])
def test_labels_that_are_ignored(both, strategy, ignored):
    assert_same(both, TEXTS[:12], aggregation_strategy=strategy, ignore_labels=ignored)


def test_how_results_are_nested(both):
    for inputs in ("the cat", "", ["the cat"], ["the cat", "", "a dog"]):
        for strategy in ("none", "simple"):
            assert_same(both, inputs, aggregation_strategy=strategy)


def lists_of_words(count, seed=0):
    rng = random.Random(seed)
    words = [*" ".join(TEXTS[:40]).split(), "", " ", "two words", "don't", "\n"]
    return [rng.choices(words, k=rng.randint(1, 12)) for _ in range(count)]


@pytest.mark.parametrize("delimiter", [None, " ", "", "_", ", "])
@pytest.mark.parametrize("strategy", ["none", "simple", "first"])
def test_lists_of_words(both, strategy, delimiter):
    options = {"aggregation_strategy": strategy, "is_split_into_words": True, "delimiter": delimiter}
    assert_same(both, lists_of_words(15), **options)
    assert_same(both, [["the", "cat"]], **options)
    assert_same(both, ["the", "cat"], **options)  # one text, in a list


def test_lists_of_words_in_parts(both):
    options = {"aggregation_strategy": "simple", "is_split_into_words": True, "stride": 2}
    assert_same(both, lists_of_words(40, seed=1), **options)


def test_a_delimiter_is_for_words(both):
    assert_same(both, "the cat", delimiter="_")


def test_options_given_early(tmp_path):
    folder = write(tmp_path / "model")
    early = {"aggregation_strategy": "first", "ignore_labels": [], "stride": 2}
    ours, theirs = pipeline(TASK, folder, **early), reference(TASK, folder, **early)
    for late in ({}, {"aggregation_strategy": "simple"}, {"ignore_labels": ["O"]}, {"stride": 3}):
        assert_same((ours, theirs), TEXTS[:20], **late)


def test_strategies_by_other_names(both, transformers):
    from transformers.pipelines.token_classification import AggregationStrategy

    for strategy in ("SIMPLE", AggregationStrategy.SIMPLE):
        assert_same(both, TEXTS[:5], aggregation_strategy=strategy)


# By itself.


def test_types(tagger):
    for found in tagger("the cat runs", ignore_labels=[]):
        assert [type(value) for value in found.values()] == [str, np.float32, int, str, int, int]
    for found in tagger("the cat runs", ignore_labels=[], aggregation_strategy="average"):
        assert [type(value) for value in found.values()] == [str, np.float32, str, int, int]


def test_offsets_are_those_of_the_text(tagger):
    text = "\u3000the  Cat, 北京 running!"
    found = tagger(text, ignore_labels=[])
    assert [text[entity["start"] : entity["end"]] for entity in found] == (
        ["the", "Cat", ",", "北", "京", "run", "ning", "!"]
    )
    assert [entity["index"] for entity in found] == list(range(1, 9))
    assert found[6]["word"] == "##ning"


def test_ways_to_make_one(tmp_path):
    folder = plain(tmp_path / "model")
    expected = pipeline("ner", folder, ignore_labels=[])("the cat")
    assert len(expected) == 2
    assert pipeline(model=folder, ignore_labels=[])("the cat") == expected
    model = AutoModelForTokenClassification.from_pretrained(folder)
    assert pipeline(TASK, model)("the cat", ignore_labels=[]) == expected
    with pytest.raises(ConfigError, match="takes a model of AutoModelForSequenceClassification, found BertForToken"):
        pipeline("text-classification", model)


def test_labels_that_are_missing_or_no_strings(tmp_path):
    with pytest.raises(ConfigError, match="id2label: found no label 0, expected labels 0 to 1"):
        pipeline("ner", plain(tmp_path / "a", {1: "one", 2: "two"}))
    with pytest.raises(ConfigError, match="id2label: found 7, expected strings"):
        pipeline("ner", plain(tmp_path / "b", (7, 8)))


def test_what_is_cut_off_is_told_once(tmp_path):
    tagger = pipeline("ner", plain(tmp_path / "model"), ignore_labels=[])
    with pytest.warns(UserWarning, match="input 1 is cut to 24 tokens: a stride takes all of it"):
        found = tagger(["the", "cat " * 40, "dog " * 40])
    assert [len(entities) for entities in found] == [1, 22, 22]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert tagger("cat " * 40) == found[1]
        parts = pipeline("ner", plain(tmp_path / "model"), ignore_labels=[])("cat " * 40, stride=4)
    assert [entity["start"] for entity in parts] == list(range(0, 160, 4))


def test_words_that_the_tokenizer_does_not_know(tmp_path):
    tagger = pipeline("ner", write(tmp_path / "model", "byte_level"))
    with pytest.warns(UserWarning, match="the tokenizer does not say what a word is"):
        tagger("the cat", aggregation_strategy="first")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tagger("the cat", aggregation_strategy="simple")


def test_a_tokenizer_without_a_limit_cuts_to_that_of_the_model(tmp_path):
    folder = plain(tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(folder, model_max_length=int(1e30))
    one, other = pipeline("ner", folder, tokenizer=tokenizer), pipeline("ner", folder)
    for options in ({}, {"aggregation_strategy": "simple", "stride": 3}):
        assert quietly(one, "the cat " * 40, **options) == quietly(other, "the cat " * 40, **options)


@pytest.mark.parametrize("options", [{}, {"aggregation_strategy": "simple", "stride": 3}], ids=str)
@pytest.mark.parametrize("batch_size", [None, 1, 3, 64])
def test_results_do_not_depend_on_the_batch(both, batch_size, options):
    ours, _ = both
    alone = [quietly(ours, text, **options) for text in TEXTS[:40]]
    assert quietly(ours, TEXTS[:40], batch_size=batch_size, **options) == alone
    results = ours(iter(TEXTS[:40]), batch_size=batch_size, **options)
    assert iter(results) is results
    assert quietly(list, results) == alone


def test_an_iterator_is_read_as_results_are_taken(tagger):
    read = []
    results = tagger((read.append(number) or "the cat" for number in itertools.count()), batch_size=2)
    assert not read
    next(results)
    assert len(read) == 2


def test_no_inputs(tagger):
    assert tagger([]) == []
    assert list(tagger(iter([]))) == []
    assert tagger([], is_split_into_words=True) == []
    assert tagger([[]], is_split_into_words=True) == [[]]
    assert tagger("") == []


@pytest.mark.parametrize("bad", [None, 3, float("nan"), b"text", "a\ud800b", ["a", "b"], {"text": "a"}], ids=repr)
def test_a_bad_input_is_named(tagger, bad):
    with pytest.raises(InputError, match=r"input 1: found|input 1: character 1"):
        tagger(["the", bad])
    with pytest.raises(InputError, match="input 300: "):
        list(tagger(text for text in ["the"] * 300 + [bad]))


@pytest.mark.parametrize("bad", [None, 3, b"text", "text", {"text": "a"}], ids=repr)
def test_a_bad_list_of_words_is_named(tagger, bad):
    with pytest.raises(InputError, match=r"input 1: found .*, expected a list of words"):
        list(tagger(iter([["the"], bad]), is_split_into_words=True))
    with pytest.raises(InputError, match=r"inputs: found .*, expected a list of words, or a list of such lists"):
        tagger(bad, is_split_into_words=True)


@pytest.mark.parametrize("bad", [None, 3, b"text", "\ud800", ["a"]], ids=repr)
def test_a_bad_word_is_named(tagger, bad):
    with pytest.raises(InputError, match=r"input 1, word 2: "):
        tagger([["the"], ["a", "cat", bad]], is_split_into_words=True)
    with pytest.raises(InputError, match=r"input 0, word 1: "):
        tagger(["the", bad], is_split_into_words=True)


@pytest.mark.parametrize("bad", [None, 3, b"text", {"text": "a"}, {"a"}, np.zeros((2, 2))], ids=repr)
def test_what_is_no_list(tagger, bad):
    with pytest.raises(InputError, match="inputs: found "):
        tagger(bad)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"aggregation_strategy": "mean"}, "aggregation_strategy: found 'mean', expected one of none, simple, first"),
        ({"aggregation_strategy": 1}, "aggregation_strategy: found 1"),
        ({"ignore_labels": "O"}, "ignore_labels: found 'O', expected a list"),
        ({"ignore_labels": 3}, "ignore_labels: found 3"),
        ({"stride": -1}, "stride: found -1"),
        ({"stride": 1.5}, "stride: found 1.5"),
        ({"stride": 22}, "stride: found 22, expected less than 22, the tokens of a part"),
        ({"stride": 1, "aggregation_strategy": "none"}, "stride: texts run in parts need an aggregation_strategy"),
        ({"is_split_into_words": True, "delimiter": 3}, "delimiter 0: found 3"),
    ],
)
def test_bad_options(tagger, options, message):
    with pytest.raises(InputError, match=message):
        tagger(["the cat"], **options)


def test_options_that_are_gone(tagger):
    for name in ("grouped_entities", "ignore_subwords"):
        with pytest.raises(TypeError, match=f"unexpected keyword arguments: {name}"):
            tagger("the cat", **{name: True})
