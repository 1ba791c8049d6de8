"""Labels that are chosen when texts are classified, by a model that tells what follows from a text."""

import dataclasses
import warnings
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from ..checks import integer
from ..configuration import PretrainedConfig
from ..errors import ConfigError, InputError
from ..scores import Floats, softmax
from ..texts import Pair, as_list, check_text
from .base import Options, Pipeline, Sequence


@dataclasses.dataclass(frozen=True)
class ZeroShotClassificationOptions(Options):
    """See `ZeroShotClassificationPipeline.__call__`."""

    candidate_labels: Any = None
    hypothesis_template: str = "This example is {}."
    multi_label: bool = False

    def __post_init__(self) -> None:
        given = self.candidate_labels
        if isinstance(given, str):
            given = [label for part in given.split(",") if (label := part.strip())]
        if given is not None:
            given = as_list("candidate_labels", given, "a list of labels, or a string of them with commas between")
            for number, label in enumerate(given):
                check_text("candidate_labels", number, label)
            if not given:
                raise InputError("candidate_labels: found none, expected one or more")
            object.__setattr__(self, "candidate_labels", given)
        check_text("hypothesis_template", 0, self.hypothesis_template)
        if self.hypothesis("a") == self.hypothesis("b"):
            raise InputError(f"hypothesis_template: found {self.hypothesis_template!r}, expected a {{}} for the label")

    def hypothesis(self, label: str) -> str:
        """The sentence that is true of texts with the label."""
        try:
            return self.hypothesis_template.format(label)
        except (LookupError, ValueError, AttributeError, TypeError) as error:
            raise InputError(
                f"hypothesis_template: found {self.hypothesis_template!r}, expected one {{}} for the label ({error})"
            ) from None


class ZeroShotClassificationPipeline(Pipeline):
    """How well each of some labels describes a text, from a model trained on natural language inference."""

    task: ClassVar[str] = "zero-shot-classification"
    auto_class: ClassVar[str] = "AutoModelForSequenceClassification"
    options_class: ClassVar[type[Options]] = ZeroShotClassificationOptions
    remedy: ClassVar[str] = "the hypothesis about the label leaves no room for the text"

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self._entailment = _entailment(self.model.config)
        if self._entailment == -1:
            warnings.warn(
                "no label of the model's configuration begins with 'entail': the last one is taken for it", stacklevel=3
            )

    def __call__(self, sequences: Any, candidate_labels: Any = None, **keywords: Any) -> Any:  # type: ignore[override]
        """The scores of the labels for texts.

        Args:
            sequences: a text, a list of texts, or an iterator of them. They are truncated to what the model takes.
            candidate_labels: a list of labels, or a string of them with commas between.
            hypothesis_template: makes a sentence of a label; {} is where the label goes.
            multi_label: whether several labels may be true of a text. If so each has a score of its own, from 0 to 1;
                else the scores of the labels add up to 1.
            keywords: these, and those of `Pipeline.__call__`.

        Returns:
            A {"sequence", "labels", "scores"} for each text, the highest score first.

        Raises:
            InputError: there are no labels, the template has no place for one, or an input is no text.
            MemoryError, TypeError: see `Pipeline.__call__`.
        """
        if candidate_labels is not None:
            keywords["candidate_labels"] = candidate_labels
        return super().__call__(sequences, **keywords)

    def items(self, inputs: Any, options: Any) -> tuple[bool, list[Any] | Iterator[Any]]:
        if options.candidate_labels is None:
            raise InputError("candidate_labels: found None, expected a list of labels")
        return self.one_or_many(inputs, str)

    def sequences(self, items: list[Any], first: int, options: Any) -> list[list[Sequence]]:
        for number, item in enumerate(items, first):
            check_text("input", number, item)
        hypotheses = list(map(options.hypothesis, options.candidate_labels))
        found = iter(self._pairs([(item, hypothesis) for item in items for hypothesis in hypotheses]))
        return [[next(found) for _ in hypotheses] for _ in items]

    def characters(self, item: Any, options: Any) -> int:
        return (super().characters(item, options) + 100) * len(options.candidate_labels)

    def result(self, item: Any, sequences: list[Sequence], outputs: list[Floats], options: Any) -> Any:
        logits, labels = np.concatenate(outputs), options.candidate_labels
        if options.multi_label or len(labels) == 1:
            contradiction = -1 if self._entailment == 0 else 0
            scores = softmax(logits[:, [contradiction, self._entailment]])[:, 1]
        else:
            scores = softmax(logits[:, self._entailment])
        order = scores.argsort()[::-1]
        return {"sequence": item, "labels": [labels[i] for i in order], "scores": scores[order].tolist()}

    def _pairs(self, pairs: list[str | Pair]) -> list[Sequence]:
        """The sequences of texts with hypotheses. A hypothesis is not cut, and where it leaves no room nothing is."""
        try:
            return self.tokenize(pairs, "only_first")
        except InputError as error:
            if "too short" not in str(error):
                raise
        if len(pairs) == 1:
            return self.tokenize(pairs, False)
        half = len(pairs) // 2
        return self._pairs(pairs[:half]) + self._pairs(pairs[half:])


def _entailment(config: PretrainedConfig) -> int:
    """The number of the label that says that the hypothesis follows, or -1. Raises ConfigError."""
    labels = config.num_labels or 0
    numbers = config.label2id or {label: number for number, label in (config.id2label or {}).items()}
    for label, found in numbers.items():
        if str(label).lower().startswith("entail"):
            number = integer(found)
            if number is None or not 0 <= number < labels:
                raise ConfigError(f"label2id: found {found!r} for {label!r}, expected 0 to {labels - 1}")
            return number
    return -1
