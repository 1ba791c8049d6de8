"""Making pipelines."""

import os
import warnings
from importlib import import_module
from typing import Any

from .. import auto
from ..checks import integer
from ..encoder import EncoderModel
from ..errors import ConfigError, InputError
from ..hub import HUB_KEYWORDS, Source
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
        config, tokenizer: those of the model if None; a tokenizer also by its folder or id.
        device: "cpu", "cuda", "cuda:1", "auto", the number of a GPU, or -1 or None for the CPU.
        dtype, num_threads, revision, token, cache_dir, local_files_only: see `AutoModel.from_pretrained`; of a dtype of
            None the model computes in float32.
        torch_dtype: the older name of dtype.
        trust_remote_code, use_fast, num_workers: ignored: code of a repository is never run, tokenizers are fast, and
            the engine is parallel inside. framework: "pt" or None, which change nothing.
        device_map, pipeline_class: None; there is nothing else.
        model_kwargs: further keywords of `from_pretrained`; those that say where files are hold for the tokenizer too.
        batch_size: see `Pipeline.__call__`.
        options: defaults of the calls, such as top_k.

    Returns:
        The pipeline of the task.

    Raises:
        ConfigError: there is no such task, or the model was not made for it.
        WeightsError: the model's files have no head for the task.
        InputError, DeviceError, OSError, MemoryError: see `from_pretrained`.
        TypeError: an option that the task does not have.
    """
    if device_map is not None or pipeline_class is not None:
        raise InputError("device_map, pipeline_class: found one, expected None: device says where the model runs")
    if framework not in (None, "pt"):
        raise InputError(f"framework: found {framework!r}, expected None or 'pt'")
    dtype = torch_dtype if dtype is None else dtype
    hub: dict[str, Any] = {
        "revision": revision,
        "token": token,
        "cache_dir": cache_dir,
        "local_files_only": local_files_only,
        **{key: value for key, value in (model_kwargs or {}).items() if key in (*HUB_KEYWORDS, "use_auth_token")},
    }
    if task is not None:
        task = ALIASES.get(task, task)
        if task not in TASKS:
            raise ConfigError(f"task: found {task!r}, expected one of {', '.join([*TASKS, *ALIASES])}")
    if model is None:
        model = _usual_model(task)
    if task is None:
        task = _task_of(model, config, hub)
    module, name, _ = TASKS[task]
    chosen: type[Pipeline] = getattr(import_module(f".{module}", __package__), name)
    if isinstance(model, EncoderModel):
        loaded, where = model, model.name_or_path
        if loaded.auto_class != chosen.auto_class:
            raise ConfigError(f"task {task!r} takes a model of {chosen.auto_class}, found {type(loaded).__name__}")
    else:
        where = os.fspath(model)
        loaded = getattr(auto, chosen.auto_class).from_pretrained(
            model,
            config=config,
            device=_device_name(device),
            dtype=dtype,
            num_threads=num_threads,
            **{**hub, **chosen.model_keywords, **(model_kwargs or {})},
        )
    if not isinstance(tokenizer, Tokenizer):
        if not isinstance(tokenizer, str | os.PathLike | None):
            found = type(tokenizer).__name__
            raise InputError(f"tokenizer: found a {found}, expected a folder, an id on the hub or one of AutoTokenizer")
        name = where if tokenizer is None else os.fspath(tokenizer)
        if not name:
            raise ConfigError("tokenizer: found None, expected one: the model does not say where it comes from")
        hub.pop("variant", None)  # of weights alone
        tokenizer = AutoTokenizer.from_pretrained(name, **hub)
    return chosen(loaded, tokenizer, batch_size, **options)


def _usual_model(task: str | None) -> str:
    usual = None if task is None else TASKS[task][2]
    if usual is None:
        raise ConfigError(f"model: found None, expected one{f' for {task!r}' if task else ', or a task'}")
    warnings.warn(f"no model was named for {task!r}: it is {usual}, as in transformers", stacklevel=3)
    return usual


def _task_of(model: Any, config: Any, hub: dict[str, Any]) -> str:
    if isinstance(model, EncoderModel):
        names, where = [type(model).__name__], repr(model)
    else:
        where = os.fspath(model)
        source = Source(where, **{key: value for key, value in hub.items() if key in HUB_KEYWORDS})
        config = load_config(auto.AutoConfig, source, "pipeline") if config is None else config
        names = config.architectures or []
    for name in names:
        for end, task in _TASK_OF.items():
            if name.endswith(end):
                return task
    raise ConfigError(f"{where}: its config.json names no architecture with a task; name one of {', '.join(TASKS)}")


def _device_name(device: Any) -> Any:
    number = integer(device)
    if device is None or number == -1:
        return "cpu"
    return device if number is None else f"cuda:{number}"
