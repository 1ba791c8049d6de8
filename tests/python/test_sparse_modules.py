"""The files of sparse models: which of their settings are honoured, and what is refused by name."""

import json

import pytest
from sparse_models import (
    SPLADE,
    class_name,
    masked_words_folder,
    router_folder,
    splade_folder,
    table_weights,
    write_modules,
)
from text_models import sentence_folder, write_json

import filbert
from filbert import ConfigError, InputError, SparseEncoder, WeightsError

TEXTS = ["hello world", "the cat runs", "a sunny day", ""]


def chain(*kinds):
    return json.dumps([{"type": class_name(kind), "path": str(index)} for index, kind in enumerate(kinds)])


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("modules.json", "", r"modules\.json: the file is empty"),
        ("modules.json", "[]", "found modules none, supported: Transformer"),
        ("modules.json", chain("Transformer"), "found modules Transformer, supported"),
        ("modules.json", chain("SpladePooling"), "found modules SpladePooling"),
        ("modules.json", chain("Transformer", "Pooling"), "found module '.*Pooling', supported: Transformer"),
        (
            "modules.json",
            chain("Transformer", "SpladePooling", "SparseAutoEncoder"),
            "found module '.*SparseAutoEncoder'",
        ),
        ("modules.json", chain(*SPLADE, "SparseStaticEmbedding"), "found modules Transformer, SpladePooling, Sparse"),
        ("modules.json", chain("Transformer", "Router"), "found modules Transformer, Router"),
        ("modules.json", chain("Router", "SpladePooling"), "found modules Router, SpladePooling"),
        ("modules.json", '[{"type": "custom.Transformer"}]', r"found module 'custom\.Transformer'"),
        ("modules.json", '[{"type": null}]', "found module None"),
        (
            "1_SpladePooling/config.json",
            '{"pooling_strategy": "mean"}',
            "pooling_strategy: found 'mean', supported: max, sum",
        ),
        ("1_SpladePooling/config.json", '{"pooling_strategy": ["max"]}', r"pooling_strategy: found \['max'\]"),
        (
            "1_SpladePooling/config.json",
            '{"activation_function": null}',
            "activation_function: found None, supported: relu",
        ),
        ("1_SpladePooling/config.json", "[]", "found list, expected an object"),
        ("sentence_bert_config.json", "{}", 'transformer_task: found None, supported: "fill-mask"'),
        ("sentence_bert_config.json", '{"transformer_task": "feature-extraction"}', "found 'feature-extraction'"),
        (
            "sentence_bert_config.json",
            '{"transformer_task": "fill-mask", "modality_config": {"text": {"method": "forward"}}}',
            "modality_config: found .* supported for text: .*logits",
        ),
        ("sentence_bert_config.json", '{"transformer_task": "fill-mask", "model_kwargs": {"a": 1}}', "model_kwargs"),
        ("sentence_bert_config.json", '{"transformer_task": "fill-mask", "config_kwargs": {"a": 1}}', "config_kwargs"),
        ("2_Normalize/config.json", '{"module_input_name": "token_embeddings"}', "found 'token_embeddings'"),
        ("config_sentence_transformers.json", '{"model_type": "SentenceTransformer"}', "supported: 'SparseEncoder'"),
        ("config_sentence_transformers.json", '{"model_type": "CrossEncoder"}', "model_type: found 'CrossEncoder'"),
        ("config_sentence_transformers.json", '{"similarity_fn_name": "maxsim"}', "found 'maxsim', supported: "),
        ("config_sentence_transformers.json", '{"max_active_dims": 0}', "max_active_dims: found 0"),
        ("config_sentence_transformers.json", '{"prompts": {"a": 3}}', "prompts: expected an object of strings"),
        (
            "config_sentence_transformers.json",
            '{"default_prompt_name": "q"}',
            "found 'q', which is none of the prompts",
        ),
    ],
)
def test_settings_that_cannot_be_honoured(tmp_path, file, content, message):
    splade_folder(tmp_path, normalize=True)
    (tmp_path / file).write_text(content)
    with pytest.raises(ConfigError, match=message) as error:
        SparseEncoder(tmp_path)
    assert file in str(error.value) or "config_kwargs" in content


