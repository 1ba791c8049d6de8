"""AutoTokenizer by itself, on a vocabulary of 40 word pieces; test_tokenization_parity compares with transformers."""

import copy
import json
import pickle
import threading
import warnings

import numpy as np
import pytest
from text_models import VOCABULARY, minilm_folder, official_vocabulary, vocabulary_folder, write_json

from filbert import AutoTokenizer, ConfigError, InputError


@pytest.fixture
def folder(tmp_path):
    return vocabulary_folder(tmp_path / "tokenizer")


@pytest.fixture
def tokenizer(folder):
    return AutoTokenizer.from_pretrained(folder)


def ids(tokens):
    return [VOCABULARY.index(token) for token in tokens.split()]


HELLO = ids("[CLS] hello world [SEP]")


def test_one_text_gives_flat_lists(tokenizer):
    encoding = tokenizer("Hello world")
    assert encoding == {"input_ids": HELLO, "token_type_ids": [0] * 4, "attention_mask": [1] * 4}
    assert encoding.input_ids is encoding["input_ids"]
    assert encoding.input_ids == tokenizer.encode("Hello world")
    with pytest.raises(AttributeError, match=r"no 'labels'; it has input_ids"):
        _ = encoding.labels


def test_a_batch_gives_a_list_a_text(tokenizer):
    assert tokenizer(["Hello world", ""])["input_ids"] == [HELLO, ids("[CLS] [SEP]")]
    assert tokenizer(["Hello world"])["input_ids"] == [HELLO]
    assert tokenizer([]) == {"input_ids": [], "token_type_ids": [], "attention_mask": []}


def test_word_pieces(tokenizer):
    tokens = ["the", "cat", "run", "##s", ",", "it", "'", "s", "un", "##believ", "##able", "!"]
    tokens += ["北", "京", "caf", "##e", "[UNK]"]
    assert tokenizer.tokenize("The CAT runs, it's unbelievable! 北京 Café zebra") == tokens
    assert tokenizer.convert_tokens_to_ids(tokens) == ids(" ".join(tokens))
    assert tokenizer.convert_ids_to_tokens(ids(" ".join(tokens))) == tokens


def test_a_cased_tokenizer_keeps_case_and_accents(tmp_path):
    cased = AutoTokenizer.from_pretrained(vocabulary_folder(tmp_path, do_lower_case=False))
    assert cased.tokenize("Café caf The") == ["Caf", "##é", "caf", "[UNK]"]
    stripped = AutoTokenizer.from_pretrained(tmp_path, strip_accents=True)
    assert stripped.tokenize("Café") == ["Caf", "##e"]
    assert AutoTokenizer.from_pretrained(tmp_path, tokenize_chinese_chars=False).tokenize("北京") == ["[UNK]"]


def test_pairs(tokenizer):
    encoding = tokenizer("Hello", "world")
    assert encoding["input_ids"] == ids("[CLS] hello [SEP] world [SEP]")
    assert encoding["token_type_ids"] == [0, 0, 0, 1, 1]
    assert tokenizer(["Hello"], ["world"])["input_ids"] == [encoding["input_ids"]]
    assert tokenizer([("Hello", "world")]) == tokenizer(["Hello"], ["world"])
    assert tokenizer("Hello", "") == tokenizer("Hello")  # as transformers has it
    assert tokenizer("Hello", "world", add_special_tokens=False)["input_ids"] == ids("hello world")


@pytest.mark.parametrize(
    ("arguments", "lengths"),
    [
        ({}, [4, 9]),
        ({"padding": True}, [9, 9]),
        ({"padding": "longest", "pad_to_multiple_of": 4}, [12, 12]),
        ({"padding": "max_length"}, [24, 24]),
        ({"padding": "max_length", "max_length": 6}, [6, 9]),
        ({"padding": "max_length", "max_length": 6, "truncation": True}, [6, 6]),
        ({"truncation": True, "max_length": 5}, [4, 5]),
        ({"max_length": 5}, [4, 5]),
        ({"max_length": 5, "padding": True}, [9, 9]),
        ({"max_length": 2}, [2, 2]),
    ],
)
def test_padding_and_truncation(tokenizer, arguments, lengths):
    encoding = tokenizer(["hello world", "the cat run the dog run day"], **arguments)
    assert [len(row) for row in encoding["input_ids"]] == lengths
    for row, mask in zip(encoding["input_ids"], encoding["attention_mask"], strict=True):
        assert mask == [int(token != 0) for token in row]
        assert row[sum(mask) - 1] == tokenizer.sep_token_id


