"""What the models of sentence-transformers have in common: modules.json, the Transformer module and prompts."""

import json
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import ConfigError, InputError
from ..hub import Source
from ..jsonfile import read_json, read_object
from ..loading_keywords import HARMLESS
from ..settings import warn_about_unknown
from ..texts import check_text
from ..tokenization import Tokenizer

_CONFIGS = tuple(
    f"sentence_{name}_config.json" for name in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta")
)
# Settings that change what the module computes, and the only values that filbert can honour in any model.
_DEFAULTS: dict[str, tuple[Any, ...]] = {
    "processing_kwargs": ({}, None),
    "query_length": (None,),
    "document_length": (None,),
    "query_expansion": (None,),
    "tokenizer_name_or_path": (None,),
}
_NO_CHATS = "sentence-transformers makes a chat of each text then, and filbert does not"
# The prompts of a task, by preference.
_PROMPTS = {"query": ("query",), "document": ("document", "passage", "corpus")}
# Keywords for the three parts of the Transformer module, with the names of sentence-transformers before version 6.
_KEYWORDS = {"model_kwargs": "model_args", "processor_kwargs": "tokenizer_args", "config_kwargs": "config_args"}
# Keywords of those that change nothing here: where files are found is the caller's to say, and what a model computes
# in, and on what, does not change what it means.
HARMLESS_KEYWORDS = HARMLESS | {
    *("local_files_only", "token", "use_auth_token", "cache_dir", "use_fast", "use_cache", "use_safetensors"),
    *("torch_dtype", "dtype", "device_map", "add_pooling_layer", "backend"),
}


@dataclass
class TransformerModule:
    """Where the encoder of a model lies, what is set over its files, and the prompts of the model."""

    transformer: str = ""  # subfolder of the encoder
    is_static: bool = False  # the encoder is a table of token vectors, and tokenizer.json says all of its tokenizer
    max_seq_length: int | None = None
    do_lower_case: bool = False
    infers_chats: bool = False  # no file says what a text is: with a chat template it is a message
    tokenizer_settings: dict[str, Any] = field(default_factory=dict)  # over those of tokenizer_config.json
    config_settings: dict[str, Any] = field(default_factory=dict)  # over those of config.json
    prompts: dict[str, str] = field(default_factory=dict)
    default_prompt_name: str | None = None


def read_entries(
    path: str, kinds: Collection[str], supported: str, packages: tuple[str, ...] = ("sentence_transformers.",)
) -> list[tuple[str, str]]:
    """The modules that a modules.json names, each with its folder. Raises ConfigError for any but `kinds`.

    supported: what is, for messages. packages: what the names of their classes may begin with.
    """
    entries = read_json(path)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ConfigError(f"{path}: expected a list of objects, one a module")
    names = [kind_of(path, entry.get("type"), kinds, supported, packages) for entry in entries]
    folders = [entry.get("path") or "" for entry in entries]
    if not all(isinstance(folder, str) for folder in folders):
        raise ConfigError(f"{path}: found paths {folders!r}, expected strings")
    for entry in entries:
        warn_about_unknown(path, entry, {"idx", "name", "path", "type", "kwargs"})
    return list(zip(names, folders, strict=True))


def kind_of(
    path: str,
    class_name: Any,
    kinds: Collection[str],
    supported: str,
    packages: tuple[str, ...] = ("sentence_transformers.",),
) -> str:
    """The last part of the name of a module's class, which has moved from file to file. Raises ConfigError."""
    kind = str(class_name).rsplit(".", 1)[-1]
    if kind not in kinds or not str(class_name).startswith(packages):
        raise ConfigError(f"{path}: found module {class_name!r}, supported: {supported}")
    return kind


def read_transformer(
    source: Source, module: TransformerModule, expected: Mapping[str, tuple[Any, ...]], own: Collection[str] = ()
) -> tuple[str, dict[str, Any]] | None:
    """Reads the settings in the folder `module.transformer`, and gives their path and all of them.

    expected: the values that some keys may have, beside those that are the same for all models. own: keys of which the
    caller sees to it. None if there is no such file. Raises ConfigError for what cannot be honoured.
    """
    path = next(filter(None, (source.find(within(module.transformer, name)) for name in _CONFIGS)), None)
    if path is None:
        return None
    config = read_object(path)
    expected = {key: values for key, values in {**_DEFAULTS, **expected}.items() if key not in own}
    for key, allowed in expected.items():
        if config.get(key) not in allowed:
            raise ConfigError(f"{path}: {key}: found {config.get(key)!r}, supported: {json.dumps(allowed[0])}")
    module.max_seq_length = optional(path, config, "max_seq_length", int)
    module.do_lower_case = optional(path, config, "do_lower_case", bool) or False
    module.tokenizer_settings = _keywords(path, config, "processor_kwargs")
    module.config_settings = _keywords(path, config, "config_kwargs")
    if model_settings := _keywords(path, config, "model_kwargs"):
        raise ConfigError(f"{path}: model_kwargs: found {model_settings!r}, which filbert cannot honour")
    known = {"max_seq_length", "do_lower_case", "modality_config", "unpad_inputs", *expected, *own}
    warn_about_unknown(path, config, known | {*_KEYWORDS, *_KEYWORDS.values()})
    return path, config


def check_modality(path: str, config: dict[str, Any], output: str) -> None:
    """Raises ConfigError if the Transformer module is for something other than that output of a forward of texts.

    Where there are messages, sentence-transformers makes one of every text.
    """
    expected = {"method": "forward", "method_output_name": output}
    modality = config.get("modality_config")
    if modality is not None and (not isinstance(modality, dict) or modality.get("text") != expected):
        raise ConfigError(f"{path}: modality_config: found {modality!r}, supported for text: {expected}")
    if modality is not None and "message" in modality:
        raise ConfigError(f"{path}: modality_config: found 'message': {_NO_CHATS}")


