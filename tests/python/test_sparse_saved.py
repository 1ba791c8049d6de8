"""Sparse models that filbert saves: loaded by filbert and by sentence-transformers, with the same vectors."""

import json
import shutil

import numpy as np
import pytest
import test_sparse_parity
from failing_saves import check_failing_save
from sparse_models import (
    class_name,
    family_folder,
    generated_texts,
    masked_words_folder,
    router_folder,
    splade_folder,
    table_folder,
    table_weights,
    write_modules,
)
from test_sparse_parity import TOLERANCE, check
from text_models import write_json

from filbert import InputError, SparseEncoder

library, reference = test_sparse_parity.library, test_sparse_parity.reference  # the fixtures
TEXTS = generated_texts(80)
SETTINGS = ("prompts", "default_prompt_name", "similarity_fn_name", "max_active_dims", "max_seq_length")


def saved(encoder, folder):
    """The model once more, from what it writes."""
    encoder.save_pretrained(folder)
    return SparseEncoder(folder)


def same(ours, twin):
    for method in ("encode", "encode_query", "encode_document"):
        found, other = (getattr(each, method)(TEXTS) for each in (ours, twin))
        assert found.shape == other.shape
        assert found.toarray().tobytes() == other.toarray().tobytes()
    for name in SETTINGS:
        assert getattr(ours, name) == getattr(twin, name)


def beside(folder, ours, reference, tolerance=TOLERANCE):
    theirs = reference(folder)
    for method in ("encode", "encode_query", "encode_document"):
        check(getattr(ours, method)(TEXTS), getattr(theirs, method)(TEXTS), tolerance)
    return theirs


@pytest.mark.parametrize("name", ["bert", "distilbert", "roberta", "xlm-roberta"])
def test_a_model_without_modules(tmp_path, reference, name):
    ours = SparseEncoder(family_folder(tmp_path / "model", name))
    same(ours, saved(ours, tmp_path / "saved"))
    beside(tmp_path / "saved", ours, reference)
    written = json.loads((tmp_path / "saved" / "1_SpladePooling" / "config.json").read_text())
    assert written["embedding_dimension"] == ours.get_embedding_dimension()


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("pooling", [("max", "log1p_relu"), ("sum", "relu")])
def test_poolings(tmp_path, reference, pooling, normalize):
    names = dict(zip(("pooling_strategy", "activation_function"), pooling, strict=True))
    ours = SparseEncoder(splade_folder(tmp_path / "model", names, normalize=normalize))
    same(ours, saved(ours, tmp_path / "saved"))
    beside(tmp_path / "saved", ours, reference, TOLERANCE * ours.max_seq_length)


def test_settings_that_were_changed(tmp_path, reference):
    """Over those of the files, in the folder that was read."""
    settings = {"prompts": {"query": "the dog "}, "similarity_fn_name": "dot", "max_active_dims": 5}
    transformer = {"max_seq_length": 12, "do_lower_case": True, "config_args": {"hidden_act": "relu"}}
    folder = splade_folder(tmp_path / "model", settings=settings, transformer=transformer)
    ours = SparseEncoder(folder, processor_kwargs={"strip_accents": False})
    ours.prompts["query"], ours.prompts["more"] = "Hello ", "a cat "
    ours.default_prompt_name, ours.similarity_fn_name = "more", "cosine"
    ours.max_active_dims, ours.max_seq_length = 7, 9
    same(ours, saved(ours, folder))
    assert not list(folder.rglob(".*"))
    theirs = beside(folder, ours, reference)
    assert [getattr(theirs, name) for name in SETTINGS] == [getattr(ours, name) for name in SETTINGS]
    ours.max_active_dims = None
    assert saved(ours, folder).max_active_dims is None


def test_mlm_transformer(tmp_path, reference):
    """The name that its module had before."""
    folder = masked_words_folder(tmp_path / "model")
    write_modules(folder, ("MLMTransformer", ""), ("SpladePooling", "1_SpladePooling"))
    write_json(folder / "1_SpladePooling" / "config.json", {"pooling_strategy": "max"})
    ours = SparseEncoder(folder)
    same(ours, saved(ours, tmp_path / "saved"))
    beside(tmp_path / "saved", ours, reference)