def test_left_padding(folder):
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    encoding = tokenizer(["hello world", "hello"], padding=True, return_special_tokens_mask=True)
    assert encoding["input_ids"][1] == [0, *ids("[CLS] hello [SEP]")]
    assert encoding["attention_mask"][1] == [0, 1, 1, 1]
    assert encoding["special_tokens_mask"][1] == [1, 1, 0, 1]
    assert tokenizer(["hello world", "hello"], padding=True, padding_side="right")["input_ids"][1][-1] == 0


def test_truncating_a_pair(tokenizer):
    a, b = "the cat run the", "dog is"
    assert tokenizer.encode(a, b, truncation=True, max_length=7) == ids("[CLS] the cat [SEP] dog is [SEP]")
    assert tokenizer.encode(a, b, truncation="only_first", max_length=6) == ids("[CLS] the [SEP] dog is [SEP]")
    assert tokenizer.encode(a, b, truncation="only_second", max_length=8) == ids(
        "[CLS] the cat run the [SEP] dog [SEP]"
    )
    with pytest.raises(InputError, match="too short"):
        tokenizer(a, b, truncation="only_second", max_length=4)
    with pytest.raises(InputError, match="max_length: found 2, but 3 special tokens"):
        tokenizer(a, b, truncation=True, max_length=2)


def test_arrays_and_tensors(tokenizer):
    arrays = tokenizer(["hello world", "hello"], padding=True, return_tensors="np")
    assert all(array.dtype == np.int64 and array.shape == (2, 4) for array in arrays.values())
    assert tokenizer("hello", return_tensors="np")["input_ids"].shape == (1, 3)
    assert tokenizer([], return_tensors="np")["input_ids"].shape == (0, 0)
    with pytest.raises(InputError, match=r"input_ids: the rows differ in length.*padding=True"):
        tokenizer(["hello world", "hello"], return_tensors="np")
    with pytest.raises(InputError, match="'tf', expected None, 'np' or 'pt'"):
        tokenizer("hello", return_tensors="tf")


def test_torch_tensors(tokenizer, torch):
    tensors = tokenizer(["hello world", "hello"], padding=True, return_tensors="pt").to("cpu")
    assert all(tensor.dtype == torch.int64 and tensor.shape == (2, 4) for tensor in tensors.values())
    assert tokenizer.batch_decode(tensors["input_ids"], skip_special_tokens=True) == ["hello world", "hello"]


def test_decoding(tokenizer):
    row = tokenizer("The cat's running!")["input_ids"]
    assert tokenizer.decode(row) == "[CLS] the cat ' s running! [SEP]"
    assert tokenizer.decode(row, skip_special_tokens=True) == "the cat ' s running!"
    assert tokenizer.decode(row[1]) == "the"
    assert tokenizer.decode(np.array([row, row]), skip_special_tokens=True) == ["the cat ' s running!"] * 2
    assert tokenizer.decode([]) == ""
    assert tokenizer.convert_ids_to_tokens(row[:2], skip_special_tokens=True) == ["the"]
    assert tokenizer.convert_ids_to_tokens(5) == "the"
    assert tokenizer.convert_ids_to_tokens(99) is None
    assert tokenizer.convert_tokens_to_string(["run", "##ning"]) == "running"
    with pytest.raises(InputError, match="token_ids"):
        tokenizer.decode([-1])


