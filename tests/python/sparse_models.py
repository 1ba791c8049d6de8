"""Folders of small sparse encoders with random weights, and many texts for them. Written by hand, without torch."""

import random
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file
from text_models import ODD_TEXTS, VOCABULARY, vocabulary_folder, write_json

import filbert

SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 24,
    "initializer_range": 0.2,
}
WHITESPACE = " \t\n\r\u00a0\u2003\u3000\u200b"
ALPHABETS = (
    [chr(code) for code in range(0x20, 0x7F)],
    [chr(code) for code in range(0xC0, 0x250)],
    [chr(code) for code in range(0x300, 0x340)] + list("aeiou"),
    [chr(code) for code in range(0x400, 0x460)],
    [chr(code) for code in range(0x4E00, 0x4E40)] + ["北", "京"],
    [chr(code) for code in range(0x1F600, 0x1F640)] + ["\u200d", "\ufe0f"],
)
SPLADE = ("Transformer", "SpladePooling")
PACKAGES = {"Router": "base", "Normalize": "base"}


def generated_texts(count: int, seed: int = 0) -> list[str]:
    """The odd ones, and then words, characters of many scripts, spaces of many kinds, and long texts of these."""
    rng = random.Random(seed)

    def words(most: int) -> str:
        return " ".join(rng.choices(VOCABULARY, k=rng.randint(0, most)))

    def characters(most: int) -> str:
        return "".join(rng.choices(rng.choice(ALPHABETS), k=rng.randint(0, most)))

    def spaces(most: int) -> str:
        return "".join(rng.choices(WHITESPACE, k=rng.randint(0, most)))

    kinds = (words, words, characters, spaces, lambda most: spaces(3) + words(most) + spaces(3) + characters(most))
    drawn = [rng.choice(kinds)(rng.choice((3, 12, 60))) for _ in range(count - len(ODD_TEXTS))]
    return [*ODD_TEXTS, *drawn]


def masked_words_folder(folder: Path, vocabulary: list[str] = VOCABULARY, seed: int = 0, **sizes: Any) -> Path:
    """A BERT for masked words and its tokenizer, without modules.json."""
    vocabulary_folder(folder, vocabulary)
    config = filbert.BertConfig(vocab_size=len(vocabulary), **{**SIZES, **sizes})
    filbert.BertForMaskedLM(config, seed=seed).save_pretrained(folder)
    return folder


def family_folder(folder: Path, name: str) -> Path:
    """A model for masked words of that family, with a tokenizer of its kind."""
    from test_tokenization_parity import byte_level_folder, unigram_folder

    if name == "bert":
        return masked_words_folder(folder)
    if name == "distilbert":
        vocabulary_folder(folder, tokenizer_class="DistilBertTokenizer")
        names = {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48, "max_position_embeddings": 24}
        config = filbert.DistilBertConfig(vocab_size=len(VOCABULARY), initializer_range=0.2, **names)
        filbert.DistilBertForMaskedLM(config, seed=0).save_pretrained(folder)
        return folder
    stem, size = {"roberta": ("Roberta", 500), "xlm-roberta": ("XLMRoberta", 300)}[name]
    (byte_level_folder if stem == "Roberta" else unigram_folder)(folder)
    special = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "type_vocab_size": 1}
    sizes = {**SIZES, "vocab_size": size, "max_position_embeddings": 40}
    model = getattr(filbert, f"{stem}ForMaskedLM")(getattr(filbert, f"{stem}Config")(**sizes, **special), seed=0)
    model.save_pretrained(folder)
    return folder


def write_modules(folder: Path, *modules: tuple[str, str]) -> None:
    """modules.json, of pairs of a kind and a folder."""
    entries = [
        {"idx": index, "name": str(index), "path": path, "type": class_name(kind)}
        for index, (kind, path) in enumerate(modules)
    ]
    write_json(folder / "modules.json", entries)
    write_json(folder / "config_sentence_transformers.json", {"model_type": "SparseEncoder"})


def class_name(kind: str) -> str:
    return f"sentence_transformers.{PACKAGES.get(kind, 'sparse_encoder')}.modules.{kind}"


def splade_folder(
    folder: Path,
    pooling: dict[str, Any] | None = None,
    settings: dict[str, Any] | None = None,
    transformer: dict[str, Any] | None = None,
    normalize: bool = False,
    **sizes: Any,
) -> Path:
    """A tiny SPLADE model."""
    masked_words_folder(folder, **sizes)
    last = [("Normalize", "2_Normalize")] if normalize else []
    write_modules(folder, ("Transformer", ""), ("SpladePooling", "1_SpladePooling"), *last)
    (folder / "2_Normalize").mkdir(exist_ok=True)
    write_json(folder / "1_SpladePooling" / "config.json", pooling or {"pooling_strategy": "max"})
    write_json(folder / "sentence_bert_config.json", {"transformer_task": "fill-mask", **(transformer or {})})
    write_json(folder / "config_sentence_transformers.json", {"model_type": "SparseEncoder", **(settings or {})})
    return folder


def table_weights(rows: int = len(VOCABULARY), seed: int = 0) -> np.ndarray:
    """Weights of tokens, some of them zero and some below."""
    weights = np.random.default_rng(seed).normal(1, 1, rows).astype(np.float32)
    weights[::7] = 0
    return weights


def table_folder(folder: Path, weights: np.ndarray | None = None) -> Path:
    """The files of a SparseStaticEmbedding."""
    vocabulary_folder(folder)
    write_json(folder / "config.json", {"frozen": True})
    save_file({"weight": table_weights() if weights is None else weights}, folder / "model.safetensors")
    return folder


def router_folder(
    folder: Path,
    parameters: dict[str, Any] | None = None,
    weights: np.ndarray | None = None,
    normalize: bool = False,
) -> Path:
    """A table for queries, SPLADE for documents."""
    table_folder(folder / "query_0_SparseStaticEmbedding", weights)
    splade_folder(folder / "document_0_Transformer")
    write_modules(folder, ("Router", ""), *([("Normalize", "1_Normalize")] if normalize else []))
    (folder / "1_Normalize").mkdir(exist_ok=True)
    write_json(folder / "document_1_SpladePooling" / "config.json", {"activation_function": "log1p_relu"})
    kinds = {"query": ["SparseStaticEmbedding"], "document": list(SPLADE)}
    structure = {name: [f"{name}_{index}_{kind}" for index, kind in enumerate(own)] for name, own in kinds.items()}
    types = {module: class_name(module.split("_")[-1]) for own in structure.values() for module in own}
    parameters = {"default_route": "document"} if parameters is None else parameters
    write_json(folder / "router_config.json", {"types": types, "structure": structure, "parameters": parameters})
    return folder
