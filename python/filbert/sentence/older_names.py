"""Arguments as earlier versions of sentence-transformers took them."""

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

from ..settings import outside

Function = TypeVar("Function", bound=Callable[..., Any])


def older_names(
    *, positions: Sequence[str] = (), ignored: Sequence[str] = (), **names: str
) -> Callable[[Function], Function]:
    """A function that also takes arguments as it once did, each with a warning.

    names: of a keyword by its older name the name of today. positions: what a method took after its first argument, and
    is a keyword today. ignored: keywords that change nothing.
    """

    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def call(*args: Any, **keywords: Any) -> Any:
            if positions and len(args) > 2:
                args, keywords = _by_name(function, positions, args, keywords)
            for older, name in names.items() if keywords else ():
                if older in keywords and name in keywords:
                    raise TypeError(f"{function.__name__}() got both {name!r} and {older!r}, its older name")
                if older in keywords:
                    _warn(f"{older!r} is the older name of {name!r}")
                    keywords[name] = keywords.pop(older)
            for name in ignored if keywords else ():
                if name in keywords:
                    _warn(f"{name!r} changes nothing in {function.__name__}()")
                    del keywords[name]
            return function(*args, **keywords)

        return cast(Function, call)

    return decorate


def _by_name(
    method: Callable[..., Any], positions: Sequence[str], args: tuple[Any, ...], keywords: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    given = dict(zip(positions, args[2:], strict=False))
    if twice := sorted(given.keys() & keywords.keys()):
        raise TypeError(f"{method.__name__}() got multiple values for argument {twice[0]!r}")
    _warn(f"{', '.join(given)}: given by position, expected by name")
    return (*args[:2], *args[2 + len(given) :]), {**given, **keywords}


def _warn(message: str) -> None:
    warnings.warn(message, DeprecationWarning, stacklevel=outside())
