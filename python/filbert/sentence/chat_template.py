"""Pairs as one text, by the chat template of a model, which Jinja renders in its sandbox."""

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError

if TYPE_CHECKING:
    from jinja2 import Environment
    from jinja2.nodes import Node
    from jinja2.parser import Parser

Message = dict[str, Any]

_WANTED = (
    "expected a template of the messages of a query and a document, "
    "such as processor_kwargs={'chat_template': ...} can give"
)
# What transformers gives to every template.
_DEFAULTS = {"tools": None, "documents": None, "add_generation_prompt": False}


class ChatTemplate:
    """A chat template that renders a query and a document.

    structured: whether the content of a message is a list of parts, rather than a string.
    """

    def __init__(self, where: str, text: str, structured: bool, names: dict[str, str]) -> None:
        """where: what to call it in messages. names: variables, such as the special tokens.

        Raises ConfigError for a template that is none, or in which a query or a document does not appear.
        """
        from jinja2 import TemplateSyntaxError

        self._where = where
        self.text, self.structured = text, structured
        self._names = names
        try:
            self._template = _environment().from_string(text)
        except TemplateSyntaxError as error:
            raise ConfigError(f"{where}: line {error.lineno}: {error.message}") from error
        plain = self.render("alpha", "bravo", "")
        others = {"query": self.render("charlie", "bravo", ""), "document": self.render("alpha", "foxtrot", "")}
        for role, other in others.items():
            if other == plain:
                raise ConfigError(f"{where}: the {role} of a pair does not appear in what it makes: {_WANTED}")

    def render(self, query: str, document: str, prompt: str) -> str:
        """The text for a pair; `prompt` is what the system says, if not empty. Raises ConfigError."""
        messages = [("system", prompt)] if prompt else []
        variables: dict[str, Any] = {
            **_DEFAULTS,
            **self._names,
            "messages": [self._message(*each) for each in (*messages, ("query", query), ("document", document))],
        }
        try:
            return self._template.render(variables)
        except Exception as error:  # whatever its expressions raise
            raise ConfigError(f"{self._where}: it fails for a pair: {str(error).rstrip('.')}: {_WANTED}") from error

    def _message(self, role: str, text: str) -> Message:
        return {"role": role, "content": [{"type": "text", "text": text}] if self.structured else text}


def _environment() -> "Environment":
    """As transformers sets it up: its tags, functions and filters, and what becomes of white space.

    A template is somebody else's program. Beside what the sandbox keeps from it, it does not get Python's dict, nor
    fields of a namespace whose names are Python's.
    """
    from jinja2.exceptions import SecurityError, TemplateError
    from jinja2.ext import Extension
    from jinja2.nodes import Scope
    from jinja2.sandbox import ImmutableSandboxedEnvironment
    from jinja2.utils import Namespace

    class Generation(Extension):
        """`{% generation %}` marks what a model says, which changes nothing of the text."""

        tags = {"generation"}  # noqa: RUF012

        def parse(self, parser: "Parser") -> "Node":
            line = next(parser.stream).lineno
            return Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=line)

    class Fields(Namespace):
        def __init__(*args: Any, **fields: Any) -> None:  # as of Jinja's: a field may be called self
            self, *pairs = args
            Namespace.__init__(self)
            for name, value in dict(*pairs, **fields).items():
                self[name] = value

        def __setitem__(self, name: str, value: Any) -> None:
            if str(name).startswith("_"):
                raise SecurityError(f"namespace: found a field {name!r}, whose name begins with an underscore")
            super().__setitem__(name, value)

    def make_dict(*pairs: Any, **items: Any) -> dict[Any, Any]:
        return dict(*pairs, **items)

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    def strftime_now(format: str) -> str:
        return datetime.now().strftime(format)

    def tojson(
        value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
    ) -> str:
        """Unlike Jinja's, it leaves the characters of HTML."""
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, "jinja2.ext.loopcontrols"]
    )
    environment.globals |= {
        "dict": make_dict,
        "namespace": Fields,
        "raise_exception": raise_exception,
        "strftime_now": strftime_now,
    }
    environment.filters["tojson"] = tojson
    return environment
