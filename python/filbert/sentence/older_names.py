"""Keywords under the names that sentence-transformers had for them."""

import functools
import warnings
from collections.abc import Callable
from typing import Any, TypeVar, cast

Function = TypeVar("Function", bound=Callable[..., Any])


def older_names(**names: str) -> Callable[[Function], Function]:
    """A function that also takes keywords by older names, each with a warning. names: the name of today for each."""

    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def call(*args: Any, **keywords: Any) -> Any:
            for older, name in names.items() if keywords else ():
                if older in keywords and name in keywords:
                    raise TypeError(f"{function.__name__}() got both {name!r} and {older!r}, its older name")
                if older in keywords:
                    warnings.warn(f"{older!r} is the older name of {name!r}", DeprecationWarning, stacklevel=2)
                    keywords[name] = keywords.pop(older)
            return function(*args, **keywords)

        return cast(Function, call)

    return decorate
