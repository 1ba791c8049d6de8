"""The settings of a model of late interaction."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..errors import ConfigError
from .dense import Dense
from .steps import Step
from .transformer import TransformerModule, optional

# Settings of the Transformer module.
LENGTHS = ("query_length", "document_length", "query_expansion")

_STRATEGIES = ("fixed", "min")


class QueryExpansion(NamedTuple):
    """Queries are filled up with one token.

    length: tokens that a query has at least, special ones included. is_fixed: also at most.
    attend: whether the other tokens attend to those that fill up, and these to each other.
    token: None: the mask token, or the end of a text where there is none.
    """

    length: int
    is_fixed: bool
    attend: bool
    token: str | None


@dataclass
class MultiVectorModules(TransformerModule):
    """How token vectors become those that are scored, and how text becomes tokens."""

    query_length: int | None = None
    document_length: int | None = None
    expansion: QueryExpansion | None = None
    has_mask: bool = True  # which takes vectors of filling that nothing attends to in, and those of the lists out
    skiplist_words: list[str] = field(default_factory=list)
    skiplist_tasks: list[str] = field(default_factory=lambda: ["document"])
    keep_only_token_ids: list[int] = field(default_factory=list)
    markers: list[str] = field(default_factory=list)  # texts of prompts that are a token each, if there is such a token
    steps: list[Step] = field(default_factory=list)
    prompts: dict[str, str] = field(default_factory=lambda: {"query": "", "document": ""})
    similarity: str = "maxsim"

    def dimension(self, hidden: int) -> int:
        """The width of what comes of vectors of `hidden` numbers. Raises ConfigError if the steps do not fit."""
        for step in self.steps:
            if isinstance(step, Dense):
                if step.in_features != hidden:
                    raise ConfigError(
                        f"Dense is made for vectors of {step.in_features} numbers, and gets them of {hidden}"
                    )
                hidden = step.out_features
        return hidden

    def read_lengths(self, where: str, values: Mapping[str, Any]) -> None:
        """Takes the settings LENGTHS out of `values`. where: for messages. Raises ConfigError."""
        self.query_length = optional(where, dict(values), "query_length", int)
        self.document_length = optional(where, dict(values), "document_length", int)
        self.expansion = _expansion(where, values.get("query_expansion"))
        if self.expansion and self.query_length is not None and self.query_length < self.expansion.length:
            raise ConfigError(
                f"{where}: query_length: found {self.query_length}, less than the {self.expansion.length} tokens of "
                "query_expansion"
            )


def texts_of(where: str, config: Mapping[str, Any], key: str) -> list[str] | None:
    """config[key] if it is a list of strings; None if it is absent or null. Raises ConfigError."""
    value = config.get(key)
    if value is not None and not (isinstance(value, list) and all(isinstance(text, str) for text in value)):
        raise ConfigError(f"{where}: {key}: found {value!r:.100}, expected a list of strings")
    return value


def _expansion(where: str, value: Any) -> QueryExpansion | None:
    if value is None:
        return None
    where = f"{where}: query_expansion"
    if not isinstance(value, dict) or not set(value) <= {"strategy", "attend", "token", "length"}:
        raise ConfigError(f"{where}: found {value!r:.200}, expected an object of strategy, length, attend and token")
    if value.get("strategy") not in _STRATEGIES:
        raise ConfigError(f"{where}: strategy: found {value.get('strategy')!r}, supported: {' or '.join(_STRATEGIES)}")
    length = optional(where, value, "length", int)
    if length is None:
        raise ConfigError(f"{where}: found no length")
    return QueryExpansion(
        length,
        value["strategy"] == "fixed",
        optional(where, value, "attend", bool) is True,
        optional(where, value, "token", str),
    )
