"""ROBUSTNESS cases 1 to 9, through the front door: a folder with a bad config.json."""

import json
import time

import pytest
from checkpoints import TINY
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from filbert import AutoConfig, AutoModel, BertConfig, BertModel, ConfigError
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
        assert str(from_config.value) == str(from_model.value)
        assert str(tiny_folder / "config.json") in str(from_config.value)
        return str(from_config.value)

    return load_with


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "line 1, column 1"),
        (" \n ", "line 1, column 1"),
        ("not json", "line 1, column 1"),
        ('{\n  "hidden_size": 32,\n}', "line 3, column 1"),
        ('{"a": NaN}', "line 1, column 7"),
        ('{"a": 1} x', "line 1, column 10"),
        ("[]", "expected a JSON object"),
        ('{"a": 1, "a": 2}', "line 1"),
        (b'{"a": "\xff"}', "not UTF-8 at byte 7"),
    ],
)
def test_01_not_json(load, text, place):
    assert place in load(text)


@pytest.mark.parametrize("size", [2**31, 2**63, 2**64, 10**40])
@pytest.mark.parametrize("field", ["hidden_size", "vocab_size", "intermediate_size", "num_hidden_layers"])
def test_02_huge_dimensions(load, field, size):
    message = load(TINY | {field: size})
    assert field in message
    assert "an integer from 1 to" in message


@pytest.mark.parametrize("value", [-1, 0, 32.0, 32.5, "32", True, [32], {}])
@pytest.mark.parametrize("field", ["hidden_size", "num_attention_heads", "max_position_embeddings"])
def test_03_wrong_dimensions(load, field, value):
    message = load(TINY | {field: value})
    assert f"{field}: found" in message


def test_04_heads(load):
    message = load(TINY | {"num_attention_heads": 5})
    assert "hidden_size" in message
    assert "32" in message
    assert "5" in message


@pytest.mark.parametrize("model_type", ["gpt2", "", "BERT"])
def test_05_unknown_model_type(load, model_type):
    message = load(TINY | {"model_type": model_type})
    assert "model_type" in message
    assert "bert" in message


def test_05_no_model_type(load):
    assert "model_type is missing" in load({key: value for key, value in TINY.items() if key != "model_type"})


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
def test_06_what_cannot_be_honoured(load, field, value):
    assert field in load(TINY | {field: value})


def test_07_code_of_others_is_ignored(tiny_folder):
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


def test_07_code_of_others_for_an_unknown_architecture(load):
    assert "model_type" in load({"model_type": "evil", "auto_map": {"AutoModel": "evil.Model"}})


@pytest.mark.parametrize("eps", [0, -1e-12, "1e-12", True, 1e400])
def test_08_eps(load, eps):
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
def test_09_deep_and_large(load, text):
    start = time.perf_counter()
    message = load(text)
    assert time.perf_counter() - start < 1
    assert len(message) < 1000


def test_09_a_gigabyte_is_not_read(tiny_folder):
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