def test_columns_asked_for(tokenizer):
    encoding = tokenizer(
        "hello",
        return_token_type_ids=False,
        return_attention_mask=False,
        return_special_tokens_mask=True,
        return_offsets_mapping=True,
    )
    assert encoding == {
        "input_ids": ids("[CLS] hello [SEP]"),
        "special_tokens_mask": [1, 0, 1],
        "offset_mapping": [(0, 0), (0, 5), (0, 0)],
    }


def test_pad(tokenizer):
    encodings = [tokenizer("hello world"), tokenizer("hello")]
    padded = tokenizer.pad(encodings, return_tensors="np")
    expected = tokenizer(["hello world", "hello"], padding=True, return_tensors="np")
    assert {key: value.tolist() for key, value in padded.items()} == {k: v.tolist() for k, v in expected.items()}
    assert tokenizer.pad({"input_ids": [2, 3]}, "max_length", 4) == {
        "input_ids": [2, 3, 0, 0],
        "attention_mask": [1, 1, 0, 0],
    }
    with pytest.raises(InputError, match="input_ids"):
        tokenizer.pad({"ids": [1]})


@pytest.mark.parametrize("kind", ["list", "np", "pt"])
def test_pad_takes_rows_of_any_kind(tokenizer, kind):
    make = {"list": list, "np": np.array}.get(kind) or pytest.importorskip("torch").tensor
    expected = {"input_ids": [[2, 0, 0], [5, 6, 8]], "attention_mask": [[1, 0, 0], [1, 1, 1]]}
    rows = [{"input_ids": make([2])}, {"input_ids": make([5, 6, 8])}]
    assert tokenizer.pad(rows) == expected
    assert tokenizer.pad({"input_ids": [row["input_ids"] for row in rows]}) == expected
    assert tokenizer.pad(rows, return_tensors="np")["input_ids"].tolist() == expected["input_ids"]
    assert tokenizer.pad({"input_ids": make([5, 6])}, padding="max_length", max_length=3)["input_ids"] == [5, 6, 0]


def test_attributes(tokenizer):
    assert (tokenizer.vocab_size, len(tokenizer), tokenizer.model_max_length) == (40, 40, 24)
    assert tokenizer.special_tokens_map == {
        "unk_token": "[UNK]",
        "sep_token": "[SEP]",
        "pad_token": "[PAD]",
        "cls_token": "[CLS]",
        "mask_token": "[MASK]",
    }
    assert sorted(tokenizer.all_special_ids) == [0, 1, 2, 3, 4]
    assert (tokenizer.pad_token_id, tokenizer.cls_token_id, tokenizer.bos_token_id) == (0, 2, None)
    assert tokenizer.num_special_tokens_to_add() == 2
    assert tokenizer.num_special_tokens_to_add(pair=True) == 3
    assert tokenizer.get_vocab()["hello"] == VOCABULARY.index("hello")
    assert "WordPiece, 40 tokens, model_max_length=24" in repr(tokenizer)
    tokenizer.pad_token = "[MASK]"
    assert tokenizer(["hello world", "hello"], padding=True)["input_ids"][1][-1] == tokenizer.mask_token_id
    with pytest.raises(InputError, match="'<pad>', which is not in the vocabulary"):
        tokenizer.pad_token = "<pad>"


def test_special_tokens_in_text_stay_whole(tokenizer):
    assert tokenizer.tokenize("hello [MASK] [mask]")[:2] == ["hello", "[MASK]"]
    assert "[MASK]" not in tokenizer.tokenize("[mask]")


def test_tokens_that_the_files_add(tmp_path):
    vocabulary_folder(
        tmp_path,
        added_tokens_decoder={
            "41": {"content": "Zeta", "special": False, "normalized": False},
            "40": {"content": "<ent>", "special": True},
        },
        additional_special_tokens=["<x>"],
    )
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert tokenizer.convert_tokens_to_ids(["<ent>", "Zeta", "<x>"]) == [40, 41, 42]
    assert tokenizer.tokenize("hello<ent> Zeta<x>") == ["hello", "<ent>", "Zeta", "<x>"]
    assert tokenizer.decode([24, 40, 41, 42], skip_special_tokens=True) == "world Zeta"
    assert (tokenizer.vocab_size, len(tokenizer)) == (40, 43)


