"""A folder with a bad config.json, through the front door."""

import json
import math
import time

import numpy as np
import pytest
from checkpoints import TINY
from families import FAMILIES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from filbert import AutoConfig, AutoModel, BertConfig, BertModel, ConfigError, Qwen3Config, _core
from filbert.configuration import MAX_CONFIG_BYTES


@pytest.fixture
def load(tiny_folder):
    """Opens the tiny model with another config.json; the weights fit TINY."""

    def load_with(text):
        data = json.dumps(text) if isinstance(text, dict) else text
        (tiny_folder / "config.json").write_bytes(data if isinstance(data, bytes) else data.encode())
        with pytest.raises(ConfigError) as from_config:
            AutoConfig.from_pretrained(tiny_folder)
        with pytest.raises(ConfigError) as from_model:
            BertModel.from_pretrained(tiny_folder)
        assert str(from_model.value).startswith(str(from_config.value))
        assert str(tiny_folder / "config.json") in str(from_config.value)
        return str(from_model.value)

    return load_with


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "the file is empty"),
        (" \n ", "the file is empty"),
        ("not json", "line 1, column 1"),
        ('{\n  "hidden_size": 32,\n}', "line 3, column 1"),
        ('{"a": nan}', "line 1, column 7"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "`git lfs pull`"),
        ("<!DOCTYPE html><html></html>", "an HTML page"),
        ('{"a": 1} x', "line 1, column 10"),
        ("[]", "expected a JSON object"),
        ('{"a": 1, "a": 2}', "line 1"),
        (b'{"a": "\xff"}', "not UTF-8 at byte 7"),
    ],
)
def test_not_json(load, text, place):
    assert place in load(text)


@pytest.mark.parametrize("size", [2**31, 2**63, 2**64, 10**40])
@pytest.mark.parametrize("field", ["hidden_size", "vocab_size", "intermediate_size", "num_hidden_layers"])
def test_huge_dimensions(load, field, size):
    message = load(TINY | {field: size})
    assert field in message
    assert "an integer from 1 to" in message


@pytest.mark.parametrize("first", [None, "2", 1.5])
def test_the_first_sliding_layer_of_qwen3_is_an_integer(first):
    with pytest.raises(ConfigError, match="max_window_layers: found"):
        Qwen3Config(use_sliding_window=True, max_window_layers=first)


@pytest.mark.parametrize("value", [-1, 0, 32.0, 32.5, "32", True, [32], {}])
@pytest.mark.parametrize("field", ["hidden_size", "num_attention_heads", "max_position_embeddings"])
def test_wrong_dimensions(load, field, value):
    message = load(TINY | {field: value})
    assert f"{field}: found" in message


def test_heads(load):
    message = load(TINY | {"num_attention_heads": 5})
    assert "hidden_size" in message
    assert "32" in message
    assert "5" in message


@pytest.mark.parametrize("model_type", ["gpt2", "", "BERT"])
def test_unknown_model_type(load, model_type):
    message = load(TINY | {"model_type": model_type})
    assert "model_type" in message
    assert "bert" in message


@pytest.mark.parametrize("values", [{}, {"model_type": None}, {"architectures": None}])
def test_no_model_type(tiny_folder, tmp_path, values):
    """The class says it where the file does not; without a class, the error says what to do."""
    path = tiny_folder / "config.json"
    path.write_text(json.dumps({key: value for key, value in TINY.items() if key != "model_type"} | values))
    for auto in (AutoConfig.from_pretrained, AutoConfig.from_json_file, AutoModel.from_pretrained):
        with pytest.raises(ConfigError, match=r'config\.json: model_type is missing; .*Add it.*"bert".*BertModel'):
            auto(path if auto == AutoConfig.from_json_file else tiny_folder)
    config = BertConfig.from_pretrained(tiny_folder)
    assert config.to_dict() == BertConfig.from_json_file(path).to_dict() | {"_name_or_path": str(tiny_folder)}
    assert (config.model_type, config.hidden_size) == ("bert", 32)
    expected = BertModel.from_pretrained(tiny_folder)([[1, 2]])[0]
    for model in (
        BertModel.from_pretrained(tiny_folder, config=config),
        BertModel.from_pretrained(tiny_folder, config=BertConfig(**TINY)),
        AutoModel.from_pretrained(tiny_folder, config=config),
    ):
        np.testing.assert_array_equal(model([[1, 2]])[0], expected)
    BertModel.from_pretrained(tiny_folder).save_pretrained(tmp_path / "saved")
    assert AutoConfig.from_pretrained(tmp_path / "saved").model_type == "bert"


