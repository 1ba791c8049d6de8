"""scikit-learn."""

import os
from typing import Any

from ..errors import InputError
from ..scores import Floats
from ..sentence.encoder import SentenceEncoder

try:
    from sklearn.base import BaseEstimator, TransformerMixin
except ImportError as error:
    raise ImportError("filbert.integrations.sklearn needs scikit-learn: pip install scikit-learn") from error


class SentenceVectorizer(TransformerMixin, BaseEstimator):
    """Texts to vectors in a pipeline: `make_pipeline(SentenceVectorizer("BAAI/bge-small-en-v1.5"), RidgeClassifier())`.

    Every argument is a parameter, so that clone and GridSearchCV know it. It is pickled by reference: its model's name
    and parameters, not its weights.
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        *,
        dtype: str | None = None,
        device: str | None = None,
        num_threads: int | None = None,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
        prompt: str | None = None,
    ) -> None:
        """model: a hub id or a folder. The others: of `SentenceEncoder.from_pretrained` and of its `encode`."""
        self.model = model
        self.dtype = dtype
        self.device = device
        self.num_threads = num_threads
        self.normalize_embeddings = normalize_embeddings
        self.truncate_dim = truncate_dim
        self.prompt = prompt

    def fit(self, texts: Any, labels: Any = None) -> "SentenceVectorizer":
        """Loads the model; nothing is learnt.

        Raises InputError if `model` is no name, and what `SentenceEncoder.from_pretrained` raises.
        """
        if not isinstance(self.model, str | os.PathLike):
            # A loaded model as a parameter would be copied by every clone, of which a grid search makes many.
            raise InputError(f"model: found {type(self.model).__name__}, expected a hub id or a folder")
        self.encoder_ = SentenceEncoder.from_pretrained(
            self.model, dtype=self.dtype, device=self.device or "cpu", num_threads=self.num_threads
        )
        return self

    def transform(self, texts: Any) -> Floats:
        """The vectors of texts: float32 [n, hidden]. Loads the model if `fit` has not.

        Raises InputError, and what `fit` raises.
        """
        return self._vectors(texts)

    def get_feature_names_out(self, input_features: Any = None) -> Any:
        """embedding0, embedding1 and so on, as pandas output names columns. Raises what `transform` raises."""
        import numpy as np

        # Not of `transform`, which may give a frame that takes its names from here.
        size = self._vectors([""]).shape[1]
        return np.array([f"embedding{index}" for index in range(size)], dtype=object)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.string, tags.input_tags.one_d_array, tags.input_tags.two_d_array = True, True, False
        return tags

    def _vectors(self, texts: Any) -> Floats:
        if not hasattr(self, "encoder_"):
            self.fit(texts)
        vectors: Floats = self.encoder_.encode(
            texts,
            normalize_embeddings=self.normalize_embeddings,
            truncate_dim=self.truncate_dim,
            prompt=self.prompt,
        )
        return vectors
