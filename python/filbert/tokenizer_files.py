"""From the tokenizer files of a model to a `tokenizers.Tokenizer` without padding and truncation of its own."""

from typing import Any, NamedTuple

from tokenizers import AddedToken, Tokenizer, normalizers

from .errors import ConfigError
from .files import read_file
from .hub import Source
from .jsonfile import read_object
from .settings import warn_about_unknown
from .tokenizer_errors import is_of_tokenizers
from .tokenizer_overrides import BERT_LIKE, add_special_tokens_around, flag, is_of_bytes, override_parts
from .tokenizer_vocabularies import WHOLE_TOKENS, from_vocabulary, keep_whole

SPECIAL_TOKENS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")

# The class of a model of each type, where no file names one. Where it is generic, no file does.
_CLASS_OF = {
    **dict.fromkeys(("bert", "distilbert", "electra", "ernie", "convbert", "nomic_bert"), "BertTokenizer"),
    **dict.fromkeys(("modernbert", "eurobert", "mistral", "ultrabert", "umt5", "xlm-roberta-xl"), "TokenizersBackend"),
    **dict.fromkeys(("mt5", "t5"), "T5Tokenizer"),
    "albert": "AlbertTokenizer",
    "camembert": "CamembertTokenizer",
    "data2vec-text": "RobertaTokenizer",
    "deberta": "DebertaTokenizer",
    "deberta-v2": "DebertaV2Tokenizer",
    **dict.fromkeys(("embedding_gemma2", "embedding_gemma2_text", "gemma3_text"), "GemmaTokenizer"),
    "esm": "EsmTokenizer",
    "jina_embeddings_v3": "XLMRobertaTokenizer",
    "megatron-bert": "BertTokenizer",
    "mobilebert": "MobileBertTokenizer",
    "mpnet": "MPNetTokenizer",
    **dict.fromkeys(("qwen2", "qwen3"), "Qwen2Tokenizer"),
    "rembert": "RemBertTokenizer",
    **dict.fromkeys(("roberta", "roberta-prelayernorm"), "RobertaTokenizer"),
    "roformer": "RoFormerTokenizer",
    "xlm-roberta": "XLMRobertaTokenizer",
}
# Classes that take tokenizer.json as it is.
_GENERIC_CLASSES = frozenset({"PreTrainedTokenizer", "TokenizersBackend"})
# Where no file names the special tokens: the first of each that the vocabulary has.
_USUAL = {
    "unk_token": ("[UNK]", "<unk>"),
    "sep_token": ("[SEP]", "</s>"),
    "pad_token": ("[PAD]", "<pad>"),
    "cls_token": ("[CLS]", "<s>"),
    "mask_token": ("[MASK]", "<mask>"),
}
# Keys of tokenizer_config.json and special_tokens_map.json that are honoured, beside the special tokens.
_HONOURED = frozenset(
    {
        "add_bos_token",
        "add_eos_token",
        "add_prefix_space",
        "added_tokens_decoder",
        "additional_special_tokens",
        "clean_up_tokenization_spaces",
        "do_lower_case",
        "extra_special_tokens",
        "keep_accents",
        "max_len",
        "model_input_names",
        "model_max_length",
        "model_specific_special_tokens",
        "pad_token_type_id",
        "padding_side",
        "split_by_punct",
        "split_special_tokens",
        "strip_accents",
        "tokenize_chinese_chars",
        "tokenizer_class",
        "truncation_side",
    }
)
# Keys that change nothing here, by the reason why.
_HARMLESS = frozenset().union(
    # They say where files are or were; filbert reads those beside tokenizer_config.json.
    {"name_or_path", "special_tokens_map_file", "tokenizer_file", "vocab_file", "merges_file", "sp_model_file"},
    {"files_loaded", "_commit_hash", "is_local", "local_files_only", "full_tokenizer_file", "_from_auto"},
    # They choose between implementations, of which there is one here, or are of the library that wrote the file.
    {"use_fast", "backend", "legacy", "from_slow", "init_inputs", "processor_class", "auto_map", "trust_remote_code"},
    {"transformers_version", "use_auth_token", "verbose", "device", "torch_dtype", "from_auto", "tokenizer_type"},
    # What tokenizer.json says in full, and what the tokenizers package does not need.
    {"trim_offsets", "sp_model_kwargs", "errors", "vocab_size", "vocab_type"},
    {"unk_id", "remove_space", "language", "fix_mistral_regex", "extra_ids"},
    # Settings of BERT's tokenizer in Python; the fast one, which wrote and reads these files, has never had them.
    {"do_basic_tokenize", "never_split", "wordpieces_prefix", "clean_text", "basic_tokenizer"},
    # What a call pads and truncates to is the caller's to say.
    {"max_length", "stride", "truncation_strategy", "pad_to_multiple_of", "padding", "truncation", "truncate_to"},
    {"return_token_type_ids", "return_attention_mask", "return_tensors", "padding_strategy"},
    # Chats are not made into texts here, and texts not into chats.
    {"chat_template", "response_template", "response_schema", "chat_control_tokens", "add_generation_prompt"},
    {"clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output"},
)
# XLM-R's, the largest in use, has 17 MB.
_MAX_TOKENIZER_BYTES = 512 * 1024 * 1024


