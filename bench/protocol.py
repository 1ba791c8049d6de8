"""Timing several things against each other on a machine that is never quite quiet.

In each round each of them has a turn, in a shuffled order, so that a slow spell of the machine falls on all. A turn is
a pause, in which the threads of the one before stop spinning, a run that does not count, and runs for a tenth of a
second. Turns during which the machine was slow can be told by a loop before and after each (gate.py), and left out.
"""

import random
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np

PAUSE, TURN = 0.05, 0.1  # seconds
FEWEST_ROUNDS = 3
FAST = 0.85  # of the highest rate

Name = TypeVar("Name")


class Turn(NamedTuple):
    times: list[float]  # ms of each run
    rate: float  # of the machine, the lower of before and after


def interleave(runs: dict[str, Callable[[], object]], seconds: float) -> dict[str, list[float]]:
    """The milliseconds of every timed run; `seconds` is for each of them, and is passed for three rounds if need be."""
    turns = interleave_turns({name: partial(take_turn, run) for name, run in runs.items()}, seconds)
    return {name: [time for turn in of_name for time in turn.times] for name, of_name in turns.items()}


def interleave_turns(
    turns: dict[Name, Callable[[], list[float]]], seconds: float, rate: Callable[[], float] = lambda: 0.0
) -> dict[Name, list[Turn]]:
    """The same for what takes its turns itself, such as an engine in another process. `rate` is asked between turns."""
    taken: dict[Name, list[Turn]] = {name: [] for name in turns}
    order = list(turns)
    shuffler = random.Random(0)
    rounds = 0
    end = time.perf_counter() + seconds * len(turns)
    before = rate()
    while rounds < FEWEST_ROUNDS or time.perf_counter() < end:
        shuffler.shuffle(order)
        for name in order:
            times = turns[name]()
            time.sleep(PAUSE)
            after = rate()
            taken[name].append(Turn(times, min(before, after)))
            before = after
        rounds += 1
    return taken


def take_turn(run: Callable[[], object]) -> list[float]:
    times = []
    run()
    turn_end = time.perf_counter() + TURN
    while not times or time.perf_counter() < turn_end:
        begin = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - begin))
    return times


def fast_turns(turns: dict[Name, list[Turn]]) -> dict[Name, list[Turn]]:
    """Those while the machine was as fast as it can be; of each name at least three, the best there are."""
    best = max(turn.rate for of_name in turns.values() for turn in of_name)
    found = {}
    for name, of_name in turns.items():
        ordered = sorted(of_name, key=lambda turn: turn.rate, reverse=True)
        fast = sum(turn.rate >= FAST * best for turn in ordered)
        found[name] = ordered[: max(fast, FEWEST_ROUNDS)]
    return found


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
