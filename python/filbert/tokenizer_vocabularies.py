"""Tokenizers from vocabulary files, where there is no tokenizer.json; by class as in transformers."""

from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE, WordLevel, WordPiece

from .errors import ConfigError
from .files import read_file
from .hub import Source
from .jsonfile import read_object
from .tokenizer_errors import is_of_tokenizers
from .tokenizer_overrides import BERT_LIKE, WORD_PIECES, flag

WHOLE_TOKENS = "EsmTokenizer"
_BYTE_PAIRS = frozenset({"DebertaTokenizer", "RobertaTokenizer", "Qwen2Tokenizer"})
_SENTENCE_PIECES = ("sentencepiece.bpe.model", "sentencepiece.model", "spm.model", "spiece.model", "tokenizer.model")
_OF_ROBERTA = {"bos_token": "<s>", "eos_token": "</s>", "sep_token": "</s>", "pad_token": "<pad>", "cls_token": "<s>"}
# The special tokens of each class where no file names them.
_SPECIAL = {
    **{name: {"unk_token": "[UNK]", "sep_token": "[SEP]", "cls_token": "[CLS]"} for name in BERT_LIKE},
    "DebertaTokenizer": {
        **{"bos_token": "[CLS]", "eos_token": "[SEP]", "unk_token": "[UNK]", "sep_token": "[SEP]"},
        **{"pad_token": "[PAD]", "cls_token": "[CLS]", "mask_token": "[MASK]"},
    },
    "MPNetTokenizer": {**_OF_ROBERTA, "unk_token": "[UNK]", "mask_token": "<mask>"},
    "RobertaTokenizer": {**_OF_ROBERTA, "unk_token": "<unk>", "mask_token": "<mask>"},
    WHOLE_TOKENS: {f"{role}_token": f"<{role}>" for role in ("unk", "cls", "pad", "mask", "eos")},
    "Qwen2Tokenizer": dict.fromkeys(("eos_token", "unk_token", "pad_token"), "<|endoftext|>"),
}
# Null is the class's own of these: no tokenizer of words can be without them, RoBERTa's and DeBERTa's not without
# the last two.
_NEEDED = ("unk_token", "cls_token", "sep_token")
_SPLIT_OF_QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# What Rust calls white space; str.rstrip() takes U+001C to U+001F too.
_SPACES = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029"
_SPACES += "\u202f\u205f\u3000"
_MAX_BYTES = 512 * 1024 * 1024


def has_tokenizer(source: Source) -> bool:
    """Whether there are files that a tokenizer may be built from. Raises OSError."""
    has_one = any(source.find(file) is not None for file in ("tokenizer.json", "vocab.txt"))
    return has_one or all(source.find(file) is not None for file in ("vocab.json", "merges.txt"))


def from_vocabulary(
    source: Source, config: dict[str, Any], named: dict[str, AddedToken], name: str | None, model_type: str | None
) -> tuple[Tokenizer, dict[str, AddedToken]]:
    """The tokenizer of a folder's vocab.txt, or vocab.json and merges.txt; and its special tokens by role.

    named: the special tokens that files name. name: the tokenizer's class. Raises ConfigError and OSError.
    """
    if name is None and model_type is None:
        name = "BertTokenizer"
    special = _special_tokens(config, named, name)
    if name in _BYTE_PAIRS:
        vocabulary, merges = source.find("vocab.json"), source.find("merges.txt")
        if vocabulary is not None and merges is not None:
            return _byte_pairs(vocabulary, merges, config, special, name), special
        if vocabulary is not None:
            raise source.missing("tokenizer.json", "merges.txt")
    path = source.find("vocab.txt")
    if path is not None and name in WORD_PIECES:
        return _word_pieces(path, config, special, name), special
    if path is not None and name == WHOLE_TOKENS:
        return _whole_tokens(path, special), special
    raise _cannot_build(source, path or source.find("vocab.json"), config, model_type)


def _cannot_build(source: Source, path: str | None, config: dict[str, Any], model_type: str | None) -> Exception:
    """The error for a folder without files from which its tokenizer is built. path: a vocabulary that it does have."""
    found = next((file for file in _SENTENCE_PIECES if source.find(file) is not None), None)
    if found is not None:
        return FileNotFoundError(
            f"{source.missing('tokenizer.json')}, and filbert builds none from {found}, a SentencePiece model: open it "
            "once with AutoTokenizer.from_pretrained of transformers, whose save_pretrained writes a tokenizer.json"
        )
    if path is None:
        return source.missing("tokenizer.json", "vocab.txt", "vocab.json")
    builds = (
        f"filbert builds {', '.join(sorted({*WORD_PIECES, WHOLE_TOKENS}))} from vocab.txt, and "
        f"{', '.join(sorted(_BYTE_PAIRS))} from vocab.json and merges.txt"
    )
    if config.get("tokenizer_class") is not None:
        return ConfigError(f"{path}: tokenizer_class {config['tokenizer_class']} needs a tokenizer.json; {builds}")
    return ConfigError(
        f"{path}: a model of type {model_type!r} needs a tokenizer.json: {builds} (name the class, if it is one of "
        'them: "tokenizer_class": "BertTokenizer" in tokenizer_config.json)'
    )


