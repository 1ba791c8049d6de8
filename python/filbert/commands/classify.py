"""`filbert classify`: the labels of the lines of a file."""

import argparse
from typing import Any

from .arguments import add_machine, add_model, add_results, add_texts, loading, positive


def add(commands: Any) -> None:
    """The command, to what `add_subparsers` gave."""
    parser = commands.add_parser("classify", help="the labels of the lines of a file, as lines of JSON")
    add_model(parser)
    add_texts(parser)
    parser.add_argument("--top-k", type=positive, metavar="N", help='list so many "labels" of each, the best first')
    add_results(parser, '{"label", "score"}')
    add_machine(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    from ..classifier_files import is_classifier
    from ..hub import Source
    from ..pipelines import pipeline
    from ..pipelines.base import Pipeline
    from ..result_files import classify_file
    from ..text_classifier import TextClassifier

    def load() -> Pipeline | TextClassifier:
        source = Source(options.model, revision=options.revision, local_files_only=options.offline)
        if is_classifier(source):
            return TextClassifier.from_pretrained(options.model, **loading(options))
        return pipeline("text-classification", options.model, **loading(options))

    classify_file(load, options.file, options.output, options.top_k)
