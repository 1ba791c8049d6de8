"""Lists of words, what truncation cuts off, and the places of tokens, on a vocabulary of 40 word pieces by hand."""

import copy
import pickle

import numpy as np
import pytest
from text_models import VOCABULARY, vocabulary_folder

from filbert import AutoTokenizer, InputError
from filbert.encoding import BatchEncoding


@pytest.fixture
def tokenizer(tmp_path):
    return AutoTokenizer.from_pretrained(vocabulary_folder(tmp_path / "tokenizer"))


def ids(tokens):
    return [VOCABULARY.index(token) for token in tokens.split()]


LONG = "the cat run the dog"


def test_what_is_cut_off(tokenizer):
    encoding = tokenizer(
        ["hello", LONG],
        truncation=True,
        max_length=5,
        stride=1,
        padding=True,
        return_overflowing_tokens=True,
        return_length=True,
        return_offsets_mapping=True,
    )
    assert encoding == {
        "input_ids": [
            ids("[CLS] hello [SEP] [PAD] [PAD]"),
            ids("[CLS] the cat run [SEP]"),
            ids("[CLS] run the dog [SEP]"),
        ],
        "token_type_ids": [[0] * 5] * 3,
        "attention_mask": [[1, 1, 1, 0, 0], [1] * 5, [1] * 5],
        "offset_mapping": [
            [(0, 0), (0, 5), (0, 0), (0, 0), (0, 0)],
            [(0, 0), (0, 3), (4, 7), (8, 11), (0, 0)],
            [(0, 0), (8, 11), (12, 15), (16, 19), (0, 0)],
        ],
        "length": [5, 5, 5],
        "overflow_to_sample_mapping": [0, 1, 1],
    }
    assert encoding.word_ids(2) == [None, 2, 3, 4, None]


def test_a_context_in_parts_beside_a_question(tokenizer):
    encoding = tokenizer(
        "hello world", LONG, truncation="only_second", max_length=8, stride=1, return_overflowing_tokens=True
    )
    assert encoding["input_ids"] == [
        ids("[CLS] hello world [SEP] the cat run [SEP]"),
        ids("[CLS] hello world [SEP] run the dog [SEP]"),
    ]
    assert encoding["overflow_to_sample_mapping"] == [0, 0]
    assert encoding.sequence_ids(1) == [None, 0, 0, None, 1, 1, 1, None]


def test_the_left_end_cut_off(tokenizer):
    tokenizer.truncation_side = "left"
    encoding = tokenizer(LONG, truncation=True, max_length=5, return_overflowing_tokens=True)
    assert encoding["input_ids"] == [ids("[CLS] run the dog [SEP]"), ids("[CLS] the cat [SEP]")]


def test_arrays_of_parts(tokenizer):
    encoding = tokenizer(
        LONG,
        truncation=True,
        max_length=5,
        padding="max_length",
        return_overflowing_tokens=True,
        return_length=True,
        return_tensors="np",
    )
    assert encoding["input_ids"].tolist() == [ids("[CLS] the cat run [SEP]"), ids("[CLS] the dog [SEP] [PAD]")]
    assert encoding["overflow_to_sample_mapping"].tolist() == [0, 0]
    assert encoding["length"].tolist() == [5, 5]
    assert {array.dtype for array in encoding.values()} == {np.dtype(np.int64)}
    empty = tokenizer([], return_tensors="np", return_length=True, return_overflowing_tokens=True)
    shapes = {name: array.shape for name, array in empty.items()}
    assert shapes == {
        **dict.fromkeys(("input_ids", "token_type_ids", "attention_mask"), (0, 0)),
        **dict.fromkeys(("length", "overflow_to_sample_mapping"), (0,)),
    }


def test_lengths(tokenizer):
    assert tokenizer("hello world", return_length=True)["length"] == [4]
    assert tokenizer(["hello world", "hello"], return_length=True)["length"] == [4, 3]
    assert tokenizer(["hello world", "hello"], padding=True, return_length=True)["length"] == [4, 4]


