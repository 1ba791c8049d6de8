"""Pickling by reference: what travels is where a model was loaded from and how, not its weights."""

import copy
import os
import pickle
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, ClassVar, NoReturn

# Models that were loaded for pickles and are kept, so that the next pickle of one costs nothing.
_KEPT = 4

_loaded: OrderedDict[bytes, Any] = OrderedDict()
_lock = threading.Lock()


class Referable:
    """What can be pickled once `_refer_to` was called: as the keywords that load it, and what was set on it since.

    Copies are its own, but for the weights.

    A pickle holds the name (of a folder its whole path), the commit on the hub and the keywords, but no token. Reading
    one in a process that has read one before, and has the model still, loads nothing. Raises TypeError where nothing
    was loaded, as with random weights; reading one raises what loading it raises, such as FileNotFoundError with the
    path.
    """

    # What may be set on it, and travels too.
    _settings: ClassVar[tuple[str, ...]] = ()
    _reference: dict[str, Any] | None = None

    def _refer_to(self, name: str, keywords: Mapping[str, Any]) -> None:
        """name: the first argument of `_load`. keywords: the others."""
        name = os.path.abspath(name) if os.path.isdir(name) else name
        kept = {key: value for key, value in keywords.items() if key not in ("token", "force_download")}
        self._reference = {"name": name, **kept}

    @classmethod
    def _load(cls, name: str, **keywords: Any) -> Any:
        """What `_refer_to` was told of."""
        return cls(name, **keywords)  # type: ignore[call-arg]

    def _now(self) -> dict[str, Any]:
        """Keywords of `_load` that are not what they were."""
        return {}

    def __reduce__(self) -> tuple[Any, ...]:
        if self._reference is None:
            _refuse(self)
        reference = {**self._reference, **self._now()}
        return _load_once, (type(self), reference), {name: getattr(self, name) for name in self._settings}

    def __copy__(self) -> Any:
        return copy.deepcopy(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        twin.__dict__.update({name: copy.deepcopy(value, memo) for name, value in self.__dict__.items()})
        return twin

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)


def _refuse(model: Any) -> NoReturn:
    raise TypeError(
        f"a {type(model).__name__} that was not loaded from a folder or the hub cannot be pickled: "
        "save_pretrained(folder) here and from_pretrained(folder) there"
    )


def _load_once(kind: type[Referable], reference: dict[str, Any]) -> Any:
    key = pickle.dumps((kind, reference))
    with _lock:
        if key not in _loaded:
            keywords = dict(reference)
            _loaded[key] = kind._load(keywords.pop("name"), **keywords)
        _loaded.move_to_end(key)
        while len(_loaded) > _KEPT:
            _loaded.popitem(last=False)
        return copy.deepcopy(_loaded[key])


def _after_fork() -> None:
    """Whoever held the lock is not in the child."""
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)
