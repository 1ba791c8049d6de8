"""The classes of the stand-in: filbert's, where programs look at the name of a class.

The name of this file is part of theirs: KeyBERT and BERTopic look for "sentence_transformers" in it, and take another
model in silence where they do not find it. And it is where a pickle finds them in a process without the stand-in.
"""

import os
from collections.abc import Sequence
from typing import Any

from .. import tokenization
from ..errors import ConfigError, InputError
from ..sentence import cross_encoder, encoder, multi_vector_encoder, sparse_encoder
from ..sentence.chain import Chain
from ..sentence.older_names import older_names
from .organizations import full_name


class StaticEmbedding:
    """The table of a static model's files, for `SentenceTransformer(modules=[...])`."""

    def __init__(self, name: str | os.PathLike[str]) -> None:
        self.name = name

    @classmethod
    def from_model2vec(cls, model_id_or_path: str | os.PathLike[str]) -> "StaticEmbedding":
        """That of model2vec's files, of a folder or of the hub."""
        return cls(model_id_or_path)


class Tokenizer(tokenization.Tokenizer):
    """A Tokenizer under a name that has "transformers" in it: chonkie looks for that, too."""


class SentenceTransformer(encoder.SentenceEncoder):
    """A SentenceEncoder under the name that it has in sentence-transformers."""

    def __init__(
        self,
        model_name_or_path: str | os.PathLike[str] | None = None,
        *,
        modules: Sequence[StaticEmbedding] | None = None,
        **options: Any,
    ) -> None:
        """As SentenceEncoder. A name without a "/" is one of the organisation sentence-transformers.

        modules: one StaticEmbedding, in the place of a name. What its files list after the table, such as Normalize, is
            left out.

        Raises InputError for any other modules, ConfigError for a StaticEmbedding that is none, and what that raises.
        """
        if modules is not None:
            if model_name_or_path is not None or len(modules) != 1 or not isinstance(modules[0], StaticEmbedding):
                raise InputError("modules: found modules of PyTorch, expected a folder or a hub id in their place")
            super().__init__(modules[0].name, **options)
            self._keep_table()
        elif model_name_or_path is None:
            raise InputError("model_name_or_path: found None, expected a folder or a hub id")
        else:
            super().__init__(full_name(model_name_or_path, "sentence-transformers"), **options)
        for tokenizer in self._tokenizers().values():
            tokenizer.__class__ = Tokenizer

    @classmethod
    def _load(cls, name: str, **keywords: Any) -> Any:
        return cls(None if "modules" in keywords else name, **keywords)

    def _keep_table(self) -> None:
        """Leaves out all modules but the first."""
        reference = self._reference or {}
        entries = self._first.entries[:1]
        if entries[0][0] != "StaticEmbedding":
            raise ConfigError(f"{reference['name']}: found {entries[0][0]}, expected a table of vectors of tokens")
        self._modules.entries = [*entries]
        self._first = Chain(entries, self.model, self.tokenizer, None, [], self._cuts)
        self._chains = {None: self._first}
        self._reference = {**reference, "modules": [StaticEmbedding(reference["name"])]}


class CrossEncoder(cross_encoder.CrossEncoder):
    """A CrossEncoder that takes the names of models as sentence-transformers does."""

    @older_names(model_name="model_name_or_path")
    def __init__(self, model_name_or_path: str | os.PathLike[str], *args: Any, **options: Any) -> None:
        """As filbert's. A name without a "/" is one of the organisation cross-encoder."""
        super().__init__(full_name(model_name_or_path, "cross-encoder"), *args, **options)


class SparseEncoder(sparse_encoder.SparseEncoder):
    """A SparseEncoder that takes the names of models as sentence-transformers does."""

    def __init__(self, model_name_or_path: str | os.PathLike[str], **options: Any) -> None:
        """As filbert's. A name without a "/" is one of the organisation sparse-encoder."""
        super().__init__(full_name(model_name_or_path, "sparse-encoder"), **options)


class MultiVectorEncoder(multi_vector_encoder.MultiVectorEncoder):
    """A MultiVectorEncoder that is made by its name alone, as in sentence-transformers."""

    def __init__(self, model_name_or_path: str | os.PathLike[str], **options: Any) -> None:
        """As filbert's. The name is as it is: these models have no organisation of their own."""
        super().__init__(model_name_or_path, **options)
