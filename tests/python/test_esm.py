"""ESM: words that count as dropped, the frequencies and names in files, its tokenizer, and what is refused."""

import itertools
import pickle
import random
import warnings

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from test_families import own_model
from test_parity import check, reference_outputs
from text_models import ODD_TEXTS, write_json

import filbert
from filbert import AutoModel, AutoModelForMaskedLM, AutoTokenizer, ConfigError, EsmConfig, EsmModel, InputError

MASK, PADDING = 32, 1
SIZES = {"vocab_size": 33, "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
SIZES |= {"pad_token_id": PADDING, "mask_token_id": MASK, "initializer_range": 0.2, "max_position_embeddings": 40}
ESM2 = {**SIZES, "position_embedding_type": "rotary", "token_dropout": True, "layer_norm_eps": 1e-5}
ESM1 = {**SIZES, "position_embedding_type": "absolute", "token_dropout": True, "emb_layer_norm_before": True}

BUFFER = "rotary_embeddings.inv_freq"
AMINO_ACIDS = [*"LAGVSERTIDPKQNFYMHWCXBUZO.-"]
PROTEINS = ["<cls>", "<pad>", "<eos>", "<unk>", *AMINO_ACIDS, "<null_1>", "<mask>"]
# Triples of bases, and bases for what is left over.
BASES = ["<unk>", "<pad>", "<mask>", "<cls>", *map("".join, itertools.product("ATCG", repeat=3)), *"ATCGN"]


def masked_batch():
    """Rows with none, some and most of their tokens masked words, padded left and right and with a hole."""
    rng = np.random.default_rng(0)
    ids, mask = rng.integers(4, 30, (6, 12)), np.ones((6, 12), np.int64)
    for row, share in enumerate((0, 0.1, 0.3, 0.5, 0.8, 0.3)):
        ids[row, 1:-1][rng.random(10) < share] = MASK
    mask[1, 7:], mask[2, :4], mask[5, 3:5] = 0, 0, 0
    ids[1, 7:] = PADDING
    return {"input_ids": ids, "attention_mask": mask}


@pytest.mark.parametrize("config", [ESM2, ESM1])
def test_masked_words_beside_transformers_and_alone(torch, transformers, tmp_path, config):
    torch.manual_seed(0)
    reference = transformers.EsmForMaskedLM(transformers.EsmConfig(**config, attn_implementation="eager"))
    reference.save_pretrained(tmp_path)
    model = AutoModelForMaskedLM.from_pretrained(tmp_path)
    call = masked_batch()
    ids, mask = call["input_ids"], call["attention_mask"].astype(bool)
    found = model(**call).logits
    single, double = (reference_outputs(torch, each(), call).logits for each in (reference.float, reference.double))
    check("logits", found, single, double, mask[:, :, None])
    for row in range(len(ids)):
        alone = model(ids[row : row + 1], attention_mask=call["attention_mask"][row : row + 1]).logits[0]
        assert alone.tobytes() == found[row].tobytes()
    ragged = model([ids[0].tolist(), ids[1, :7].tolist()]).logits
    assert ragged[0].tobytes() == found[0].tobytes()
    assert ragged[1, :7].tobytes() == found[1, :7].tobytes()


def test_what_words_are_multiplied_by():
    model = EsmModel(EsmConfig(**ESM2), seed=0)
    table = model.state_dict()["embeddings.word_embeddings.weight"]
    for row in ([5, 6, 7, 8], [0, MASK, 6, 7, 8, 9, MASK, 2]):
        share = row.count(MASK) / len(row)
        words = np.where(np.array(row)[:, None] == MASK, 0, table[row]) * 0.88 / (1 - share)
        found = model([row], output_hidden_states=True).hidden_states[0][0]
        np.testing.assert_allclose(found, words, rtol=3e-7)
    plain = EsmModel(EsmConfig(**{**ESM2, "token_dropout": False}), seed=0)
    found = plain([[MASK, 5]], output_hidden_states=True).hidden_states[0][0]
    assert found.tobytes() == table[[MASK, 5]].tobytes()


def test_a_text_of_nothing_but_masks():
    """Where transformers divides by zero."""
    out = EsmModel(EsmConfig(**ESM2), seed=0)([[MASK, MASK], [5, 6]], output_hidden_states=True)
    assert not out.hidden_states[0][0].any()
    assert np.isfinite(out.last_hidden_state).all()


def test_learned_positions_are_counted_from_the_ids():
    model = EsmModel(EsmConfig(**ESM1), seed=0)
    ids = [[PADDING, 9, PADDING, 10, 11, PADDING]]
    expected = model(ids, position_ids=[[1, 2, 1, 3, 4, 1]])
    assert model(ids).last_hidden_state.tobytes() == expected.last_hidden_state.tobytes()
    model([[9] * 38])
    with pytest.raises(InputError, match="has 39 tokens, but the model has 38 positions"):
        model([[9] * 39])
    assert EsmModel(EsmConfig(**ESM2), seed=0)([[9] * 50]).last_hidden_state.shape == (1, 50, 48)


def test_files_of_older_versions(torch, transformers, tmp_path):
    """Frequencies in every layer, of which the first one's count; a table of positions that no one asks; contacts."""
    model = transformers.EsmForMaskedLM(transformers.EsmConfig(**ESM2, attn_implementation="eager"))
    model.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    (saved,) = [name for name in tensors if name.endswith(BUFFER)]
    frequencies = tensors.pop(saved)
    layers = [f"esm.encoder.layer.{i}.attention.self.{BUFFER}" for i in range(2)]
    # As those that were rounded to half precision in training.
    older = {layers[0]: frequencies.astype(np.float16).astype(np.float32), layers[1]: 7 * frequencies}
    older |= {"esm.embeddings.position_embeddings.weight": np.ones((40, 48), np.float32)}
    older |= {"esm.embeddings.position_ids": np.arange(40)[None]}
    save_file({**tensors, **older}, tmp_path / "model.safetensors", {"format": "pt"})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours = AutoModelForMaskedLM.from_pretrained(tmp_path)
    theirs = transformers.EsmForMaskedLM.from_pretrained(tmp_path, attn_implementation="eager")
    call = {"input_ids": np.random.default_rng(0).integers(4, 30, (4, 30))}
    single, double = (reference_outputs(torch, each(), call).logits for each in (theirs.float, theirs.double))
    found = ours(**call).logits
    check("logits", found, single, double, True)
    computed = EsmConfig.from_pretrained(tmp_path)
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    assert not np.array_equal(AutoModelForMaskedLM.from_pretrained(tmp_path, config=computed)(**call).logits, found)

    ours.save_pretrained(tmp_path / "saved")
    kept = load_file(tmp_path / "saved" / "model.safetensors")
    assert kept[layers[0]].tobytes() == older[layers[0]].tobytes()
    assert {"esm.contact_head.regression.weight", "esm.contact_head.regression.bias"} <= kept.keys()
    assert AutoModelForMaskedLM.from_pretrained(tmp_path / "saved")(**call).logits.tobytes() == found.tobytes()


def test_frequencies_of_the_first_layer_that_has_any(transformers, tmp_path):
    """In the order of the layers: the third's are before the eleventh's."""
    model = transformers.EsmModel(transformers.EsmConfig(**{**ESM2, "num_hidden_layers": 12}))
    model.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    (saved,) = [name for name in tensors if name.endswith(BUFFER)]
    frequencies = tensors.pop(saved)
    layers = {f"encoder.layer.{i}.attention.self.{BUFFER}": frequencies * i for i in (10, 2)}
    save_file({**tensors, **layers}, tmp_path / "model.safetensors", {"format": "pt"})
    ours = EsmModel.from_pretrained(tmp_path).state_dict()
    (kept,) = [name for name in ours if name.endswith(BUFFER)]
    theirs = transformers.EsmModel.from_pretrained(tmp_path).rotary_embeddings.inv_freq
    assert ours[kept].tobytes() == theirs.numpy().tobytes() == (2 * frequencies).tobytes()


def test_a_checkpoint_without_a_pooler(tmp_path):
    """Such as those of ESM-2."""
    _, model = own_model("esm", "ForMaskedLM", 0)
    model.save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match="has no pooler: pooler_output will be None"):
        assert AutoModel.from_pretrained(tmp_path)([[5]]).pooler_output is None
    with pytest.raises(filbert.WeightsError, match=r"pooler\.dense\.weight: missing"):
        EsmModel.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"is_folding_model": True}, "is_folding_model: found true"),
        ({"add_bias_fnn": False}, r"add_bias_fnn: found false .*, expected true: .* \(nucleotide-transformer-v2\)"),
        ({"rope_scaling": {"rope_type": "linear", "factor": 2.0}}, "rope_scaling: found .* expected none"),
        ({"position_embedding_type": "relative_key"}, 'position_embedding_type: found "relative_key"'),
        ({"position_embedding_type": None}, "position_embedding_type: found null, expected .*no positions at all"),
        ({"is_decoder": True}, "is_decoder: found true"),
        ({"mask_token_id": None}, "mask_token_id: found none, expected an integer: token_dropout"),
        ({"mask_token_id": PADDING}, "mask_token_id: found 1 .*, expected another than pad_token_id"),
        (
            {"position_embedding_type": "absolute", "pad_token_id": None},
            "pad_token_id: found none, expected an integer",
        ),
        ({"position_embedding_type": "absolute", "pad_token_id": 39}, "pad_token_id: found 39 .*, expected less than"),
        ({"vocab_size": None}, "vocab_size: .*expected an integer"),
        ({"hidden_size": 52}, "hidden_size: found 52 .*, expected an even number a head"),
    ],
)
def test_what_is_refused(settings, told):
    with pytest.raises(ConfigError, match=told):
        EsmModel(EsmConfig(**{**ESM2, **settings}))


