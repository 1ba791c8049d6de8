"""What is special about DeBERTa's first version: q, k and v of one tensor, its distances, its settings."""

import json
import warnings

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from filbert import AutoModel, AutoModelForSequenceClassification, ConfigError, DebertaConfig, DebertaModel, _core

SMALL = {
    "vocab_size": 60,
    "hidden_size": 32,
    "intermediate_size": 20,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 16,
    "initializer_range": 0.2,
}
RELATIVE = {**SMALL, "relative_attention": True, "pos_att_type": ["c2p", "p2c"], "position_biased_input": False}
HEAD = 16  # numbers of a head


def saved(folder, change, **config):
    """A folder with seeded weights; `change` may replace any of them. Names are without a prefix."""
    model = DebertaModel(DebertaConfig(**{**RELATIVE, **config}), seed=0)
    model.save_pretrained(folder)
    tensors = load_file(folder / "model.safetensors")
    tensors = {name: np.array(value, np.float32) for name, value in tensors.items()}
    change(tensors)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.mark.parametrize("term", ["c2p", "p2c"])
def test_rows_of_relative_positions_by_hand(tmp_path, term):
    """Every head's q or k is one number, the same for all tokens, and that of the second head is twice the first's."""
    step = 0.05 * np.sqrt(HEAD * 2)  # of a score, which is divided by sqrt(head size (1 + terms))

    def change(tensors):
        own = "encoder.layer.0.attention.self."
        tensors["embeddings.LayerNorm.weight"][:] = 0
        tensors["embeddings.LayerNorm.bias"][:] = np.eye(32)[5]
        tensors[own + "in_proj.weight"][: 3 * HEAD * 2] = 0
        name = own + ("pos_proj.weight" if term == "c2p" else "pos_q_proj.weight")
        tensors[name][:] = 0
        for head in range(2):
            if term == "c2p":
                tensors[own + "q_bias"][head * HEAD] = head + 1
            else:
                tensors[own + "in_proj.weight"][3 * HEAD * head + HEAD, 5] = head + 1
            tensors[name][head * HEAD, 7] = 1
        table = tensors["encoder.rel_embeddings.weight"]
        table[:, 7] = step * np.arange(len(table))

    config = {"pos_att_type": [term], "max_relative_positions": 20, "num_hidden_layers": 1}
    model = AutoModel.from_pretrained(saved(tmp_path, change, **config))
    found = model([[9] * 50], output_attentions=True).attentions[0][0]  # [heads, queries, keys]
    columns = np.arange(50)
    rows = np.clip(columns[:, None] - columns[None, :], -20, 19)  # counted from the key to the query
    for head in range(2):
        scores = 0.05 * (head + 1) * rows
        expected = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
        np.testing.assert_allclose(found[head], expected, rtol=1e-4)


def test_values_lie_behind_keys_in_each_head_and_have_a_bias(tmp_path):
    """Where all tokens are alike, attention gives their value."""
    x = np.random.default_rng(0).standard_normal(32).astype(np.float32)

    def change(tensors):
        tensors["embeddings.LayerNorm.weight"][:] = 0
        tensors["embeddings.LayerNorm.bias"][:] = x
        tensors["encoder.layer.0.attention.self.v_bias"][:] = np.arange(32) / 10
        for name in ("attention.output.dense.weight", "intermediate.dense.weight", "output.dense.weight"):
            tensors[f"encoder.layer.0.{name}"][:] = 0
        tensors["encoder.layer.0.attention.output.dense.weight"][:] = np.eye(32)

    folder = saved(tmp_path, change, num_hidden_layers=1)
    found = AutoModel.from_pretrained(folder)([[9] * 5]).last_hidden_state[0]
    weight = load_file(folder / "model.safetensors")["encoder.layer.0.attention.self.in_proj.weight"]
    value = weight.reshape(2, 3, HEAD, 32)[:, 2].reshape(32, 32) @ x + np.arange(32) / 10
    expected = x + value
    expected = (expected - expected.mean()) / expected.std()
    np.testing.assert_allclose(found, np.tile(expected, (5, 1)), atol=1e-4)  # of the second norm, too


