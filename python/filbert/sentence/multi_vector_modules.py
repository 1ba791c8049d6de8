"""What the files of a model of late interaction ask for: sentence-transformers' own, PyLate's and Stanford's."""

from typing import Any

from ..errors import ConfigError
from ..hub import Source
from ..jsonfile import read_object
from ..settings import warn_about_unknown
from .dense import read_dense
from .maxsim import SCORES
from .modules import read_encoder
from .multi_vector_legacy import PUNCTUATION, PYLATE_KEYS, read_pylate, read_stanford
from .multi_vector_settings import LENGTHS, MultiVectorModules, texts_of
from .steps import Normalize
from .transformer import check_default_prompt, read_entries, read_prompts, within

_KINDS = ("Transformer", "Dense", "MultiVectorMask", "Normalize")
_PACKAGES = ("sentence_transformers.", "pylate.")
_SUPPORTED = "Transformer and then Dense, MultiVectorMask and Normalize"
_TOKENS, _SENTENCE = "token_embeddings", "sentence_embedding"
_STANFORD = "HF_ColBERT"  # the architecture in config.json
_PYLATE, _OWN, _SINGLE = "ColBERT", "MultiVectorEncoder", "SentenceTransformer"  # model_type
_SETTINGS = {"prompts", "default_prompt_name", "similarity_fn_name", "model_type", "__version__", "requirements"}


def read_multi_vector(source: Source) -> MultiVectorModules:
    """Reads modules.json and what it names, or the files of Stanford's ColBERT.

    Raises ConfigError, naming the file and what it asks for, for anything that filbert would compute differently, and
    for a model without a projection of token vectors, too. Raises WeightsError and OSError.
    """
    config = source.find("config.json")  # fixes the commit, so that the cache knows which others do not exist
    modules = MultiVectorModules()
    path = source.find_if_known("modules.json")
    if path is None and config is None:
        return modules  # there is no model either, which loading it tells
    is_stanford = _STANFORD in ((read_object(config) if config is not None else {}).get("architectures") or ())
    if path is not None:
        _read_listed(source, path, _OWN if is_stanford else _SINGLE, modules)
    elif is_stanford:
        modules.infers_chats = True
        modules.steps = [read_stanford(source, modules), Normalize()]
    else:
        raise ConfigError(
            f"{source.name}: no modules.json, and no {_STANFORD} among the architectures of config.json: it has no "
            "projection of token vectors, and MultiVectorEncoder makes none up"
        )
    return modules


def _read_listed(source: Source, path: str, usual: str, modules: MultiVectorModules) -> None:
    """usual: the model_type, if none is said."""
    entries = read_entries(path, _KINDS, _SUPPORTED, _PACKAGES)
    kinds = [kind for kind, _ in entries]
    if kinds[:1] != ["Transformer"] or kinds.count("Transformer") > 1 or kinds.count("MultiVectorMask") > 1:
        raise ConfigError(f"{path}: found modules {', '.join(kinds) or 'none'}, supported: {_SUPPORTED}")
    modules.transformer = entries[0][1]
    model_type, lengths = _read_settings(source, usual, modules)
    found = read_encoder(source, modules, LENGTHS)
    settings = found[1] if found is not None else {}
    modules.read_lengths(source.name, lengths | {key: settings[key] for key in LENGTHS if key in settings})
    if model_type == _SINGLE and "Dense" not in kinds:
        raise ConfigError(
            f"{path}: found modules {', '.join(kinds)} of a {_SINGLE}: it has no projection of token vectors, and "
            "MultiVectorEncoder makes none up"
        )
    for kind, folder in entries[1:]:
        if kind == "Dense":
            modules.steps.append(read_dense(source, folder, (_TOKENS, _SENTENCE)[: 1 + (model_type == _SINGLE)]))
        elif kind == "MultiVectorMask":
            _read_mask(source, folder, modules)
        elif _normalizes_tokens(source, folder):
            modules.steps.append(Normalize())
    if model_type == _OWN:
        modules.has_mask = "MultiVectorMask" in kinds
    else:
        modules.steps.append(Normalize())


def _read_settings(source: Source, usual: str, modules: MultiVectorModules) -> tuple[str, dict[str, Any]]:
    """The model_type, and the LENGTHS that config_sentence_transformers.json has."""
    path = source.find_if_known("config_sentence_transformers.json")
    if path is None:
        return usual, {}
    settings = read_object(path)
    warn_about_unknown(path, settings, {*_SETTINGS, *PYLATE_KEYS})
    model_type = settings.get("model_type") or usual
    if model_type not in (_PYLATE, _OWN, _SINGLE):
        raise ConfigError(f"{path}: model_type: found {model_type!r}, supported: {_OWN!r} and PyLate's {_PYLATE!r}")
    prompts = modules.prompts
    read_prompts(path, settings, modules)
    modules.prompts = prompts | modules.prompts
    lengths = read_pylate(path, settings, modules)
    if model_type == _PYLATE and settings.get("skiplist_words") is None:
        modules.skiplist_words = PUNCTUATION
    if model_type == _OWN:
        modules.skiplist_words = []  # MultiVectorMask has them
    if settings.get("similarity_fn_name") in SCORES:
        modules.similarity = settings["similarity_fn_name"]
    check_default_prompt(path, modules.default_prompt_name, modules.prompts)
    return model_type, lengths


def _read_mask(source: Source, folder: str, modules: MultiVectorModules) -> None:
    path = source.find_if_known(within(folder, "config.json"))
    if path is None:
        return
    config = read_object(path)
    warn_about_unknown(path, config, {"skiplist_words", "skiplist_tasks", "keep_only_token_ids"})
    modules.skiplist_words = texts_of(path, config, "skiplist_words") or []
    tasks = config.get("skiplist_tasks")
    tasks = texts_of(path, config | ({"skiplist_tasks": [tasks]} if isinstance(tasks, str) else {}), "skiplist_tasks")
    if tasks is not None:
        modules.skiplist_tasks = tasks
    kept = config.get("keep_only_token_ids") or []
    if not isinstance(kept, list) or not all(type(index) is int for index in kept):
        raise ConfigError(f"{path}: keep_only_token_ids: found {kept!r:.100}, expected a list of integers")
    modules.keep_only_token_ids = kept


def _normalizes_tokens(source: Source, folder: str) -> bool:
    """Whether a Normalize module is for vectors of tokens. One for those of sentences finds none."""
    path = source.find_if_known(within(folder, "config.json"))
    config = read_object(path) if path is not None else {}
    names = [config.get("module_input_name") or _SENTENCE]
    names.append(config.get("module_output_name") or names[0])
    if names not in ([_TOKENS] * 2, [_SENTENCE] * 2):
        raise ConfigError(f"{path}: found names {' and '.join(map(repr, names))}, supported: {_TOKENS!r} for both")
    return bool(names[0] == _TOKENS)
