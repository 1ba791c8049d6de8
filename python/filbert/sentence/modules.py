"""What the files of a sentence-transformers model ask for: modules.json and the settings beside it."""

import json
import warnings
from dataclasses import dataclass, field
from typing import Any

from ..configuration import PretrainedConfig
from ..errors import ConfigError
from ..hub import Source
from ..jsonfile import read_json, read_object
from ..models.model2vec import Model2VecConfig
from ..settings import warn_about_unknown

# pooling_mode as the engine names it.
POOLINGS = {"cls": "cls", "mean": "mean", "max": "max", "lasttoken": "lasttoken"}
SIMILARITIES = ("cosine", "dot", "euclidean", "manhattan")

_SUPPORTED = (
    "Transformer, Pooling (cls, mean, max or lasttoken) and then Normalize, or StaticEmbedding and then Normalize"
)
_KINDS = ("Transformer", "Pooling", "StaticEmbedding", "Normalize")
_CHAINS = (("Transformer", "Pooling"), ("StaticEmbedding",))  # and then Normalize, or not
_LEGACY_POOLINGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_TRANSFORMER_CONFIGS = tuple(
    f"sentence_{name}_config.json" for name in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta")
)
_TEXT_MODALITY = {"method": "forward", "method_output_name": "last_hidden_state"}
# Settings of the Transformer module that change what it computes, and the only values filbert can honour.
_TRANSFORMER_DEFAULTS: dict[str, tuple[Any, ...]] = {
    "transformer_task": ("feature-extraction", None),
    "module_output_name": ("token_embeddings", None),
    "processing_kwargs": ({}, None),
    "query_length": (None,),
    "document_length": (None,),
    "query_expansion": (None,),
    "tokenizer_name_or_path": (None,),
}
# Keywords for the three parts of the Transformer module, with the names of sentence-transformers before version 6.
_KEYWORDS = {"model_kwargs": "model_args", "processor_kwargs": "tokenizer_args", "config_kwargs": "config_args"}
# Keywords of those that change nothing here: where files are found is the caller's to say, code of a repository is
# never run, and what a model computes in, on what, and by which kernels does not change what it means.
_HARMLESS_KEYWORDS = frozenset(
    {"trust_remote_code", "local_files_only", "token", "cache_dir", "use_fast", "use_cache", "use_safetensors"}
    | {"torch_dtype", "dtype", "attn_implementation", "low_cpu_mem_usage", "device_map", "add_pooling_layer", "backend"}
    | {"use_flash_attn", "use_memory_efficient_attention", "unpad_inputs"}
)


@dataclass
class SentenceModules:
    """How token vectors become a sentence vector, and how text becomes tokens."""

    transformer: str = ""  # subfolder of the encoder
    is_static: bool = False  # the encoder is a table of token vectors, of any number of tokens but special ones
    pooling: str = "mean"
    dimension: int | None = None  # of the token vectors, as Pooling has it
    include_prompt: bool = True
    normalize: bool = False
    max_seq_length: int | None = None
    do_lower_case: bool = False
    tokenizer_settings: dict[str, Any] = field(default_factory=dict)  # over those of tokenizer_config.json
    config_settings: dict[str, Any] = field(default_factory=dict)  # over those of config.json
    prompts: dict[str, str] = field(default_factory=dict)
    default_prompt_name: str | None = None
    similarity: str = "cosine"
    truncate_dim: int | None = None


