"""The same ids, masks, types and offsets as transformers' fast tokenizers."""

import itertools
import math
import warnings
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from text_models import ODD_TEXTS, minilm_folder, official_vocabulary, vocabulary_folder

from filbert import AutoTokenizer, InputError

EVERYTHING = {"return_special_tokens_mask": True, "return_offsets_mapping": True}


def byte_level_folder(folder):
    """A small RoBERTa-like tokenizer: byte-level BPE, <s> a </s></s> b </s>, padded on the left."""
    from tokenizers import Tokenizer, decoders, pre_tokenizers, processors, trainers
    from tokenizers.models import BPE
    from transformers import PreTrainedTokenizerFast

    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    backend = Tokenizer(BPE(unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    backend.train_from_iterator(ODD_TEXTS, trainer)
    backend.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    roles = dict(zip(("cls_token", "pad_token", "sep_token", "unk_token", "mask_token"), special, strict=True))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_max_length=20,
        padding_side="left",
        truncation_side="left",
        model_input_names=["input_ids", "attention_mask"],
        **roles,
    )
    tokenizer.save_pretrained(folder)
    return folder


def pieces_of(words, count):
    """Unigram pieces with their log probabilities: every character, then the parts that most words have.

    A trainer's differ from run to run.
    """

    def parts_of(word):
        ends = [(begin, end) for begin in range(len(word)) for end in range(begin + 1, min(begin + 8, len(word)) + 1)]
        return dict.fromkeys(word[begin:end] for begin, end in ends)

    words_with = Counter(part for word in words for part in parts_of(word))
    pieces = sorted(words_with, key=lambda part: (len(part) > 1, -words_with[part]))[:count]
    return [(piece, math.log(words_with[piece] / words_with.total())) for piece in pieces]


def unigram_folder(folder):
    """A small XLM-R-like tokenizer: unigram pieces with metaspace."""
    from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors
    from tokenizers.models import Unigram
    from transformers import PreTrainedTokenizerFast

    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    normalizer, pre_tokenizer = normalizers.NFKC(), pre_tokenizers.Metaspace()
    words = dict.fromkeys(  # once each
        word for text in ODD_TEXTS for word, _ in pre_tokenizer.pre_tokenize_str(normalizer.normalize_str(text))
    )
    backend = Tokenizer(Unigram([*((each, 0.0) for each in special), *pieces_of(words, 295)], unk_id=3))
    backend.normalizer, backend.pre_tokenizer = normalizer, pre_tokenizer
    backend.decoder = decoders.Metaspace()
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    roles = dict(zip(("cls_token", "pad_token", "sep_token", "unk_token", "mask_token"), special, strict=True))
    PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=30, **roles).save_pretrained(folder)
    return folder


SOURCES = {
    "minilm": lambda folder: minilm_folder(),
    "official": official_vocabulary,
    "cased": lambda folder: vocabulary_folder(folder, do_lower_case=False),
    "accents": lambda folder: vocabulary_folder(folder, strip_accents=False),
    "plain_chinese": lambda folder: vocabulary_folder(folder, tokenize_chinese_chars=False, padding_side="left"),
    "distilbert": lambda folder: vocabulary_folder(folder, tokenizer_class="DistilBertTokenizer"),
    "byte_level": byte_level_folder,
    "unigram": unigram_folder,
}


@pytest.fixture(scope="module", params=SOURCES)
def both(request, tmp_path_factory):
    """(filbert's tokenizer, transformers') of one folder."""
    transformers = pytest.importorskip("transformers", reason="the reference extra is not installed")
    folder = SOURCES[request.param](tmp_path_factory.mktemp("parity") / request.param)
    return AutoTokenizer.from_pretrained(folder), transformers.AutoTokenizer.from_pretrained(folder)


