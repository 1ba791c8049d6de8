"""The command line: `filbert demo | info | encode | rerank | classify | train | distill | verify | bench | devices`."""

import argparse
import codecs
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from .commands import bench, classify, demo, devices, distill, encode, info, rerank, train, verify
from .errors import FilbertError


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code, of those that README.md lists.

    Of a wrong command line it is that of SystemExit, which is raised as argparse does.
    """
    if sys.stderr is None:  # closed by who started this: errors go nowhere, and not to the results
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    codecs.register_error("filbert.names", _printable)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="filbert.names")
    try:
        options = _parser().parse_args(arguments)
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning  # type: ignore[assignment]
            code: int = options.run(options) or 0
        _flush()
    except (FilbertError, OSError, MemoryError) as error:
        _flush_or_drop()
        if isinstance(error, BrokenPipeError) and error.filename is None:
            return 0  # the reader of standard output has gone, as `head` does
        message = " ".join(str(error).split()) or type(error).__name__
        print(f"filbert: {message}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("filbert: interrupted", file=sys.stderr)
        return 130
    return code


def _flush() -> None:
    if sys.stdout is not None:  # closed by who started this
        sys.stdout.flush()


def _flush_or_drop() -> None:
    """Python flushes standard output at exit once more; what cannot be written is not to fail again there."""
    try:
        _flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _printable(error: UnicodeError) -> tuple[str | bytes, int]:
    """Names of files that are not UTF-8 are printed as the bytes they are, what the stream has no bytes for escaped."""
    if isinstance(error, UnicodeEncodeError):
        error.end = error.start + 1
        if not "\udc80" <= error.object[error.start] <= "\udcff":
            return codecs.backslashreplace_errors(error)
    return codecs.lookup_error("surrogateescape")(error)


def _show_warning(message: Warning | str, *_: Any) -> None:
    print(f"filbert: warning: {message}", file=sys.stderr)


class _Parser(argparse.ArgumentParser):
    def exit(self, *how: Any) -> Any:
        _flush()  # what fails here is told by `main`, as it is of commands
        super().exit(*how)

    def error(self, message: str) -> Any:
        self.print_usage(sys.stderr)
        self.exit(2, f"{self.prog}: {message}\n")


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *rest: Any) -> None:
        from . import __version__

        print(f"filbert {__version__}")
        parser.exit()


class _CMakeDir(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *rest: Any) -> None:
        from . import cmake_dir

        print(cmake_dir())
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="filbert",
        description="BERT-family encoders from the files on the Hugging Face hub, as they are, without PyTorch.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    parser.add_argument("--cmake-dir", action=_CMakeDir, nargs=0, help="print where find_package(filbert) looks")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (demo, info, encode, rerank, classify, train, distill, verify, bench, devices):
        command.add(commands)
    return parser
