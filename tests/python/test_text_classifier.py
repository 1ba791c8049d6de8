"""Classifiers fitted on sentence vectors: their chances, their files, and what is refused."""

import contextlib
import errno
import json
import os
import pickle
import random
import subprocess
import sys

import numpy as np
import pytest
import text_models
from late_interaction import write_dense, write_modules
from text_models import VOCABULARY, write_json

import filbert
from filbert import ConfigError, InputError, SentenceEncoder, TextClassifier
from filbert.labels import as_labels, encoded

WORDS = [word for word in VOCABULARY if word.isalpha()]
CLASSES = ["cats", "dogs", "weather"]
# Chances from logits that differ in float32 rounding: of products of 32 numbers with weights below 16 and vectors of
# length 1, at most 33 roundings of values below 16; a chance moves by at most half of what two logits move by.
TOLERANCE = 33 * 16 * 2.0**-24


def drawn(count, classes=CLASSES, seed=0):
    """Texts whose words lean to their label, and labels; some texts tell little."""
    rng = random.Random(seed)
    labels = [classes[index % len(classes)] for index in range(count)]
    own = {label: WORDS[3 * number : 3 * number + 3] for number, label in enumerate(classes)}
    texts = [" ".join(rng.choices(WORDS, k=4) + rng.choices(own[label], k=rng.randint(0, 4))) for label in labels]
    return texts, labels


@pytest.fixture
def source(tmp_path):
    return text_models.sentence_folder(tmp_path / "encoder")


@pytest.fixture
def sklearn():
    return pytest.importorskip("sklearn", reason="the train extra is not installed")


def reference(encoder, texts, labels, strength):
    """scikit-learn's model of the vectors as TextClassifier scales them, and the same scaling of others."""
    from sklearn.linear_model import LogisticRegression

    vectors = encoder.encode(texts).astype(float)
    mean = vectors.mean(0)
    length = np.sqrt(np.square(vectors - mean).sum(1).mean())
    # To the minimum: the loss is convex, so the other's early stop is all that they may differ by.
    model = LogisticRegression(C=strength, max_iter=10_000, tol=1e-8)
    return model.fit((vectors - mean) / length, labels), lambda others: (encoder.encode(others) - mean) / length


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("classes", [CLASSES, [False, True], [7, -1]])
def test_chances_are_those_of_scikit_learn(sklearn, tmp_path, classes, normalize):
    encoder = SentenceEncoder(text_models.sentence_folder(tmp_path / "encoder", normalize=normalize))
    texts, labels = drawn(120, classes)
    others, _ = drawn(50, classes, seed=1)
    classifier = TextClassifier(encoder).fit(texts, labels)
    model, scaled = reference(encoder, texts, labels, 3.0)
    assert classifier.C_ == 3
    assert classifier.classes_.tolist() == model.classes_.tolist() == sorted(classes)
    found, expected = classifier.predict_proba(others), model.predict_proba(scaled(others))
    assert (found.dtype, found.shape) == (np.float32, expected.shape)
    # A gradient below scikit-learn's tol of 1e-4 (of the mean loss), over a curvature of at least 1 / (C n).
    assert np.abs(found - expected).max() < 1e-4 * 3 * len(texts)
    sure = np.sort(expected)[:, -1] - np.sort(expected)[:, -2] > 0.01
    assert sure.sum() > 40
    assert classifier.predict(others)[sure].tolist() == model.predict(scaled(others))[sure].tolist()
    assert np.abs(found.sum(1) - 1).max() < 1e-6


def test_it_learns_and_one_text_is_one_result(sklearn, source):
    texts, labels = drawn(300)
    classifier = TextClassifier(source, num_threads=1).fit(iter(texts), np.array(labels))
    others, expected = drawn(300, seed=1)
    assert np.mean(classifier.predict(others) == np.array(expected)) > 0.6, "a third would be chance"
    assert classifier.predict(others[0]) == classifier.predict(others)[0]
    assert type(classifier.predict(others[0])) is str
    assert classifier.predict_proba(others[0]).tobytes() == classifier.predict_proba(others)[0].tobytes()
    assert classifier.predict([]).tolist() == []
    assert classifier.predict_proba([]).shape == (0, 3)
    again = TextClassifier(source).fit(texts, labels)
    assert again.predict_proba(others).tobytes() == classifier.predict_proba(others).tobytes()


