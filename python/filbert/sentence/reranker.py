"""What the files of a cross-encoder ask for: modules.json where sentence-transformers wrote one, and config.json."""

from dataclasses import dataclass
from typing import Any

from .. import auto
from ..checks import integer
from ..configuration import PretrainedConfig, override
from ..errors import ConfigError
from ..hub import Source
from ..jsonfile import read_object
from ..model_settings import load_config
from ..scores import sigmoid
from ..settings import warn_about_unknown
from ..tokenization import Tokenizer
from .activations import Activation, identity, named_activation
from .chat_template import ChatTemplate
from .transformer import (
    TransformerModule,
    find_template,
    optional,
    read_entries,
    read_prompts,
    read_transformer,
    within,
)

_SUPPORTED = "Transformer, or Transformer and LogitScore"
_CHAINS = (["Transformer"], ["Transformer", "LogitScore"])
LOGITS = {"method": "forward", "method_output_name": "logits"}
# What sentence-transformers looks for in a template to tell what it takes for the content of a message.
_PARTS = ("content[0]", ".type", "'type'", '"type"', "item.type", "message.content[")


@dataclass
class RerankerModules(TransformerModule):
    """How a pair of texts becomes tokens, and its logits a score."""

    is_causal: bool = False  # a language model, whose next token tells
    next_tokens: list[int] | None = None  # of LogitScore: true, and then false or not; None: "yes" and "no"
    # How the chat template takes texts: "flat", "structured" or "auto"; None: there is no chat.
    message_format: str | None = None
    activation: Any = None  # the path of a class
    settings_path: str = ""  # the file that has that path
    full_precision: Any = None  # names of PyTorch's modules that sentence-transformers keeps in float32

    def task(self) -> tuple[str, str]:
        """What the Transformer module is for, and what it calls its output."""
        return ("text-generation", "causal_logits") if self.is_causal else ("sequence-classification", "scores")


def read_reranker(source: Source) -> RerankerModules:
    """Reads modules.json and what it names, if a cross-encoder was saved with them; else all is as in config.json.

    Raises ConfigError, naming the file and what it asks for, for anything that filbert would compute differently.
    """
    config = source.find("config.json")  # fixes the commit, so that the cache knows which others do not exist
    modules = RerankerModules()
    settings = saved_settings(source)
    if settings is not None:
        _read_modules(source, source.get("modules.json"), modules)
        _read_settings(settings, modules)
        return modules
    modules.message_format = "auto"
    names = read_object(config).get("architectures") if config is not None else None
    modules.is_causal = isinstance(names, list) and bool(names) and str(names[0]).endswith("ForCausalLM")
    return modules


def saved_settings(source: Source) -> str | None:
    """The path of config_sentence_transformers.json if a cross-encoder was saved with its modules, else None."""
    if source.find_if_known("modules.json") is None:
        return None
    path = source.find_if_known("config_sentence_transformers.json")
    return path if path is not None and read_object(path).get("model_type") == "CrossEncoder" else None


def next_tokens(modules: RerankerModules, tokenizer: Tokenizer) -> list[int]:
    """The tokens whose logits are the score of a causal model. Raises ConfigError if the tokenizer lacks them."""
    if modules.next_tokens is not None:
        return modules.next_tokens
    ids: list[Any] = [tokenizer.backend_tokenizer.token_to_id(token) for token in ("yes", "no")]
    if None in ids:
        raise ConfigError(
            f"{tokenizer.name_or_path}: no modules.json says which tokens make the score of this language model, and "
            "its tokenizer has none for 'yes' and 'no'"
        )
    return ids


def chat_template(source: Source, modules: RerankerModules, tokenizer: Tokenizer) -> ChatTemplate | None:
    """The chat template of the encoder that lies at `source`; None where pairs are tokenised as pairs.

    Raises ConfigError for a template that filbert cannot honour.
    """
    if modules.message_format is None:
        return None
    path, text = find_template(source, modules, tokenizer) or (source.name, None)
    named = {each.get("name"): each.get("template") for each in text} if isinstance(text, list) else None
    if named is not None:
        if "default" not in named:
            raise ConfigError(f"{path}: found {', '.join(map(str, named)) or 'none'}, expected one named 'default'")
        text = named["default"]
    if text is None:
        if modules.message_format == "auto":
            return None
        raise ConfigError(f"{source.name}: its pairs are chats, and it has no chat template")
    if not isinstance(text, str):
        raise ConfigError(f"{path}: found {text!r:.100}, expected a string")
    structured = modules.message_format == "structured"
    if modules.message_format == "auto":
        structured = named is not None or any(part in text for part in _PARTS)
    return ChatTemplate(path, text, structured, tokenizer.special_tokens_map)


