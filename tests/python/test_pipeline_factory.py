"""What pipelines are made of: models that are loaded already, and keywords that come in two ways."""

import numpy as np
import pytest
from pipeline_references import plain_folder
from text_models import VOCABULARY, vocabulary_folder

from filbert import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, DeviceError, InputError, pipeline
from filbert.encoder import EncoderModel

TASK = "text-classification"
TEXT = "the cat is a dog hello world"


def plain(folder):
    return plain_folder(folder, "ForSequenceClassification")


def reordered(folder):
    """A model like `plain`, whose tokens have other ids."""
    return vocabulary_folder(plain(folder), [*VOCABULARY[:5], *VOCABULARY[:4:-1]])


def load(*arguments, **keywords):
    return AutoModelForSequenceClassification.from_pretrained(*arguments, **keywords)


@pytest.fixture
def folder(tmp_path):
    return plain(tmp_path / "model")


@pytest.fixture
def cache(tmp_path):
    """A cache of the hub with two revisions of org/model."""
    repository = tmp_path / "cache" / "models--org--model"
    (repository / "refs").mkdir(parents=True)
    for revision, commit, write in (("main", "a" * 40, plain), ("v1", "b" * 40, reordered)):
        write(repository / "snapshots" / commit)
        (repository / "refs" / revision).write_text(commit)
    return tmp_path / "cache"


def test_the_tokenizer_lies_where_a_loaded_model_was(tmp_path, folder):
    inner = reordered(folder / "inner")
    made = pipeline(TASK, load(folder, subfolder="inner"))
    expected = pipeline(TASK, inner)
    assert made.tokenizer(TEXT)["input_ids"] == expected.tokenizer(TEXT)["input_ids"]
    assert made.tokenizer(TEXT)["input_ids"] != AutoTokenizer.from_pretrained(folder)(TEXT)["input_ids"]
    assert made(TEXT) == expected(TEXT)


def test_a_tokenizer_beside_the_folders_of_models(folder):
    inner = folder / "inner"
    inner.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).rename(inner / name)
    made = pipeline(TASK, load(folder, subfolder="inner"))
    assert made.tokenizer(TEXT) == AutoTokenizer.from_pretrained(folder)(TEXT)


def test_the_tokenizer_is_of_the_revision_of_a_loaded_model(cache):
    usual, other = (AutoTokenizer.from_pretrained(path)(TEXT) for path in sorted(cache.glob("*/snapshots/*")))
    where = {"cache_dir": cache, "local_files_only": True}
    for revision, expected in ((None, usual), ("main", usual), ("v1", other)):
        assert pipeline(TASK, load("org/model", revision=revision, **where)).tokenizer(TEXT) == expected
    # What the pipeline is told counts more.
    assert pipeline(TASK, load("org/model", **where), revision="v1").tokenizer(TEXT) == other
    assert pipeline(TASK, load("org/model", **where), model_kwargs={"revision": "v1"}).tokenizer(TEXT) == other


def test_a_tokenizer_by_name_is_of_no_models_revision(cache, folder):
    model = load("org/model", revision="v1", cache_dir=cache, local_files_only=True)
    expected = AutoTokenizer.from_pretrained(folder)(TEXT)
    assert pipeline(TASK, model, tokenizer=folder).tokenizer(TEXT) == expected


@pytest.mark.parametrize(
    ("device", "name"), [("cuda:1", "cuda:1"), (0, "cuda:0"), (-1, "cpu"), (np.int64(1), "cuda:1")]
)
def test_a_device_moves_a_loaded_model(folder, monkeypatch, device, name):
    model, moves = load(folder), []
    monkeypatch.setattr(EncoderModel, "to", lambda self, device=None: moves.append(device) or self)
    assert pipeline(TASK, model, device=device).model is model
    assert moves == [name]


def test_devices_that_a_loaded_model_is_not_moved_to(folder):
    model = load(folder)
    for device in ("nonsense", "cuda:99", 99):
        with pytest.raises(DeviceError) as by_name:
            pipeline(TASK, folder, device=device)
        for keywords in ({"device": device}, {"model_kwargs": {"device_map": device}}):
            with pytest.raises(DeviceError) as loaded:
                pipeline(TASK, model, **keywords)
            assert str(loaded.value) == str(by_name.value)
    assert pipeline(TASK, model, device="auto", model_kwargs={"dtype": "float32"}).model is model


def test_a_loaded_model_stays_what_it_is(folder):
    model = load(folder, dtype="bfloat16", num_threads=1)
    for keywords in ({}, {"dtype": "bfloat16", "num_threads": 1}, {"model_kwargs": {"torch_dtype": "bfloat16"}}):
        assert pipeline(TASK, model, **keywords).model is model
    for dtype in ({"dtype": "int8"}, {"torch_dtype": np.int8}, {"model_kwargs": {"dtype": "int8"}}):
        with pytest.raises(InputError, match="dtype: found 'int8', but the model is loaded with 'bfloat16'"):
            pipeline(TASK, model, **dtype)
    with pytest.raises(InputError, match="dtype: found 'float32', but the model is loaded with 'bfloat16'"):
        pipeline(TASK, model, dtype="auto")  # as the weights are stored
    for threads in ({"num_threads": 2}, {"model_kwargs": {"num_threads": 2}}):
        with pytest.raises(InputError, match="num_threads: found 2, but the model is loaded with 1"):
            pipeline(TASK, model, **threads)


def test_keywords_in_model_kwargs(folder):
    for keywords in ({"dtype": "bfloat16"}, {"torch_dtype": "bfloat16"}, {"dtype": "bfloat16", "device_map": "cpu"}):
        assert pipeline(TASK, folder, model_kwargs=keywords).model.dtype == "bfloat16"
    assert pipeline(TASK, folder, model_kwargs={"num_threads": 1}).model.num_threads == 1
    assert pipeline(TASK, folder, model_kwargs={"device_map": "auto"}).device
    assert pipeline(TASK, folder, device=-1, dtype="bfloat16", model_kwargs={"dtype": None}).model.dtype == "bfloat16"
    config = AutoConfig.from_pretrained(folder, id2label={0: "x", 1: "y", 2: "z"})
    assert pipeline(model=folder, model_kwargs={"config": config})(TEXT)[0]["label"] in "xyz"


@pytest.mark.parametrize(
    ("name", "keywords"),
    [
        ("dtype", {"dtype": "float32", "model_kwargs": {"dtype": "int8"}}),
        ("dtype", {"torch_dtype": "int8", "model_kwargs": {"torch_dtype": "int8"}}),
        ("num_threads", {"num_threads": 1, "model_kwargs": {"num_threads": 2}}),
        ("device", {"device": 0, "model_kwargs": {"device_map": "auto"}}),
        ("revision", {"revision": "a", "model_kwargs": {"revision": "b"}}),
        ("token", {"token": "secret", "model_kwargs": {"use_auth_token": "secret"}}),
    ],
)
def test_keywords_that_are_given_twice(folder, name, keywords):
    with pytest.raises(InputError, match=f"^{name}: found as a keyword and in model_kwargs, expected one of them$"):
        pipeline(TASK, folder, **keywords)


@pytest.mark.parametrize("task", [TASK, None])
@pytest.mark.parametrize("of", [lambda config: {"config": config}, lambda config: {"model_kwargs": {"config": config}}])
def test_what_is_no_configuration(folder, task, of):
    with pytest.raises(TypeError, match="config: found a str, expected a configuration"):
        pipeline(task, folder, **of(str(folder)))
