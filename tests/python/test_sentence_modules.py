"""Modules after an encoder: poolings, Dense, LayerNorm, Dropout and Routers, beside sentence-transformers and alone."""

import json
import random

import numpy as np
import pytest
from safetensors.numpy import save_file
from text_models import ODD_TEXTS, SENTENCES, VOCABULARY, sentence_folder, write_json

from filbert import ConfigError, InputError, SentenceEncoder, WeightsError

WORDS = [word for word in VOCABULARY if word.isalpha()]
HIDDEN = 32
MODES = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")


def texts(count=30):
    rng = random.Random(0)
    return [*ODD_TEXTS, *(" ".join(rng.choices(WORDS, k=rng.randint(0, 12))) for _ in range(count))]


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def write_module(folder, kind, config, tensors=None):
    write_json(folder / "config.json", config)
    if tensors:
        save_file(tensors, folder / "model.safetensors")
    return f"sentence_transformers.models.{kind}"


def append(folder, *modules):
    """Adds modules (kind, config, tensors) to a model."""
    listed = json.loads((folder / "modules.json").read_text())
    for kind, config, *tensors in modules:
        index = len(listed)
        place = f"{index}_{kind}"
        path = write_module(folder / place, kind, config, *tensors)
        listed.append({"idx": index, "name": str(index), "path": place, "type": path})
    write_json(folder / "modules.json", listed)
    return folder


def dense(inner, outer, activation="torch.nn.modules.activation.Tanh", bias=True, seed=0, **more):
    config = {"in_features": inner, "out_features": outer, "bias": bias, "activation_function": activation, **more}
    tensors = {"linear.weight": drawn(outer, inner, seed=seed), "linear.bias": drawn(outer, seed=seed + 1)}
    if not bias:
        del tensors["linear.bias"]
    if more.get("use_residual") and inner != outer:
        tensors["residual.weight"] = drawn(outer, inner, seed=seed + 2)
    return "Dense", config, tensors


def layer_norm(size):
    return "LayerNorm", {"dimension": size}, {"norm.weight": drawn(size), "norm.bias": drawn(size, seed=1)}


@pytest.fixture(scope="module")
def reference():
    library = pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    return lambda folder: library.SentenceTransformer(
        str(folder), device="cpu", model_kwargs={"attn_implementation": "eager"}
    )


@pytest.mark.parametrize("include_prompt", [True, False])
@pytest.mark.parametrize("modes", [*MODES, ["cls", "mean"], ["lasttoken", "max", "weightedmean", "cls"], list(MODES)])
def test_poolings(tmp_path, reference, modes, include_prompt):
    pooling = {"embedding_dimension": HIDDEN, "pooling_mode": modes, "include_prompt": include_prompt}
    folder = sentence_folder(tmp_path, pooling, settings={"prompts": {"query": "the dog is "}})
    ours, theirs = SentenceEncoder(folder), reference(folder)
    assert ours.get_embedding_dimension() == theirs.get_embedding_dimension()
    for arguments in ({}, {"prompt_name": "query"}, {"prompt": "a "}):
        # Vectors of length 1; torch's own float32 error is some 1e-7.
        found = ours.encode(texts(), **arguments)
        np.testing.assert_allclose(found, theirs.encode(texts(), **arguments), atol=1e-6, err_msg=str(arguments))
        alone = [ours.encode(text, **arguments) for text in texts()]
        assert np.stack(alone).tobytes() == found.tobytes()


def test_poolings_by_hand(tmp_path):
    folder = sentence_folder(tmp_path, {"pooling_mode": list(MODES)}, normalize=False)
    encoder = SentenceEncoder(folder)
    tokens = encoder.encode("the cat", output_value="token_embeddings").astype(np.float64)
    assert tokens.shape == (4, HIDDEN)
    weights = np.array([1, 2, 3, 4])[:, None]
    expected = [
        tokens[0],
        tokens.max(axis=0),
        tokens.sum(axis=0) / 4,
        tokens.sum(axis=0) / 2,
        (tokens * weights).sum(axis=0) / 10,
        tokens[3],
    ]
    np.testing.assert_allclose(encoder.encode("the cat"), np.concatenate(expected), atol=1e-6)