def refuse_chats(source: Source, module: TransformerModule, tokenizer: Tokenizer) -> None:
    """Raises ConfigError for an encoder at `source` whose texts sentence-transformers would take for messages."""
    if module.infers_chats and (found := find_template(source, module, tokenizer)) is not None:
        raise ConfigError(
            f"{found[0]}: found a chat template and no modules.json: {_NO_CHATS}. Without the template, or with "
            "SentenceEncoder's processor_kwargs={'chat_template': None}, both take texts as they are"
        )


def find_template(source: Source, module: TransformerModule, tokenizer: Tokenizer) -> tuple[str, Any] | None:
    """Where the chat template of the encoder at `source` is, and what it is; None if there is none."""
    path = None if "chat_template" in module.tokenizer_settings else source.find("chat_template.jinja")
    if path is not None:
        with open(path, encoding="utf-8") as file:
            return path, file.read()
    template = tokenizer.chat_template
    return None if template is None else (f"{source.name}: chat_template", template)


def read_prompts(path: str, config: dict[str, Any], module: TransformerModule) -> None:
    """Takes the prompts out of config_sentence_transformers.json. Raises ConfigError."""
    prompts = config.get("prompts") or {}
    if not isinstance(prompts, dict) or not all(isinstance(text, str | None) for text in prompts.values()):
        raise ConfigError(f"{path}: prompts: expected an object of strings")
    module.prompts |= {name: text or "" for name, text in prompts.items()}
    module.default_prompt_name = optional(path, config, "default_prompt_name", str)


def check_default_prompt(where: str, name: str | None, prompts: Mapping[str, str]) -> None:
    """Raises ConfigError unless the prompt that is used where none is asked for is one of `prompts`, or None."""
    if name not in (None, *prompts):
        raise ConfigError(
            f"{where}: default_prompt_name: found {name!r}, which is none of the prompts: "
            f"{', '.join(prompts) or 'there are none'}"
        )


def merged_prompts(saved: Mapping[str, str], given: Mapping[str, str | None] | None) -> dict[str, str]:
    """The prompts of the files, under those that a caller gives; None is the files' own, or none."""
    texts = {name: text for name, text in (given or {}).items() if text is not None}
    return {**dict.fromkeys(given or {}, ""), **saved, **texts}


def choose_prompt(
    prompts: Mapping[str, str], default_name: str | None, prompt: str | None, prompt_name: str | None
) -> str:
    """The prompt that a call asks for: its text, one of `prompts` by name, the default one, or none. Raises InputError.

    Warns if both a text and a name are given: the text wins.
    """
    if prompt is not None:
        if prompt_name is not None:
            warnings.warn("prompt and prompt_name are both given: prompt is used", stacklevel=4)
        check_text("prompt", 0, prompt)
        return prompt
    name = default_name if prompt_name is None else prompt_name
    if name is None:
        return ""
    if name not in prompts:
        raise InputError(f"prompt_name: found {name!r}, the model has {', '.join(prompts) or 'no prompts'}")
    return prompts[name]


def prompt_for(task: str, prompts: Mapping[str, str], prompt_name: str | None, prompt: str | None) -> str | None:
    """The name of the prompt of a task, "query" or "document", unless a call asks for one; None if there is none."""
    if prompt_name is not None or prompt is not None:
        return prompt_name
    return next((name for name in _PROMPTS[task] if name in prompts), None)


def meaningful(keywords: Mapping[str, Any] | None, keep: tuple[str, ...] = ()) -> dict[str, Any]:
    """The keywords of sentence-transformers that mean something here, and those to `keep`. Raises InputError."""
    keywords = keywords or {}
    if keywords.get("device_map") is not None:
        raise InputError(f"device_map: found {keywords['device_map']!r}; device=... says where the model is to be")
    return {key: value for key, value in keywords.items() if key not in HARMLESS_KEYWORDS or key in keep}


def refuse_backend(backend: str) -> None:
    """Raises InputError for any of sentence-transformers' but the usual one."""
    if backend != "torch":
        raise InputError(f"backend: found {backend!r}, expected 'torch': filbert has an engine of its own")


def optional(path: str, config: dict[str, Any], key: str, kind: type[Any]) -> Any:
    """config[key], checked; integers are positive. None if it is absent or null."""
    value = config.get(key)
    if value is None:
        return None
    if not isinstance(value, kind) or (kind is int and (isinstance(value, bool) or value < 1)):
        expected = {"int": "an integer above 0", "bool": "true or false", "str": "a string"}[kind.__name__]
        raise ConfigError(f"{path}: {key}: found {value!r}, expected {expected}")
    return value


def within(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _keywords(path: str, config: dict[str, Any], name: str) -> dict[str, Any]:
    """The keywords of that name or its older one that mean something here."""
    older = _KEYWORDS[name]
    values = config.get(older if older in config else name) or {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: {name}: found {values!r:.100}, expected an object")
    for key in ("revision", "subfolder", "code_revision"):
        if values.get(key) not in (None, "", "main"):
            raise ConfigError(f"{path}: {name}: {key}: found {values[key]!r}; files of another place are not read")
    harmless = {*HARMLESS_KEYWORDS, "revision", "subfolder", "code_revision"}
    return {key: value for key, value in values.items() if key not in harmless}