def test_no_model_type_and_other_faults(tiny_folder):
    for wrong in (
        {"hidden_size": 0},
        {"hidden_act": "x"},
        {"model_type": "gpt2"},
        {"model_type": 3},
        {"model_type": ""},
    ):
        values = {key: value for key, value in TINY.items() if key != "model_type"} | wrong
        (tiny_folder / "config.json").write_text(json.dumps(values))
        with pytest.raises(ConfigError, match=rf"config\.json: {next(iter(wrong))}"):
            BertModel.from_pretrained(tiny_folder)
    (tiny_folder / "config.json").write_text('{"__float__": "NaN"}')
    with pytest.raises(ConfigError, match=r"config\.json: found nan"):
        BertConfig.from_pretrained(tiny_folder)


BEYOND_JSON = [
    ("NaN", math.nan),
    ("-Infinity", -math.inf),
    ("1e999", math.inf),
    ("-1e-999", -0.0),
    ("9" * 400, int("9" * 400)),
    ('[1, {"b": Infinity}]', [1, {"b": math.inf}]),
    ('"x\\ud800y"', "x\ud800y"),
    ('{"\\udfff": 1}', {"\udfff": 1}),
    ('{"__float__": "-Infinity"}', -math.inf),
    ('[{"__float__": "NaN"}, {"__float__": "x"}]', [math.nan, {"__float__": "x"}]),
]


@pytest.mark.parametrize(("text", "value"), BEYOND_JSON, ids=[text[:20] for text, _ in BEYOND_JSON])
def test_what_python_writes_beyond_json_in_keys_that_nobody_uses(tiny_folder, tmp_path, text, value):
    (tiny_folder / "config.json").write_text(json.dumps(TINY)[:-1] + f', "extra": {text}}}')
    model = AutoModel.from_pretrained(tiny_folder)
    assert repr(model.config.extra) == repr(value)
    model.save_pretrained(tmp_path / "saved")
    assert repr(AutoModel.from_pretrained(tmp_path / "saved").config.extra) == repr(value)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-1e999", "1e-999", '{"__float__": "NaN"}'])
@pytest.mark.parametrize("field", ["hidden_size", "layer_norm_eps", "hidden_act", "num_hidden_layers"])
def test_what_python_writes_beyond_json_in_keys_that_count(load, field, text):
    values = {key: value for key, value in TINY.items() if key != field}
    assert f"{field}: found" in load(json.dumps(values)[:-1] + f', "{field}": {text}}}')


def test_special_floats_go_to_transformers_and_back(transformers, tmp_path):
    values = {"a": math.nan, "b": math.inf, "c": [-math.inf]}
    transformers.BertConfig(**TINY | values).save_pretrained(tmp_path / "theirs")
    ours = BertConfig.from_pretrained(tmp_path / "theirs")
    assert repr([ours.a, ours.b, ours.c]) == repr(list(values.values()))
    ours.save_pretrained(tmp_path / "ours")
    theirs = transformers.BertConfig.from_pretrained(tmp_path / "ours")
    assert repr([theirs.a, theirs.b, theirs.c]) == repr(list(values.values()))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("hidden_act", "gelu_fancy"),
        ("hidden_act", 3),
        ("position_embedding_type", "relative_key"),
        ("position_embedding_type", "relative_key_query"),
        ("is_decoder", True),
        ("add_cross_attention", True),
    ],
)
def test_what_cannot_be_honoured(load, field, value):
    assert field in load(TINY | {field: value})


