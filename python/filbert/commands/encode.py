"""`filbert encode`: a file of texts to one .npy file, or any number of files to a folder of parts."""

import argparse
import os
from typing import Any

from ..errors import FilbertError, InputError
from .arguments import add_machine, add_model, loading, place, positive

_DESCRIPTION = """\
Sentence vectors of texts.

  filbert encode MODEL texts.txt -o out.npy
      one text a line to one array [lines, width]; - is standard input or output

  filbert encode MODEL 'data/*.parquet' --keep id -o out
      a bulk job: files of any size to a folder of parts, in bounded memory.
      The same command again goes on where it was stopped or killed.

It is a bulk job if there are several files, a pattern, a file with columns
(.parquet .jsonl .csv .tsv) and a folder to fill, or one of the options for it.
"""
# The options of bulk jobs, as `filbert.bulk.encode` names them.
_BULK = {"column", "id", "keep", "input_format", "format", "precision", "shard_rows", "shard", "on_error", "resume"}
_BULK |= {"engine", "workers"}


def add(commands: Any) -> None:
    """Adds the command to the subparsers of the command line."""
    parser = commands.add_parser(
        "encode",
        help="sentence vectors: of a file of texts as a .npy file, or of many files in parts that resume",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_model(parser)
    parser.add_argument("sources", nargs="+", metavar="FILE", help="files, or patterns; - for standard input")
    parser.add_argument("-o", "--output", type=place, required=True, metavar="OUT", help="the file, or the folder")
    vectors = parser.add_argument_group("vectors")
    vectors.add_argument("--prompt", metavar="TEXT", help="put before every text")
    vectors.add_argument("--prompt-name", metavar="NAME", help="the same, by the name of one of the model's prompts")
    vectors.add_argument("--normalize", action="store_true", help="scale every vector to length 1")
    vectors.add_argument("--truncate-dim", type=positive, metavar="N", help="keep the first N numbers of a vector")
    vectors.add_argument("--dtype", help="what the model computes in: float32 (default), bfloat16, float16, int8, auto")
    vectors.add_argument(
        "--on-truncate",
        choices=("warn", "ignore", "raise"),
        default="warn",
        help="of texts that are too long: cut them and warn once (default), cut them in silence, or raise an error",
    )
    _add_bulk(parser.add_argument_group("bulk jobs"))
    add_machine(parser)
    parser.set_defaults(run=_run)


def _add_bulk(group: Any) -> None:
    def option(name: str, help: str, **how: Any) -> None:
        # One that is not given is not in the namespace: those that are ask for a bulk job.
        group.add_argument(name, default=argparse.SUPPRESS, help=help, **how)

    option("--column", "the column of texts (default: text)", metavar="NAME")
    option("--id", "a column that parts are to have, the first one", metavar="NAME")
    option("--keep", "further columns that parts are to have", metavar="NAME", nargs="+")
    option("--input-format", "text, jsonl, csv, tsv or parquet, whatever the endings of the files", metavar="F")
    option("--format", "of the parts: parquet (default), arrow, npy or jsonl", metavar="F")
    option("--precision", "float32 (default), float16, binary or ubinary", metavar="P")
    option("--shard-rows", "rows of a part (default: 65536)", metavar="N", type=positive)
    option("--shard", "a share of the work: 0/16 to 15/16 on 16 machines, into one folder", metavar="I/N")
    option("--on-error", "of a row that has no text: raise (default) ends the job, null writes a null", metavar="E")
    option("--resume", "--no-resume refuses a folder that holds a job", action=argparse.BooleanOptionalAction)
    option("--engine", "local (default), or ray: the machines of a cluster of Ray do the shards", metavar="E")
    option("--workers", "of Ray (default: one a machine)", metavar="N", type=positive)


def _run(options: argparse.Namespace) -> None:
    bulk = {name: value for name, value in vars(options).items() if name in _BULK}
    if bulk or _is_bulk(options.sources, options.output):
        _run_bulk(options, bulk)
    else:
        _run_one(options)


def _is_bulk(sources: list[str], output: str | int) -> bool:
    from ..bulk.sources import has_columns, is_pattern

    if len(sources) > 1 or is_pattern(sources[0]):
        return True
    # Lines of a file with any ending can go into one array, as long as that is what the output is.
    return has_columns(sources[0]) and isinstance(output, str) and not _is_file(output)


def _is_file(output: str) -> bool:
    return output.endswith(".npy") or (os.path.lexists(output) and not os.path.isdir(output))


def _run_one(options: argparse.Namespace) -> None:
    from ..encode_file import encode_file
    from ..sentence.encoder import SentenceEncoder

    def load() -> SentenceEncoder:
        return SentenceEncoder.from_pretrained(options.model, **_loading(options))

    try:
        encode_file(load, options.sources[0], options.output, **_encoding(options))
    except IsADirectoryError as error:
        raise IsADirectoryError(f"{error}; with --format parts are written into a folder") from None


def _run_bulk(options: argparse.Namespace, bulk: dict[str, Any]) -> None:
    from ..bulk import encode

    if not isinstance(options.output, str):
        raise InputError("--output: found standard output, expected a folder: a bulk job writes parts")
    if _is_file(options.output):
        raise InputError(f"--output: found {options.output!r}, expected a folder: a bulk job writes parts")
    try:
        done = encode(
            options.model,
            options.sources,
            options.output,
            model_options=_loading(options),
            **_encoding(options),
            **bulk,
        )
    except ImportError as error:
        raise FilbertError(str(error)) from None
    bad = ", ".join(f"{rows} {reason}" for reason, rows in done.bad.items())
    missing = len(done.shards) - len(done.parts)
    print(
        f"{done.folder}: {done.rows} rows in {len(done.parts)} part{_s(len(done.parts))}"
        f"{f'; without a vector: {bad}' if bad else ''}"
        f"{f'; {missing} part{_s(missing)} still to come' if missing else ''}"
    )


def _loading(options: argparse.Namespace) -> dict[str, Any]:
    return {**loading(options), "dtype": options.dtype}


def _encoding(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "normalize_embeddings": options.normalize,
        "prompt": options.prompt,
        "prompt_name": options.prompt_name,
        "truncate_dim": options.truncate_dim,
        "on_truncate": options.on_truncate,
    }


def _s(count: int) -> str:
    return "" if count == 1 else "s"
