"""Every family of the table: numbers beside transformers, bits alone and in a batch, saving and loading both ways."""

import json
import re

import numpy as np
import pytest
from families import DEBERTAS, FAMILIES, IN_TRANSFORMERS, MODELS, REFERENCED, draw, draw_call
from safetensors.numpy import load_file
from test_parity import check, reference_outputs

import filbert
from filbert import AutoModel, ConfigError, InputError
from filbert.models import FAMILIES as REGISTERED

CASES = 30


def reference_model(torch, transformers, name, task, seed):
    """A small random model of transformers whose biases and norms are random too, and its configuration."""
    family = FAMILIES[name]
    config = draw(name, task, seed)
    torch.manual_seed(seed)
    settings = getattr(transformers, f"{family.stem}Config")(**config, attn_implementation="eager")
    model = getattr(transformers, family.class_name(task))(settings)
    for parameter in model.parameters():
        if parameter.requires_grad:  # RoFormer's sines do not
            parameter.data += 0.1 * torch.randn_like(parameter)
    return config, model


def own_model(name, task, seed, **keywords):
    family = FAMILIES[name]
    config = draw(name, task, seed)
    settings = getattr(filbert, f"{family.stem}Config")(**config)
    return config, getattr(filbert, family.class_name(task))(settings, seed=seed, **keywords)


def test_the_table_has_every_family():
    ours = {name: [each.class_name(task) for task in ("Config", *each.tasks)] for name, each in FAMILIES.items()}
    assert ours == {name: [stem + kind for kind in kinds] for name, (_, stem, kinds) in REGISTERED.items()}


@pytest.mark.parametrize("name", REFERENCED)
@pytest.mark.parametrize("seed", range(CASES))
def test_the_base_model(torch, transformers, tmp_path, name, seed):
    config, reference = reference_model(torch, transformers, name, "Model", seed)
    call = draw_call(FAMILIES[name], config, np.random.default_rng(1000 + seed), seed % 5)
    reference.save_pretrained(tmp_path)
    found = AutoModel.from_pretrained(tmp_path)(**call, output_hidden_states=True, output_attentions=True)
    single = reference_outputs(torch, reference, call)
    double = reference_outputs(torch, reference.double(), call)
    mask = call.get("attention_mask", np.ones(call["input_ids"].shape)).astype(bool)
    rows, pairs = mask[:, :, None], mask[:, None, :, None] & mask[:, None, None, :]
    check("last_hidden_state", found.last_hidden_state, single.last_hidden_state, double.last_hidden_state, rows)
    if FAMILIES[name].pooler:
        check("pooler_output", found.pooler_output, single.pooler_output, double.pooler_output, True)
    else:
        assert found.pooler_output is None
    for key, where, axis in (("hidden_states", rows, 2), ("attentions", pairs, 1)):
        layers = [np.concatenate([layer.numpy() for layer in each[key]], axis) for each in (single, double)]
        check(key, np.concatenate(found[key], axis), *layers, where)


@pytest.mark.parametrize(("name", "task"), [model for model in IN_TRANSFORMERS if model[0] in REFERENCED])
def test_saving_and_loading_both_ways(torch, transformers, tmp_path, name, task):
    _, reference = reference_model(torch, transformers, name, task, 7)
    reference.save_pretrained(tmp_path / "theirs")
    ours = getattr(filbert, f"Auto{task if task == 'Model' else 'Model' + task}").from_pretrained(tmp_path / "theirs")
    # By the names of the file: transformers renames those of some families as it loads and saves them.
    expected = load_file(tmp_path / "theirs" / "model.safetensors")
    if name == "esm":  # it gives its norms the names that they had in 2019
        today = {"gamma": "weight", "beta": "bias"}
        names = {key: re.sub(r"(gamma|beta)$", lambda end: today[end[0]], key) for key in expected}
        expected = {names[key]: value for key, value in expected.items()}
    assert {key: value.tobytes() for key, value in ours.state_dict().items()} == {
        key: value.tobytes() for key, value in expected.items()
    }
    ours.save_pretrained(tmp_path / "ours")
    again = getattr(transformers, FAMILIES[name].class_name(task)).from_pretrained(tmp_path / "ours")
    assert {key: value.numpy().tobytes() for key, value in again.state_dict().items()} == {
        key: value.numpy().tobytes() for key, value in reference.state_dict().items()
    }


