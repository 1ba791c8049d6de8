"""What a lower precision costs: cosines with float32 of MiniLM's vectors of real sentences.

    python bench/accuracy.py --work /tmp/filbert-bench

The sentences are those of the docstrings of Python's standard library, which every machine has; they differ a little
from one Python to the next, so the result holds their hash. Beside filbert's int8 is that of onnxruntime (dynamic, per
channel), one sentence at a time, since its vectors depend on the batch.
"""

import argparse
import hashlib
import importlib
import inspect
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cases import MINILM
from engines import each_precision, onnxruntime_engine, quiet
from exports import ModelFiles
from machine import default_output, save
from protocol import row_cosines

MODULES = """
    abc argparse ast asyncio.base_events asyncio.queues asyncio.streams asyncio.tasks bdb calendar cmd code
    codecs collections concurrent.futures configparser contextlib copy csv ctypes.util dataclasses datetime
    decimal difflib dis doctest email.charset email.headerregistry email.message email.policy enum filecmp
    fileinput fractions ftplib functools getopt gettext glob gzip heapq hmac html.parser http.client
    http.cookiejar http.cookies http.server imaplib importlib.abc inspect io ipaddress itertools json locale
    logging logging.config logging.handlers lzma mailbox math mimetypes multiprocessing.managers
    multiprocessing.pool multiprocessing.shared_memory netrc numbers operator optparse os pathlib pdb pickle
    pickletools pkgutil platform plistlib poplib pprint profile pstats pty py_compile pydoc queue random re
    reprlib sched secrets selectors shelve shlex shutil signal smtplib socket socketserver sqlite3 ssl stat
    statistics string struct subprocess symtable sys tarfile tempfile textwrap threading time timeit tokenize
    trace traceback tracemalloc types unicodedata unittest.case unittest.loader unittest.mock
    urllib.parse urllib.request uuid venv warnings wave weakref webbrowser xml.dom.minidom xml.etree.ElementTree
    xmlrpc.client xmlrpc.server zipapp zipfile zipimport zlib
""".split()  # noqa: SIM905
SENTENCES = 2000
FEWEST_SENTENCES = 1000
WORDS = range(4, 61)
_WORD = re.compile(r"[(\"']*[A-Za-z][A-Za-z'-]*[)\"',.;:!?]*")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work", type=Path, default=Path("build/bench"), help="keeps exported models between runs")
    parser.add_argument("--output", type=Path, default=default_output("cpu-accuracy"))
    args = parser.parse_args()
    quiet(args.threads)
    from filbert import SentenceEncoder

    files = ModelFiles(MINILM, args.work)
    texts = sentences()
    if len(texts) < FEWEST_SENTENCES:
        raise SystemExit(
            f"found {len(texts)} sentences, expected {FEWEST_SENTENCES} or more: does Python run with -OO?"
        )
    print(f"{len(texts)} sentences, such as: {texts[0]}")
    encoders = each_precision(
        lambda precision: SentenceEncoder.from_pretrained(files.folder(), dtype=precision, num_threads=args.threads)
    )
    exact = encoders.pop("float32")
    expected = exact.encode(texts)
    vectors = {f"filbert {precision}": encoder.encode(texts) for precision, encoder in encoders.items()}
    vectors["onnxruntime int8"] = onnxruntime_vectors(exact.tokenizer, files.int8_onnx(), texts, args.threads)
    results = {name: spread(row_cosines(found, expected)) for name, found in vectors.items()}
    for name, values in results.items():
        print(f"{name:<20}" + "  ".join(f"{key} {value:.6f}" for key, value in values.items()), flush=True)
    digest = hashlib.sha256("\n".join(texts).encode()).hexdigest()
    save(
        args.output,
        args.threads,
        {"sentences": len(texts), "sentences_sha256": digest, "cosine_to_filbert_float32": results},
    )


def sentences() -> list[str]:
    """Up to SENTENCES of them, in an order that is shuffled and always the same."""
    found = sorted({each for name in MODULES for text in docstrings(name) for each in split(text)})
    random.Random(0).shuffle(found)
    return found[:SENTENCES]


def docstrings(name: str) -> Iterator[str]:
    """The docstrings of a module and of what it defines; none where Python no longer has it."""
    try:
        module = importlib.import_module(name)
    except ImportError:
        return
    yield inspect.getdoc(module) or ""
    for _, member in sorted(vars(module).items()):
        if getattr(member, "__module__", None) != name or not (inspect.isclass(member) or inspect.isroutine(member)):
            continue
        yield inspect.getdoc(member) or ""
        if inspect.isclass(member):
            for _, method in sorted(vars(member).items()):
                yield (inspect.getdoc(method) or "") if inspect.isroutine(method) else ""


def split(text: str) -> Iterator[str]:
    """The English sentences of a docstring: a capital, a full stop, and nearly nothing between them but words."""
    for paragraph in re.split(r"\n\s*\n", text):
        for sentence in re.split(r"(?<=[.!?])\s+(?=[A-Z])", " ".join(paragraph.split())):
            words = sentence.split()
            plain = sum(_WORD.fullmatch(word) is not None for word in words)
            if len(words) in WORDS and re.fullmatch(r"[A-Z].*[.!?]", sentence) and plain >= 0.9 * len(words):
                yield sentence


def onnxruntime_vectors(tokenizer: Any, path: Path, texts: list[str], threads: int) -> np.ndarray:
    forward = onnxruntime_engine(path, threads)
    rows = tokenizer(texts, truncation=True)["input_ids"]
    return np.stack([forward(np.array([row]))[0].mean(axis=0) for row in rows])


def spread(cosines: np.ndarray) -> dict[str, float]:
    low = {f"p{share:g}": float(np.percentile(cosines, share)) for share in (0.1, 1, 10, 50)}
    return {"min": float(cosines.min()), **low, "mean": float(cosines.mean())}


if __name__ == "__main__":
    main()
