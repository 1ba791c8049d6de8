"""What tokenizer_config.json and keywords change of the parts of tokenizer.json, by class as in transformers."""

import json
from collections.abc import Collection
from typing import Any

from tokenizers import Tokenizer, processors

from .errors import ConfigError

Step = dict[str, Any]

# Each part, and what it calls its steps if it is a sequence.
_PARTS = {"normalizer": "normalizers", "pre_tokenizer": "pretokenizers", "decoder": "decoders"}
# Classes that say themselves which special tokens go around a text, whatever add_bos_token and add_eos_token say.
BERT_LIKE = frozenset({"BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer", "MobileBertTokenizer"})
_ROBERTA_LIKE = frozenset({"RobertaTokenizer", "XLMRobertaTokenizer", "CamembertTokenizer", "MPNetTokenizer"})
# Classes that are built from word pieces, and those that are BERT's under another name. They say themselves what
# tokenizer_config.json does not say of their normalizer.
WORD_PIECES = BERT_LIKE | {"MPNetTokenizer"}
_OWN_NORMALIZER = WORD_PIECES | {
    f"{name}Tokenizer" for name in ("DPRQuestionEncoder", "Funnel", "LayoutLM", "Lxmert", "SqueezeBert")
}
_NORMALIZER = {
    "tokenize_chinese_chars": ("handle_chinese_chars", True),
    "strip_accents": ("strip_accents", None),
    "do_lower_case": ("lowercase", True),
}
_ALBERT_LIKE = frozenset({"AlbertTokenizer", "RemBertTokenizer"})
_DEBERTAS = frozenset({"DebertaTokenizer", "DebertaV2Tokenizer"})
_OWN_PROCESSOR = BERT_LIKE | _ROBERTA_LIKE | _DEBERTAS
# Where a Metaspace puts its space without add_prefix_space; with it, always.
_WITHOUT_PREFIX = {
    **dict.fromkeys(("AlbertTokenizer", "CamembertTokenizer", "RemBertTokenizer", "XLMRobertaTokenizer"), "never"),
    "DebertaV2Tokenizer": "first",
}
# Of classes that have them where no file does.
_BOS_AND_EOS = {
    **{name: {"bos_token": "[CLS]", "eos_token": "[SEP]"} for name in _ALBERT_LIKE},
    "GemmaTokenizer": {"bos_token": "<bos>", "eos_token": "<eos>"},
    "LlamaTokenizer": {"bos_token": "<s>", "eos_token": "</s>"},
    "Qwen2Tokenizer": {"eos_token": "<|endoftext|>"},
    "T5Tokenizer": {"eos_token": "</s>"},
}


def override_parts(backend: Tokenizer, config: dict[str, Any], name: str | None) -> None:
    """Changes the normalizer, pre-tokenizer and decoder where the settings say otherwise.

    name: the class of the tokenizer. Raises ConfigError.
    """
    before = {part: _steps(getattr(backend, part), key) for part, key in _PARTS.items()}
    after = json.loads(json.dumps(before))  # all of it is changed in place
    for step in after["normalizer"]:
        if step["type"] == "BertNormalizer":
            for key, (part, default) in _NORMALIZER.items():
                step[part] = flag(config, key, default if name in _OWN_NORMALIZER else step[part])
    normalizer, pre_tokenizer = after["normalizer"], after["pre_tokenizer"]
    if name in _ALBERT_LIKE:
        kept = _null_is_false(config, "keep_accents")
        _switch(normalizer, ("NFKD", "StripAccents"), None if kept is None else not kept, ("Lowercase", "Precompiled"))
        _switch(normalizer, ("Lowercase",), _null_is_false(config, "do_lower_case"), ("Precompiled",))
    if name == "DebertaV2Tokenizer":
        first = {step["type"] for step in normalizer}
        _switch(normalizer, ("Lowercase",), _null_is_false(config, "do_lower_case"), first)
        first = {step["type"] for step in pre_tokenizer}
        split = _null_is_false(config, "split_by_punct")
        _switch(pre_tokenizer, ("Punctuation",), split, first, behavior="Isolated")
    if name == "T5Tokenizer":
        for step in pre_tokenizer:
            if step["type"] == "Metaspace":
                step["prepend_scheme"] = "always"  # also after a special token, which other classes leave open
    if name == "LlamaTokenizer":
        normalizer.clear()
        pre_tokenizer[:] = [_space_of_llama(config)]
    space = flag(config, "add_prefix_space", None) if name is None else _null_is_false(config, "add_prefix_space")
    if space is not None:
        for step in [*pre_tokenizer, *after["decoder"]]:
            if step["type"] == "Metaspace" and name in _WITHOUT_PREFIX:
                step["prepend_scheme"] = "always" if space else _WITHOUT_PREFIX[name]
        for step in pre_tokenizer:
            if step["type"] == "ByteLevel":
                step["add_prefix_space"] = space
    for part, key in _PARTS.items():
        if after[part] != before[part]:
            setattr(backend, part, _made(part, key, after[part]))


