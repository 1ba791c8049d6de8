"""Texts to batches of token ids, the longest first."""

from collections.abc import Iterator, Sequence

from ..tokenization import Tokenizer
from .forwards import forwards


def token_batches(
    tokenizer: Tokenizer,
    texts: Sequence[str],
    *,
    vocabulary: int,
    batch_size: int | None = None,
    add_special_tokens: bool = True,
) -> Iterator[tuple[list[int], list[list[int]]]]:
    """Which of the texts are in a batch, and the ids of each, cut to the tokenizer's model_max_length.

    The longest come first. vocabulary: ids must be below. batch_size: texts in a batch at most; there is a budget of
    tokens, too. Raises InputError.
    """

    def tokenize(numbers: list[int]) -> list[list[int]]:
        some = [texts[index] for index in numbers]
        return tokenizer.truncated_ids(some, tokenizer.model_max_length, add_special_tokens)

    for indices, rows in forwards(texts, tokenize, batch_size):
        if any(max(row, default=0) >= vocabulary for row in rows):
            raise tokenizer.beyond(vocabulary, "text", indices, rows)
        yield indices, rows