@pytest.mark.parametrize("include_prompt", [True, False])
def test_a_forward_of_texts_with_a_prompt(tmp_path, reference, include_prompt):
    pooling = {"embedding_dimension": HIDDEN, "pooling_mode": list(MODES), "include_prompt": include_prompt}
    folder = sentence_folder(tmp_path, pooling, normalize=False)
    ours, theirs = SentenceEncoder(folder), reference(folder)
    features, expected = (each.preprocess(SENTENCES, prompt="the dog is ") for each in (ours, theirs))
    assert features["prompt_length"] == expected["prompt_length"] == 4  # [CLS] the dog is
    found = ours(features)["sentence_embedding"]
    assert found == pytest.approx(ours.encode(SENTENCES, prompt="the dog is "), abs=1e-5)
    assert found == pytest.approx(theirs(expected)["sentence_embedding"].detach().numpy(), abs=1e-5)
    features["prompt_length"] = np.array([4] * len(SENTENCES))
    assert ours(features)["sentence_embedding"].tobytes() == found.tobytes()
    assert "prompt_length" not in ours.tokenize(SENTENCES)


def test_a_prompt_that_pooling_leaves_out(tmp_path):
    folder = sentence_folder(tmp_path, {"pooling_mode": "mean", "include_prompt": False}, normalize=False)
    encoder = SentenceEncoder(folder)
    tokens = encoder.encode("cat", prompt="the dog ", output_value="token_embeddings")
    expected = tokens[3:].mean(axis=0)  # [CLS] the dog | cat [SEP]
    np.testing.assert_allclose(encoder.encode("cat", prompt="the dog "), expected, atol=1e-6)
    encoder.set_pooling_include_prompt(True)
    np.testing.assert_allclose(encoder.encode("cat", prompt="the dog "), tokens.mean(axis=0), atol=1e-6)


STACKS = {
    "dense": [dense(HIDDEN, 12)],
    "dense, relu, no bias": [dense(HIDDEN, 40, "torch.nn.modules.activation.ReLU", bias=False)],
    "dense twice, as in EmbeddingGemma": [
        dense(HIDDEN, 50, "torch.nn.modules.linear.Identity", bias=False),
        dense(50, HIDDEN, "torch.nn.modules.linear.Identity", bias=False, seed=3),
        ("Normalize", {}),
    ],
    "dense with its input added": [dense(HIDDEN, HIDDEN, use_residual=True), ("Normalize", {})],
    "dense with another residual": [dense(HIDDEN, 9, use_residual=True)],
    "layer norm": [layer_norm(HIDDEN), ("Normalize", {})],
    "dropout": [("Dropout", {"dropout": 0.3}), dense(HIDDEN, 5), layer_norm(5)],
    "normalised first": [("Normalize", {}), dense(HIDDEN, 16), ("Dropout", {"dropout": 0.1})],
}


@pytest.mark.parametrize("name", STACKS)
def test_stacks(tmp_path, reference, name):
    folder = append(sentence_folder(tmp_path, normalize=False), *STACKS[name])
    ours, theirs = SentenceEncoder(folder), reference(folder)
    assert ours.get_embedding_dimension() == theirs.get_embedding_dimension()
    for arguments in ({}, {"normalize_embeddings": True}, {"truncate_dim": 4, "normalize_embeddings": True}):
        found, expected = ours.encode(texts(), **arguments), theirs.encode(texts(), **arguments)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    found = ours.encode(texts())
    assert np.stack([ours.encode(text) for text in texts()]).tobytes() == found.tobytes()
    assert ours.encode([]).shape == (0, ours.get_embedding_dimension())


