"""Timing several things against each other on a machine that is never quite quiet.

In each round each of them has a turn, in a shuffled order, so that a slow spell of the machine falls on all. A turn is
a pause, in which the threads of the one before stop spinning, a run that does not count, and runs for a tenth of a
second.
"""

import random
import time
from collections.abc import Callable, Iterable
from functools import partial

import numpy as np

PAUSE, TURN = 0.05, 0.1  # seconds
FEWEST_ROUNDS = 3


def interleave(runs: dict[str, Callable[[], object]], seconds: float) -> dict[str, list[float]]:
    """The milliseconds of every timed run; `seconds` is for each of them, and is passed for three rounds if need be."""
    return interleave_turns({name: partial(take_turn, run) for name, run in runs.items()}, seconds)


def interleave_turns(turns: dict[str, Callable[[], list[float]]], seconds: float) -> dict[str, list[float]]:
    """The same for what takes its turns itself, such as an engine in another process."""
    times: dict[str, list[float]] = {name: [] for name in turns}
    order = list(turns)
    shuffler = random.Random(0)
    rounds = 0
    end = time.perf_counter() + seconds * len(turns)
    while rounds < FEWEST_ROUNDS or time.perf_counter() < end:
        shuffler.shuffle(order)
        for name in order:
            times[name] += turns[name]()
        rounds += 1
    return times


def take_turn(run: Callable[[], object]) -> list[float]:
    times = []
    time.sleep(PAUSE)
    run()
    turn_end = time.perf_counter() + TURN
    while not times or time.perf_counter() < turn_end:
        begin = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - begin))
    return times


def row_cosines(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """The cosine of each vector (the last axis) with its counterpart, in float64."""
    found, expected = (each.reshape(-1, each.shape[-1]) for each in (found, expected))

    def products(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return np.einsum("ij,ij->i", left, right, dtype=np.float64)

    lengths = np.sqrt(products(found, found) * products(expected, expected))
    return products(found, expected) / np.maximum(lengths, 1e-30)


def geometric_mean(values: Iterable[float]) -> float:
    return float(np.exp(np.mean(np.log(list(values)))))


def summarize(ratios: dict[str, float]) -> dict[str, object]:
    """The geometric mean of ratios by case, and the worst of them."""
    worst = max(ratios, key=lambda case: ratios[case])
    return {
        "geometric_mean": geometric_mean(ratios.values()),
        "worst": ratios[worst],
        "worst_case": worst,
        "cases": len(ratios),
    }
