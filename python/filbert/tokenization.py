"""Tokenizers with the interface of transformers' fast ones, on the `tokenizers` package."""

import contextlib
import json
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from tokenizers import Encoding as Tokens
from tokenizers import Tokenizer as Backend

from . import tokenizer_files
from .atomic import FileSet
from .checks import integer, optional_count
from .encoding import BatchEncoding, as_tensors, pad_columns
from .errors import ConfigError, InputError
from .exits import RunningCalls
from .hub import Source
from .loading_keywords import own_keywords
from .texts import Pair, as_inputs
from .tokenizer_files import TokenizerFiles
from .truncation import Truncation
from .vocabulary import Vocabulary

# From here on a model_max_length is none, as in transformers, which writes 1e30 into tokenizer_config.json.
NO_LIMIT = int(1e20)
# More tokens than any text has, and than any row could be filled up to.
_MOST_TOKENS = 2**31 - 1

# Classes that make no token_type_ids unless model_input_names asks for them: most of these models have none.
_WITHOUT_TYPES = frozenset(
    f"{name}Tokenizer"
    for name in ("DistilBert", "Roberta", "XLMRoberta", "Camembert", "MPNet", "Albert", "Qwen2", "PreTrained")
) | {"TokenizersBackend"}
_CALLS = RunningCalls()  # of the tokenizers package
_TRUNCATIONS = ("longest_first", "only_first", "only_second")


