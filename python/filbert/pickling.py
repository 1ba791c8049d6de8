"""Pickling by reference: what travels is where a model was loaded from and how, not its weights."""

import copy
import os
import pickle
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from .stamps import Stamp, stamp_of

if TYPE_CHECKING:
    from .encoder import EncoderModel
    from .tokenization import Tokenizer

# Models that were loaded once and are kept.
_KEPT = 4
_SECRETS = ("token", "use_auth_token")
_OF_TOKENIZERS = ("model_max_length", "truncation_side", "padding_side")

_loaded: OrderedDict[bytes, tuple[Stamp, Any]] = OrderedDict()
_loading: dict[bytes, threading.Lock] = {}
_lock = threading.Lock()  # of both


class Referable:
    """What can be pickled once `_refer_to` was called: as the keywords that load it, and what was set on it since.

    Copies are its own, but for the weights.

    A pickle holds the name (of a folder its whole path), the commit on the hub and the keywords, but no token. Reading
    one in a process that has read one before, and has the model still, loads nothing; of a folder that was written
    again since, it loads the model that lies there now. Raises TypeError where nothing was loaded, as with random
    weights; reading one raises what loading it raises, such as FileNotFoundError with the path.
    """

    # What may be set on it, and travels too.
    _settings: ClassVar[tuple[str, ...]] = ()
    _reference: dict[str, Any] | None = None

    def _refer_to(self, name: str, keywords: Mapping[str, Any]) -> None:
        """name: the first argument of `_load`. keywords: the others."""
        self._reference = {"name": _whole(name), **_without_secrets(keywords)}

    @classmethod
    def _load(cls, name: str, **keywords: Any) -> Any:
        """What `_refer_to` was told of."""
        return cls(name, **keywords)  # type: ignore[call-arg]

    def _now(self) -> dict[str, Any]:
        """Keywords of `_load` that are not what they were."""
        return {}

    def _tokenizers(self) -> dict[str, "Tokenizer"]:
        """Those whose limits and sides may be set, by any names."""
        return {}

    def __reduce__(self) -> tuple[Any, ...]:
        if self._reference is None:
            _refuse(self)
        state = {name: getattr(self, name) for name in self._settings}
        for key, tokenizer in self._tokenizers().items():
            state |= {f"{name} of {key}": getattr(tokenizer, name) for name in _OF_TOKENIZERS}
        return _copy_of, (type(self), {**self._reference, **self._now()}), state

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name in self._settings:
            setattr(self, name, state[name])
        for key, tokenizer in self._tokenizers().items():
            for name in _OF_TOKENIZERS:
                setattr(tokenizer, name, state[f"{name} of {key}"])

    def __copy__(self) -> Any:
        return copy.deepcopy(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        twin.__dict__.update({name: copy.deepcopy(value, memo) for name, value in self.__dict__.items()})
        return twin


class LoadedByName(Referable):
    """What `from_pretrained` makes of one model and one tokenizer."""

    model: "EncoderModel"
    tokenizer: "Tokenizer"

    @classmethod
    def _load(cls, name: str, **keywords: Any) -> Any:
        return cls.from_pretrained(name, **keywords)  # type: ignore[attr-defined]

    def _tokenizers(self) -> dict[str, "Tokenizer"]:
        return {"": self.tokenizer}

    def _now(self) -> dict[str, Any]:
        return {"device": self.model.device, "dtype": self.model.dtype}


def load_once(kind: type[Referable], name: str, **keywords: Any) -> Any:
    """The model of that name, loaded by the first thread of the process that asks for it; others get the same one.

    A process keeps the last four, each until its folder is written again. Raises what loading it raises.
    """
    name = _whole(name)
    key = pickle.dumps((kind, name, keywords))
    with _lock:
        own = _loading.setdefault(key, threading.Lock())
    with own:
        # Before loading: of a folder that is written meanwhile it will be an old one.
        stamp = stamp_of(os.path.join(name, keywords.get("subfolder") or ""))
        with _lock:
            known, model = _loaded.get(key, (None, None))
            if known == stamp:
                _loaded.move_to_end(key)
                return model
        model = kind._load(name, **keywords)
        with _lock:
            _loaded[key] = stamp, model
            _loaded.move_to_end(key)
            _loading.pop(key, None)
            while len(_loaded) > _KEPT:
                _loaded.popitem(last=False)
        return model


def _copy_of(kind: type[Referable], reference: dict[str, Any]) -> Any:
    return copy.deepcopy(load_once(kind, **reference))


def _whole(name: str) -> str:
    return os.path.abspath(name) if os.path.isdir(name) else name


def _without_secrets(keywords: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in keywords.items() if key not in (*_SECRETS, "force_download")}
    return {key: _without_secrets(value) if isinstance(value, dict) else value for key, value in kept.items()}


def _refuse(model: Any) -> NoReturn:
    raise TypeError(
        f"a {type(model).__name__} that was not loaded from a folder or the hub cannot be pickled: "
        "save_pretrained(folder) here and from_pretrained(folder) there"
    )


def _after_fork() -> None:
    """Whoever held a lock is not in the child."""
    global _lock
    _lock = threading.Lock()
    _loading.clear()


os.register_at_fork(after_in_child=_after_fork)
