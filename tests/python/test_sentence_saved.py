"""Sentence models that filbert saves: loaded by filbert and by sentence-transformers, with the same vectors."""

import json
import os

import numpy as np
import pytest
from failing_saves import check_failing_save
from safetensors.numpy import save_file
from test_sentence_modules import STACKS, append, router_folder, texts
from text_models import SENTENCES, minilm_folder, sentence_folder, vocabulary_folder, write_json

from filbert import SentenceEncoder

METHODS = ("encode", "encode_query", "encode_document")


def saved(encoder, folder):
    """The model once more, from what it writes."""
    encoder.save_pretrained(folder)
    return SentenceEncoder(folder)


def same(ours, twin):
    for method in METHODS:
        assert getattr(ours, method)(texts()).tobytes() == getattr(twin, method)(texts()).tobytes()


def beside(folder, ours):
    library = pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    theirs = library.SentenceTransformer(str(folder), device="cpu", model_kwargs={"attn_implementation": "eager"})
    for method in METHODS:
        found, expected = getattr(ours, method)(texts()), getattr(theirs, method)(texts())
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    return theirs


@pytest.mark.parametrize("name", STACKS)
def test_stacks(tmp_path, name):
    ours = SentenceEncoder(append(sentence_folder(tmp_path / "model", normalize=False), *STACKS[name]))
    same(ours, saved(ours, tmp_path / "saved"))
    beside(tmp_path / "saved", ours)


@pytest.mark.parametrize("modes", ["weightedmean", ["mean", "cls"], ["cls", "mean", "lasttoken"]])
def test_poolings(tmp_path, modes):
    pooling = {"pooling_mode": modes, "include_prompt": False}
    settings = {"prompts": {"query": "the dog "}, "similarity_fn_name": "dot", "truncate_dim": 30}
    ours = SentenceEncoder(sentence_folder(tmp_path / "model", pooling, settings=settings))
    ours.default_prompt_name = "query"
    ours.max_seq_length = 9
    twin = saved(ours, tmp_path / "saved")
    same(ours, twin)
    assert (twin.max_seq_length, twin.default_prompt_name, twin.truncate_dim) == (9, "query", 30)
    theirs = beside(tmp_path / "saved", ours)
    assert theirs.similarity_fn_name == twin.similarity_fn_name == "dot"
    assert theirs.max_seq_length == 9


@pytest.mark.parametrize("parameters", [{}, {"route_mappings": {"('query', None)": "document"}}])
def test_a_router(tmp_path, parameters):
    ours = SentenceEncoder(router_folder(tmp_path / "model", {"query": 6, "document": 6}, parameters))
    same(ours, saved(ours, tmp_path / "saved"))
    beside(tmp_path / "saved", ours)


def test_a_table(tmp_path):
    encoder = SentenceEncoder(sentence_folder(tmp_path / "model"))
    table = tmp_path / "table"
    encoder.tokenizer.save_pretrained(table)
    rows = np.random.default_rng(0).standard_normal((40, 8)).astype(np.float32)
    save_file({"embedding.weight": rows}, table / "model.safetensors")
    write_json(table / "modules.json", [{"path": "", "type": "sentence_transformers.models.StaticEmbedding"}])
    ours = SentenceEncoder(table)
    same(ours, saved(ours, tmp_path / "saved"))
    beside(tmp_path / "saved", ours)


def test_settings_of_the_transformer_module(tmp_path):
    """They are in what is saved, whichever file they were in."""
    settings = {"max_seq_length": 9, "do_lower_case": True, "config_args": {"hidden_act": "relu"}}
    folder = sentence_folder(tmp_path / "model", transformer=settings)
    ours = SentenceEncoder(folder, processor_kwargs={"strip_accents": False})
    same(ours, saved(ours, tmp_path / "saved"))
    beside(tmp_path / "saved", ours)


def test_lower_case_before_a_tokenizer_that_keeps_it(tmp_path):
    """transformers makes the normalizer anew, as tokenizer_config.json says."""
    folder = sentence_folder(tmp_path / "model", transformer={"max_seq_length": 16, "do_lower_case": True})
    vocabulary_folder(folder, do_lower_case=False)
    ours = SentenceEncoder(folder)
    twin = saved(ours, tmp_path / "saved")
    assert twin.encode("Hello WORLD").tobytes() == ours.encode("hello world").tobytes()
    same(ours, twin)
    same(ours, saved(twin, tmp_path / "again"))
    beside(tmp_path / "saved", ours)
    assert json.loads((tmp_path / "again" / "sentence_bert_config.json").read_text())["do_lower_case"] is True


def test_a_model_without_modules(tmp_path):
    folder = sentence_folder(tmp_path / "model")
    (folder / "modules.json").unlink()
    with pytest.warns(UserWarning, match=r"no modules\.json"):
        ours = SentenceEncoder(folder)
    same(ours, saved(ours, tmp_path / "saved"))
    beside(tmp_path / "saved", ours)


@pytest.mark.parametrize("dtype", ["bfloat16", "int8"])
def test_the_weights_stay_as_they_were_stored(tmp_path, dtype):
    ours = SentenceEncoder(minilm_folder(), model_kwargs={"dtype": dtype})
    twin = saved(ours, tmp_path / "saved")
    assert twin.encode(SENTENCES).tobytes() == SentenceEncoder(minilm_folder()).encode(SENTENCES).tobytes()


def test_into_the_folder_it_came_from(tmp_path):
    folder = sentence_folder(tmp_path / "model")
    ours = SentenceEncoder(folder)
    ours.prompts["query"] = "the "
    twin = saved(ours, folder)
    assert twin.prompts["query"] == "the "
    same(ours, twin)
    assert not [name for _, _, names in os.walk(folder) for name in names if name.endswith(".tmp")]


@pytest.mark.parametrize("failing", range(1, 9))
def test_a_failing_save_leaves_the_old_files(tmp_path, monkeypatch, failing):
    folder = sentence_folder(tmp_path / "model")
    ours = SentenceEncoder(folder)
    ours.max_seq_length = 9
    check_failing_save(monkeypatch, ours, folder, failing)


def test_what_is_written(tmp_path):
    SentenceEncoder(sentence_folder(tmp_path / "model")).save(tmp_path / "saved")
    found = sorted(str(path.relative_to(tmp_path / "saved")) for path in (tmp_path / "saved").rglob("*.*"))
    assert found == [
        "1_Pooling/config.json",
        "config.json",
        "config_sentence_transformers.json",
        "model.safetensors",
        "modules.json",
        "sentence_bert_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    modules = json.loads((tmp_path / "saved" / "modules.json").read_text())
    assert [module["type"].rsplit(".", 1)[1] for module in modules] == ["Transformer", "Pooling", "Normalize"]
    with pytest.raises(OSError, match="saved/config"):
        SentenceEncoder(tmp_path / "model").save(tmp_path / "saved" / "config.json")
