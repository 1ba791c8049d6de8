"""Texts to batches of token ids, the longest first."""

from collections.abc import Iterator, Sequence

from ..errors import InputError
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
        for index, row in zip(indices, rows, strict=True):
            if row and max(row) >= vocabulary:
                raise _unknown_token(tokenizer, index, max(row), vocabulary)
        yield indices, rows


def _unknown_token(tokenizer: Tokenizer, index: int, token: int, vocabulary: int) -> InputError:
    return InputError(
        f"text {index}: token {tokenizer.convert_ids_to_tokens(token)!r} has id {token}, and the model has ids from 0 "
        f"to {vocabulary - 1}: the tokenizer's tokens were added without resizing the model"
    )
