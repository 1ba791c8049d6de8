"""Model configurations: the attributes, defaults and files of transformers."""

import copy
import json
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, ClassVar, TypeVar

from .checks import integer
from .errors import ConfigError
from .files import read_file
from .loading_keywords import check_saving_keywords, own_keywords

# Far above any real config.json; keeps a wrong file from being read whole.
MAX_CONFIG_BYTES = 16 * 1024 * 1024

# Keys that transformers makes for itself, which mean nothing here; it does not write them either.
_DROPPED = frozenset(
    {
        "_attn_implementation_internal",
        "_commit_hash",
        "_experts_implementation_internal",
        "attn_implementation",
        "experts_implementation",
    }
)

Config = TypeVar("Config", bound="PretrainedConfig")


@dataclass(init=False, repr=False, eq=False)
class PretrainedConfig:
    """What every model's configuration has. Keys that filbert does not know become attributes and are written back.

    `num_labels` is the length of `id2label`, and setting it renames the labels, as in transformers.
    """

    model_type: ClassVar[str] = ""
    # Keys that are attributes only where they are given; the engine refuses the values that it does not compute.
    checked_by_engine: ClassVar[frozenset[str]] = frozenset({"quantization_config", "pruned_heads"})
    # Keys of its files that nothing reads, in transformers either, or that have become others.
    unused_keys: ClassVar[frozenset[str]] = frozenset()
    # Configuration classes that auto_map may name: their authors' code computes what filbert does.
    known_code: ClassVar[frozenset[str]] = frozenset()
    # Other names of attributes, as transformers has them.
    attribute_map: ClassVar[dict[str, str]] = {}

    transformers_version: str | None = None
    architectures: list[str] | None = None
    output_hidden_states: bool | None = False
    output_attentions: bool | None = False
    return_dict: bool | None = True
    dtype: str | None = None
    chunk_size_feed_forward: int = 0
    is_encoder_decoder: bool = False
    id2label: dict[int, str] | None = None
    label2id: dict[str, int] | None = None
    problem_type: str | None = None

    def __init__(self, /, **kwargs: Any) -> None:
        kwargs = {self.attribute_map.get(key, key): value for key, value in kwargs.items()}
        self._name_or_path = str(kwargs.pop("name_or_path", kwargs.pop("_name_or_path", "")))
        model_type = kwargs.pop("model_type", None)
        if self.model_type and model_type not in (None, self.model_type):
            raise ConfigError(
                f"{type(self).__name__} describes model_type {self.model_type!r}, found {model_type!r}; "
                "use AutoConfig to choose the class by model_type"
            )
        legacy_dtype = kwargs.pop("torch_dtype", None)
        if kwargs.get("dtype") is None:
            kwargs["dtype"] = legacy_dtype
        num_labels = kwargs.pop("num_labels", None)
        for field in fields(self):
            setattr(self, field.name, kwargs.pop(field.name, field.default))
        for key, value in kwargs.items():
            if hasattr(type(self), key) or (key.startswith("__") and key.endswith("__")):
                raise ConfigError(f"key {key!r} cannot be kept: {type(self).__name__} has an attribute of that name")
            if key not in _DROPPED:
                setattr(self, key, value)
        if num_labels is not None:
            if self.id2label is not None and len(self.id2label) != num_labels:
                warnings.warn(
                    f"num_labels={num_labels} beside an id2label of {len(self.id2label)} labels: there are "
                    f"{num_labels}, named LABEL_0 and so on",
                    stacklevel=2,
                )
            self.num_labels = num_labels
        elif self.id2label is None:
            self.num_labels = 2

    def __getattr__(self, key: str) -> Any:  # of what is not there under that name
        if key in type(self).attribute_map:
            return getattr(self, self.attribute_map[key])
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {key!r}")

    def __setattr__(self, key: str, value: Any) -> None:
        key = self.attribute_map.get(key, key)
        if key == "dtype" and value is not None:
            value = str(value).removeprefix("torch.")
        elif key == "id2label" and value is not None:
            value = _integer_keys(value)
        elif key == "num_hidden_layers":
            self._cut_layer_types(value)
        super().__setattr__(key, value)

    def _cut_layer_types(self, layers: Any) -> None:
        """Of a model that gets fewer layers than it had, the kinds of the first ones stay."""
        kinds, layers = vars(self).get("layer_types"), integer(layers)
        if isinstance(kinds, list) and layers is not None and layers < len(kinds):
            vars(self)["layer_types"] = kinds[:layers]

    @property
    def name_or_path(self) -> str:
        """What `from_pretrained` was given, or ""."""
        return self._name_or_path

    @name_or_path.setter
    def name_or_path(self, value: str) -> None:
        self._name_or_path = str(value)

    @property
    def num_labels(self) -> int | None:
        return None if self.id2label is None else len(self.id2label)

    @num_labels.setter
    def num_labels(self, labels: int) -> None:
        count = integer(labels)
        if count is None or not 0 <= count <= 1_000_000:
            raise ConfigError(f"num_labels: found {labels!r}, expected an integer from 0 to 1000000")
        if self.num_labels != count:
            self.id2label = {i: f"LABEL_{i}" for i in range(count)}
            self.label2id = {label: i for i, label in self.id2label.items()}

    def weight_deviation(self, name: str) -> float:
        """The standard deviation of a new tensor of that name, of those that are drawn from around zero."""
        deviation: float = self.initializer_range
        return deviation

    @classmethod
    def from_dict(
        cls: type[Config], config_dict: dict[str, Any], *, return_unused_kwargs: bool = False, **overrides: Any
    ) -> Any:
        """From the contents of a config.json; `overrides` win over it. Raises ConfigError.

        With `return_unused_kwargs`, the overrides that name no attribute come back beside the configuration.
        """
        if not return_unused_kwargs:
            return cls(**{**config_dict, **overrides})
        config = cls(**config_dict)
        return config, override(config, overrides)

    @classmethod
    def from_json_file(cls: type[Config], json_file: str | os.PathLike[str]) -> Config:
        """From a config.json. Raises ConfigError (with path, line and column) and OSError."""
        return from_file(cls, json_file, cls.model_type)

    @classmethod
    def from_pretrained(
        cls: type[Config],
        pretrained_model_name_or_path: str | os.PathLike[str],
        *,
        revision: str | None = None,
        subfolder: str = "",
        cache_dir: str | os.PathLike[str] | None = None,
        token: str | bool | None = None,
        local_files_only: bool = False,
        force_download: bool = False,
        return_unused_kwargs: bool = False,
        **overrides: Any,
    ) -> Any:
        """The configuration of a model on the hub, of a folder, or of one JSON file.

        `overrides` replace attributes; with `return_unused_kwargs` the ones that name no attribute come back
        beside the configuration, otherwise they are a TypeError. Keywords of transformers' `from_pretrained` that
        change nothing here are taken (`trust_remote_code`: no code of the repository is ever run).
        Raises ConfigError, InputError and OSError.
        """
        from .hub import Source

        overrides = own_keywords({"token": token, **overrides})
        token = overrides.pop("token")
        if os.path.isfile(pretrained_model_name_or_path):
            path = os.fspath(pretrained_model_name_or_path)
        else:
            path = Source(
                pretrained_model_name_or_path,
                revision=revision,
                subfolder=subfolder,
                cache_dir=cache_dir,
                token=token,
                local_files_only=local_files_only,
                force_download=force_download,
            ).get("config.json")
        config = cls.from_json_file(path)
        config.name_or_path = os.fspath(pretrained_model_name_or_path)
        unused = override(config, overrides)
        if return_unused_kwargs:
            return config, unused
        if unused:
            raise TypeError(f"from_pretrained() got unexpected keyword arguments: {', '.join(sorted(unused))}")
        return config

    def update(self, config_dict: dict[str, Any]) -> None:
        """Sets attributes."""
        for key, value in config_dict.items():
            setattr(self, key, value)

    def to_dict(self) -> dict[str, Any]:
        """Every attribute."""
        return {**copy.deepcopy(self.__dict__), "model_type": self.model_type}

    def to_diff_dict(self) -> dict[str, Any]:
        """The attributes that config.json should hold: all but the common ones left at their defaults."""
        common = PretrainedConfig().to_dict()
        if type(self).is_encoder_decoder:
            del common["is_encoder_decoder"]  # of such a class neither goes without saying
        return {
            key: value
            for key, value in self.to_dict().items()
            if key != "_name_or_path" and (key not in common or value != common[key])
        }

    def to_json_string(self, use_diff: bool = True) -> str:
        """`to_diff_dict` (or `to_dict`) as JSON. Raises ConfigError for a value that JSON cannot hold.

        NaN and infinities are written as Python's json writes them, which every version of transformers reads.
        """
        values = self.to_diff_dict() if use_diff else self.to_dict()
        try:
            return json.dumps(values, indent=2, sort_keys=True, default=_from_numpy) + "\n"
        except (TypeError, ValueError, RecursionError) as error:
            raise ConfigError(f"the configuration cannot be written as JSON: {error}") from None

    def to_json_file(self, json_file_path: str | os.PathLike[str], use_diff: bool = True) -> None:
        """Writes `to_json_string` to a file, atomically, or to a FIFO or device. Raises ConfigError and OSError."""
        from .atomic import write_text

        write_text(json_file_path, self.to_json_string(use_diff))

    def save_pretrained(self, save_directory: str | os.PathLike[str], **others: Any) -> None:
        """Writes config.json into the folder, which is created if need be. Raises OSError; an old file survives.

        others: keywords of transformers that change nothing here (`push_to_hub=False`).
        """
        check_saving_keywords(others)
        os.makedirs(save_directory, exist_ok=True)
        self.to_json_file(os.path.join(save_directory, "config.json"))

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __repr__(self) -> str:
        return f"{type(self).__name__} {self.to_json_string()}"


