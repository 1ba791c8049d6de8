"""Models of the kind of sentence-t5, gtr-t5 and INSTRUCTOR, beside sentence-transformers."""

import itertools
import json
import warnings

import numpy as np
import pytest
from test_sentence_modules import append, dense, reference  # noqa: F401 (a fixture)
from test_tokenization_parity import pieces_of
from text_models import ODD_TEXTS, SENTENCES, write_json

import filbert
from filbert import AutoTokenizer, ConfigError, SentenceEncoder

WIDTH = 24
IDENTITY = "torch.nn.modules.linear.Identity"
INSTRUCTION = "Represent the sentence for clustering: "
TEXTS = [*ODD_TEXTS, *SENTENCES]


def t5_folder(folder, stem="T5", pooling=None, **config):
    """Transformer, Pooling, Dense without a bias, Normalize; with T5's own tokenizer."""
    transformers = pytest.importorskip("transformers", reason="the reference extra is not installed")
    words = dict.fromkeys(f"▁{word}" for text in TEXTS if "[" not in text for word in text.split())
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    vocabulary = [*special, *pieces_of(words, 290)]
    tokenizer = transformers.T5Tokenizer(vocab=vocabulary, extra_ids=7, model_max_length=30)
    tokenizer.save_pretrained(folder)
    sizes = {"vocab_size": 310, "d_model": WIDTH, "d_kv": 10, "d_ff": 30, "num_layers": 2, "num_heads": 3}
    settings = getattr(filbert, f"{stem}Config")(**sizes, **config)
    getattr(filbert, f"{stem}EncoderModel")(settings, seed=0).save_pretrained(folder)
    pooling = pooling or {"word_embedding_dimension": WIDTH, "pooling_mode_mean_tokens": True}
    write_json(folder / "1_Pooling" / "config.json", pooling)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 25, "do_lower_case": False})
    kinds = (("", "Transformer"), ("1_Pooling", "Pooling"))
    modules = [
        {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for index, (path, kind) in enumerate(kinds)
    ]
    write_json(folder / "modules.json", modules)
    return append(folder, dense(WIDTH, 20, IDENTITY, bias=False), ("Normalize", {}))


def same(ours, theirs, **arguments):
    """Vectors of length 1; torch's own float32 error is some 1e-7."""
    expected = theirs.encode(TEXTS, **arguments)
    np.testing.assert_allclose(ours.encode(TEXTS, **arguments), expected, atol=2e-6)


def test_tokens_are_those_of_transformers(transformers, tmp_path):
    t5_folder(tmp_path)
    ours, theirs = AutoTokenizer.from_pretrained(tmp_path), transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert type(theirs).__name__ == "T5Tokenizer"
    found, expected = ours(TEXTS, truncation=True), theirs(TEXTS, truncation=True)
    assert found["input_ids"] == expected["input_ids"]
    assert {ids[-1] for ids in found["input_ids"]} == {1}  # </s>
    assert list(found) == list(expected) == ["input_ids", "attention_mask"]
    assert ours(SENTENCES[:2], SENTENCES[1:])["input_ids"] == theirs(SENTENCES[:2], SENTENCES[1:])["input_ids"]


def test_the_class_says_what_is_around_the_pieces(transformers, tmp_path):
    """Whatever tokenizer.json says."""
    t5_folder(tmp_path)
    state = json.loads((tmp_path / "tokenizer.json").read_text())
    for step in state["pre_tokenizer"]["pretokenizers"]:
        if step["type"] == "Metaspace":
            step["prepend_scheme"] = "first"
    write_json(tmp_path / "tokenizer.json", {**state, "post_processor": None})
    texts = [*TEXTS, *(f"{a}<extra_id_0>{b}" for a, b in itertools.pairwise(SENTENCES))]
    for settings in ({}, {"add_eos_token": False}, {"add_bos_token": True}):
        ours, theirs = (
            library.AutoTokenizer.from_pretrained(tmp_path, **settings) for library in (filbert, transformers)
        )
        assert ours(texts, truncation=True)["input_ids"] == theirs(texts, truncation=True)["input_ids"]


@pytest.mark.parametrize(
    ("stem", "config"), [("T5", {}), ("T5", {"feed_forward_proj": "gated-gelu"}), ("MT5", {}), ("UMT5", {})]
)
def test_both_ways(tmp_path, reference, stem, config):  # noqa: F811
    folder = t5_folder(tmp_path / "model", stem, **config)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours = SentenceEncoder(folder)
    theirs = reference(folder)
    assert type(ours.model).__name__ == type(theirs[0].auto_model).__name__ == f"{stem}EncoderModel"
    assert ours.max_seq_length == theirs.max_seq_length == 25
    same(ours, theirs)
    theirs.save(str(tmp_path / "theirs"))
    again = SentenceEncoder(tmp_path / "theirs")
    assert again.encode(TEXTS).tobytes() == ours.encode(TEXTS).tobytes()
    ours.save_pretrained(tmp_path / "ours")
    same(ours, reference(tmp_path / "ours"))
    alone = [ours.encode(text) for text in TEXTS]
    assert np.stack(alone).tobytes() == ours.encode(TEXTS).tobytes()


def test_an_instruction_that_the_vector_leaves_out(tmp_path, reference):  # noqa: F811
    folder = t5_folder(tmp_path / "model")
    ours, theirs = SentenceEncoder(folder), reference(folder)
    with_it = ours.encode(TEXTS, prompt=INSTRUCTION)
    for encoder in (ours, theirs):
        encoder.set_pooling_include_prompt(False)
    same(ours, theirs, prompt=INSTRUCTION)
    assert np.abs(ours.encode(TEXTS, prompt=INSTRUCTION) - with_it).max() > 0.01
    ours.save_pretrained(tmp_path / "saved")
    same(SentenceEncoder(tmp_path / "saved"), theirs, prompt=INSTRUCTION)


def of_instructors_package(folder):
    """modules.json as the package InstructorEmbedding writes it."""
    modules = json.loads((folder / "modules.json").read_text())
    for module, name in zip(modules, ("Transformer", "Pooling"), strict=False):
        module["type"] = f"InstructorEmbedding.instructor.INSTRUCTOR_{name}"
    write_json(folder / "modules.json", modules)


def test_modules_of_instructors_own_package(tmp_path, reference):  # noqa: F811
    folder = t5_folder(tmp_path / "model")
    theirs = reference(folder)
    theirs.set_pooling_include_prompt(False)
    of_instructors_package(folder)
    ours = SentenceEncoder(folder)
    same(ours, theirs, prompt=INSTRUCTION)
    ours.save_pretrained(tmp_path / "saved")  # which needs that package no more
    same(ours, reference(tmp_path / "saved"), prompt=INSTRUCTION)


def test_other_modules_of_that_package_are_refused(tmp_path):
    folder = t5_folder(tmp_path / "model")
    modules = json.loads((folder / "modules.json").read_text())
    for wrong in ("InstructorEmbedding.instructor.INSTRUCTOR", "other.INSTRUCTOR_Pooling"):
        modules[1]["type"] = wrong
        write_json(folder / "modules.json", modules)
        with pytest.raises(ConfigError, match=f"found module '{wrong}', supported: Transformer, Pooling"):
            SentenceEncoder(folder)
