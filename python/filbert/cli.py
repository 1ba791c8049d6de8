"""The command line: `filbert demo | info | encode | rerank | classify | train | distill | verify | bench | devices`."""

import argparse
import codecs
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from .commands import distill, encode, train
from .commands.arguments import add_json, add_machine, add_model, add_results, add_texts, loading, positive
from .errors import FilbertError


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code, of those that README.md lists.

    Of a wrong command line it is that of SystemExit, which is raised as argparse does.
    """
    options = _parser().parse_args(arguments)
    codecs.register_error("filbert.names", _printable)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="filbert.names")
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning  # type: ignore[assignment]
            code: int = options.run(options) or 0
        if sys.stdout is not None:  # closed by who started this
            sys.stdout.flush()
    except (FilbertError, OSError, MemoryError) as error:
        if isinstance(error, BrokenPipeError) and error.filename is None:
            # The reader of standard output has gone, as `head` does; nothing more is to be written, at exit neither.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        message = " ".join(str(error).split()) or type(error).__name__
        print(f"filbert: {message}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("filbert: interrupted", file=sys.stderr)
        return 130
    return code


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

    demo = commands.add_parser("demo", help="encode a few sentences with all-MiniLM-L6-v2, and time it")
    demo.add_argument("--seconds", type=float, default=3.0, help="length of each timing (default: %(default)s)")
    add_machine(demo)
    demo.set_defaults(run=_demo)

    info = commands.add_parser("info", help="what a model is and what filbert makes of it, or why it cannot be opened")
    add_model(info)
    info.set_defaults(run=_info)

    encode.add(commands)

    rerank = commands.add_parser("rerank", help="the lines of a file, the best for a query first, as lines of JSON")
    add_model(rerank)
    add_texts(rerank)
    rerank.add_argument("--query", required=True, metavar="TEXT", help="what the lines are scored for")
    rerank.add_argument("--top-k", type=positive, metavar="N", help="write so many (default: all)")
    add_results(rerank, '{"index", "score", "text"}')
    add_machine(rerank)
    rerank.set_defaults(run=_rerank)

    classify = commands.add_parser("classify", help="the labels of the lines of a file, as lines of JSON")
    add_model(classify)
    add_texts(classify)
    classify.add_argument("--top-k", type=positive, metavar="N", help='list so many "labels" of each, the best first')
    add_results(classify, '{"label", "score"}')
    add_machine(classify)
    classify.set_defaults(run=_classify)

    train.add(commands)
    distill.add(commands)

    verify = commands.add_parser("verify", help="a model's numbers beside those of transformers, output by output")
    add_model(verify)
    add_json(verify)
    add_machine(verify)
    verify.set_defaults(run=_verify)

    bench = commands.add_parser("bench", help="how long a model takes: percentiles and tokens a second, case by case")
    add_model(bench)
    bench.add_argument("--dtype", help="what it computes in: float32, bfloat16 or int8 (default: float32)")
    bench.add_argument("--batch", type=positive, metavar="N", help="one case only, of so many sequences (default: 1)")
    bench.add_argument("--length", type=positive, metavar="N", help="of so many tokens each (default: 128)")
    bench.add_argument("--seconds", type=float, default=2.0, help="length of each timing (default: %(default)s)")
    add_json(bench)
    add_machine(bench)
    bench.set_defaults(run=_bench)

    devices = commands.add_parser("devices", help="what filbert can run on here, and why not on the rest")
    devices.set_defaults(run=_devices)
    return parser


def _demo(options: argparse.Namespace) -> None:
    from .demo import run

    run(options.device, options.threads, options.seconds)


def _info(options: argparse.Namespace) -> None:
    from .info import describe

    for line in describe(options.model, revision=options.revision, local_files_only=options.offline):
        print(line)


def _rerank(options: argparse.Namespace) -> None:
    from .result_files import rerank_file
    from .sentence.cross_encoder import CrossEncoder

    def load() -> CrossEncoder:
        return CrossEncoder.from_pretrained(options.model, **loading(options))

    rerank_file(load, options.query, options.file, options.output, options.top_k)


def _classify(options: argparse.Namespace) -> None:
    from .classifier_files import is_classifier
    from .hub import Source
    from .pipelines import pipeline
    from .pipelines.base import Pipeline
    from .result_files import classify_file
    from .text_classifier import TextClassifier

    def load() -> Pipeline | TextClassifier:
        source = Source(options.model, revision=options.revision, local_files_only=options.offline)
        if is_classifier(source):
            return TextClassifier.from_pretrained(options.model, **loading(options))
        return pipeline("text-classification", options.model, **loading(options))

    classify_file(load, options.file, options.output, options.top_k)


def _verify(options: argparse.Namespace) -> int:
    from .verify import run

    is_within = run(
        options.model,
        json_place=options.json,
        **loading(options),
    )
    return 0 if is_within else 1


def _bench(options: argparse.Namespace) -> None:
    from .bench import run

    run(
        options.model,
        dtype=options.dtype,
        batch=options.batch,
        length=options.length,
        seconds=options.seconds,
        json_place=options.json,
        **loading(options),
    )


def _devices(options: argparse.Namespace) -> None:
    from ._core import devices

    for device in devices():
        if device.available:
            print(f"{device.name:<8} {device.description}, {device.threads} threads")
            if device.isas:
                print(f"{'':<8} instruction sets, best first: {', '.join(device.isas)}  (FILBERT_CPU_ISA forces one)")
            if device.note:
                print(f"{'':<8} {device.note}")
        else:
            print(f"{device.name:<8} not available: {device.reason}")
