"""How well labels were told: accuracy, and a line for each label."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from random import Random

from .labels import Label


def report(expected: Sequence[Label], found: Sequence[Label]) -> Iterator[str]:
    """Lines to print: the share of labels that were found, and of each label precision, recall and F1.

    Labels that were never found have a precision of 0, those that were never expected a recall of 0.
    """
    pairs = list(zip(expected, found, strict=True))
    right = sum(first == second for first, second in pairs)
    yield f"accuracy {right / len(pairs):.4f}: {right} of {len(pairs)} texts"
    labels = sorted({*expected, *found})
    width = max(len("label"), *(len(str(label)) for label in labels))
    yield f"{'label':<{width}}  precision  recall      F1  texts"
    for label in labels:
        both = sum(first == second == label for first, second in pairs)
        told = sum(second == label for _, second in pairs)
        there = sum(first == label for first, _ in pairs)
        precision, recall = both / (told or 1), both / (there or 1)
        mean = 2 * both / (told + there)
        yield f"{label!s:<{width}}  {precision:9.4f}  {recall:6.4f}  {mean:6.4f}  {there:5}"


def split(labels: Sequence[Label], share: float) -> tuple[list[int], list[int]]:
    """The numbers of the texts to fit, and of those to test: that share of each label's, rounded, drawn at random.

    The draw is always the same. A label keeps one text to fit at least.
    """
    rng = Random(0)
    tested: list[int] = []
    for label in sorted(set(labels)):
        own = [index for index, each in enumerate(labels) if each == label]
        tested += rng.sample(own, min(round(Fraction(share) * len(own)), len(own) - 1))
    chosen = set(tested)
    return [index for index in range(len(labels)) if index not in chosen], sorted(tested)
