"""Sentence vectors, with the interface of sentence-transformers."""

import os
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..batching import packed
from ..checks import count, optional_count
from ..encoder import EncoderModel
from ..errors import ConfigError
from ..hub import Source
from ..progress import Bar
from ..texts import as_texts
from ..tokenization import Tokenizer
from .forwards import forwards
from .loading import load_parts
from .modules import SentenceModules, read_modules
from .transformer import choose_prompt
from .vectors import Floats, normalize, quantize, similarity


class SentenceEncoder:
    """Text to vectors. Made by `from_pretrained`; many threads may call one.

    model, tokenizer: the encoder and its tokenizer. prompts, default_prompt_name: texts put before every input.
    similarity_fn_name: what `similarity` computes. truncate_dim: numbers of a vector that are kept, or None.
    """

    def __init__(self, model: EncoderModel, tokenizer: Tokenizer, modules: SentenceModules | None = None) -> None:
        """From parts; without `modules` a vector is the mean of its token vectors."""
        self.model = model
        self.tokenizer = tokenizer
        self._modules = modules or SentenceModules()
        self._hidden = model.hidden_size
        self._vocabulary = model.vocabulary
        self.prompts = self._modules.prompts
        self.default_prompt_name = self._modules.default_prompt_name
        self.similarity_fn_name = self._modules.similarity
        self.truncate_dim = self._modules.truncate_dim
        if self._modules.dimension not in (None, self._hidden):
            raise ConfigError(
                f"Pooling is made for vectors of {self._modules.dimension} numbers, the model has {self._hidden}"
            )

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        *,
        device: Any = "cpu",
        num_threads: int | None = None,
        dtype: Any = None,
        truncate_dim: int | None = None,
        revision: str | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        token: str | bool | None = None,
        local_files_only: bool = False,
        force_download: bool = False,
        variant: str | None = None,
        mmap: bool = True,
        trust_remote_code: bool | None = None,
        task: str | None = None,
    ) -> "SentenceEncoder":
        """A sentence-transformers model of a folder or of the hub: Transformer, Pooling and Normalize modules, or
        StaticEmbedding in place of the first two (model2vec's files, too).

        device, num_threads, dtype, mmap, task: as for AutoModel. truncate_dim: see `encode`. trust_remote_code:
        ignored; code of a repository is never run. Without modules.json vectors are means of token vectors, or of a
        causal model the last ones, with a warning.
        A setting of the files that filbert does not know gives a warning. Raises ConfigError (for modules filbert
        does not have, too), WeightsError, InputError, DeviceError, OSError.
        """
        truncate_dim = optional_count("truncate_dim", truncate_dim)
        where: dict[str, Any] = {
            "cache_dir": cache_dir,
            "token": token,
            "local_files_only": local_files_only,
            "force_download": force_download,
        }
        source = Source(pretrained_model_name_or_path, revision=revision, **where)
        modules = read_modules(source)
        running = {"device": device, "num_threads": num_threads, "dtype": dtype, "variant": variant, "mmap": mmap}
        model, tokenizer = load_parts(source, modules, where, task=task, **running)
        if truncate_dim is not None:
            modules.truncate_dim = truncate_dim
        return cls(model, tokenizer, modules)

    def encode(
        self,
        texts: str | Iterable[str],
        batch_size: int | None = None,
        normalize_embeddings: bool | None = None,
        precision: str = "float32",
        truncate_dim: int | None = None,
        prompt: str | None = None,
        prompt_name: str | None = None,
        show_progress_bar: bool | None = None,
        convert_to_numpy: bool = True,
    ) -> Any:
        """The vectors of some texts: float32 [n, hidden] in their order, or [hidden] for a single string.

        texts: a string, or a sequence, an iterator, a Series or an array of strings; what is longer than
        `max_seq_length` tokens is cut. A vector is bit-identical whatever other texts it is computed with.
        In order: pooling, the model's own Normalize, truncate_dim, normalize_embeddings, precision.

        batch_size: texts in one forward at most; None lets a budget of tokens alone decide.
        normalize_embeddings: scale vectors to length 1; None and False leave them as the model makes them.
        precision: "float32", "int8", "uint8", "binary" or "ubinary"; see `filbert.sentence.vectors.quantize`.
        truncate_dim: keep the first numbers of each vector. None: as the model says.
        prompt, prompt_name: a text, or the name of one of `prompts`, put before every input.
        show_progress_bar: None shows one on a terminal if it takes over a second.
        convert_to_numpy: False returns a list of PyTorch tensors, as sentence-transformers does.
        Raises InputError and MemoryError.
        """
        single, inputs = as_texts("text", texts)
        prefix = self._prompt(prompt, prompt_name)
        batch_size = optional_count("batch_size", batch_size)
        truncate_dim = optional_count("truncate_dim", truncate_dim)
        dimension = self.truncate_dim if truncate_dim is None else truncate_dim
        scale = bool(normalize_embeddings)
        early = self._modules.normalize or (scale and dimension is None)
        vectors = self._vectors(inputs, prefix, early, batch_size, show_progress_bar)
        if dimension is not None:
            vectors = np.ascontiguousarray(vectors[:, :dimension])
            vectors = normalize(vectors) if scale else vectors
        result = quantize(vectors, precision)
        if not convert_to_numpy:
            import torch

            rows = list(torch.from_numpy(result))
            return rows[0] if single else rows
        return result[0] if single else result

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Floats:
        """Scores [n, m] of vectors [n, hidden] against vectors [m, hidden], by `similarity_fn_name`.

        "cosine", "dot", or the negative distances "euclidean" and "manhattan". Raises InputError.
        """
        return similarity(self.similarity_fn_name, embeddings1, embeddings2)

    def get_embedding_dimension(self) -> int:
        """How many numbers a vector has."""
        return self._hidden if self.truncate_dim is None else min(self._hidden, self.truncate_dim)

    get_sentence_embedding_dimension = get_embedding_dimension

    @property
    def max_seq_length(self) -> int:
        """Tokens of a text that are used, special ones included; the rest is cut."""
        return self.tokenizer.model_max_length

    @max_seq_length.setter
    def max_seq_length(self, tokens: int) -> None:
        self.tokenizer.model_max_length = count("max_seq_length", tokens, self.model.max_positions)

    @property
    def device(self) -> str:
        return self.model.device

    def __repr__(self) -> str:
        modules = self._modules
        return (
            f"SentenceEncoder({self.model!r}, {modules.pooling} pooling{', normalised' if modules.normalize else ''}, "
            f"max_seq_length={self.max_seq_length})"
        )

    def _prompt(self, prompt: str | None, prompt_name: str | None) -> str:
        prompt = choose_prompt(self.prompts, self.default_prompt_name, prompt, prompt_name)
        if prompt and not self._modules.include_prompt:
            raise ConfigError(
                f"{self.tokenizer.name_or_path}: its Pooling leaves prompts out (include_prompt is false), "
                "which filbert cannot do: pass prompt='' to encode without one"
            )
        return prompt

    def _vectors(self, texts: list[str], prefix: str, scale: bool, batch_size: int | None, show: bool | None) -> Floats:
        vectors = np.empty((len(texts), self._hidden), np.float32)

        def tokenize(some: list[str]) -> list[list[int]]:
            prefixed = [prefix + text for text in some]
            return self.tokenizer.truncated_ids(prefixed, self.max_seq_length, not self._modules.is_static)

        with Bar(len(texts), show, "Encoding") as bar:
            for indices, rows in forwards(texts, tokenize, batch_size):
                ids, bounds = packed(rows)
                if len(ids) and ids.max() >= self._vocabulary:
                    raise self.tokenizer.beyond(self._vocabulary, "text", indices, rows)
                vectors[indices] = self.model.embed(ids, bounds, self._modules.pooling, scale)
                bar.update(len(indices))
        return vectors
