"""Tokenizers with the interface of transformers' fast ones, on the `tokenizers` package."""

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tokenizers import Encoding as Tokens
from tokenizers import Tokenizer as Backend

from . import tokenizer_files
from .atomic import FileSet
from .checks import integer, optional_count
from .encoding import BatchEncoding, Filling, as_tensors, columns_of, filled, pad_columns
from .errors import ConfigError, InputError
from .hub import Source
from .loading_keywords import own_keywords
from .text_encoder import MOST_TOKENS, Cut, TextEncoder
from .texts import Pair, as_inputs, as_words
from .tokenizer_files import TokenizerFiles
from .tokenizer_settings import length_limit, side_of, write_tokenizer
from .vocabulary import Vocabulary

# From here on a model_max_length is none, as in transformers, which writes 1e30 into tokenizer_config.json.
NO_LIMIT = int(1e20)
# Classes that make token_type_ids, whatever the model is, unless model_input_names says otherwise.
_WITH_TYPES = frozenset(
    f"{name}Tokenizer"
    for name in (
        *("Bert", "ConvBert", "Electra", "LayoutLM", "Lxmert", "MobileBert", "SqueezeBert"),
        *("DPRContextEncoder", "DPRQuestionEncoder", "DPRReader"),
        *("Canine", "CodeGen", "Deberta", "DebertaV2", "FNet", "LayoutLMv2", "MarkupLM", "Tapas"),
    )
)
_TRUNCATIONS = ("longest_first", "only_first", "only_second")


