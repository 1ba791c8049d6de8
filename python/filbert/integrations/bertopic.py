"""BERTopic."""

from .backend import Backend

try:
    from bertopic.backend import BaseEmbedder
except ImportError as error:
    raise ImportError("filbert.integrations.bertopic needs BERTopic: pip install bertopic") from error


class FilbertBackend(Backend, BaseEmbedder):
    """What `BERTopic(embedding_model=FilbertBackend(model))` embeds with.

    It is needed: BERTopic takes an object that it does not know, such as a SentenceEncoder, for none, and downloads
    another model without a word.
    """
