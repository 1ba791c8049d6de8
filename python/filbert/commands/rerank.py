"""`filbert rerank`: the lines of a file by their scores for a query."""

import argparse
from typing import Any

from .arguments import add_machine, add_model, add_results, add_texts, loading, positive


def add(commands: Any) -> None:
    """The command, to what `add_subparsers` gave."""
    parser = commands.add_parser("rerank", help="the lines of a file, the best for a query first, as lines of JSON")
    add_model(parser)
    add_texts(parser)
    parser.add_argument("--query", required=True, metavar="TEXT", help="what the lines are scored for")
    parser.add_argument("--top-k", type=positive, metavar="N", help="write so many (default: all)")
    add_results(parser, '{"index", "score", "text"}')
    add_machine(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    from ..result_files import rerank_file
    from ..sentence.cross_encoder import CrossEncoder

    def load() -> CrossEncoder:
        return CrossEncoder.from_pretrained(options.model, **loading(options))

    rerank_file(load, options.query, options.file, options.output, options.top_k)