def test_types_of_labels_survive(sklearn, source, tmp_path):
    texts, labels = drawn(30, [3, 5])
    for made, kind in ((labels, int), (np.array(labels, np.uint8), int), ([label == 3 for label in labels], bool)):
        classifier = TextClassifier(source).fit(texts, made)
        classifier.save_pretrained(tmp_path / "saved")
        for each in (classifier, TextClassifier.from_pretrained(tmp_path / "saved")):
            assert type(each.predict("a cat")) is kind
            assert each.classes_.tolist() == ([3, 5] if kind is int else [False, True])


def test_c_by_cross_validation(sklearn, source):
    from sklearn.model_selection import StratifiedKFold

    texts, labels = drawn(45)
    encoder = SentenceEncoder(source)
    classifier = TextClassifier(encoder, C="auto").fit(texts, labels)
    losses = {}
    vectors = encoder.encode(texts).astype(float)
    centred = vectors - vectors.mean(0)
    scaled, given = centred / np.sqrt(np.square(centred).mean()), np.array(labels)
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss

    for strength in (0.3, 1.0, 3.0, 10.0, 30.0, 100.0):
        model = LogisticRegression(C=strength / 32, max_iter=1000)
        losses[strength] = np.mean(
            [
                log_loss(given[test], model.fit(scaled[fit], given[fit]).predict_proba(scaled[test]))
                for fit, test in StratifiedKFold(5, shuffle=True, random_state=0).split(scaled, given)
            ]
        )
    assert min(losses, key=losses.get) == classifier.C_
    with pytest.raises(InputError, match="C: 'auto' needs two texts of each label or more, found one of some label"):
        TextClassifier(encoder, C="auto").fit(["a", "b", "c"], [1, 1, 2])


def test_saved_and_loaded(sklearn, source, tmp_path):
    texts, labels = drawn(60, ["é", "北京", "a b"])
    classifier = TextClassifier(source).fit(texts, labels)
    texts += [text for text in text_models.ODD_TEXTS if len(text) < 16]
    expected = classifier.predict_proba(texts)
    classifier.save_pretrained(tmp_path / "saved")
    loaded = TextClassifier.from_pretrained(tmp_path / "saved", num_threads=1)
    assert loaded.predict_proba(texts).tobytes() == expected.tobytes()
    assert loaded.classes_.tolist() == ["a b", "é", "北京"]
    loaded.save_pretrained(tmp_path / "again")
    loaded.save_pretrained(tmp_path / "saved")
    for folder in ("again", "saved"):
        again = TextClassifier.from_pretrained(tmp_path / folder)
        assert again.predict(texts).tolist() == classifier.predict(texts).tolist()
        assert len(json.loads((tmp_path / folder / "modules.json").read_text())) == 4
    copied = pickle.loads(pickle.dumps(classifier))
    assert copied.predict_proba(texts).tobytes() == classifier.predict_proba(texts).tobytes()
    with pytest.raises(InputError, match=r"fit: this classifier was loaded; fit a new one"):
        loaded.fit(texts[:60], labels)


def test_a_layer_takes_a_folder_that_no_module_is_in(sklearn, source, tmp_path):
    weight = np.random.default_rng(3).standard_normal((3, 32)).astype(np.float32)
    write_dense(source / "3_Dense", {"linear.weight": weight})
    kinds = {"": "Transformer", "1_Pooling": "Pooling", "3_Dense": "Dense"}
    write_modules(source, [(place, f"sentence_transformers.models.{kind}") for place, kind in kinds.items()])
    texts, labels = drawn(60)
    classifier = TextClassifier(source).fit(texts, labels)
    for _ in range(2):  # where the layer of an earlier save is, too
        classifier.save_pretrained(tmp_path / "saved")
        modules = json.loads((tmp_path / "saved" / "modules.json").read_text())
        assert [module["path"] for module in modules] == [*kinds, "4_Dense"]
        loaded = TextClassifier.from_pretrained(tmp_path / "saved")
        assert loaded.predict_proba(texts).tobytes() == classifier.predict_proba(texts).tobytes()


