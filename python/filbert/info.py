"""What `filbert info` tells about a model."""

import math
import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

from . import _core
from .auto import AutoConfig
from .configuration import PretrainedConfig
from .errors import FilbertError, WeightsError
from .hub import Source
from .jsonfile import read_json, read_object
from .model_settings import load_config, refuse_adapter, warn_about_settings
from .models import HEADS, class_of, head_named
from .models.model2vec import Model2VecConfig
from .sentence.modules import SentenceModules, read_modules, unsaved_config
from .sentence.pooling import Pooling
from .sentence.reranker import RerankerModules, read_reranker, saved_settings
from .sentence.steps import KINDS as STEPS
from .sentence.transformer import TransformerModule
from .tokenization import NO_LIMIT, AutoTokenizer, Tokenizer
from .tokenizer_files import load_bare
from .tokenizer_vocabularies import has_tokenizer
from .weights import open_weights, shard_names

# By the names that families have for them.
_SIZES = {
    "layers": ("num_hidden_layers", "n_layers", "num_layers"),
    "hidden size": ("hidden_size", "dim", "d_model"),
    "heads": ("num_attention_heads", "n_heads", "num_heads"),
    "feed-forward size": ("intermediate_size", "hidden_dim", "d_ff"),
    "activation": ("activation_function", "hidden_act", "activation", "hidden_activation", "feed_forward_proj"),
    "positions": ("max_position_embeddings",),
    "vocabulary": ("vocab_size",),
}
_HEADS = {
    "ForSequenceClassification": "classifier of {}",
    "ForTokenClassification": "classifier of tokens, {}",
    "ForQuestionAnswering": "where answers begin and end",
    "ForMaskedLM": "masked words",
}
# What a model can compute in, by kind of device.
DTYPES = {"cpu": ("float32", "bfloat16", "int8"), "cuda": ("float32", "bfloat16", "float16")}
_SHOWN = 5

Row = tuple[str, str]


def describe(name: str, **where: Any) -> Iterator[str]:
    """Lines about what a model is and what filbert makes of it, as far as can be told. Its weights are not loaded.

    `where` are keywords of `Source`. Raises, after the lines, the first thing that SentenceEncoder or CrossEncoder (if
    there is a modules.json), AutoModel or AutoTokenizer (if there is a tokenizer) cannot open it for: FilbertError or
    OSError.
    """
    source = Source(name, **where)
    yield _line("model", name)
    is_sentence = source.find("modules.json") is not None
    where["revision"] = source.revision
    modules: TransformerModule = SentenceModules()
    failure = None
    if is_sentence:
        try:
            modules = read_modules(source) if saved_settings(source) is None else read_reranker(source)
        except (FilbertError, OSError) as error:
            failure = error
    inner = Source(name, **where, subfolder=modules.transformer)
    parts = [_model(inner, modules), _tokenizer(inner, modules, where)]
    if is_sentence:
        parts.append(_sentence(source, None if failure else modules))
    for part in parts:
        try:
            for title, value in part:
                yield _line(title, value)
        except (FilbertError, OSError) as error:
            failure = failure or error
    if failure is not None:
        raise failure


def _line(title: str, value: str) -> str:
    return f"{title:<18}{value}"


def _model(source: Source, modules: TransformerModule) -> Iterator[Row]:
    config: PretrainedConfig | None = None
    try:
        config = unsaved_config(source, modules) or load_config(AutoConfig, source)
        values: dict[str, Any] = config.to_dict()
    except (FilbertError, OSError) as error:
        failure, values = error, _contents(source)
    yield from _architecture(values)
    if config is None:
        raise failure
    warn_about_settings(config, source.subfolder, "AutoModel")
    refuse_adapter(source)
    path = source.weights()
    weights = open_weights(path)
    match = _core.match_tensors(config.to_json_string(), weights, "model", False)
    kind = head_named(config.architectures) or HEADS[0]
    head = _head(config, weights, kind)
    classes = [class_of(config.model_type, each) for each in ("Model", kind)]
    yield "opens as", " or ".join(each.__name__ for each in classes[: 1 if head is None else 2])
    labels = list(map(str, (config.id2label or {}).values()))
    heads = [*(["pooler"] if match.head else []), *([] if head is None else [_HEADS[kind].format(_some(labels))])]
    yield "head", ", ".join(heads) or "none"
    used = [stored for _, stored in match.tensors]
    if modules.is_static:
        rows, width = weights.shape(used[0])
        yield "token vectors", f"{rows:,} of {width} numbers"
    parameters = sum(math.prod(weights.shape(tensor)) for tensor in used)
    yield "parameters", f"{parameters:,}{'' if match.head or not match.has_head else ' (no pooler)'}"
    dtypes = Counter(weights.dtype(tensor) for tensor in used)
    yield "stored as", ", ".join(f"{dtype} ({count} tensors)" for dtype, count in dtypes.most_common())
    shards = shard_names(path) if path.endswith(".json") else []
    files = [os.path.join(os.path.dirname(path), shard) for shard in shards] or [path]
    size = sum(map(os.path.getsize, files))
    yield "weights", f"{path} ({f'{len(shards)} shards, ' if shards else ''}{size / 1e6:,.1f} MB)"
    unused = [name for name in match.unexpected if head is None or name in head.unexpected]
    if unused:
        yield "not used", f"{len(unused)} tensors: {', '.join(unused[:3])}{', ...' if len(unused) > 3 else ''}"
    for device in _core.devices():
        kind = device.name.split(":")[0]
        runs = ", ".join(DTYPES[kind]) if device.available else f"not available: {device.reason}"
        yield f"on {device.name}", runs


