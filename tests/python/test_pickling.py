"""Pickles: where a model was loaded from and how, read in this process and in others."""

import copy
import os
import pickle
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import checkpoints
import numpy as np
import pytest
from checkpoints import TINY
from late_interaction import own_folder
from safetensors.numpy import save_file
from sparse_models import splade_folder
from test_sentence_modules import router_folder
from text_models import SENTENCES, sentence_folder, write_json

from filbert import (
    AutoModel,
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    CrossEncoder,
    MultiVectorEncoder,
    SentenceEncoder,
    SparseEncoder,
    pickling,
    stamps,
)
from filbert.hub import Source


@pytest.fixture
def folder(tmp_path):
    return sentence_folder(tmp_path / "model", settings={"prompts": {"query": "the "}})


@pytest.fixture(autouse=True)
def nothing_loaded():
    pickling._loaded.clear()


def round_trip(model):
    return pickle.loads(pickle.dumps(model))


def elsewhere(folder, data, code):
    """What a new process prints that has read `data` into `model`."""
    (folder / "data.pickle").write_bytes(data)
    script = f"import pickle; model = pickle.load(open({str(folder / 'data.pickle')!r}, 'rb')); {code}"
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)


def test_a_model_and_what_it_runs_in(tiny_folder):
    model = AutoModel.from_pretrained(tiny_folder, dtype="bfloat16", num_threads=1, output_hidden_states=True)
    model.config.note = "kept"
    data = pickle.dumps(model)
    assert len(data) < 8000, "weights do not travel"
    twin = pickle.loads(data)
    assert (type(twin), twin.dtype, twin.num_threads, twin.config.note) == (BertModel, "bfloat16", 1, "kept")
    for ours, theirs in zip(model([[1, 2, 3]]).hidden_states, twin([[1, 2, 3]]).hidden_states, strict=True):
        assert ours.tobytes() == theirs.tobytes()
    assert round_trip(model.to("float32")).dtype == "float32"


def test_an_encoder_and_what_was_set_on_it(folder):
    encoder = SentenceEncoder(folder, prompts={"other": "a "}, model_kwargs={"num_threads": 1}, truncate_dim=9)
    encoder.max_seq_length, encoder.similarity_fn_name, encoder.default_prompt_name = 5, "dot", "query"
    encoder.prompts["later"] = "dog "
    twin = round_trip(encoder)
    assert twin.encode(SENTENCES).tobytes() == encoder.encode(SENTENCES).tobytes()
    assert twin.prompts == {"query": "the ", "document": "", "other": "a ", "later": "dog "}
    assert (twin.max_seq_length, twin.similarity_fn_name, twin.truncate_dim) == (5, "dot", 9)
    assert (twin.default_prompt_name, twin.model.num_threads) == ("query", 1)
    twin.prompts["later"] = twin.default_prompt_name = None
    assert encoder.prompts["later"] == "dog "
    assert round_trip(encoder).prompts["later"] == "dog "
    assert round_trip(twin).default_prompt_name is None


def test_a_task_of_its_own(folder):
    encoder = SentenceEncoder(folder, processor_kwargs={"model_max_length": 7})
    assert round_trip(encoder).max_seq_length == 7


def test_one_is_loaded_once(folder, monkeypatch):
    data = [pickle.dumps(SentenceEncoder(folder, truncate_dim=size)) for size in (8, 8, 9)]
    loads = []
    found = pickling.Referable._load.__func__
    monkeypatch.setattr(
        pickling.Referable,
        "_load",
        classmethod(lambda cls, name, **more: loads.append(name) or found(cls, name, **more)),
    )
    first, second, third = map(pickle.loads, data)
    assert loads == [str(folder)], "truncate_dim is set, not loaded"
    assert (first.truncate_dim, second.truncate_dim, third.truncate_dim) == (8, 8, 9)
    assert first is not second
    for number in range(pickling._KEPT):
        pickle.loads(pickle.dumps(SentenceEncoder(folder, processor_kwargs={"model_max_length": 5 + number})))
    assert len(pickling._loaded) == pickling._KEPT
    pickle.loads(data[0])
    assert loads.count(str(folder)) == 2 + pickling._KEPT


def test_another_process(folder):
    encoder = SentenceEncoder(folder)
    code = "print(model.encode(['hello world']).tobytes().hex())"
    done = elsewhere(folder, pickle.dumps(encoder), code)
    assert done.stdout.strip() == encoder.encode(["hello world"]).tobytes().hex(), done.stderr


def test_another_process_without_the_folder(folder):
    data = pickle.dumps(SentenceEncoder(folder))
    folder.rename(folder.with_name("moved"))
    done = elsewhere(folder.parent, data, "")
    assert done.returncode == 1
    assert f"FileNotFoundError: {folder}: does not exist; expected a model folder or a hub id" in done.stderr


