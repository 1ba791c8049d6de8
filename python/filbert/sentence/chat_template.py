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
            **_ABSENT,
            **self._names,
            "messages": [self._message(*each) for each in (*messages, ("query", query), ("document", document))],
        }
        try:
            return self._template.render(variables)
        except Exception as error:  # whatever its expressions raise
            raise ConfigError(f"{self._where}: it fails for a pair: {str(error).rstrip('.')}: {_WANTED}") from error

    def _message(self, role: str, text: str) -> Message:
        return {"role": role, "content": [{"type": "text", "text": text}] if self.structured else text}


_WANTED = (
    "expected a template of the messages of a query and a document, "
    "such as processor_kwargs={'chat_template': ...} can give"
)
_ABSENT = {"tools": None, "documents": None, "add_generation_prompt": False}  # of what transformers gives to templates


def _environment() -> "Environment":
    """As transformers sets it up: its tags, functions and filters, and what becomes of white space."""
    from jinja2 import TemplateError
    from jinja2.ext import Extension
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """`{% generation %}` marks what a model says, which changes nothing of the text."""

        tags = {"generation"}  # noqa: RUF012

        def parse(self, parser: "Parser") -> "list[Node]":
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    def strftime_now(format: str) -> str:
        return datetime.now().strftime(format)

    def tojson(value: Any, ensure_ascii: bool = False, **options: Any) -> str:
        """Unlike Jinja's, it leaves the characters of HTML."""
        return json.dumps(value, ensure_ascii=ensure_ascii, **options)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, "jinja2.ext.loopcontrols"]
    )
    environment.globals |= {"raise_exception": raise_exception, "strftime_now": strftime_now}
    environment.filters["tojson"] = tojson
    return environment
