"""What the files of a sentence-transformers model ask for: modules.json and the settings beside it."""

import os
import warnings
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from ..configuration import PretrainedConfig
from ..errors import ConfigError, InputError
from ..hub import Source
from ..jsonfile import read_object
from ..models.model2vec import Model2VecConfig
from ..settings import warn_about_unknown
from .pooling import Pooling, read_pooling
from .router import KINDS as ROUTERS
from .router import Entry, Router, read_router
from .steps import KINDS as STEPS
from .transformer import (
    TransformerModule,
    check_default_prompt,
    check_modality,
    optional,
    read_entries,
    read_prompts,
    read_transformer,
)

SIMILARITIES = ("cosine", "dot", "euclidean", "manhattan")

_SUPPORTED = f"Transformer, Pooling or StaticEmbedding, then any of {', '.join(STEPS)}; or Routers among these"
_KINDS = ("Transformer", "Pooling", "StaticEmbedding", *STEPS)
# The classes of the package InstructorEmbedding, which has no setting for its pooling to leave instructions out.
_INSTRUCTOR_KINDS = {"INSTRUCTOR_Transformer": "Transformer", "INSTRUCTOR_Pooling": "Pooling"}
_INSTRUCTORS = ("hkunlp/instructor-base", "hkunlp/instructor-large", "hkunlp/instructor-xl")
# Settings of the Transformer module that say what it is for.
_TASK: dict[str, tuple[Any, ...]] = {
    "transformer_task": ("feature-extraction", None),
    "module_output_name": ("token_embeddings", None),
}


@dataclass
class SentenceModules(TransformerModule):
    """How a text becomes a vector: what its first module is, by TransformerModule, and those after it.

    entries: the modules, one after the other. transformers, poolings: the settings of these, by their folders.
    """

    entries: list[Entry | Router] = field(default_factory=lambda: [("Transformer", ""), ("Pooling", "1_Pooling")])
    transformers: dict[str, TransformerModule] = field(default_factory=dict)
    poolings: dict[str, Pooling] = field(default_factory=lambda: {"1_Pooling": Pooling()})
    prompts: dict[str, str] = field(default_factory=lambda: {"query": "", "document": ""})  # every model has these
    similarity: str = "cosine"
    truncate_dim: int | None = None
    max_active_dims: int | None = None  # of sparse vectors

    def chain(self, task: str | None = None) -> list[Entry]:
        """The modules that a text of that task goes through. Raises InputError if a Router has none for it."""
        chain: list[Entry] = []
        for entry in self.entries:
            chain += entry.routes[entry.route_name(task)] if isinstance(entry, Router) else [entry]
        return chain

    def chains(self) -> dict[str | None, list[Entry]]:
        """Those of all tasks that there are any for; None is no task."""
        routers = [entry for entry in self.entries if isinstance(entry, Router)]
        tasks: list[str | None] = [None, *sorted(set().union(*(router.tasks() for router in routers)))]
        found = {}
        for task in tasks:
            with suppress(InputError):
                found[task] = self.chain(task)
        return found


def read_modules(source: Source) -> SentenceModules:
    """Reads modules.json and what it names, but for weights.

    Without one: mean pooling, or the last token of what was made to write text, with a warning, as in
    sentence-transformers.
    Raises ConfigError, naming the file and what it asks for, for anything that filbert would compute differently.
    """
    config = source.find("config.json")  # fixes the commit, so that the cache knows which others do not exist
    modules = SentenceModules()
    modules.transformers = {"": modules}
    path = source.find_if_known("modules.json")
    if path is None and config is None:
        return modules  # there is no model either, which loading it tells
    if path is None:
        _take_for_granted(source, read_object(config) if config is not None else {}, modules)
        return modules
    modules.entries = []
    where = path
    leaves_prompts_out = source.name in _INSTRUCTORS
    packages = ("sentence_transformers.", "InstructorEmbedding.")
    for kind, folder in read_entries(path, (*_KINDS, *_INSTRUCTOR_KINDS, *ROUTERS), _SUPPORTED, packages):
        leaves_prompts_out |= kind in _INSTRUCTOR_KINDS
        kind = _INSTRUCTOR_KINDS.get(kind, kind)
        if kind in ROUTERS:
            where, router = read_router(source, folder, _KINDS, _SUPPORTED)
            modules.entries.append(router)
        else:
            modules.entries.append((kind, folder))
    modules.transformers, modules.poolings = {}, {}
    for chain in modules.chains().values() or [[]]:
        _check_order(where, [kind for kind, _ in chain])
        _check_folders(where, chain)
        for kind, folder in chain:
            if kind == "Pooling" and folder not in modules.poolings:
                modules.poolings[folder] = read_pooling(source, folder)
        folder = chain[0][1]
        if folder not in modules.transformers:
            module = TransformerModule() if modules.transformers else modules
            modules.transformers[folder] = module
            module.transformer, module.is_static = folder, chain[0][0] == "StaticEmbedding"
            if not module.is_static:
                read_encoder(source, module)
    _leave_prompts_out(source.name, modules, leaves_prompts_out)
    read_settings(source, modules)
    return modules


def _leave_prompts_out(name: str, modules: SentenceModules, is_instructor: bool) -> None:
    """What sentence-transformers does where INSTRUCTOR's authors published the model, and what it tells of others."""
    for pooling in modules.poolings.values():
        if is_instructor:
            pooling.include_prompt = False
        elif pooling.include_prompt and "instructor" in os.path.basename(name).lower():
            warnings.warn(
                f"{name}: INSTRUCTOR models leave the instruction out of their vectors, and the Pooling module does "
                "not say so; call set_pooling_include_prompt(False)",
                stacklevel=4,
            )


def _take_for_granted(source: Source, config: dict[str, Any], modules: SentenceModules) -> None:
    """What a model without modules.json, whose config.json is that, is taken for."""
    if config.get("model_type") == "model2vec":
        modules.is_static, modules.poolings = True, {}
        modules.entries = [("StaticEmbedding", "")]
        if config.get("normalize") is True:
            modules.entries.append(("Normalize", "1_Normalize"))
        return
    modules.infers_chats = True
    mode = "lasttoken" if _is_causal(config) else "mean"
    modules.poolings = {"1_Pooling": Pooling((mode,))}
    what = "those of last tokens" if mode == "lasttoken" else "means of token vectors"
    warnings.warn(f"{source.name} has no modules.json: its sentence vectors are {what}", stacklevel=4)


def _check_folders(path: str, chain: list[Entry]) -> None:
    """Each module but Normalize has a config.json of its own."""
    folders = [folder.strip("/") for kind, folder in chain if kind != "Normalize"]
    if len({*folders}) < len(folders):
        raise ConfigError(f"{path}: found modules in the folders {folders!r}, expected one for each")


def _check_order(path: str, kinds: list[str]) -> None:
    first = 2 if kinds[:2] == ["Transformer", "Pooling"] else 1 if kinds[:1] == ["StaticEmbedding"] else 0
    if not first or any(kind not in STEPS for kind in kinds[first:]):
        raise ConfigError(f"{path}: found modules {', '.join(kinds) or 'none'}, supported: {_SUPPORTED}")


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
    source: Source, module: TransformerModule, own: Collection[str] = ()
) -> tuple[str, dict[str, Any]] | None:
    """As `read_transformer`, of a Transformer module that gives the vectors of tokens of a text."""
    found = read_transformer(source, module, _TASK, own)
    if found is not None:
        check_modality(*found, "last_hidden_state")
    return found


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
    check_default_prompt(path, modules.default_prompt_name, modules.prompts)