def test_lists_of_words(tokenizer):
    words = ["hello", "sunny", "day"]
    row = ids("[CLS] hello sun ##ny day [SEP]")
    encoding = tokenizer(words, is_split_into_words=True)
    assert encoding["input_ids"] == row
    assert encoding.word_ids() == [None, 0, 1, 1, 2, None]
    assert tokenizer([words, ["hello"]], is_split_into_words=True)["input_ids"] == [row, ids("[CLS] hello [SEP]")]
    assert tokenizer([], is_split_into_words=True)["input_ids"] == ids("[CLS] [SEP]")
    pair = ids("[CLS] hello [SEP] sun ##ny [SEP]")
    assert tokenizer(["hello"], ["sunny"], is_split_into_words=True)["input_ids"] == pair
    assert tokenizer([["hello"]], [["sunny"]], is_split_into_words=True)["input_ids"] == [pair]
    assert tokenizer([(["hello"], ["sunny"])], is_split_into_words=True)["input_ids"] == [pair]
    arrays = tokenizer(iter([np.array(words), np.array(["hello"])]), is_split_into_words=True)
    assert arrays["input_ids"] == [row, ids("[CLS] hello [SEP]")]


def test_labels_of_words_become_those_of_tokens(tokenizer):
    """As the examples of transformers for tagging words do it."""
    sentences, labels = [["the", "sunny", "dog"], ["unbelievable", "word"]], [[7, 8, 9], [5, 6]]
    encoding = tokenizer(sentences, is_split_into_words=True, truncation=True)
    aligned = []
    for row, tags in enumerate(labels):
        words = encoding.word_ids(batch_index=row)
        starts = [word is not None and word != before for word, before in zip(words, [None, *words], strict=False)]
        aligned.append([tags[word] if new else -100 for word, new in zip(words, starts, strict=True)])
    assert aligned == [[-100, 7, 8, -100, 9, -100], [-100, 5, -100, -100, 6, -100]]


def test_places(tokenizer):
    encoding = tokenizer(["A sunny day!", "hello"], padding=True)
    assert encoding.is_fast
    assert encoding.n_sequences == 1
    assert encoding.tokens() == ["[CLS]", "a", "sun", "##ny", "day", "!", "[SEP]"]
    assert encoding.tokens(1) == ["[CLS]", "hello", "[SEP]", "[PAD]", "[PAD]", "[PAD]", "[PAD]"]
    assert encoding.word_ids() == [None, 0, 1, 1, 2, 3, None]
    assert encoding.token_to_chars(3) == (5, 7)
    assert encoding.token_to_chars(0, -3).end == 11
    assert encoding.token_to_chars(0) is None
    assert encoding.token_to_word(2) == encoding.token_to_word(0, 3) == 1
    assert encoding.token_to_sequence(1, 1) == 0
    assert encoding.char_to_token(6) == 3
    assert encoding.char_to_token(1) is None
    assert encoding.char_to_token(-1 + 1) == 1
    assert encoding.char_to_word(1, 4) == 0
    assert encoding.word_to_tokens(1) == (2, 4)
    assert encoding.word_to_tokens(0, 1).start == 2
    assert encoding.word_to_chars(1) == (2, 7)
    assert encoding.word_to_chars(9) is None
    assert encoding[1].ids == encoding["input_ids"][1]
    assert [row.ids for row in encoding[:2]] == encoding["input_ids"]


def test_places_in_the_second_of_a_pair(tokenizer):
    encoding = tokenizer("hello", "sunny day")
    assert encoding.n_sequences == 2
    assert encoding.sequence_ids() == [None, 0, None, 1, 1, 1, None]
    assert encoding.char_to_token(0, sequence_index=1) == 3
    assert encoding.word_to_tokens(0, 1, 1) == (5, 6)
    assert encoding.word_to_chars(0, 0, 1) == (0, 5)


def test_places_are_those_of_the_call(tokenizer):
    """They are found out when they are asked for, which a tokenizer that was changed meanwhile must not show."""
    encoding = tokenizer(["hello " * 30, "sunny"], truncation=True, max_length=6, padding=True)
    rows, tokens = encoding["input_ids"], ["[CLS]", "sun", "##ny", "[SEP]", "[PAD]", "[PAD]"]
    tokenizer.padding_side = tokenizer.truncation_side = "left"
    tokenizer.pad_token = "[MASK]"
    assert encoding.tokens(1) == tokens
    assert [row.ids for row in encoding.encodings] == rows


def test_places_survive_copies_and_tensors(tokenizer):
    tensors = tokenizer(["hello world", "sunny"], padding=True, return_tensors="np")
    for twin in (pickle.loads(pickle.dumps(tensors)), copy.deepcopy(tensors), tensors.to("cpu")):
        assert type(twin) is BatchEncoding
        np.testing.assert_array_equal(twin["input_ids"], tensors["input_ids"])
        assert twin.word_ids(1) == [None, 0, 0, None]