def test_a_relative_name(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    data = pickle.dumps(SentenceEncoder("model"))
    monkeypatch.chdir("/")
    assert pickle.loads(data).encode("hello").shape == (32,)


def test_random_weights():
    config = BertConfig(**TINY)
    with pytest.raises(TypeError, match=r"a BertModel that was not loaded .* cannot be pickled: save_pretrained"):
        pickle.dumps(BertModel(config, seed=0))


def test_no_token_travels(folder):
    secrets = {"token": "hf_secret"}, {"use_auth_token": "hf_secret"}
    models = [SentenceEncoder(folder, **secrets[0]), AutoModel.from_pretrained(folder, **secrets[0])]
    models += [SentenceEncoder(folder, model_kwargs=each) for each in secrets]
    models += [SentenceEncoder(folder, processor_kwargs=each) for each in secrets]
    for model in models:
        assert b"hf_secret" not in pickle.dumps(model)


def test_a_static_model(folder, tmp_path):
    encoder = SentenceEncoder(folder)
    encoder.tokenizer.save_pretrained(tmp_path / "table")
    table = {"embedding.weight": np.random.default_rng(0).standard_normal((40, 8)).astype(np.float32)}
    save_file(table, tmp_path / "table" / "model.safetensors")
    modules = [{"path": "", "type": "sentence_transformers.models.StaticEmbedding"}]
    write_json(tmp_path / "table" / "modules.json", modules)
    table = SentenceEncoder(tmp_path / "table")
    twin = round_trip(table)
    assert twin.encode(SENTENCES).tobytes() == table.encode(SENTENCES).tobytes()


def test_what_is_set_inside_of_an_encoder(tmp_path):
    folder = router_folder(tmp_path, {"query": 6, "document": 6})
    encoder = SentenceEncoder(folder)
    encoder.set_pooling_include_prompt(False)
    encoder.tokenizer.truncation_side, encoder.max_seq_length = "left", 6
    twin = round_trip(encoder)
    texts = ["the cat is a dog , hello world", "hello"]
    for method in ("encode_query", "encode_document"):
        found, expected = (getattr(each, method)(texts, prompt="a day ") for each in (twin, encoder))
        assert found.tobytes() == expected.tobytes()
    assert twin.encode(texts[0], prompt="a day ").tobytes() != SentenceEncoder(folder).encode(texts[0]).tobytes()


def test_threads_that_ask_at_once(folder, monkeypatch):
    loads = []
    found = pickling.Referable._load.__func__

    def load(cls, name, **more):
        loads.append(name)
        return found(cls, name, **more)

    monkeypatch.setattr(pickling.Referable, "_load", classmethod(load))
    with ThreadPoolExecutor(8) as pool:
        models = list(pool.map(lambda _: pickling.load_once(SentenceEncoder, str(folder)), range(8)))
    assert len(loads) == 1
    assert len(set(map(id, models))) == 1


def test_the_commit_travels(folder, monkeypatch):
    monkeypatch.setattr(Source, "revision", property(lambda self: "a" * 40))
    assert b"a" * 40 in pickle.dumps(SentenceEncoder(folder))


@pytest.mark.parametrize("twin_of", [copy.copy, copy.deepcopy])
def test_copies_share_the_weights_alone(folder, twin_of):
    encoder = SentenceEncoder(folder)
    twin = twin_of(encoder)
    twin.prompts["query"], twin.max_seq_length = "a ", 5
    assert encoder.prompts["query"] == "the "
    assert encoder.max_seq_length == 16
    assert twin.model._engine is encoder.model._engine
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        twin.encode("hello " * 20)
    assert (twin.num_truncated, encoder.num_truncated) == (1, 0)


def test_the_other_encoders(folder, tmp_path):
    def cross_encoder():
        model = BertForSequenceClassification(BertConfig(**TINY, num_labels=1), seed=0)
        model.save_pretrained(tmp_path / "cross")
        SentenceEncoder(folder).tokenizer.save_pretrained(tmp_path / "cross")
        return CrossEncoder(tmp_path / "cross", prompts={"query": "a "}, activation_fn=np.tanh)

    pair, inputs = ("the cat", "a dog"), ["the cat is a dog", "hello"]
    encoder = cross_encoder()
    encoder.default_prompt_name, encoder.max_seq_length = "query", 6
    twin = round_trip(encoder)
    assert (twin.activation_fn, twin.default_prompt_name, twin.max_seq_length) == (np.tanh, "query", 6)
    assert twin.predict(pair) == encoder.predict(pair)

    encoder = SparseEncoder(splade_folder(tmp_path / "splade"), max_active_dims=5)
    found, expected = (each.encode(inputs).toarray() for each in (round_trip(encoder), encoder))
    assert found.tobytes() == expected.tobytes()

    encoder = MultiVectorEncoder.from_pretrained(own_folder(tmp_path / "multi"))
    encoder.prompts["query"] = "a "
    found, expected = (each.encode_query(inputs) for each in (round_trip(encoder), encoder))
    assert all(ours.tobytes() == theirs.tobytes() for ours, theirs in zip(found, expected, strict=True))


def test_pools_of_processes(folder):
    joblib = pytest.importorskip("joblib")
    encoder = SentenceEncoder(folder, model_kwargs={"num_threads": 1})
    script = f"""
import sys; sys.path[:0] = {sys.path!r}
import multiprocessing, joblib, filbert
def work(encoder, texts):
    return encoder.encode(texts)
if __name__ == "__main__":
    encoder = filbert.SentenceEncoder({str(folder)!r}, model_kwargs={{"num_threads": 1}})
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        found = pool.starmap(work, [(encoder, ["hello"]), (encoder, ["world"])])
    found += joblib.Parallel(n_jobs=2)(joblib.delayed(work)(encoder, [text]) for text in ("hello", "world"))
    print(b"".join(rows.tobytes() for rows in found).hex())
"""
    assert joblib.hash(encoder) == joblib.hash(SentenceEncoder(folder, model_kwargs={"num_threads": 1}))
    path = folder.parent / "pools.py"
    path.write_text(script)
    environment = {**os.environ, "FILBERT_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, timeout=120, env=environment)
    expected = encoder.encode(["hello", "world"]).tobytes().hex()
    assert done.stdout.strip() == expected * 2, done.stderr[-2000:]


def test_closures(folder):
    cloudpickle = pytest.importorskip("cloudpickle")
    encoder = SentenceEncoder(folder)
    work = pickle.loads(cloudpickle.dumps(lambda texts: encoder.encode(texts)))
    assert work(SENTENCES).tobytes() == encoder.encode(SENTENCES).tobytes()


def test_a_model_after_a_fork(folder):
    """The lock is not held for ever by whoever held it in the parent."""
    data = pickle.dumps(SentenceEncoder(folder))
    with pickling._lock:
        child = os.fork()
        if child == 0:
            os._exit(0 if pickle.loads(data).encode("hello").shape == (32,) else 1)
        assert os.waitpid(child, 0)[1] == 0


def written_again(folder):
    """Other weights of the same sizes, as after more training."""
    checkpoints.write_folder(folder, weights=checkpoints.tensors(TINY, seed=99))


def test_a_folder_that_was_written_again(folder):
    """A process that keeps the old model loads the new one."""
    old = SentenceEncoder(folder)
    assert round_trip(old).encode("hello").tobytes() == old.encode("hello").tobytes()
    assert round_trip(old)._models()[0]._weights is round_trip(old)._models()[0]._weights
    written_again(folder)
    new = SentenceEncoder(folder).encode("hello").tobytes()
    assert new != old.encode("hello").tobytes()
    for found in (round_trip(old), pickling.load_once(SentenceEncoder, str(folder))):
        assert found.encode("hello").tobytes() == new


@pytest.mark.parametrize("name", ["vocab.txt", "vocab.json", "merges.txt", "artifact.metadata", "chat_template.jinja"])
def test_files_that_are_not_settings_or_weights_count(tmp_path, name):
    (tmp_path / name).write_text("a")
    before = stamps.stamp_of(str(tmp_path))
    (tmp_path / name).write_text("a b")
    assert stamps.stamp_of(str(tmp_path)) != before


@pytest.mark.parametrize("inner", ["1_Pooling", "0_Router/query_0_Transformer", "."])
def test_files_of_modules_count_and_others_do_not(tmp_path, inner):
    for name in ("router_config.json", "modules.json"):
        write_json(tmp_path / "0_Router" / name, {})
    write_json(tmp_path / inner / "config.json", {})
    (tmp_path / "broken.bin").symlink_to("nothing")
    before = stamps.stamp_of(str(tmp_path))
    write_json(tmp_path / "results.json", {})
    write_json(tmp_path / "images" / "modules.json", {})
    assert stamps.stamp_of(str(tmp_path)) == before
    os.utime(tmp_path / inner / "config.json", ns=(0, 0))
    assert stamps.stamp_of(str(tmp_path)) != before
    assert stamps.stamp_of(str(tmp_path / "none")) == {}


def test_a_folder_in_a_folder(tmp_path):
    inner = tmp_path / "model" / "a" / "b" / "c" / "d"
    checkpoints.write_folder(inner)
    data = pickle.dumps(AutoModel.from_pretrained(tmp_path / "model", subfolder="a/b/c/d"))
    first = pickle.loads(data).weights_digest()
    written_again(inner)
    assert pickle.loads(data).weights_digest() != first