def from_file(make: Callable[..., Config], path: str | os.PathLike[str], model_type: str = "") -> Config:
    """What `make` makes of the contents of a config.json. Raises ConfigError, with the path, and OSError."""
    values = read_config(path, model_type)
    try:
        return make(**values)
    except ConfigError as error:
        raise ConfigError(f"{os.fspath(path)}: {error}") from None


def read_config(path: str | os.PathLike[str], model_type: str = "") -> dict[str, Any]:
    """The contents of a config.json, checked by the engine. Raises ConfigError and OSError.

    `model_type` is what the caller knows it to be, for files that do not say.
    """
    from . import _core

    path = os.fspath(path)
    data = read_file(path, MAX_CONFIG_BYTES, ConfigError)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 at byte {error.start}") from None
    _core.validate_config(text, os.fsencode(path), model_type)
    try:
        values = json.loads(text, object_hook=_special_float)
    except ValueError as error:  # an integer of thousands of digits
        raise ConfigError(f"{path}: {error}") from None
    if not isinstance(values, dict):  # the whole of it is a special float
        raise ConfigError(f"{path}: found {values}, expected an object")
    return values


def code_of(config: dict[str, Any]) -> str | None:
    """The configuration class of the code that the contents of a config.json name, without its module, or None."""
    code = config.get("auto_map")
    name = code.get("AutoConfig") if isinstance(code, dict) else None
    return name.rpartition(".")[2] if isinstance(name, str) else None


def _special_float(values: dict[str, Any]) -> Any:
    """The numbers that transformers 5 writes as {"__float__": "NaN"}."""
    if len(values) == 1 and values.get("__float__") in ("NaN", "Infinity", "-Infinity"):
        return float(values["__float__"])
    return values


def _from_numpy(value: Any) -> Any:
    import numpy as np  # rarely needed, and slow to import

    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def _integer_keys(labels: Any) -> dict[int, str]:
    try:
        return {int(key): label for key, label in labels.items()}
    except (AttributeError, TypeError, ValueError):
        raise ConfigError(f"id2label: found {labels!r:.200}, expected an object with integers as keys") from None


def override(config: PretrainedConfig, overrides: dict[str, Any]) -> dict[str, Any]:
    """Replaces attributes, and gives back the entries that name none."""
    unused = {}
    for key, value in overrides.items():
        key = "dtype" if key == "torch_dtype" else key
        if key in _DROPPED or (key == "dtype" and value == "auto"):
            continue
        if hasattr(config, key) and not callable(getattr(config, key)):
            setattr(config, key, value)
        else:
            unused[key] = value
    return unused
