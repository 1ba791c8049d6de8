"""Small models with tokenizers and heads for the pipelines, written without filbert, torch or transformers."""

from pathlib import Path
from typing import Any

import checkpoints
import numpy as np
from text_models import VOCABULARY, vocabulary_folder, write_json
from tokenizers import Tokenizer, decoders, pre_tokenizers, processors
from tokenizers.models import BPE

# Texts are made of these: what tokenizers take and change in ways of their own.
WORDS = (  # noqa: SIM905
    "the a cat dog run runs Running sun sunny day is it's . , ! ? hello Hello world we 北京 北 café Café CAFÉ "
    "cafe\u0301 un-believable unbelievable word longer 1 2 12 (3) xyz qu zebra Zebra ZEBRA ﬁne 東京 한국어 🏳️‍🌈 👩‍👩‍👧 "
    "\u200b \x07 e\u0301\u0302 ß İ [SEP] </s> — … U.S. don't $12.50 http://a.b/c?d=e"
).split(" ")
SPACES = [" "] * 12 + ["  ", "\n", "\t ", "", "\u3000", "\xa0"]
LIMIT = 60

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
_MERGED = ["Ġthe", "Ġcat", "Ġrun", "ning", "Ġis", "hello", "Ġwor", "ld", "Ġsun", "ny", "Ġun", "believ", "able"]
_CLASSES = {"bert": "Bert", "roberta": "Roberta"}


def write_model(folder: Path, family: str, head: str, limit: int = LIMIT, **tokenizer: Any) -> Path:
    """A folder with a model of random weights and its tokenizer.

    family: "bert", with word pieces, or "roberta", with byte pairs. head: "ForQuestionAnswering" or "ForMaskedLM".
    limit: tokens that the tokenizer lets through; the model takes four more. tokenizer: further keys of its
    tokenizer_config.json.
    """
    write_tokenizer = word_pieces if family == "bert" else byte_pairs
    config = {
        **checkpoints.TINY,
        "model_type": family,
        "architectures": [_CLASSES[family] + head],
        "vocab_size": write_tokenizer(folder, model_max_length=limit, **tokenizer),
        "max_position_embeddings": limit + 4,
    }
    if family == "roberta":
        config |= {"pad_token_id": 1, "type_vocab_size": 1, "max_position_embeddings": limit + 6}
    body = checkpoints.tensors(config, pooler=False, seed=7)
    # So that the best is much better than the rest.
    weights = {f"{family}.{name}": value if "LayerNorm" in name else value * 1.5 for name, value in body.items()}
    return checkpoints.write_folder(folder, config, {**weights, **_head(family, head, config)})


def _head(family: str, head: str, config: dict[str, Any]) -> dict[str, np.ndarray]:
    hidden = config["hidden_size"]
    if head == "ForQuestionAnswering":
        shapes = {"qa_outputs.weight": (2, hidden), "qa_outputs.bias": (2,)}
    else:
        dense, norm, bias = {
            "bert": ("cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm", "cls.predictions.bias"),
            "roberta": ("lm_head.dense", "lm_head.layer_norm", "lm_head.bias"),
        }[family]
        shapes = {f"{dense}.weight": (hidden, hidden), f"{dense}.bias": (hidden,), f"{norm}.weight": (hidden,)}
        shapes |= {f"{norm}.bias": (hidden,), bias: (config["vocab_size"],)}
    generator = np.random.default_rng(8)
    return {name: (generator.standard_normal(shape) * 0.5).astype(np.float32) for name, shape in shapes.items()}


def word_pieces(folder: Path, **config: Any) -> int:
    """BERT's tokenizer, of a few words and all letters. Returns how many tokens there are."""
    pieces = [*VOCABULARY, *_LETTERS, *(f"##{letter}" for letter in _LETTERS), *"0345"]
    vocabulary = list(dict.fromkeys(pieces))
    vocabulary_folder(folder, vocabulary, **config)
    return len(vocabulary)


def byte_pairs(folder: Path, **config: Any) -> int:
    """RoBERTa's tokenizer, with merges that build a few words letter by letter. Returns how many tokens there are."""
    merges = dict.fromkeys((word[: end - 1], word[end - 1]) for word in _MERGED for end in range(2, len(word) + 1))
    pieces = [*_SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet()), *(first + second for first, second in merges)]
    vocabulary = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}
    backend = Tokenizer(BPE(vocabulary, list(merges), unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(_SPECIAL)
    backend.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    folder.mkdir(parents=True, exist_ok=True)
    backend.save(str(folder / "tokenizer.json"))
    roles = dict(zip(("cls_token", "pad_token", "sep_token", "unk_token", "mask_token"), _SPECIAL, strict=True))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "model_input_names": ["input_ids", "attention_mask"]}
    write_json(folder / "tokenizer_config.json", {**settings, **roles, **config})
    return len(vocabulary)
