"""LangChain."""

from typing import Any

from ..sentence.given import encoder_of

try:
    from langchain_core.embeddings import Embeddings
except ImportError as error:
    raise ImportError("filbert.integrations.langchain needs LangChain: pip install langchain-core") from error


class FilbertEmbeddings(Embeddings):
    """Embeddings of a SentenceEncoder: `FilbertEmbeddings("BAAI/bge-small-en-v1.5", dtype="int8")`.

    Queries and documents get the prompts that the model has for them.
    """

    def __init__(self, model: Any, **options: Any) -> None:
        """model: a hub id, a folder or a SentenceEncoder. options: of `SentenceEncoder.from_pretrained`.

        Raises what that raises.
        """
        self.encoder = encoder_of(model, options)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """A vector for each text. Raises InputError."""
        vectors: list[list[float]] = self.encoder.encode_document(texts).tolist()
        return vectors

    def embed_query(self, text: str) -> list[float]:
        """The vector of a query. Raises InputError."""
        vector: list[float] = self.encoder.encode_query(text).tolist()
        return vector
