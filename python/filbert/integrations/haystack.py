"""Haystack. A stored pipeline is read with `Pipeline.load(file, allowed_modules=["filbert.integrations.haystack"])`:
Haystack takes classes of modules that it does not know for a risk.
"""

import os
from dataclasses import replace
from typing import Any

from ..sentence.given import encoder_of, name_of

try:
    from haystack import Document, component
except ImportError as error:
    raise ImportError("filbert.integrations.haystack needs Haystack: pip install haystack-ai") from error


class _Embedder:
    """Loads the model when a pipeline warms up, or runs for the first time."""

    model: str
    options: dict[str, Any]
    _encoder: Any = None

    def warm_up(self) -> None:
        if self._encoder is None:
            self._encoder = encoder_of(self.model, self.options)


@component
class FilbertTextEmbedder(_Embedder):
    """The vector of a query, with the prompt that the model has for queries.

    model: a hub id or a folder. options: of `SentenceEncoder.from_pretrained`, such as {"dtype": "int8"}. Raises what
    that raises, when it is warmed up.
    """

    def __init__(self, model: str | os.PathLike[str], options: dict[str, Any] | None = None) -> None:
        self.model, self.options = name_of(model), options or {}

    @component.output_types(embedding=list[float])
    def run(self, text: str) -> dict[str, list[float]]:
        if not isinstance(text, str):
            raise TypeError("FilbertTextEmbedder expects a string: FilbertDocumentEmbedder embeds lists of Documents")
        self.warm_up()
        return {"embedding": self._encoder.encode_query(text).tolist()}


@component
class FilbertDocumentEmbedder(_Embedder):
    """Documents with their vectors, with the prompt that the model has for documents.

    model, options: see FilbertTextEmbedder. meta_fields_to_embed: keys of `meta` whose values are put before the
    content, a line each.
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        options: dict[str, Any] | None = None,
        meta_fields_to_embed: list[str] | None = None,
    ) -> None:
        self.model, self.options = name_of(model), options or {}
        self.meta_fields_to_embed = meta_fields_to_embed or []

    @component.output_types(documents=list[Document])
    def run(self, documents: list[Document]) -> dict[str, list[Document]]:
        if not isinstance(documents, list) or not all(isinstance(each, Document) for each in documents):
            raise TypeError("FilbertDocumentEmbedder expects a list of Documents: FilbertTextEmbedder embeds a string")
        self.warm_up()
        vectors = self._encoder.encode_document([self._text(document) for document in documents]).tolist()
        return {"documents": [replace(each, embedding=vector) for each, vector in zip(documents, vectors, strict=True)]}

    def _text(self, document: Document) -> str:
        values = [document.meta.get(field) for field in self.meta_fields_to_embed]
        return "\n".join([*(str(value) for value in values if value is not None), document.content or ""])