@pytest.mark.parametrize("as_json", [False, True])
def test_a_table(tmp_path, reference, as_json):
    folder = table_folder(tmp_path / "model")
    write_modules(folder, ("SparseStaticEmbedding", ""))
    if as_json:
        (folder / "model.safetensors").unlink()
        write_json(folder / "idf.json", {"the": 1.25, "cat": 0.5})
        write_json(folder / "config.json", {"path": "idf.json"})
    ours = SparseEncoder(folder)
    ours.max_seq_length = 8
    for place in (tmp_path / "saved", folder):
        same(ours, saved(ours, place))
        beside(place, ours, reference)
        assert json.loads((place / "config.json").read_text()) == {"frozen": not as_json}


@pytest.mark.parametrize("parameters", [{}, {"default_route": "document", "route_mappings": {"('q', None)": "query"}}])
def test_a_router(tmp_path, reference, parameters):
    folder = router_folder(tmp_path / "model", parameters, normalize=True)
    ours = SparseEncoder(folder)
    ours.max_seq_length = 10
    same(ours, saved(ours, tmp_path / "saved"))
    beside(tmp_path / "saved", ours, reference)
    if "route_mappings" in parameters:
        twin = SparseEncoder(tmp_path / "saved")
        assert twin.encode(TEXTS, task="q").toarray().tobytes() == twin.encode_query(TEXTS).toarray().tobytes()


def test_two_routes_of_one_transformer(tmp_path, reference):
    folder = splade_folder(tmp_path / "model")
    shutil.copytree(folder, folder / "both")
    for place, strategy in (("max", "max"), ("sum", "sum")):
        write_json(folder / place / "config.json", {"pooling_strategy": strategy})
    kinds = {"both": "Transformer", "max": "SpladePooling", "sum": "SpladePooling"}
    structure = {"query": ["both", "max"], "document": ["both", "sum"]}
    types = {name: class_name(kind) for name, kind in kinds.items()}
    write_json(folder / "router_config.json", {"types": types, "structure": structure, "parameters": {}})
    write_modules(folder, ("Router", ""))
    ours = SparseEncoder(folder)
    same(ours, saved(ours, tmp_path / "saved"))
    beside(tmp_path / "saved", ours, reference, TOLERANCE * ours.max_seq_length)


@pytest.mark.parametrize("dtype", ["bfloat16", "int8"])
def test_the_weights_stay_as_they_were_stored(tmp_path, dtype):
    folder = splade_folder(tmp_path / "model")
    SparseEncoder(folder, dtype=dtype).save(tmp_path / "saved", "name", False, safe_serialization=True)
    same(SparseEncoder(folder), SparseEncoder(tmp_path / "saved"))


@pytest.mark.parametrize("failing", range(1, 12))
def test_a_failing_save_leaves_the_old_files(tmp_path, monkeypatch, failing):
    folder = router_folder(tmp_path / "model")
    encoder = SparseEncoder(folder)
    encoder.max_seq_length = 9
    check_failing_save(monkeypatch, encoder, folder, failing)


def test_keywords_of_saving(tmp_path):
    encoder = SparseEncoder(splade_folder(tmp_path / "model"))
    with pytest.raises(TypeError, match="push"):
        encoder.save_pretrained(tmp_path / "saved", push=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        encoder.save(tmp_path / "file")
    with pytest.raises(InputError, match="similarity_fn_name"):
        encoder.similarity_fn_name = "maxsim"


def test_a_table_is_written_as_it_was_read(tmp_path):
    weights = table_weights(seed=3)
    folder = table_folder(tmp_path / "model", weights)
    write_modules(folder, ("SparseStaticEmbedding", ""))
    SparseEncoder(folder).save(tmp_path / "saved")
    from safetensors.numpy import load_file

    np.testing.assert_array_equal(load_file(tmp_path / "saved" / "model.safetensors")["weight"], weights)
