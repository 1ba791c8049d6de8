"""Labels for whole texts."""

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, ClassVar

import numpy as np

from ..checks import optional_count
from ..configuration import PretrainedConfig
from ..errors import InputError
from ..scores import Floats, sigmoid, softmax
from ..texts import Pair, check_text
from .base import Options, Pipeline, Sequence
from .labels import label_names

_BEST = ""  # the top_k of calls that give none, which return a label without a list; as transformers has it

_FUNCTIONS: dict[str, Callable[[Floats], Floats]] = {
    "sigmoid": sigmoid,
    "softmax": softmax,
    "none": lambda logits: logits,
}


@dataclasses.dataclass(frozen=True)
class TextClassificationOptions(Options):
    """See `TextClassificationPipeline.__call__`."""

    none_leaves: ClassVar[Collection[str]] = ("function_to_apply",)

    top_k: int | str | None = _BEST
    function_to_apply: str | None = None
    text_pair: str | None = None
    truncation: bool | str | None = None
    max_length: int | None = None
    padding: bool | str = False

    def __post_init__(self) -> None:
        if self.top_k != _BEST:
            optional_count("top_k", self.top_k)
        optional_count("max_length", self.max_length)
        function = self.function_to_apply
        if function is not None and (not isinstance(function, str) or function.lower() not in _FUNCTIONS):
            raise InputError(f"function_to_apply: found {function!r}, expected one of {', '.join(_FUNCTIONS)}")
        if self.text_pair is not None:
            check_text("text_pair", 0, self.text_pair)


class TextClassificationPipeline(Pipeline):
    """The labels that a model gives to texts, or to pairs of texts, with their scores."""

    task: ClassVar[str] = "text-classification"
    auto_class: ClassVar[str] = "AutoModelForSequenceClassification"
    options_class: ClassVar[type[Options]] = TextClassificationOptions

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self._labels = label_names(self.model.config)
        self._usual_function = _usual_function(self.model.config)

    def __call__(self, inputs: Any, **keywords: Any) -> Any:
        """The labels of the inputs.

        Args:
            inputs: a text; a dict of a "text" and its "text_pair"; a list of these; or an iterator of them.
            top_k: how many labels to give for each input, the likeliest first; None for all. Without it there is one.
            function_to_apply: what makes scores of logits: "sigmoid", "softmax" or "none". None takes "none" for a
                model of a regression, "sigmoid" for one label or several that may be true at once, else "softmax".
            text_pair: the second text of every input.
            truncation, max_length: see `Tokenizer.__call__`; without them, too long a text is an error.
            padding: ignored, nothing is padded.
            keywords: these, and those of `Pipeline.__call__`.

        Returns:
            A {"label", "score"} for each input, or with a `top_k` a list of them, the highest score first. As in
            transformers, what is found for a single text, not for a dict, is in a list unless the call has a `top_k`.

        Raises:
            InputError: an input is no text, or too long.
            MemoryError, TypeError: see `Pipeline.__call__`.
        """
        results = super().__call__(inputs, **keywords)
        return [results] if isinstance(inputs, str) and "top_k" not in keywords else results

    def items(self, inputs: Any, options: Any) -> tuple[bool, list[Any] | Iterator[Any]]:
        return self.one_or_many(inputs, (str, Mapping))

    def sequences(self, items: list[Any], first: int, options: Any) -> list[list[Sequence]]:
        texts = [_text_or_pair(item, number, options.text_pair) for number, item in enumerate(items, first)]
        return [[found] for found in self.tokenize(texts, options.truncation, options.max_length, options.padding)]

    def result(self, item: Any, sequences: list[Sequence], outputs: list[Floats], options: Any) -> Any:
        function = options.function_to_apply or self._usual_function
        scores = _FUNCTIONS[function.lower()](outputs[0][0])
        if options.top_k == _BEST:
            return self._labelled(scores, int(scores.argmax()))
        return [self._labelled(scores, label) for label in np.argsort(-scores, kind="stable")[: options.top_k]]

    def _labelled(self, scores: Floats, label: int) -> dict[str, Any]:
        return {"label": self._labels[label], "score": scores[label].item()}


def _usual_function(config: PretrainedConfig) -> str:
    if config.problem_type == "regression":
        return "none"
    return "sigmoid" if config.problem_type == "multi_label_classification" or config.num_labels == 1 else "softmax"


def _text_or_pair(item: Any, number: int, text_pair: str | None) -> str | Pair:
    if isinstance(item, list) and len(item) == 1 and isinstance(item[0], list) and len(item[0]) == 2:
        item = dict(zip(("text", "text_pair"), item[0], strict=True))  # as pairs were given before there were dicts
    if isinstance(item, list | tuple):
        raise InputError(
            f"input {number}: found a {type(item).__name__}, expected a text, or for a pair of texts "
            '{"text": ..., "text_pair": ...}'
        )
    text = item
    if isinstance(item, Mapping):
        if "text" not in item or not item.keys() <= {"text", "text_pair"}:
            keys = ", ".join(map(repr, item)) or "no keys"
            raise InputError(f"input {number}: found a dict of {keys}, expected 'text' and, for a pair, 'text_pair'")
        if text_pair is not None and "text_pair" in item:
            raise InputError(f"input {number}: has a text_pair of its own beside that of the call")
        text, text_pair = item["text"], item.get("text_pair", text_pair)
    check_text("input", number, text)
    if text_pair is not None:
        check_text("text_pair of input", number, text_pair)
    return (text, text_pair) if text_pair else text  # an empty one is none, as transformers has it
