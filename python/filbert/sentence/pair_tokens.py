"""Pairs of texts to tokens: as pairs of the tokenizer, or as chats."""

from ..texts import Pair
from ..tokenization import Tokenizer
from .chat_template import ChatTemplate

# Texts that take the places of a query and a document, so that what their tokens have in common at the end is what the
# chat template puts there.
_FILLERS = ("0", "1 2 3 4")
_NO_LIMIT = 2**31 - 1


class PairTokens:
    """Makes tokens of pairs that were checked.

    template: of chats; None for pairs. with_types: whether the model takes types of tokens, if there are any.
    """

    def __init__(self, tokenizer: Tokenizer, template: ChatTemplate | None, with_types: bool) -> None:
        self._tokenizer = tokenizer
        self._template = template
        self._with_types = with_types

    def tokens(self, pairs: list[Pair], prompt: str, limit: int) -> tuple[list[list[int]], list[list[int]] | None]:
        """The ids of each pair, at most `limit`, and their types.

        prompt: goes before the first text; of a chat it is what the system says. Raises InputError and ConfigError.
        """
        if self._template is not None:
            return self._of_chats(self._template, pairs, prompt, limit), None
        if prompt:
            pairs = [(prompt + first, second) for first, second in pairs]
        tokens, types = self._tokenizer.truncated_pairs(pairs, limit)
        return tokens, types if self._with_types else None

    def _of_chats(self, template: ChatTemplate, pairs: list[Pair], prompt: str, limit: int) -> list[list[int]]:
        texts = [template.render(first, second, prompt) for first, second in pairs]
        tokens = self._tokenizer.truncated_ids(texts, limit, add_special_tokens=False)
        cut = [row for row in tokens if len(row) >= limit]
        if cut:
            # A model is asked at the end of a chat, so that is not what may be missing.
            end = self._end_of_chats(template, prompt)[-limit:]
            for row in cut:
                row[len(row) - len(end) :] = end
        return tokens

    def _end_of_chats(self, template: ChatTemplate, prompt: str) -> list[int]:
        """The tokens at the end of every chat, whatever the pair."""
        texts = [template.render(filler, filler, prompt) for filler in _FILLERS]
        one, other = (row[::-1] for row in self._tokenizer.truncated_ids(texts, _NO_LIMIT, add_special_tokens=False))
        shared = next((index for index, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), 0)
        return one[:shared][::-1]
