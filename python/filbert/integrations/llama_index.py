"""LlamaIndex."""

import asyncio
import os
from typing import Any

from ..sentence.given import encoder_of, name_of

try:
    from llama_index.core.base.embeddings.base import DEFAULT_EMBED_BATCH_SIZE, BaseEmbedding
    from llama_index.core.bridge.pydantic import Field, PrivateAttr
except ImportError as error:
    raise ImportError("filbert.integrations.llama_index needs LlamaIndex: pip install llama-index-core") from error


class FilbertEmbedding(BaseEmbedding):
    """Embeddings of a SentenceEncoder: `Settings.embed_model = FilbertEmbedding("BAAI/bge-small-en-v1.5")`.

    model_name: a hub id or a folder. options: of `SentenceEncoder.from_pretrained`, such as {"dtype": "int8"}. Both
    are in what `to_dict` gives. Queries and texts get the prompts that the model has for queries and documents.
    Raises what `SentenceEncoder.from_pretrained` raises.
    """

    options: dict[str, Any] = Field(default_factory=dict, description="Of SentenceEncoder.from_pretrained.")
    _encoder: Any = PrivateAttr()

    def __init__(
        self,
        model_name: str | os.PathLike[str],
        options: dict[str, Any] | None = None,
        embed_batch_size: int = DEFAULT_EMBED_BATCH_SIZE,
        **fields: Any,
    ) -> None:
        name = name_of(model_name)
        super().__init__(model_name=name, options=options or {}, embed_batch_size=embed_batch_size, **fields)
        self._encoder = encoder_of(name, self.options)

    @classmethod
    def class_name(cls) -> str:
        return "FilbertEmbedding"

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        vectors: list[list[float]] = self._encoder.encode_document(texts).tolist()
        return vectors

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    def _get_query_embedding(self, query: str) -> list[float]:
        vector: list[float] = self._encoder.encode_query(query).tolist()
        return vector

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return await asyncio.to_thread(self._get_query_embedding, query)

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return await asyncio.to_thread(self._get_text_embedding, text)
