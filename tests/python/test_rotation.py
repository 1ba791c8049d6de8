"""Rotary positions that are scaled for long texts: every kind in every family that turns, beside transformers."""

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from families import FAMILIES, draw, rope
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_parity import check, reference_outputs
from test_robustness_config import outcome

import filbert
from filbert import AutoConfig, AutoModel, ConfigError, LlamaConfig, LlamaModel

GOLDEN = Path(__file__).parent.parent / "golden"
KINDS = ("linear", "llama3", "yarn")
OF_ALL = ("eurobert", "gte", "jina_embeddings_v3", "llama", "mistral", "nomic_bert", "qwen2", "qwen3")
OF_EACH_KIND = {"gemma3_text": "rope_local_base_freq", "modernbert": "local_rope_theta", "ultrabert": "rope_theta"}
TINY = {"vocab_size": 50, "hidden_size": 32, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 2}
TINY |= {"max_position_embeddings": 128, "pad_token_id": 0}


def scaled(name, kind, seed):
    """A configuration of the family with scaled rotations, and not those of its own draw."""
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    config = draw(name, "Model", seed)
    for key in ("rope_parameters", "rope_scaling", "rope_theta", "global_rope_theta", *OF_EACH_KIND.values()):
        config.pop(key, None)
    own = {**rope(rng, kind), "rope_theta": float(rng.choice([10000, 500.0]))}
    if name in OF_ALL:
        return {**config, "rope_parameters": own}
    other = {**rope(rng, str(rng.choice(KINDS))), "rope_theta": 1000.0}
    return {**config, "rope_parameters": {"full_attention": own, "sliding_attention": other}}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [*OF_ALL, *OF_EACH_KIND])
def test_models_beside_transformers(torch, transformers, tmp_path, name, kind, seed):
    """At positions far beyond those that they learned from; their configurations are the same, written either way."""
    config, stem = scaled(name, kind, seed), FAMILIES[name].stem
    theirs = getattr(transformers, f"{stem}Config")(**config, attn_implementation="eager")
    ours = getattr(filbert, f"{stem}Config")(**config)
    assert ours.rope_parameters == theirs.rope_parameters
    torch.manual_seed(seed)
    reference = getattr(transformers, f"{stem}Model")(theirs)
    for parameter in reference.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    reference.save_pretrained(tmp_path)
    model = AutoModel.from_pretrained(tmp_path)
    assert model.config.rope_parameters == theirs.rope_parameters
    rng = np.random.default_rng(seed)
    call = {"input_ids": rng.integers(1, config["vocab_size"], (2, 40)), "attention_mask": np.ones((2, 40), np.int64)}
    call["position_ids"] = np.sort(rng.integers(0, 2000, (2, 40)))
    single = reference_outputs(torch, reference, call)
    double = reference_outputs(torch, reference.double(), call)
    found = model(**call, output_attentions=True)
    check("last_hidden_state", found.last_hidden_state, single.last_hidden_state, double.last_hidden_state, True)
    weights = [np.stack([layer.numpy() for layer in each.attentions]) for each in (single, double)]
    check("attentions", np.stack(found.attentions), *weights, True)


@pytest.mark.parametrize("key", ["rope_scaling", "rope_parameters"])
@pytest.mark.parametrize("name", [*OF_ALL, "gemma3_text", "modernbert"])  # of ultrabert, the former is refused
def test_older_spellings_as_transformers_reads_them(transformers, tmp_path, name, key):
    """rope_scaling and type. Of gemma3_text's layers the former is for those that see all, of modernbert's for all."""
    of_each = name in OF_EACH_KIND
    if of_each and key == "rope_parameters":
        return
    values = {"model_type": name, **draw(name, "Model", 0)}
    for other in ("rope_parameters", "rope_scaling", "rope_theta"):
        values.pop(other, None)
    own = {"rope_type" if of_each else "type": "yarn", "factor": 4.0, "rope_theta": 777.0}
    (tmp_path / "config.json").write_text(json.dumps({**values, key: own}))
    ours, theirs = (library.AutoConfig.from_pretrained(tmp_path) for library in (filbert, transformers))
    assert ours.rope_parameters == theirs.rope_parameters
    ours.save_pretrained(tmp_path / "ours")
    again = transformers.AutoConfig.from_pretrained(tmp_path / "ours")
    assert again.rope_parameters == AutoConfig.from_pretrained(tmp_path / "ours").rope_parameters
    assert again.rope_parameters == theirs.rope_parameters


@pytest.mark.parametrize("name", [*OF_ALL, *OF_EACH_KIND])
def test_an_older_theta_beside_a_newer_one_is_not_looked_at(transformers, tmp_path, name):
    turn = {"rope_type": "default", "rope_theta": 777.0}
    own = {"full_attention": turn, "sliding_attention": turn} if name in OF_EACH_KIND else turn
    older = dict.fromkeys(("rope_theta", "global_rope_theta", OF_EACH_KIND.get(name, "rope_theta")))
    values = {"model_type": name, **draw(name, "Model", 0), **older, "rope_parameters": own}
    values.pop("rope_scaling", None)
    (tmp_path / "config.json").write_text(json.dumps(values))
    for library in (filbert, transformers):
        assert library.AutoConfig.from_pretrained(tmp_path).rope_parameters == own


