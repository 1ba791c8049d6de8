"""SentenceVectorizer in scikit-learn: a transformer like its own."""

import pickle

import numpy as np
import pytest
from text_models import SENTENCES, sentence_folder

import filbert

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline

from filbert.integrations.sklearn import SentenceVectorizer

TEXTS = ["a cat runs", "the cat is running", "cat", "a day", "sunny day", "the sun"] * 4
LABELS = [0, 0, 0, 1, 1, 1] * 4


@pytest.fixture
def folder(tmp_path):
    return sentence_folder(tmp_path / "model")


def test_vectors_are_the_encoders(folder):
    encoder = filbert.SentenceEncoder(folder)
    vectorizer = SentenceVectorizer(str(folder), truncate_dim=8, normalize_embeddings=True, prompt="the ")
    expected = encoder.encode(SENTENCES, truncate_dim=8, normalize_embeddings=True, prompt="the ")
    np.testing.assert_array_equal(vectorizer.transform(SENTENCES), expected)
    np.testing.assert_array_equal(vectorizer.fit_transform(np.array(SENTENCES)), expected)
    assert vectorizer.get_feature_names_out().tolist() == [f"embedding{index}" for index in range(8)]
    pandas = pytest.importorskip("pandas")
    frame = vectorizer.set_output(transform="pandas").transform(pandas.Series(SENTENCES))
    assert list(frame.columns) == [f"embedding{index}" for index in range(8)]
    np.testing.assert_array_equal(frame.to_numpy(), expected)


def test_names_of_columns_are_as_many_as_the_vectors_have_numbers(tmp_path):
    """Whatever cuts them: the caller, the files or the width of the model. Nothing needs to be fitted first."""
    whole, cut = sentence_folder(tmp_path / "whole"), sentence_folder(tmp_path / "cut", settings={"truncate_dim": 8})
    for folder, truncate_dim, expected in ((whole, None, 32), (whole, 100, 32), (cut, None, 8), (cut, 12, 12)):
        vectorizer = SentenceVectorizer(str(folder), truncate_dim=truncate_dim)
        assert vectorizer.get_feature_names_out().tolist() == [f"embedding{index}" for index in range(expected)]
        assert vectorizer.transform(SENTENCES).shape == (3, expected)


def test_a_clone_has_the_parameters_and_no_model(folder):
    vectorizer = SentenceVectorizer(str(folder), dtype="int8", num_threads=1).fit(TEXTS)
    assert vectorizer.encoder_.dtype == "int8"
    copied = clone(vectorizer)
    assert copied.get_params() == {
        "model": str(folder),
        "dtype": "int8",
        "device": None,
        "num_threads": 1,
        "normalize_embeddings": False,
        "truncate_dim": None,
        "prompt": None,
    }
    assert not hasattr(copied, "encoder_")


def test_a_model_that_is_loaded_already(folder):
    """It is told when it is used, since scikit-learn's constructors check nothing."""
    vectorizer = SentenceVectorizer(filbert.SentenceEncoder(folder))
    for call in (vectorizer.fit, vectorizer.transform):
        with pytest.raises(filbert.InputError, match=r"^model: found SentenceEncoder, expected a hub id or a folder$"):
            call(TEXTS)
    expected = filbert.SentenceEncoder(folder).encode(TEXTS)
    np.testing.assert_array_equal(SentenceVectorizer(folder).fit_transform(TEXTS), expected)


def test_a_search_over_dtypes_in_processes(folder):
    pipeline = make_pipeline(SentenceVectorizer(str(folder), num_threads=1), LogisticRegression())
    grid = {"sentencevectorizer__dtype": ["float32", "int8"], "sentencevectorizer__truncate_dim": [2, None]}
    search = GridSearchCV(pipeline, grid, cv=2, n_jobs=2).fit(TEXTS, LABELS)
    expected = []
    for dtype in ("float32", "int8"):
        vectors = filbert.SentenceEncoder(folder, model_kwargs={"dtype": dtype}).encode(TEXTS)
        expected += [cross_val_score(LogisticRegression(), vectors[:, :size], LABELS, cv=2).mean() for size in (2, 32)]
    assert search.cv_results_["mean_test_score"].tolist() == expected


def test_a_fitted_pipeline_is_stored_without_weights(folder, tmp_path):
    joblib = pytest.importorskip("joblib")
    pipeline = make_pipeline(SentenceVectorizer(str(folder)), LogisticRegression()).fit(TEXTS, LABELS)
    joblib.dump(pipeline, tmp_path / "pipeline.joblib")
    assert (tmp_path / "pipeline.joblib").stat().st_size < (folder / "model.safetensors").stat().st_size / 4
    for again in (joblib.load(tmp_path / "pipeline.joblib"), pickle.loads(pickle.dumps(pipeline))):
        np.testing.assert_array_equal(again.predict_proba(TEXTS), pipeline.predict_proba(TEXTS))