@pytest.mark.parametrize(("name", "task"), MODELS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
def test_a_row_has_the_same_bits_in_any_batch(name, task, dtype):
    family = FAMILIES[name]
    config, model = own_model(name, task, 3, dtype=dtype, num_threads=1)
    _, other = own_model(name, task, 3, dtype=dtype, num_threads=2)
    rng = np.random.default_rng(5)
    padding = config.get("pad_token_id", 0)
    longest = config.get("max_position_embeddings", 64) - padding - 1
    rows = [rng.integers(padding + 1, config["vocab_size"], int(length)) for length in rng.integers(1, longest, 9)]
    alone = [model([row.tolist()])[0] for row in rows]
    for each in (model, other):
        together = each([row.tolist() for row in rows])
        for index, row in enumerate(rows):
            of_tokens = task not in ("ForSequenceClassification", "ForNextToken")
            found = together[0][index, : len(row)] if of_tokens else together[0][index]
            assert found.tobytes() == alone[index][0].tobytes()
    # The same with holes: masked tokens are not there, but for the positions of what follows them.
    width = max(map(len, rows))
    ids = np.full((len(rows), width), padding)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = row
    mask = (ids != padding) & (rng.random(ids.shape) < 0.8)
    mask[:, 0] = True
    types = {"token_type_ids": np.zeros_like(ids)} if family.types else {}
    batch = model(ids, attention_mask=mask.astype(int), **types)[0]
    for index in range(len(rows)):
        single = other(ids[index : index + 1], attention_mask=mask[index : index + 1].astype(int))[0]
        assert single[0].tobytes() == batch[index].tobytes()


@pytest.mark.parametrize("name", [name for name in REFERENCED if name not in DEBERTAS])  # there, none see masked ones
@pytest.mark.parametrize("seed", range(3))
def test_query_only_tokens_are_masked_ones_that_are_computed(torch, transformers, tmp_path, name, seed):
    config, reference = reference_model(torch, transformers, name, "Model", seed)
    reference.save_pretrained(tmp_path)
    model = AutoModel.from_pretrained(tmp_path)
    rng = np.random.default_rng(seed)
    ids = rng.integers(config.get("pad_token_id", 0) + 1, config["vocab_size"], (3, 14))
    query_only = np.array([5, 0, 9])
    call = {"input_ids": ids, "attention_mask": (np.arange(14) < 14 - query_only[:, None]).astype(np.int64)}
    single = reference_outputs(torch, reference, call).last_hidden_state
    double = reference_outputs(torch, reference.double(), call).last_hidden_state
    found = model.run_packed(ids.ravel(), np.arange(0, 43, 14), query_only=query_only).reshape(single.shape)
    # Where a window reaches no key, transformers takes the mean of what is masked.
    window = config.get("local_attention", config.get("sliding_window") or 1000) // 2
    where = np.arange(14) <= 13 - query_only[:, None] + window
    check("last_hidden_state", found, single, double, where[:, :, None])
    with pytest.raises(InputError, match="query_only 14 at sequence 0 is out of range; expected 0 to 13"):
        model.run_packed(ids.ravel(), np.arange(0, 43, 14), query_only=np.array([14, 0, 0]))


@pytest.mark.parametrize("name", FAMILIES)
def test_low_precision_is_close(name):
    _, exact = own_model(name, "Model", 11)
    ids = np.random.default_rng(0).integers(5, 20, (4, 12))
    expected = exact(ids).last_hidden_state.ravel()
    for dtype, least in (("bfloat16", 0.999), ("int8", 0.99)):
        found = own_model(name, "Model", 11, dtype=dtype)[1](ids).last_hidden_state.ravel()
        assert found @ expected / np.linalg.norm(found) / np.linalg.norm(expected) > least


@pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if family.pads and name != "esm"])
def test_positions_are_counted_from_the_ids(name):
    config, model = own_model(name, "Model", 2)
    padding = config["pad_token_id"]
    ids = [[padding, 9, padding, 10, 11, padding]]
    expected = model(ids, position_ids=[[padding, padding + 1, padding, padding + 2, padding + 3, padding]])
    assert model(ids).last_hidden_state.tobytes() == expected.last_hidden_state.tobytes()
    longest = config["max_position_embeddings"] - padding - 1
    model([[9] * longest + [padding] * 5])
    with pytest.raises(InputError, match=f"has {longest + 1} tokens, but the model has {longest} positions"):
        model([[9] * (longest + 1)])


