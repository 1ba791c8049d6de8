"""RoFormer: its angles, its sines in files, values that turn, and what is refused; and RemBERT's last layer."""

import warnings

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from test_parity import check, reference_outputs
from text_models import vocabulary_folder, write_json

from filbert import (
    AutoModel,
    AutoModelForMaskedLM,
    AutoTokenizer,
    ConfigError,
    InputError,
    RemBertConfig,
    RemBertForMaskedLM,
    RoFormerConfig,
    RoFormerModel,
    WeightsError,
)

SIZES = {"vocab_size": 90, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 80}
SIZES |= {"initializer_range": 0.2, "max_position_embeddings": 40}
SINES = "encoder.embed_positions.weight"


def rewritten(folder, change):
    """Names with the prefix that the file has; `change` gets the tensors."""
    tensors = {name: np.array(value) for name, value in load_file(folder / "model.safetensors").items()}
    change(tensors)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.mark.parametrize("rotary_value", [False, True])
def test_angles_far_from_the_beginning(torch, transformers, tmp_path, rotary_value):
    """transformers has them in float64. The error of a float32 product grows with the position."""
    torch.manual_seed(0)
    config = {**SIZES, "max_position_embeddings": 1536, "rotary_value": rotary_value}
    reference = transformers.RoFormerModel(transformers.RoFormerConfig(**config, attn_implementation="eager"))
    reference.save_pretrained(tmp_path)
    call = {"input_ids": np.random.default_rng(0).integers(1, 90, (1, 1536))}
    found = AutoModel.from_pretrained(tmp_path)(**call).last_hidden_state
    single, double = (reference_outputs(torch, each(), call)[0] for each in (reference.float, reference.double))
    check("last_hidden_state", found, single, double, True)


def test_pairs_lie_side_by_side(tmp_path):
    """Scores by hand, where queries and keys are the same for all tokens."""
    config = {**SIZES, "num_hidden_layers": 1, "num_attention_heads": 1}
    RoFormerModel(RoFormerConfig(**config), seed=0).save_pretrained(tmp_path)
    rng = np.random.default_rng(0)
    query, key = rng.normal(0, 0.5, (2, 64)).astype(np.float32)

    def change(tensors):
        for name, bias in (("query", query), ("key", key)):
            tensors[f"encoder.layer.0.attention.self.{name}.weight"][:] = 0
            tensors[f"encoder.layer.0.attention.self.{name}.bias"] = bias

    model = AutoModel.from_pretrained(rewritten(tmp_path, change))
    found = model([[9] * 40], output_attentions=True).attentions[0][0, 0]
    angles = np.arange(40)[:, None] * 10000.0 ** (-np.arange(0, 64, 2) / 64)
    turned = [(each[::2] + 1j * each[1::2]) * np.exp(1j * angles) for each in (query, key)]
    scores = (turned[0] @ turned[1].conj().T).real / 8
    expected = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_left_padding_counts_where_values_turn(torch, transformers, tmp_path):
    ids, mask = np.arange(1, 21)[None], (np.arange(20) >= 8)[None].astype(np.int64)
    plain = RoFormerModel(RoFormerConfig(**SIZES), seed=0)
    expected = plain(ids[:, 8:]).last_hidden_state
    assert plain(ids, attention_mask=mask).last_hidden_state[:, 8:].tobytes() == expected.tobytes()

    turning = RoFormerModel(RoFormerConfig(**SIZES, rotary_value=True), seed=0)
    assert np.abs(turning(ids).last_hidden_state - plain(ids).last_hidden_state).max() > 0.1
    found = turning(ids, attention_mask=mask).last_hidden_state
    assert np.abs(found[:, 8:] - turning(ids[:, 8:]).last_hidden_state).max() > 0.1
    turning.save_pretrained(tmp_path)
    reference = transformers.RoFormerModel.from_pretrained(tmp_path, attn_implementation="eager")
    call = {"input_ids": ids, "attention_mask": mask}
    single, double = (reference_outputs(torch, each(), call)[0] for each in (reference.float, reference.double))
    check("last_hidden_state", found, single, double, mask.astype(bool)[:, :, None])


def test_no_text_is_longer_than_the_table():
    model = RoFormerModel(RoFormerConfig(**SIZES), seed=0)
    assert model([[9] * 40]).last_hidden_state.shape == (1, 40, 64)
    with pytest.raises(InputError, match="41"):
        model([[9] * 41])


