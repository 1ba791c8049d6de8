"""What the files of a sentence-transformers model ask for: modules.json and the settings beside it."""

import warnings
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from ..configuration import PretrainedConfig
from ..errors import ConfigError
from ..hub import Source
from ..jsonfile import read_object
from ..models.model2vec import Model2VecConfig
from ..settings import warn_about_unknown
from .transformer import (
    TransformerModule,
    check_modality,
    optional,
    read_entries,
    read_prompts,
    read_transformer,
    within,
)

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
# Settings of the Transformer module that say what it is for.
_TASK: dict[str, tuple[Any, ...]] = {
    "transformer_task": ("feature-extraction", None),
    "module_output_name": ("token_embeddings", None),
}


@dataclass
class SentenceModules(TransformerModule):
    """How token vectors become a sentence vector, and how text becomes tokens."""

    pooling: str = "mean"
    dimension: int | None = None  # of the token vectors, as Pooling has it
    include_prompt: bool = True
    normalize: bool = False
    similarity: str = "cosine"
    truncate_dim: int | None = None
    max_active_dims: int | None = None  # of sparse vectors


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
    entries = read_entries(path, _KINDS, _SUPPORTED)
    kinds, folders = [kind for kind, _ in entries], [folder for _, folder in entries]
    modules.normalize = kinds[-1:] == ["Normalize"]
    if tuple(kinds[: len(kinds) - modules.normalize]) not in _CHAINS:
        raise ConfigError(f"{path}: found modules {', '.join(kinds) or 'none'}, supported: {_SUPPORTED}")
    modules.transformer = folders[0]
    modules.is_static = kinds[0] == "StaticEmbedding"
    if not modules.is_static:
        read_encoder(source, modules)
        _read_pooling(source, folders[1], modules)
    if modules.normalize:
        check_normalize(source, folders[-1])
    read_settings(source, modules)
    return modules


def unsaved_config(source: Source, modules: TransformerModule) -> PretrainedConfig | None:
    """The configuration of an encoder that is saved without one, whose weights tell all; None of any other.

    `source` is where the encoder lies.
    """
    return Model2VecConfig() if modules.is_static and source.find("config.json") is None else None


def _is_causal(config: dict[str, Any]) -> bool:
    """Whether a model was made to write text, and none of its tokens sees a later one."""
    names = config.get("architectures")
    first = str(names[0]) if isinstance(names, list) and names else ""
    return first.endswith("ForCausalLM") and bool(config.get("is_causal", True))


def read_encoder(
    source: Source, modules: TransformerModule, own: Collection[str] = ()
) -> tuple[str, dict[str, Any]] | None:
    """As `read_transformer`, of a Transformer module that gives the vectors of tokens of a text."""
    found = read_transformer(source, modules, _TASK, own)
    if found is not None:
        check_modality(*found, "last_hidden_state")
    return found


def _read_pooling(source: Source, folder: str, modules: SentenceModules) -> None:
    path = source.get(within(folder, "config.json"))
    config = read_object(path)
    modes = config.get("pooling_mode")
    if modes is None:
        modes = [mode for key, mode in _LEGACY_POOLINGS.items() if config.get(key)] or ["mean"]
    modes = [modes] if isinstance(modes, str) else modes
    if not isinstance(modes, list) or len(modes) != 1 or modes[0] not in POOLINGS:
        found = " and ".join(map(str, modes)) if isinstance(modes, list) else modes
        raise ConfigError(f"{path}: found pooling {found}, supported: one of {', '.join(POOLINGS)}")
    modules.pooling = POOLINGS[modes[0]]
    modules.dimension = optional(path, config, "embedding_dimension", int)
    if modules.dimension is None:
        modules.dimension = optional(path, config, "word_embedding_dimension", int)
    known = {"pooling_mode", "embedding_dimension", "word_embedding_dimension", "include_prompt"}
    warn_about_unknown(path, config, known | {*_LEGACY_POOLINGS})
    include_prompt = optional(path, config, "include_prompt", bool)
    modules.include_prompt = include_prompt is None or include_prompt


def check_normalize(source: Source, folder: str) -> None:
    """Raises ConfigError if the Normalize module of that folder is for something other than sentence vectors."""
    path = source.find(within(folder, "config.json"))
    config = read_object(path) if path is not None else {}
    for key in ("module_input_name", "module_output_name"):
        if config.get(key, "sentence_embedding") not in ("sentence_embedding", None):
            raise ConfigError(f"{path}: {key}: found {config[key]!r}, supported: 'sentence_embedding'")
    if path is not None:
        warn_about_unknown(path, config, {"module_input_name", "module_output_name"})


def read_settings(source: Source, modules: SentenceModules, model_type: str = "SentenceTransformer") -> None:
    """Reads config_sentence_transformers.json, if there is one.

    model_type: the class of sentence-transformers that is to have written it. Raises ConfigError.
    """
    path = source.find_if_known("config_sentence_transformers.json")
    if path is None:
        return
    config = read_object(path)
    # The rest says which versions wrote the file, and what may run it.
    known = {"prompts", "default_prompt_name", "truncate_dim", "similarity_fn_name", "model_type", "max_active_dims"}
    warn_about_unknown(path, config, known | {"__version__", "requirements"})
    if config.get("model_type") not in (None, model_type):
        raise ConfigError(f"{path}: model_type: found {config['model_type']!r}, supported: {model_type!r}")
    read_prompts(path, config, modules)
    modules.truncate_dim = optional(path, config, "truncate_dim", int)
    modules.max_active_dims = optional(path, config, "max_active_dims", int)
    modules.similarity = optional(path, config, "similarity_fn_name", str) or modules.similarity
    if modules.similarity not in SIMILARITIES:
        raise ConfigError(f"{path}: similarity_fn_name: found {modules.similarity!r}, supported: {SIMILARITIES}")
    if modules.default_prompt_name is not None and modules.default_prompt_name not in modules.prompts:
        raise ConfigError(
            f"{path}: default_prompt_name: found {modules.default_prompt_name!r}, which is none of the prompts: "
            f"{', '.join(modules.prompts) or 'there are none'}"
        )
