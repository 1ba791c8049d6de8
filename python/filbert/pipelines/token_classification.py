"""Labels for the tokens and words of texts: names of people and places, parts of speech and the like."""

import dataclasses
import itertools
import warnings
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from ..checks import integer
from ..errors import ConfigError, InputError
from ..scores import Floats, softmax
from ..texts import check_text
from .base import Options, Pipeline, Sequence
from .entities import WORD_STRATEGIES, Token, check_strategy, entities_of, without_labels, without_overlaps
from .labels import label_names

if TYPE_CHECKING:
    from tokenizers import Encoding as Tokens


@dataclasses.dataclass(frozen=True)
class TokenClassificationOptions(Options):
    """Settings of token classification.

    aggregation_strategy: "none", the default, for a result a token. The others give groups of neighbours with one
        label: of tokens ("simple"), or of words, whose label is that of their "first" token, of the "average" of their
        tokens' scores, or of the token with the highest score ("max").
    ignore_labels: the labels that are left out of results.
    stride: texts that are too long are run in parts that overlap by so many tokens. None: only their beginning is run.
    is_split_into_words: inputs are lists of words. A single one gives a list of one result, as in transformers.
    delimiter: what is between the words of an input in the text that start and end count characters of.
    """

    none_leaves: ClassVar[Collection[str]] = ("aggregation_strategy", "ignore_labels", "stride")

    aggregation_strategy: str | None = None
    ignore_labels: Collection[str] | None = ("O",)
    stride: int | None = None
    is_split_into_words: bool = False
    delimiter: str | None = " "

    def __post_init__(self) -> None:
        if self.aggregation_strategy is not None:
            check_strategy(self.aggregation_strategy)
        ignored: Any = self.ignore_labels
        if ignored is not None and (isinstance(ignored, str | bytes) or not isinstance(ignored, Collection)):
            raise InputError(f"ignore_labels: found {ignored!r:.100}, expected a list of labels")
        if self.stride is not None:
            stride = integer(self.stride)
            if stride is None or stride < 0:
                raise InputError(f"stride: found {self.stride!r}, expected an integer from 0")
            if self.aggregation_strategy is not None and self.strategy == "none":
                raise InputError("stride: texts run in parts need an aggregation_strategy other than 'none'")
        if self.delimiter is not None:
            check_text("delimiter", 0, self.delimiter)

    @property
    def strategy(self) -> str:
        return (self.aggregation_strategy or "none").lower()

    @property
    def separator(self) -> str:
        return " " if self.delimiter is None else self.delimiter

    def text(self, item: Any) -> str:
        """The text that start and end count characters of."""
        text: str = self.separator.join(item) if self.is_split_into_words else item
        return text

    def word_starts(self, item: Any) -> list[int] | None:
        """Where the words of a list of words start in that text; None for a text."""
        if not self.is_split_into_words:
            return None
        return list(itertools.accumulate((len(word) + len(self.separator) for word in item), initial=0))


class Places(NamedTuple):
    """Where the tokens of a sequence are in the text, and which of them are special."""

    offsets: list[tuple[int, int]]
    is_special: list[int]


class TokenClassificationPipeline(Pipeline):
    """The entities in texts: a list of dicts for a text (see `entities_of`), and a list of those for a list of texts.

    Texts that are longer than the model takes are cut, with a warning, unless there is a stride. See
    TokenClassificationOptions for the options of calls.
    """

    task: ClassVar[str] = "token-classification"
    auto_class: ClassVar[str] = "AutoModelForTokenClassification"
    options_class: ClassVar[type[Options]] = TokenClassificationOptions

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self._labels = label_names(self.model.config)
        wrong = [label for label in self._labels if not isinstance(label, str)]
        if wrong:
            raise ConfigError(f"id2label: found {wrong[0]!r}, expected strings")
        self._warned = False
        # Whether tokens say themselves that they go on with a word.
        self._marks_subwords = bool(getattr(self.tokenizer.backend_tokenizer.model, "continuing_subword_prefix", None))

    def items(self, inputs: Any, options: Any) -> tuple[bool, list[Any] | Iterator[Any]]:
        if options.strategy in WORD_STRATEGIES and not self._marks_subwords:
            warnings.warn("the tokenizer does not say what a word is: spaces are taken for its ends", stacklevel=3)
        if not options.is_split_into_words:
            return self.one_or_many(inputs, str)
        if isinstance(inputs, list | tuple) and not all(isinstance(item, list) for item in inputs):
            return False, [inputs]  # the words of one text
        return self.one_or_many(inputs, expected="a list of words, or a list of such lists")

    def sequences(self, items: list[Any], first: int, options: Any) -> list[list[Sequence]]:
        for number, item in enumerate(items, first):
            if options.is_split_into_words:
                _check_words(number, item)
            else:
                check_text("input", number, item)
        limit = min(self.tokenizer.model_max_length, self.model.max_tokens)
        found = self.tokenizer.windows(items, limit, options.stride, is_split_into_words=options.is_split_into_words)
        if options.stride is None and not self._warned:
            self._warn_if_cut(found, first, limit)
        starts = [options.word_starts(item) for item in items]
        return [
            [self._sequence(window, words) for window in windows] for words, windows in zip(starts, found, strict=True)
        ]

    def result(self, item: Any, sequences: list[Sequence], outputs: list[Floats], options: Any) -> Any:
        text, entities = options.text(item), []
        ignored = ("O",) if options.ignore_labels is None else options.ignore_labels
        for sequence, logits in zip(sequences, outputs, strict=True):
            tokens = self._tokens(text, sequence.ids, softmax(logits), sequence.note)
            found = entities_of(tokens, self._labels, options.strategy, self.tokenizer.convert_tokens_to_string)
            entities += without_labels(found, ignored)
        return entities if len(sequences) == 1 else without_overlaps(entities)

    def _warn_if_cut(self, found: list[list["Tokens"]], first: int, limit: int) -> None:
        cut = next((number for number, windows in enumerate(found, first) if windows[0].overflowing), None)
        if cut is not None:
            self._warned = True
            warnings.warn(f"input {cut} is cut to {limit} tokens: a stride takes all of it, in parts", stacklevel=5)

    def _sequence(self, window: "Tokens", starts: list[int] | None) -> Sequence:
        offsets = window.offsets
        if starts is not None:  # they count from the beginning of a word
            moved = [0 if word is None else starts[word] for word in window.word_ids]
            offsets = [(start + by, end + by) for (start, end), by in zip(offsets, moved, strict=True)]
        types = window.type_ids if "token_type_ids" in self.tokenizer.model_input_names else None
        return Sequence(window.ids, types, Places(offsets, window.special_tokens_mask))

    def _tokens(self, text: str, ids: list[int], scores: Floats, places: Places) -> list[Token]:
        tokens, words = [], self.tokenizer.convert_ids_to_tokens(ids)
        for index, (start, end) in enumerate(places.offsets):
            if places.is_special[index]:
                continue
            word, piece = words[index], text[start:end]
            if ids[index] == self.tokenizer.unk_token_id:
                word, is_subword = piece, False
            elif self._marks_subwords:
                is_subword = len(word) != len(piece)
            else:
                is_subword = start > 0 and " " not in text[start - 1 : start + 1]
            tokens.append(Token(word, scores[index], start, end, index, is_subword))
        return tokens


def _check_words(number: int, item: Any) -> None:
    if not isinstance(item, list | tuple):
        raise InputError(f"input {number}: found {item!r:.100} ({type(item).__name__}), expected a list of words")
    for place, word in enumerate(item):
        check_text(f"input {number}, word", place, word)