def test_texts_that_are_too_long_give_one_warning(tokenizer):
    with pytest.warns(UserWarning, match=r"a text has 32 tokens, and the model takes 24: truncation=True"):
        tokenizer("hello " * 30)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tokenizer("hello " * 30)
        assert len(tokenizer("hello " * 30, truncation=True)["input_ids"]) == 24


def test_without_a_maximum_nothing_is_truncated(tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(vocabulary_folder(tmp_path, model_max_length=1e30))
    with pytest.warns(UserWarning, match="nothing is truncated: give max_length"):
        assert len(tokenizer("hello " * 30, truncation=True)["input_ids"]) == 32
    assert "no limit" in repr(tokenizer)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"text": 3}, r"text: found 3 \(int\)"),
        ({"text": None}, r"text: found None \(NoneType\)"),
        ({"text": ["a", None]}, r"text 1: found None \(NoneType\), expected a string"),
        ({"text": ["a", ["b", 3]]}, r"text 1: found 3 \(int\), expected a string"),
        ({"text": ["a", ["b", "c", "d"]]}, r"text 1: found \['b', 'c', 'd'\] \(list\), expected a string or a pair"),
        ({"text": ["a", "\ud800"]}, "text 1: character 0 is a lone surrogate"),
        ({"text": "a", "text_pair": ["b"]}, r"text_pair 0: found \['b'\] \(list\), expected a string"),
        ({"text": ["a"], "text_pair": "b"}, r"text_pair: found 'b' \(str\), expected a list of 1 strings"),
        ({"text": ["a"], "text_pair": ["b", "c"]}, "text_pair: found 2, expected a list of 1"),
        ({"text": "a", "padding": "yes"}, "padding: found 'yes'"),
        ({"text": "a", "truncation": "yes"}, "truncation: found 'yes'"),
        ({"text": "a", "truncation": True, "max_length": 1}, "max_length: found 1, but 2 special tokens"),
        ({"text": "a", "max_length": 0}, "max_length: found 0"),
        ({"text": "a", "max_length": 2.5}, "max_length: found 2.5"),
        ({"text": "a", "padding": True, "padding_side": "top"}, "padding_side: found 'top'"),
        ({"text": "a", "padding": True, "truncation": True, "max_length": 9, "pad_to_multiple_of": 8}, "8 does not"),
        ({"text": "a b c d e", "truncation": "only_second", "max_length": 4}, "Second sequence not provided"),
    ],
)
def test_bad_arguments(tokenizer, arguments, message):
    with pytest.raises(InputError, match=message):
        tokenizer(**arguments)
    assert tokenizer("hello world")["input_ids"] == HELLO


