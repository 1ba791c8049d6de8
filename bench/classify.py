"""A text classifier beside scikit-learn on sentence-transformers' vectors: accuracy, and seconds from texts to labels.

    python bench/classify.py

4,000 sentences of the documentation of five packages; which package one is from is to be told, after 2,000 of them.
The docstrings are read from the sources of what is installed, so the result holds the versions and a hash of the
sentences. The other side is what people write: SentenceTransformer.encode, and scikit-learn's LogisticRegression with
its C of 1, on vectors as they are and on standardised ones. `--sweep` tells why filbert scales vectors by one number,
and why its C is what it is.
"""

import argparse
import ast
import hashlib
import importlib.util
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from accuracy import split
from engines import each_precision, quiet
from exports import minilm_folder
from machine import default_output, save
from ragged import sentence_transformer

PACKAGES = ("numpy", "scipy", "sklearn", "torch", "transformers")
EACH = 800  # sentences of a package, of which half are for fitting

Sentences = tuple[list[str], list[str]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sweep", action="store_true", help="C and ways to scale vectors, too")
    parser.add_argument("--output", type=Path, default=default_output("cpu-classify"))
    args = parser.parse_args()
    quiet(args.threads)
    from filbert import SentenceEncoder, TextClassifier

    fitted, tested = sentences()
    print(f"{len(fitted[0])} sentences to fit, {len(tested[0])} to test, such as: {tested[0][0]}", flush=True)
    results: dict[str, Any] = {}

    def report(name: str, run: Callable[[], Any]) -> None:
        begin = time.perf_counter()
        accuracy = float(np.mean(run() == np.array(tested[1])))
        results[name] = {"accuracy": accuracy, "seconds": time.perf_counter() - begin}
        print(f"{name:<56}{100 * accuracy:6.2f}%  {results[name]['seconds']:6.1f} s", flush=True)

    for title, is_standardised in (("", False), (" on standardised vectors", True)):
        run = their_labels(args.threads, is_standardised, fitted, tested[0])
        report(f"sentence-transformers and scikit-learn{title}", run)
    encoders = each_precision(
        lambda precision: SentenceEncoder.from_pretrained(minilm_folder(), dtype=precision, num_threads=args.threads)
    )
    for precision, encoder in encoders.items():
        report(f"filbert {precision}", lambda encoder=encoder: TextClassifier(encoder).fit(*fitted).predict(tested[0]))
    report(
        "filbert float32, C='auto'",
        lambda: TextClassifier(encoders["float32"], C="auto").fit(*fitted).predict(tested[0]),
    )
    digest = hashlib.sha256("\n".join(fitted[0] + tested[0]).encode()).hexdigest()
    figures = {"sentences_sha256": digest, "packages": PACKAGES, "results": results}
    if args.sweep:
        vectors = [encoders["float32"].encode(texts) for texts in (fitted[0], tested[0])]
        figures["sweep"] = sweep(*vectors, np.array(fitted[1]), np.array(tested[1]))
    save(args.output, args.threads, figures)


def their_labels(threads: int, is_standardised: bool, fitted: Sentences, texts: list[str]) -> Callable[[], Any]:
    from sentence_transformers import SentenceTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    encoder = sentence_transformer(SentenceTransformer, minilm_folder(), threads)
    model = make_pipeline(*[StandardScaler()] * is_standardised, LogisticRegression(max_iter=1000))
    return lambda: model.fit(encoder.encode(fitted[0]), fitted[1]).predict(encoder.encode(texts))


def sweep(fitted: np.ndarray, tested: np.ndarray, labels: np.ndarray, expected: np.ndarray) -> dict[str, Any]:
    """Accuracy and log loss by number of texts, by how their vectors are scaled, and by C; means of three draws."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss

    found: dict[str, Any] = {}
    for count in (30, 100, 300, len(fitted)):
        for scaling in ("none", "one number", "each dimension"):
            for c in (0.3, 1, 3, 10, 30):
                scores = []
                for seed in range(3):
                    rows = np.random.default_rng(seed).permutation(len(fitted))[:count]
                    mean, deviation = np.zeros(fitted.shape[1]), np.ones(fitted.shape[1])
                    if scaling != "none":
                        mean = fitted[rows].mean(axis=0, dtype=float)
                        deviation = fitted[rows].std(axis=0, dtype=float)
                    if scaling == "one number":
                        deviation = np.sqrt(np.mean(np.square(deviation)))
                    strength = c if scaling == "none" else c / fitted.shape[1]
                    model = LogisticRegression(C=strength, max_iter=1000)
                    model.fit((fitted[rows] - mean) / deviation, labels[rows])
                    chances = model.predict_proba((tested - mean) / deviation)
                    right = float(np.mean(model.classes_[chances.argmax(axis=1)] == expected))
                    scores.append((right, log_loss(expected, chances, labels=model.classes_)))
                accuracy, loss = np.mean(scores, axis=0).tolist()
                print(
                    f"{count:>6} texts, scaled by {scaling:<16} C={c:<6g}{100 * accuracy:6.2f}%  {loss:.3f}", flush=True
                )
                found[f"{count}, {scaling}, {c:g}"] = {"accuracy": accuracy, "log_loss": loss}
    return found


def sentences() -> tuple[Sentences, Sentences]:
    """Sentences with their packages, to fit and to test: as many of each package, in the same order in every run."""
    found = {package: set(of_package(package)) for package in PACKAGES}
    rows = []
    for package, own in found.items():
        others = set().union(*(found[other] for other in PACKAGES if other != package))
        chosen = sorted(own - others)
        random.Random(0).shuffle(chosen)
        if len(chosen) < EACH:
            raise SystemExit(f"{package}: found {len(chosen)} sentences of its own, expected {EACH}")
        rows.append([(sentence, package) for sentence in chosen[:EACH]])
    parts = ([row for own in rows for row in own[part::2]] for part in (0, 1))
    fitted, tested = (([text for text, _ in part], [label for _, label in part]) for part in parts)
    return fitted, tested


def of_package(package: str) -> Iterator[str]:
    """The English sentences of its docstrings, without those that name it."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"{package} is not installed")
    for path in sorted(Path(spec.submodule_search_locations[0]).rglob("*.py")):
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                for sentence in split(ast.get_docstring(node) or ""):
                    if package not in sentence.lower():
                        yield sentence


if __name__ == "__main__":
    main()
