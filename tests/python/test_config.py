import copy
import json

import numpy as np
import pytest
from checkpoints import TINY
from families import FAMILIES, REFERENCED

import filbert
from filbert import AutoConfig, BertConfig, ConfigError, InputError

VARIANTS = [
    {},
    {"num_labels": 3},
    {"hidden_size": 96, "unknown": {"a": [1, None]}},
    {"id2label": {"0": "A", "1": "B", "2": "C"}, "label2id": {"A": 0, "B": 1, "C": 2}},
    {"id2label": {"0": "LABEL_0", "1": "LABEL_1"}},
    {"output_attentions": True},
    {"output_hidden_states": True, "return_dict": False, "dtype": "float16"},
    {"torch_dtype": "bfloat16"},
    {"torch_dtype": "bfloat16", "dtype": "float32"},
    {"problem_type": "regression", "architectures": ["BertForSequenceClassification"]},
    {"position_embedding_type": "absolute", "gradient_checkpointing": False, "pad_token_id": None},
]


def without_version(values: dict) -> dict:
    return {key: value for key, value in values.items() if key != "transformers_version"}


@pytest.mark.parametrize("values", VARIANTS)
def test_attributes_and_files_are_those_of_transformers(transformers, values):
    ours, theirs = BertConfig(**values), transformers.BertConfig(**values)
    assert without_version(ours.to_dict()) == without_version(theirs.to_dict())
    assert without_version(ours.to_diff_dict()) == without_version(theirs.to_diff_dict())
    assert ours.num_labels == theirs.num_labels
    for use_diff in (True, False):
        ours_json, theirs_json = ours.to_json_string(use_diff), theirs.to_json_string(use_diff)
        assert without_version(json.loads(ours_json)) == without_version(json.loads(theirs_json))


@pytest.mark.parametrize("values", VARIANTS)
def test_files_go_both_ways(transformers, tmp_path, values):
    transformers.BertConfig(**values).save_pretrained(tmp_path / "theirs")
    ours = BertConfig.from_pretrained(tmp_path / "theirs")
    ours.save_pretrained(tmp_path / "ours")
    back = transformers.BertConfig.from_pretrained(tmp_path / "ours")
    assert back.to_dict() == transformers.BertConfig.from_pretrained(tmp_path / "theirs").to_dict() | {
        "_name_or_path": back._name_or_path
    }
    assert ours == AutoConfig.from_pretrained(tmp_path / "theirs")


@pytest.mark.parametrize("name", REFERENCED)
def test_every_family_has_the_attributes_of_transformers(transformers, tmp_path, name):
    family, rng = FAMILIES[name], np.random.default_rng(0)
    make, reference = (getattr(library, f"{family.stem}Config") for library in (filbert, transformers))
    for values in ({}, *(family.draw(rng) for _ in range(20))):
        ours, theirs = make(**values), reference(**values)
        assert without_version(ours.to_dict()) == without_version(theirs.to_dict())
        if name == "esm" and not values:
            continue  # there is no model of its defaults, which have no vocabulary
        ours.save_pretrained(tmp_path / "ours")
        theirs.save_pretrained(tmp_path / "theirs")
        for folder in ("ours", "theirs"):
            read, other = make.from_pretrained(tmp_path / folder), reference.from_pretrained(tmp_path / folder)
            assert without_version(read.to_diff_dict()) == without_version(other.to_diff_dict())
            assert without_version(read.to_diff_dict()) == without_version(theirs.to_diff_dict())


def test_defaults():
    config = BertConfig()
    assert (config.vocab_size, config.hidden_size, config.num_hidden_layers) == (30522, 768, 12)
    assert (config.layer_norm_eps, config.hidden_act, config.pad_token_id) == (1e-12, "gelu", 0)
    assert (config.return_dict, config.output_attentions, config.dtype) == (True, False, None)
    with pytest.raises(TypeError):
        BertConfig(30522)