def _special_tokens(config: dict[str, Any], named: dict[str, AddedToken], name: str | None) -> dict[str, AddedToken]:
    """The special tokens that files name, and those of the class: in the order in which transformers adds them."""
    needed = _NEEDED[1:] if name in _BYTE_PAIRS else _NEEDED
    defaults = {
        role: AddedToken(token, special=True, normalized=False)
        for role, token in _SPECIAL.get(name or "", {}).items()
        if role not in config or role in needed
    }
    tokens = {**defaults, **named}
    if name == "MPNetTokenizer" and "mask_token" in tokens and isinstance(config.get("mask_token", ""), str):
        tokens["mask_token"] = AddedToken(tokens["mask_token"].content, lstrip=True, special=True, normalized=False)
    order = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
    return {role: tokens[role] for role in order if role in tokens}


def _word_pieces(path: str, config: dict[str, Any], special: dict[str, AddedToken], name: str) -> Tokenizer:
    """BERT's tokenizer from one word piece a line (https://arxiv.org/abs/1810.04805, section 3.2), or MPNet's."""
    lines = _text(path).removesuffix("\n").split("\n")
    vocabulary = {line.rstrip(_SPACES): index for index, line in enumerate(lines)}
    _known(path, vocabulary, special, "unk_token")
    backend = Tokenizer(WordPiece(vocabulary, unk_token=special["unk_token"].content))
    backend.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=flag(config, "tokenize_chinese_chars", True),
        strip_accents=flag(config, "strip_accents", None),
        lowercase=flag(config, "do_lower_case", True),
    )
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece(prefix="##")
    cls, sep = (_known(path, vocabulary, special, role) for role in ("cls_token", "sep_token"))
    if name == "MPNetTokenizer":
        backend.post_processor = processors.RobertaProcessing(sep, cls, add_prefix_space=False)
    else:
        backend.post_processor = processors.BertProcessing(sep, cls)
    return backend


def _whole_tokens(path: str, special: dict[str, AddedToken]) -> Tokenizer:
    """ESM's tokenizer from one token a line. What is between tokens and white space is unknown as a whole."""
    vocabulary = {line.strip(): index for index, line in enumerate(_text(path).splitlines())}
    _known(path, vocabulary, special, "unk_token")
    backend = Tokenizer(WordLevel(vocabulary, unk_token=special["unk_token"].content))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\x1c-\x1f]+"), behavior="removed")  # as str.split() has it
    around = [_known(path, vocabulary, special, role) for role in ("cls_token", "eos_token") if role in special]
    cls, *eos = (token for token, _ in around)
    single, second = [cls, "$A", *eos], ["$B:1", *(f"{token}:1" for token in eos)]
    backend.post_processor = processors.TemplateProcessing(single, single + second, special_tokens=around)
    return backend


def keep_whole(backend: Tokenizer) -> None:
    """Makes texts split at every token of the vocabulary, the longest where several begin, as ESM's are.

    Tokens that were added before stay as they are.
    """
    known = {"", *(token.content for token in backend.get_added_tokens_decoder().values())}
    others = backend.get_vocab(with_added_tokens=False).keys() - known
    backend.add_tokens([AddedToken(token, normalized=False) for token in others])


def _byte_pairs(
    path: str, merges_path: str, config: dict[str, Any], special: dict[str, AddedToken], name: str
) -> Tokenizer:
    """A tokenizer of bytes from ids by token, and pairs of tokens in the order in which they are merged."""
    vocabulary = read_object(path)
    try:
        model = BPE(vocabulary, _merges(merges_path), continuing_subword_prefix="", end_of_word_suffix="")
    except BaseException as error:
        if not is_of_tokenizers(error):
            raise
        raise ConfigError(f"{path}: not a vocabulary for {merges_path}: {error}") from None
    backend = Tokenizer(model)
    space = flag(config, "add_prefix_space", False)
    backend.decoder = decoders.ByteLevel()
    if name == "Qwen2Tokenizer":
        backend.normalizer = normalizers.NFC()
        split = pre_tokenizers.Split(Regex(_SPLIT_OF_QWEN2), behavior="isolated")
        to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=space, use_regex=False)
        backend.pre_tokenizer = pre_tokenizers.Sequence([split, to_bytes])
        backend.post_processor = processors.TemplateProcessing(single="$A:0", pair="$A:0 $B:1", special_tokens=[])
        return backend
    cls, sep = (_known(path, vocabulary, special, role) for role in ("cls_token", "sep_token"))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=space)
    if name == "DebertaTokenizer":
        backend.post_processor = processors.BertProcessing(sep, cls)
        return backend
    trimmed = flag(config, "trim_offsets", True)
    backend.post_processor = processors.RobertaProcessing(sep, cls, trim_offsets=trimmed, add_prefix_space=space)
    return backend


def _merges(path: str) -> list[tuple[str, str]]:
    pairs = []
    for number, line in enumerate(_text(path).removesuffix("\n").split("\n"), 1):
        if line.startswith("#version"):
            continue
        pair = line.removesuffix("\r").split(" ")
        if len(pair) != 2:
            raise ConfigError(f"{path}: line {number}: found {line!r:.100}, expected two tokens and a space between")
        pairs.append((pair[0], pair[1]))
    return pairs


def _known(path: str, vocabulary: dict[str, int], special: dict[str, AddedToken], role: str) -> tuple[str, int]:
    token = special[role].content
    if token not in vocabulary:
        raise ConfigError(f"{path}: the vocabulary of {len(vocabulary)} tokens has no {role} {token!r}")
    return token, vocabulary[token]


def _text(path: str) -> str:
    try:
        return read_file(path, _MAX_BYTES, ConfigError).decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 at byte {error.start}") from None
