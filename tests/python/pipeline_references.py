"""Folders with tiny models and tokenizers of three kinds, inputs for them, and results of pipelines compared."""

import math
import random
import warnings
from pathlib import Path
from typing import Any

import checkpoints
import numpy as np
import pytest
from test_tokenization_parity import byte_level_folder, unigram_folder
from text_models import ODD_TEXTS, VOCABULARY, official_vocabulary, vocabulary_folder

# Tokenizer -> (what writes it, stem of the model's classes, settings). Longest sequence: 24, 20 and 30 tokens.
KINDS: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "wordpiece": (vocabulary_folder, "Bert", {"vocab_size": len(VOCABULARY), "max_position_embeddings": 24}),
    "byte_level": (
        byte_level_folder,
        "Roberta",
        {"vocab_size": 500, "max_position_embeddings": 22, "pad_token_id": 1, "type_vocab_size": 1},
    ),
    "unigram": (
        unigram_folder,
        "XLMRoberta",
        {"vocab_size": 300, "max_position_embeddings": 32, "pad_token_id": 1, "type_vocab_size": 1},
    ),
}
# As KINDS, with real files; skips where they are not installed.
REAL: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "official": (official_vocabulary, "Bert", {"vocab_size": 30522, "max_position_embeddings": 512}),
}
# Large weights, so that scores are far from one another.
_SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "initializer_range": 0.4,
}


def model_folder(folder: Path, kind: str, head: str, seed: int = 0, **config: Any) -> Path:
    """A tiny model with random weights and its tokenizer, written by transformers.

    head: what the name of its class ends in, such as "ForSequenceClassification".
    """
    transformers = pytest.importorskip("transformers", reason="the reference extra is not installed")
    write_tokenizer, stem, settings = {**KINDS, **REAL}[kind]
    write_tokenizer(folder)
    transformers.set_seed(seed)
    settings = getattr(transformers, f"{stem}Config")(**{**_SIZES, **settings, **config})
    model = getattr(transformers, stem + head)(settings)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):  # which would all be zeros
            parameter.data.normal_(0, 0.2)
    model.save_pretrained(folder)
    return folder


def plain_folder(folder: Path, head: str, labels: Any = ("A", "B", "C"), **config: Any) -> Path:
    """A tiny BERT with its tokenizer, like that of the kind "wordpiece", written without transformers."""
    names = labels if isinstance(labels, dict) else dict(enumerate(labels))
    config = {
        **checkpoints.TINY,
        "architectures": [f"Bert{head}"],
        "id2label": {str(number): label for number, label in names.items()},
        **config,
    }
    weights = checkpoints.tensors(config)
    if head != "Model":
        random = np.random.default_rng(1)
        shapes = {"classifier.weight": (len(labels), config["hidden_size"]), "classifier.bias": (len(labels),)}
        weights = {f"bert.{name}": tensor for name, tensor in weights.items()}
        weights |= {name: random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    if head == "ForTokenClassification":
        weights = {name: tensor for name, tensor in weights.items() if ".pooler." not in name}
    return vocabulary_folder(checkpoints.write_folder(folder, config, weights))


def reference(task: str, folder: Path, **keywords: Any) -> Any:
    """The pipeline of transformers for a folder."""
    transformers = pytest.importorskip("transformers", reason="the reference extra is not installed")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    pytest.importorskip("torch").set_num_threads(1)  # more of them wait for each other on tiny models
    return transformers.pipeline(task, model=str(folder), device="cpu", dtype="float32", **keywords)


def random_texts(count: int, seed: int = 0, longest: int = 30) -> list[str]:
    """Texts with words of the vocabularies, odd characters, odd spaces, and some of any length from none."""
    rng = random.Random(seed)
    words = [*VOCABULARY[5:], *" ".join(ODD_TEXTS).split(), "Paris", "don't", "unbelievable", "ﬁne", "…", "日本"]
    spaces = [" "] * 12 + ["  ", "\t", "\n", "", "\u3000", ", ", "-"]
    texts = []
    for _ in range(count):
        parts = [rng.choice(words) + rng.choice(spaces) for _ in range(rng.randint(0, longest))]
        texts.append(rng.choice(["", " ", "\n"] if rng.random() < 0.1 else [""]) + "".join(parts))
    return texts


def fitting(folder: Path, texts: list[str], longest: int) -> list[str]:
    """Those of the texts that have at most so many tokens."""
    from filbert import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    return [text for text in texts if len(tokenizer(text, verbose=False)["input_ids"]) <= longest]


def quietly(function: Any, *args: Any, **keywords: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args, **keywords)


def assert_alike(ours: Any, theirs: Any, where: str = "", tolerance: float = 1e-5) -> None:
    """The same types, keys in the same order, and values; numbers within the tolerance."""
    assert type(ours) is type(theirs), where
    if isinstance(theirs, dict):
        assert list(ours) == list(theirs), where
        for key in theirs:
            assert_alike(ours[key], theirs[key], f"{where}.{key}", tolerance)
    elif isinstance(theirs, list):
        assert len(ours) == len(theirs), (where, ours, theirs)
        for index, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            assert_alike(a, b, f"{where}[{index}]", tolerance)
    elif isinstance(theirs, float | np.floating):
        assert math.isclose(ours, theirs, rel_tol=0, abs_tol=tolerance), (where, ours, theirs)
    else:
        assert ours == theirs, where
