"""The classes of the stand-in: filbert's, where programs look at the name of a class.

The name of this file is part of theirs: KeyBERT and BERTopic look for "sentence_transformers" in it, and take another
model in silence where they do not find it. And it is where a pickle finds them in a process without the stand-in.
"""

import os
from collections.abc import Sequence
from typing import Any

from .. import sentence
from ..errors import InputError
from .organizations import full_name


class StaticEmbedding:
    """The files of a static model, for `SentenceTransformer(modules=[...])`."""

    def __init__(self, name: str | os.PathLike[str]) -> None:
        self.name = name

    @classmethod
    def from_model2vec(cls, model_id_or_path: str | os.PathLike[str]) -> "StaticEmbedding":
        """Those of model2vec, of a folder or of the hub."""
        return cls(model_id_or_path)


class SentenceTransformer(sentence.SentenceEncoder):
    """A SentenceEncoder under the name that it has in sentence-transformers."""

    def __init__(
        self,
        model_name_or_path: str | os.PathLike[str] | None = None,
        *,
        modules: Sequence[StaticEmbedding] | None = None,
        **options: Any,
    ) -> None:
        """As SentenceEncoder. A name without a "/" is one of the organisation sentence-transformers.

        modules: one StaticEmbedding, in the place of a name. Raises InputError for any others, too.
        """
        if modules is not None:
            if model_name_or_path is not None or len(modules) != 1 or not isinstance(modules[0], StaticEmbedding):
                raise InputError("modules: found modules of PyTorch, expected a folder or a hub id in their place")
            super().__init__(modules[0].name, **options)
        elif model_name_or_path is None:
            raise InputError("model_name_or_path: found None, expected a folder or a hub id")
        else:
            super().__init__(full_name(model_name_or_path, "sentence-transformers"), **options)


class CrossEncoder(sentence.CrossEncoder):
    """A CrossEncoder that takes the names of models as sentence-transformers does."""

    def __init__(self, model_name_or_path: str | os.PathLike[str], *args: Any, **options: Any) -> None:
        """As filbert's. A name without a "/" is one of the organisation cross-encoder."""
        super().__init__(full_name(model_name_or_path, "cross-encoder"), *args, **options)


class SparseEncoder(sentence.SparseEncoder):
    """A SparseEncoder that takes the names of models as sentence-transformers does."""

    def __init__(self, model_name_or_path: str | os.PathLike[str], **options: Any) -> None:
        """As filbert's. A name without a "/" is one of the organisation sparse-encoder."""
        super().__init__(full_name(model_name_or_path, "sparse-encoder"), **options)
