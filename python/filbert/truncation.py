"""Truncation to any number of limits, and of texts of any length, without cost for what is cut off.

The `tokenizers` package keeps a tokenizer's limit in the tokenizer, and of a text that it truncates it keeps what it
cut off in pieces as long as the limit; of a pair every piece of one text beside every piece of the other. So there is a
tokenizer for every limit, which shares the model with the others, and very long texts are cut before they get there.
"""

import copy

from tokenizers import Encoding as Tokens
from tokenizers import Tokenizer as Backend

from .texts import Pair

# How many settings are kept ready at a time; another one is made in some 20 us.
_KEPT = 64
# A text is cut if it is this many times as long as what is tokenised to find out where. Tokens of ordinary text have
# four or five characters.
_CHARACTERS_A_TOKEN = 16
_SHORTEST_PIECE = 1024
_WORTH_IT = 2
# Words at the ragged end of a piece that are not relied on: the text beyond may change how they are split.
_UNSURE_WORDS = 2


class Truncation:
    """Truncates what one tokenizer encodes. No lock: threads share tokenizers that are never changed again."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._kept: dict[tuple[str, int, str, int], Backend] = {}

    def backend(self, strategy: str, limit: int, side: str, stride: int = 0) -> Backend:
        """A tokenizer that truncates to `limit` tokens, special ones included, at the "left" or "right" end.

        stride: how many tokens what it cuts off shares with what it keeps.
        """
        key = (strategy, limit, side, stride)
        backend = self._kept.get(key)
        if backend is None:
            backend = _twin(self._backend)
            backend.enable_truncation(limit, stride=stride, strategy=strategy, direction=side)
            self._kept[key] = backend
            for oldest in list(self._kept)[:-_KEPT]:
                self._kept.pop(oldest, None)
        return backend

    def shorten(self, inputs: list[str | Pair], strategy: str, limit: int, side: str) -> list[str | Pair]:
        """The inputs with very long texts cut to what can matter; their truncated ids stay the same."""
        threshold = _WORTH_IT * _piece(limit)
        shortened: list[str | Pair] = []
        for item in inputs:
            if isinstance(item, str):
                item = self._cut(item, limit, side) if len(item) > threshold else item
            elif max(map(len, item)) > threshold:
                item = self._cut_pair(item[0], item[1], strategy, limit, side)
            shortened.append(item)
        return shortened

    def _cut_pair(self, first: str, second: str, strategy: str, limit: int, side: str) -> Pair:
        if strategy == "only_first":
            return self._cut(first, limit, side), second
        if strategy == "only_second":
            return first, self._cut(second, limit, side)
        # The longer text gets the odd token, so which one is longer must not change.
        if self._count(first) <= self._count(second):
            first = self._cut(first, limit, side)
            return first, self._cut(second, max(limit, self._count(first)), side)
        second = self._cut(second, limit, side)
        return self._cut(first, max(limit, self._count(second) + 1), side), second

    def _count(self, text: str) -> int:
        return len(self._backend.encode_batch_fast([text], add_special_tokens=False)[0])

    def _cut(self, text: str, tokens: int, side: str) -> str:
        """A beginning (or end, for the left side) of `text` with its first (last) tokens, at least so many.

        The cut is between words of the tokenizer's own pre-tokenisation, since each is tokenised by itself, and one
        word farther than need be, for the sake of spaces that go with a word. That word is not all white space: a
        normalizer may strip what is at the end of a text. All of the text if there is no such place, as where nothing
        splits texts into words.
        """
        length = _piece(tokens)
        while length * _WORTH_IT < len(text):
            if side == "right":
                piece, at = text[:length], self._end
            else:
                start = text.rfind(" ", 0, len(text) - length)  # where every pre-tokeniser starts anew
                if start < 0:
                    break
                piece, at = text[start:], self._start
            place = at(self._backend.encode(piece, add_special_tokens=False), tokens, piece)
            if place is not None:
                return piece[:place] if side == "right" else piece[place:]
            length *= 2
        return text

    def _end(self, found: Tokens, tokens: int, piece: str) -> int | None:
        """Where a word after the one with the last of the first `tokens` tokens ends, if it is a sure one."""
        words = [word or 0 for word in found.word_ids]
        if len(words) < tokens:
            return None
        place = _first_visible(found, range(words[tokens - 1] + 1, words[-1] - _UNSURE_WORDS + 1), piece)
        return place[1] if place is not None and place[1] + self._longest_added() < len(piece) else None

    def _start(self, found: Tokens, tokens: int, piece: str) -> int | None:
        """Where a word before the one with the first of the last `tokens` tokens starts, if it is a sure one."""
        words = [word or 0 for word in found.word_ids]
        if len(words) < tokens:
            return None
        place = _first_visible(found, range(words[-tokens] - 1, _UNSURE_WORDS - 1, -1), piece)
        return place[0] if place is not None and place[0] > self._longest_added() else None

    def _longest_added(self) -> int:
        """Characters of the longest token that is found in texts as they are: an end of one is no word."""
        return max((len(token.content) for token in self._backend.get_added_tokens_decoder().values()), default=0)


def _piece(tokens: int) -> int:
    return max(_SHORTEST_PIECE, _CHARACTERS_A_TOKEN * tokens)


def _first_visible(found: Tokens, words: range, piece: str) -> tuple[int, int] | None:
    """Where the first of the words that is not all white space is in the piece."""
    places = (found.word_to_chars(word) for word in words)
    return next((place for place in places if place is not None and not piece[slice(*place)].isspace()), None)


def _twin(backend: Backend) -> Backend:
    """A tokenizer with settings of its own and the same model: the vocabulary is shared, not copied."""
    twin = Backend(backend.model)
    for part in ("normalizer", "pre_tokenizer", "post_processor", "decoder"):
        if getattr(backend, part) is not None:
            setattr(twin, part, getattr(backend, part))
    added = backend.get_added_tokens_decoder()
    twin.add_tokens([added[index] for index in sorted(added)])
    twin.encode_special_tokens = backend.encode_special_tokens
    # Ids of added tokens follow from their order, unless the file left gaps between them.
    return twin if twin.get_added_tokens_decoder().keys() == added.keys() else copy.deepcopy(backend)