def test_tensors_made_afterwards(tokenizer):
    encoding = tokenizer("hello world", return_length=True)
    assert encoding.data is encoding
    assert encoding.convert_to_tensors() is encoding
    assert encoding["input_ids"] == ids("[CLS] hello world [SEP]")
    assert encoding.convert_to_tensors("np") is encoding
    assert encoding["input_ids"].shape == (4,)
    batch = tokenizer("hello world").convert_to_tensors("np", prepend_batch_axis=True)
    assert batch["input_ids"].tolist() == [ids("[CLS] hello world [SEP]")]


def test_no_places(tokenizer):
    padded = tokenizer.pad([tokenizer("hello"), tokenizer("hello world")])
    assert padded.encodings is None
    assert not padded.is_fast
    assert padded.n_sequences is None
    with pytest.raises(InputError, match="does not know its texts"):
        padded.word_ids()
    with pytest.raises(InputError, match="does not know its texts"):
        padded[0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda encoding: encoding.word_ids(2), "batch index: found 2, the batch has 2 rows"),
        (lambda encoding: encoding[-3], "batch index: found -3, the batch has 2 rows"),
        (lambda encoding: encoding.token_to_chars(4), "token index: found 4, the row has 4 tokens"),
        (lambda encoding: encoding.token_to_word(1, -5), "token index: found -5, the row has 4 tokens"),
        (lambda encoding: encoding.char_to_token(-1), "character index: found -1, expected an integer of at least 0"),
        (lambda encoding: encoding.word_to_tokens(0, 1.5), "word index: found 1.5, expected an integer"),
    ],
)
def test_bad_places(tokenizer, call, message):
    with pytest.raises(InputError, match=message):
        call(tokenizer(["hello world", "hello"], padding=True))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"stride": -1}, "stride: found -1, expected an integer of at least 0"),
        ({"stride": 1.5}, "stride: found 1.5, expected an integer"),
        ({"stride": 3}, "stride: found 3, expected less than 3, the tokens of a part"),
        ({"max_length": 2}, "stride: found 0, expected less than 0, the tokens of a part"),
        ({"max_length": 1}, "max_length: found 1, but 2 special tokens"),
    ],
)
def test_bad_strides(tokenizer, arguments, message):
    arguments = {"truncation": True, "max_length": 5, "return_overflowing_tokens": True, **arguments}
    with pytest.raises(InputError, match=message):
        tokenizer(LONG, **arguments)


def test_each_text_of_a_pair_has_parts_of_its_own_length(tokenizer):
    arguments = {"truncation": True, "max_length": 6, "stride": 2, "return_overflowing_tokens": True}
    with pytest.raises(InputError, match="stride: found 2, expected less than a part has of a text's tokens"):
        tokenizer("hello " * 4, "dog " * 7, **arguments)


def test_a_stride_without_parts_means_nothing(tokenizer):
    assert tokenizer(LONG, truncation=True, max_length=5, stride=4) == tokenizer(LONG, truncation=True, max_length=5)


@pytest.mark.parametrize(
    ("text", "pair", "message"),
    [
        ("hello", None, r"text: found 'hello' \(str\), expected a list of words"),
        (["hello"], "day", r"text_pair 0: found 'day' \(str\), expected a list of words"),
        (["hello", 3], None, r"text 0, word 1: found 3 \(int\), expected a string"),
        ([["hello"], "day"], None, r"text 1: found 'day' \(str\), expected a list of words"),
        ([["a", ["b"]]], None, r"text 0, word 1: found \['b'\] \(list\), expected a string"),
        ([[["a"], "b"]], None, r"text 0: found 'b' \(str\), expected a list of words"),
        ([["a"], ["b"]], [["c"]], "text_pair: found 1, expected 2 lists of words as text has"),
        ([["a"], ["\ud800"]], None, "text 1, word 0: character 0 is a lone surrogate"),
        ([["a"]], [["b", None]], r"text_pair 0, word 1: found None \(NoneType\), expected a string"),
        ({"a": 1}, None, "text: found a mapping"),
    ],
)
def test_bad_words(tokenizer, text, pair, message):
    with pytest.raises(InputError, match=message):
        tokenizer(text, pair, is_split_into_words=True)
