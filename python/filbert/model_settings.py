"""config.json of a model that is loaded: settings that filbert cannot honour are not passed over in silence."""

import dataclasses
import os
import warnings
from typing import Any, TypeVar

from .configuration import PretrainedConfig, code_of
from .errors import ConfigError
from .hub import Source
from .jsonfile import read_object
from .settings import outside, warn_about_unknown

Config = TypeVar("Config", bound=PretrainedConfig)

# Keys that change nothing an encoder computes, by the reason why.
_HARMLESS = frozenset().union(
    # Where the model comes from, and how it was loaded, trained or fine-tuned.
    {"_name_or_path", "_commit_hash", "finetuning_task", "language", "model_name", "task_specific_params", "name"},
    {"gradient_checkpointing", "xla_device", "use_bfloat16", "torchscript", "tf_legacy_loss", "attn_implementation"},
    {"_attn_implementation", "_attn_implementation_autoset", "_flash_attn_2_enabled", "use_return_dict"},
    {"keys_to_ignore_at_inference", "loss_function", "unsloth_version", "unsloth_fixed", "matryoshka_dimensions"},
    {"export_model_type", "transformers.js_config"},
    # Settings for generating text, which old configurations wrote for every model.
    {"max_length", "min_length", "do_sample", "early_stopping", "num_beams", "num_beam_groups", "diversity_penalty"},
    {"temperature", "top_k", "top_p", "typical_p", "repetition_penalty", "length_penalty", "no_repeat_ngram_size"},
    {"encoder_no_repeat_ngram_size", "bad_words_ids", "num_return_sequences", "output_scores", "prefix", "suffix"},
    {"return_dict_in_generate", "forced_bos_token_id", "forced_eos_token_id", "remove_invalid_values"},
    {"exponential_decay_length_penalty", "suppress_tokens", "begin_suppress_tokens", "decoder_start_token_id"},
    {
        "cross_attention_hidden_size",
        "tie_encoder_decoder",
        "tie_weights_",
        "output_past",
        "sep_token_id",
        "decoder",
        "encoder",
    },
    # Settings of the tokenizer, of heads and of the library that encodes sentences, which are read where they matter.
    {
        "tokenizer_class",
        "model_max_length",
        "cls_token_id",
        "mask_token_id",
        "unk_token_id",
        "num_labels",
        "_num_labels",
    },
    {"sentence_transformers", "sbert_ce_default_activation_function", "emb_pooler", "next_token_ids"},
    {"classifier_dropout", "hidden_dropout"},
    # BERT's first release wrote sizes of a pooler that has only ever had one form.
    {"directionality", "pooler_fc_size", "pooler_num_attention_heads", "pooler_num_fc_layers"},
    {"pooler_size_per_head", "pooler_type"},
)

# What a class is called in auto_map, where transformers has another name for it.
_AUTO_CLASSES = {"AutoModelForNextToken": "AutoModelForCausalLM"}


def load_config(config_class: type[Config] | Any, source: Source, task: str = "AutoModel") -> Config:
    """The configuration of a model; `config_class` reads it. Loading the model warns of it: `warn_about_settings`.

    Raises ConfigError for what would make the numbers wrong, and OSError.
    """
    if source.find("config.json") is None:
        refuse_adapter(source)  # which may well be all that the folder holds
    path = source.get("config.json")
    try:
        config: Config = config_class.from_json_file(path)
    except ConfigError as error:
        raise ConfigError(f"{error}{_reason(path, task)}") from None
    config.name_or_path = source.name
    return config


def warn_about_settings(config: PretrainedConfig, subfolder: str | os.PathLike[str], task: str) -> None:
    """Warns of keys that are not known, of code of the repository that would run for `task`, and of an architecture of
    another name. `subfolder`: where in its folder the configuration lies.
    """
    name = config.name_or_path
    path = os.path.join(name, subfolder or "", "config.json")
    where = path if name and os.path.isfile(path) else name or type(config).__name__
    own = {field.name for field in dataclasses.fields(config)} | config.checked_by_engine | config.unused_keys
    if "rope_parameters" in own:
        own |= {"original_max_position_embeddings", "partial_rotary_factor"}
    warn_about_unknown(where, vars(config), own | _HARMLESS | {"auto_map"})
    _warn_about_code(where, config, task)


def refuse_adapter(source: Source) -> None:
    """Raises ConfigError if the weights are to be changed by an adapter beside them."""
    path = source.find("adapter_config.json")
    if path is not None:
        settings = read_object(path)
        base = settings.get("base_model_name_or_path")
        raise ConfigError(
            f"{path}: the folder holds an adapter ({settings.get('peft_type')}{f' of {base!r:.100}' if base else ''}), "
            "which filbert does not apply; merge it into the weights (peft: model.merge_and_unload()), save the model "
            "and load that"
        )


def _reason(path: str, task: str) -> str:
    """Why a configuration asks for what no model of its type has; "" if that is not known."""
    try:
        config = read_object(path)
    except ConfigError:
        return ""
    told = [text for text in (_quantisation(config), _code(config, task, any_task=True)) if text is not None]
    return f" ({'; '.join(told)})" if told else ""


def _quantisation(config: dict[str, Any]) -> str | None:
    settings = config.get("quantization_config")
    if not isinstance(settings, dict):
        return None
    method = settings.get("quant_method")
    by = "" if method is None else f" by {method!r:.50}"
    return (
        f"the weights are quantised{by}: load the model that they were made from, and dtype='int8' or 'bfloat16' "
        "makes it small"
    )


def _code(config: dict[str, Any], task: str, any_task: bool = False) -> str | None:
    code = config.get("auto_map")
    if not isinstance(code, dict):
        return None
    task = _AUTO_CLASSES.get(task, task)
    if task not in code:
        if not any_task or not code:
            return None
        task = next(iter(code))
    # "file.Class", or "repository--file.Class"
    file = str(code[task]).rsplit("--", 1)[-1].rsplit(".", 1)[0]
    return f"auto_map names code of the repository for {task}, {file:.100}.py: {code[task]!r:.100}, which is never run"


def _is_known_code(config: PretrainedConfig, task: str) -> bool:
    """Whether auto_map names classes of which it is known what they compute: for the configuration, and for `task`."""
    settings = code_of(vars(config))
    if settings not in config.known_code:
        return False
    stem = str(settings).removesuffix("Config").removesuffix("Flash")
    model = str(vars(config)["auto_map"].get(_AUTO_CLASSES.get(task, task), stem))
    return model.rpartition(".")[2].startswith(stem)


def _warn_about_code(where: str, config: PretrainedConfig, task: str) -> None:
    if _is_known_code(config, task):
        return
    told = _code(vars(config), task)
    if told is None:
        names = config.architectures if isinstance(config.architectures, list) else []
        stem = type(config).__name__.removesuffix("Config").lower()
        # Stanford's ColBERT: the encoder of that type, and a projection beside it. StaticModel: model2vec's own class.
        known = (stem, "hf_colbert", "staticmodel")
        if not names or any(str(name).lower().startswith(known) for name in names):
            return
        told = f"architectures names {', '.join(map(str, names)):.100}"
    warnings.warn(
        f"{where}: {told}; the model is computed as transformers computes model_type "
        f"{config.model_type!r}, and if that is not what was trained, results are meaningless",
        stacklevel=outside(),
    )
