"""Milvus: an embedding function as those of `pymilvus.model`, which this needs nothing of."""

from typing import Any

from ..scores import Floats
from ..sentence.given import encoder_of


class FilbertEmbeddingFunction:
    """Vectors for a collection: `function.encode_documents(texts)`, `function.dim` for its schema.

    Queries and documents get the prompts that the model has for them.
    """

    def __init__(self, model: Any, **options: Any) -> None:
        """model: a hub id, a folder or a SentenceEncoder. options: of `SentenceEncoder.from_pretrained`.

        Raises what that raises.
        """
        self.encoder = encoder_of(model, options)

    @property
    def dim(self) -> int:
        """Numbers of a vector."""
        return int(self.encoder.get_embedding_dimension())

    def __call__(self, texts: str | list[str]) -> list[Floats]:
        """The same as `encode_documents`."""
        return self.encode_documents(texts)

    def encode_documents(self, documents: str | list[str]) -> list[Floats]:
        """A vector, float32 [dim], for each text; a string is one. Raises InputError."""
        return list(self.encoder.encode_document(_several(documents)))

    def encode_queries(self, queries: str | list[str]) -> list[Floats]:
        """A vector, float32 [dim], for each query; a string is one. Raises InputError."""
        return list(self.encoder.encode_query(_several(queries)))


def _several(texts: str | list[str]) -> list[str]:
    return [texts] if isinstance(texts, str) else texts
