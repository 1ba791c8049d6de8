"""BERT-family encoders from the files on the Hugging Face hub, as they are, without PyTorch.

Names are loaded when they are first used, so that `import filbert` costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import errors
    from ._core import __version__, devices
    from .configuration import AutoConfig, BertConfig
    from .errors import ConfigError, DeviceError, FilbertError, InputError, UnsafePickleError, WeightsError
    from .modeling import AutoModel, BertModel
    from .sentence import SentenceEncoder
    from .tokenization import AutoTokenizer

_MODULE_OF = {
    "AutoConfig": "configuration",
    "AutoModel": "modeling",
    "AutoTokenizer": "tokenization",
    "BertConfig": "configuration",
    "BertModel": "modeling",
    "ConfigError": "errors",
    "DeviceError": "errors",
    "FilbertError": "errors",
    "InputError": "errors",
    "SentenceEncoder": "sentence",
    "UnsafePickleError": "errors",
    "WeightsError": "errors",
    "__version__": "_core",
    "devices": "_core",
}

__all__ = [
    "AutoConfig",
    "AutoModel",
    "AutoTokenizer",
    "BertConfig",
    "BertModel",
    "ConfigError",
    "DeviceError",
    "FilbertError",
    "InputError",
    "SentenceEncoder",
    "UnsafePickleError",
    "WeightsError",
    "__version__",
    "cmake_dir",
    "devices",
    "errors",
]


def cmake_dir() -> str:
    """The folder to give CMake as `filbert_DIR`, for C++ programs that use the installed package."""
    from pathlib import Path

    core = import_module("._core", __name__)
    assert core.__file__ is not None
    return str(Path(core.__file__).resolve().parent / "lib" / "cmake" / "filbert")


def __getattr__(name: str) -> Any:
    if name == "errors":
        return import_module(".errors", __name__)
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{module}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
