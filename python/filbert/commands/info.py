"""`filbert info`: what a model is."""

import argparse
from typing import Any

from .arguments import add_model


def add(commands: Any) -> None:
    """The command, to what `add_subparsers` gave."""
    parser = commands.add_parser(
        "info", help="what a model is and what filbert makes of it, or why it cannot be opened"
    )
    add_model(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    from ..info import describe

    for line in describe(options.model, revision=options.revision, local_files_only=options.offline):
        print(line)
