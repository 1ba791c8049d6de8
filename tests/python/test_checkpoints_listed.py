"""A hundred checkpoints of the hub, by their configurations: they open, or the error names the key that is why not."""

import re

import hub_configs
import numpy as np
import pytest
from hub_configs import CLASSIFIES, CONFIGS, ENTRIES, HIDDEN, INPUT_IDS, PAGE, VOCABULARY, Outcome, reduced

from filbert import AutoConfig
from filbert.models import FAMILIES, class_of

NAMES = [name for name, config in CONFIGS.items() if config is not None]
OURS = [name for name in NAMES if CONFIGS[name].get("model_type") in FAMILIES]


@pytest.fixture(scope="module")
def outcomes() -> dict[str, Outcome]:
    return hub_configs.outcomes()


def test_there_are_a_hundred_and_each_says_where_its_keys_are_from() -> None:
    assert len(ENTRIES) == 100
    for entry in ENTRIES.values():
        assert entry["source"]
        assert entry.keys() - {"modules"} == {"source", "config"}


@pytest.mark.parametrize("name", NAMES)
def test_reduced_keeps_the_keys_and_what_is_no_size(name: str) -> None:
    config, small = CONFIGS[name], reduced(CONFIGS[name])
    assert list(small) == list(config)
    for key, value in config.items():
        if type(value) is not int and key != "layer_types":
            assert small[key] == value, key
    ids = [value for key, value in small.items() if key.endswith("token_id") and type(value) is int]
    assert all(0 <= value < small.get("vocab_size", VOCABULARY) for value in ids)
    assert len(small.get("layer_types", [])) in (0, small.get("num_hidden_layers"))
    assert small.get("max_position_embeddings", 0) <= 128


@pytest.mark.parametrize("name", NAMES)
def test_it_opens_or_the_error_names_the_key(name: str, outcomes: dict[str, Outcome]) -> None:
    config, outcome = CONFIGS[name], outcomes[name]
    if outcome.error is not None:
        assert outcome.error.count("\n") <= 1
        key = re.match(r"config\.json: (\w+)\S*( is missing;|: found )", outcome.error)
        assert key, outcome.error
        assert (key[1] in config) == (key[2] == ": found "), outcome.error
        assert (key[1] == "model_type") == (name not in OURS), outcome.error
        return
    model_type = config.get("model_type", "xlm-roberta")
    classifies = CLASSIFIES in str(config.get("architectures")) and class_of(model_type, CLASSIFIES)
    shape = (len(INPUT_IDS), len(config["id2label"])) if classifies else (*INPUT_IDS.shape, HIDDEN)
    assert outcome.output is not None
    assert outcome.output.shape == shape
    assert np.isfinite(outcome.output).all()
    assert np.ptp(outcome.output, axis=0).min() > 0  # the two texts differ


@pytest.mark.parametrize("name", OURS)
def test_every_key_is_known(name: str, outcomes: dict[str, Outcome]) -> None:
    assert outcomes[name].unknown == ()


def test_whose_code_may_compute_something_else(outcomes: dict[str, Outcome]) -> None:
    """They name code for a model, and none for a configuration that tells which it is."""
    told = {name for name, outcome in outcomes.items() if outcome.error is None and outcome.names_unknown_code}
    assert told == {"GritLM/GritLM-7B", "Alibaba-NLP/gte-Qwen2-1.5B-instruct"}


@pytest.mark.parametrize("name", OURS)
def test_the_file_as_it_is_on_the_hub_makes_a_configuration(name: str, outcomes: dict[str, Outcome]) -> None:
    if outcomes[name].error is not None:
        pytest.skip("does not open")
    values = dict(CONFIGS[name])
    config = AutoConfig.for_model(values.pop("model_type"), **values)
    for key in ("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size", "max_position_embeddings"):
        assert getattr(config, key, None) == values.get(key, getattr(config, key, None)), key


def test_every_family_listed_opens(outcomes: dict[str, Outcome]) -> None:
    listed = {CONFIGS[name]["model_type"] for name in OURS}
    assert {CONFIGS[name]["model_type"] for name in OURS if outcomes[name].error is None} == listed


def test_the_page_is_up_to_date(outcomes: dict[str, Outcome]) -> None:
    """If not: python tests/python/hub_configs.py"""
    assert PAGE.read_text() == hub_configs.page(outcomes)
