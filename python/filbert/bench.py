"""`filbert bench`: how long one model takes, over batches of equal length and over a ragged set."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from . import _core
from .atomic import Output
from .batching import Integers, batches, packed
from .encoder import EncoderModel
from .errors import InputError
from .progress import Bar
from .sentence.vectors import Floats

Milliseconds = list[float]

# (sequences, tokens in each): a query, a sentence, a passage, the longest input, and two batches of passages.
CASES = ((1, 8), (1, 32), (1, 128), (1, 512), (8, 128), (32, 128))

# The ragged set: as many sequences, their lengths log-normal, as those of sentences and paragraphs mixed are.
RAGGED_SEQUENCES = 512
RAGGED_LONGEST = 256
_RAGGED_SHORTEST = 3
_RAGGED_MEDIAN, _RAGGED_SIGMA = 32, 0.8

_BATCH, _LENGTH = 1, 128
_FEWEST_RUNS = 3


@dataclass(frozen=True)
class Timing:
    """What one case took. tokens_per_second is that of the median run."""

    case: str
    sequences: int
    tokens: int
    runs: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    tokens_per_second: float


def percentiles(times: Milliseconds) -> dict[str, float]:
    """The 50th, 95th and 99th percentile, interpolated between neighbours."""
    values = np.percentile(times, (50, 95, 99))
    return {f"p{number}_ms": float(value) for number, value in zip((50, 95, 99), values, strict=True)}


def ragged_lengths(longest: int = RAGGED_LONGEST) -> Integers:
    """The lengths of the ragged set in tokens, special ones included: always the same, with a mean of 43."""
    drawn = np.random.default_rng(0).lognormal(np.log(_RAGGED_MEDIAN), _RAGGED_SIGMA, RAGGED_SEQUENCES)
    return np.clip(np.rint(drawn), _RAGGED_SHORTEST, longest).astype(np.int64)


def packed_batches(sequences: list[Integers]) -> list[tuple[Integers, Integers]]:
    """(ids, cu_seqlens) of as many forwards as it takes, the longest sequences first."""
    return [packed([sequences[index] for index in batch]) for batch in batches(list(map(len, sequences)))]


def run_packed(model: EncoderModel, batches: list[tuple[Integers, Integers]]) -> list[Floats]:
    """The means of the token vectors of every sequence, normalised, batch by batch."""
    return [model.embed(ids, cu_seqlens, "mean", True) for ids, cu_seqlens in batches]


def choose_cases(batch: int | None, length: int | None, positions: int) -> list[tuple[int, int]]:
    """The one that is asked for, or all that fit a model of so many positions. Raises InputError."""
    if batch is None and length is None:
        return [case for case in CASES if case[1] <= positions]
    length = min(_LENGTH, positions) if length is None else length
    if length > positions:
        raise InputError(f"length: found {length}, the model has {positions} positions")
    return [(batch or _BATCH, length)]


def measure(
    model: EncoderModel, *, batch: int | None = None, length: int | None = None, seconds: float = 2.0
) -> list[Timing]:
    """Times forwards of random tokens, last_hidden_state out, for `seconds` a case and at least three runs.

    batch, length: one case of that many sequences of that many tokens (1 and 128 where only one is given); with
    neither, the cases of CASES that fit the model, and the ragged set. Shows a progress bar on a terminal.
    Raises InputError and MemoryError.
    """
    cases = choose_cases(batch, length, model.max_positions)
    jobs: list[tuple[str, int, int, Callable[[], object]]] = []
    generator = np.random.default_rng(0)
    for sequences, tokens in cases:
        ids = generator.integers(0, model.vocabulary, (sequences, tokens))
        jobs.append((f"{sequences}x{tokens}", sequences, sequences * tokens, lambda ids=ids: model(ids)))  # type: ignore[misc]
    if batch is None and length is None:
        lengths = ragged_lengths(min(RAGGED_LONGEST, model.max_positions))
        ragged = packed_batches([generator.integers(0, model.vocabulary, each) for each in lengths])
        jobs.append(("ragged", len(lengths), int(lengths.sum()), lambda: run_packed(model, ragged)))
    return list(_timings(jobs, seconds))


def _timings(jobs: list[tuple[str, int, int, Callable[[], object]]], seconds: float) -> Iterator[Timing]:
    with Bar(len(jobs), None, "Timing", "case", leave=False) as bar:
        for name, sequences, tokens, run in jobs:
            times = _time(run, seconds)
            found = percentiles(times)
            yield Timing(name, sequences, tokens, len(times), **found, tokens_per_second=1e3 * tokens / found["p50_ms"])
            bar.update()


def _time(run: Callable[[], object], seconds: float) -> Milliseconds:
    """Milliseconds of every run after one that does not count."""
    run()
    times: Milliseconds = []
    end = time.perf_counter() + seconds
    while len(times) < _FEWEST_RUNS or time.perf_counter() < end:
        begin = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - begin))
    return times


def table(timings: list[Timing]) -> list[str]:
    """The lines that `filbert bench` prints."""
    lines = [f"{'case':<8} {'p50 ms':>10} {'p95 ms':>10} {'p99 ms':>10} {'tokens/s':>12} {'runs':>7}"]
    for each in timings:
        times = " ".join(f"{value:>10.2f}" for value in (each.p50_ms, each.p95_ms, each.p99_ms))
        lines.append(f"{each.case:<8} {times} {each.tokens_per_second:>12,.0f} {each.runs:>7}")
    return lines


def report(model: EncoderModel, timings: list[Timing]) -> dict[str, Any]:
    """What `filbert bench --json` writes."""
    description = next((each.description for each in _core.devices() if each.name == model.device), "")
    return {
        "filbert": _core.__version__,
        "model": model.name_or_path,
        "parameters": model.num_parameters(),
        "dtype": model.dtype,
        "device": model.device,
        "processor": description,
        "isa": model.isa,
        "threads": model.num_threads,
        "results": [asdict(each) for each in timings],
    }


def run(
    name: str,
    *,
    dtype: str | None,
    batch: int | None,
    length: int | None,
    seconds: float,
    json_place: str | int | None,
    **where: Any,
) -> None:
    """Loads a model, prints its table, and writes it as JSON to the output `json_place`, which is opened first.

    The table goes to standard error if the JSON goes to standard output. `where` goes to `AutoModel.from_pretrained`.
    Raises what that and `measure` raise, and OSError.
    """
    from .auto import AutoModel

    with nullcontext() if json_place is None else Output(json_place) as output:
        model = AutoModel.from_pretrained(name, dtype=dtype, add_pooling_layer=False, **where)
        timings = measure(model, batch=batch, length=length, seconds=seconds)
        threads = f"{model.num_threads} thread{'' if model.num_threads == 1 else 's'}"
        heading = f"{model.name_or_path} on {model.device} ({model.isa}, {threads}), {model.dtype}"
        print(heading, "", *table(timings), sep="\n", file=sys.stderr if output and output.is_stdout else sys.stdout)
        if output:
            output.write((json.dumps(report(model, timings), indent=1) + "\n").encode())
            output.commit()