def test_code_of_others_is_ignored(tiny_folder):
    code = {
        "auto_map": {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"},
        "trust_remote_code": True,
        "_attn_implementation_internal": "../../evil",
        "custom_pipelines": {"x": {"impl": "evil.Pipe"}},
    }
    (tiny_folder / "evil.py").write_text("raise SystemExit(1)")
    (tiny_folder / "config.json").write_text(json.dumps(TINY | code))
    model = AutoModel.from_pretrained(tiny_folder, trust_remote_code=True)
    assert type(model) is BertModel
    assert model.config.auto_map == code["auto_map"]
    assert "_attn_implementation_internal" not in model.config.to_dict()


def test_code_of_others_for_an_unknown_architecture(load):
    message = load({"model_type": "evil", "auto_map": {"AutoModel": "evil.Model"}})
    assert "model_type" in message
    assert "'evil.Model', which is never run" in message


@pytest.mark.parametrize("eps", [0, -1e-12, "1e-12", True, 1e400])
def test_eps(load, eps):
    text = json.dumps(TINY | {"layer_norm_eps": eps}).replace("Infinity", "1e400")
    assert "layer_norm_eps" in load(text) or "line 1" in load(text)


@pytest.mark.parametrize(
    "text",
    [
        '{"a":' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"a":' * 100_000 + "1" + "}" * 100_000,
        "[" * 100_000,
        '{"a": "' + "x" * MAX_CONFIG_BYTES + '"}',
    ],
)
def test_deep_and_large(load, text):
    start = time.perf_counter()
    message = load(text)
    assert time.perf_counter() - start < 1
    assert len(message) < 1000


def test_a_gigabyte_is_not_read(tiny_folder):
    with open(tiny_folder / "config.json", "wb") as file:
        file.truncate(2**30)
    start = time.perf_counter()
    with pytest.raises(ConfigError, match="found 1073741824 bytes"):
        AutoConfig.from_pretrained(tiny_folder)
    assert time.perf_counter() - start < 1


def test_numbers_of_thousands_of_digits(load):
    assert "config.json" in load(json.dumps(TINY)[:-1] + ', "extra": ' + "9" * 5000 + "}")


def test_the_same_checks_without_a_file():
    for wrong in ({"hidden_size": 2**63}, {"hidden_act": "x"}, {"layer_norm_eps": float("nan")}, {"hidden_size": "32"}):
        with pytest.raises(ConfigError):
            BertModel(BertConfig(**(TINY | wrong)))
    for pad in (40, -41, "0", 1.0, True):
        with pytest.raises(ConfigError, match="pad_token_id"):
            BertModel(BertConfig(**(TINY | {"pad_token_id": pad})))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def outcome(path):
    """The configuration, or the one kind of error that a bad file may give."""
    try:
        return AutoConfig.from_pretrained(path.parent)
    except ConfigError as error:
        return error


# Of settings that change what is computed, in the words of any family.
FAMILY_KEYS = [
    *("position_embedding_type", "feed_forward_type", "rope_scaling", "rope_parameters", "rope_theta", "layer_types"),
    *(
        "n_embd",
        "n_head",
        "n_layer",
        "n_inner",
        "n_positions",
        "rotary_emb_base",
        "rotary_scaling_factor",
        "num_experts",
    ),
    *("activation_function", "lora_adaptations", "lora_rank", "lora_alpha", "task", "embedding_size", "head_dim"),
    *("num_hidden_groups", "inner_group_num", "sliding_window", "sliding_window_pattern", "max_trained_positions"),
]
SPECIAL_KEYS = ["id2label", "label2id", "dtype", "torch_dtype", "name_or_path", "self", "cls", "to_dict", "__dict__"]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.dictionaries(st.sampled_from([*TINY, *SPECIAL_KEYS]) | st.text(max_size=4), json_values))
def test_any_values_load_or_are_config_errors(tmp_path, changes):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(TINY | changes))
    config = outcome(path)
    if isinstance(config, ConfigError):
        assert str(path) in str(config)
    else:
        assert BertConfig.from_dict(json.loads(config.to_json_string())).to_diff_dict() == config.to_diff_dict()


@pytest.mark.parametrize("name", FAMILIES)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_values_of_any_family_load_or_are_config_errors(tmp_path, name, data):
    """Its own settings, and those of the others; what loads is a configuration that loads again."""
    values = FAMILIES[name].draw(np.random.default_rng(data.draw(st.integers(0, 9))))
    keys = st.sampled_from([*values, *FAMILY_KEYS])
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"model_type": name, **values, **data.draw(st.dictionaries(keys, json_values))}))
    config = outcome(path)
    if isinstance(config, ConfigError):
        assert str(path) in str(config)
    else:
        _core.tensor_specs(config.to_json_string(), "encoder")
        assert type(config).from_dict(json.loads(config.to_json_string())).to_diff_dict() == config.to_diff_dict()


THETAS = {
    **dict.fromkeys(("eurobert", "gte", "jina_embeddings_v3", "new", "nomic_bert"), "rope_theta"),
    **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3"), "rope_theta"),
    "gemma3_text": "rope_local_base_freq",
    "modernbert": "global_rope_theta",
}


@pytest.mark.parametrize("name", THETAS)
def test_a_rotation_by_nothing(tmp_path, name):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"model_type": name, THETAS[name]: None}))
    with pytest.raises(ConfigError, match=f"{THETAS[name]}: found null, expected a number"):
        AutoConfig.from_pretrained(tmp_path)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_bytes_load_or_are_config_errors(tmp_path, data):
    text = bytearray(json.dumps(TINY).encode())
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(text)))
        text[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    path = tmp_path / "config.json"
    path.write_bytes(text)
    config = outcome(path)
    assert isinstance(config, BertConfig) or str(path) in str(config)