def test_the_settings_inside_tokenizer_json_do_not_leak(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    path = tmp_path / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["truncation"] = {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0}
    content["padding"] = {
        "strategy": {"Fixed": 9},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "[PAD]",
    }
    path.write_text(json.dumps(content), encoding="utf-8")
    assert AutoTokenizer.from_pretrained(tmp_path)("hello world")["input_ids"] == HELLO


def test_saving_and_loading(tokenizer, tmp_path):
    tokenizer.model_max_length = 9
    written = tokenizer.save_pretrained(tmp_path / "saved")
    assert [path.rsplit("/", 1)[-1] for path in written] == ["tokenizer.json", "tokenizer_config.json"]
    again = AutoTokenizer.from_pretrained(tmp_path / "saved")
    text = "The cat's café, 北京 [MASK] zebra"
    assert again(text, truncation=True) == tokenizer(text, truncation=True)
    assert (again.model_max_length, again.special_tokens_map) == (9, tokenizer.special_tokens_map)


def test_pickle_and_copy(tokenizer):
    for twin in (pickle.loads(pickle.dumps(tokenizer)), copy.deepcopy(tokenizer)):
        assert twin("hello world", truncation=True, max_length=3) == tokenizer("hello", "", max_length=3)


def test_threads_with_different_settings_do_not_disturb_each_other(tokenizer):
    text = "the cat run the dog run day hello world"
    settings = [{"truncation": True, "max_length": length} for length in range(3, 10)] + [{}]
    expected = [tokenizer(text, **arguments) for arguments in settings]
    wrong = []

    def work(number):
        for _ in range(60):
            if tokenizer(text, **settings[number]) != expected[number]:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(settings))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("tokenizer.json", "", "tokenizer.json: the file is empty"),
        ("tokenizer.json", "{}", "tokenizer.json: not a tokenizer"),
        ("tokenizer.json", "[" * 100_000, "tokenizer.json: not a tokenizer"),
        ("tokenizer_config.json", "{", r"tokenizer_config.json: line 1, column 2"),
        ("tokenizer_config.json", "[1]", "tokenizer_config.json: found list, expected an object"),
        ("tokenizer_config.json", "[" * 100_000, "tokenizer_config.json: "),
        ("tokenizer_config.json", '{"model_max_length": "many"}', "model_max_length: found 'many'"),
        ("tokenizer_config.json", '{"model_max_length": 0}', "model_max_length: found 0"),
        ("tokenizer_config.json", '{"model_max_length": NaN}', "model_max_length: found nan"),
        ("tokenizer_config.json", '{"padding_side": "top"}', "padding_side: found 'top'"),
        ("tokenizer_config.json", '{"do_lower_case": "no"}', "do_lower_case: found 'no', expected true or false"),
        ("tokenizer_config.json", '{"pad_token": 3}', "found 3 as a special token"),
        ("tokenizer_config.json", '{"added_tokens_decoder": {"x": 3}}', "added tokens"),
        ("tokenizer_config.json", '{"added_tokens_decoder": [3]}', "added tokens"),
        (
            "tokenizer_config.json",
            '{"tokenizer_class": "BertJapaneseTokenizer"}',
            "BertJapaneseTokenizer needs a tokenizer",
        ),
        ("vocab.txt", "hello\n", r"vocab.txt: the vocabulary of 1 tokens has no unk_token '\[UNK\]'"),
        ("vocab.txt", "", "vocab.txt: the file is empty"),
    ],
)
def test_bad_files(folder, name, content, message):
    (folder / name).write_text(content)
    with pytest.raises(ConfigError, match=message):
        AutoTokenizer.from_pretrained(folder)


def test_files_that_are_not_utf8(folder):
    (folder / "vocab.txt").write_bytes(b"[UNK]\n\xff\n")
    with pytest.raises(ConfigError, match=r"vocab\.txt: not UTF-8 at byte 6"):
        AutoTokenizer.from_pretrained(folder)
    (folder / "tokenizer_config.json").write_bytes(b'{"a": "\xff"}')
    with pytest.raises(ConfigError, match=r"tokenizer_config\.json: not UTF-8 at byte 7"):
        AutoTokenizer.from_pretrained(folder)


def test_no_tokenizer(tmp_path):
    with pytest.raises(OSError, match=r"no tokenizer\.json or vocab\.txt"):
        AutoTokenizer.from_pretrained(tmp_path)
    with pytest.raises(TypeError, match="from_pretrained"):
        AutoTokenizer()


def test_special_tokens_of_the_older_layout(folder):
    write_json(folder / "tokenizer_config.json", {})
    write_json(folder / "special_tokens_map.json", {"pad_token": {"content": "[MASK]", "lstrip": False}})
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.pad_token == "[MASK]"
    assert tokenizer.cls_token == "[CLS]"


def test_the_example_of_the_readme(tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(official_vocabulary(tmp_path))
    encoded = tokenizer(["Hello!", "Cool.", "Nice!"])["input_ids"]
    assert encoded == [[101, 7592, 999, 102], [101, 4658, 1012, 102], [101, 3835, 999, 102]]


def test_real_tokenizer_json_has_its_padding_and_truncation_overridden():
    tokenizer = AutoTokenizer.from_pretrained(minilm_folder())
    assert len(tokenizer("Hello!")["input_ids"]) == 4
    assert len(tokenizer("word " * 300)["input_ids"]) == 302
    assert tokenizer.model_max_length == 512
