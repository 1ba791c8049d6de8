"""Zero-shot classification: beside transformers, and by itself."""

import warnings

import numpy as np
import pytest
from pipeline_references import KINDS, assert_alike, model_folder, plain_folder, random_texts, reference
from text_models import ODD_TEXTS

from filbert import AutoTokenizer, ConfigError, InputError, pipeline

TASK = "zero-shot-classification"
NLI = {"entailment": 0, "neutral": 1, "contradiction": 2}
# transformers takes an empty text for no text, and raises.
TEXTS = [text for text in [*ODD_TEXTS, *random_texts(200)] if text]
LABELS = ["cat", "sunny day", "北京", "running ! ?"]


def write(folder, kind="wordpiece", label2id=NLI, **config):
    id2label = {number: label for label, number in label2id.items()}
    return model_folder(folder, kind, "ForSequenceClassification", id2label=id2label, label2id=label2id, **config)


def plain(folder, label2id=NLI):
    return plain_folder(folder, "ForSequenceClassification", tuple(NLI), label2id=label2id)


@pytest.fixture(scope="module", params=KINDS)
def both(request, tmp_path_factory):
    """(filbert's pipeline, transformers') of a folder."""
    folder = write(tmp_path_factory.mktemp("zero") / request.param, request.param)
    return pipeline(TASK, folder), reference(TASK, folder)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    return pipeline(TASK, plain(tmp_path_factory.mktemp("one") / "model"))


@pytest.mark.parametrize("multi_label", [False, True])
def test_random_texts(both, multi_label):
    ours, theirs = both
    arguments = {"candidate_labels": LABELS, "multi_label": multi_label}
    texts = TEXTS[::3] if multi_label else TEXTS
    assert_alike(ours(texts, **arguments), theirs(texts, **arguments))


@pytest.mark.parametrize("template", ["{}", "a {} .", "{0} or {0}?", "It ' s {:>9}!"])
@pytest.mark.parametrize("labels", ["cat, dog ,,  hello world", ["cat"], ("a", "b"), ["x", "x", "y"]])
def test_labels_and_templates(both, labels, template):
    ours, theirs = both
    for multi_label in (False, True):
        arguments = {"candidate_labels": labels, "hypothesis_template": template, "multi_label": multi_label}
        texts = TEXTS[:10]
        mine, others = ours(texts, **arguments), theirs(texts, **arguments)
        if labels == ["x", "x", "y"]:  # equal scores, which rounding may part
            mine, others = [by_label(found) for found in mine], [by_label(found) for found in others]
        assert_alike(mine, others)


def by_label(result):
    return sorted(map(list, zip(result["labels"], result["scores"], strict=True)))


@pytest.mark.parametrize(
    "label2id",
    [
        NLI,
        {"contradiction": 0, "entailment": 1},
        {"c": 0, "n": 1, "ENTAILS": 2},
        {"a": 0, "entail": 1, "b": 2},
        {"Entailment": 0},
    ],
    ids=str,
)
def test_which_label_is_entailment(tmp_path, label2id):
    folder = write(tmp_path / "model", label2id=label2id)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        ours = pipeline(TASK, folder)
    theirs = reference(TASK, folder)
    for multi_label in (False, True):
        arguments = {"candidate_labels": LABELS, "multi_label": multi_label}
        assert_alike(ours(TEXTS[:10], **arguments), theirs(TEXTS[:10], **arguments))


def test_no_label_is_entailment(tmp_path):
    folder = write(tmp_path / "model", label2id={"yes": 0, "no": 1, "not_entailment": 2})
    with pytest.warns(UserWarning, match="no label of the model's configuration begins with 'entail'"):
        ours = pipeline(TASK, folder)
    theirs = reference(TASK, folder)
    for multi_label in (False, True):
        arguments = {"candidate_labels": LABELS, "multi_label": multi_label}
        assert_alike(ours(TEXTS[:10], **arguments), theirs(TEXTS[:10], **arguments))


def test_labels_by_number_alone(tmp_path, classifier):
    folder = plain(tmp_path / "model", label2id=None)
    assert pipeline(TASK, folder)("the cat", LABELS) == classifier("the cat", LABELS)


@pytest.mark.parametrize("number", [7, "0", -1, None])
def test_an_entailment_that_is_no_label(tmp_path, number):
    folder = plain(tmp_path / "model")
    model = pipeline(TASK, folder).model
    model.config.label2id = {"entailment": number}
    with pytest.raises(ConfigError, match=r"label2id: found .* for 'entailment', expected 0 to 2"):
        pipeline(TASK, model)


def test_how_results_are_nested(both):
    ours, theirs = both
    for texts in ("the cat", ["the cat"], ["the cat", "a dog"]):
        assert_alike(ours(texts, LABELS), theirs(texts, LABELS))
        assert_alike(ours(sequences=texts, candidate_labels="a,b"), theirs(texts, candidate_labels="a,b"))


def test_options_given_early(tmp_path):
    folder = plain(tmp_path / "model")
    early = {"candidate_labels": "cat, dog", "hypothesis_template": "a {}", "multi_label": True}
    ours, theirs = pipeline(TASK, folder, **early), reference(TASK, folder, **early)
    for late in ({}, {"candidate_labels": ["sun"]}, {"multi_label": False}):
        assert_alike(ours("the cat", **late), theirs("the cat", **late))


