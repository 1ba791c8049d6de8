"""config.json of a hundred checkpoints of the hub, made small enough to run; writes docs/checkpoints.md.

hub_configs.json holds them as the hub has them: {name: {"source": where the keys are from, "config": the file}}, and of
those without one the "modules" of their modules.json. A file
that was read in a public repository is said to be from there, and may be of another revision; "recalled" was not read.
`python tests/python/hub_configs.py` writes the page anew, as it must be when a family lands.
"""

import contextlib
import json
import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from filbert import AutoConfig, AutoModel, AutoModelForSequenceClassification, FilbertError, SentenceEncoder
from filbert.models import class_of

PAGE = Path(__file__).parents[2] / "docs" / "checkpoints.md"
ENTRIES = json.loads(Path(__file__).with_suffix(".json").read_text())
CONFIGS = {name: entry["config"] for name, entry in ENTRIES.items()}

HIDDEN, HEADS, INNER, LAYERS, VOCABULARY, BUCKETS = 48, 4, 64, 3, 120, 8
INPUT_IDS = np.arange(14).reshape(2, 7) + 10  # of no special token
CLASSIFIES = "ForSequenceClassification"

# What the dialects call the same size.
_HIDDEN = ("hidden_size", "dim", "n_embd", "d_model")
_HEADS = ("num_attention_heads", "n_heads", "n_head", "num_heads")
_LAYERS = ("num_hidden_layers", "n_layers", "n_layer", "num_layers", "num_decoder_layers", "max_window_layers")
_INNER = ("intermediate_size", "n_inner", "d_ff")
_POSITIONS = ("max_position_embeddings", "n_positions", "max_trained_positions", "max_relative_positions")
_WINDOWS = ("sliding_window", "sliding_window_size", "local_attention")
_HEAD_SIZES = ("head_dim", "attention_head_size", "d_kv")


def reduced(config: dict[str, Any]) -> dict[str, Any]:
    """The same keys, with sizes that fit each other and a test; all else as it was."""
    hidden = next((config[key] for key in _HIDDEN if key in config), 768)
    heads = next((config[key] for key in _HEADS if key in config), 12)
    small_heads, vocabulary = min(heads, HEADS), min(config.get("vocab_size", VOCABULARY), VOCABULARY)
    head_size = HIDDEN // small_heads

    def size(key: str, value: int) -> int:
        if key in _HIDDEN or (value == hidden and key in ("embedding_size", "pooler_hidden_size")):
            return HIDDEN
        if key in _HEADS:
            return small_heads
        if key == "num_key_value_heads":
            return max(1, small_heads * value // heads)
        if key in _HEAD_SIZES:
            return head_size if value == hidden // heads else 16
        if key in _LAYERS:
            return min(value, LAYERS)
        if key in _INNER or (key == "hidden_dim" and "dim" in config):
            return INNER
        if key == "hidden_dim":  # the width of a vector
            return HIDDEN
        if key == "embedding_size":
            return 32
        if key == "vocab_size":
            return vocabulary
        if key == "position_buckets":
            return BUCKETS
        if key in _WINDOWS:
            return BUCKETS + value % 2
        if key in _POSITIONS:  # what comes on top of a round number stays there: 514 is 512 and two that go unused
            return (112 if value > 2048 else 56) + value % 8
        return value

    def is_id(key: str, value: Any) -> bool:
        return key.endswith("token_id") and type(value) is int

    small = {key: size(key, value) if type(value) is int and value > 0 else value for key, value in config.items()}
    if isinstance(small.get("layer_types"), list):
        small["layer_types"] = [*small["layer_types"][: LAYERS - 1], small["layer_types"][-1]]
    beyond = sorted({value for key, value in small.items() if is_id(key, value) and value >= vocabulary}, reverse=True)
    inside = {value: vocabulary - 1 - i for i, value in enumerate(beyond)}
    return {key: inside.get(value, value) if is_id(key, value) else value for key, value in small.items()}


class Outcome(NamedTuple):
    """What comes of a folder with that configuration: an output, or an error; and what is not known of it."""

    error: str | None
    unknown: tuple[str, ...] = ()  # keys
    names_unknown_code: bool = False
    output: np.ndarray | None = None


def run(folder: Path, config: dict[str, Any]) -> Outcome:
    """Loads a folder with the reduced configuration, in the words of the file, and seeded weights; and runs it.

    The output is logits where the checkpoint classifies texts and its family can, else the last hidden state.
    """
    config = reduced(config)
    classifies = _head(CLASSIFIES)(config) and class_of(config.get("model_type", "xlm-roberta"), CLASSIFIES) is not None
    model_class = AutoModelForSequenceClassification if classifies else AutoModel
    _write_config(folder, config)
    with contextlib.suppress(FilbertError):  # which loading says better
        model_class.from_config(AutoConfig.from_pretrained(folder), seed=0).save_pretrained(folder)
        _write_config(folder, config)
    try:
        unknown = _unknown_keys(folder, config)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            output = model_class.from_pretrained(folder)(input_ids=INPUT_IDS)
    except FilbertError as error:
        return Outcome(str(error).replace(f"{folder}{os.sep}", ""))
    names_code = any("auto_map names code" in str(warning.message) for warning in caught)
    return Outcome(None, unknown, names_code, np.asarray(output.logits if classifies else output.last_hidden_state))


def outcomes() -> dict[str, Outcome]:
    """Of every checkpoint that has a config.json."""
    with tempfile.TemporaryDirectory() as scratch:
        folders = (Path(scratch) / str(i) for i in range(len(CONFIGS)))
        return {name: run(next(folders), config) for name, config in CONFIGS.items() if config is not None}


def _write_config(folder: Path, config: dict[str, Any]) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))