def test_sines_of_a_file(transformers, tmp_path):
    """Files have them since transformers 5, and from torch.save; saved copies keep them."""
    transformers.RoFormerModel(transformers.RoFormerConfig(**SIZES)).save_pretrained(tmp_path)
    ids = np.arange(1, 41)[None]
    expected = AutoModel.from_pretrained(tmp_path)(ids).last_hidden_state
    AutoModel.from_pretrained(tmp_path).save_pretrained(tmp_path / "again")
    stored = load_file(tmp_path / "model.safetensors")[SINES]
    assert load_file(tmp_path / "again" / "model.safetensors")[SINES].tobytes() == stored.tobytes()

    def halved(tensors):
        tensors[SINES] = tensors[SINES].astype(np.float16)

    assert AutoModel.from_pretrained(rewritten(tmp_path, halved))(ids).last_hidden_state.tobytes() == expected.tobytes()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        without = AutoModel.from_pretrained(rewritten(tmp_path, lambda tensors: tensors.pop(SINES)))
    assert without(ids).last_hidden_state.tobytes() == expected.tobytes()


@pytest.mark.parametrize("wrong", [0.9, np.nan])
def test_other_numbers_than_sines_are_refused(tmp_path, wrong):
    RoFormerModel(RoFormerConfig(**SIZES), seed=0).save_pretrained(tmp_path)

    def change(tensors):
        angles = np.arange(40)[:, None] * 10000.0 ** (-np.arange(0, 32, 2) / 32)
        tensors[SINES] = np.concatenate([np.sin(angles), np.cos(angles)], 1).astype(np.float32)
        tensors[SINES][3, 17] = wrong

    told = rf"encoder.embed_positions.weight\[3, 17\]: found {wrong:.6f}, expected -0.11"
    with pytest.raises(WeightsError, match=told):
        AutoModel.from_pretrained(rewritten(tmp_path, change))


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"norm_type": "rms_norm"}, 'norm_type: found "rms_norm" .*expected one of "layer_norm"'),
        ({"use_bias": False}, "use_bias: found false .*expected true: the second version"),
        ({"is_decoder": True}, "is_decoder: found true .*expected false"),
        ({"num_attention_heads": 64}, "hidden_size: found 64 .*"),
    ],
)
def test_refused_settings(tmp_path, config, told):
    write_json(tmp_path / "config.json", {**SIZES, "model_type": "roformer", **config})
    with pytest.raises(ConfigError, match=told):
        RoFormerConfig.from_pretrained(tmp_path)


def test_words_of_jieba_are_refused(tmp_path):
    """With a vocabulary alone, and with a tokenizer.json, in which transformers leaves out how it splits."""

    def told(**config):
        write_json(tmp_path / "tokenizer_config.json", config)
        with pytest.raises(ConfigError, match=r"the tokenizer is a RoFormerTokenizer, .* which looks for Chinese"):
            AutoTokenizer.from_pretrained(tmp_path)

    vocabulary_folder(tmp_path)  # of characters, as BertTokenizer has them
    write_json(tmp_path / "config.json", {"model_type": "roformer"})
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    told()
    told(tokenizer_class="RoFormerTokenizer")
    tokenizer.save_pretrained(tmp_path)
    told(tokenizer_class="RoFormerTokenizerFast")


@pytest.mark.parametrize("tied", [True, False])
def test_remberts_last_layer_is_never_the_table(torch, transformers, tmp_path, tied):
    widths = {"input_embedding_size": 16, "output_embedding_size": 16, "tie_word_embeddings": tied}
    RemBertForMaskedLM(RemBertConfig(**SIZES, **widths), seed=0).save_pretrained(tmp_path)
    expected = AutoModelForMaskedLM.from_pretrained(tmp_path)([[5, 6, 7]]).logits
    theirs = transformers.RemBertForMaskedLM.from_pretrained(tmp_path)
    with torch.no_grad():
        np.testing.assert_allclose(theirs(torch.tensor([[5, 6, 7]])).logits.numpy(), expected, atol=1e-5)
    rewritten(tmp_path, lambda tensors: tensors.pop("cls.predictions.decoder.weight"))
    with pytest.raises(WeightsError, match=r"cls.predictions.decoder.weight: missing, expected \[90, 16\]"):
        AutoModelForMaskedLM.from_pretrained(tmp_path)
