"""Folders with models of late interaction in every format, and texts for them."""

import json
import random
import string
from pathlib import Path
from typing import Any

import checkpoints
import numpy as np
from safetensors.numpy import save_file
from text_models import ODD_TEXTS, vocabulary_folder, write_json

import filbert

WIDTH = 16  # of the vectors
LETTERS = string.ascii_lowercase + string.digits
# No word twice: of two the tokenizer takes the last.
VOCABULARY = [
    *"[PAD] [unused0] [unused1] [UNK] [CLS] [SEP] [MASK] the cat dog sun hello world query word long".split(),  # noqa: SIM905
    *string.punctuation,
    *LETTERS,
    *(f"##{letter}" for letter in LETTERS),
    *("é", "ß", "ж", "北", "京", "##ж", "##é", "👩"),
]
CONFIG = {**checkpoints.TINY, "vocab_size": len(VOCABULARY), "max_position_embeddings": 64}

_ALPHABETS = (
    LETTERS + " " * 8,
    LETTERS + string.punctuation + "   ",
    string.punctuation + " ",
    " \t\n\r\u00a0\u2003\u3000\u200b",
    "жé北京ß👩\u200d🏳️ ابجد 한국어 ไทย e\u0301 \U0010ffff\ue000\x00\x7f",
)


def random_texts(count: int, seed: int = 0) -> list[str]:
    """Texts of every kind and length: words, punctuation, spaces, other scripts, none at all."""
    rng = random.Random(seed)
    texts = [*ODD_TEXTS, "", "\u2028", "word " * 200, "." * 150, "[unused0] [MASK] [Q] [D] [unused1]"]
    while len(texts) < count:
        words = " ".join(rng.choices(VOCABULARY[7:17], k=rng.randint(0, 30)))
        letters = "".join(rng.choices(rng.choice(_ALPHABETS), k=rng.choice([0, 1, 3, 10, 40, 90])))
        texts.append(rng.choice([words, letters, f"{words}{letters}", f"{letters}. {words}!"]))
    return texts


def projection(seed: int = 7, width: int = WIDTH, hidden: int = 32) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal((width, hidden)) * 0.3).astype(np.float32)


def encoder_folder(folder: Path, extra: dict[str, np.ndarray] | None = None, **config: Any) -> Path:
    """config.json, model.safetensors and the tokenizer."""
    config = CONFIG | config
    checkpoints.write_folder(folder, config, checkpoints.tensors(config) | (extra or {}))
    return vocabulary_folder(folder, VOCABULARY, model_max_length=60)