def read_modules(source: Source) -> SentenceModules:
    """Reads modules.json and what it names.

    Without one: mean pooling, or the last token of what was made to write text, with a warning, as in
    sentence-transformers.
    Raises ConfigError, naming the file and what it asks for, for anything that filbert would compute differently.
    """
    config = source.find("config.json")  # fixes the commit, so that the cache knows which others do not exist
    modules = SentenceModules()
    path = source.find_if_known("modules.json")
    if path is None and config is None:
        return modules  # there is no model either, which loading it tells
    if path is None:
        values = read_object(config) if config is not None else {}
        if values.get("model_type") == "model2vec":
            modules.is_static, modules.normalize = True, values.get("normalize") is True
            return modules
        modules.pooling = "lasttoken" if _is_causal(values) else "mean"
        what = "those of last tokens" if modules.pooling == "lasttoken" else "means of token vectors"
        warnings.warn(f"{source.name} has no modules.json: its sentence vectors are {what}", stacklevel=3)
        return modules
    entries = read_json(path)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ConfigError(f"{path}: expected a list of objects, one a module")
    kinds = [str(entry.get("type")).rsplit(".", 1)[-1] for entry in entries]
    for kind, entry in zip(kinds, entries, strict=True):
        if kind not in _KINDS or not _is_builtin(entry["type"]):
            raise ConfigError(f"{path}: found module {entry.get('type')!r}, supported: {_SUPPORTED}")
    modules.normalize = kinds[-1:] == ["Normalize"]
    if tuple(kinds[: len(kinds) - modules.normalize]) not in _CHAINS:
        raise ConfigError(f"{path}: found modules {', '.join(kinds) or 'none'}, supported: {_SUPPORTED}")
    folders = [entry.get("path") or "" for entry in entries]
    if not all(isinstance(folder, str) for folder in folders):
        raise ConfigError(f"{path}: found paths {folders!r}, expected strings")
    for entry in entries:
        warn_about_unknown(path, entry, {"idx", "name", "path", "type", "kwargs"})
    modules.transformer = folders[0]
    modules.is_static = kinds[0] == "StaticEmbedding"
    if not modules.is_static:
        _read_transformer(source, modules)
        _read_pooling(source, folders[1], modules)
    if modules.normalize:
        _check_normalize(source, folders[-1])
    _read_settings(source, modules)
    return modules


def unsaved_config(source: Source, modules: SentenceModules) -> PretrainedConfig | None:
    """The configuration of an encoder that is saved without one, whose weights tell all; None of any other.

    `source` is where the encoder lies.
    """
    return Model2VecConfig() if modules.is_static and source.find("config.json") is None else None


def _is_causal(config: dict[str, Any]) -> bool:
    """Whether a model was made to write text, and none of its tokens sees a later one."""
    names = config.get("architectures")
    first = str(names[0]) if isinstance(names, list) and names else ""
    return first.endswith("ForCausalLM") and bool(config.get("is_causal", True))


def _is_builtin(class_name: str) -> bool:
    return class_name.startswith("sentence_transformers.")


