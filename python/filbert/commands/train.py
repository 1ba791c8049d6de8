"""`filbert train classify`: a classifier out of a file of texts with their labels."""

import argparse
import os
from typing import TYPE_CHECKING, Any

from ..errors import FilbertError, InputError
from .arguments import add_machine, loading, positive_number

if TYPE_CHECKING:
    from ..labels import Label

    Texts = tuple[list[str], list[Label]]


def add(commands: Any) -> None:
    """The command, to what `add_subparsers` gave."""
    train = commands.add_parser("train", help="a model for a task of your own, in seconds")
    tasks = train.add_subparsers(title="tasks", metavar="TASK", required=True)
    parser = tasks.add_parser("classify", help="a classifier of texts: sentence vectors and a logistic regression")
    parser.add_argument(
        "data", metavar="DATA", help='a .jsonl file of {"text": ..., "label": ...}, or a .csv or .tsv with a header'
    )
    parser.add_argument("model", metavar="MODEL", help="a sentence encoder: a folder, or an id on the hub")
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help="where the classifier goes")
    parser.add_argument("--text-column", default="text", metavar="NAME", help="(default: %(default)s)")
    parser.add_argument("--label-column", default="label", metavar="NAME", help="(default: %(default)s)")
    test = parser.add_mutually_exclusive_group()
    test.add_argument("--test", metavar="FILE", help="more such texts, to test what was fitted")
    test.add_argument("--test-share", type=_share, metavar="X", help="keep a share of the texts, such as 0.2, for that")
    parser.add_argument(
        "--c",
        type=lambda text: text if text == "auto" else positive_number(text),
        default=3.0,
        metavar="C",
        help="how closely to follow the texts, or auto to try several (default: %(default)s)",
    )
    parser.add_argument("--revision", help="branch, tag or commit of MODEL on the hub")
    parser.add_argument("--offline", action="store_true", help="use what is in the cache, and ask the hub nothing")
    add_machine(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    from ..class_report import report
    from ..labels import as_labels, encoded
    from ..text_classifier import TextClassifier

    (texts, labels), (test_texts, test_labels) = _read(options)
    # What is wrong with them or with the output is said before the model is loaded, and all texts have gone through it.
    as_labels([*labels, *test_labels], len(labels) + len(test_labels))
    encoded(labels)
    _check_output(options.output, options.model)
    classifier = TextClassifier(
        options.model,
        C=options.c,
        **loading(options),
    )
    try:
        classifier.fit(texts, labels)
    except ImportError as error:
        raise FilbertError(str(error)) from None
    print(f"fitted to {len(texts)} texts of {len(classifier.classes_)} labels, C={classifier.C_:g}")
    if test_texts:
        for line in report(test_labels, classifier.predict(test_texts).tolist()):
            print(line)
    classifier.save_pretrained(options.output)
    print(f"saved in {options.output}: filbert.TextClassifier.from_pretrained({options.output!r}).predict([...])")


def _read(options: argparse.Namespace) -> "tuple[Texts, Texts]":
    """The texts to fit and to test, with their labels."""
    from ..class_report import split
    from ..labelled_files import read_labelled

    columns = (options.text_column, options.label_column)
    texts, labels = read_labelled(options.data, *columns)
    if options.test is not None:
        return (texts, labels), read_labelled(options.test, *columns)
    if options.test_share is None:
        return (texts, labels), ([], [])
    fitted, tested = split(labels, options.test_share)
    if not tested:
        raise InputError(f"{options.data}: found too few texts of each label to keep a share of {options.test_share:g}")
    return _chosen(texts, labels, fitted), _chosen(texts, labels, tested)


def _chosen(texts: list[str], labels: "list[Label]", indices: list[int]) -> "Texts":
    return [texts[index] for index in indices], [labels[index] for index in indices]


def _check_output(folder: str, model: str) -> None:
    """Raises what writing there would, before the work is done, and InputError if it would be over the model."""
    if os.path.isdir(model) and os.path.isdir(folder) and os.path.samefile(model, folder):
        raise InputError(f"{folder}: is both the model and where the classifier goes")
    os.makedirs(folder, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(13, os.strerror(13), folder)


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"found {text}, expected a number above 0 and below 1")
    return value