class Tokenizer(Vocabulary):
    """Text to token ids and back. Made by `AutoTokenizer.from_pretrained`; many threads may call one.

    model_max_length: tokens a model of this tokenizer takes; where `truncation` and "max_length" padding cut and fill
    up to if no `max_length` is given. padding_side, truncation_side: "right" or "left". See also Vocabulary.
    """

    is_fast = True

    def __init__(self, files: TokenizerFiles, name_or_path: str = "") -> None:
        """Raises ConfigError for a setting of tokenizer_config.json that makes no sense."""
        self._backend, self._special_tokens, self._config, class_name, joins_texts = files
        self.name_or_path = name_or_path
        self.model_max_length = length_limit(self._config)
        self.padding_side = side_of(self._config, "padding_side")
        self.truncation_side = side_of(self._config, "truncation_side")
        self.pad_token_type_id = self._config.get("pad_token_type_id", 0)
        if not isinstance(self.pad_token_type_id, int):
            raise ConfigError(f"tokenizer_config.json: pad_token_type_id: found {self.pad_token_type_id!r}")
        self.clean_up_tokenization_spaces = bool(self._config.get("clean_up_tokenization_spaces"))
        typed = class_name is None or class_name in _WITH_TYPES
        names = ["input_ids", *(["token_type_ids"] if typed else []), "attention_mask"]
        self.model_input_names: list[str] = self._config.get("model_input_names") or names
        self._texts = TextEncoder(self._backend, joins_texts)
        self._warned = False

    def __call__(
        self,
        text: str | Iterable[Any],
        text_pair: str | Iterable[Any] | None = None,
        *,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        stride: int = 0,
        is_split_into_words: bool = False,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors: str | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_length: bool = False,
        verbose: bool = True,
    ) -> BatchEncoding:
        """Tokenises one text or pair, or a batch of them.

        text, text_pair: strings, or sequences, iterators, Series or arrays of strings, of equal length; pairs are
            taken too in the place of texts.
        padding: False; True or "longest", to the longest of the batch; "max_length".
        truncation: False; True or "longest_first", which cuts the longer of a pair; "only_first", "only_second".
            None truncates if `max_length` is given and nothing is padded, as in transformers.
        max_length: tokens, special ones included; None takes model_max_length.
        is_split_into_words: a text is a list of words, a batch a list of such lists.
        return_overflowing_tokens: what is cut off is kept, in more rows of at most `max_length` tokens, which follow
            that of their text and share `stride` tokens with the row before; `overflow_to_sample_mapping` [rows] has
            the number of each row's text. stride means nothing without it.
        return_length: adds `length` [rows], tokens of each row with its padding.
        return_tensors: None for lists, "np" for int64 arrays [batch, seq], "pt" for PyTorch tensors.

        Returns input_ids, and as the model takes them or as asked, token_type_ids and attention_mask (1 at tokens, 0
        at padding), special_tokens_mask and offset_mapping: one row a text, and lists without rows for a single text
        unless `return_tensors` or `return_overflowing_tokens` is given. Raises InputError.
        """
        batch, inputs = (as_words if is_split_into_words else as_inputs)(text, text_pair)
        pad, strategy, limit = self._strategies(padding, truncation, max_length, pad_to_multiple_of, verbose)
        if integer(stride) is None or stride < 0:
            raise InputError(f"stride: found {stride!r:.100}, expected an integer of at least 0")
        cut = self._cut(strategy, limit, int(stride) if return_overflowing_tokens else None)

        def encode(details: bool) -> list[list[Tokens]]:
            found = self._texts.encode(inputs, add_special_tokens, cut, details, is_split_into_words)
            return [[tokens, *(tokens.overflowing if return_overflowing_tokens else [])] for tokens in found]

        details = return_offsets_mapping or return_overflowing_tokens or is_split_into_words
        parts = encode(details)
        lengths = [len(tokens) for tokens, *_ in parts]
        if max_length is None and verbose:
            self._warn_if_too_long(max(lengths, default=0))
        filling = None if pad is None else self._filling(lengths, pad, limit, pad_to_multiple_of, padding_side)
        encodings = filled(parts, filling)
        asked = {
            "input_ids": True,
            "token_type_ids": self._wants("token_type_ids", return_token_type_ids),
            "attention_mask": self._wants("attention_mask", return_attention_mask),
            "special_tokens_mask": return_special_tokens_mask,
            "offset_mapping": return_offsets_mapping,
        }
        columns: dict[str, Any] = columns_of(encodings, [name for name, is_asked in asked.items() if is_asked])
        single = not batch and return_tensors is None and not return_overflowing_tokens
        if single:
            columns = {name: rows[0] for name, rows in columns.items()}
        if return_length:
            columns["length"] = [len(tokens) for tokens in encodings]
        if return_overflowing_tokens:
            columns["overflow_to_sample_mapping"] = [index for index, rows in enumerate(parts) for _ in rows]
        if return_tensors is not None:
            columns = as_tensors(columns, return_tensors)
        return BatchEncoding(columns, encodings if details else lambda: filled(encode(True), filling))

    def encode(self, text: str | Iterable[str], text_pair: str | None = None, **kwargs: Any) -> Any:
        """The input_ids alone; the keywords are those of the call."""
        return self(text, text_pair, **kwargs)["input_ids"]

    def truncated_ids(self, texts: list[str], max_length: int, add_special_tokens: bool = True) -> list[list[int]]:
        """The ids of texts that were checked, cut to `max_length` tokens: the quick way to them."""
        cut = self._cut("longest_first", max_length)
        encodings = self._texts.encode(texts, add_special_tokens, cut)
        return [tokens.ids for tokens in encodings]

    def truncated(
        self, texts: list[str], max_length: int, add_special_tokens: bool = True
    ) -> tuple[list[list[int]], list[int]]:
        """The same ids, and the numbers of the texts that were cut."""
        cut = self._cut("longest_first", max_length)
        encodings = self._texts.encode(texts, add_special_tokens, cut)
        ids = [tokens.ids for tokens in encodings]
        return ids, [index for index, row in enumerate(ids) if len(row) >= max_length and encodings[index].overflowing]

    def truncated_pairs(self, pairs: list[Pair], max_length: int) -> tuple[list[list[int]], list[list[int]] | None]:
        """The ids of pairs that were checked, the longer text cut until there are `max_length`, and their type ids.

        The types are None where models of this tokenizer take none.
        """
        encodings = self._texts.encode(pairs, cut=self._cut("longest_first", max_length))
        typed = self._wants("token_type_ids", None)
        return [tokens.ids for tokens in encodings], [tokens.type_ids for tokens in encodings] if typed else None

    def encodings(self, inputs: Iterable[str | Pair]) -> list[Tokens]:
        """The encodings of texts and pairs that were checked, whole, with the characters and words of their tokens."""
        return self._texts.encode(list(inputs), details=True)

    def windows(
        self,
        inputs: Sequence[str | Pair | list[str]],
        max_length: int,
        stride: int | None = None,
        is_split_into_words: bool = False,
    ) -> list[list[Tokens]]:
        """The encodings, with offsets, of texts or pairs that were checked, each cut to `max_length` tokens.

        With a stride, each in as many parts as it takes, which share `stride` tokens with the part before.
        is_split_into_words: texts are lists of words. Raises InputError.
        """
        cut = self._cut("longest_first", max_length, stride)
        found = self._texts.encode(list(inputs), cut=cut, details=True, is_split_into_words=is_split_into_words)
        return [[tokens, *([] if stride is None else tokens.overflowing)] for tokens in found]

    def tokenize(self, text: str, pair: str | None = None, add_special_tokens: bool = False) -> list[str]:
        """The tokens of a text as strings."""
        _, inputs = as_inputs(text, pair)
        tokens: list[str] = self._texts.encode(inputs, add_special_tokens, details=True)[0].tokens
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
        columns = {key: _as_lists(value) for key, value in encoded_inputs.items()}
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
            lengths = list(map(len, columns["input_ids"]))
            filling = self._filling(lengths, pad, limit, pad_to_multiple_of, padding_side)
            columns = pad_columns(columns, filling)
        if return_tensors is not None:
            return BatchEncoding(as_tensors(columns, return_tensors))
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
        os.makedirs(save_directory, exist_ok=True)
        with FileSet(save_directory) as files:
            names = self.write(files)
            files.commit()
        return tuple(os.path.join(save_directory, name) for name in names)

    def write(self, files: FileSet) -> tuple[str, ...]:
        """Creates the files of `save_pretrained` in a set of them, and gives their names. Raises OSError."""
        over = {
            **self.special_tokens_map,
            "model_input_names": self.model_input_names,
            "model_max_length": self.model_max_length,
            "padding_side": self.padding_side,
            "truncation_side": self.truncation_side,
        }
        return write_tokenizer(files, self._backend, self._config, over)

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
        # Members of transformers' enums have the strings as values.
        padding = getattr(padding, "value", padding)
        truncation = getattr(truncation, "value", truncation)
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

    def _cut(self, strategy: str | None, limit: int | None, stride: int | None = None) -> Cut | None:
        return None if strategy is None or limit is None else Cut(strategy, limit, self.truncation_side, stride)

    def _filling(
        self, lengths: list[int], pad: str, limit: int | None, multiple: int | None, side: str | None
    ) -> Filling:
        side = self.padding_side if side is None else side
        if side not in ("left", "right"):
            raise InputError(f"padding_side: found {side!r}, expected 'left' or 'right'")
        length = limit if pad == "max_length" else max(lengths, default=0)
        assert length is not None
        assert self.pad_token is not None
        assert self.pad_token_id is not None
        if length > MOST_TOKENS:
            raise InputError(f"max_length: found {length}, expected at most {MOST_TOKENS} to pad to")
        if multiple:
            length = -(-length // int(multiple)) * int(multiple)
        return Filling(length, side, self.pad_token_id, self.pad_token_type_id, self.pad_token)

    def _warn_if_too_long(self, longest: int) -> None:
        if longest > self.model_max_length and not self._warned:
            self._warned = True
            warnings.warn(
                f"a text has {longest} tokens, and the model takes {self.model_max_length}: truncation=True cuts it",
                stacklevel=3,
            )


def _as_lists(column: Any) -> Any:
    """A column whose rows, or all of which, may be an array or tensor, in lists."""
    if hasattr(column, "tolist"):
        return column.tolist()
    return [row.tolist() if hasattr(row, "tolist") else row for row in column] if isinstance(column, list) else column


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
        """The tokenizer of a folder, or of a model on the hub: tokenizer.json, or the vocabulary of BERT,
        RoBERTa, MPNet or Qwen2.

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
