"""KeyBERT."""

from .backend import Backend

try:
    from keybert.backend import BaseEmbedder
except ImportError as error:
    raise ImportError("filbert.integrations.keybert needs KeyBERT: pip install keybert") from error


class FilbertBackend(Backend, BaseEmbedder):
    """What `KeyBERT(FilbertBackend(model))` embeds with.

    It is needed: KeyBERT takes an object that it does not know, such as a SentenceEncoder, for none, and downloads
    another model without a word.
    """