def add_special_tokens_around(
    backend: Tokenizer, overrides: dict[str, Any], name: str | None, special: dict[str, str]
) -> None:
    """Puts special tokens around texts where keywords ask for it, or the class does and tokenizer.json says nothing.

    special: "bos_token" and the like, by role. What tokenizer_config.json says of add_bos_token and add_eos_token is
    out of date where there is a tokenizer.json. Raises ConfigError.
    """
    if name == "T5Tokenizer":
        overrides = {"add_eos_token": True}  # whatever the file and the keywords say
    if not {"add_bos_token", "add_eos_token"}.isdisjoint(overrides) and name not in _OWN_PROCESSOR:
        backend.post_processor = _bos_and_eos(backend, overrides, {**_BOS_AND_EOS.get(name or "", {}), **special})
    tokens = [special[role] for role in ("cls_token", "sep_token") if role in special]
    known = [(token, index) for token in tokens if (index := backend.token_to_id(token)) is not None]
    if backend.post_processor is not None or len(known) < 2:
        return
    cls, sep = known
    if name in _ROBERTA_LIKE:
        backend.post_processor = processors.RobertaProcessing(sep, cls, add_prefix_space=False)
    elif name in BERT_LIKE | _DEBERTAS | {"AlbertTokenizer"}:
        backend.post_processor = processors.BertProcessing(sep, cls)


def flag(config: dict[str, Any], key: str, default: bool | None) -> Any:
    """config[key], `default` where it is not given. None is a value of strip_accents. Raises ConfigError."""
    value = config.get(key, default)
    if value is None and key != "strip_accents":
        value = default
    if not isinstance(value, bool) and value is not None:
        raise ConfigError(f"tokenizer_config.json: {key}: found {value!r}, expected true or false")
    return value


def _null_is_false(config: dict[str, Any], key: str) -> bool | None:
    """config[key], false for null as in transformers; None if it is not given. Raises ConfigError."""
    value: bool | None = flag(config, key, False) if key in config else None
    return value


def _space_of_llama(config: dict[str, Any]) -> Step:
    """Llama's class puts the space before a text itself, whatever the file's normalizer did. Raises ConfigError."""
    later = "always" if flag(config, "legacy", False) else "first"
    scheme = later if flag(config, "add_prefix_space", True) else "never"
    return {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": False}


def is_of_bytes(backend: Tokenizer) -> bool:
    """Whether it splits texts as bytes."""
    return any(step["type"] == "ByteLevel" for step in _steps(backend.pre_tokenizer, _PARTS["pre_tokenizer"]))


def _bos_and_eos(backend: Tokenizer, overrides: dict[str, Any], special: dict[str, str]) -> Any:
    around = {}
    for role in ("bos_token", "eos_token"):
        if flag(overrides, f"add_{role}", False):
            if role not in special or backend.token_to_id(special[role]) is None:
                raise ConfigError(f"add_{role}: found True, but the tokenizer has no {role}; give one")
            around[role] = special[role]
    bos, eos = ([around[role]] if role in around else [] for role in ("bos_token", "eos_token"))
    first = [*bos, "$A", *eos]
    second = [f"{piece}:1" for piece in (*bos, "$B", *eos)]
    ids = [(token, backend.token_to_id(token)) for token in dict.fromkeys(around.values())]
    return processors.TemplateProcessing(single=first, pair=first + second, special_tokens=ids)


def _switch(
    steps: list[Step], kinds: tuple[str, ...], wanted: bool | None, before: Collection[str], **settings: Any
) -> None:
    """Takes the steps of some kinds out, or puts them in before the first of the kinds `before`, else at the end.

    wanted: whether they are to be there; None: as it is.
    """
    others = [step for step in steps if step["type"] not in kinds]
    if wanted is False:
        steps[:] = others
    elif wanted and len(others) == len(steps):
        place = next((index for index, step in enumerate(steps) if step["type"] in before), len(steps))
        steps[place:place] = [{"type": kind, **settings} for kind in kinds]


def _steps(part: Any, key: str) -> list[Step]:
    # The state is what the parts of every version of the tokenizers package have; their steps are not.
    return [] if part is None else _flat(json.loads(part.__getstate__()), key)


def _flat(state: Step, key: str) -> list[Step]:
    if state["type"] != "Sequence":
        return [state]
    return [step for inner in state[key] for step in _flat(inner, key)]


def _made(part: str, key: str, steps: list[Step]) -> Any:
    model = {"type": "WordLevel", "vocab": {}, "unk_token": ""}
    state = steps[0] if len(steps) == 1 else {"type": "Sequence", key: steps}
    return getattr(Tokenizer.from_str(json.dumps({"version": "1.0", "model": model, part: state})), part)
