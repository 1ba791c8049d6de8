"""From the scores of tokens to answers: pieces of long texts, the candidates in each, and what they come to together.

The rules are those of the question-answering pipeline that transformers had until version 4.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..scores import Floats
from .ranking import highest

Integers = npt.NDArray[np.int64]
Answer = dict[str, Any]


class Piece(NamedTuple):
    """A piece of a text in a sequence of tokens.

    first: the column of its first token. starts, ends: the characters where an answer starts and ends that starts or
    ends with a token, [tokens of the piece]. others: the columns besides that have a share in the scores: the token
    that stands for no answer.
    """

    first: int
    starts: Integers
    ends: Integers
    others: list[int]


class Candidates(NamedTuple):
    """The best answers in a piece, the likeliest first, as characters and scores; and the score of no answer."""

    starts: list[int]
    ends: list[int]
    scores: list[float]
    null_score: float


def bounds(length: int, room: int, overlap: int, from_start: bool = True) -> Iterator[tuple[int, int]]:
    """The pieces that `length` tokens are cut into, each as long as `room` and sharing `overlap` with its neighbour.

    from_start: the last one is what is left; if not, they are counted from the end, and the first is.
    """
    start = 0
    while True:
        end = min(start + room, length)
        yield (start, end) if from_start else (length - end, length - start)
        if end == length:
            return
        start += room - overlap


def aligned(words: Integers, starts: Integers, ends: Integers) -> tuple[Integers, Integers]:
    """Where the words start and end that tokens belong to. words, starts, ends: a number each token.

    A word reaches as far as its neighbouring tokens do: one that is cut off with its text counts with what is there.
    """
    if not len(words):
        return starts, ends
    new = words[1:] != words[:-1]
    first, last = np.append(True, new), np.append(new, True)
    word = np.cumsum(first) - 1
    return starts[first][word], ends[last][word]


def candidates(logits: Floats, piece: Piece, number: int, longest: int) -> Candidates:
    """The `number` likeliest answers of at most `longest` tokens. logits: of starts and ends, [tokens, 2].

    A start and an end have a softmax each, and an answer has the product. Of equals the first comes first.
    """
    count = len(piece.starts)
    columns = np.array([*piece.others, *range(piece.first, piece.first + count)], np.int64)
    shares = np.zeros(logits.shape)
    if len(columns):
        scored = logits[columns].astype(np.float64)
        exponentials = np.exp(scored - scored.max(axis=0))
        shares[columns] = exponentials / exponentials.sum(axis=0)
    null_score = float(shares[0].prod())
    start, end = shares[piece.first : piece.first + count].T
    if not count:
        return Candidates([], [], [], null_score)
    width = min(longest, count)
    windows = np.lib.stride_tricks.sliding_window_view(np.append(end, np.zeros(width - 1)), width)
    scores = (start[:, None] * windows).ravel()  # [first token, tokens more]
    best = highest(scores, number)
    best = best[scores[best] > 0]
    token, more = np.divmod(best, width)
    return Candidates(
        piece.starts[token].tolist(), piece.ends[token + more].tolist(), scores[best].tolist(), null_score
    )


def answers(text: str, found: Iterable[Candidates], may_be_none: bool) -> list[Answer]:
    """All answers to be found in the pieces of a text, the likeliest first.

    Those that read the same, but for their case, are one, at the place where it was found first, with the sum of the
    scores. may_be_none: whether "" is among them, which is as likely as in the piece that speaks against it most.
    """
    pieces = list(found)
    known: dict[str, Answer] = {}
    for piece in pieces:
        for start, end, score in zip(piece.starts, piece.ends, piece.scores, strict=True):
            answer = text[start:end]
            entry = {"score": 0.0, "start": start, "end": end, "answer": answer}
            known.setdefault(answer.lower(), entry)["score"] += score
    listed = list(known.values())
    if may_be_none or not listed:
        score = min(piece.null_score for piece in pieces) if may_be_none else 0.0
        listed.append({"score": score, "start": 0, "end": 0, "answer": ""})
    return sorted(listed, key=lambda answer: -answer["score"])
