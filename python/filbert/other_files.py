"""Folders without the files of a model: what they hold instead, and what would help."""

import os
import re
from typing import Any

from .errors import ConfigError
from .jsonfile import read_json

_EXPORTED = "open the folder of the model that it was made from"
_CONVERTED = "transformers 4 converts it: AutoModel.from_pretrained(folder, {}=True).save_pretrained(folder)"
# What the name of a file ends in, the format of such files, and what would help.
_FORMATS = (
    (".gguf", "GGUF", _EXPORTED),
    (".onnx", "ONNX", _EXPORTED),
    ("openvino_model.xml", "OpenVINO", _EXPORTED),
    ("tf_model.h5", "TensorFlow", _CONVERTED.format("from_tf")),
    (".ckpt.index", "TensorFlow", _CONVERTED.format("from_tf")),
    ("flax_model.msgpack", "Flax", _CONVERTED.format("from_flax")),
)
_VARIANT = re.compile(r"(?:model|pytorch_model)\.([^.]+)\.(?:safetensors|bin)")
# What names of weights end in that may be of any format.
_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack")
_SHOWN = 5


def instead(folder: str) -> str:
    """The end of a sentence that says what such a folder lacks: what it has, and what would help."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries)
    except OSError as error:
        return f"; it cannot be read: {error.strerror}" if os.path.isdir(folder) else "; there is no such subfolder"
    if not names:
        return "; it is empty: was it downloaded, or saved, to the end?"
    told = _modules(folder, names) or _variant(names) or _format(folder, names) or _subfolder(folder, names)
    return told or _rest(names)


def _modules(folder: str, names: list[str]) -> str:
    """Of the outer folder of a sentence-transformers model."""
    if "modules.json" not in names or "config.json" in names:
        return ""
    try:
        kind, path = _first_module(read_json(os.path.join(folder, "modules.json")))
    except (ConfigError, OSError):
        return ""
    if kind != "Transformer":
        return f"; modules.json begins with {kind!r}, and filbert runs models that begin with 'Transformer'"
    if not path or not os.path.isfile(os.path.join(folder, path, "config.json")):
        return f"; modules.json has the encoder in {path or '.'!r}, and there is none: was the model saved to the end?"
    return f"; modules.json has the encoder in {path!r}: SentenceEncoder finds it, AutoModel takes subfolder={path!r}"


def _first_module(modules: Any) -> tuple[str, str]:
    first = modules[0] if isinstance(modules, list) and modules and isinstance(modules[0], dict) else {}
    return str(first.get("type")).rsplit(".", 1)[-1], str(first.get("path") or "")


def _variant(names: list[str]) -> str:
    for name in names:
        if "config.json" in names and (match := _VARIANT.fullmatch(name)):
            return f"; it has {name}, which variant={match[1]!r} opens"
    return ""


def _format(folder: str, names: list[str]) -> str:
    for inner in ("onnx", "openvino"):  # as the optimum library names them
        if inner in names and os.path.isdir(os.path.join(folder, inner)):
            names = [*names, *(f"{inner}/{name}" for name in sorted(os.listdir(os.path.join(folder, inner))))]
    for ending, title, help_ in _FORMATS:
        for name in names:
            if name.endswith(ending):
                return f"; it has {name} ({title}), which filbert does not read: {help_}"
    return ""


def _subfolder(folder: str, names: list[str]) -> str:
    for name in names:
        if "config.json" not in names and os.path.isfile(os.path.join(folder, name, "config.json")):
            return f"; {name} in it has one: open that, or pass subfolder={name!r}"
    return ""


def _rest(names: list[str]) -> str:
    if "config.json" in names:
        names = [name for name in names if name.endswith(_WEIGHTS)]
    if not names:
        return "; it has no weights of any kind: was it downloaded, or saved, to the end?"
    return f"; it has {', '.join(names[:_SHOWN])}{' and more' if len(names) > _SHOWN else ''}"
