"""`filbert bench`: how long a model takes."""

import argparse
from typing import Any

from .arguments import add_json, add_machine, add_model, loading, positive, positive_number


def add(commands: Any) -> None:
    """The command, to what `add_subparsers` gave."""
    parser = commands.add_parser("bench", help="how long a model takes: percentiles and tokens a second, case by case")
    add_model(parser)
    parser.add_argument("--dtype", help="what it computes in: float32, bfloat16 or int8 (default: float32)")
    parser.add_argument("--batch", type=positive, metavar="N", help="one case only, of so many sequences (default: 1)")
    parser.add_argument("--length", type=positive, metavar="N", help="of so many tokens each (default: 128)")
    parser.add_argument(
        "--seconds", type=positive_number, default=2.0, help="length of each timing (default: %(default)s)"
    )
    add_json(parser)
    add_machine(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    from .. import bench

    bench.run(
        options.model,
        dtype=options.dtype,
        batch=options.batch,
        length=options.length,
        seconds=options.seconds,
        json_place=options.json,
        **loading(options),
    )