def test_a_transformer_that_does_not_say_what_it_is_for(tmp_path):
    splade_folder(tmp_path)
    (tmp_path / "sentence_bert_config.json").unlink()
    with pytest.raises(
        ConfigError, match=r"sentence_bert_config\.json: found no such file, .* transformer_task fill-mask"
    ):
        SparseEncoder(tmp_path)
    expected = SparseEncoder(splade_folder(tmp_path)).encode(TEXTS).toarray()
    (tmp_path / "sentence_bert_config.json").unlink()
    write_modules(tmp_path, ("MLMTransformer", ""), ("SpladePooling", "1_SpladePooling"))
    assert SparseEncoder(tmp_path).encode(TEXTS).toarray().tobytes() == expected.tobytes()
    (tmp_path / "1_SpladePooling" / "config.json").unlink()
    with pytest.raises(OSError, match=r"no 1_SpladePooling/config\.json"):
        SparseEncoder(tmp_path)


def test_models_that_cannot_tell_masked_words(tmp_path):
    splade_folder(tmp_path)
    base = filbert.AutoModel.from_pretrained(tmp_path, add_pooling_layer=False)
    base.save_pretrained(tmp_path)
    with pytest.raises(WeightsError, match="no head for this task"):
        SparseEncoder(tmp_path)
    (tmp_path / "modules.json").unlink()
    with pytest.raises(ConfigError, match=r"architectures: found \['BertModel'\], expected a \.\.\.ForMaskedLM"):
        SparseEncoder(tmp_path)
    with pytest.raises(ConfigError, match=r"found module '.*Pooling', supported"):
        SparseEncoder(sentence_folder(tmp_path))
    (tmp_path / "empty").mkdir()
    with pytest.raises(OSError, match=r"no config\.json"):
        SparseEncoder(tmp_path / "empty")
    with pytest.raises(InputError, match="model name: found 3"):
        SparseEncoder(3)


ROUTES = {
    "query": ["query_0_SparseStaticEmbedding"],
    "document": ["document_0_Transformer", "document_1_SpladePooling"],
}


def edit_router(folder, **parts):
    path = folder / "router_config.json"
    write_json(path, {**json.loads(path.read_text()), **parts})


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"types": None}, "expected objects types, structure and parameters"),
        ({"types": {}}, "the first two not empty"),
        ({"structure": []}, "expected objects types, structure and parameters"),
        ({"structure": {}}, "the first two not empty"),
        ({"parameters": [3]}, "expected objects types, structure and parameters"),
        ({"types": {"query_0_SparseStaticEmbedding": "os.system"}}, "found module 'os.system', supported"),
        ({"types": {"a": class_name("Dense")}}, r"found module '.*Dense', supported"),
        (
            {"structure": {"query": ["other"]}},
            r"structure: 'query': found \['other'\], expected a list of names of types",
        ),
        ({"structure": {"query": "document_0_Transformer"}}, "structure: 'query': found 'document"),
        ({"structure": {"query": [3]}}, r"structure: 'query': found \[3\]"),
        ({"structure": {"query": []}, "parameters": {}}, "found modules none"),
        ({"structure": {"": ROUTES["query"]}}, "structure: ''"),
        ({"structure": {"query": ROUTES["document"][:1]}, "parameters": {}}, "found modules Transformer, supported"),
        ({"parameters": {"default_route": "other"}}, "found route 'other', expected one of query, document"),
        ({"parameters": {"default_route": ["query"]}}, r"found route \['query'\]"),
        ({"parameters": {"route_mappings": {"('query', None)": "other"}}}, "found route 'other'"),
        ({"parameters": {"route_mappings": {"('query', None)": ["query"]}}}, r"found route \['query'\]"),
        ({"parameters": {"route_mappings": ["query"]}}, "route_mappings: found"),
        ({"parameters": {"route_mappings": {"query": "query"}}}, "route_mappings: found 'query', expected a task"),
        ({"parameters": {"route_mappings": {"(1, 2, 3)": "query"}}}, r"route_mappings: found '\(1, 2, 3\)'"),
        ({"parameters": {"route_mappings": {"(None, ['text'])": "query"}}}, "route_mappings: found"),
        ({"parameters": {"route_mappings": {"(" * 5000: "query"}}}, "route_mappings: found"),
        ({"parameters": {"route_mappings": {"{[]: 1}": "query"}}}, "route_mappings: found"),
    ],
)
def test_routers_that_make_no_sense(tmp_path, parts, message):
    folder = router_folder(tmp_path)
    edit_router(folder, **parts)
    with pytest.raises(ConfigError, match=message) as error:
        SparseEncoder(folder)
    assert "router_config.json" in str(error.value)