@pytest.mark.parametrize("kind", KINDS)
def test_a_hypothesis_that_leaves_no_room(tmp_path, kind):
    """Nothing is cut then, as in transformers; what is too long for the model is an error."""
    folder = write(tmp_path / "model", kind)
    ours, theirs = pipeline(TASK, folder), reference(TASK, folder)
    theirs.tokenizer.model_max_length = ours.tokenizer.model_max_length = 14
    uncut = 0
    for words in range(1, 14):
        hypothesis = "the " * words
        length = len(ours.tokenizer("a dog run", hypothesis, verbose=False)["input_ids"])
        if length <= 20:
            arguments = {"candidate_labels": [hypothesis, "cat"], "hypothesis_template": "{}"}
            assert_alike(ours(["the cat", "a dog run"], **arguments), theirs(["the cat", "a dog run"], **arguments))
            uncut += length > 14
    assert uncut
    with pytest.raises(InputError, match=r"input 1: has .* positions; the hypothesis about the label leaves no room"):
        ours(["", "the cat"], ["the " * 60], hypothesis_template="{}")


def test_a_tokenizer_without_a_limit_cuts_to_that_of_the_model(tmp_path, classifier):
    folder = plain(tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(folder, model_max_length=int(1e30))
    text = "the cat " * 40
    assert pipeline(TASK, folder, tokenizer=tokenizer)(text, LABELS) == classifier(text, LABELS)


@pytest.mark.parametrize("batch_size", [None, 1, 3])
def test_results_do_not_depend_on_the_batch(both, batch_size):
    ours, _ = both
    whole = ours(TEXTS[:60], LABELS)
    assert [ours(text, LABELS) for text in TEXTS[:60]] == whole
    assert ours(TEXTS[:60], LABELS, batch_size=batch_size) == whole
    results = ours(iter(TEXTS[:60]), LABELS, batch_size=batch_size)
    assert iter(results) is results
    assert list(results) == whole


def test_an_empty_text_is_a_text(classifier):
    assert classifier(["", "the"], ["cat"])[0]["sequence"] == ""
    assert classifier([], ["cat"]) == []


@pytest.mark.parametrize("bad", [None, 3, float("nan"), b"text", "a\ud800b", ["a", "b"], {"text": "a"}], ids=repr)
def test_a_bad_input_is_named(classifier, bad):
    with pytest.raises(InputError, match=r"input 1: found|input 1: character 1"):
        classifier(["the", bad], LABELS)
    with pytest.raises(InputError, match="input 300: "):
        list(classifier((text for text in ["the"] * 300 + [bad]), ["cat"]))


@pytest.mark.parametrize("bad", [None, 3, b"text", {"text": "a"}, {"a"}, np.zeros((2, 2))], ids=repr)
def test_what_is_no_list(classifier, bad):
    with pytest.raises(InputError, match="inputs: found "):
        classifier(bad, LABELS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "candidate_labels: found None"),
        ({"candidate_labels": []}, "candidate_labels: found none"),
        ({"candidate_labels": ""}, "candidate_labels: found none"),
        ({"candidate_labels": " , "}, "candidate_labels: found none"),
        ({"candidate_labels": 3}, "candidate_labels: found 3"),
        ({"candidate_labels": ["a", 3]}, "candidate_labels 1: found 3"),
        ({"candidate_labels": ["a", "\ud800"]}, "candidate_labels 1: character 0 is a lone surrogate"),
        ({"candidate_labels": {"a", "b"}}, "candidate_labels: found a set"),
        (
            {"candidate_labels": "a", "hypothesis_template": "a label"},
            "hypothesis_template: found 'a label', exp",
        ),
        ({"candidate_labels": "a", "hypothesis_template": ""}, "hypothesis_template: found ''"),
        ({"candidate_labels": "a", "hypothesis_template": "{"}, "hypothesis_template: found '{'"),
        ({"candidate_labels": "a", "hypothesis_template": "{a}"}, "hypothesis_template: found '{a}'"),
        ({"candidate_labels": "a", "hypothesis_template": "{} {}"}, "hypothesis_template: found '{} {}'"),
        ({"candidate_labels": "a", "hypothesis_template": "{:d}"}, "hypothesis_template: found '{:d}'"),
        ({"candidate_labels": "a", "hypothesis_template": "{{}}"}, "hypothesis_template: found '{{}}'"),
        ({"candidate_labels": "a", "hypothesis_template": None}, "hypothesis_template 0: found None"),
    ],
)
def test_bad_options(classifier, options, message):
    with pytest.raises(InputError, match=message):
        classifier("the cat", **options)


def test_unknown_options(classifier):
    with pytest.raises(TypeError, match="unexpected keyword arguments: multi_class"):
        classifier("the cat", LABELS, multi_class=True)


def test_many_labels_are_not_all_tokenised_at_once(classifier, monkeypatch):
    taken = []
    sequences = type(classifier).sequences
    monkeypatch.setattr(
        type(classifier),
        "sequences",
        lambda self, items, *rest: taken.append(len(items)) or sequences(self, items, *rest),
    )
    texts = ["the cat runs"] * 60
    labels = [f"label {number}" for number in range(500)]
    found = classifier(texts, candidate_labels=labels)
    assert len(found) == 60
    assert len(taken) > 1
    assert max(taken) * len(labels) * 100 < 2**21