class TokenizerFiles(NamedTuple):
    backend: Tokenizer
    special_tokens: dict[str, str]  # "pad_token": "[PAD]"
    config: dict[str, Any]  # tokenizer_config.json
    class_name: str | None = None  # whose rules hold
    joins_texts: bool = True  # has a special token that stands between the texts of a pair


def load(source: Source, overrides: dict[str, Any]) -> TokenizerFiles:
    """Reads tokenizer.json, or the vocabulary where there is none, and tokenizer_config.json.

    `overrides` replace keys of tokenizer_config.json. Raises ConfigError and OSError. A key that is not known gives
    a warning.
    """
    config_path = source.find("tokenizer_config.json")
    config = {**(read_object(config_path) if config_path else {}), **overrides}
    if "added_tokens_decoder" not in config:
        # The older layout. The file's entries win, as in transformers.
        path = source.find("special_tokens_map.json")
        config.update({**(read_object(path) if path else {}), **overrides})
    model_type = _class_from_model(source, config)
    warn_about_unknown(config_path or source.name, config, _is_known)
    named = {role: _token(config[role]) for role in SPECIAL_TOKENS if config.get(role) is not None}
    of_model = _CLASS_OF.get(model_type or "")
    name = of_model if of_model in _GENERIC_CLASSES else class_name(config) or of_model
    if name == "RoFormerTokenizer":
        raise ConfigError(
            f"{config_path or source.name}: the tokenizer is a {name}, by name or as one of roformer is, which looks "
            "for Chinese words with jieba even where there is a tokenizer.json; filbert has no jieba. Pass "
            "tokenizer_class='BertTokenizer' where pieces are characters, or take ids from elsewhere"
        )

    path = source.find("tokenizer.json")
    is_whole = False
    if path is not None:
        backend = _from_json(path)
        if name == "LlamaTokenizer" and is_of_bytes(backend):
            name = "TokenizersBackend"  # the files of Llama 3 name the class of those before
        if name not in _GENERIC_CLASSES:
            override_parts(backend, config, name)
        padding, truncation = backend.padding, backend.truncation
        if padding is not None:
            config.setdefault("padding_side", padding["direction"])
            if "pad_token" not in config:
                named["pad_token"] = _token(padding["pad_token"])
        if truncation is not None:
            config.setdefault("truncation_side", truncation["direction"])
        backend.no_padding()
        backend.no_truncation()
    else:
        name = class_name(config) or of_model
        is_whole = name == WHOLE_TOKENS
        backend, named = from_vocabulary(source, config, named, name, model_type)
    if path is not None or name is None or name in BERT_LIKE:  # else the class has named all
        for role, token in _usual_tokens(backend).items():
            if role not in config:
                named.setdefault(role, _token(token))
    try:
        _add_tokens(backend, source, config, list(named.values()), is_whole)
    except (TypeError, ValueError, AttributeError) as error:
        raise ConfigError(f"{config_path or path or source.name}: added tokens: {error}") from None
    splits_special = flag(config, "split_special_tokens", False)
    if is_whole:
        if not splits_special:
            keep_whole(backend)
        config["tokenizer_class"] = "PreTrainedTokenizerFast"  # of what is saved: this one reads no tokenizer.json
    special = {role: token.content for role, token in named.items()}
    add_special_tokens_around(backend, config if path is None else overrides, name, special)
    backend.encode_special_tokens = splits_special
    if name in ("GemmaTokenizer", "LlamaTokenizer") and config.get("padding_side") is None:
        config["padding_side"] = "left"
    return TokenizerFiles(backend, special, config, name, not is_whole or "eos_token" in special)


def load_bare(source: Source) -> TokenizerFiles:
    """tokenizer.json as it is, without another file and without special tokens that it does not have.

    Where it cuts texts is in the settings. Raises ConfigError and OSError.
    """
    backend = _from_json(source.get("tokenizer.json"))
    config: dict[str, Any] = {"model_input_names": ["input_ids", "attention_mask"]}
    if backend.truncation is not None:
        config["model_max_length"] = backend.truncation["max_length"]
        config["truncation_side"] = backend.truncation["direction"]
    backend.no_padding()
    backend.no_truncation()
    return TokenizerFiles(backend, _usual_tokens(backend), config)