def call(tokenizer, *args, **kwargs):
    """The result as plain lists, or None for an error that the two libraries word differently."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return dict(tokenizer(*args, **kwargs))
        except (InputError, TypeError, ValueError):
            return None
        except Exception as error:
            if type(error) is Exception:  # of the Rust library, through transformers
                return None
            raise


def assert_same(both, *args, **kwargs):
    ours, theirs = (call(tokenizer, *args, **kwargs) for tokenizer in both)
    assert ours == theirs, (args, kwargs)


def test_offsets_of_very_long_texts(both):
    long = "the cat runs, " * 1000
    assert_same(both, long, truncation=True, max_length=9, **EVERYTHING)
    assert_same(both, "hello", long, truncation="only_second", max_length=9, **EVERYTHING)


@pytest.mark.parametrize("special", [True, False])
@pytest.mark.parametrize("max_length", [None, 4, 13])
@pytest.mark.parametrize("truncation", [None, False, True, "only_first", "only_second"])
@pytest.mark.parametrize("padding", [False, True, "max_length"])
def test_every_combination_of_arguments(both, padding, truncation, max_length, special):
    arguments = {
        "padding": padding,
        "truncation": truncation,
        "max_length": max_length,
        "add_special_tokens": special,
        **EVERYTHING,
    }
    assert_same(both, ODD_TEXTS, **arguments)
    assert_same(both, ODD_TEXTS, ODD_TEXTS[::-1], **arguments)
    for text, pair in itertools.product(ODD_TEXTS[:5], (None, "", ODD_TEXTS[4])):
        assert_same(both, text, pair, **arguments)


def test_attributes(both):
    ours, theirs = both
    names = ("vocab_size", "model_max_length", "padding_side", "truncation_side", "special_tokens_map")
    for name in names:
        assert getattr(ours, name) == getattr(theirs, name), name
    for role in ("pad", "cls", "sep", "unk", "mask", "bos", "eos"):
        assert getattr(ours, f"{role}_token") == getattr(theirs, f"{role}_token")
        assert getattr(ours, f"{role}_token_id") == getattr(theirs, f"{role}_token_id")
    assert len(ours) == len(theirs)
    assert ours.get_vocab() == theirs.get_vocab()
    assert set(ours.model_input_names) == set(theirs.model_input_names)
    assert set(ours.all_special_ids) == set(theirs.all_special_ids)
    assert ours.num_special_tokens_to_add(True) == theirs.num_special_tokens_to_add(True)


def test_decoding(both):
    ours, theirs = both
    for text in ODD_TEXTS:
        ids = call(theirs, text)["input_ids"]
        for skip, clean in itertools.product((True, False), (None, True, False)):
            arguments = {"skip_special_tokens": skip, "clean_up_tokenization_spaces": clean}
            assert ours.decode(ids, **arguments) == theirs.decode(ids, **arguments)
        assert ours.tokenize(text) == theirs.tokenize(text)
        tokens = theirs.convert_ids_to_tokens(ids)
        assert ours.convert_ids_to_tokens(ids) == tokens
        assert ours.convert_tokens_to_ids(tokens) == theirs.convert_tokens_to_ids(tokens)
        assert ours.convert_tokens_to_string(tokens) == theirs.convert_tokens_to_string(tokens)


def test_padding_afterwards(both):
    ours, theirs = both
    encodings = [dict(call(theirs, text)) for text in ODD_TEXTS[:6]]
    for arguments in ({}, {"padding": "max_length", "max_length": 30}, {"pad_to_multiple_of": 8}):
        expected = theirs.pad(encodings, **arguments)
        assert dict(ours.pad(encodings, **arguments)) == dict(expected)


def test_tensors(both):
    ours, theirs = both
    expected = theirs(ODD_TEXTS[2:5], padding=True, return_tensors="pt")
    actual = ours(ODD_TEXTS[2:5], padding=True, return_tensors="pt")
    assert {key: value.tolist() for key, value in actual.items()} == {k: v.tolist() for k, v in expected.items()}
    assert all(value.dtype == expected[key].dtype for key, value in actual.items())


def test_transformers_loads_what_filbert_saved(both, tmp_path):
    import transformers

    ours, theirs = both
    ours.save_pretrained(tmp_path)
    again = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for text in ODD_TEXTS:
        assert call(again, text) == call(theirs, text)
    assert again.model_max_length == theirs.model_max_length
    assert again.special_tokens_map == theirs.special_tokens_map


@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text(both, data):
    alphabet = st.one_of(
        st.characters(exclude_categories=("Cs",)), st.sampled_from(list("aeé'.,! #[]MASK北\u0301\u200d"))
    )
    text = st.one_of(st.text(alphabet, max_size=60), st.sampled_from(ODD_TEXTS))
    texts = data.draw(st.lists(text, min_size=1, max_size=4))
    pairs = data.draw(st.none() | st.lists(text, min_size=len(texts), max_size=len(texts)))
    truncation = data.draw(st.sampled_from([None, True, "only_first", "only_second"]))
    max_length = data.draw(st.integers(4, 30))
    padding = data.draw(st.sampled_from([False, True, "max_length"]))
    assert_same(both, texts, pairs, padding=padding, truncation=truncation, max_length=max_length, **EVERYTHING)
