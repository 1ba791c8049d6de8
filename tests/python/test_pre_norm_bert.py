"""BERTs with norms before each part: what settings change, tensors of older files, tokenizers, and what is refused."""

import json
import warnings

import numpy as np
import pytest
from families import FAMILIES
from safetensors.numpy import load_file, save_file
from test_families import own_model
from test_parity import check, reference_outputs
from test_tokenizer_vocabularies import TEXTS, bytes_folder, words_folder
from text_models import write_json

import filbert
from filbert import AutoConfig, AutoModel, AutoModelForMaskedLM, AutoTokenizer, ConfigError, WeightsError, _core

NAMES = ("megatron-bert", "roberta-prelayernorm", "xlm-roberta-xl")
PREFIXES = dict(zip(NAMES, ("bert.", "roberta_prelayernorm.", "roberta."), strict=True))
SIZES = {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 50}
SIZES |= {"max_position_embeddings": 24, "pad_token_id": 1, "type_vocab_size": 2, "initializer_range": 0.2}
CALL = {"input_ids": np.random.default_rng(0).integers(4, 60, (6, 20))}
CALL["token_type_ids"] = CALL["input_ids"] % 2


def saved(torch, transformers, folder, name):
    """A masked language model of transformers whose norms and biases are random too."""
    stem = FAMILIES[name].stem
    torch.manual_seed(0)
    model = getattr(transformers, f"{stem}ForMaskedLM")(getattr(transformers, f"{stem}Config")(**SIZES))
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    return folder


def opened(transformers, folder, **settings):
    return transformers.AutoModelForMaskedLM.from_pretrained(folder, attn_implementation="eager", **settings)