def test_layer_norm_and_dense_by_hand(tmp_path):
    plain = SentenceEncoder(sentence_folder(tmp_path / "plain", normalize=False))
    norm, linear = layer_norm(HIDDEN), dense(HIDDEN, 3)
    folder = append(sentence_folder(tmp_path / "model", normalize=False), norm, linear)
    rows = plain.encode(SENTENCES).astype(np.float64)
    variance = rows.var(axis=1, keepdims=True)
    rows = (rows - rows.mean(axis=1, keepdims=True)) / np.sqrt(variance + 1e-5)
    rows = rows * norm[2]["norm.weight"] + norm[2]["norm.bias"]
    expected = np.tanh(rows @ linear[2]["linear.weight"].T + linear[2]["linear.bias"])
    np.testing.assert_allclose(SentenceEncoder(folder).encode(SENTENCES), expected, atol=2e-5)


def test_dense_keeps_to_the_threads_of_the_model(tmp_path, monkeypatch):
    asked = []

    def products(rows, weight, num_threads):
        asked.append(num_threads)
        return rows @ weight.T

    monkeypatch.setattr("filbert.sentence.dense.products", products)
    folder = append(sentence_folder(tmp_path), dense(HIDDEN, 4))
    SentenceEncoder.from_pretrained(folder, num_threads=1).encode(SENTENCES)
    assert asked == [1]


def router_folder(tmp_path, routes, parameters=None):
    """A model with a Router of Dense modules after its Pooling; routes: their output sizes by name."""
    folder = sentence_folder(tmp_path, normalize=False)
    types, structure = {}, {}
    for number, (name, size) in enumerate(routes.items()):
        place = f"{name}_0_Dense"
        kind, config, tensors = dense(HIDDEN, size, seed=number)
        types[place] = write_module(folder / "2_Router" / place, kind, config, tensors)
        structure[name] = [place]
    config = {"types": types, "structure": structure, "parameters": parameters or {}}
    write_json(folder / "2_Router" / "router_config.json", config)
    listed = json.loads((folder / "modules.json").read_text())
    path = "sentence_transformers.models.Router"
    write_json(folder / "modules.json", [*listed, {"idx": 2, "name": "2", "path": "2_Router", "type": path}])
    return folder


@pytest.mark.parametrize("parameters", [{}, {"default_route": "document"}, {"allow_empty_key": False}])
def test_a_router(tmp_path, reference, parameters):
    folder = router_folder(tmp_path, {"query": 6, "document": 6}, parameters)
    ours, theirs = SentenceEncoder(folder), reference(folder)
    for method in ("encode", "encode_query", "encode_document"):
        if method == "encode" and "allow_empty_key" in parameters:
            with pytest.raises(InputError, match="task: found None, the model's Router has query, document"):
                ours.encode("hello")
            continue
        found, expected = getattr(ours, method)(texts()), getattr(theirs, method)(texts())
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    with pytest.raises(InputError, match="task: found 'other', the model's Router has query, document"):
        ours.encode("hello", task="other")
    assert "tasks document, query" in repr(ours)


