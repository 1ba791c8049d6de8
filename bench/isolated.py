"""Engines in processes of their own: no library's threads, allocator or settings reach another's."""

import multiprocessing
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from engines import ENGINES, Spec, quiet
from exports import ModelFiles
from protocol import take_turn


class Isolated:
    """An engine in a new process: called as it would be here; a turn is timed there. Its errors are raised here."""

    def __init__(self, spec: Spec, files: ModelFiles, threads: int) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would take torch's threads along
        self._connection, there = context.Pipe()
        arguments = (there, spec.name, spec.precision, files, threads)
        self._process = context.Process(target=_serve, args=arguments, daemon=True)
        self._process.start()
        there.close()
        self._ask()  # whether it has loaded

    def __call__(self, ids: np.ndarray) -> np.ndarray:
        return self._ask("forward", ids)

    def turn(self, ids: np.ndarray) -> list[float]:
        """The milliseconds of the runs of a turn."""
        return self._ask("turn", ids)

    def close(self) -> None:
        self._connection.close()
        self._process.join()

    def _ask(self, *question: Any) -> Any:
        try:
            if question:
                self._connection.send(question)
            answer = self._connection.recv()
        except (EOFError, OSError):
            self._process.join()
            raise RuntimeError(f"the process of the engine ended: exit code {self._process.exitcode}") from None
        if isinstance(answer, Exception):
            raise answer
        return answer


def _serve(connection: Connection, name: str, precision: str, files: ModelFiles, threads: int) -> None:
    quiet(threads)
    try:
        spec = next(spec for spec in ENGINES if (spec.name, spec.precision) == (name, precision))
        forward = spec.load(files, threads)
    except Exception as error:
        connection.send(error)
        return
    connection.send(None)
    while True:
        try:
            question, ids = connection.recv()
        except EOFError:
            return
        try:
            connection.send(forward(ids) if question == "forward" else take_turn(lambda ids=ids: forward(ids)))
        except Exception as error:
            connection.send(error)
