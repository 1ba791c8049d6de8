"""Pairs as one text, by the chat template of a model: as much of Jinja as templates for pairs are written in.

Text, `{{ expression }}`, `{% set name = expression %}` and `{# comment #}`. An expression is `messages`, a name, a
string, `.name`, `["name"]`, `[0]` and the filters selectattr, map, first, trim and default. White space is
kept as transformers keeps it (trim_blocks, lstrip_blocks). Everything else is refused by name: nothing is run.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

from ..errors import ConfigError

Scope = dict[str, Any]
Expression = Callable[[Scope], Any]
Message = dict[str, Any]

_SUPPORTED = "supported: {{ }} and {% set %} with selectattr, map, first, trim and default"
_OPEN = re.compile(r"\{([{%#])([-+]?)")
_TOKEN = re.compile(
    r"\s*(?:(?P<string>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")|(?P<name>[A-Za-z_]\w*)|(?P<number>[0-9]+)"
    r"|(?P<mark>[|(),=.\[\]]))",
    re.DOTALL,
)
# What comes after the text of a tag, and how much of the text that follows goes with it.
_AFTER = {"{": re.compile(r"-\}\}\s*|\}\}"), "%": re.compile(r"\+%\}|-%\}\s*|%\}\n?")}
_COMMENT_END = re.compile(r"\+#\}|-#\}\s*|#\}\n?")


class _Undefined(tuple[()]):
    """What Jinja has for a name or an item that is not there: it is false, empty, and prints as nothing."""


_UNDEFINED = _Undefined()


class ChatTemplate:
    """A chat template that renders a query and a document.

    structured: whether the content of a message is a list of parts, rather than a string.
    """

    def __init__(self, where: str, text: str, structured: bool, names: dict[str, str]) -> None:
        """where: what to call it in messages. names: variables, such as the special tokens.

        Raises ConfigError for a template that uses more of Jinja than is supported, or in which a query or a document
        does not appear.
        """
        self._where = where
        self.text, self.structured = text, structured
        self._names = names
        self._parts = list(_Parser(where, text).parts())
        plain = self.render("alpha", "bravo", "")
        others = {"query": self.render("charlie", "bravo", ""), "document": self.render("alpha", "foxtrot", "")}
        for role, other in others.items():
            if other == plain:
                raise ConfigError(f"{where}: the {role} of a pair does not appear in what it makes")

    def render(self, query: str, document: str, prompt: str) -> str:
        """The text for a pair; `prompt` is what the system says, if not empty. Raises ConfigError."""
        messages = [("system", prompt)] if prompt else []
        scope: Scope = {
            **self._names,
            "messages": [self._message(*each) for each in (*messages, ("query", query), ("document", document))],
        }
        return "".join(part if isinstance(part, str) else self._text(part(scope)) for part in self._parts)

    def _message(self, role: str, text: str) -> Message:
        return {"role": role, "content": [{"type": "text", "text": text}] if self.structured else text}

    def _text(self, value: Any) -> str:
        if value is _UNDEFINED:
            return ""
        if not isinstance(value, str):
            raise ConfigError(f"{self._where}: prints {value!r:.60}, expected a string")
        return value


class _Parser:
    """Reads a template: its text as strings, and the rest as functions of the scope, which give what is printed."""

    def __init__(self, where: str, text: str) -> None:
        self._where = where
        text = re.sub(r"\r\n?", "\n", text)
        self._template = text.removesuffix("\n")
        self._place = self._tag = 0

    def parts(self) -> Iterator[str | Expression]:
        while (tag := _OPEN.search(self._template, self._place)) is not None:
            yield self._literal(tag)
            self._tag, self._place = tag.span()
            if tag[1] == "#":
                self._close(_COMMENT_END.search(self._template, self._place))
                continue
            part = self._expression() if tag[1] == "{" else self._statement()
            self._close(_AFTER[tag[1]].match(self._template, self._skip_space()))
            yield part
        yield self._template[self._place :]

    def _literal(self, tag: re.Match[str]) -> str:
        """The text up to a tag, without the white space that goes with it."""
        text = self._template[self._place : tag.start()]
        if tag[2] == "-":
            return text.rstrip()
        line = text.rfind("\n") + 1
        starts = line > 0 or self._template[self._place - 1 : self._place] in ("", "\n")
        if tag[1] != "{" and tag[2] != "+" and starts and text[line:].isspace():
            return text[:line]
        return text

    def _close(self, end: re.Match[str] | None) -> None:
        if end is None:
            raise self._unsupported()
        self._place = end.end()

    def _statement(self) -> Expression:
        self._expect("name", "set")
        name = self._expect("name")
        self._expect("mark", "=")
        value = self._expression()

        def put(scope: Scope) -> str:
            scope[name] = value(scope)
            return ""

        return put

    def _expression(self) -> Expression:
        value = self._operand()
        while self._take("mark", "|"):
            value = self._filter(self._expect("name"), value)
        return value

    def _operand(self) -> Expression:
        if self._take("mark", "("):
            value = self._expression()
            self._expect("mark", ")")
        elif (string := self._take("string")) is not None:
            value = _constant(_unescaped(string))
        else:
            value = _variable(self._expect("name"))
        while True:
            if self._take("mark", "."):
                value = self._item(value, self._expect("name"))
            elif self._take("mark", "["):
                number = self._take("number")
                key = _unescaped(self._expect("string")) if number is None else int(number)
                value = self._item(value, key)
                self._expect("mark", "]")
            else:
                return value

    def _item(self, value: Expression, key: str | int) -> Expression:
        def item(scope: Scope) -> Any:
            found = value(scope)
            if found is _UNDEFINED:
                raise ConfigError(f"{self._where}: asks for {key!r} of what is not there, such as a system message")
            return _item_of(found, key)

        return item

    def _filter(self, name: str, value: Expression) -> Expression:
        if name in _FILTERS:
            return _applied(_FILTERS[name], value)
        self._expect("mark", "(")
        if name == "selectattr":
            key = _unescaped(self._expect("string"))
            self._expect("mark", ",")
            if _unescaped(self._expect("string")) not in ("eq", "equalto", "=="):
                raise self._unsupported()
            self._expect("mark", ",")
            wanted = _unescaped(self._expect("string"))
            found = _applied(lambda items: [each for each in items if _item_of(each, key) == wanted], value)
        elif name == "map":
            self._expect("name", "attribute")
            self._expect("mark", "=")
            key = _unescaped(self._expect("string"))
            found = _applied(lambda items: [_item_of(each, key) for each in items], value)
        elif name in ("default", "d"):
            other, empty_too = self._expression(), bool(self._take("mark", ",") and self._expect("name", "true"))
            found = _or_else(value, other, empty_too)
        else:
            raise self._unsupported()
        self._expect("mark", ")")
        return found

    def _skip_space(self) -> int:
        while self._template[self._place : self._place + 1].isspace():
            self._place += 1
        return self._place

    def _take(self, kind: str, text: str | None = None) -> str | None:
        token = _TOKEN.match(self._template, self._place)
        if token is None or token.lastgroup != kind or text not in (None, token[kind]):
            return None
        self._place = token.end()
        return token[kind]

    def _expect(self, kind: str, text: str | None = None) -> str:
        token = self._take(kind, text)
        if token is None:
            raise self._unsupported()
        return token

    def _unsupported(self) -> ConfigError:
        line = self._template.count("\n", 0, self._tag) + 1
        found = self._template[self._tag : self._tag + 40]
        return ConfigError(f"{self._where}: line {line}: found {found!r} in a template for pairs, {_SUPPORTED}")


def _constant(value: str) -> Expression:
    return lambda scope: value


def _variable(name: str) -> Expression:
    return lambda scope: scope.get(name, _UNDEFINED)


def _applied(function: Callable[[Any], Any], value: Expression) -> Expression:
    return lambda scope: function(value(scope))


def _or_else(value: Expression, other: Expression, empty_too: bool) -> Expression:
    def chosen(scope: Scope) -> Any:
        found = value(scope)
        return other(scope) if found is _UNDEFINED or (empty_too and not found) else found

    return chosen


def _item_of(value: Any, key: str | int) -> Any:
    try:
        return value[key]
    except (KeyError, IndexError, TypeError):
        return _UNDEFINED


_FILTERS: dict[str, Callable[[Any], Any]] = {
    "first": lambda items: items[0] if items else _UNDEFINED,
    "trim": lambda value: value.strip() if isinstance(value, str) else value,
}


def _unescaped(string: str) -> str:
    return string[1:-1].encode("ascii", "backslashreplace").decode("unicode-escape")
