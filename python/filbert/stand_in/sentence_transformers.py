"""The classes of the stand-in: filbert's, where programs look at the name of a class.

The name of this file is part of theirs: KeyBERT and BERTopic look for "sentence_transformers" in it, and take another
model in silence where they do not find it. And it is where a pickle finds them in a process without the stand-in.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from .. import sentence
from ..errors import ConfigError, InputError
from ..sentence import multi_vector_encoder
from ..sentence.chain import Chain
from ..sentence.transformer import meaningful, merged_prompts
from .organizations import full_name


class StaticEmbedding:
    """The table of a static model's files, for `SentenceTransformer(modules=[...])`."""

    def __init__(self, name: str | os.PathLike[str]) -> None:
        self.name = name

    @classmethod
    def from_model2vec(cls, model_id_or_path: str | os.PathLike[str]) -> "StaticEmbedding":
        """That of model2vec's files, of a folder or of the hub."""
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


class MultiVectorEncoder(multi_vector_encoder.MultiVectorEncoder):
    """A MultiVectorEncoder that is made by its name, as in sentence-transformers."""

    def __init__(
        self,
        model_name_or_path: str | os.PathLike[str],
        *,
        device: Any = None,
        prompts: Mapping[str, str | None] | None = None,
        default_prompt_name: str | None = None,
        cache_folder: str | os.PathLike[str] | None = None,
        model_kwargs: Mapping[str, Any] | None = None,
        processor_kwargs: Mapping[str, Any] | None = None,
        config_kwargs: Mapping[str, Any] | None = None,
        backend: str = "torch",
        similarity_fn_name: Any = None,
        **where: Any,
    ) -> None:
        """As filbert's `from_pretrained`. The name is as it is: these models have no organisation of their own.

        Args:
            device: None is the CPU.
            prompts, default_prompt_name, similarity_fn_name: over those of the files.
            cache_folder: its cache_dir. where: its revision, token, local_files_only and trust_remote_code.
            model_kwargs: its dtype, num_threads, variant, mmap and force_download.
            processor_kwargs, config_kwargs: nothing that changes what the files say.
            backend: "torch", which here means filbert's engine.

        Raises:
            InputError: a keyword that filbert cannot honour.
            ConfigError, WeightsError, DeviceError, OSError, MemoryError: see `from_pretrained`.
        """
        if backend != "torch":
            raise InputError(f"backend: found {backend!r}, expected 'torch': filbert has an engine of its own")
        for name, keywords in (("processor_kwargs", processor_kwargs), ("config_kwargs", config_kwargs)):
            if unknown := meaningful(keywords):
                raise InputError(
                    f"{name}: found {', '.join(unknown)}: of these models filbert takes what the files say"
                )
        running = meaningful(model_kwargs, keep=("dtype", "torch_dtype"))
        if "torch_dtype" in running:
            running.setdefault("dtype", running.pop("torch_dtype"))
        device = "cpu" if device is None else device
        self._take(model_name_or_path, device=device, cache_dir=cache_folder, **where, **running)
        self.prompts = merged_prompts(self.prompts, prompts)
        if default_prompt_name is not None:
            if default_prompt_name not in self.prompts:
                raise ConfigError(
                    f"{model_name_or_path}: default_prompt_name: found {default_prompt_name!r}, which is none of the "
                    f"prompts: {', '.join(self.prompts)}"
                )
            self.default_prompt_name = default_prompt_name
        if similarity_fn_name is not None:
            self.similarity_fn_name = getattr(similarity_fn_name, "value", similarity_fn_name)

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], **options: Any
    ) -> "MultiVectorEncoder":
        """As filbert's."""
        encoder = cls.__new__(cls)
        encoder._take(pretrained_model_name_or_path, **options)
        return encoder

    def _take(self, name_or_path: str | os.PathLike[str], **options: Any) -> None:
        """Becomes what filbert's `from_pretrained` gives."""
        self.__dict__.update(vars(multi_vector_encoder.MultiVectorEncoder.from_pretrained(name_or_path, **options)))
