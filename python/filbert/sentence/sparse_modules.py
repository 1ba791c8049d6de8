"""What the files of a sparse sentence-transformers model ask for: modules.json, a Router's settings and the rest."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import ConfigError, InputError
from ..hub import Source
from ..jsonfile import read_object
from ..settings import warn_about_unknown
from .modules import SentenceModules, read_settings
from .router import KINDS as ROUTERS
from .router import Entry, Router, read_router
from .steps import check_normalize
from .transformer import check_modality, read_entries, read_transformer, within

POOLINGS = ("max", "sum")
ACTIVATIONS = ("relu", "log1p_relu")

_SUPPORTED = (
    "Transformer (of the task fill-mask) or MLMTransformer and then SpladePooling, or SparseStaticEmbedding, each with "
    "or without a Normalize, or a Router among these"
)
_TRANSFORMERS = {"Transformer": ("fill-mask",), "MLMTransformer": ("fill-mask", None)}
_KINDS = (*_TRANSFORMERS, "SpladePooling", "SparseStaticEmbedding", "Normalize")


@dataclass
class SpladeFiles:
    """Logits over the vocabulary, and how they become the vector of a text."""

    transformer: SentenceModules = field(default_factory=SentenceModules)  # its folder and settings
    pooling: str = "max"
    activation: str = "relu"
    normalize: bool = False


@dataclass
class TableFiles:
    """A weight for every token."""

    folder: str
    normalize: bool = False
    frozen: bool = False  # in a training


@dataclass
class SparseModules:
    """The ways from a text to its vector, and the settings of all of them.

    routes: by their names; of a model without a Router one, "". entries: the modules, one after the other.
    """

    routes: dict[str, SpladeFiles | TableFiles]
    entries: list[Entry | Router]
    settings: SentenceModules = field(default_factory=lambda: SentenceModules(similarity="dot"))
    router: Router | None = None

    def route_name(self, task: str | None) -> str:
        """The name of the route of a task. Raises InputError if there is none."""
        return "" if self.router is None else self.router.route_name(task)

    def chain(self, name: str) -> list[Entry]:
        """The modules that a text of that route goes through."""
        chain: list[Entry] = []
        for entry in self.entries:
            chain += entry.routes[name] if isinstance(entry, Router) else [entry]
        return chain

    def override(self, tokenizer_settings: Mapping[str, Any], config_settings: Mapping[str, Any]) -> None:
        """Sets these over what the files of each Transformer say. Raises InputError if there is none."""
        transformers = [files.transformer for files in self.routes.values() if isinstance(files, SpladeFiles)]
        found = ", ".join([*tokenizer_settings, *config_settings])
        if found and not transformers:
            raise InputError(
                f"processor_kwargs, config_kwargs: found {found}: a table of weights is taken as its files say"
            )
        for module in transformers:
            module.tokenizer_settings.update(tokenizer_settings)
            module.config_settings.update(config_settings)


def read_sparse_modules(source: Source) -> SparseModules:
    """Reads modules.json and what it names.

    Without one, a model for masked words is a SPLADE model, as in sentence-transformers.
    Raises ConfigError, naming the file and what it asks for, for anything that filbert would compute differently.
    """
    config = source.find("config.json")  # fixes the commit, so that the cache knows which others do not exist
    path = source.find_if_known("modules.json")
    if path is None:
        return _of_masked_words(source.get("config.json") if config is None else config)
    entries = read_entries(path, (*_KINDS, *ROUTERS), _SUPPORTED)
    kinds, folders = [kind for kind, _ in entries], [folder for _, folder in entries]
    if kinds[:1] and kinds[0] in ROUTERS and kinds[1:] in ([], ["Normalize"]):
        modules = _read_router(source, folders[0])
        modules.entries += entries[1:]
        if kinds[1:]:
            check_normalize(source, folders[1])
            for route in modules.routes.values():
                route.normalize = True
    else:
        modules = SparseModules({"": _read_route(source, path, kinds, folders)}, [*entries])
    read_settings(source, modules.settings, "SparseEncoder")
    return modules


def _of_masked_words(path: str) -> SparseModules:
    names = read_object(path).get("architectures")
    if not isinstance(names, list) or not any(str(name).endswith("ForMaskedLM") for name in names):
        raise ConfigError(
            f"{path}: architectures: found {names!r:.100}, expected a ...ForMaskedLM, as there is no modules.json"
        )
    entries: list[Entry | Router] = [("Transformer", ""), ("SpladePooling", "1_SpladePooling")]
    return SparseModules({"": SpladeFiles(SentenceModules(infers_chats=True))}, entries)


def _read_route(source: Source, path: str, kinds: list[str], folders: list[str]) -> SpladeFiles | TableFiles:
    """What some modules, one after the other, are together. `path`: the file that lists them."""
    chain = kinds[:-1] if kinds[-1:] == ["Normalize"] else kinds
    is_splade = len(chain) == 2 and chain[0] in _TRANSFORMERS and chain[1] == "SpladePooling"
    if not is_splade and chain != ["SparseStaticEmbedding"]:
        raise ConfigError(f"{path}: found modules {', '.join(kinds) or 'none'}, supported: {_SUPPORTED}")
    normalize = chain != kinds
    if normalize:
        check_normalize(source, folders[-1])
    if not is_splade:
        return TableFiles(folders[0], normalize)
    transformer = SentenceModules(transformer=folders[0])
    _read_transformer(source, transformer, _TRANSFORMERS[kinds[0]])
    pooling, activation = _read_pooling(source, folders[1])
    return SpladeFiles(transformer, pooling, activation, normalize)


def _read_transformer(source: Source, module: SentenceModules, tasks: tuple[str | None, ...]) -> None:
    """tasks: what its transformer_task may be; None for a file that does not say."""
    expected = {"transformer_task": tasks, "module_output_name": ("token_embeddings", None)}
    found = read_transformer(source, module, expected)
    if found is not None:
        check_modality(*found, "logits")
    elif None not in tasks:
        where = within(module.transformer, "sentence_bert_config.json")
        raise ConfigError(f"{source.name}: {where}: found no such file, expected one with transformer_task {tasks[0]}")


def _read_pooling(source: Source, folder: str) -> tuple[str, str]:
    path = source.get(within(folder, "config.json"))
    config = read_object(path)
    found = []
    for key, supported in (("pooling_strategy", POOLINGS), ("activation_function", ACTIVATIONS)):
        found.append(config.get(key, supported[0]))
        if found[-1] not in supported:
            raise ConfigError(f"{path}: {key}: found {found[-1]!r}, supported: {', '.join(supported)}")
    # How wide vectors are, and how much memory is used, is known better.
    known = {"pooling_strategy", "activation_function", "embedding_dimension", "word_embedding_dimension", "chunk_size"}
    warn_about_unknown(path, config, known)
    return found[0], found[1]


def _read_router(source: Source, folder: str) -> SparseModules:
    path, router = read_router(source, folder, _KINDS, _SUPPORTED)
    routes = {
        name: _read_route(source, path, [kind for kind, _ in entries], [folder for _, folder in entries])
        for name, entries in router.routes.items()
    }
    return SparseModules(routes, [router], router=router)