def test_a_save_that_is_cut_short_is_refused(sklearn, source, tmp_path, monkeypatch):
    """Over another classifier with as many labels, cut off at each of its renames."""
    texts, labels = drawn(60)
    older = TextClassifier(text_models.sentence_folder(tmp_path / "other", normalize=False)).fit(texts, labels)
    newer = TextClassifier(source).fit(texts, [label.upper() for label in labels])
    folder, real, outcomes = tmp_path / "saved", os.replace, []
    while not outcomes or outcomes[-1] != "saved":
        older.save_pretrained(folder)
        left = len(outcomes)

        def replace(old, new):
            nonlocal left
            left -= 1
            if left < 0:
                raise OSError(errno.EIO, "cut off")
            real(old, new)

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", replace)
            with contextlib.suppress(OSError):
                newer.save_pretrained(folder)
        try:
            loaded = TextClassifier.from_pretrained(folder)
        except ConfigError as error:
            outcomes.append(str(error))
        else:
            assert loaded.predict_proba(texts).tobytes() == newer.predict_proba(texts).tobytes()
            assert loaded.classes_.tolist() == newer.classes_.tolist()
            outcomes.append("saved")
    # config.json, the weights, the tokenizer's two, two of modules, two settings, modules.json, the layer's, labels.
    assert len(outcomes) > 10
    assert all("has no text_classifier.json" in outcome for outcome in outcomes[:-1])


def test_labels_behind_a_link_stay_there(sklearn, source, tmp_path):
    (tmp_path / "saved").mkdir()
    (tmp_path / "labels.json").write_text("{}")
    (tmp_path / "saved" / "text_classifier.json").symlink_to("../labels.json")
    TextClassifier(source).fit(*drawn(30)).save_pretrained(tmp_path / "saved")
    assert (tmp_path / "saved" / "text_classifier.json").is_symlink()
    assert json.loads((tmp_path / "labels.json").read_text()) == {"labels": CLASSES}


def test_prompts_and_a_prefix_of_the_vectors(sklearn, tmp_path):
    settings = {"prompts": {"query": "hello "}, "default_prompt_name": "query", "truncate_dim": 8}
    folder = text_models.sentence_folder(tmp_path / "encoder", settings=settings)
    texts, labels = drawn(60)
    classifier = TextClassifier(folder).fit(texts, labels)
    assert classifier.encoder.truncate_dim is None
    bare = TextClassifier(folder).fit([f"hello {text}" for text in texts], labels)
    bare.encoder.default_prompt_name = classifier.encoder.default_prompt_name = None
    assert bare.encoder.get_embedding_dimension() == 32
    classifier.encoder.default_prompt_name = "query"
    classifier.save_pretrained(tmp_path / "saved")
    loaded = TextClassifier.from_pretrained(tmp_path / "saved")
    assert loaded.predict_proba(texts).tobytes() == classifier.predict_proba(texts).tobytes()
    classifier.encoder.default_prompt_name = None
    assert classifier.predict_proba(texts).tobytes() != loaded.predict_proba(texts).tobytes()
    encoder = SentenceEncoder(folder)
    with pytest.raises(InputError, match=r"fit: the encoder keeps 8 numbers .* set encoder\.truncate_dim"):
        TextClassifier(encoder).fit(texts, labels)
    for make in (TextClassifier, TextClassifier.from_pretrained):
        with pytest.raises(InputError, match=r"^truncate_dim: found 8, expected None: what it would cut"):
            make(tmp_path / "saved", truncate_dim=8)
        assert make(tmp_path / "saved", truncate_dim=None).encoder.truncate_dim is None


@pytest.mark.parametrize("classes", [CLASSES, [False, True]])
def test_beside_sentence_transformers(sklearn, torch, tmp_path, classes):
    library = pytest.importorskip("sentence_transformers")
    folder = text_models.sentence_folder(tmp_path / "encoder")
    texts, labels = drawn(60, classes)
    classifier = TextClassifier(folder).fit(texts, labels)
    classifier.save_pretrained(tmp_path / "saved")
    theirs = library.SentenceTransformer(str(tmp_path / "saved"), device="cpu")
    logits = theirs.encode(texts).astype(float)
    assert logits.shape == (60, len(classes))
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert np.abs(classifier.predict_proba(texts) - chances).max() < TOLERANCE


def test_static_encoders(sklearn, source, tmp_path):
    filbert.distill(source, tmp_path / "static", dims=8)
    texts, labels = drawn(120)
    classifier = TextClassifier(tmp_path / "static").fit(texts, labels)
    classifier.save_pretrained(tmp_path / "saved")
    loaded = TextClassifier.from_pretrained(tmp_path / "saved")
    assert loaded.predict_proba(texts).tobytes() == classifier.predict_proba(texts).tobytes()


