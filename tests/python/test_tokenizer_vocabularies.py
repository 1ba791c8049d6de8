"""Tokenizers of folders without a tokenizer.json; beside transformers where it is."""

import json

import pytest
from pipeline_models import byte_pairs
from text_models import ODD_TEXTS, write_json

from filbert import AutoTokenizer, ConfigError

TEXTS = [*ODD_TEXTS, "the the", " the <mask> x", "a<mask>b", "a [MASK]", "12345 it's WE'LL", "<s>a</s> <|endoftext|>"]
WORDS = ["<s>", "<pad>", "</s>", "[UNK]", "<mask>", "the", "##y", "a", "b", "The", "caf", "##e", "##é", "北", "[PAD]"]
WORDS += ["[CLS]", "[SEP]", "[MASK]"]


# What the special tokens are called in DeBERTa's.
BRACKETS = {"<s>": "[CLS]", "</s>": "[SEP]", "<pad>": "[PAD]", "<unk>": "[UNK]", "<mask>": "[MASK]"}


def bytes_folder(folder, name, **config):
    """vocab.json and merges.txt."""
    byte_pairs(folder)
    backend = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").unlink()
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in backend["model"]["merges"]]
    vocabulary = backend["model"]["vocab"]
    if name == "DebertaTokenizer":
        vocabulary = {BRACKETS.get(token, token): index for token, index in vocabulary.items()}
    write_json(folder / "vocab.json", {**vocabulary, "<|endoftext|>": len(vocabulary)})
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]), encoding="utf-8")
    return described(folder, name, config)


def words_folder(folder, name, **config):
    folder.mkdir(exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join([*WORDS, ""]), encoding="utf-8")
    return described(folder, name, config)


def described(folder, name, config):
    types = {"RobertaTokenizer": "roberta", "Qwen2Tokenizer": "qwen3", "MPNetTokenizer": "mpnet"}
    types["DebertaTokenizer"] = "deberta"
    write_json(folder / "config.json", {"model_type": types.get(name, "bert")})
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": name, "model_max_length": 64, **config})
    return folder


MASK = {"__type": "AddedToken", "content": "<mask>", "lstrip": True, "normalized": True}
SPACED = {**MASK, "content": "[MASK]"}
CASES = [
    (bytes_folder, "DebertaTokenizer", {}),
    (bytes_folder, "DebertaTokenizer", {"tokenizer_class": None, "do_lower_case": False, "vocab_type": "gpt2"}),
    (bytes_folder, "DebertaTokenizer", {"add_prefix_space": True, "mask_token": SPACED, "pad_token": "<new>"}),
    (bytes_folder, "RobertaTokenizer", {}),
    (bytes_folder, "RobertaTokenizer", {"add_prefix_space": True}),
    (bytes_folder, "RobertaTokenizer", {"trim_offsets": False, "mask_token": MASK}),
    (bytes_folder, "RobertaTokenizer", {"tokenizer_class": None, "unk_token": None, "pad_token": "<new>"}),
    (bytes_folder, "Qwen2Tokenizer", {}),
    (bytes_folder, "Qwen2Tokenizer", {"add_prefix_space": True, "add_eos_token": True, "unk_token": None}),
    (words_folder, "MPNetTokenizer", {}),
    (words_folder, "MPNetTokenizer", {"do_lower_case": False, "mask_token": "<mask>"}),
    (words_folder, "BertTokenizer", {"strip_accents": False}),
]


@pytest.mark.parametrize(("make", "name", "config"), CASES)
def test_ids_and_offsets(tmp_path, make, name, config):
    transformers = pytest.importorskip("transformers", reason="the reference extra is not installed")
    folder = make(tmp_path / "model", name, **config)
    ours, theirs = (auto.from_pretrained(folder) for auto in (AutoTokenizer, transformers.AutoTokenizer))
    pairs = list(zip(TEXTS, reversed(TEXTS), strict=True))
    for given in [TEXTS] if name == "DebertaTokenizer" else [TEXTS, pairs]:
        for special in (True, False):
            found, expected = (
                dict(tokenizer(given, add_special_tokens=special, return_offsets_mapping=True, verbose=False))
                for tokenizer in (ours, theirs)
            )
            assert found == expected
    assert ours.special_tokens_map == theirs.special_tokens_map
    assert len(ours) == len(theirs)