@pytest.mark.parametrize("name", FAMILIES)
def test_a_configuration_of_another_family_is_refused(name):
    for other, family in FAMILIES.items():
        config = getattr(filbert, f"{family.stem}Config")()
        if other != name:
            with pytest.raises(TypeError, match=f"takes a {FAMILIES[name].stem}Config"):
                getattr(filbert, FAMILIES[name].class_name("Model"))(config)


def test_types_of_a_model_without_types_are_ignored():
    _, model = own_model("distilbert", "Model", 0)
    pair = {"input_ids": [[5, 6, 7, 8]], "token_type_ids": [[0, 0, 1, 1]]}
    assert model(**pair).last_hidden_state.tobytes() == model([[5, 6, 7, 8]]).last_hidden_state.tobytes()


@pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if not family.types])
def test_positions_in_the_place_of_types_are_refused(name):
    """In transformers they are the third argument of most of these families."""
    for task in FAMILIES[name].tasks:
        _, model = own_model(name, task, 0)
        told = "type 2 at row 0, column 1, but the model has no token types .*; positions are given as position_ids$"
        with pytest.raises(InputError, match=told):
            model([[5, 6, 7]], None, [[0, 2, 4]])
        for types in ([[9, 0, -5]], [[0, 0, 10**9]], [[-1, 0, 0]]):
            with pytest.raises(InputError, match=r"token type (9|1000000000|-1) at"):
                model([[5, 6, 7]], token_type_ids=types)
        expected = model([[5, 6, 7]], [[1, 1, 0]])[0]
        assert model([[5, 6, 7]], [[1, 1, 0]], [[1, 0, 9]])[0].tobytes() == expected.tobytes(), "9 is masked"


def test_a_model_whose_configuration_has_a_stray_number_of_types():
    config, _ = own_model("distilbert", "Model", 0)
    model = AutoModel.from_config(filbert.DistilBertConfig(**config, type_vocab_size=4))
    with pytest.raises(InputError, match="token type 3 at row 0, column 1, but the model has no token types"):
        model([[5, 6]], token_type_ids=[[0, 3]])


def test_a_model_of_a_family_with_types_that_has_none():
    config, _ = own_model("gte", "Model", 0)
    model = AutoModel.from_config(filbert.GteConfig(**{**config, "type_vocab_size": 0}))
    assert model([[5, 6]], token_type_ids=[[0, 1]])[0].tobytes() == model([[5, 6]])[0].tobytes()
    with pytest.raises(InputError, match="token type 3 at row 0, column 1, but the model has no token types"):
        model([[5, 6]], token_type_ids=[[0, 3]])


def test_the_usual_names_of_distilbert_sizes(tmp_path):
    config, model = own_model("distilbert", "Model", 0)
    model.save_pretrained(tmp_path)
    values = json.loads((tmp_path / "config.json").read_text())
    usual = {"dim": "hidden_size", "n_heads": "num_attention_heads", "n_layers": "num_hidden_layers"}
    renamed = {usual.get(key, key): value for key, value in values.items()}
    (tmp_path / "config.json").write_text(json.dumps(renamed))
    again = AutoModel.from_pretrained(tmp_path)
    assert again([[5, 6]]).last_hidden_state.tobytes() == model([[5, 6]]).last_hidden_state.tobytes()
    assert again.config.hidden_size == again.config.dim == config["dim"]
    (tmp_path / "config.json").write_text(json.dumps({**renamed, "n_heads": 1}))
    with pytest.raises(ConfigError, match=r"num_attention_heads: found .* expected what n_heads says"):
        AutoModel.from_pretrained(tmp_path)


def test_positions_need_a_padding_id():
    with pytest.raises(ConfigError, match="pad_token_id: found null, expected an integer"):
        filbert.RobertaModel(filbert.RobertaConfig(pad_token_id=None))
