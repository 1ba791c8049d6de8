"""KeyBERT."""

from typing import Any

from ..scores import Floats
from .models import encoder_of

try:
    from keybert.backend import BaseEmbedder
except ImportError as error:
    raise ImportError("filbert.integrations.keybert needs KeyBERT: pip install keybert") from error


class FilbertBackend(BaseEmbedder):
    """What `KeyBERT(FilbertBackend(model))` embeds with.

    It is needed: KeyBERT takes an object that it does not know, such as a SentenceEncoder, for none, and downloads
    another model without a word.
    """

    def __init__(self, model: Any, **options: Any) -> None:
        """model: a hub id, a folder or a SentenceEncoder. options: of `SentenceEncoder.from_pretrained`.

        Raises what that raises.
        """
        super().__init__()
        self.embedding_model = encoder_of(model, options)

    def embed(self, documents: Any, verbose: bool = False) -> Floats:
        """The vectors of texts: float32 [n, hidden]. Raises InputError."""
        vectors: Floats = self.embedding_model.encode(list(documents), show_progress_bar=verbose)
        return vectors