class Tokenizer(Vocabulary):
    """Text to token ids and back. Made by `AutoTokenizer.from_pretrained`; many threads may call one.

    model_max_length: tokens a model of this tokenizer takes; where `truncation` and "max_length" padding cut and fill
    up to if no `max_length` is given. padding_side, truncation_side: "right" or "left". See also Vocabulary.
    """

    is_fast = True

    def __init__(self, files: TokenizerFiles, name_or_path: str = "") -> None:
        """Raises ConfigError for a setting of tokenizer_config.json that makes no sense."""
        self._backend, self._special_tokens, self._config = files
        self.name_or_path = name_or_path
        self.model_max_length = _limit(self._config)
        self.padding_side = _side(self._config, "padding_side")
        self.truncation_side = _side(self._config, "truncation_side")
        self.pad_token_type_id = self._config.get("pad_token_type_id", 0)
        if not isinstance(self.pad_token_type_id, int):
            raise ConfigError(f"tokenizer_config.json: pad_token_type_id: found {self.pad_token_type_id!r}")
        self.clean_up_tokenization_spaces = bool(self._config.get("clean_up_tokenization_spaces"))
        typed = tokenizer_files.class_name(self._config) not in _WITHOUT_TYPES
        names = ["input_ids", *(["token_type_ids"] if typed else []), "attention_mask"]
        self.model_input_names: list[str] = self._config.get("model_input_names") or names
        self._truncation = Truncation(self._backend)
        self._warned = False

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_truncation"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._truncation = Truncation(self._backend)

    def __call__(
        self,
        text: str | Iterable[str] | Iterable[Pair],
        text_pair: str | Iterable[str] | None = None,
        *,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors: str | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        verbose: bool = True,
    ) -> BatchEncoding:
        """Tokenises one text or pair, or a batch of them.

        text, text_pair: strings, or sequences, iterators, Series or arrays of strings, of equal length; pairs are
            taken too in the place of texts.
        padding: False; True or "longest", to the longest of the batch; "max_length".
        truncation: False; True or "longest_first", which cuts the longer of a pair; "only_first", "only_second".
            None truncates if `max_length` is given and nothing is padded, as in transformers.
        max_length: tokens, special ones included; None takes model_max_length.
        return_tensors: None for lists, "np" for int64 arrays [batch, seq], "pt" for PyTorch tensors.

        Returns input_ids, and as the model takes them or as asked, token_type_ids and attention_mask (1 at tokens, 0
        at padding): lists for a single text without `return_tensors`, else one row a text. Raises InputError.
        """
        batch, inputs = as_inputs(text, text_pair)
        pad, cut, limit = self._strategies(padding, truncation, max_length, pad_to_multiple_of, verbose)
        encodings = self._encode(inputs, add_special_tokens, cut, limit, return_offsets_mapping)
        columns: dict[str, list[Any]] = {"input_ids": [tokens.ids for tokens in encodings]}
        if self._wants("token_type_ids", return_token_type_ids):
            columns["token_type_ids"] = [tokens.type_ids for tokens in encodings]
        if self._wants("attention_mask", return_attention_mask):
            columns["attention_mask"] = [tokens.attention_mask for tokens in encodings]
        if return_special_tokens_mask:
            columns["special_tokens_mask"] = [tokens.special_tokens_mask for tokens in encodings]
        if return_offsets_mapping:
            columns["offset_mapping"] = [tokens.offsets for tokens in encodings]
        if max_length is None and verbose:
            self._warn_if_too_long(columns["input_ids"])
        if pad is not None:
            columns = self._pad(columns, pad, limit, pad_to_multiple_of, padding_side)
        if return_tensors is not None:
            return as_tensors(columns, return_tensors)
        return BatchEncoding(columns if batch else {name: rows[0] for name, rows in columns.items()})

    def encode(self, text: str | Iterable[str], text_pair: str | None = None, **kwargs: Any) -> Any:
        """The input_ids alone; the keywords are those of the call."""
        return self(text, text_pair, **kwargs)["input_ids"]

    def truncated_ids(self, texts: list[str], max_length: int, add_special_tokens: bool = True) -> list[list[int]]:
        """The ids of texts that were checked, cut to `max_length` tokens: the quick way to them."""
        encodings = self._encode(list(texts), add_special_tokens, "longest_first", max_length, False)
        return [tokens.ids for tokens in encodings]

    def truncated(
        self, texts: list[str], max_length: int, add_special_tokens: bool = True
    ) -> tuple[list[list[int]], list[int]]:
        """The same ids, and the numbers of the texts that were cut."""
        encodings = self._encode(list(texts), add_special_tokens, "longest_first", max_length, False)
        ids = [tokens.ids for tokens in encodings]
        return ids, [index for index, row in enumerate(ids) if len(row) >= max_length and encodings[index].overflowing]

    def truncated_pairs(self, pairs: list[Pair], max_length: int) -> tuple[list[list[int]], list[list[int]] | None]:
        """The ids of pairs that were checked, the longer text cut until there are `max_length`, and their type ids.

        The types are None where models of this tokenizer take none.
        """
        encodings = self._encode(list(pairs), True, "longest_first", max_length, False)
        typed = self._wants("token_type_ids", None)
        return [tokens.ids for tokens in encodings], [tokens.type_ids for tokens in encodings] if typed else None

    def encodings(self, inputs: Iterable[str | Pair]) -> list[Tokens]:
        """The encodings of texts and pairs that were checked, whole, with the characters and words of their tokens."""
        return self._encode(list(inputs), True, None, None, True)

    def windows(
        self,
        inputs: Sequence[str | Pair | list[str]],
        max_length: int,
        stride: int | None = None,
        truncation: str = "longest_first",
        is_split_into_words: bool = False,
    ) -> list[list[Tokens]]:
        """The encodings, with offsets, of texts or pairs that were checked, each cut to `max_length` tokens.

        With a stride, each in as many parts as it takes, which share `stride` tokens with the part before.
        is_split_into_words: texts are lists of words. Raises InputError.
        """
        max_length = min(max_length, _MOST_TOKENS)
        if stride is None and not is_split_into_words:
            return [[tokens] for tokens in self._encode(list(inputs), True, truncation, max_length, True)]
        is_pair = not is_split_into_words and any(not isinstance(item, str) for item in inputs)
        added = self.num_special_tokens_to_add(is_pair)
        if stride is not None and stride >= max_length - added:
            raise InputError(f"stride: found {stride}, expected less than {max_length - added}, the tokens of a part")
        backend = self._cutting(truncation, max_length, added, stride or 0)
        with _CALLS, _as_input_errors():
            found = backend.encode_batch(inputs, is_pretokenized=is_split_into_words)
        return [[tokens, *([] if stride is None else tokens.overflowing)] for tokens in found]

    def tokenize(self, text: str, pair: str | None = None, add_special_tokens: bool = False) -> list[str]:
        """The tokens of a text as strings."""
        _, inputs = as_inputs(text, pair)
        tokens: list[str] = self._encode(inputs, add_special_tokens, None, None, True)[0].tokens
        return tokens

    def pad(
        self,
        encoded_inputs: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        padding: bool | str = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: str | None = None,
    ) -> BatchEncoding:
        """Pads what calls have returned: an encoding, or a list of encodings of single texts. Raises InputError."""
        if not isinstance(encoded_inputs, Mapping):
            items = list(encoded_inputs)
            encoded_inputs = {key: [item[key] for item in items] for key in (items[0] if items else ("input_ids",))}
        columns = {key: value.tolist() if hasattr(value, "tolist") else value for key, value in encoded_inputs.items()}
        if "input_ids" not in columns:
            raise InputError(f"pad: found {', '.join(columns) or 'nothing'}, expected input_ids among them")
        ids = columns["input_ids"]
        single = len(ids) > 0 and integer(ids[0]) is not None
        if single:
            columns = {key: [value] for key, value in columns.items()}
        if "attention_mask" not in columns and self._wants("attention_mask", return_attention_mask):
            columns["attention_mask"] = [[1] * len(row) for row in columns["input_ids"]]
        pad, _, limit = self._strategies(padding, False, max_length, pad_to_multiple_of, False)
        if pad is not None:
            columns = self._pad(columns, pad, limit, pad_to_multiple_of, padding_side)
        if return_tensors is not None:
            return as_tensors(columns, return_tensors)
        return BatchEncoding({key: value[0] for key, value in columns.items()} if single else columns)

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """How many special tokens a text, or a pair, gets."""
        count: int = self._backend.num_special_tokens_to_add(pair)
        return count

    @property
    def backend_tokenizer(self) -> Backend:
        """The `tokenizers.Tokenizer`, with neither padding nor truncation; not to be changed."""
        return self._backend

    @property
    def chat_template(self) -> Any:
        """As tokenizer_config.json has it: text or several by name; None if there is none. Nothing here renders it."""
        return self._config.get("chat_template")

    def save_pretrained(self, save_directory: str | os.PathLike[str]) -> tuple[str, ...]:
        """Writes tokenizer.json and tokenizer_config.json, for transformers too, and returns their paths.

        The folder is created if need be. Raises OSError; old files survive it.
        """
        fields = ("content", "single_word", "lstrip", "rstrip", "normalized", "special")
        config = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            **self._config,
            **self.special_tokens_map,
            "model_input_names": self.model_input_names,
            "added_tokens_decoder": {
                str(index): {field: getattr(token, field) for field in fields}
                for index, token in sorted(self._backend.get_added_tokens_decoder().items())
            },
            "model_max_length": self.model_max_length,
            "padding_side": self.padding_side,
            "truncation_side": self.truncation_side,
        }
        contents = {
            "tokenizer.json": self._backend.to_str(pretty=True),
            "tokenizer_config.json": json.dumps(config, indent=2, ensure_ascii=False) + "\n",
        }
        os.makedirs(save_directory, exist_ok=True)
        with FileSet(save_directory) as files:
            for name, text in contents.items():
                with files.create(name) as file:
                    file.write(text.encode())
            files.commit()
        return tuple(os.path.join(save_directory, name) for name in contents)

    def __repr__(self) -> str:
        limit = "no limit" if self.model_max_length >= NO_LIMIT else f"model_max_length={self.model_max_length}"
        tokens = ", ".join(f"{name}={token!r}" for name, token in self.special_tokens_map.items())
        model = type(self._backend.model).__name__
        return f"Tokenizer({self.name_or_path!r}, {model}, {len(self)} tokens, {limit}, {tokens})"

    def _wants(self, name: str, asked: bool | None) -> bool:
        return name in self.model_input_names if asked is None else asked

    def _strategies(
        self,
        padding: bool | str,
        truncation: bool | str | None,
        max_length: int | None,
        multiple: int | None,
        verbose: bool,
    ) -> tuple[str | None, str | None, int | None]:
        """Padding ("longest" or "max_length"), truncation and maximum length, as transformers takes these arguments."""
        max_length = optional_count("max_length", max_length)
        multiple = optional_count("pad_to_multiple_of", multiple)
        if max_length is not None and padding is False and truncation is None:
            truncation = "longest_first"
        pad = {True: "longest", False: None, "do_not_pad": None}.get(padding, padding)
        cut = {True: "longest_first", False: None, None: None, "do_not_truncate": None}.get(truncation, truncation)
        if pad not in (None, "longest", "max_length"):
            raise InputError(f"padding: found {padding!r}, expected True, False, 'longest' or 'max_length'")
        if cut not in (None, *_TRUNCATIONS):
            raise InputError(f"truncation: found {truncation!r}, expected True, False or one of {_TRUNCATIONS}")
        if max_length is None and (cut or pad == "max_length"):
            if self.model_max_length < NO_LIMIT:
                max_length = self.model_max_length
            else:
                if verbose:
                    what = "truncated" if cut else "padded"
                    warnings.warn(f"nothing is {what}: give max_length, the tokenizer has no maximum", stacklevel=3)
                cut, pad = None, None if pad == "max_length" else pad
        if pad and self.pad_token_id is None:
            raise InputError("padding: the tokenizer has no padding token; set tokenizer.pad_token to a token it has")
        if cut and pad and multiple and max_length is not None and max_length % multiple:
            raise InputError(f"pad_to_multiple_of: {multiple} does not divide the length truncated to, {max_length}")
        return pad, cut, max_length

    def _encode(
        self,
        inputs: list[str | Pair],
        add_special_tokens: bool,
        truncation: str | None,
        max_length: int | None,
        details: bool,
    ) -> list[Tokens]:
        """The encodings; without `details` they have no offsets and no tokens as strings, only ids and masks."""
        backend, setting = self._backend, None
        if truncation is not None and max_length is not None and max_length <= _MOST_TOKENS:
            added = self.num_special_tokens_to_add(any(not isinstance(item, str) for item in inputs))
            setting = (truncation, max_length, self.truncation_side)
            backend = self._cutting(truncation, max_length, added if add_special_tokens else 0)
        encode = backend.encode_batch if details else backend.encode_batch_fast
        with _CALLS, _as_input_errors():
            # Offsets count from the beginning of a text, which shortening from the left would move.
            if setting is not None and not (details and self.truncation_side == "left"):
                inputs = self._truncation.shorten(inputs, *setting)
            encodings: list[Tokens] = encode(inputs, add_special_tokens=add_special_tokens)
        return encodings

    def _cutting(self, truncation: str, max_length: int, added: int, stride: int = 0) -> Backend:
        """A tokenizer that cuts to `max_length` tokens, of which `added` are special."""
        if max_length < added:
            raise InputError(f"max_length: found {max_length}, but {added} special tokens are added")
        return self._truncation.backend(truncation, max_length, self.truncation_side, stride)

    def _pad(
        self, columns: dict[str, list[Any]], pad: str, limit: int | None, multiple: int | None, side: str | None
    ) -> dict[str, list[Any]]:
        side = self.padding_side if side is None else side
        if side not in ("left", "right"):
            raise InputError(f"padding_side: found {side!r}, expected 'left' or 'right'")
        length = limit if pad == "max_length" else max(map(len, columns["input_ids"]), default=0)
        assert length is not None
        assert self.pad_token_id is not None
        if length > _MOST_TOKENS:
            raise InputError(f"max_length: found {length}, expected at most {_MOST_TOKENS} to pad to")
        if multiple:
            length = -(-length // int(multiple)) * int(multiple)
        return pad_columns(columns, length, side, self.pad_token_id, self.pad_token_type_id)

    def _warn_if_too_long(self, rows: list[list[int]]) -> None:
        longest = max(map(len, rows), default=0)
        if longest > self.model_max_length and not self._warned:
            self._warned = True
            warnings.warn(
                f"a text has {longest} tokens, and the model takes {self.model_max_length}: truncation=True cuts it",
                stacklevel=3,
            )


class AutoTokenizer:
    """Loads the tokenizer of a model."""

    def __init__(self) -> None:
        raise TypeError("AutoTokenizer is not instantiated: use AutoTokenizer.from_pretrained")

    @staticmethod
    def from_pretrained(
        pretrained_model_name_or_path: str | os.PathLike[str],
        *,
        revision: str | None = None,
        subfolder: str = "",
        cache_dir: str | os.PathLike[str] | None = None,
        token: str | bool | None = None,
        local_files_only: bool = False,
        force_download: bool = False,
        use_fast: bool = True,
        **overrides: Any,
    ) -> Tokenizer:
        """The tokenizer of a folder, or of a model on the hub: tokenizer.json, or BERT's vocab.txt.

        Further keywords replace keys of tokenizer_config.json (`model_max_length=256`, `do_lower_case=False`,
        `padding_side="left"`); those that change nothing for models are left out (`trust_remote_code`), and so is
        use_fast: there is one tokenizer. Raises ConfigError, InputError and OSError.
        """
        overrides = own_keywords({"token": token, **overrides})
        token = overrides.pop("token")
        source = Source(
            pretrained_model_name_or_path,
            revision=revision,
            subfolder=subfolder,
            cache_dir=cache_dir,
            token=token,
            local_files_only=local_files_only,
            force_download=force_download,
        )
        return Tokenizer(tokenizer_files.load(source, overrides), source.name)


@contextlib.contextmanager
def _as_input_errors() -> Iterator[None]:
    """What the `tokenizers` package raises as InputError: bare exceptions, and panics outside of Exception."""
    try:
        yield
    except BaseException as error:
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise InputError(str(error)) from None
        raise


def _limit(config: dict[str, Any]) -> int:
    key = "model_max_length" if "model_max_length" in config else "max_len"  # as it was called until 2020
    value = config.get(key)
    if value is None:
        return int(1e30)
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer) or not value >= 1:
        raise ConfigError(f"tokenizer_config.json: {key}: found {value!r}, expected an integer above 0")
    return int(min(value, 1e30))


def _side(config: dict[str, Any], key: str) -> str:
    side = config.get(key) or "right"
    if side not in ("left", "right", "Left", "Right"):
        raise ConfigError(f"tokenizer_config.json: {key}: found {side!r}, expected 'left' or 'right'")
    return str(side).lower()