def test_the_engine_reads_files_as_the_configuration_does(tmp_path):
    """Programs in C++ give it files as they are."""
    from filbert import _core

    own = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}
    ids = np.arange(1, 40)[None]
    cases = {
        "llama": {"rope_theta": 50.0, "rope_scaling": own},
        "gemma3_text": {"rope_scaling": own, "num_key_value_heads": 1, "sliding_window_pattern": 2},
        "modernbert": {"rope_scaling": own, "global_attn_every_n_layers": 2},
    }
    for name, more in cases.items():
        values, stem = {**TINY, **more}, FAMILIES[name].stem
        model = getattr(filbert, f"{stem}Model")(getattr(filbert, f"{stem}Config")(**values), seed=0)
        raw = _core.Model(json.dumps({**values, "model_type": name}), model._weights)
        assert raw.forward(ids)[0].tobytes() == model(ids).last_hidden_state.tobytes()
        plain = getattr(filbert, f"{stem}Config")(**{**values, "rope_scaling": None})
        unscaled = getattr(filbert, f"{stem}Model")(plain, seed=0)
        assert unscaled(ids).last_hidden_state.tobytes() != model(ids).last_hidden_state.tobytes()


def test_what_layers_of_several_kinds_refuse(tmp_path):
    """transformers would go on as if these had not been said."""
    values = {**TINY, "model_type": "modernbert", "rope_scaling": {"type": "yarn", "factor": 2.0}}
    (tmp_path / "config.json").write_text(json.dumps(values))
    with pytest.raises(ConfigError, match=r'rope_scaling\.type: found "yarn" .*none but rope_type, which alone counts'):
        AutoConfig.from_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=r'attention\.type: found "yarn" \(string\), expected what rope_type says'):
        filbert.ModernBertModel(filbert.ModernBertConfig(**TINY, rope_scaling=values["rope_scaling"]))
    parameters = {"full_attention": {"rope_type": "yarn", "factor": 2.0, "truncate": False}}
    config = filbert.ModernBertConfig(**TINY, rope_parameters=parameters)
    with pytest.raises(ConfigError, match=r"full_attention\.truncate: found false .*true: layers are of several kinds"):
        filbert.ModernBertModel(config)
    with pytest.raises(ConfigError, match=r"rope_parameters\.truncate: found false .*an object for full_attention and"):
        filbert.ModernBertModel(filbert.ModernBertConfig(**TINY, rope_parameters={"truncate": False}))


def test_a_text_has_the_same_bits_in_any_batch():
    """Which is why no frequency may follow the longest text."""
    own = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 8}
    model = LlamaModel(LlamaConfig(**TINY, rope_parameters=own), seed=0)
    rows = [list(range(1, 6)), list(range(1, 50)), list(range(3, 20))]
    together = model(rows).last_hidden_state
    for row, found in zip(rows, together, strict=True):
        assert model([row]).last_hidden_state[0].tobytes() == found[: len(row)].tobytes()


def test_the_stored_frequencies_are_those_of_transformers(torch, transformers):
    """If not: python tests/golden/make_rotations.py"""
    sys.path.insert(0, str(GOLDEN))
    from make_rotations import cases

    stored = json.loads((GOLDEN / "rotations.json").read_text())
    for found, expected in zip(cases(), stored, strict=True):
        assert found["config"] == expected["config"]
        np.testing.assert_allclose(found["frequencies"], expected["frequencies"], rtol=1e-6)  # of other processors
        assert found["growth"] == pytest.approx(expected["growth"])


ODD = st.sampled_from([0, -1, 1, 1.0, 0.5, 4, 1e300, math.nan, math.inf, True, None, "", "4", [], {}, 64, 2**40])


@pytest.mark.parametrize("key", ["rope_scaling", "rope_parameters"])
@pytest.mark.parametrize("name", ["rope_type", "type"])
def test_a_rotation_of_no_type(tmp_path, key, name):
    own = {name: None, "factor": 4.0}
    (tmp_path / "config.json").write_text(json.dumps({**TINY, "model_type": "llama", key: own}))
    with pytest.raises(ConfigError, match=rf"{name}: found null, expected a string"):
        LlamaConfig.from_pretrained(tmp_path)


KEYS = ("rope_type", "type", "factor", "rope_theta", "original_max_position_embeddings", "low_freq_factor")
KEYS += ("high_freq_factor", "attention_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim", "truncate")
KEYS += ("partial_rotary_factor", "unknown")


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from([*KINDS, "default", "dynamic", "longrope", "proportional"]),
    changes=st.dictionaries(st.sampled_from(KEYS), ODD, max_size=3),
    missing=st.sets(st.sampled_from(KEYS), max_size=1),
    key=st.sampled_from(["rope_scaling", "rope_parameters"]),
)
def test_any_rotation_is_that_of_transformers_or_a_config_error(transformers, tmp_path, kind, changes, missing, key):
    """And where transformers can make no frequencies of it, it is an error here."""
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    usual = {"rope_type": kind, "factor": 4.0, "original_max_position_embeddings": 16}
    usual |= {"low_freq_factor": 1.0, "high_freq_factor": 4.0} if kind == "llama3" else {}
    own = {each: value for each, value in {**usual, **changes}.items() if each not in missing}
    (tmp_path / "config.json").write_text(json.dumps({**TINY, "model_type": "llama", key: own}))
    config = outcome(tmp_path / "config.json")
    if isinstance(config, ConfigError):
        assert str(tmp_path) in str(config)
        return
    assert config.rope_parameters["rope_type"] in ("default", *KINDS)
    theirs = transformers.LlamaConfig(**{**TINY, key: own})
    text = json.dumps(config.rope_parameters, sort_keys=True)  # in which NaN is NaN
    assert json.dumps(theirs.rope_parameters, sort_keys=True) == text
    if theirs.rope_parameters["rope_type"] != "default":
        frequencies, _ = ROPE_INIT_FUNCTIONS[theirs.rope_parameters["rope_type"]](theirs)
        assert not frequencies.isnan().any()
    again = LlamaConfig.from_dict(json.loads(config.to_json_string()))
    assert json.dumps(again.rope_parameters, sort_keys=True) == text
