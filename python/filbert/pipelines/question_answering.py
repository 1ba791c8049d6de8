"""Answers that are pieces of a text."""

import dataclasses
import warnings
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from ..checks import count, integer
from ..errors import InputError
from ..scores import Floats
from ..texts import as_list, check_text
from .answers import Answer, Candidates, Integers, Piece, aligned, answers, bounds, candidates
from .base import Options, Pipeline, Sequence

if TYPE_CHECKING:
    from tokenizers import Encoding

# The most that max_seq_len and doc_stride are where they are not given.
_USUAL_LENGTH = 384
_USUAL_OVERLAP = 128


class Item(NamedTuple):
    """A question, and the text that may hold its answer."""

    question: str
    context: str


@dataclasses.dataclass(frozen=True)
class QuestionAnsweringOptions(Options):
    """See QuestionAnsweringPipeline."""

    none_leaves: ClassVar[Collection[str]] = (
        *("top_k", "max_answer_len", "handle_impossible_answer", "align_to_words", "max_seq_len", "doc_stride"),
        *("max_question_len", "padding", "topk"),
    )

    top_k: int = 1
    max_answer_len: int = 15
    handle_impossible_answer: bool = False
    align_to_words: bool = True
    max_seq_len: int | None = None
    doc_stride: int | None = None
    max_question_len: int | None = None
    padding: Any = None
    topk: int | None = None

    def __post_init__(self) -> None:
        for name in ("top_k", "max_answer_len", "max_seq_len", "max_question_len"):
            if getattr(self, name) is not None:
                count(name, getattr(self, name))
        stride = self.doc_stride
        if stride is not None and ((number := integer(stride)) is None or number < 0):
            raise InputError(f"doc_stride: found {stride!r:.100}, expected an integer from 0")


