"""Texts that are longer than a model takes: counted, and told of once or refused."""

import os
import threading
import warnings

from ..errors import InputError

CHOICES = ("warn", "ignore", "raise")

_lock = threading.Lock()  # of all counts


class Cuts:
    """How many texts of an encoder were cut: `count`."""

    def __init__(self) -> None:
        self.count = 0
        self._told = False

    def __deepcopy__(self, memo: object) -> "Cuts":
        return Cuts()

    def add(self, texts: list[int], limit: int, on_truncate: str) -> None:
        """texts: the numbers of those that were cut to `limit` tokens. Raises InputError if they are to be refused."""
        if texts and on_truncate == "raise":
            raise InputError(f"text {min(texts)}: has more than {limit} tokens")
        with _lock:
            self.count += len(texts)

    def tell(self, cut: int, texts: int, limit: int) -> None:
        """Warns that so many of so many texts were cut, the first time that some were."""
        if not cut or self._told:
            return
        self._told = True
        warnings.warn(
            f"{cut} of {texts} texts have more than {limit} tokens and were cut. This is said once: num_truncated "
            'counts on, and on_truncate="raise" refuses such texts',
            stacklevel=5,
        )


def _after_fork() -> None:
    """Whoever held the lock is not in the child."""
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)