def tokenizer_folder(folder, vocabulary, **config):
    """As the hub has them: no tokenizer.json."""
    write_json(folder / "config.json", {"model_type": "esm", "vocab_size": len(vocabulary)})
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "EsmTokenizer", **config})
    (folder / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    return folder


def odd_texts(pieces):
    draw = random.Random(0)
    return [*ODD_TEXTS, *("".join(draw.choices(pieces, k=draw.randrange(1, 30))) for _ in range(300))]


@pytest.mark.parametrize(
    ("vocabulary", "config", "pieces"),
    [
        (PROTEINS, {}, [*PROTEINS, "m", "k", " ", "\t", "\x1c", "\u3000", "é", "<", ">", "_1", "<ma"]),
        (
            PROTEINS,
            {"mask_token": {"__type": "AddedToken", "content": "<mask>", "lstrip": True}},
            [*PROTEINS, " ", "j"],
        ),
        (BASES, {"eos_token": None}, [*"ATCGNan", " ", "\x85", "<mask>", "<eos>"]),
        (PROTEINS, {"split_special_tokens": True}, [*PROTEINS, " ", " ", "m"]),
    ],
)
def test_texts_split_as_in_transformers(transformers, tmp_path, vocabulary, config, pieces):
    folder = tokenizer_folder(tmp_path / "hub", vocabulary, **config)
    ours, theirs = (auto.from_pretrained(folder) for auto in (AutoTokenizer, transformers.AutoTokenizer))
    texts = odd_texts(pieces)
    calls = [(texts, {}), (texts, {"add_special_tokens": False, "return_special_tokens_mask": True})]
    if "eos_token" not in config:
        pairs = [(first, second) for first, second in zip(texts, reversed(texts), strict=True) if second]
        calls.append((pairs, {"return_token_type_ids": True, "return_special_tokens_mask": True}))
    for given, keywords in calls:
        expected = dict(theirs(given, **keywords))
        assert dict(ours(given, **keywords)) == expected
    assert ours.special_tokens_map == theirs.special_tokens_map
    assert ours.get_vocab() == theirs.get_vocab()
    ids = ours(texts[-1])["input_ids"]
    for skip in (False, True):
        assert ours.decode(ids, skip_special_tokens=skip) == theirs.decode(ids, skip_special_tokens=skip)
    # transformers, whose own class reads no tokenizer.json, too.
    ours.save_pretrained(tmp_path / "saved")
    for auto in (AutoTokenizer, transformers.AutoTokenizer):
        assert auto.from_pretrained(tmp_path / "saved")(texts)["input_ids"] == ours(texts)["input_ids"]


@pytest.mark.parametrize("is_listed", [False, True])
def test_added_tokens_are_not_split(transformers, tmp_path, is_listed):
    """They may have letters of the vocabulary in them, as phosphoserine has."""
    folder = tokenizer_folder(tmp_path / "hub", PROTEINS)
    if is_listed:
        theirs = transformers.AutoTokenizer.from_pretrained(folder)
        theirs.add_tokens(["[pS]", "KK"])
        theirs.save_pretrained(folder)
    else:
        write_json(folder / "added_tokens.json", {"[pS]": 33, "KK": 34})
    theirs, ours = (auto.from_pretrained(folder) for auto in (transformers.AutoTokenizer, AutoTokenizer))
    texts = odd_texts(["[pS]", "K", "M", "[", "]", "p", " ", "<mask>"])
    found = ours(texts)["input_ids"]
    assert found == theirs(texts)["input_ids"]
    assert ours("MK[pS]KKA")["input_ids"] == [0, 20, 15, 33, 34, 5, 2]
    ours.save_pretrained(tmp_path / "saved")
    for auto in (AutoTokenizer, transformers.AutoTokenizer):
        assert auto.from_pretrained(tmp_path / "saved")(texts)["input_ids"] == found


def test_pairs_need_a_token_between_them(transformers, tmp_path):
    folder = tokenizer_folder(tmp_path, BASES, eos_token=None)
    ours = AutoTokenizer.from_pretrained(folder)
    with pytest.raises(ValueError, match="EOS token is not set"):
        transformers.AutoTokenizer.from_pretrained(folder)("A", "C")
    for call in (lambda: ours("A", "C"), lambda: ours([["A"]], [["C"]], is_split_into_words=True)):
        with pytest.raises(InputError, match="text_pair: found one, but the tokenizer has no eos_token"):
            call()
    with pytest.raises(InputError, match="text_pair: found one"):
        pickle.loads(pickle.dumps(ours))(["A"], ["C"], truncation=True, max_length=2)
    assert ours("A", "C", add_special_tokens=False)["input_ids"] == [68, 70]
    assert ours("A")["input_ids"] == [3, 68]


def test_a_protein_by_hand(tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder(tmp_path, PROTEINS))
    row = tokenizer("MK xyz<mask>A", return_offsets_mapping=True)
    assert tokenizer.convert_ids_to_tokens(row["input_ids"]) == ["<cls>", "M", "K", "<unk>", "<mask>", "A", "<eos>"]
    assert row["offset_mapping"] == [(0, 0), (0, 1), (1, 2), (3, 6), (6, 12), (12, 13), (0, 0)]
    assert tokenizer("", "A")["input_ids"] == [0, 2, 5, 2]
    assert "token_type_ids" not in row
    (tmp_path / "vocab.txt").write_text("<cls>\n<unk>\nA")
    with pytest.raises(ConfigError, match=r"vocab\.txt: the vocabulary of 3 tokens has no eos_token '<eos>'"):
        AutoTokenizer.from_pretrained(tmp_path)