@pytest.mark.parametrize("default", [None, "document"])
def test_a_router_of_one_route(tmp_path, reference, default):
    parameters = {"default_route": default, "allow_empty_key": False}
    folder = router_folder(tmp_path, {"document": 6}, parameters)
    ours, theirs = SentenceEncoder(folder), reference(folder)
    for task in (None, "query", "document"):
        if task == "query" or task is default is None:
            with pytest.raises(InputError, match=f"task: found {task!r}, the model's Router has document"):
                ours.encode(SENTENCES, task=task)
            with pytest.raises(ValueError, match="route"):
                theirs.encode(SENTENCES, task=task)
        else:
            found, expected = ours.encode(SENTENCES, task=task), theirs.encode(SENTENCES, task=task)
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_a_router_between_a_table_and_an_encoder(tmp_path, reference):
    """The query side of such models looks vectors up."""
    sentence_folder(tmp_path / "whole", normalize=False)
    folder = tmp_path / "model"
    encoder = SentenceEncoder(tmp_path / "whole")
    encoder.model.save_pretrained(folder / "document_0_Transformer")
    encoder.tokenizer.save_pretrained(folder / "document_0_Transformer")
    write_module(folder / "document_1_Pooling", "Pooling", {"embedding_dimension": HIDDEN, "pooling_mode": "mean"})
    table = folder / "query_0_StaticEmbedding"
    encoder.tokenizer.save_pretrained(table)
    save_file({"embedding.weight": drawn(len(encoder.tokenizer), HIDDEN)}, table / "model.safetensors")
    kinds = ("document_0_Transformer", "document_1_Pooling", "query_0_StaticEmbedding")
    config = {
        "types": {kind: f"sentence_transformers.models.{kind.split('_')[2]}" for kind in kinds},
        "structure": {"query": [kinds[2]], "document": [*kinds[:2]]},
        "parameters": {"default_route": "document"},
    }
    write_json(folder / "router_config.json", config)
    path = "sentence_transformers.models.{}"
    write_json(
        folder / "modules.json",
        [
            {"idx": 0, "name": "0", "path": "", "type": path.format("Router")},
            {"idx": 1, "name": "1", "path": "1_Normalize", "type": path.format("Normalize")},
        ],
    )
    ours, theirs = SentenceEncoder(folder), reference(folder)
    for method in ("encode", "encode_query", "encode_document"):
        found, expected = getattr(ours, method)(SENTENCES), getattr(theirs, method)(SENTENCES)
        np.testing.assert_allclose(found, expected, atol=1e-6)
    for task in (None, "query", "document"):
        found = ours(ours.preprocess(SENTENCES, task=task))["sentence_embedding"]
        np.testing.assert_allclose(found, ours.encode(SENTENCES, task=task), atol=1e-6)
        features = theirs.preprocess(SENTENCES, task=task)
        np.testing.assert_allclose(found, theirs(features)["sentence_embedding"].detach(), atol=1e-6)


@pytest.mark.parametrize(
    ("modules", "error", "message"),
    [
        ([dense(31, 4)], ConfigError, "Dense is made for other vectors than those of 32 numbers"),
        ([layer_norm(8)], ConfigError, "LayerNorm is made for other vectors"),
        ([("LayerNorm", {})], ConfigError, "found no dimension"),
        ([("LayerNorm", {"dimension": 32}, {"norm.weight": drawn(32)})], WeightsError, "expected norm.weight, norm"),
        ([("Dense", {"in_features": 32})], ConfigError, "found no in_features or no out_features"),
        ([dense(32, 4, "os.system")], ConfigError, "activation_function: found 'os.system'"),
        ([("Pooling", {})], ConfigError, "found modules Transformer, Pooling, Pooling, supported"),
        ([("WeightedLayerPooling", {})], ConfigError, "found module '.*WeightedLayerPooling', supported"),
    ],
)
def test_modules_that_do_not_fit(tmp_path, modules, error, message):
    folder = append(sentence_folder(tmp_path, normalize=False), *modules)
    with pytest.raises(error, match=message):
        SentenceEncoder(folder)


def test_modules_that_share_a_folder(tmp_path):
    """What is saved would be one over the other."""
    folder = sentence_folder(tmp_path / "model")
    modules = json.loads((folder / "modules.json").read_text())
    expected = SentenceEncoder(folder).encode("hello")
    modules[2]["path"] = ""
    write_json(folder / "modules.json", modules)
    encoder = SentenceEncoder(folder)
    encoder.save_pretrained(folder)
    assert SentenceEncoder(folder).encode("hello").tobytes() == encoder.encode("hello").tobytes() == expected.tobytes()
    modules[1]["path"] = "/"
    write_json(folder / "modules.json", modules)
    with pytest.raises((ConfigError, InputError), match=r"found modules in the folders \['', ''\]|'/"):
        SentenceEncoder(folder)
    modules[1]["path"] = ""
    write_json(folder / "modules.json", modules)
    with pytest.raises(ConfigError, match=r"found modules in the folders \['', ''\], expected one for each"):
        SentenceEncoder(folder)


def test_a_router_with_a_mapping_of_numbers(tmp_path):
    folder = router_folder(tmp_path, {"query": 6}, {"route_mappings": {"(1, None)": "query"}})
    with pytest.raises(ConfigError, match=r"route_mappings: found '\(1, None\)', expected a task and a modality"):
        SentenceEncoder(folder)
