"""`filbert info`: what it says of a model that opens; of those that do not, test_folders.py asks."""

import json

import checkpoints
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from text_models import sentence_folder, write_json

import filbert
from filbert import AutoModel, DeviceError
from filbert.cli import main
from filbert.info import DTYPES


def rows(capsys, folder, code=0):
    """The values that are printed, by their titles."""
    assert main(["info", str(folder)]) == code
    found = {}
    for line in capsys.readouterr().out.splitlines():
        found.setdefault(line[:18].strip(), []).append(line[18:])
    return {title: values[0] if len(values) == 1 else values for title, values in found.items()}


def on_devices():
    return {
        f"on {device.name}": ", ".join(DTYPES[device.name.split(":")[0]])
        if device.available
        else f"not available: {device.reason}"
        for device in filbert.devices()
    }


def test_a_sentence_model(tmp_path, capsys):
    folder = sentence_folder(
        tmp_path / "model",
        settings={"prompts": {"query": "the ", "none": None}, "default_prompt_name": "query", "truncate_dim": 8},
    )
    weights = folder / "model.safetensors"
    assert rows(capsys, folder) == {
        "model": str(folder),
        "architecture": "bert, BertModel",
        "layers": "2",
        "hidden size": "32",
        "heads": "4",
        "feed-forward size": "48",
        "activation": "gelu",
        "positions": "24",
        "vocabulary": "40",
        "opens as": "BertModel",
        "head": "pooler",
        "parameters": f"{sum(array.size for array in checkpoints.tensors().values()):,}",
        "stored as": f"F32 ({len(checkpoints.tensors())} tensors)",
        "weights": f"{weights} ({weights.stat().st_size / 1e6:,.1f} MB)",
        **on_devices(),
        "tokenizer": "WordPiece, 40 tokens, up to 24 tokens",
        "modules": "Transformer -> Pooling -> Normalize",
        "sentence vectors": "mean pooling, normalised, cut to 8 numbers, of up to 16 tokens; compared by cosine",
        "prompt": ["query: 'the ' (put before every text)", "none: ''"],
    }


def test_a_bare_model_with_other_tensors(tmp_path, capsys):
    weights = {**checkpoints.tensors(pooler=False), "head.weight": np.zeros((2, 2), np.float32)}
    folder = checkpoints.write_folder(tmp_path / "bare", weights=weights)
    (folder / "vocab.json").write_text("{}")  # without merges.txt it is no tokenizer
    found = rows(capsys, folder)
    assert found["head"] == "none"
    assert found["parameters"].endswith(" (no pooler)")
    assert found["not used"] == "1 tensors: head.weight"
    assert found["tokenizer"] == "none"
    assert found.keys().isdisjoint({"modules", "sentence vectors", "prompt"})


def test_a_classifier(tmp_path, capsys):
    config = filbert.BertConfig(**checkpoints.TINY, id2label={0: "no", 1: "yes"})
    filbert.BertForSequenceClassification(config, seed=0).save_pretrained(tmp_path)
    found = rows(capsys, tmp_path)
    assert found["architecture"] == "bert, BertForSequenceClassification"
    assert found["opens as"] == "BertModel or BertForSequenceClassification"
    assert found["head"] == "pooler, classifier of 2 labels: no, yes"
    assert "not used" not in found
    config = filbert.RobertaConfig(**checkpoints.TINY | {"model_type": "roberta", "num_labels": 7})
    filbert.RobertaForSequenceClassification(config, seed=0).save_pretrained(tmp_path)
    labels = ", ".join(f"LABEL_{number}" for number in range(5))
    assert rows(capsys, tmp_path)["head"] == f"classifier of 7 labels: {labels}, ..."


DISTILBERT = {"dim": 24, "n_layers": 1, "n_heads": 2, "hidden_dim": 7, "activation": "relu"}
MODERNBERT = {
    "hidden_size": 24,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 7,
    "hidden_activation": "silu",
    "pad_token_id": 0,
}


@pytest.mark.parametrize(("stem", "config"), [("DistilBert", DISTILBERT), ("ModernBert", MODERNBERT)])
def test_families_have_names_of_their_own(tmp_path, capsys, stem, config):
    settings = getattr(filbert, f"{stem}Config")(vocab_size=30, **config)
    getattr(filbert, f"{stem}Model")(settings, seed=0).save_pretrained(tmp_path)
    found = rows(capsys, tmp_path)
    assert [found[title] for title in ("hidden size", "layers", "heads", "feed-forward size")] == ["24", "1", "2", "7"]
    assert found["activation"] == ("relu" if config is DISTILBERT else "silu")
    assert found["opens as"] == f"{stem}Model"
    assert found["head"] == "none"


def test_modules_that_filbert_does_not_have(tmp_path, capsys):
    """The encoder opens; sentence vectors it will not give."""
    folder = sentence_folder(tmp_path / "model")
    modules = json.loads((folder / "modules.json").read_text())
    modules[2]["type"] = "sentence_transformers.models.CNN"
    write_json(folder / "modules.json", modules)
    assert main(["info", str(folder)]) == 2
    captured = capsys.readouterr()
    assert "\nopens as          BertModel\n" in captured.out
    assert "\nmodules           Transformer -> Pooling -> CNN\n" in captured.out
    assert "sentence vectors" not in captured.out
    assert "modules.json: found module 'sentence_transformers.models.CNN'" in captured.err


def test_a_tokenizer_that_does_not_open(tmp_path, capsys):
    folder = sentence_folder(tmp_path / "model")
    (folder / "tokenizer.json").write_text("{}")
    found = rows(capsys, folder, code=2)
    assert found["opens as"] == "BertModel"
    assert "tokenizer" not in found
    assert "sentence vectors" in found


def test_the_dtypes_are_those_that_open(tiny_folder):
    for dtype in ("float32", "bfloat16", "float16", "int8"):
        if dtype in DTYPES["cpu"]:
            assert AutoModel.from_pretrained(tiny_folder, dtype=dtype).dtype == dtype
        else:
            with pytest.raises(DeviceError, match=dtype):
                AutoModel.from_pretrained(tiny_folder, dtype=dtype)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "path", "0", "a"]), inner),
    max_leaves=6,
)
KEYS = {
    "config.json": [*checkpoints.TINY, "id2label", "auto_map", "quantization_config", "pruned_heads"],
    "tokenizer_config.json": ["model_max_length", "tokenizer_class", "pad_token", "added_tokens_decoder"],
    "config_sentence_transformers.json": ["prompts", "default_prompt_name", "truncate_dim", "similarity_fn_name"],
    "sentence_bert_config.json": ["max_seq_length", "do_lower_case", "tokenizer_args", "config_args"],
    "adapter_config.json": ["peft_type", "base_model_name_or_path"],
    "modules.json": [],
}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_never_a_traceback(tmp_path, capsys, data):
    folder = tmp_path / "model"
    if not folder.exists():
        sentence_folder(folder)
    path = folder / data.draw(st.sampled_from(list(KEYS)))
    before = path.read_bytes() if path.exists() else None
    keys = KEYS[path.name]
    value = data.draw(st.dictionaries(st.sampled_from(keys), json_values) if keys else json_values)
    if keys and before:
        value = {**json.loads(before), **value}
    path.write_text(json.dumps(value))
    try:
        assert main(["info", str(folder)]) in (0, 2)
    finally:
        path.unlink() if before is None else path.write_bytes(before)
    assert capsys.readouterr().out.startswith(f"model             {folder}\n")