def _contents(source: Source) -> dict[str, Any]:
    """What a config.json that cannot be opened says all the same."""
    try:
        path = source.find("config.json")
        return {} if path is None else read_object(path)
    except (FilbertError, OSError):
        return {}


def _architecture(values: dict[str, Any]) -> Iterator[Row]:
    names = values.get("architectures")
    told = [values.get("model_type"), *(names if isinstance(names, list) else [])]
    if any(told):
        yield "architecture", ", ".join(str(each) for each in told if each)
    if values.get("model_type") == Model2VecConfig.model_type:
        return  # the table tells the rest
    for title, keys in _SIZES.items():
        found = [values[key] for key in keys if values.get(key) is not None]
        if found:
            yield title, f"{found[0]:,}" if isinstance(found[0], int) else f"{found[0]!s:.100}"
    experts, chosen = values.get("num_experts"), values.get("moe_top_k")
    if experts and chosen:
        yield "experts", f"{experts!s:.100}, {chosen!s:.100} a token"


def _head(config: PretrainedConfig, weights: _core.Weights, kind: str) -> _core.TensorMatch | None:
    model_class = class_of(config.model_type, kind)
    if model_class is None:
        return None
    try:
        return _core.match_tensors(config.to_json_string(), weights, model_class.task, True)
    except WeightsError:  # of another task, or of none
        return None


def _some(labels: list[str]) -> str:
    noun = f"{len(labels)} label{'' if len(labels) == 1 else 's'}"
    return f"{noun}: {', '.join(labels[:_SHOWN])}{', ...' if len(labels) > _SHOWN else ''}" if labels else noun


def _tokenizer(source: Source, modules: TransformerModule, where: dict[str, Any]) -> Iterator[Row]:
    if not has_tokenizer(source):
        if source.find("config.json") is not None:  # else nothing is known of the model at all
            yield "tokenizer", "none"
        return
    settings = {**where, "subfolder": modules.transformer, **modules.tokenizer_settings}
    bare = modules.is_static
    tokenizer = Tokenizer(load_bare(source)) if bare else AutoTokenizer.from_pretrained(source.name, **settings)
    limit = "any length" if tokenizer.model_max_length >= NO_LIMIT else f"up to {tokenizer.model_max_length} tokens"
    yield "tokenizer", f"{type(tokenizer.backend_tokenizer.model).__name__}, {len(tokenizer):,} tokens, {limit}"


def _sentence(source: Source, modules: TransformerModule | None) -> Iterator[Row]:
    """Of modules.json, and of what it names if filbert has that."""
    entries = read_json(source.get("modules.json"))
    entries = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    if entries:
        yield "modules", " -> ".join(str(entry.get("type")).rsplit(".", 1)[-1] for entry in entries)
    if modules is None:
        return
    limit = [] if modules.max_seq_length is None else [f"of up to {modules.max_seq_length} tokens"]
    if isinstance(modules, SentenceModules):
        kinds = [kind for kind, _ in (modules.chains() or {None: []}).popitem()[1]]
        told = [f"{next(iter(modules.poolings.values()), Pooling())}"]
        told += ["normalised" if kind == "Normalize" else kind for kind in kinds if kind in STEPS]
        if modules.truncate_dim is not None:
            told.append(f"cut to {modules.truncate_dim} numbers")
        yield "sentence vectors", f"{', '.join(told + limit)}; compared by {modules.similarity}"
    elif isinstance(modules, RerankerModules):
        how = "by the token that would come next" if modules.is_causal else "by the classifier"
        yield "scores of pairs", ", ".join([how, *(["as chats"] if modules.message_format else []), *limit])
    for name, text in modules.prompts.items():
        if not text and name in SentenceModules().prompts:
            continue  # every model has these
        is_default = " (put before every text)" if name == modules.default_prompt_name else ""
        yield "prompt", f"{name}: {text!r}{is_default}"