def test_by_hand_and_saved(tmp_path):
    found = AutoTokenizer.from_pretrained(bytes_folder(tmp_path / "roberta", "RobertaTokenizerFast"))
    row = found("a the", return_offsets_mapping=True)
    assert found.convert_ids_to_tokens(row["input_ids"])[:2] == ["<s>", "a"]
    assert row["offset_mapping"][0] == (0, 0)
    assert row["offset_mapping"][2][0] == 2  # the space is trimmed
    assert "token_type_ids" not in row
    found.save_pretrained(tmp_path / "saved")
    assert dict(AutoTokenizer.from_pretrained(tmp_path / "saved")("a the", return_offsets_mapping=True)) == dict(row)
    found = AutoTokenizer.from_pretrained(words_folder(tmp_path / "mpnet", "MPNetTokenizer"))
    assert found("The <mask>", "a")["input_ids"] == [0, 5, 4, 2, 2, 7, 2]


def test_a_pair_of_deberta_is_that_which_it_learned_from(tmp_path):
    """transformers 5 joins its pairs as RoBERTa's, with one more [SEP] and no types."""
    folder = bytes_folder(tmp_path / "model", "DebertaTokenizer", tokenizer_class=None)
    found = AutoTokenizer.from_pretrained(folder)
    row = found("a the", "b")
    assert found.convert_ids_to_tokens(row["input_ids"]) == ["[CLS]", "a", "Ġthe", "[SEP]", "b", "[SEP]"]
    assert row["token_type_ids"] == [0, 0, 0, 0, 1, 1]


def test_white_space_at_the_ends_of_lines(tmp_path):
    """What Rust calls so: neither U+001F nor U+200B."""
    folder = words_folder(tmp_path / "model", "BertTokenizer")
    words = "\n".join(["[UNK]", "[CLS]", "[SEP]", "the \t\u3000", "caf\x1f", "b\u200b", " a", "x\ry\r", "y\xa0\r\n"])
    (folder / "vocab.txt").write_bytes(words.encode())
    vocabulary = AutoTokenizer.from_pretrained(folder).get_vocab()
    assert sorted(vocabulary, key=vocabulary.get) == [
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "the",
        "caf\x1f",
        "b\u200b",
        " a",
        "x\ry",
        "y",
    ]


@pytest.mark.parametrize("file", ["sentencepiece.bpe.model", "spm.model", "spiece.model", "tokenizer.model"])
def test_sentence_pieces_alone(tmp_path, file):
    (tmp_path / file).write_bytes(b"x")
    with pytest.raises(FileNotFoundError, match=f"has no tokenizer.json.* from {file}, .*save_pretrained writes a tok"):
        AutoTokenizer.from_pretrained(described(tmp_path, "XLMRobertaTokenizer", {}))


def test_files_that_are_not_enough(tmp_path):
    def told(folder, error=ConfigError):
        with pytest.raises(error) as caught:
            AutoTokenizer.from_pretrained(folder)
        return str(caught.value)

    folder = bytes_folder(tmp_path / "model", "RobertaTokenizer")
    (folder / "merges.txt").write_text("#version: 0.2\nt h\na  b\n")
    assert "merges.txt: line 3: found 'a  b', expected two tokens" in told(folder)
    (folder / "merges.txt").write_text("a 京\n", encoding="utf-8")
    assert "vocab.json: not a vocabulary for " in told(folder)
    (folder / "merges.txt").write_text("#version: 0.2\n")
    write_json(folder / "vocab.json", {"a": 0})
    assert "vocab.json: the vocabulary of 1 tokens has no cls_token '<s>'" in told(folder)
    (folder / "merges.txt").unlink()
    assert told(folder, OSError).endswith("the folder has no tokenizer.json or merges.txt")
    described(folder, "GPT2Tokenizer", {})
    assert "vocab.json: tokenizer_class GPT2Tokenizer needs a tokenizer.json; filbert builds Bert" in told(folder)
    described(folder, None, {})
    write_json(folder / "config.json", {"model_type": "xlm-roberta"})
    assert "vocab.json: a model of type 'xlm-roberta' needs a tokenizer.json: filbert builds Bert" in told(folder)
    (folder / "vocab.json").unlink()
    assert told(folder, OSError).endswith("the folder has no tokenizer.json or vocab.txt or vocab.json")
