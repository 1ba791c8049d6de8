"""What is cut off, lists of words, and the places of tokens: the same as transformers' fast tokenizers give."""

import pickle
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from test_tokenization_parity import SOURCES
from text_models import ODD_TEXTS

from filbert import AutoTokenizer, InputError

TEXTS = [text[:120] for text in ODD_TEXTS]
PLAIN = settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module", params=["minilm", "accents", "byte_level", "unigram"])
def both(request, tmp_path_factory):
    """(filbert's tokenizer, transformers') of one folder."""
    transformers = pytest.importorskip("transformers", reason="the reference extra is not installed")
    folder = SOURCES[request.param](tmp_path_factory.mktemp("overflow") / request.param)
    return AutoTokenizer.from_pretrained(folder), transformers.AutoTokenizer.from_pretrained(folder)


def call(tokenizer, *args, **kwargs):
    """The result, or None for an error; a panic of the tokenizers package is one of transformers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return tokenizer(*args, **kwargs)
        except (InputError, TypeError, ValueError):
            return None
        except BaseException as error:
            if type(error) is Exception or type(error).__name__ == "PanicException":
                return None
            raise


def plain(encoding):
    """Columns as lists, with the dtype and shape of those that are arrays; None for an error.

    Rows of different lengths as arrays are one here, and arrays of objects in transformers.
    """
    if encoding is None or any(str(getattr(value, "dtype", "")) == "object" for value in encoding.values()):
        return None
    return {
        name: (value.dtype, value.shape, value.tolist()) if isinstance(value, np.ndarray) else value
        for name, value in encoding.items()
    }


def places(encoding, row):
    """All that an encoding tells of a row."""
    tokens = range(len(encoding.encodings[row].ids))
    words = sorted({word for word in encoding.word_ids(row) if word is not None})
    sequences = sorted({number for number in encoding.sequence_ids(row) if number is not None})
    some = [encoding.token_to_chars(row, index) for index in tokens]
    chars = range(max((span.end for span in some if span is not None), default=0))
    return (
        encoding.tokens(row),
        encoding.word_ids(row),
        encoding.sequence_ids(row),
        [encoding.token_to_sequence(row, index) for index in tokens],
        [encoding.token_to_word(row, index) for index in tokens],
        some,
        [encoding.word_to_tokens(row, word, number) for number in sequences for word in words],
        [encoding.char_to_token(row, index, number) for number in sequences for index in chars],
        [encoding.char_to_word(row, index, number) for number in sequences for index in chars],
        encoding[row].ids,
        encoding[row].offsets,
        encoding[row].attention_mask,
    )


ARGUMENTS = st.fixed_dictionaries(
    {
        "padding": st.sampled_from([False, True, "max_length"]),
        "padding_side": st.sampled_from([None, "left", "right"]),
        "truncation": st.sampled_from([None, False, True, "only_first", "only_second"]),
        "max_length": st.none() | st.integers(5, 24),
        "stride": st.integers(0, 3),
        "add_special_tokens": st.booleans(),
        "return_overflowing_tokens": st.booleans(),
        "return_length": st.booleans(),
        "return_offsets_mapping": st.booleans(),
        "return_special_tokens_mask": st.booleans(),
        "return_tensors": st.sampled_from([None, None, "np"]),
    }
)
TEXT = st.sampled_from(TEXTS)
WORDS = st.lists(st.sampled_from([word for text in TEXTS for word in text.split()]), max_size=12)


def examples(data, one):
    """A text or a batch, with or without seconds."""
    if data.draw(st.booleans()):
        return data.draw(one), data.draw(st.none() | one)
    texts = data.draw(st.lists(one, min_size=1, max_size=4))
    return texts, data.draw(st.none() | st.lists(one, min_size=len(texts), max_size=len(texts)))


def assert_same(both, text, pair, arguments):
    ours, theirs = both
    if not arguments["return_overflowing_tokens"]:
        arguments = {**arguments, "stride": 0}  # which means nothing then, and may be an error of transformers
    limit = arguments["max_length"] or ours.model_max_length
    # Where transformers may panic and may not, or gives rows above max_length, filbert refuses.
    assume(arguments["stride"] < limit - ours.num_special_tokens_to_add(pair is not None))
    found, expected = call(ours, text, pair, **arguments), call(theirs, text, pair, **arguments)
    assert plain(found) == plain(expected)
    if found is None:
        return
    assert list(found) == list(expected)
    assert found.n_sequences == expected.n_sequences
    assert len(found.encodings) == len(expected.encodings)
    for row in range(len(expected.encodings)):
        assert places(found, row) == places(expected, row)


@given(data=st.data(), arguments=ARGUMENTS)
@PLAIN
def test_texts(both, data, arguments):
    assert_same(both, *examples(data, TEXT), arguments)


@given(data=st.data(), arguments=ARGUMENTS)
@PLAIN
def test_lists_of_words(both, data, arguments):
    text, pair = examples(data, WORDS)
    assume(text)  # a batch of none and a text of no words are the same list
    assert_same(both, text, pair, {**arguments, "is_split_into_words": True})


def test_pairs_of_words_as_one_argument(both):
    ours, theirs = both
    for batch in ([(["the", "cat"], ["runs"])], [["a", "b"], (["the"], ["dog", "is"])], [[["a"], []], ["b", "c"]]):
        expected = theirs(batch, is_split_into_words=True)
        assert dict(ours(batch, is_split_into_words=True)) == dict(expected)


def test_strategies_as_enums(both, transformers):
    from transformers.tokenization_utils_base import TruncationStrategy
    from transformers.utils import PaddingStrategy, TensorType

    for padding in PaddingStrategy:
        for truncation in TruncationStrategy:
            if truncation.value == "only_second":
                continue  # which single texts do not have
            arguments = {
                "padding": padding,
                "truncation": truncation,
                "max_length": 8,
                "return_overflowing_tokens": True,
            }
            ours, theirs = (call(tokenizer, TEXTS, **arguments) for tokenizer in both)
            assert ours is not None
            assert plain(ours) == plain(theirs)
    arrays = both[0](TEXTS, padding=True, return_tensors=TensorType.NUMPY)
    assert plain(arrays) == plain(both[1](TEXTS, padding=True, return_tensors="np"))


def test_tensors_of_torch(both, torch):
    ours, theirs = both
    arguments = {"padding": True, "truncation": True, "max_length": 8, "stride": 2, "return_overflowing_tokens": True}
    found, expected = (
        tokenizer(TEXTS, return_tensors="pt", return_length=True, **arguments) for tokenizer in (ours, theirs)
    )
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert found[name].dtype == value.dtype
        assert torch.equal(found[name], value), name


def test_tensors_made_afterwards(both, torch):
    ours, theirs = both
    for batched in (False, True):
        text = TEXTS[2:5] if batched else TEXTS[2]
        found, expected = (
            tokenizer(text, padding=True).convert_to_tensors("pt", prepend_batch_axis=not batched)
            for tokenizer in (ours, theirs)
        )
        assert {name: value.tolist() for name, value in found.items()} == {k: v.tolist() for k, v in expected.items()}


def test_places_outlive_a_pickle(both):
    ours, theirs = both
    found = pickle.loads(pickle.dumps(ours(TEXTS[3:5], padding=True)))
    assert places(found, 1) == places(theirs(TEXTS[3:5], padding=True), 1)
