"""A file of texts to a file with a line of JSON a text: in their order for a query, or with their labels."""

import json
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np

from .atomic import Output
from .pipelines.base import Pipeline
from .sentence.cross_encoder import CrossEncoder
from .text_classifier import TextClassifier
from .text_lines import read_lines, refuse_same

Result = dict[str, Any]
Model = TypeVar("Model")


def rerank_file(
    load: Callable[[], CrossEncoder], query: str, source: str, place: str | int, top_k: int | None = None
) -> None:
    """Writes the lines of a file, the best for a query first: {"index", "score", "text"} each; indices are from 0.

    Args:
        load: gives the cross-encoder; called when the output is open.
        query: what the lines are scored for.
        source: the file of texts; "-" is standard input.
        place: where the results go: a path or a descriptor, see `Output`. Unless it is standard output, their number
            is printed.
        top_k: how many; None writes all.

    Raises:
        InputError: the output is the input, the input is not UTF-8, or the model has several labels.
        OSError: the input cannot be read, or the output not be written.
    """

    def results(model: CrossEncoder, texts: list[str]) -> Iterable[Result]:
        for found in model.rank(query, texts, top_k, return_documents=True):
            yield {"index": found["corpus_id"], "score": found["score"], "text": found["text"]}

    _write(load, source, place, results)


def classify_file(
    load: Callable[[], Pipeline | TextClassifier], source: str, place: str | int, top_k: int | None = None
) -> None:
    """Writes the best label of each line of a file, in their order: {"label", "score"} each.

    Args:
        load: gives the pipeline for text-classification, or a classifier; called when the output is open.
        top_k: with one, "labels" lists so many {"label", "score"} beside that, the best first.
        source, place: see `rerank_file`. A text of more tokens than the model takes is cut.

    Raises:
        InputError, OSError: see `rerank_file`.
    """

    def results(classifier: Pipeline | TextClassifier, texts: list[str]) -> Iterable[Result]:
        if isinstance(classifier, TextClassifier):
            ranked: Iterable[list[Result]] = _ranked(classifier, texts, top_k or 1)
        else:
            ranked = classifier(texts, truncation=True, top_k=top_k or 1)
        for labels in ranked:
            listed = [_of_label(label) for label in labels]
            yield listed[0] if top_k is None else {**listed[0], "labels": listed}

    _write(load, source, place, results)


def _ranked(classifier: TextClassifier, texts: list[str], top_k: int) -> Iterable[list[Result]]:
    """The likeliest labels of each text, the best first."""
    labels = classifier.classes_.tolist()
    for chances in classifier.predict_proba(texts):
        best = np.argsort(-chances, kind="stable")[:top_k]
        yield [{"label": labels[index], "score": chances[index]} for index in best]


def _of_label(found: Result) -> Result:
    return {"label": found["label"], "score": float(found["score"])}


def _write(
    load: Callable[[], Model], source: str, place: str | int, results: Callable[[Model, list[str]], Iterable[Result]]
) -> None:
    refuse_same(source, place)
    with Output(place) as output:
        model = load()
        lines = [json.dumps(result, ensure_ascii=False) for result in results(model, read_lines(source))]
        for line in lines:
            output.write(line.encode() + b"\n")
        output.commit()
    if not output.is_stdout:
        print(f"{output.name}: {len(lines)} result{'' if len(lines) == 1 else 's'}")