def other_encoder(folder: Path, family: str, config: dict[str, Any]) -> None:
    """Puts a small model of a family, as filbert saves it, in the place of the encoder."""
    sizes = {"vocab_size": len(VOCABULARY), "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    usual = {"max_position_embeddings": 80, "pad_token_id": 0, "initializer_range": 0.2}
    config = getattr(filbert, f"{family}Config")(**sizes, **usual, **config)
    for name in ("config.json", "model.safetensors"):
        (folder / name).unlink()
    getattr(filbert, f"{family}Model")(config, seed=0).save_pretrained(folder)
    filbert.AutoTokenizer.from_pretrained(folder).save_pretrained(folder)  # as tokenizer.json


def write_dense(folder: Path, tensors: dict[str, np.ndarray] | None = None, **config: Any) -> None:
    tensors = {"linear.weight": projection()} if tensors is None else tensors
    width, hidden = tensors["linear.weight"].shape
    usual = {"in_features": hidden, "out_features": width, "bias": "linear.bias" in tensors}
    write_json(folder / "config.json", usual | {"activation_function": "torch.nn.modules.linear.Identity"} | config)
    save_file(tensors, folder / "model.safetensors")


def write_modules(folder: Path, modules: list[tuple[str, str]]) -> None:
    """modules: the folder and the class of each."""
    entries = [
        {"idx": index, "name": str(index), "path": path, "type": kind} for index, (path, kind) in enumerate(modules)
    ]
    write_json(folder / "modules.json", entries)


def own_folder(
    folder: Path,
    transformer: dict[str, Any] | None = None,
    mask: dict[str, Any] | None = None,
    settings: dict[str, Any] | None = None,
    modules: tuple[str, ...] = ("Dense", "MultiVectorMask", "Normalize"),
) -> Path:
    """A model as sentence-transformers 6 saves it. transformer: settings of the Transformer module."""
    encoder_folder(folder)
    places = {
        "Transformer": "sentence_transformers.base.modules.transformer.Transformer",
        "Dense": "sentence_transformers.base.modules.dense.Dense",
        "MultiVectorMask": "sentence_transformers.multi_vector_encoder.modules.multi_vector_mask.MultiVectorMask",
        "Normalize": "sentence_transformers.base.modules.normalize.Normalize",
    }
    listed = [(f"{number}_{kind}", places[kind]) for number, kind in enumerate(modules, 1)]
    write_modules(folder, [("", places["Transformer"]), *listed])
    names = {"module_input_name": "token_embeddings", "module_output_name": "token_embeddings"}
    for number, kind in enumerate(modules, 1):
        path = folder / f"{number}_{kind}"
        if kind == "Dense":
            write_dense(path, **names)
        else:
            write_json(path / "config.json", names if kind == "Normalize" else mask or {})
    write_json(
        folder / "sentence_bert_config.json", {"max_seq_length": 50, "do_lower_case": False} | (transformer or {})
    )
    write_json(
        folder / "config_sentence_transformers.json",
        {"model_type": "MultiVectorEncoder", "prompts": {"query": "", "document": ""}} | (settings or {}),
    )
    return folder


def pylate_folder(folder: Path, settings: dict[str, Any] | None = None, markers: bool = True) -> Path:
    """A model as PyLate saves it. markers: whether the tokenizer has its prefixes as tokens."""
    config = {"vocab_size": len(VOCABULARY) + 2}
    encoder_folder(folder, **config)
    if markers:
        start = len(VOCABULARY)
        added = {
            str(start + number): {"content": text, "lstrip": False, "normalized": True, "rstrip": False}
            | {"single_word": False, "special": False}
            for number, text in enumerate(("[Q] ", "[D] "))
        }
        tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
        write_json(folder / "tokenizer_config.json", tokenizer | {"added_tokens_decoder": added})
    write_modules(folder, [("", "sentence_transformers.models.Transformer"), ("1_Dense", "pylate.models.Dense.Dense")])
    write_dense(folder / "1_Dense", use_residual=False)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 47, "do_lower_case": False})
    usual = {
        "prompts": {},
        "default_prompt_name": None,
        "similarity_fn_name": "MaxSim",
        "query_prefix": "[Q] ",
        "document_prefix": "[D] ",
        "query_length": 24,
        "document_length": 48,
        "attend_to_expansion_tokens": True,
        "skiplist_words": list(string.punctuation),
    }
    usual |= settings or {}
    write_json(
        folder / "config_sentence_transformers.json", {key: value for key, value in usual.items() if value is not ...}
    )
    return folder


def stanford_folder(folder: Path, metadata: dict[str, Any] | None = None) -> Path:
    """A model as Stanford's ColBERT saves it; of BERT, with its prefix."""
    weights = {f"bert.{name}": tensor for name, tensor in checkpoints.tensors(CONFIG).items()}
    checkpoints.write_folder(
        folder, CONFIG | {"architectures": ["HF_ColBERT"]}, weights | {"linear.weight": projection()}
    )
    vocabulary_folder(folder, VOCABULARY, model_max_length=60)
    usual = {
        "query_token_id": "[unused0]",
        "doc_token_id": "[unused1]",
        "query_maxlen": 24,
        "doc_maxlen": 48,
        "attend_to_mask_tokens": True,
        "mask_punctuation": True,
        "dim": WIDTH,
        "similarity": "cosine",
    }
    write_json(folder / "artifact.metadata", usual | (metadata or {}))
    return folder


FORMATS = {"own": own_folder, "pylate": pylate_folder, "stanford": stanford_folder}
