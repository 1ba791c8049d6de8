"""Where the tokens of encodings stand in their texts, as transformers' fast tokenizers tell it."""

from collections.abc import Callable
from typing import NamedTuple

from tokenizers import Encoding as Tokens

from .checks import integer
from .errors import InputError


class CharSpan(NamedTuple):
    """Characters of a text, from `start` to before `end`."""

    start: int
    end: int


class TokenSpan(NamedTuple):
    """Tokens of a row, from `start` to before `end`."""

    start: int
    end: int


class TokenPlaces:
    """What the rows of a tokenizer's result know of their texts.

    The methods take the number of a row and an index in it, or the index alone, in the first row. Negative numbers of
    rows and of tokens count from the end. They give None where nothing is there: a special token comes from no text.
    Raise InputError for an index that no row could have, and where no text is known: what was padded afterwards.
    """

    # Made when they are asked for, if they are not there yet: most callers want ids alone.
    _encodings: list[Tokens] | Callable[[], list[Tokens]] | None = None

    @property
    def encodings(self) -> list[Tokens] | None:
        """One `tokenizers.Encoding` a row; None if the texts are not known."""
        if callable(self._encodings):
            self._encodings = self._encodings()
        return self._encodings

    @property
    def is_fast(self) -> bool:
        """Whether the texts are known."""
        return self._encodings is not None

    @property
    def n_sequences(self) -> int | None:
        """How many texts there are in a row, 1 or 2."""
        encodings = self.encodings
        return encodings[0].n_sequences if encodings else None

    def tokens(self, batch_index: int = 0) -> list[str]:
        """The tokens of a row as strings."""
        found: list[str] = self._row(batch_index).tokens
        return found

    def word_ids(self, batch_index: int = 0) -> list[int | None]:
        """The word of each token, counted in its text; None for special tokens."""
        found: list[int | None] = self._row(batch_index).word_ids
        return found

    def sequence_ids(self, batch_index: int = 0) -> list[int | None]:
        """The text of each token: 0, or 1 in the second of a pair; None for special tokens."""
        found: list[int | None] = self._row(batch_index).sequence_ids
        return found

    def token_to_sequence(self, batch_or_token_index: int, token_index: int | None = None) -> int | None:
        """The text of a token: 0, or 1 in the second of a pair."""
        row, index = self._token(batch_or_token_index, token_index)
        found: int | None = row.token_to_sequence(index)
        return found

    def token_to_word(self, batch_or_token_index: int, token_index: int | None = None) -> int | None:
        """The word that a token belongs to, counted in its text."""
        row, index = self._token(batch_or_token_index, token_index)
        found: int | None = row.token_to_word(index)
        return found

    def token_to_chars(self, batch_or_token_index: int, token_index: int | None = None) -> CharSpan | None:
        """The characters of a token, in its text (or word, if texts were given as lists of words)."""
        row, index = self._token(batch_or_token_index, token_index)
        found = row.token_to_chars(index)
        return None if found is None else CharSpan(*found)

    def word_to_tokens(
        self, batch_or_word_index: int, word_index: int | None = None, sequence_index: int = 0
    ) -> TokenSpan | None:
        """The tokens of a word of the first text, or of that of number `sequence_index`."""
        row, index = self._place("word", batch_or_word_index, word_index)
        found = row.word_to_tokens(index, sequence_index)
        return None if found is None else TokenSpan(*found)

    def word_to_chars(
        self, batch_or_word_index: int, word_index: int | None = None, sequence_index: int = 0
    ) -> CharSpan | None:
        """The characters of a word of the first text, or of that of number `sequence_index`."""
        row, index = self._place("word", batch_or_word_index, word_index)
        found = row.word_to_chars(index, sequence_index)
        return None if found is None else CharSpan(*found)

    def char_to_token(
        self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """The token that a character of the first text, or of that of number `sequence_index`, is in."""
        row, index = self._place("character", batch_or_char_index, char_index)
        found: int | None = row.char_to_token(index, sequence_index)
        return found

    def char_to_word(
        self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """The word that a character of the first text, or of that of number `sequence_index`, is in."""
        row, index = self._place("character", batch_or_char_index, char_index)
        found: int | None = row.char_to_word(index, sequence_index)
        return found

    def _row(self, number: int) -> Tokens:
        encodings = self.encodings
        if encodings is None:
            raise InputError("the encoding does not know its texts: only what a tokenizer was called for does")
        if integer(number) is None or not -len(encodings) <= number < len(encodings):
            raise InputError(f"batch index: found {number!r}, the batch has {len(encodings)} rows")
        return encodings[number]

    def _place(self, what: str, first: int, second: int | None) -> tuple[Tokens, int]:
        """The row and the index that a method was called with."""
        number, index = (0, first) if second is None else (first, second)
        if integer(index) is None or index < 0:
            raise InputError(f"{what} index: found {index!r}, expected an integer of at least 0")
        return self._row(number), index

    def _token(self, first: int, second: int | None) -> tuple[Tokens, int]:
        number, index = (0, first) if second is None else (first, second)
        row = self._row(number)
        if integer(index) is None or not -len(row) <= index < len(row):
            raise InputError(f"token index: found {index!r}, the row has {len(row)} tokens")
        return row, index + len(row) if index < 0 else index
