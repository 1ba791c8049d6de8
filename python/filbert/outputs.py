"""What a model returns: a mapping, a tuple and an object with attributes at once, as in transformers."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, NoReturn


class ModelOutput(dict[str, Any]):
    """Base of the outputs. Subclasses are dataclasses; fields that are None are attributes but not items.

    `out.name`, `out["name"]`, `out[0]`, `out[:2]` and `out.to_tuple()` read it. Iterating gives the keys.
    """

    @classmethod
    def _names(cls) -> tuple[str, ...]:
        return tuple(field.name for field in fields(cls))  # type: ignore[arg-type]

    def __getitem__(self, key: str | int | slice) -> Any:
        return super().__getitem__(key) if isinstance(key, str) else self.to_tuple()[key]

    def __setitem__(self, key: str, value: Any) -> None:
        setattr(self, key, value)

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self._names():
            raise AttributeError(f"{type(self).__name__} has no field {name!r}; it has {', '.join(self._names())}")
        super().__setattr__(name, value)
        if value is not None:
            super().__setitem__(name, value)
        elif name in self:
            super().__delitem__(name)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return type(self), tuple(getattr(self, name) for name in self._names())

    def _no_removal(self, *args: object, **kwargs: object) -> NoReturn:
        raise TypeError(f"the fields of {type(self).__name__} are fixed; set one to None to drop it")

    __delitem__ = __delattr__ = __ior__ = pop = popitem = setdefault = update = clear = _no_removal

    def map(self, convert: Callable[[Any], Any]) -> "ModelOutput":
        """The same outputs with every array, those in tuples too, as `convert` gives it."""

        def each(value: Any) -> Any:
            return tuple(map(convert, value)) if isinstance(value, tuple) else convert(value)

        return type(self)(**{name: each(value) for name, value in self.items()})

    def to_tuple(self) -> tuple[Any, ...]:
        """The values that are not None, in the order of the fields."""
        return tuple(value for name in self._names() if (value := getattr(self, name)) is not None)


@dataclass(eq=False)
class BaseModelOutputWithPooling(ModelOutput):
    """Outputs of an encoder: float32 arrays of NumPy, or of PyTorch or CuPy if the ids were theirs.

    last_hidden_state: [batch, seq, hidden]; rows at masked positions are zero.
    pooler_output: [batch, hidden], or None for a model without a pooler.
    hidden_states: layers + 1 arrays [batch, seq, hidden] if asked for; [0] is the embeddings, [-1] last_hidden_state
        (which alone is of another width in EmbeddingGemma 2).
    attentions: one array [batch, heads, seq, seq] a layer if asked for.
    """

    last_hidden_state: Any = None
    pooler_output: Any = None
    hidden_states: tuple[Any, ...] | None = None
    attentions: tuple[Any, ...] | None = None


@dataclass(eq=False)
class SequenceClassifierOutput(ModelOutput):
    """Outputs of a model that classifies texts; see BaseModelOutputWithPooling.

    logits: [batch, labels].
    """

    logits: Any = None
    hidden_states: tuple[Any, ...] | None = None
    attentions: tuple[Any, ...] | None = None


@dataclass(eq=False)
class TokenClassifierOutput(ModelOutput):
    """Outputs of a model that classifies tokens; see BaseModelOutputWithPooling.

    logits: [batch, seq, labels], zero at masked tokens.
    """

    logits: Any = None
    hidden_states: tuple[Any, ...] | None = None
    attentions: tuple[Any, ...] | None = None


@dataclass(eq=False)
class QuestionAnsweringModelOutput(ModelOutput):
    """Outputs of a model that finds answers in texts; see BaseModelOutputWithPooling.

    start_logits, end_logits: [batch, seq] each, zero at masked tokens.
    """

    start_logits: Any = None
    end_logits: Any = None
    hidden_states: tuple[Any, ...] | None = None
    attentions: tuple[Any, ...] | None = None


@dataclass(eq=False)
class MaskedLMOutput(ModelOutput):
    """Outputs of a masked language model; see BaseModelOutputWithPooling.

    logits: [batch, seq, vocabulary], zero at masked tokens; [n, vocabulary] of the positions that were asked for.
    """

    logits: Any = None
    hidden_states: tuple[Any, ...] | None = None
    attentions: tuple[Any, ...] | None = None


@dataclass(eq=False)
class NextTokenOutput(ModelOutput):
    """Outputs of a model that is asked what follows; see BaseModelOutputWithPooling.

    logits: [batch, tokens], of the tokens that it was loaded for.
    """

    logits: Any = None
    hidden_states: tuple[Any, ...] | None = None
    attentions: tuple[Any, ...] | None = None