def check_logits(torch, theirs, found, call=CALL):
    single, double = (reference_outputs(torch, each(), call).logits for each in (theirs.float, theirs.double))
    check("logits", found, single, double, True)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "settings",
    [
        {"layer_norm_eps": 0.5},
        {"hidden_act": "relu"},
        {"num_attention_heads": 2},
        {"pad_token_id": 3},
        {"num_hidden_layers": 1},
    ],
)
def test_settings_that_change_the_numbers(torch, transformers, tmp_path, name, settings):
    saved(torch, transformers, tmp_path, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the layer that is left out
        found = AutoModelForMaskedLM.from_pretrained(tmp_path, **settings)(**CALL).logits
    check_logits(torch, opened(transformers, tmp_path, **settings), found)
    plain = AutoModelForMaskedLM.from_pretrained(tmp_path)(**CALL).logits
    is_unread = name == "megatron-bert" and "pad_token_id" in settings
    assert np.array_equal(found, plain) == is_unread


@pytest.mark.parametrize("name", NAMES)
def test_sizes_that_a_file_leaves_out(torch, transformers, name):
    stem = FAMILIES[name].stem
    with torch.device("meta"):
        reference = getattr(transformers, f"{stem}ForMaskedLM")(getattr(transformers, f"{stem}Config")())
    expected = {
        key.removeprefix(PREFIXES[name]): list(tensor.shape)
        for key, tensor in reference.state_dict().items()
        if ".decoder." not in key  # which is the table of words, and the bias
    }
    specs = _core.tensor_specs(json.dumps({"model_type": name}), "masked-lm")
    assert {spec.name: list(spec.shape) for spec in specs} == expected


@pytest.mark.parametrize("name", NAMES)
def test_the_last_hidden_state_is_normed_and_those_before_are_not(name):
    _, model = own_model(name, "Model", 1)
    states = model([[5, 6, 7, 8]], output_hidden_states=True).hidden_states
    lengths = [np.linalg.norm(each, axis=-1) / each.shape[-1] ** 0.5 for each in states]
    is_normed = [bool(np.allclose(each, 1, atol=0.01)) for each in lengths]
    assert is_normed[-1]
    assert not any(is_normed[1:-1])
    assert is_normed[0] == (name == "roberta-prelayernorm")


@pytest.mark.parametrize("name", NAMES)
def test_files_of_older_versions(torch, transformers, tmp_path, name):
    """Older names of norms, positions, a decoder, and Megatron's head for texts that follow each other."""
    saved(torch, transformers, tmp_path, name)
    prefix = PREFIXES[name]
    tensors = load_file(tmp_path / "model.safetensors")
    older = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    for today, before in older.items():
        tensors = {key.replace(today, before): tensor for key, tensor in tensors.items()}
    tensors[prefix + "embeddings.position_ids"] = np.arange(24)[None]
    table = tensors[prefix + "embeddings.word_embeddings.weight"]
    if name == "megatron-bert":
        tensors["cls.predictions.decoder.weight"] = table.copy()
        tensors |= {"cls.seq_relationship.weight": np.ones((2, 32)), "cls.seq_relationship.bias": np.ones(2)}
    else:
        tensors["lm_head.decoder.weight"] = table.copy()
        tensors["lm_head.decoder.bias"] = tensors["lm_head.bias"].copy()
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        ours = AutoModelForMaskedLM.from_pretrained(tmp_path)
    assert ["cls.seq_relationship.bias, cls.seq_relationship.weight" in str(each.message) for each in told] == (
        [True] if name == "megatron-bert" else []
    )
    found = ours(**CALL).logits
    check_logits(torch, opened(transformers, tmp_path), found)
    ours.save_pretrained(tmp_path / "saved")
    assert AutoModelForMaskedLM.from_pretrained(tmp_path / "saved")(**CALL).logits.tobytes() == found.tobytes()
    check_logits(torch, opened(transformers, tmp_path / "saved"), found)


@pytest.mark.parametrize("name", NAMES)
def test_a_checkpoint_without_a_pooler(tmp_path, name):
    _, model = own_model(name, "ForMaskedLM", 0)
    model.save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match="has no pooler: pooler_output will be None"):
        assert AutoModel.from_pretrained(tmp_path)([[5]]).pooler_output is None
    with pytest.raises(WeightsError, match=r"pooler\.dense\.weight: missing"):
        getattr(filbert, FAMILIES[name].class_name("Model")).from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"is_decoder": True}, "is_decoder: found true"),
        ({"add_cross_attention": True}, "add_cross_attention: found true"),
        ({"position_embedding_type": "relative_key"}, 'position_embedding_type: found "relative_key"'),
        ({"hidden_act": "swiglu"}, 'hidden_act: found "swiglu"'),
        ({"hidden_size": 30}, "hidden_size: found 30"),
    ],
)
@pytest.mark.parametrize("name", NAMES)
def test_what_is_refused(name, settings, told):
    with pytest.raises(ConfigError, match=told):
        AutoModel.from_config(AutoConfig.for_model(name, **{**SIZES, **settings}))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("padding", [None, 23])
def test_a_padding_id_that_positions_are_counted_from(name, padding):
    config = AutoConfig.for_model(name, **{**SIZES, "pad_token_id": padding})
    if name == "megatron-bert":
        assert AutoModel.from_config(config).max_positions == 24
        return
    with pytest.raises(ConfigError, match=r"pad_token_id: found (null|23).*positions are counted from it on"):
        AutoModel.from_config(config)


@pytest.mark.parametrize(("name", "make"), [("megatron-bert", words_folder), ("roberta-prelayernorm", bytes_folder)])
@pytest.mark.parametrize("has_config", [False, True])
def test_tokenizers_that_no_file_names(transformers, tmp_path, name, make, has_config):
    folder = make(tmp_path / "model", None)
    write_json(folder / "config.json", {"model_type": name})
    if not has_config:
        (folder / "tokenizer_config.json").unlink()
    ours, theirs = (auto.from_pretrained(folder) for auto in (AutoTokenizer, transformers.AutoTokenizer))
    for given in (TEXTS, list(zip(TEXTS, reversed(TEXTS), strict=True))):
        assert dict(ours(given, verbose=False)) == dict(theirs(given, verbose=False))
    assert ours.special_tokens_map == theirs.special_tokens_map
    ours.save_pretrained(tmp_path / "saved")
    for auto in (AutoTokenizer, transformers.AutoTokenizer):
        assert auto.from_pretrained(tmp_path / "saved")(TEXTS)["input_ids"] == ours(TEXTS)["input_ids"]