def test_unknown_keys_are_kept_and_written_back(tmp_path):
    values = TINY | {"my_key": {"nested": [1, 2.5, None, "é", {"deep": True}]}, "auto_map": {"AutoModel": "x.Y"}}
    (tmp_path / "config.json").write_text(json.dumps(values))
    config = AutoConfig.from_pretrained(tmp_path)
    assert config.my_key == values["my_key"]
    config.save_pretrained(tmp_path / "again")
    written = json.loads((tmp_path / "again" / "config.json").read_text())
    assert {key: written[key] for key in values} == values


def test_labels():
    config = BertConfig(num_labels=3)
    assert config.id2label == {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}
    assert config.label2id == {"LABEL_0": 0, "LABEL_1": 1, "LABEL_2": 2}
    config.num_labels = 1
    assert (config.id2label, config.label2id) == ({0: "LABEL_0"}, {"LABEL_0": 0})
    config = BertConfig(id2label={"0": "cat", "1": "dog"}, label2id={"cat": 0, "dog": 1})
    config.num_labels = 2
    assert config.id2label == {0: "cat", 1: "dog"}, "setting the same number keeps the names"
    assert json.loads(config.to_json_string())["id2label"] == {"0": "cat", "1": "dog"}
    with pytest.warns(UserWarning, match="num_labels=3 beside an id2label of 2 labels"):
        config = BertConfig(num_labels=3, id2label={0: "cat", 1: "dog"})
    assert config.id2label == {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}, "as in transformers"
    for bad in ({"x": "cat"}, ["cat"], "cat", {None: "cat"}):
        with pytest.raises(ConfigError, match="id2label: found"):
            BertConfig(id2label=bad)
    for bad in (-1, True, 2.0, "2", 10**9):
        with pytest.raises(ConfigError, match="num_labels: found"):
            BertConfig(num_labels=bad)


def test_equality_copies_and_repr():
    config = BertConfig(hidden_size=64, extra=[1])
    assert config == BertConfig(hidden_size=64, extra=[1])
    assert config != BertConfig(hidden_size=64)
    assert config != {"hidden_size": 64}
    twin = copy.deepcopy(config)
    twin.extra.append(2)
    assert config.extra == [1]
    assert repr(config).startswith('BertConfig {\n  "add_cross_attention": false,')
    assert BertConfig.from_dict(config.to_dict()) == config
    assert BertConfig.from_dict({"hidden_size": 64}, hidden_size=32).hidden_size == 32


def test_overrides(tmp_path):
    BertConfig(**TINY).save_pretrained(tmp_path)
    config = AutoConfig.from_pretrained(tmp_path, num_labels=5, output_attentions=True, dtype="auto")
    assert (config.num_labels, config.output_attentions, config.dtype) == (5, True, None)
    assert config.name_or_path == str(tmp_path)
    config, unused = BertConfig.from_pretrained(tmp_path, hidden_act="relu", colour=1, return_unused_kwargs=True)
    assert (config.hidden_act, unused) == ("relu", {"colour": 1})
    for wrong in ("colour", "to_dict", "from_pretrained"):
        with pytest.raises(TypeError, match=f"unexpected keyword arguments: {wrong}"):
            BertConfig.from_pretrained(tmp_path, **{wrong: 1})
    assert AutoConfig.from_pretrained(tmp_path, trust_remote_code=True) == AutoConfig.from_pretrained(tmp_path)
    harmless = {"use_auth_token": None, "code_revision": None, "resume_download": True, "attn_implementation": "eager"}
    assert AutoConfig.from_pretrained(tmp_path, **harmless) == AutoConfig.from_pretrained(tmp_path)


def test_overrides_of_a_dictionary():
    values = {"hidden_size": 64, "shiny": 1}
    config, unused = BertConfig.from_dict(values, return_unused_kwargs=True, hidden_size=32, num_labels=3, colour=1)
    assert (config.hidden_size, config.num_labels, config.shiny, unused) == (32, 3, 1, {"colour": 1})
    assert values == {"hidden_size": 64, "shiny": 1}
    assert "colour" not in config.to_dict()
    plain = BertConfig.from_dict(values, return_unused_kwargs=False)
    assert plain == BertConfig(hidden_size=64, shiny=1)