def _usual_tokens(backend: Tokenizer) -> dict[str, str]:
    """The first usual name of each special token that the vocabulary has, by role."""
    found = {role: [each for each in usual if backend.token_to_id(each) is not None] for role, usual in _USUAL.items()}
    return {role: tokens[0] for role, tokens in found.items() if tokens}


def _class_from_model(source: Source, config: dict[str, Any]) -> str | None:
    """The model_type of config.json, which may also name the tokenizer's class where tokenizer_config.json does not."""
    path = source.find("config.json")
    model = read_object(path) if path else {}
    if config.get("tokenizer_class") is None and model.get("tokenizer_class") is not None:
        config["tokenizer_class"] = model["tokenizer_class"]
    model_type = model.get("model_type")
    return model_type if isinstance(model_type, str) else None


def _is_known(key: str) -> bool:
    # A key such as "image_token" names one more special token.
    return key in _HONOURED or key in _HARMLESS or key.endswith("_token")


def class_name(config: dict[str, Any]) -> str | None:
    """The tokenizer class that tokenizer_config.json names, without "Fast"."""
    name = config.get("tokenizer_class")
    return name.removesuffix("Fast") if isinstance(name, str) else None


def lowercase_first(backend: Tokenizer) -> None:
    """Makes the tokenizer lower its input before all else, as sentence-transformers' do_lower_case does."""
    normalizer = backend.normalizer
    steps: list[Any] = [normalizer] if normalizer else []
    if isinstance(normalizer, normalizers.Sequence):
        steps = [normalizer[index] for index in range(len(normalizer))]
    if not any(isinstance(step, normalizers.Lowercase) for step in steps):
        backend.normalizer = normalizers.Sequence([normalizers.Lowercase(), *steps])


def _from_json(path: str) -> Tokenizer:
    data = read_file(path, _MAX_TOKENIZER_BYTES, ConfigError)
    try:
        return Tokenizer.from_buffer(data)
    except BaseException as error:
        if not is_of_tokenizers(error):
            raise
        raise ConfigError(f"{path}: not a tokenizer that the tokenizers package can read: {error}") from None


def _add_tokens(
    backend: Tokenizer, source: Source, config: dict[str, Any], named: list[AddedToken], is_whole: bool
) -> None:
    """Registers the tokens that are never split: those the files list, and the special ones.

    is_whole: all tokens are found in one go, as `keep_whole` adds them. Those that say that they are normalized would
    be looked for after the others, in what these leave of a text.
    """
    known = {token.content for token in backend.get_added_tokens_decoder().values()}
    listed = sorted(config.get("added_tokens_decoder", {}).items(), key=lambda item: int(item[0]))
    tokens = [_token(token) for _, token in listed]
    extra = config.get("extra_special_tokens") or config.get("additional_special_tokens") or []
    more = [*(extra.values() if isinstance(extra, dict) else extra)]
    more += (config.get("model_specific_special_tokens") or {}).values()
    more += [value for key, value in config.items() if key.endswith("_token") and isinstance(value, str | dict)]
    named = [*named, *map(_token, more)]
    if "added_tokens_decoder" not in config and (path := source.find("added_tokens.json")) is not None:
        ids = read_object(path)
        special = {token.content for token in named}
        tokens += [
            AddedToken(token, special=token in special, normalized=token not in special)
            for token in sorted(ids, key=lambda token: ids[token])
        ]
    tokens += named
    special = {token.content for token in tokens if token.special}
    for token in tokens:
        if token.content not in known:
            known.add(token.content)
            if is_whole:
                where = {"single_word": token.single_word, "lstrip": token.lstrip, "rstrip": token.rstrip}
                token = AddedToken(token.content, normalized=False, **where)
            token.special = token.content in special
            (backend.add_special_tokens if token.special else backend.add_tokens)([token])


def _token(value: Any) -> AddedToken:
    """A token as the files have it: its text, or an object with its text and how it is matched."""
    if isinstance(value, str):
        return AddedToken(value, special=True, normalized=False)
    if not isinstance(value, dict) or not isinstance(value.get("content"), str):
        raise ConfigError(f"tokenizer files: found {value!r:.100} as a special token, expected a string or an object")
    known = ("single_word", "lstrip", "rstrip", "normalized", "special")
    return AddedToken(value["content"], **{"special": True, **{key: bool(value[key]) for key in known if key in value}})
