"""Vectors of last tokens, as causal models make them, beside sentence-transformers."""

import json

import numpy as np
import pytest
import test_sentence
from test_sentence import random_texts
from text_models import SENTENCES, sentence_folder, write_json

from filbert import ConfigError, Qwen3Config, Qwen3Model, SentenceEncoder

reference = test_sentence.reference  # the fixture
TINY = {
    "vocab_size": 40,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 24,
    "initializer_range": 0.3,
}


def causal_folder(folder, **settings):
    """The folder, with a small Qwen3 in the place of its encoder."""
    Qwen3Model(Qwen3Config(**TINY), seed=0).save_pretrained(folder)
    values = json.loads((folder / "config.json").read_text()) | settings
    (folder / "config.json").write_text(json.dumps(values))
    return folder


@pytest.mark.parametrize("settings", [{"pooling_mode": "lasttoken"}, {"pooling_mode_lasttoken": True}])
@pytest.mark.parametrize("normalize", [True, False])
def test_pooling_by_the_last_token(tmp_path, reference, settings, normalize):
    folder = causal_folder(sentence_folder(tmp_path, {"embedding_dimension": 32, **settings}, normalize))
    ours, theirs = SentenceEncoder.from_pretrained(folder), reference(folder)
    texts = [*SENTENCES, *random_texts(20), ""]
    vectors = ours.encode(texts)
    assert vectors == pytest.approx(theirs.encode(texts), abs=1e-5)
    last = ours.model([ours.tokenizer("hello world")["input_ids"]]).last_hidden_state[0, -1]
    expected = last / np.linalg.norm(last) if normalize else last
    assert ours.encode("hello world") == pytest.approx(expected, abs=1e-6)
    assert normalize or ours.encode("hello world").tobytes() == last.tobytes(), "of that row alone, the same bits"
    for text, vector in zip(texts, vectors, strict=True):
        assert ours.encode(text).tobytes() == vector.tobytes()


@pytest.mark.parametrize(
    ("settings", "pooling", "what"),
    [
        ({"architectures": ["Qwen3ForCausalLM"]}, "lasttoken", "those of last tokens"),
        ({"architectures": ["Qwen3ForCausalLM"], "is_causal": False}, "mean", "means of token vectors"),
        ({"architectures": ["Qwen3Model"]}, "mean", "means of token vectors"),
        ({}, "mean", "means of token vectors"),
    ],
)
def test_a_causal_model_without_modules_gives_last_tokens(tmp_path, reference, settings, pooling, what):
    folder = causal_folder(sentence_folder(tmp_path), **settings)
    (folder / "modules.json").unlink()
    with pytest.warns(UserWarning, match=rf"has no modules\.json: its sentence vectors are {what}"):
        encoder = SentenceEncoder.from_pretrained(folder)
    assert f", {pooling} pooling" in repr(encoder)
    assert encoder.encode(SENTENCES) == pytest.approx(reference(folder).encode(SENTENCES), abs=1e-5)


def test_a_longest_text_that_is_named_may_be_longer_than_those_it_learned_from(tmp_path, reference):
    longer = {"max_seq_length": 60, "do_lower_case": False}
    folder = causal_folder(sentence_folder(tmp_path, {"pooling_mode": "lasttoken", "embedding_dimension": 32}))
    texts = ["hello world " * 20, "hello"]
    for transformer in ({}, longer):
        write_json(folder / "sentence_bert_config.json", transformer)
        ours, theirs = SentenceEncoder(folder), reference(folder)
        assert ours.max_seq_length == theirs.max_seq_length == transformer.get("max_seq_length", 24)
        assert ours.encode(texts) == pytest.approx(theirs.encode(texts), abs=1e-5)
    ours.max_seq_length = theirs.max_seq_length = 30
    assert ours.encode(texts) == pytest.approx(theirs.encode(texts), abs=1e-5)


CHAT = "{% for message in messages %}the {{ message.content }} day{% endfor %}"


@pytest.mark.parametrize("place", ["chat_template.jinja", "tokenizer_config.json"])
def test_chats_are_refused_where_sentence_transformers_makes_them(tmp_path, reference, place):
    folder = causal_folder(sentence_folder(tmp_path / "model", {"embedding_dimension": 32}))
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    if place == "tokenizer_config.json":
        write_json(folder / place, settings | {"chat_template": CHAT})
    else:
        (folder / place).write_text(CHAT)
    listed = SentenceEncoder(folder).encode(SENTENCES)
    assert listed == pytest.approx(reference(folder).encode(SENTENCES), abs=1e-5), "a modules.json and no modality"

    (folder / "modules.json").unlink()
    options = {"processor_kwargs": {"chat_template": None}}
    with (
        pytest.warns(UserWarning, match=r"has no modules\.json"),
        pytest.raises(ConfigError, match=r"found a chat template and no modules\.json: sentence-transformers makes"),
    ):
        SentenceEncoder(folder)
    with pytest.warns(UserWarning, match=r"has no modules\.json"):
        vectors = SentenceEncoder(folder, **options).encode(SENTENCES)
    theirs = reference(folder)
    assert vectors == pytest.approx(reference(folder, **options).encode(SENTENCES), abs=1e-5)
    assert vectors != pytest.approx(theirs.encode(SENTENCES), abs=0.1)

    theirs.save_pretrained(str(tmp_path / "saved"))
    with pytest.raises(ConfigError, match=r"sentence_bert_config\.json: modality_config: found 'message'"):
        SentenceEncoder(tmp_path / "saved", **options)