def test_unused_overrides_of_a_dictionary_beside_transformers(transformers):
    overrides = {"hidden_size": 32, "num_labels": 3, "colour": 1, "torch_dtype": "float16"}
    found = [
        each.BertConfig.from_dict({"hidden_size": 64}, return_unused_kwargs=True, **overrides)
        for each in (filbert, transformers)
    ]
    assert found[0][1] == found[1][1] == {"colour": 1}
    for config, _ in found:
        assert (config.hidden_size, config.num_labels, str(config.dtype)[-7:]) == (32, 3, "float16")


def test_saving_takes_what_changes_nothing(tmp_path):
    BertConfig(**TINY).save_pretrained(tmp_path, push_to_hub=False)
    assert BertConfig.from_pretrained(tmp_path).hidden_size == TINY["hidden_size"]
    with pytest.raises(InputError, match="push_to_hub: found True; upload the folder with huggingface_hub"):
        BertConfig(**TINY).save_pretrained(tmp_path / "pushed", push_to_hub=True)
    assert not (tmp_path / "pushed").exists()


def test_auto_config():
    assert isinstance(AutoConfig.for_model("bert", hidden_size=48), BertConfig)
    assert AutoConfig.for_model(**{"model_type": "bert", "hidden_size": 48}).hidden_size == 48
    for unknown in ("gpt2", "", None, ["bert"]):
        with pytest.raises(ConfigError, match="supported: albert, bert"):
            AutoConfig.for_model(unknown)
    with pytest.raises(TypeError, match="AutoConfig is not instantiated"):
        AutoConfig()


def test_the_wrong_class():
    with pytest.raises(ConfigError, match="BertConfig describes model_type 'bert', found 'roberta'; use AutoConfig"):
        BertConfig.from_dict({"model_type": "roberta"})


@pytest.mark.parametrize("key", ["to_dict", "__class__", "__dict__", "num_labels_", "update", "from_pretrained"])
def test_keys_cannot_replace_methods(key):
    if key == "num_labels_":
        assert BertConfig(num_labels_=1).num_labels_ == 1
        return
    with pytest.raises(ConfigError, match=f"key '{key}' cannot be kept"):
        BertConfig(**{key: 1})


@pytest.mark.parametrize("value", [{1, 2}, object(), 1j, np.zeros(2)])
def test_values_that_json_cannot_hold(tmp_path, value):
    config = BertConfig(extra=value)
    with pytest.raises(ConfigError, match="cannot be written as JSON"):
        config.save_pretrained(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_numbers_of_numpy_are_written_as_numbers(tmp_path):
    values = {
        "a": np.int64(3),
        "b": np.float32(0.5),
        "c": [np.bool_(True)],
        "d": {"e": np.uint8(7)},
        "f": np.float64(2),
    }
    config = BertConfig(**TINY | values | {"pad_token_id": np.int32(0), "num_labels": np.int64(3)})
    config.save_pretrained(tmp_path)
    read = BertConfig.from_pretrained(tmp_path)
    assert (read.a, read.b, read.c, read.d, read.f) == (3, 0.5, [True], {"e": 7}, 2.0)
    assert (read.pad_token_id, read.num_labels) == (0, 3)
    for wrong in (np.float64(3), np.bool_(True), True, -1, "3", None):
        with pytest.raises(ConfigError, match="num_labels: found"):
            config.num_labels = wrong


def test_torch_dtypes(torch):
    assert BertConfig(dtype=torch.float16).dtype == "float16"
    config = BertConfig()
    config.dtype = torch.bfloat16
    assert json.loads(config.to_json_string())["dtype"] == "bfloat16"
