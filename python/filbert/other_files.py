"""Folders and repositories without the files of a model: what they hold instead, and what would help."""

import re
from typing import TYPE_CHECKING, Any

from .errors import ConfigError
from .jsonfile import read_json

if TYPE_CHECKING:
    from .hub import Source

_EXPORTED = "open the model that it was made from"
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
# What names of weights end in that may be of any format.
_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack")
_VARIANT = re.compile(r"(?:model|pytorch_model)\.([^./]+?)(?:-\d{5}-of-\d{5})?\.(?:safetensors|bin)")
_SHOWN = 5


def instead(source: "Source") -> str:
    """The end of a sentence about what a model lacks: what there is, and what would help; "" if it is not known."""
    names = source.names()
    if names is None:
        return ""
    if not names:
        what = "that subfolder is empty or not there" if source.subfolder else "it is empty"
        return f"; {what}: was it downloaded, or saved, to the end?"
    if "config.json" in names:
        return _variant(names) or _format(names) or _rest([name for name in names if name.endswith(_WEIGHTS)])
    return _modules(source, names) or _format(names) or _inner(names) or _rest(names)


def _variant(names: list[str]) -> str:
    for name in names:
        if match := _VARIANT.fullmatch(name):
            return f"; it has {name}, which variant={match[1]!r} opens"
    return ""


def _format(names: list[str]) -> str:
    for ending, title, help_ in _FORMATS:
        for name in names:
            if name.endswith(ending):
                return f"; it has {name} ({title}), which filbert does not read: {help_}"
    return ""


def _modules(source: "Source", names: list[str]) -> str:
    """Of the outer folder of a sentence-transformers model."""
    if "modules.json" not in names:
        return ""
    try:
        kind, path = _first_module(read_json(source.get("modules.json")))
    except (ConfigError, OSError):
        return ""
    if kind == "StaticEmbedding":
        return f"; modules.json begins with {kind!r}, which SentenceEncoder opens"
    if kind != "Transformer":
        return f"; modules.json begins with {kind!r}, and filbert runs models that begin with 'Transformer'"
    if f"{path}/config.json" not in names:
        return f"; modules.json has the encoder in {path or '.'!r}, and there is none: was the model saved to the end?"
    return f"; modules.json has the encoder in {path!r}: SentenceEncoder finds it, AutoModel takes subfolder={path!r}"


def _first_module(modules: Any) -> tuple[str, str]:
    first = modules[0] if isinstance(modules, list) and modules and isinstance(modules[0], dict) else {}
    return str(first.get("type")).rsplit(".", 1)[-1], str(first.get("path") or "")


def _inner(names: list[str]) -> str:
    for name in names:
        if name.endswith("/config.json"):
            folder = name.removesuffix("/config.json")
            return f"; {folder} in it has one: open that, or pass subfolder={folder!r}"
    return ""


def _rest(names: list[str]) -> str:
    if not names:
        return "; it has no weights of any kind: was it downloaded, or saved, to the end?"
    return f"; it has {', '.join(names[:_SHOWN])}{' and more' if len(names) > _SHOWN else ''}"