def activation_of(modules: RerankerModules, config: PretrainedConfig, labels: int) -> Activation:
    """The function that the files name, or the usual one: a sigmoid for one label, else none. Raises ConfigError."""
    if modules.activation is not None:
        return named_activation(f"{modules.settings_path}: activation_fn", modules.activation)
    where = f"{config.name_or_path}: config.json: "
    own = getattr(config, "sentence_transformers", None)
    if isinstance(own, dict) and "activation_fn" in own:
        key, path = "sentence_transformers.activation_fn", own["activation_fn"]
    else:
        key = "sbert_ce_default_activation_function"
        path = getattr(config, key, None)
    if path is not None:
        return named_activation(where + key, path)
    return sigmoid if labels == 1 else identity


def _read_modules(source: Source, path: str, modules: RerankerModules) -> None:
    entries = read_entries(path, _CHAINS[1], _SUPPORTED)
    kinds = [kind for kind, _ in entries]
    if kinds not in _CHAINS:
        raise ConfigError(f"{path}: found modules {', '.join(kinds) or 'none'}, supported: {_SUPPORTED}")
    modules.transformer = entries[0][1]
    modules.is_causal = kinds == _CHAINS[1]
    task, output = modules.task()
    expected: dict[str, tuple[Any, ...]] = {"transformer_task": (task,), "module_output_name": (output, None)}
    found = read_transformer(source, modules, expected)
    if found is None:
        raise ConfigError(f"{path}: found no sentence_bert_config.json beside it, which says what Transformer computes")
    _read_modality(*found, modules)
    if modules.is_causal:
        _read_logit_score(source, entries[1][1], modules)


def _read_modality(path: str, config: dict[str, Any], modules: RerankerModules) -> None:
    modality = config.get("modality_config")
    if modality is None:
        return
    if not isinstance(modality, dict) or modality.get("text") != LOGITS:
        raise ConfigError(f"{path}: modality_config: found {modality!r}, supported for text: {LOGITS}")
    message = modality.get("message")
    if message is not None:
        kind = message.get("format", "auto") if isinstance(message, dict) else None
        if kind not in ("flat", "structured", "auto") or {**message, "format": None} != {**LOGITS, "format": None}:
            raise ConfigError(f"{path}: modality_config: found {message!r}, supported for message: {LOGITS}")
        modules.message_format = kind


def _read_logit_score(source: Source, folder: str, modules: RerankerModules) -> None:
    path = source.get(within(folder, "config.json"))
    config = read_object(path)
    warn_about_unknown(path, config, {"true_token_id", "false_token_id", "module_input_name"})
    if config.get("module_input_name") not in (None, "causal_logits"):
        found = config["module_input_name"]
        raise ConfigError(f"{path}: module_input_name: found {found!r}, supported: 'causal_logits'")
    ids: list[Any] = [config.get("true_token_id")]
    if config.get("false_token_id") is not None:
        ids.append(config["false_token_id"])
    for index in ids:
        number = integer(index)
        if number is None or number < 0:
            raise ConfigError(f"{path}: found {index!r} as a token's id, expected an integer from 0")
    modules.next_tokens = ids


def _read_settings(path: str, modules: RerankerModules) -> None:
    config = read_object(path)
    # The rest says which versions wrote the file, what may run it, and where it computes in more than half precision.
    known = {"prompts", "default_prompt_name", "activation_fn", "model_type"}
    warn_about_unknown(path, config, known | {"__version__", "requirements", "keep_in_fp32_modules"})
    read_prompts(path, config, modules)
    modules.activation = optional(path, config, "activation_fn", str)
    modules.settings_path = path
    modules.full_precision = config.get("keep_in_fp32_modules")


def configured(source: Source, modules: RerankerModules) -> PretrainedConfig:
    """config.json, as `modules` sets it."""
    task = "AutoModelForCausalLM" if modules.is_causal else "AutoModelForSequenceClassification"
    config: PretrainedConfig = load_config(auto.AutoConfig, source, task)
    settings, names = modules.config_settings, config.architectures or []
    if not modules.is_causal and not any(str(name).endswith("ForSequenceClassification") for name in names):
        settings = {"num_labels": 1, **settings}  # as sentence-transformers takes it
    if unknown := override(config, settings):
        raise ConfigError(
            f"{source.name}: config_kwargs: found {', '.join(unknown)}, which {type(config).__name__} does not have"
        )
    return config
