"""Making pipelines."""

import os
import warnings
from importlib import import_module
from typing import Any

from .. import auto
from ..checks import integer
from ..configuration import PretrainedConfig
from ..encoder import EncoderModel, dtype_name
from ..errors import ConfigError, InputError
from ..hub import Source, hub_keywords
from ..loading_keywords import own_keywords
from ..model_settings import load_config
from ..tokenization import AutoTokenizer, Tokenizer
from .base import Pipeline

# task -> (module of this package, class, what transformers takes where no model is named, or None)
TASKS = {
    "feature-extraction": ("feature_extraction", "FeatureExtractionPipeline", "distilbert/distilbert-base-cased"),
    "fill-mask": ("fill_mask", "FillMaskPipeline", "distilbert/distilroberta-base"),
    "question-answering": (
        "question_answering",
        "QuestionAnsweringPipeline",
        "distilbert/distilbert-base-cased-distilled-squad",
    ),
    "text-classification": (
        "text_classification",
        "TextClassificationPipeline",
        "distilbert/distilbert-base-uncased-finetuned-sst-2-english",
    ),
    "token-classification": (
        "token_classification",
        "TokenClassificationPipeline",
        "dbmdz/bert-large-cased-finetuned-conll03-english",
    ),
    "zero-shot-classification": ("zero_shot_classification", "ZeroShotClassificationPipeline", None),
}
ALIASES = {"sentiment-analysis": "text-classification", "ner": "token-classification"}

# What the name of an architecture ends in -> its task.
_TASK_OF = {
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
    "ForQuestionAnswering": "question-answering",
    "ForMaskedLM": "fill-mask",
    "Model": "feature-extraction",
}


def pipeline(
    task: str | None = None,
    model: str | os.PathLike[str] | EncoderModel | None = None,
    config: Any = None,
    tokenizer: str | os.PathLike[str] | Tokenizer | None = None,
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    device: Any = None,
    dtype: Any = None,
    torch_dtype: Any = None,
    device_map: None = None,
    framework: str | None = None,
    use_fast: bool = True,
    num_workers: int | None = None,
    pipeline_class: None = None,
    num_threads: int | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
    trust_remote_code: bool | None = None,
    model_kwargs: dict[str, Any] | None = None,
    batch_size: int | None = None,
    **options: Any,
) -> Pipeline:
    """A pipeline, as `transformers.pipeline` makes it.

    Args:
        task: "feature-extraction", "text-classification" ("sentiment-analysis"), "token-classification" ("ner"),
            "fill-mask", "zero-shot-classification" or "question-answering"; None: what the model was made for.
        model: a folder, an id on the hub or a loaded model; None: the one that transformers takes for the task.
        config, tokenizer: those of the model if None, from where a loaded model was loaded; a tokenizer also by its
            folder or id.
        device: "cpu", "cuda", "cuda:1", "auto", the number of a GPU, or -1 for the CPU; None: the CPU, or where a
            loaded model is. Another moves a loaded model, as in transformers.
        dtype, num_threads, revision, token, cache_dir, local_files_only: see `AutoModel.from_pretrained`; of a dtype of
            None the model computes in float32. Of a loaded model the first two can only be what they are.
        torch_dtype: the older name of dtype.
        trust_remote_code, use_fast, num_workers: ignored: code of a repository is never run, tokenizers are fast, and
            the engine is parallel inside. framework: "pt" or None, which change nothing.
        device_map, pipeline_class: None; there is nothing else.
        model_kwargs: further keywords of `from_pretrained`, or those above if they are not given there; those that say
            where files are hold for the tokenizer too.
        batch_size: see `Pipeline.__call__`.
        options: defaults of the calls, such as top_k.

    Returns:
        The pipeline of the task.

    Raises:
        ConfigError: there is no such task, or a loaded model has another head; or there is no task in the config.
        WeightsError: the model's files have no head for the task.
        InputError, DeviceError, OSError, MemoryError: see `from_pretrained`.
        TypeError: an option that the task does not have, or a config that is none.
    """
    if device_map is not None or pipeline_class is not None:
        raise InputError("device_map, pipeline_class: found one, expected None: device says where the model runs")
    if framework not in (None, "pt"):
        raise InputError(f"framework: found {framework!r}, expected None or 'pt'")
    named = {
        "config": config,
        "device": device,
        "dtype": torch_dtype if dtype is None else dtype,
        "num_threads": num_threads,
        "revision": revision,
        "token": token,
        "cache_dir": cache_dir,
        "local_files_only": local_files_only or None,
    }
    keywords = _merged(named, model_kwargs or {})
    if task is not None:
        task = ALIASES.get(task, task)
        if task not in TASKS:
            raise ConfigError(f"task: found {task!r}, expected one of {', '.join([*TASKS, *ALIASES])}")
    if model is None:
        model = _usual_model(task)
    if task is None:
        task = _task_of(model, keywords)
    module, name, _ = TASKS[task]
    chosen: type[Pipeline] = getattr(import_module(f".{module}", __package__), name)
    if not isinstance(model, EncoderModel):
        loaded = getattr(auto, chosen.auto_class).from_pretrained(model, **{**chosen.model_keywords, **keywords})
    elif model.auto_class == chosen.auto_class:
        loaded = _as_asked(model, keywords)
    else:
        raise ConfigError(f"task {task!r} takes a model of {chosen.auto_class}, found {type(model).__name__}")
    if not isinstance(tokenizer, Tokenizer):
        tokenizer = _tokenizer(tokenizer, model, keywords)
    return chosen(loaded, tokenizer, batch_size, **options)