def _in(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _read_transformer(source: Source, modules: SentenceModules) -> None:
    for name in _TRANSFORMER_CONFIGS:
        path = source.find(_in(modules.transformer, name))
        if path is not None:
            break
    else:
        return
    config = read_object(path)
    for key, allowed in _TRANSFORMER_DEFAULTS.items():
        if config.get(key) not in allowed:
            raise ConfigError(f"{path}: {key}: found {config[key]!r}, supported: {json.dumps(allowed[0])}")
    modality = config.get("modality_config")
    if modality is not None and (not isinstance(modality, dict) or modality.get("text") != _TEXT_MODALITY):
        raise ConfigError(f"{path}: modality_config: found {modality!r}, supported for text: {_TEXT_MODALITY}")
    modules.max_seq_length = _optional(path, config, "max_seq_length", int)
    modules.do_lower_case = _optional(path, config, "do_lower_case", bool) or False
    modules.tokenizer_settings = _keywords(path, config, "processor_kwargs")
    modules.config_settings = _keywords(path, config, "config_kwargs")
    if model_settings := _keywords(path, config, "model_kwargs"):
        raise ConfigError(f"{path}: model_kwargs: found {model_settings!r}, which filbert cannot honour")
    known = {"max_seq_length", "do_lower_case", "modality_config", "unpad_inputs", *_TRANSFORMER_DEFAULTS}
    warn_about_unknown(path, config, known | {*_KEYWORDS, *_KEYWORDS.values()})


def _keywords(path: str, config: dict[str, Any], name: str) -> dict[str, Any]:
    """The keywords of that name or its older one that mean something here."""
    older = _KEYWORDS[name]
    values = config.get(older if older in config else name) or {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: {name}: found {values!r:.100}, expected an object")
    for key in ("revision", "subfolder", "code_revision"):
        if values.get(key) not in (None, "", "main"):
            raise ConfigError(f"{path}: {name}: {key}: found {values[key]!r}; files of another place are not read")
    harmless = {*_HARMLESS_KEYWORDS, "revision", "subfolder", "code_revision"}
    return {key: value for key, value in values.items() if key not in harmless}


def _read_pooling(source: Source, folder: str, modules: SentenceModules) -> None:
    path = source.get(_in(folder, "config.json"))
    config = read_object(path)
    modes = config.get("pooling_mode")
    if modes is None:
        modes = [mode for key, mode in _LEGACY_POOLINGS.items() if config.get(key)] or ["mean"]
    modes = [modes] if isinstance(modes, str) else modes
    if not isinstance(modes, list) or len(modes) != 1 or modes[0] not in POOLINGS:
        found = " and ".join(map(str, modes)) if isinstance(modes, list) else modes
        raise ConfigError(f"{path}: found pooling {found}, supported: one of {', '.join(POOLINGS)}")
    modules.pooling = POOLINGS[modes[0]]
    modules.dimension = _optional(path, config, "embedding_dimension", int)
    if modules.dimension is None:
        modules.dimension = _optional(path, config, "word_embedding_dimension", int)
    known = {"pooling_mode", "embedding_dimension", "word_embedding_dimension", "include_prompt"}
    warn_about_unknown(path, config, known | {*_LEGACY_POOLINGS})
    include_prompt = _optional(path, config, "include_prompt", bool)
    modules.include_prompt = include_prompt is None or include_prompt


def _check_normalize(source: Source, folder: str) -> None:
    path = source.find(_in(folder, "config.json"))
    config = read_object(path) if path is not None else {}
    for key in ("module_input_name", "module_output_name"):
        if config.get(key, "sentence_embedding") not in ("sentence_embedding", None):
            raise ConfigError(f"{path}: {key}: found {config[key]!r}, supported: 'sentence_embedding'")
    if path is not None:
        warn_about_unknown(path, config, {"module_input_name", "module_output_name"})


def _read_settings(source: Source, modules: SentenceModules) -> None:
    path = source.find_if_known("config_sentence_transformers.json")
    if path is None:
        return
    config = read_object(path)
    # The rest says which versions wrote the file, and what may run it.
    known = {"prompts", "default_prompt_name", "truncate_dim", "similarity_fn_name", "model_type"}
    warn_about_unknown(path, config, known | {"__version__", "requirements"})
    if config.get("model_type") not in (None, "SentenceTransformer"):
        raise ConfigError(f"{path}: model_type: found {config['model_type']!r}, supported: 'SentenceTransformer'")
    prompts = config.get("prompts") or {}
    if not isinstance(prompts, dict) or not all(isinstance(text, str | None) for text in prompts.values()):
        raise ConfigError(f"{path}: prompts: expected an object of strings")
    modules.prompts = {name: text or "" for name, text in prompts.items()}
    modules.default_prompt_name = _optional(path, config, "default_prompt_name", str)
    modules.truncate_dim = _optional(path, config, "truncate_dim", int)
    modules.similarity = _optional(path, config, "similarity_fn_name", str) or "cosine"
    if modules.similarity not in SIMILARITIES:
        raise ConfigError(f"{path}: similarity_fn_name: found {modules.similarity!r}, supported: {SIMILARITIES}")
    if modules.default_prompt_name is not None and modules.default_prompt_name not in modules.prompts:
        raise ConfigError(
            f"{path}: default_prompt_name: found {modules.default_prompt_name!r}, which is none of the prompts: "
            f"{', '.join(modules.prompts) or 'there are none'}"
        )


def _optional(path: str, config: dict[str, Any], key: str, kind: type[Any]) -> Any:
    """config[key], checked; integers are positive. None if it is absent or null."""
    value = config.get(key)
    if value is None:
        return None
    if not isinstance(value, kind) or (kind is int and (isinstance(value, bool) or value < 1)):
        expected = {"int": "an integer above 0", "bool": "true or false", "str": "a string"}[kind.__name__]
        raise ConfigError(f"{path}: {key}: found {value!r}, expected {expected}")
    return value
