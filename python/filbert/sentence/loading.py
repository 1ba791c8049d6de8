"""The encoder and the tokenizer that a model of sentence-transformers begins with."""

from typing import Any

from ..auto import AutoConfig, AutoModel
from ..configuration import PretrainedConfig, override
from ..encoder import EncoderModel
from ..errors import ConfigError
from ..hub import Source
from ..model_settings import load_config
from ..tokenization import AutoTokenizer, Tokenizer
from ..tokenizer_files import load_bare, lowercase_first
from .chain import Chain
from .cuts import Cuts
from .modules import SentenceModules, unsaved_config
from .router import Entry
from .steps import KINDS as STEPS
from .steps import Step, read_step
from .transformer import TransformerModule, refuse_chats


def load_parts(
    source: Source, module: TransformerModule, hub: dict[str, Any], auto: Any = AutoModel, **options: Any
) -> tuple[Any, Tokenizer]:
    """The encoder, a base model without its pooler, and the tokenizer, whose `model_max_length` the model can take.

    Args:
        source: the model, some file of which was looked for. hub: the keywords it was made with, but for the revision.
        module: where the encoder lies, and what is set over its files.
        auto: what chooses the class of the model.
        options: keywords of `EncoderModel.from_pretrained` for what it is run on and in.

    Raises ConfigError, WeightsError, InputError, DeviceError and OSError.
    """
    where = {**hub, "revision": source.revision, "subfolder": module.transformer}
    config = _configured(source, module, where)
    if auto is AutoModel:
        options["add_pooling_layer"] = False
    model = auto.from_pretrained(source.name, config=config, **options, **where)
    inner = Source(source.name, **where)
    if module.is_static:
        return model, Tokenizer(load_bare(inner), source.name)
    tokenizer = AutoTokenizer.from_pretrained(source.name, **where, **module.tokenizer_settings)
    refuse_chats(inner, module, tokenizer)
    limit_tokenizer(tokenizer, module, model)
    return model, tokenizer


def limit_tokenizer(tokenizer: Tokenizer, module: TransformerModule, model: EncoderModel) -> None:
    """Makes it lower texts and cut them: where the module says, else where the model's positions end."""
    if module.do_lower_case:
        lowercase_first(tokenizer.backend_tokenizer)
    is_named = "model_max_length" in module.tokenizer_settings
    if module.max_seq_length is not None and not is_named:
        tokenizer.model_max_length, is_named = module.max_seq_length, True
    longest = model.max_tokens if is_named else model.max_positions
    tokenizer.model_max_length = min(tokenizer.model_max_length, longest)


def load_chains(
    source: Source, modules: SentenceModules, hub: dict[str, Any], cuts: Cuts, **options: Any
) -> dict[str | None, Chain]:
    """The chains of modules by the tasks that choose them, None for no task; they share what they have in common.

    hub, options: see `load_parts`. Raises what that does.
    """
    parts: dict[str, tuple[Any, Tokenizer]] = {}
    steps: dict[str, Step] = {}
    built: dict[tuple[Entry, ...], Chain] = {}
    chains: dict[str | None, Chain] = {}
    for task, entries in modules.chains().items():
        key = tuple(entries)
        if key not in built:
            folder = entries[0][1]
            if folder not in parts:
                parts[folder] = load_parts(source, modules.transformers[folder], hub, **options)
            pooling = next((modules.poolings[folder] for kind, folder in entries if kind == "Pooling"), None)
            for kind, folder in entries:
                if kind in STEPS and folder not in steps:
                    steps[folder] = read_step(source, kind, folder)
            chosen = [steps[folder] for kind, folder in entries if kind in STEPS]
            built[key] = Chain(entries, *parts[entries[0][1]], pooling, chosen, cuts)
        chains[task] = built[key]
    return chains


def _configured(source: Source, module: TransformerModule, where: dict[str, Any]) -> PretrainedConfig | None:
    """The encoder's configuration if it is not what config.json says: as the Transformer module sets it, or unsaved."""
    inner = Source(source.name, **where)
    if not module.config_settings:
        return unsaved_config(inner, module)
    config: PretrainedConfig = load_config(AutoConfig, inner)
    if unknown := override(config, module.config_settings):
        raise ConfigError(
            f"{source.name}: config_kwargs of the Transformer module: found {', '.join(unknown)}, which "
            f"{type(config).__name__} does not have"
        )
    return config