def test_predicting_takes_no_scikit_learn(sklearn, source, tmp_path):
    texts, labels = drawn(30)
    TextClassifier(source).fit(texts, labels).save_pretrained(tmp_path / "saved")
    code = (
        "import sys, filbert; sys.modules['sklearn'] = None\n"
        "print(filbert.TextClassifier.from_pretrained('saved').predict('a cat'))\n"
        "try: filbert.TextClassifier('encoder').fit(['a', 'b'], [1, 2])\n"
        "except ImportError as error: print(error)"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    lines = run.stdout.splitlines()
    assert lines[0] in CLASSES
    assert lines[1] == 'fitting a classifier takes scikit-learn: pip install "filbert[train]"'


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["a", None], r"label 1: found None \(NoneType\), expected a string, an integer or a boolean"),
        (["a", float("nan")], r"label 1: found nan \(float\)"),
        ([1.0, 2.0], r"label 0: found 1.0 \(float\)"),
        (["a", b"a"], r"label 1: found b'a' \(bytes\)"),
        ([1, True], r"label 1: found True \(bool\), expected int as label 0 is"),
        (["1", 1], r"label 1: found 1 \(int\), expected str as label 0 is"),
        (["a", "\ud800"], r"label 1: character 0 is a lone surrogate"),
        (["a"], r"labels: found 1 for 2 texts, expected one for each"),
        (["a", "b", "c"], r"labels: found 3 for 2 texts"),
        ("ab", r"labels: found 'ab' \(str\), expected a list of labels"),
        ({"a": 1, "b": 2}, r"labels: found a mapping"),
        (["a", "a"], r"labels: found only 'a', expected two different ones or more"),
    ],
)
def test_labels_that_are_none(labels, message):
    with pytest.raises(InputError, match=message):
        encoded(as_labels(labels, 2))


def test_labels_of_nothing():
    with pytest.raises(InputError, match="labels: found none, expected two different ones or more"):
        encoded(as_labels([], 0))


def test_what_makes_no_sense(sklearn, source, tmp_path):
    for value in (0, -1, True, None, float("nan"), float("inf"), "best"):
        with pytest.raises(InputError, match=r"C: found .*, expected a number above 0, or 'auto'"):
            TextClassifier(source, C=value)
    encoder = SentenceEncoder(source)
    with pytest.raises(InputError, match="num_threads: found options for a model that is loaded"):
        TextClassifier(encoder, num_threads=1)
    classifier = TextClassifier(encoder)
    for call in (classifier.predict, classifier.predict_proba):
        with pytest.raises(InputError, match="this classifier was not fitted: call fit"):
            call("a")
    with pytest.raises(InputError, match="not fitted"):
        classifier.save_pretrained(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()
    with pytest.raises(InputError, match=r"text 1: found None"):
        classifier.fit(["a", None], ["a", "b"])
    with pytest.raises(InputError, match=r"texts: found 'ab' \(str\), expected a list of strings"):
        classifier.fit("ab", ["a", "b"])
    assert "not fitted" in repr(classifier)


def test_folders_that_are_no_classifiers(sklearn, source, tmp_path):
    with pytest.raises(ConfigError, match=r"encoder: has no text_classifier\.json, which TextClassifier"):
        TextClassifier.from_pretrained(source)
    folder = tmp_path / "saved"
    TextClassifier(source).fit(*drawn(30)).save_pretrained(folder)
    for labels, message in (
        (["a", "b"], r"text_classifier\.json: found 2 labels, the model gives 3 numbers"),
        ("abc", r"text_classifier\.json: labels: found 'abc', expected a list"),
        (None, r"text_classifier\.json: labels: found None, expected a list"),
        (["a", "b", 1], r"text_classifier\.json: label 2: found 1 \(int\), expected str as label 0 is"),
        (["b", "a", "c"], r"text_classifier\.json: labels: found .*, expected different ones, sorted"),
        (["a", "a", "b"], r"text_classifier\.json: labels: found .*, expected different ones, sorted"),
        (["a", "a", "a"], r"text_classifier\.json: labels: found only 'a'"),
    ):
        write_json(folder / "text_classifier.json", {"labels": labels})
        with pytest.raises(ConfigError, match=message):
            TextClassifier.from_pretrained(folder)
