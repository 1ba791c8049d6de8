"""`filbert distill`: a static model out of a sentence encoder."""

import argparse
from typing import Any

from .arguments import add_machine, add_model, loading, positive


def add(commands: Any) -> None:
    """The command, to what `add_subparsers` gave."""
    parser = commands.add_parser(
        "distill", help="a static model of a sentence encoder: a vector for each token, and no transformer"
    )
    add_model(parser)
    parser.add_argument(
        "-o", "--output", required=True, metavar="DIR", help="where it goes, for filbert, model2vec and others"
    )
    parser.add_argument(
        "--dims", type=positive, default=256, metavar="N", help="numbers of a vector at most (default: %(default)s)"
    )
    parser.add_argument("--dtype", help="what the encoder computes in: float32, bfloat16 or int8 (default: float32)")
    add_machine(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    from ..distillation import distill

    encoder = distill(
        options.model,
        options.output,
        dims=options.dims,
        dtype=options.dtype,
        **loading(options),
    )
    print(
        f"{options.output}: {encoder.model.vocabulary} tokens with vectors of {encoder.get_embedding_dimension()} "
        f"numbers; filbert.SentenceEncoder.from_pretrained({options.output!r}) opens it"
    )
