"""What counts as a text and as a list of texts. Everything else is refused by name, never iterated over by chance."""

from collections.abc import KeysView, Mapping, Set
from typing import Any

from .errors import InputError

Pair = tuple[str, str] | list[str]
WordPair = tuple[list[str], list[str]]


def as_texts(name: str, value: Any) -> tuple[bool, list[str]]:
    """Whether `value` is a single text, and its texts, checked. Raises InputError (see `as_list`)."""
    if isinstance(value, str):
        check_text(name, 0, value)
        return True, [value]
    texts = as_list(name, value)
    for index, text in enumerate(texts):
        check_text(name, index, text)
    return False, texts


def as_inputs(text: Any, text_pair: Any) -> tuple[bool, list[str | Pair]]:
    """Whether it is a batch, and its texts or pairs, checked, from what a tokenizer is called with.

    Raises InputError (see `as_list`), also for a text without its pair.
    """
    if isinstance(text, str):
        check_text("text", 0, text)
        if text_pair is not None:
            check_text("text_pair", 0, text_pair)
        # transformers takes an empty second text of a single pair for none; of a batch it does not.
        return False, [(text, text_pair) if text_pair else text]
    inputs = as_list("text", text)
    if text_pair is None:
        for index, item in enumerate(inputs):
            if isinstance(item, list | tuple) and len(item) != 2:
                raise InputError(f"text {index}: found {_show(item)}, expected a string or a pair of strings")
            for part in item if isinstance(item, list | tuple) else [item]:
                check_text("text", index, part)
        return True, inputs
    pairs = as_list("text_pair", text_pair, f"a list of {len(inputs)} strings as text has")
    if len(pairs) != len(inputs):
        raise InputError(f"text_pair: found {len(pairs)}, expected a list of {len(inputs)} strings as text has")
    for index, (first, second) in enumerate(zip(inputs, pairs, strict=True)):
        check_text("text", index, first)
        check_text("text_pair", index, second)
    return True, list(zip(inputs, pairs, strict=True))


def as_words(text: Any, text_pair: Any) -> tuple[bool, list[list[str] | WordPair]]:
    """The same of texts that are lists of words: a batch is a list of such lists, or of pairs of them.

    Raises InputError (see `as_list`), with the number of the text and of the word.
    """
    inputs = as_list("text", text, "a list of words, or a list of such lists")
    batch = bool(inputs) and not isinstance(inputs[0], str)
    # transformers takes an empty second text of a single pair for none; of a batch it does not.
    pairs = text_pair if batch else [text_pair] if _is_something(text_pair) else None
    inputs = inputs if batch else [inputs]
    if pairs is None:
        return batch, [
            _word_pair(index, item) if _is_word_pair(item) else _words_of(index, item)
            for index, item in enumerate(inputs)
        ]
    pairs = as_list("text_pair", pairs, f"{len(inputs)} lists of words as text has")
    if len(pairs) != len(inputs):
        raise InputError(f"text_pair: found {len(pairs)}, expected {len(inputs)} lists of words as text has")
    both = enumerate(zip(inputs, pairs, strict=True))
    return batch, [(_words_of(index, first), _words_of(index, second, "text_pair")) for index, (first, second) in both]


def as_pairs(value: Any) -> tuple[bool, list[Pair]]:
    """Whether `value` is a single pair of texts, and its pairs, checked.

    A list, a tuple or an array [2] of strings is one pair; lists, tuples, iterators of pairs and arrays [n, 2] are
    many. Raises InputError (see `as_list`), with the number of the pair.
    """
    if getattr(value, "ndim", 0) == 2 and not hasattr(value, "columns") and hasattr(value, "tolist"):
        value = value.tolist()
    pairs = as_list("pairs", value, "a pair of strings or a list of pairs", table="zip two columns of it")
    single = bool(pairs) and not isinstance(pairs[0], list | tuple) and hasattr(value, "__len__")
    if single:
        pairs = [pairs]
    for index, pair in enumerate(pairs):
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise InputError(f"pair {index}: found {_show(pair)}, expected two strings")
        check_text("pair", index, pair[0])
        check_text("pair", index, pair[1])
    return single, pairs


def as_list(
    name: str, value: Any, expected: str = "a string or a list of strings", *, table: str = "pass one column of it"
) -> list[Any]:
    """The items of a sequence, an iterator, a Series or an array [n], in their order.

    Raises InputError for what only happens to be iterable: a mapping and a table (over their keys), a set (in no
    order), bytes (over numbers), an array of other dimensions; and for what is not. table: what to do with a table.
    """
    found = _what_else(value, table)
    if found is not None:
        raise InputError(f"{name}: found {found}, expected {expected}")
    if hasattr(value, "to_pylist"):  # an array of Arrow, whose items are scalars of its own
        value = value.to_pylist()
    return list(value)


def check_text(name: str, index: int, text: Any) -> None:
    """Raises InputError unless `text`, the one of that number in its batch, is a string that UTF-8 can hold."""
    if not isinstance(text, str):
        raise InputError(f"{name} {index}: found {_show(text)}, expected a string")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{name} {index}: character {error.start} is a lone surrogate and has no UTF-8 form") from None


def _is_something(value: Any) -> bool:
    return value is not None and (not hasattr(value, "__len__") or len(value) > 0)


def _is_word_pair(item: Any) -> bool:
    return isinstance(item, list | tuple) and len(item) == 2 and not isinstance(item[0], str)


def _word_pair(index: int, item: Any) -> WordPair:
    return _words_of(index, item[0]), _words_of(index, item[1])


def _words_of(index: int, value: Any, name: str = "text") -> list[str]:
    words = as_list(f"{name} {index}", value, "a list of words")
    for number, word in enumerate(words):
        check_text(f"{name} {index}, word", number, word)
    return words


def _what_else(value: Any, table: str) -> str | None:
    """What `value` is if it is no list of anything."""
    kind = type(value).__name__
    if isinstance(value, str | bytes | bytearray | memoryview | type):
        return _show(value)
    if isinstance(value, Mapping):
        return f"a mapping ({kind}), whose keys are no list of texts (pass its values if they are the texts)"
    if isinstance(value, Set) and not isinstance(value, KeysView):
        return f"a {kind}, which has no order"
    dimensions = getattr(value, "ndim", 1)
    if hasattr(value, "columns"):
        return f"a table ({kind}), which is a list of its columns' names ({table})"
    if dimensions != 1:
        return f"{'an array' if kind == 'ndarray' else kind} of {dimensions} dimensions"
    if not hasattr(value, "__iter__") and not (hasattr(value, "__len__") and hasattr(value, "__getitem__")):
        return _show(value)
    return None


def _show(value: Any) -> str:
    return f"{value!r:.100} ({type(value).__name__})"
