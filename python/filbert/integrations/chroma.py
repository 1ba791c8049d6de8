"""Chroma."""

import os
from typing import Any

from ..scores import Floats
from ..sentence.given import encoder_of, name_of

try:
    from chromadb.api.types import EmbeddingFunction
    from chromadb.utils.embedding_functions import register_embedding_function
except ImportError as error:
    raise ImportError("filbert.integrations.chroma needs Chroma: pip install chromadb") from error


@register_embedding_function
class FilbertEmbeddingFunction(EmbeddingFunction):
    """What a collection embeds with: `create_collection("papers", embedding_function=FilbertEmbeddingFunction(model))`.

    A collection that is stored keeps the model's name and options, and opens with them. The process that opens it has
    to import this module first: without that Chroma does not know "filbert", and a query by text raises. Queries and
    documents get the prompts that the model has for them.
    """

    def __init__(self, model: str | os.PathLike[str], **options: Any) -> None:
        """model: a hub id or a folder. options: of `SentenceEncoder.from_pretrained`: strings, numbers, lists, dicts.

        Raises what that raises.
        """
        self._config = {"model": name_of(model), "options": options}
        self._encoder = encoder_of(model, options)

    def __call__(self, input: Any) -> list[Floats]:
        return list(self._encoder.encode_document(list(input)))

    def embed_query(self, input: Any) -> list[Floats]:
        return list(self._encoder.encode_query(list(input)))

    @staticmethod
    def name() -> str:
        return "filbert"

    def default_space(self) -> str:
        return "cosine"

    def get_config(self) -> dict[str, Any]:
        return self._config

    @staticmethod
    def build_from_config(config: dict[str, Any]) -> "FilbertEmbeddingFunction":
        return FilbertEmbeddingFunction(config["model"], **config["options"])
