"""Calls of the `tokenizers` package: encodings of texts that were checked, whole or cut."""

from typing import Any, NamedTuple

from tokenizers import Encoding as Tokens
from tokenizers import Tokenizer as Backend

from .errors import InputError
from .exits import RunningCalls
from .tokenizer_errors import is_of_tokenizers
from .truncation import Truncation

# More tokens than any text has, and than any row could be filled up to.
MOST_TOKENS = 2**31 - 1

_CALLS = RunningCalls()


class Cut(NamedTuple):
    """How a text or a pair is cut to a number of tokens.

    strategy: "longest_first" cuts the longer of a pair; "only_first" and "only_second" cut no other. limit: tokens,
    special ones included. side: the end that is cut, "left" or "right". stride: None loses what is cut off; else it is
    kept in parts of at most `limit` tokens, which share `stride` of them with the part before.
    """

    strategy: str
    limit: int
    side: str
    stride: int | None = None


class TextEncoder:
    """Encodes texts with one tokenizer, which has neither padding nor truncation set. Many threads may call one.

    joins_texts: whether a pair can get special tokens.
    """

    def __init__(self, backend: Backend, joins_texts: bool = True) -> None:
        self._backend = backend
        self._joins_texts = joins_texts
        self._truncation = Truncation(backend)
        self._added = [backend.num_special_tokens_to_add(is_pair) for is_pair in (False, True)]

    def __reduce__(self) -> tuple[Any, ...]:
        return TextEncoder, (self._backend, self._joins_texts)

    def special_tokens(self, is_pair: bool) -> int:
        """How many special tokens a text, or a pair, gets."""
        return self._added[is_pair]

    def encode(
        self,
        inputs: list[Any],
        add_special_tokens: bool = True,
        cut: Cut | None = None,
        details: bool = False,
        is_split_into_words: bool = False,
    ) -> list[Tokens]:
        """The encodings of texts or pairs that were checked; parts that were cut off are their `overflowing`.

        Args:
            inputs: as `texts.as_inputs` or `texts.as_words` gives them.
            details: without them encodings have no offsets, words and tokens as strings, only ids and masks.
            is_split_into_words: texts are lists of words.

        Raises InputError.
        """
        backend = self._backend
        if add_special_tokens and not self._joins_texts and any(_is_pair(item, is_split_into_words) for item in inputs):
            raise InputError("text_pair: found one, but the tokenizer has no eos_token to put between two texts")
        try:
            with _CALLS:
                if cut is not None and cut.limit <= MOST_TOKENS:
                    is_pair = any(_is_pair(item, is_split_into_words) for item in inputs)
                    backend = self._cutting(cut, add_special_tokens, is_pair)
                    # Offsets count from the beginning of a text, which shortening from the left would move.
                    is_moved = details and cut.side == "left"
                    if cut.stride is None and not is_split_into_words and not is_moved:
                        inputs = self._truncation.shorten(inputs, cut.strategy, cut.limit, cut.side)
                encode = backend.encode_batch if details else backend.encode_batch_fast
                found: list[Tokens] = encode(
                    inputs, add_special_tokens=add_special_tokens, is_pretokenized=is_split_into_words
                )
                return found
        except BaseException as error:
            if not is_of_tokenizers(error):
                raise
            message = str(error)
            if cut is not None and cut.stride and not isinstance(error, Exception):
                # Of a pair, each text is cut by its own length.
                message = f"stride: found {cut.stride}, expected less than a part has of a text's tokens ({error})"
            raise InputError(message) from None

    def _cutting(self, cut: Cut, add_special_tokens: bool, is_pair: bool) -> Backend:
        added = self.special_tokens(is_pair) if add_special_tokens else 0
        if cut.limit < added:
            raise InputError(f"max_length: found {cut.limit}, but {added} special tokens are added")
        if cut.stride is not None and cut.stride >= cut.limit - added:
            room = f"{cut.limit - added}, the tokens of a part"
            raise InputError(f"stride: found {cut.stride}, expected less than {room}")
        return self._truncation.backend(cut.strategy, cut.limit, cut.side, cut.stride or 0)


def _is_pair(item: Any, is_split_into_words: bool) -> bool:
    if is_split_into_words:
        return len(item) > 0 and not isinstance(item[0], str)
    return not isinstance(item, str)
