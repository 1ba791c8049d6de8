"""Arguments that commands have in common."""

import argparse
from typing import Any

from ..atomic import STANDARD_OUTPUT


def add_model(parser: argparse.ArgumentParser) -> None:
    """The model, and where it is found."""
    parser.add_argument("model", metavar="MODEL", help="a folder, or an id on the Hugging Face hub")
    parser.add_argument("--revision", help="branch, tag or commit on the hub")
    parser.add_argument("--offline", action="store_true", help="use what is in the cache, and ask the hub nothing")


def add_texts(parser: argparse.ArgumentParser) -> None:
    """A file of texts."""
    parser.add_argument("file", metavar="FILE", help="UTF-8 text, one text a line; - for standard input")


def add_results(parser: argparse.ArgumentParser, form: str) -> None:
    """Where results go, a line of JSON a text. form: what such a line has."""
    parser.add_argument(
        "-o",
        "--output",
        type=place,
        default=STANDARD_OUTPUT,
        metavar="OUT.jsonl",
        help=f"where a line of JSON a text goes, {form} (default: standard output)",
    )


def add_machine(parser: argparse.ArgumentParser) -> None:
    """What it runs on."""
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 or auto (default: %(default)s)")
    parser.add_argument("--threads", type=positive, metavar="N", help="default: all cores this process may use")


def loading(options: argparse.Namespace) -> dict[str, Any]:
    """What `add_model` and `add_machine` say, as keywords of `from_pretrained`."""
    return {
        "device": options.device,
        "num_threads": options.threads,
        "revision": options.revision,
        "local_files_only": options.offline,
    }


def add_json(parser: argparse.ArgumentParser) -> None:
    """Where figures go besides the terminal."""
    parser.add_argument(
        "--json", type=place, metavar="PATH", help="write the figures to a file, too; - for standard output"
    )


def positive(text: str) -> int:
    """An integer above 0."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"found {value}, expected an integer above 0")
    return value


def positive_number(text: str) -> float:
    """A number above 0."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"found {text}, expected a number above 0")
    return value


def place(text: str) -> str | int:
    """What an Output takes."""
    return STANDARD_OUTPUT if text == "-" else text