def _unknown_keys(folder: Path, config: dict[str, Any]) -> tuple[str, ...]:
    """A warning names five of them; the rest comes out once those are gone."""
    told: list[str] = []
    while True:
        _write_config(folder, {key: value for key, value in config.items() if key not in told})
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            AutoModel.from_pretrained(folder)
        texts = [text for text in (str(warning.message) for warning in caught) if "filbert does not know " in text]
        more = [key for key in config if key not in told and any(f" {key}=" in text for text in texts)]
        if not more:
            _write_config(folder, config)
            return tuple(told)
        told += more


def _has(key: str, *values: Any) -> Callable[[dict[str, Any]], bool]:
    return lambda config: config.get(key) in values if values else bool(config.get(key))


def _head(ending: str) -> Callable[[dict[str, Any]], bool]:
    return lambda config: str(config.get("architectures", "")).endswith(f"{ending}']")


# What is worth knowing of a checkpoint, by what its file says.
_SPECIAL = {
    "the file says no model_type": lambda config: "model_type" not in config,
    "code of the repository, which is never run": lambda config: "AutoModel" in config.get("auto_map", {}),
    "classes of texts": _head(CLASSIFIES),
    "classes of tokens": _head("ForTokenClassification"),
    "answers in a text": _head("ForQuestionAnswering"),
    "a vector a token (ColBERT)": _head("HF_ColBERT"),
    "ALiBi": _has("position_embedding_type", "alibi"),
    "NTK scaling of RoPE": lambda config: (config.get("rope_scaling") or {}).get("type") == "ntk",
    "keys of GPT-2": lambda config: "n_embd" in config and "hidden_size" not in config,
    "keys of GPT-2 and of BERT": lambda config: {"n_embd", "hidden_size"} <= config.keys(),
    "mixture of experts": _has("num_experts"),
    "an adapter a task": _has("load_trained_adapters"),
    "windows by layer_types": _has("layer_types"),
    "another theta for windows": lambda config: config.get("local_rope_theta", 10000.0) != 10000.0,
    "attends both ways": lambda config: (
        config.get("use_bidirectional_attention", False) or config.get("is_causal") is False
    ),
    "a convolution": _has("conv_kernel_size"),
    "pos_att_type as one string": lambda config: isinstance(config.get("pos_att_type"), str),
    "factorised embedding": lambda config: config.get("embedding_size", 0) not in (0, config.get("hidden_size")),
    "SentencePiece ids, not BERT's": lambda config: config.get("vocab_size") == 250037,
    "a table of vectors, no transformer": _has("model_type", "model2vec"),
}


def _special(config: dict[str, Any]) -> str:
    return ", ".join(text for text, holds in _SPECIAL.items() if holds(config))


def page(found: dict[str, Outcome]) -> str:
    """docs/checkpoints.md: for every checkpoint, what comes of a folder with its configuration."""
    table = [("checkpoint", "model_type", "opens", "what is special"), ("---",) * 4]
    for name, config in CONFIGS.items():
        told = _told_by_modules(ENTRIES[name].get("modules")) if config is None else _told(found[name])
        table.append((f"`{name}`", (config or {}).get("model_type", ""), told, _special(config or {"model_type": ""})))
    opened = sum(row[2].startswith("yes") for row in table)
    rows = "".join(f"| {' | '.join(row)} |\n".replace("  |", " |") for row in table)
    return _HEADER.format(opened=opened) + rows


def _told_by_modules(kinds: list[str] | None) -> str:
    if kinds is None:
        return "no: no config.json"
    with tempfile.TemporaryDirectory() as folder:
        modules = [
            {"idx": i, "path": "", "type": f"sentence_transformers.models.{kind}"} for i, kind in enumerate(kinds)
        ]
        (Path(folder) / "modules.json").write_text(json.dumps(modules))
        save_file({"embedding.weight": np.zeros((VOCABULARY, HIDDEN), np.float32)}, f"{folder}/model.safetensors")
        Tokenizer(WordLevel({"a": 0}, "a")).save(f"{folder}/tokenizer.json")
        SentenceEncoder.from_pretrained(folder).encode("a")
    return "yes"


def _told(outcome: Outcome) -> str:
    if outcome.error is not None:  # less the list of all that there is, and the advice
        shown = outcome.error.removeprefix("config.json: ").split("\n")[0]
        for cut in (", expected one of the supported", "; expected one of", " (auto_map", ", which is never run"):
            shown = shown.split(cut)[0]
        return f"no: {shown}".replace("|", "\\|")
    unknown = ", ".join(f"`{key}`" for key in outcome.unknown)
    return f"yes, but does not know {unknown}" if unknown else "yes"


_HEADER = """# Checkpoints

A hundred encoders that people use; the configurations of {opened} open. The page is written by
`python tests/python/hub_configs.py`: it reduces the sizes in each config.json, gives it random weights and runs it,
with its head where it classifies texts, else as `AutoModel` loads it. No weights of the hub are read: this says that
the settings are understood, and nothing of numbers or tokenizers: a repository with only SentencePiece files needs a
tokenizer.json, which transformers writes.
`tests/python/hub_configs.json` has the files and where they are from.

"""

if __name__ == "__main__":
    PAGE.write_text(page(outcomes()))