@pytest.mark.parametrize(("terms", "count"), [(["c2p"], 1), (["c2p", "p2c"], 2), (["p2c", "p2c"], 2), ("", 1)])
def test_every_name_of_a_term_counts_in_the_scale(terms, count):
    """As in transformers: scores are divided by sqrt(head size (1 + names)) whether the terms are there or not."""
    ids = [[5, 6, 7, 8, 9, 10]]
    config = {**SMALL, "num_hidden_layers": 1}
    none, some = (
        np.log(
            DebertaModel(DebertaConfig(**config, pos_att_type=names), seed=0)(ids, output_attentions=True)
            .attentions[0]
            .astype(np.float64)
        )
        for names in ([], terms)
    )
    # Logarithms of probabilities are scores but for a number a row.
    differences = [scores - scores.mean(-1, keepdims=True) for scores in (none, some)]
    assert np.abs(differences[0]).max() > 0.01
    np.testing.assert_allclose(differences[1] * np.sqrt(1 + count), differences[0], atol=1e-5)


def test_repeated_terms_beside_transformers(torch, transformers, tmp_path):
    config = {**RELATIVE, "pos_att_type": ["c2p", "c2p"]}
    reference = transformers.DebertaModel(transformers.DebertaConfig(**config)).eval()
    reference.save_pretrained(tmp_path)
    ids = [[5, 6, 7, 8, 9]]
    with torch.no_grad():
        expected = reference(torch.tensor(ids)).last_hidden_state.numpy()
    np.testing.assert_allclose(AutoModel.from_pretrained(tmp_path)(ids).last_hidden_state, expected, atol=1e-5)


def test_names_of_the_hubs_files(tmp_path):
    """Theirs have the prefix of the base model, older names of norms, and a table of positions that nobody reads."""
    model = DebertaModel(DebertaConfig(**RELATIVE), seed=0)
    model.save_pretrained(tmp_path)
    older = {".LayerNorm.weight": ".LayerNorm.gamma", ".LayerNorm.bias": ".LayerNorm.beta"}
    tensors = {}
    for name, value in load_file(tmp_path / "model.safetensors").items():
        end = next((end for end in older if name.endswith(end)), None)
        tensors["deberta." + (name.removesuffix(end) + older[end] if end else name)] = value
    tensors["deberta.embeddings.position_embeddings.weight"] = np.ones((16, 32), np.float32)
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = AutoModel.from_pretrained(tmp_path)
    ids = [[5, 6, 7, 8] * 10]  # more than max_position_embeddings
    assert loaded(ids)[0].tobytes() == model(ids)[0].tobytes()
    assert not any("position_embeddings" in name for name in loaded.state_dict())


def test_the_engine_reads_terms_as_the_configuration_does():
    """Programs in C++ give it files as they are, with a string of terms."""
    ids = np.arange(1, 30)[None]
    values = {**RELATIVE, "pos_att_type": "P2C | c2p"}
    model = DebertaModel(DebertaConfig(**values), seed=0)
    assert model.config.pos_att_type == ["p2c", "c2p"]
    raw = _core.Model(json.dumps({**values, "model_type": "deberta"}), model._weights)
    assert raw.forward(ids)[0].tobytes() == model(ids).last_hidden_state.tobytes()


REFUSED = [
    ({"talking_head": True}, "talking_head: found true .*expected false"),
    ({"num_attention_heads": 3}, r"hidden_size: found 32, expected a multiple of num_attention_heads \(3\)"),
    ({"pos_att_type": ["p2p"]}, r"pos_att_type: found .*names among c2p and p2c"),
    ({"pos_att_type": "c2p|p2p"}, r"pos_att_type: found .*names among c2p and p2c"),
    ({"pos_att_type": 5}, r"pos_att_type: found 5 \(integer\)"),
    ({"hidden_act": "x"}, "hidden_act: found .*one of gelu"),
    ({"embedding_size": 0}, "embedding_size: found 0"),
]


@pytest.mark.parametrize(("values", "message"), REFUSED)
def test_settings_that_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        DebertaModel(DebertaConfig(**{**RELATIVE, **values}))


def test_a_pooler_of_another_width_is_refused(tmp_path):
    DebertaModel(DebertaConfig(**RELATIVE, pooler_hidden_size=16), seed=0).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=r"pooler_hidden_size: found 16 .*hidden_size \(32\)"):
        AutoModelForSequenceClassification.from_pretrained(tmp_path)
