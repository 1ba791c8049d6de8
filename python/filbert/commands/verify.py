"""`filbert verify`: a model's numbers beside those of transformers."""

import argparse
from typing import Any

from .arguments import add_json, add_machine, add_model, loading


def add(commands: Any) -> None:
    """The command, to what `add_subparsers` gave."""
    parser = commands.add_parser("verify", help="a model's numbers beside those of transformers, output by output")
    add_model(parser)
    add_json(parser)
    add_machine(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    from .. import verify

    is_within = verify.run(options.model, json_place=options.json, **loading(options))
    return 0 if is_within else 1
