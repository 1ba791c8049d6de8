"""From the tokenizer files of a model to a `tokenizers.Tokenizer` without padding and truncation of its own."""

import os
from typing import Any, NamedTuple

from tokenizers import AddedToken, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import WordPiece

from .errors import ConfigError
from .hub import Source
from .jsonfile import read_object

SPECIAL_TOKENS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")

# Classes whose tokens are those of BertTokenizer, so that vocab.txt and tokenizer_config.json say everything.
_BERT_CLASSES = frozenset({"BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer", "MobileBertTokenizer"})
# Where no file names the special tokens: the first of each that the vocabulary has.
_USUAL = {
    "unk_token": ("[UNK]", "<unk>"),
    "sep_token": ("[SEP]", "</s>"),
    "pad_token": ("[PAD]", "<pad>"),
    "cls_token": ("[CLS]", "<s>"),
    "mask_token": ("[MASK]", "<mask>"),
}
# XLM-R's, the largest in use, has 17 MB.
_MAX_TOKENIZER_BYTES = 512 * 1024 * 1024


class TokenizerFiles(NamedTuple):
    backend: Tokenizer
    special_tokens: dict[str, str]  # "pad_token": "[PAD]"
    config: dict[str, Any]  # tokenizer_config.json


def load(source: Source, overrides: dict[str, Any]) -> TokenizerFiles:
    """Reads tokenizer.json, or vocab.txt where there is none, and tokenizer_config.json.

    `overrides` replace keys of tokenizer_config.json. Raises ConfigError and OSError.
    """
    config_path = source.find("tokenizer_config.json")
    config = {**(read_object(config_path) if config_path else {}), **overrides}
    if "added_tokens_decoder" not in config:
        # The older layout. The file's entries win, as in transformers.
        path = source.find("special_tokens_map.json")
        config.update({**(read_object(path) if path else {}), **overrides})
    named = {name: _token(config[name]) for name in SPECIAL_TOKENS if config.get(name) is not None}

    path = source.find("tokenizer.json")
    if path is not None:
        backend = _from_json(path)
        if class_name(config) in (None, *_BERT_CLASSES):
            _override_normalizer(backend, config)
        padding, truncation = backend.padding, backend.truncation
        if padding is not None:
            config.setdefault("padding_side", padding["direction"])
            named.setdefault("pad_token", _token(padding["pad_token"]))
        if truncation is not None:
            config.setdefault("truncation_side", truncation["direction"])
        backend.no_padding()
        backend.no_truncation()
    else:
        path = source.find("vocab.txt")
        if path is None:
            raise source.missing("tokenizer.json", "vocab.txt")
        backend = _from_vocabulary(path, config, named)
    for name, candidates in _USUAL.items():
        found = next((token for token in candidates if backend.token_to_id(token) is not None), None)
        if name not in named and found is not None:
            named[name] = _token(found)
    try:
        _add_tokens(backend, source, config, list(named.values()))
    except (TypeError, ValueError, AttributeError) as error:
        raise ConfigError(f"{config_path or path}: added tokens: {error}") from None
    return TokenizerFiles(backend, {name: token.content for name, token in named.items()}, config)


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
    size = os.path.getsize(path)
    if size > _MAX_TOKENIZER_BYTES:
        raise ConfigError(f"{path}: found {size} bytes, expected at most {_MAX_TOKENIZER_BYTES}")
    with open(path, "rb") as file:
        data = file.read()
    try:
        return Tokenizer.from_buffer(data)
    except BaseException as error:  # the Rust library raises bare exceptions, and panics outside of Exception
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise ConfigError(f"{path}: not a tokenizer that the tokenizers package can read: {error}") from None
        raise


def _override_normalizer(backend: Tokenizer, config: dict[str, Any]) -> None:
    """tokenizer_config.json wins over tokenizer.json about case and accents, as in transformers.

    Only where it says something: transformers takes an absent do_lower_case for true.
    """
    normalizer = backend.normalizer
    if isinstance(normalizer, normalizers.BertNormalizer):
        backend.normalizer = normalizers.BertNormalizer(
            clean_text=normalizer.clean_text,
            handle_chinese_chars=_flag(config, "tokenize_chinese_chars", normalizer.handle_chinese_chars),
            strip_accents=_flag(config, "strip_accents", normalizer.strip_accents),
            lowercase=_flag(config, "do_lower_case", normalizer.lowercase),
        )


def _flag(config: dict[str, Any], key: str, default: bool | None) -> Any:
    value = config.get(key, default)
    if not isinstance(value, bool) and (value is not None or key != "strip_accents"):
        raise ConfigError(f"tokenizer_config.json: {key}: found {value!r}, expected true or false")
    return value


def _from_vocabulary(path: str, config: dict[str, Any], named: dict[str, AddedToken]) -> Tokenizer:
    """BERT's tokenizer from one word piece a line (https://arxiv.org/abs/1810.04805, section 3.2)."""
    name = class_name(config)
    if name not in (None, *_BERT_CLASSES):
        raise ConfigError(
            f"{path}: tokenizer_class {name} needs a tokenizer.json; from vocab.txt alone filbert builds "
            f"{', '.join(sorted(_BERT_CLASSES))}"
        )
    try:
        with open(path, encoding="utf-8") as file:
            vocabulary = {line.rstrip("\n"): index for index, line in enumerate(file)}
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 at byte {error.start}") from None
    for key, default in (("unk_token", "[UNK]"), ("cls_token", "[CLS]"), ("sep_token", "[SEP]")):
        token = named.setdefault(key, _token(default)).content
        if token not in vocabulary:
            raise ConfigError(f"{path}: the vocabulary of {len(vocabulary)} word pieces has no {key} {token!r}")
    unk, cls, sep = (named[key].content for key in ("unk_token", "cls_token", "sep_token"))
    backend = Tokenizer(WordPiece(vocabulary, unk_token=unk))
    backend.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=_flag(config, "tokenize_chinese_chars", True),
        strip_accents=_flag(config, "strip_accents", None),
        lowercase=_flag(config, "do_lower_case", True),
    )
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece(prefix="##")
    backend.post_processor = processors.BertProcessing((sep, vocabulary[sep]), (cls, vocabulary[cls]))
    return backend


def _add_tokens(backend: Tokenizer, source: Source, config: dict[str, Any], named: list[AddedToken]) -> None:
    """Registers the tokens that are never split: those the files list, and the special ones."""
    known = {token.content for token in backend.get_added_tokens_decoder().values()}
    listed = sorted(config.get("added_tokens_decoder", {}).items(), key=lambda item: int(item[0]))
    tokens = [_token(token) for _, token in listed]
    if "added_tokens_decoder" not in config and source.find("tokenizer.json") is None:
        path = source.find("added_tokens.json")
        ids = read_object(path) if path else {}
        tokens += [AddedToken(token, special=False, normalized=True) for token in sorted(ids, key=lambda t: ids[t])]
    extra = config.get("extra_special_tokens") or config.get("additional_special_tokens") or []
    tokens += named + [_token(token) for token in (extra.values() if isinstance(extra, dict) else extra)]
    special = {token.content for token in tokens if token.special}
    for token in tokens:
        if token.content not in known:
            known.add(token.content)
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
