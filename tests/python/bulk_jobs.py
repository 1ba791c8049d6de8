"""Bulk jobs for the tests: small sources, what is in a folder, and jobs in processes that can be killed."""

import json
import multiprocessing
import os
import resource
import signal
from pathlib import Path

from filbert import bulk

WORDS = "the a cat dog runs sunny day is it hello world we running cafe".split()  # noqa: SIM905
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["filbert.bulk", "filbert.sentence", "filbert.models.bert", "tokenizers", "bulk_jobs"])


def texts(count):
    """Texts of 0 to 11 words, all different but for the empty ones."""
    return [" ".join(WORDS[(index + step * step) % len(WORDS)] for step in range(index % 12)) for index in range(count)]


def write_lines(path, count):
    path.write_text("".join(f"{text}\n" for text in texts(count)), encoding="utf-8")
    return path


def write_jsonl(path, rows):
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def contents(folder):
    """All files of a folder and of those in it, by name."""
    folder = Path(folder)
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def start(function, *arguments, **keywords):
    """A process that runs a function of this module."""
    process = _CONTEXT.Process(target=function, args=arguments, kwargs=keywords)
    process.start()
    return process


def finish(process):
    """Its exit code: 0, or the negative number of a signal."""
    process.join(120)
    assert process.exitcode is not None
    return process.exitcode


def encode(*arguments, **keywords):
    bulk.encode(*arguments, **keywords)


def killed_at(event, *arguments, **keywords):
    """A job that ends by SIGKILL before its n-th flush or rename, from 1."""
    for name in ("fsync", "replace"):
        setattr(os, name, _counted(getattr(os, name), event))
    bulk.encode(*arguments, **keywords)


_calls = 0


def _counted(function, event):
    def call(*arguments):
        global _calls
        _calls += 1
        if _calls == event:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments)

    return call


def limited(largest, report, *arguments, **keywords):
    """A job that may write no file above so many bytes, and writes its error to `report`."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
    try:
        bulk.encode(*arguments, **keywords)
    except OSError as error:
        Path(report).write_text(f"{error.errno} {error.filename}")