class QuestionAnsweringPipeline(Pipeline):
    """Finds answers in texts: `qa(question="Who?", context="Ann did.")`. Made by `filbert.pipeline`.

    As `transformers.pipeline("question-answering")` was until version 4, except that an answer is never sought in the
    question, that none has a score of 0 to fill a list up, and that a `top_k` above 1 always gives a list. A context
    that is too long for the model goes through it in overlapping pieces.

    Options of the call, or of `filbert.pipeline`:
        top_k: answers to a question, 1; once called topk.
        max_answer_len: tokens of an answer at most, 15.
        handle_impossible_answer: whether there may be none: the answer "".
        align_to_words: whether answers are made of whole words, True.
        max_seq_len: tokens of question and piece at most: what the tokenizer says, but no more than 384.
        doc_stride: tokens that neighbouring pieces share: half of max_seq_len, but no more than 128.
        max_question_len, padding: without effect, as with the fast tokenizers of transformers.
    """

    task: ClassVar[str] = "question-answering"
    auto_class: ClassVar[str] = "AutoModelForQuestionAnswering"
    options_class: ClassVar[type[Options]] = QuestionAnsweringOptions

    def __call__(self, inputs: Any = None, context: Any = None, *, question: Any = None, **options: Any) -> Any:
        """The answers to a question or to several; for an iterator, an iterator of them.

        Args:
            inputs: {"question": ..., "context": ...}, a list or an iterator of such; or the question.
            context, question: in the place of inputs: two strings, two lists of strings, or questions of one context.
            options: see the class and `Pipeline.__call__`.

        Returns:
            For each question {"score", "start", "end", "answer"}, where the answer is context[start:end]. An answer
            that is there several times has the sum of its scores. With a top_k above 1 a list of such, the likeliest
            first; it is shorter if there are not so many. A list of one question is taken for the question.

        Raises:
            InputError: an input is no question with its context, or an option makes no sense.
            TypeError: there is no such option.
            MemoryError: there is not enough.
        """
        if question is None and context is not None:
            inputs, question = None, inputs
        if inputs is None:
            inputs = _together(question, context)
        elif question is not None:
            raise InputError("inputs: found as well as question, expected one of them")
        return super().__call__(inputs, **options)

    def items(self, inputs: Any, options: QuestionAnsweringOptions) -> tuple[bool, list[Item] | Iterator[Item]]:
        if hasattr(inputs, "__iter__") and not hasattr(inputs, "__len__"):
            return False, (_item(index, value) for index, value in enumerate(inputs))
        values = [inputs] if isinstance(inputs, Mapping) else as_list("inputs", inputs, "questions with their contexts")
        return len(values) == 1, [_item(index, value) for index, value in enumerate(values)]

    def sequences(self, items: list[Item], first: int, options: QuestionAnsweringOptions) -> list[list[Sequence]]:
        # Which text is first goes by the side that is padded, as in transformers; nothing is padded here.
        question_first = self.tokenizer.padding_side == "right"
        encodings = self.tokenizer.encodings(item if question_first else item[::-1] for item in items)
        return [
            self._pieces(index, tokens, int(question_first), options) for index, tokens in enumerate(encodings, first)
        ]

    def kept(self, sequence: Sequence, rows: Floats, options: QuestionAnsweringOptions) -> Candidates:
        # More than are asked for: some become one when they are made of whole words.
        number = 2 * options.top_k + 10 if options.align_to_words else options.top_k
        return candidates(rows, sequence.note, number, options.max_answer_len)

    def result(
        self, item: Item, sequences: list[Sequence], outputs: list[Candidates], options: QuestionAnsweringOptions
    ) -> Answer | list[Answer]:
        found = answers(item.context, outputs, options.handle_impossible_answer)
        return found[0] if options.top_k == 1 else found[: options.top_k]

    def _with(self, options: Options, given: dict[str, Any]) -> Any:
        if given.get("topk") is not None and given.get("top_k") is None:
            warnings.warn("topk is called top_k", stacklevel=4)
            given = {**given, "top_k": given["topk"]}
        return super()._with(options, given)

    def _pieces(self, index: int, tokens: "Encoding", text: int, options: QuestionAnsweringOptions) -> list[Sequence]:
        """The sequences for a question. text: whether the context is the first text of the encoding, 0, or 1."""
        limit, overlap = self._lengths(options)
        ids, types = tokens.ids, tokens.type_ids
        start, end = _block(tokens.sequence_ids, text)
        length = end - start
        room = limit - (len(ids) - length)
        if room < length and room <= overlap:
            raise InputError(
                f"question {index}: with its {len(ids) - length} tokens a sequence of {limit} has room for "
                f"{max(room, 0)} of the context, whose pieces share {overlap}; max_seq_len and doc_stride change this"
            )
        words, starts, ends = _characters(tokens, start, end, options.align_to_words)
        typed, cls = "token_type_ids" in self.tokenizer.model_input_names, self.tokenizer.cls_token_id
        found = []
        for low, high in bounds(length, room, overlap, self.tokenizer.truncation_side == "right"):
            own, size = slice(low, high), high - low
            cut = [row[:start] + row[start + low : start + high] + row[end:] for row in (ids, types)]
            others = [
                column for column, token in enumerate(cut[0]) if token == cls and not start <= column < start + size
            ]
            piece = Piece(start, *aligned(words[own], starts[own], ends[own]), others)
            found.append(Sequence(cut[0], cut[1] if typed else None, piece))
        return found

    def _lengths(self, options: QuestionAnsweringOptions) -> tuple[int, int]:
        """Tokens of a sequence at most, and those that neighbouring pieces share."""
        limit = options.max_seq_len
        if limit is None:
            limit = min(self.tokenizer.model_max_length, _USUAL_LENGTH)
        limit = min(limit, self.model.max_tokens)
        overlap = options.doc_stride
        if overlap is None:
            overlap = min(limit // 2, _USUAL_OVERLAP)
        if overlap > limit:
            raise InputError(f"doc_stride: found {overlap}, expected at most the {limit} of max_seq_len")
        return limit, overlap


def _together(question: Any, context: Any) -> Any:
    """The input, or the list of them, from what was given by its names."""
    for name, value in (("question", question), ("context", context)):
        if value is None:
            raise InputError(f"{name}: found None, expected a string or a list of strings")
    if isinstance(question, str):
        return {"question": question, "context": context}
    questions = as_list("question", question)
    contexts = [context] * len(questions) if isinstance(context, str) else as_list("context", context)
    if len(contexts) != len(questions):
        raise InputError(f"context: found {len(contexts)}, expected one or {len(questions)}, as there are questions")
    return [{"question": each, "context": text} for each, text in zip(questions, contexts, strict=True)]


def _item(index: int, value: Any) -> Item:
    if not isinstance(value, Mapping) or set(value) != {"question", "context"}:
        raise InputError(f"input {index}: found {value!r:.100}, expected a mapping with question and context")
    for name in Item._fields:
        check_text(name, index, value[name])
        if not value[name]:
            raise InputError(f"{name} {index}: is empty")
    return Item(value["question"], value["context"])


def _block(texts: list[int | None], text: int) -> tuple[int, int]:
    """Where the tokens of a text start and end. texts: the one that each token is of; None for special tokens."""
    if text not in texts:
        return len(texts), len(texts)
    return texts.index(text), len(texts) - texts[::-1].index(text)


def _characters(tokens: "Encoding", start: int, end: int, align: bool) -> tuple[Integers, Integers, Integers]:
    """The words that the tokens from `start` to `end` belong to, and where in the text the tokens start and end.

    Without `align`, or where the tokenizer knows no words, each token is a word.
    """
    words = tokens.word_ids[start:end] if align else [None] * (end - start)
    numbers = [-1 - index if word is None else word for index, word in enumerate(words)]
    offsets = np.array(tokens.offsets[start:end], np.int64).reshape(-1, 2)
    return np.array(numbers, np.int64), offsets[:, 0], offsets[:, 1]