def _merged(named: dict[str, Any], model_kwargs: dict[str, Any]) -> dict[str, Any]:
    """What is given of the keywords of `pipeline` and in `model_kwargs`, by the names of `from_pretrained`."""
    given = {key: value for key, value in named.items() if value is not None}
    merged = {key: value for key, value in own_keywords(model_kwargs).items() if value is not None}
    for key in given:
        if key in merged:  # without the values, of which one may be a token
            raise InputError(f"{key}: found as a keyword and in model_kwargs, expected one of them")
    merged |= given
    config = merged.get("config")
    if not isinstance(config, PretrainedConfig | None):
        raise TypeError(f"config: found a {type(config).__name__}, expected a configuration, such as one of AutoConfig")
    if "device" in merged:
        merged["device"] = _device_name(merged["device"])
    return merged


def _as_asked(model: EncoderModel, keywords: dict[str, Any]) -> EncoderModel:
    """A loaded model, moved to the device that is asked for. Raises InputError for what would make it another one."""
    dtype = model.dtype if "dtype" not in keywords else dtype_name(keywords["dtype"], model._stored_dtype())
    for name, asked, found in (
        ("dtype", dtype, model.dtype),
        ("num_threads", keywords.get("num_threads", model.num_threads), model.num_threads),
    ):
        if asked != found:
            raise InputError(f"{name}: found {asked!r}, but the model is loaded with {found!r}: ask for it there")
    return model.to(device=keywords.get("device"))


def _tokenizer(name: Any, model: Any, keywords: dict[str, Any]) -> Tokenizer:
    """The tokenizer of that name; of None, that which lies beside the model, at the same revision."""
    if not isinstance(name, str | os.PathLike | None):
        found = type(name).__name__
        raise InputError(f"tokenizer: found a {found}, expected a folder, an id on the hub or one of AutoTokenizer")
    where = hub_keywords(keywords)
    if name is None and isinstance(model, EncoderModel):
        reference = model._reference or {}
        where = {**hub_keywords(reference), **where}
        name = reference.get("name", model.name_or_path)
    name = os.fspath(model if name is None else name)
    if not name:
        raise ConfigError("tokenizer: found None, expected one: the model does not say where it comes from")
    where.pop("variant", None)  # of weights alone
    try:
        return AutoTokenizer.from_pretrained(name, **where)
    except FileNotFoundError:
        if not where.get("subfolder") or "subfolder" in keywords:
            raise
    return AutoTokenizer.from_pretrained(name, **{**where, "subfolder": ""})  # beside several models


def _usual_model(task: str | None) -> str:
    usual = None if task is None else TASKS[task][2]
    if usual is None:
        raise ConfigError(f"model: found None, expected one{f' for {task!r}' if task else ', or a task'}")
    warnings.warn(f"no model was named for {task!r}: it is {usual}, as in transformers", stacklevel=3)
    return usual


def _task_of(model: Any, keywords: dict[str, Any]) -> str:
    if isinstance(model, EncoderModel):
        names, where = [type(model).__name__], repr(model)
    else:
        where = os.fspath(model)
        config = keywords.get("config")
        if config is None:
            config = load_config(auto.AutoConfig, Source(where, **hub_keywords(keywords)), "pipeline")
        names = config.architectures or []
    for name in names:
        for end, task in _TASK_OF.items():
            if name.endswith(end):
                return task
    raise ConfigError(f"{where}: its config.json names no architecture with a task; name one of {', '.join(TASKS)}")


def _device_name(device: Any) -> Any:
    number = integer(device)
    if number is None:
        return device
    return "cpu" if number == -1 else f"cuda:{number}"