@pytest.mark.parametrize("content", [b"", b"{", b"\x00\xff\x80", b"[1]", b"3", b"[" * 100000])
def test_something_else_in_the_place_of_a_router(tmp_path, content):
    folder = router_folder(tmp_path)
    (folder / "router_config.json").write_bytes(content)
    with pytest.raises(ConfigError, match=r"router_config\.json"):
        SparseEncoder(folder)


def test_a_module_outside_the_folder(tmp_path):
    folder = router_folder(tmp_path)
    types = {"../query": class_name("SparseStaticEmbedding")}
    edit_router(folder, types=types, structure={"query": ["../query"]})
    with pytest.raises((ConfigError, InputError), match=r"\.\./query|found route"):
        SparseEncoder(folder)


@pytest.mark.parametrize(
    ("parameters", "expected"),  # the routes of no task, "query", "document" and "other"; None is an error
    [
        ({"default_route": "document"}, ["document", "query", "document", None]),
        ({}, ["query", "query", "document", None]),
        ({"allow_empty_key": False}, [None, "query", "document", None]),
        ({"route_mappings": {"(None, 'text')": "document"}}, ["document"] * 4),
        (
            {"route_mappings": {"(None, None)": "query", "('query', None)": "document"}},
            ["query", "document", "query", "query"],
        ),
        (
            {"route_mappings": {"('other', 'text')": "query", "(None, ('image', 'text'))": "document"}},
            ["query", "query", "document", "query"],
        ),
    ],
)
def test_routes_of_tasks(tmp_path, parameters, expected):
    encoder = SparseEncoder(router_folder(tmp_path, parameters))
    queries, documents = (route.model is None for route in encoder._routes.values())
    assert (queries, documents) == (True, False)
    by_route = {"query": encoder._routes["query"], "document": encoder._routes["document"]}
    vectors = {name: dict(route.vectors(TEXTS, None))[0].toarray() for name, route in by_route.items()}
    for task, name in zip((None, "query", "document", "other"), expected, strict=True):
        if name is None:
            with pytest.raises(InputError, match=f"task: found {task!r}, the model's Router has query, document"):
                encoder.encode(TEXTS, task=task)
            continue
        assert encoder.encode(TEXTS[0], task=task).toarray().tobytes() == vectors[name].tobytes()


def test_a_router_under_its_older_name(tmp_path):
    folder = router_folder(tmp_path)
    expected = SparseEncoder(folder).encode_query(TEXTS).toarray()
    (folder / "router_config.json").rename(folder / "config.json")
    write_modules(folder, ("Asym", ""))
    assert SparseEncoder(folder).encode_query(TEXTS).toarray().tobytes() == expected.tobytes()


def test_routes_that_share_a_model(tmp_path):
    folder = router_folder(tmp_path)
    edit_router(folder, structure={"query": ROUTES["document"], "document": ROUTES["document"]})
    encoder = SparseEncoder(folder)
    first, second = encoder._routes.values()
    assert first.model is second.model
    assert encoder.encode_query(TEXTS).toarray().tobytes() == encoder.encode_document(TEXTS).toarray().tobytes()


def test_routes_of_different_widths(tmp_path):
    """A table may know fewer tokens than the model, whose vocabulary was padded; words are the same."""
    folder = router_folder(tmp_path, weights=table_weights(36))
    encoder = SparseEncoder(folder)
    queries, documents = encoder.encode_query("the cat"), encoder.encode_document(TEXTS)
    assert queries.shape == (40,)
    assert encoder.get_embedding_dimension() == documents.shape[1] == 40
    assert encoder.similarity(queries, documents).shape == (1, 4)


def test_settings_that_nobody_knows_give_a_warning(tmp_path):
    splade_folder(tmp_path, {"pooling_strategy": "max", "embedding_dimension": 7, "chunk_size": 3, "temperature": 2})
    with pytest.warns(UserWarning, match=r"1_SpladePooling/config\.json: filbert does not know temperature=2"):
        SparseEncoder(tmp_path)
    edit_router(router_folder(tmp_path / "router"), parameters={"sharpness": 3})
    with pytest.warns(UserWarning, match="filbert does not know sharpness=3"):
        SparseEncoder(tmp_path / "router")


def test_a_model_without_modules(tmp_path):
    encoder = SparseEncoder(masked_words_folder(tmp_path))
    assert (
        encoder.encode(TEXTS).toarray().tobytes()
        == SparseEncoder(splade_folder(tmp_path)).encode(TEXTS).toarray().tobytes()
    )
    assert encoder.prompts == {"query": "", "document": ""}
