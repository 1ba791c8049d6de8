"""What KeyBERT and BERTopic embed with: both ask for the same of a class of theirs."""

from typing import Any

from ..scores import Floats
from ..sentence.given import encoder_of


class Backend:
    """Stands before the class `BaseEmbedder` of either library."""

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
