"""What is a list of texts and what only happens to be iterable; integers of other libraries."""

import collections
import enum
import types

import numpy as np
import pytest
from text_models import sentence_folder

from filbert import AutoTokenizer, BertConfig, BertModel, InputError, SentenceEncoder
from filbert.sentence.forwards import forwards

CAT = ["a cat", "a dog"]


class Colour(str, enum.Enum):
    CAT = "a cat"
    DOG = "a dog"


class Table:
    """As DataFrames of pandas and polars are: iterates over the names of its columns."""

    columns = ("title", "body")

    def __iter__(self):
        return iter(self.columns)

    def __len__(self):
        return 2


class Series:
    """Iterates over its values, and is indexed by labels."""

    def __init__(self, values):
        self._values = values

    def __iter__(self):
        return iter(self._values)

    def __len__(self):
        return len(self._values)

    def __getitem__(self, label):
        raise KeyError(label)


class Arrow:
    """As arrays of pyarrow are: items are scalars of their own."""

    def __iter__(self):
        return iter([object(), object()])

    def to_pylist(self):
        return list(CAT)


class Indexed:
    """A sequence of the old kind: a length and items by number."""

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return CAT[index]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return SentenceEncoder.from_pretrained(sentence_folder(tmp_path_factory.mktemp("texts") / "model"))


LISTS = {
    "tuple": lambda: tuple(CAT),
    "deque": lambda: collections.deque(CAT),
    "UserList": lambda: collections.UserList(CAT),
    "generator": lambda: (text for text in CAT),
    "map": lambda: map(str, CAT),
    "values of a dict": lambda: {1: CAT[0], 2: CAT[1]}.values(),
    "keys of a dict, asked for": lambda: dict.fromkeys(CAT).keys(),
    "array of str": lambda: np.array(CAT),
    "array of objects": lambda: np.array(CAT, object),
    "strings of NumPy": lambda: [np.str_(text) for text in CAT],
    "an enumeration of str": lambda: list(Colour),
    "Series": lambda: Series(CAT),
    "Arrow": Arrow,
    "old sequence": Indexed,
}


@pytest.mark.parametrize("name", LISTS)
def test_lists_of_texts(encoder, name):
    expected = encoder.encode(CAT)
    assert encoder.encode(LISTS[name]()).tobytes() == expected.tobytes()
    assert encoder.tokenizer(LISTS[name]())["input_ids"] == encoder.tokenizer(CAT)["input_ids"]
    pairs = encoder.tokenizer(CAT, LISTS[name]())["input_ids"]
    assert pairs == encoder.tokenizer(list(zip(CAT, CAT, strict=True)))["input_ids"]


NOT_TEXTS = {
    "None": (None, "found None"),
    "a number": (3.5, "found 3.5"),
    "NaN": (float("nan"), "found nan"),
    "bytes": (b"a cat", r"found b'a cat' \(bytes\)"),
    "bytearray": (bytearray(b"a cat"), "bytearray"),
    "memoryview": (memoryview(b"a cat"), "memoryview"),
    "dict": ({"a cat": 1}, r"a mapping \(dict\)"),
    "Counter": (collections.Counter(CAT), r"a mapping \(Counter\)"),
    "a view of a dict": (types.MappingProxyType({"a cat": 1}), r"a mapping \(mappingproxy\)"),
    "set": ({"a cat"}, "a set, which has no order"),
    "frozenset": (frozenset(CAT), "a frozenset, which has no order"),
    "a table": (Table(), r"a table \(Table\)"),
    "a class": (Colour, "Colour"),
    "an array of no dimension": (np.array("a cat"), "an array of 0 dimensions"),
    "an array of two dimensions": (np.array([CAT]), "an array of 2 dimensions"),
    "an object": (object(), "object"),
}


@pytest.mark.parametrize("name", NOT_TEXTS)
def test_what_only_happens_to_be_iterable_is_refused(encoder, name):
    value, message = NOT_TEXTS[name]
    with pytest.raises(InputError, match=f"text: .*{message}.*expected a string or a list of strings"):
        encoder.encode(value)
    with pytest.raises(InputError, match=f"text: .*{message}"):
        encoder.tokenizer(value)
    if value is not None:
        with pytest.raises(InputError, match=f"text_pair: .*{message}"):
            encoder.tokenizer(CAT, value)


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (None, r"None \(NoneType\)"),
        (float("nan"), r"nan \(float\)"),
        (np.float64("nan"), "float64"),
        (b"x", r"b'x' \(bytes\)"),
        (np.bytes_(b"x"), "bytes_"),
        (["a cat"], r"\['a cat'\] \(list\)"),
        ({"text": "x"}, r"\(dict\)"),
        (7, r"7 \(int\)"),
        ("\udc80", "character 0 is a lone surrogate"),
    ],
)
def test_items_that_are_no_texts_are_named(encoder, item, message):
    for texts in (["a", "b", item], iter(["a", "b", item]), np.array(["a", "b", item, "c"], object)):
        with pytest.raises(InputError, match=f"text 2: .*{message}"):
            encoder.encode(texts)


def test_errors_of_a_generator_are_its_own(encoder):
    def texts():
        yield "a cat"
        raise RuntimeError("the file is gone")

    with pytest.raises(RuntimeError, match="the file is gone"):
        encoder.encode(texts())


def test_a_token_beyond_the_model_is_named_by_its_text(tmp_path):
    folder = sentence_folder(tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(folder, additional_special_tokens=["<e1>"])
    tokenizer.save_pretrained(folder)
    encoder = SentenceEncoder.from_pretrained(folder)
    texts = ["word " * (index % 20) for index in range(300)]
    texts[217] = "a <e1>"
    with pytest.raises(InputError, match=r"text 217: token '<e1>' has id 40, .* ids from 0 to 39"):
        encoder.encode(texts, batch_size=7)
    assert encoder.encode(texts[:217]).shape == (217, 32)


def test_the_longest_pairs_come_first():
    asked = []

    def tokenize(numbers):
        asked.extend(numbers)
        return ["token"] * len(numbers)

    assert len(list(forwards([("a", "b"), ("a", "b c d"), "b c", ("a b", "b")], tokenize))) == 1
    assert asked == [1, 3, 2, 0]


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8])
def test_integers_of_numpy(encoder, kind):
    assert encoder.encode(CAT, batch_size=kind(1), truncate_dim=kind(8)).shape == (2, 8)
    ids = encoder.tokenizer("a cat runs", max_length=kind(4), truncation=True)["input_ids"]
    assert len(ids) == 4
    assert encoder.tokenizer.decode(kind(5)) == encoder.tokenizer.decode(5)
    assert encoder.tokenizer.convert_ids_to_tokens(kind(5)) == encoder.tokenizer.convert_ids_to_tokens(5)
    assert len(encoder.tokenizer("a", padding=True, pad_to_multiple_of=kind(8))["input_ids"]) == 8
    encoder.max_seq_length = kind(9)
    assert encoder.max_seq_length == 9
    assert BertConfig(num_labels=kind(3)).num_labels == 3
    assert BertModel(BertConfig(num_hidden_layers=1), num_threads=kind(1)).dtype == "float32"


@pytest.mark.parametrize("value", [True, np.True_, 2.0, "2", 0, -1, [2]])
def test_what_is_no_count_is_refused(encoder, value):
    with pytest.raises(InputError, match=r"batch_size: found .*expected an integer above 0"):
        encoder.encode(CAT, batch_size=value)
    with pytest.raises(InputError, match=r"max_length: found .*expected an integer above 0"):
        encoder.tokenizer("a", max_length=value)
