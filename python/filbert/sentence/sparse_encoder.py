"""Sparse vectors of texts, with the interface of sentence-transformers' SparseEncoder."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from ..checks import count, optional_count
from ..encoding import BatchEncoding
from ..errors import InputError
from ..hub import Source
from ..pickling import Referable
from ..progress import Bar
from ..tasks import ForMaskedLM
from ..texts import as_texts
from ..tokenization import NO_LIMIT, Tokenizer
from . import sparse_saving, sparse_similarity
from .alike import alike
from .encoder_habits import EncoderHabits, ModelCardData
from .modules import SIMILARITIES
from .older_names import older_names
from .sparse import SparseVector, SparseVectors, as_tensors, as_vectors
from .sparse_modules import read_sparse_modules
from .sparse_routes import Route, load_routes
from .transformer import check_default_prompt, choose_prompt, meaningful, merged_prompts, prompt_for, refuse_backend


class SparseEncoder(Referable, EncoderHabits):
    """Text to vectors over a vocabulary, in which few words have a weight; many threads may call one.

    prompts, default_prompt_name: texts put before every input. max_active_dims: how many weights a vector keeps at
    most, or None.
    """

    _settings: ClassVar[tuple[str, ...]] = (
        *("prompts", "default_prompt_name", "similarity_fn_name", "max_active_dims"),
    )

    @older_names(tokenizer_kwargs="processor_kwargs", use_auth_token="token")
    def __init__(
        self,
        model_name_or_path: str | os.PathLike[str],
        *,
        device: Any = None,
        num_threads: int | None = None,
        dtype: Any = None,
        prompts: Mapping[str, str | None] | None = None,
        default_prompt_name: str | None = None,
        similarity_fn_name: str | None = None,
        max_active_dims: int | None = None,
        revision: str | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        cache_folder: str | os.PathLike[str] | None = None,
        token: str | bool | None = None,
        local_files_only: bool = False,
        force_download: bool = False,
        variant: str | None = None,
        mmap: bool = True,
        trust_remote_code: bool | None = None,
        model_kwargs: Mapping[str, Any] | None = None,
        processor_kwargs: Mapping[str, Any] | None = None,
        config_kwargs: Mapping[str, Any] | None = None,
        model_card_data: Any = None,
        backend: str = "torch",
    ) -> None:
        """Loads a sparse sentence-transformers model of a folder or of the hub.

        That is Transformer (for masked words) or MLMTransformer with SpladePooling, SparseStaticEmbedding, a Router
        between such, each with a Normalize or without; or a model for masked words without modules.json.

        Args:
            device, num_threads, dtype, mmap: as for AutoModel; no device is the CPU.
            prompts, default_prompt_name, similarity_fn_name, max_active_dims: in place of what the files say; of the
                prompts, those that are given.
            trust_remote_code: ignored; code of a repository is never run.
            revision, cache_dir or cache_folder, token, local_files_only, force_download, variant: where files are.
            model_kwargs: other keywords for the model's `from_pretrained`, or these under its names. Those that choose
                kernels or a library change nothing here.
            processor_kwargs: replace keys of the tokenizer_config.json of a Transformer. config_kwargs: replace
                attributes of its configuration.
            model_card_data: what evaluators leave their results in; None: a list of them.
            backend: "torch", which here means filbert's engine.

        Raises:
            ConfigError (for modules filbert does not have, too), WeightsError (for a model that cannot tell masked
            words, too), InputError, DeviceError, OSError.
        """
        refuse_backend(backend)
        running: dict[str, Any] = {"num_threads": num_threads, "dtype": dtype, "variant": variant, "mmap": mmap}
        running |= meaningful(model_kwargs, keep=("dtype", "torch_dtype", "use_safetensors"))
        where: dict[str, Any] = {"cache_dir": cache_folder if cache_dir is None else cache_dir, "token": token}
        where["local_files_only"] = local_files_only
        where["force_download"] = running.pop("force_download", force_download)
        source = Source(model_name_or_path, revision=revision, **where)
        self._modules = read_sparse_modules(source)
        replaced = {"processor_kwargs": meaningful(processor_kwargs), "config_kwargs": meaningful(config_kwargs)}
        self._modules.override(*replaced.values())
        settings = self._modules.settings
        self.prompts = merged_prompts(settings.prompts, prompts)
        self.default_prompt_name = settings.default_prompt_name if default_prompt_name is None else default_prompt_name
        check_default_prompt(source.name, self.default_prompt_name, self.prompts)
        self.similarity_fn_name = settings.similarity if similarity_fn_name is None else similarity_fn_name
        self.max_active_dims = optional_count("max_active_dims", max_active_dims) or settings.max_active_dims
        where["revision"] = source.revision
        device = "cpu" if device is None else device
        self._routes = load_routes(source, self._modules, where, device=device, **running)
        self._size = max(route.size for route in self._routes.values())
        self.model_card_data = ModelCardData() if model_card_data is None else model_card_data
        self._refer_to(source.name, {**where, "device": device, "model_kwargs": running, **replaced})

    @classmethod
    def from_pretrained(cls, model_name_or_path: str | os.PathLike[str], **options: Any) -> "SparseEncoder":
        """The same as `SparseEncoder(model_name_or_path, **options)`."""
        return cls(model_name_or_path, **options)

    def encode(
        self,
        inputs: str | Iterable[str] | None = None,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int | None = 32,
        show_progress_bar: bool | None = None,
        convert_to_tensor: bool | None = None,
        convert_to_sparse_tensor: bool = True,
        save_to_cpu: bool = False,
        device: Any = None,
        max_active_dims: int | None = None,
        pool: dict[str, Any] | None = None,
        chunk_size: int | None = None,
        *,
        task: str | None = None,
        sentences: str | Iterable[str] | None = None,
        texts: str | Iterable[str] | None = None,
    ) -> Any:
        """The vectors of some texts, in their order. One is bit-identical whatever other texts it is computed with.

        Args:
            inputs: A string, or a sequence, an iterator, a Series or an array of strings; what is longer than
                `max_seq_length` tokens is cut. `sentences` and `texts` are other names of it.
            prompt, prompt_name: A text, or the name of one of `prompts`, put before every input.
            batch_size: Texts in one forward at most, and of 8 MB of logits; None lets memory alone decide.
            show_progress_bar: None shows one on a terminal if it takes over a second.
            convert_to_tensor: None gives filbert's own vectors, without PyTorch. What sentence-transformers gives
                comes with True, one tensor for all, and with False, a list of tensors.
            convert_to_sparse_tensor: False gives dense arrays or tensors.
            save_to_cpu: True gives tensors in the memory of the CPU even if the model is not there: without
                convert_to_tensor one tensor, as evaluators of sentence-transformers expect.
            device: None, or where the model is moved to first; a list of its own device changes nothing.
            max_active_dims: Keep so many of the largest weights of each vector; None: as the model says.
            pool, chunk_size: Change nothing; see `start_multi_process_pool`.
            task: Which route a Router takes ("query", "document"); without one it changes nothing.

        Returns:
            SparseVectors [n, vocabulary], or a SparseVector [vocabulary] for a single string; see
            `convert_to_tensor`. No texts give [0, vocabulary], other than in sentence-transformers.

        Raises:
            InputError, MemoryError.
        """
        single, listed = as_texts("text", _given({"inputs": inputs, "sentences": sentences, "texts": texts}))
        prefix = choose_prompt(self.prompts, self.default_prompt_name, prompt, prompt_name)
        batch_size = optional_count("batch_size", batch_size)
        most = optional_count("max_active_dims", max_active_dims) or self.max_active_dims
        route = self._route(task)
        if device is not None:
            self._move(device)
        found: list[Any] = [None] * len(listed)
        with Bar(len(listed), show_progress_bar, "Encoding") as bar:
            for index, vector in route.vectors([prefix + text for text in listed], batch_size):
                found[index] = replace(vector.largest(most), size=self._size)  # another route may have more
                bar.update(1)
        vectors = found[0] if single else SparseVectors.from_rows(found, self._size)
        if convert_to_tensor is None and not save_to_cpu:
            return vectors if convert_to_sparse_tensor else vectors.toarray()
        place = "cpu" if save_to_cpu else self.device
        return as_tensors(vectors, convert_to_tensor is not False, convert_to_sparse_tensor, place)

    def encode_query(
        self,
        inputs: str | Iterable[str] | None = None,
        prompt_name: str | None = None,
        prompt: str | None = None,
        *others: Any,
        **named: Any,
    ) -> Any:
        """As `encode`, of texts that are looked for: the prompt "query", and that route of a Router."""
        name = prompt_for("query", self.prompts, prompt_name, prompt)
        return self.encode(inputs, name, prompt, *others, **named, task="query")

    def encode_document(
        self,
        inputs: str | Iterable[str] | None = None,
        prompt_name: str | None = None,
        prompt: str | None = None,
        *others: Any,
        **named: Any,
    ) -> Any:
        """As `encode`, of texts to find: the prompt "document", "passage" or "corpus", and that route."""
        name = prompt_for("document", self.prompts, prompt_name, prompt)
        return self.encode(inputs, name, prompt, *others, **named, task="document")

    def preprocess(
        self, inputs: Any, prompt: str | None = None, task: str | None = None, **options: Any
    ) -> BatchEncoding:
        """The ids and the mask of texts as the model gets them: int64 [n, tokens], filled up to the longest.

        Args:
            inputs: As for `encode`. prompt: A text put before each.
            task: Which route a Router takes.
            options: Of the tokenizer's call, such as return_tensors="pt".

        Raises:
            InputError.
        """
        route = self._route(task)
        cuts = route.tokenizer.model_max_length < NO_LIMIT
        given = {"padding": True, "truncation": cuts, "return_tensors": "np"}
        given["add_special_tokens"] = route.model is not None  # a table has no weights for them
        if prompt:
            inputs = [prompt + text for text in as_texts("text", inputs)[1]]
        return route.tokenizer(inputs, **{**given, **options})

    def tokenize(self, texts: Any, **options: Any) -> BatchEncoding:
        """The older name of `preprocess`."""
        return self.preprocess(texts, **options)

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Scores float32 [n, m] of n vectors with m others, by `similarity_fn_name`.

        Vectors are what `encode` returns in any form, dense or SciPy's arrays, or lists of vectors. Tensors give a
        dense tensor on their device, anything else NumPy. Raises InputError.
        """
        scores = sparse_similarity.similarity(self.similarity_fn_name, embeddings1, embeddings2)
        return alike(scores, embeddings1, embeddings2)

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Scores float32 [n] of n vectors, each with the one at its place among n others; see `similarity`."""
        scores = sparse_similarity.similarity_pairwise(self.similarity_fn_name, embeddings1, embeddings2)
        return alike(scores, embeddings1, embeddings2)

    @staticmethod
    def intersection(embeddings_1: Any, embeddings_2: Any) -> SparseVector | SparseVectors:
        """The words that a vector shares with another, or with each of some, with the products of their weights.

        Raises InputError.
        """
        return sparse_similarity.intersection(embeddings_1, embeddings_2)

    @staticmethod
    def sparsity(embeddings: Any) -> dict[str, float]:
        """On average, how many numbers are not zero ("active_dims"), and the share of zeros ("sparsity_ratio").

        Raises InputError.
        """
        return sparse_similarity.sparsity(embeddings)

    def decode(self, embeddings: Any, top_k: int | None = None) -> Any:
        """The words of a vector with their weights, the largest first.

        Args:
            embeddings: A vector, or some, as for `similarity`.
            top_k: So many words at most; None: all of them.

        Returns:
            A list of (token, weight) for a single vector, else a list of such lists.

        Raises:
            InputError.
        """
        top_k = optional_count("top_k", top_k)
        single, vectors = as_vectors("embeddings", embeddings)
        decoded = []
        for vector in vectors:
            order = np.argsort(-vector.data, kind="stable")[:top_k]
            tokens = self.tokenizer.convert_ids_to_tokens(vector.indices[order])
            decoded.append(list(zip(tokens, vector.data[order].tolist(), strict=True)))
        return decoded[0] if single else decoded

    def get_embedding_dimension(self) -> int:
        """How many numbers a vector has, zeros included: the vocabulary."""
        return self._size

    get_sentence_embedding_dimension = get_embedding_dimension

    @property
    def similarity_fn_name(self) -> str:
        """What `similarity` computes: "dot", "cosine", or the negative distances "euclidean" and "manhattan"."""
        return self._similarity

    @similarity_fn_name.setter
    def similarity_fn_name(self, name: str) -> None:
        name = getattr(name, "value", name)  # of sentence-transformers' SimilarityFunction
        if name not in SIMILARITIES:
            raise InputError(f"similarity_fn_name: found {name!r:.100}, expected one of {', '.join(SIMILARITIES)}")
        self._similarity = name

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer; where a Router has several, the first."""
        return next(iter(self._routes.values())).tokenizer

    @property
    def max_seq_length(self) -> int:
        """Tokens of a text that are used, special ones included; the rest is cut. Of several routes the largest."""
        return max(route.tokenizer.model_max_length for route in self._routes.values())

    @max_seq_length.setter
    def max_seq_length(self, tokens: int) -> None:
        longest = [model.max_tokens for model in self._models()]
        tokens = count("max_seq_length", tokens, min(longest, default=None))
        for route in self._routes.values():
            route.tokenizer.model_max_length = tokens

    @property
    def device(self) -> str:
        """Where the model is; a table of weights is on the CPU."""
        return next((model.device for model in self._models()), "cpu")

    def __repr__(self) -> str:
        routes = ", ".join(f"{name}: {route!r}" if name else repr(route) for name, route in self._routes.items())
        return f"SparseEncoder({routes}, max_seq_length={self.max_seq_length})"

    def _tokenizers(self) -> dict[str, Tokenizer]:
        return {name: route.tokenizer for name, route in self._routes.items()}

    def _now(self) -> dict[str, Any]:
        options = {**(self._reference or {}).get("model_kwargs", {})}
        if models := self._models():
            options["dtype"] = models[0].dtype
        return {"device": self.device, "model_kwargs": options}

    def _route(self, task: str | None) -> Route:
        return self._routes[self._modules.route_name(task)]

    def _save(self, folder: str) -> None:
        settings = {
            "prompts": self.prompts,
            "default_prompt_name": self.default_prompt_name,
            "similarity_fn_name": self.similarity_fn_name,
            **({} if self.max_active_dims is None else {"max_active_dims": self.max_active_dims}),
        }
        sparse_saving.save(folder, self._modules, self._routes, settings)

    def _models(self) -> list[ForMaskedLM]:
        return [route.model for route in self._routes.values() if route.model is not None]


def _given(values: dict[str, Any]) -> Any:
    """The texts, by whichever name they were given."""
    given = {name: value for name, value in values.items() if value is not None}
    if len(given) > 1:
        raise InputError(f"found {' and '.join(given)}, which are names of the same")
    return next(iter(given.values()), None)
