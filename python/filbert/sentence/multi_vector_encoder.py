"""Vectors of late interaction, with the interface of sentence-transformers."""

import os
import warnings
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np

from ..batching import packed
from ..checks import count, optional_count
from ..encoder import EncoderModel
from ..errors import InputError
from ..hub import Source
from ..pickling import LoadedByName
from ..progress import Bar
from ..texts import as_texts
from ..tokenization import Tokenizer
from . import multi_vector_saving
from .alike import alike
from .encoder_habits import EncoderHabits, ModelCardData
from .forwards import forwards
from .loading import load_parts
from .maxsim import SCORES, pair_scores, scores
from .multi_vector_modules import read_multi_vector
from .multi_vector_settings import MultiVectorModules
from .multi_vector_tokens import TASKS, MultiVectorTokens, Row
from .steps import Normalize
from .transformer import check_default_prompt, choose_prompt, meaningful, merged_prompts, prompt_for, refuse_backend
from .vectors import Floats, normalize


class MultiVectorEncoder(LoadedByName, EncoderHabits):
    """Text to a vector for each token, for scores of late interaction (ColBERT). Many threads may call one.

    model, tokenizer: the encoder and its tokenizer. prompts, default_prompt_name: texts put before every input.
    similarity_fn_name: what `similarity` computes, "maxsim" or "meanmaxsim". convert_to_tensor: whether `encode` gives
    tensors of PyTorch where a call does not say, as evaluators of sentence-transformers expect; at first False.
    """

    convert_to_tensor = False
    _settings: ClassVar[tuple[str, ...]] = (
        *("prompts", "default_prompt_name", "similarity_fn_name", "convert_to_tensor"),
    )

    def __init__(
        self,
        model: EncoderModel | str | os.PathLike[str],
        tokenizer: Tokenizer | None = None,
        modules: MultiVectorModules | None = None,
        **options: Any,
    ) -> None:
        """By name, or from parts.

        Args:
            model: the name of a folder or of the hub; or an encoder.
            tokenizer, modules: of an encoder; without `modules` the vectors are its token vectors, of length 1.
            options: of a name, those of the other encoders' classes:
                device: None is the CPU.
                prompts, default_prompt_name, similarity_fn_name: over those of the files.
                cache_folder: the cache_dir of `from_pretrained`. revision, token, local_files_only,
                    trust_remote_code: its own.
                model_kwargs: its dtype, num_threads, variant, mmap and force_download.
                processor_kwargs, config_kwargs: nothing that changes what the files say.
                model_card_data: what evaluators leave their results in; None: a list of them.
                backend: "torch", which here means filbert's engine.

        Raises:
            InputError: a keyword that filbert cannot honour.
            ConfigError: parts that do not fit.
            ConfigError, WeightsError, DeviceError, OSError, MemoryError: see `from_pretrained`.
            TypeError: a name together with parts, or a part that is missing.
        """
        if isinstance(model, str | os.PathLike) and tokenizer is None and modules is None:
            self._open(model, **options)
        elif isinstance(model, str | os.PathLike) or tokenizer is None or options:
            raise TypeError("MultiVectorEncoder: expected a name and keywords for it, or a model and its tokenizer")
        else:
            self._assemble(model, tokenizer, modules)

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        *,
        device: Any = "cpu",
        num_threads: int | None = None,
        dtype: Any = None,
        revision: str | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        token: str | bool | None = None,
        local_files_only: bool = False,
        force_download: bool = False,
        variant: str | None = None,
        mmap: bool = True,
        trust_remote_code: bool | None = None,
    ) -> "MultiVectorEncoder":
        """A model of late interaction of a folder or of the hub, of any of three formats.

        These are the MultiVectorEncoder of sentence-transformers, PyLate's ColBERT and Stanford's ColBERT, all with
        the vectors that sentence-transformers 6.2 gives of them.

        Args:
            device, num_threads, dtype, mmap and those of the hub: as for `AutoModel.from_pretrained`. The projection
                of token vectors is float32 on the CPU.
            trust_remote_code: ignored; code of a repository is never run.

        Raises:
            ConfigError: a setting or a module of the files that filbert does not have, or no projection.
            WeightsError, InputError, DeviceError, OSError, MemoryError: see `AutoModel.from_pretrained`.
        """
        hub: dict[str, Any] = {
            "cache_dir": cache_dir,
            "token": token,
            "local_files_only": local_files_only,
            "force_download": force_download,
        }
        source = Source(pretrained_model_name_or_path, revision=revision, variant=variant, **hub)
        modules = read_multi_vector(source)
        running = {"device": device, "num_threads": num_threads, "dtype": dtype, "variant": variant, "mmap": mmap}
        with warnings.catch_warnings():
            # Stanford's projection, which is among the tensors of the encoder, has been read.
            warnings.filterwarnings("ignore", r".* does not use these tensors of .*: linear\.weight\. ")
            model, tokenizer = load_parts(source, modules, hub, **running)
        encoder = cls.__new__(cls)
        encoder._assemble(model, tokenizer, modules)
        encoder._refer_to(source.name, {**hub, **running, "revision": source.revision})
        return encoder

    def encode(
        self,
        inputs: str | Iterable[str],
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
        output_value: str = "token_embeddings",
        convert_to_numpy: bool | None = None,
        device: Any = None,
        normalize_embeddings: bool = False,
        pool: dict[str, Any] | None = None,
        chunk_size: int | None = None,
        token_pooling: None = None,
        task: str | None = None,
        *,
        convert_to_tensor: bool | None = None,
    ) -> Any:
        """The token vectors of some texts: a list of float32 [tokens, width] in their order, or one for one string.

        `encode_query` and `encode_document` are what retrieval wants: they choose the prompt and the task. A vector is
        bit-identical whatever other texts it is computed with.

        Args:
            inputs: a string, or a sequence, an iterator, a Series or an array of strings.
            prompt_name, prompt: the name of one of `prompts`, or a text, put before every input.
            batch_size: texts in one forward at most; None lets a budget of tokens alone decide.
            show_progress_bar: None shows one on a terminal if it takes over a second.
            output_value: "token_embeddings".
            convert_to_numpy, convert_to_tensor: False, or True, gives PyTorch tensors. None and None: as
                `self.convert_to_tensor` says.
            device: None, or where the model is moved to first; a list of its own device changes nothing.
            normalize_embeddings: scale each vector to length 1, where the model does not.
            pool, chunk_size: change nothing; see `start_multi_process_pool`.
            token_pooling: None: no vectors are merged.
            task: "query", "document", or None, which cuts neither to the length of queries nor of documents.

        Returns:
            As above, without the vectors of tokens that the model leaves out, such as punctuation of documents. What is
            longer than the task allows is cut.

        Raises:
            InputError: an input that is no text, with its number; a keyword that filbert cannot honour.
            MemoryError: as it says.
        """
        single, texts = as_texts("text", inputs)
        if output_value != "token_embeddings":
            raise InputError(f"output_value: found {output_value!r}, expected 'token_embeddings'")
        if token_pooling is not None:
            raise InputError(f"token_pooling: found {token_pooling!r:.100}, expected None: filbert has no such thing")
        if task not in (None, *TASKS):
            raise InputError(f"task: found {task!r}, expected one of {', '.join(TASKS)} or None")
        prefix = choose_prompt(self.prompts, self.default_prompt_name, prompt, prompt_name)
        batch_size = optional_count("batch_size", batch_size)
        if device is not None:
            self._move(device)
        vectors: list[Any] = self._vectors([prefix + text for text in texts], task, batch_size, show_progress_bar)
        if normalize_embeddings:
            vectors = [normalize(rows) for rows in vectors]
        if convert_to_tensor is None:
            convert_to_tensor = self.convert_to_tensor if convert_to_numpy is None else False
        if convert_to_tensor or convert_to_numpy is False:
            import torch

            vectors = [torch.from_numpy(rows) for rows in vectors]
        return vectors[0] if single else vectors

    def encode_query(
        self,
        inputs: str | Iterable[str],
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
        **options: Any,
    ) -> Any:
        """`encode` for what is searched for: with the prompt "query", if none is given, and the task "query".

        A query is filled up with mask tokens if the model does that, and they have vectors, too.
        """
        name = prompt_for("query", self.prompts, prompt_name, prompt)
        return self.encode(inputs, name, prompt, batch_size, show_progress_bar, task="query", **options)

    def encode_document(
        self,
        inputs: str | Iterable[str],
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
        **options: Any,
    ) -> Any:
        """`encode` for what is searched, with the task "document".

        Without a prompt it takes the first that there is of "document", "passage" and "corpus".
        """
        name = prompt_for("document", self.prompts, prompt_name, prompt)
        return self.encode(inputs, name, prompt, batch_size, show_progress_bar, task="document", **options)

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Scores [n, m] of n queries against m documents, by `similarity_fn_name`.

        Args:
            embeddings1, embeddings2: what `encode_query` and `encode_document` return: a list of arrays
                [tokens, width], or one of them. An array [n, tokens, width] is taken too. In both of these, which
                are in no list, rows of zeros are padding.

        Returns:
            For each vector of the query the largest product with one of the document, added up ("maxsim") or their
            mean ("meanmaxsim"). A document without vectors gets about -1e9. float32: a tensor on their device for
            tensors or a list of them, else a NumPy array.

        Raises:
            InputError: shapes that do not fit.
        """
        found = scores(self.similarity_fn_name, embeddings1, embeddings2, self.model.num_threads)
        return alike(found, embeddings1, embeddings2)

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Scores [n] of each query with the document of the same number; see `similarity`."""
        return alike(pair_scores(self.similarity_fn_name, embeddings1, embeddings2), embeddings1, embeddings2)

    @property
    def similarity_fn_name(self) -> str:
        return self._similarity_fn_name

    @similarity_fn_name.setter
    def similarity_fn_name(self, name: str) -> None:
        name = getattr(name, "value", name)  # of sentence-transformers' SimilarityFunction
        if name not in SCORES:
            raise InputError(f"similarity_fn_name: found {name!r}, expected one of {', '.join(SCORES)}")
        self._similarity_fn_name = name

    def get_embedding_dimension(self) -> int:
        """How many numbers a vector has."""
        return self._dimension

    @property
    def query_length(self) -> int:
        """Tokens of a query that are used, special ones included; the rest is cut."""
        return self._tokens.limit("query")

    @property
    def document_length(self) -> int:
        """Tokens of a document that are used, special ones included; the rest is cut."""
        return self._tokens.limit("document")

    @property
    def max_seq_length(self) -> int:
        """Tokens that are used of a text that is neither query nor document, or of which the files say no length."""
        return self.tokenizer.model_max_length

    @max_seq_length.setter
    def max_seq_length(self, tokens: int) -> None:
        self.tokenizer.model_max_length = count("max_seq_length", tokens, self.model.max_tokens)

    @property
    def device(self) -> str:
        return self.model.device

    def __repr__(self) -> str:
        return (
            f"MultiVectorEncoder({self.model!r}, vectors of {self._dimension}, query_length={self.query_length}, "
            f"document_length={self.document_length})"
        )

    def _save(self, folder: str) -> None:
        settings = {
            "prompts": self.prompts,
            "default_prompt_name": self.default_prompt_name,
            "similarity_fn_name": self.similarity_fn_name,
        }
        multi_vector_saving.save(folder, self._modules, self.model, self.tokenizer, settings)

    def _models(self) -> list[EncoderModel]:
        return [self.model]

    def _assemble(self, model: EncoderModel, tokenizer: Tokenizer, modules: MultiVectorModules | None) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self._modules = modules or MultiVectorModules(steps=[Normalize()])
        self._dimension = self._modules.dimension(model.hidden_size)
        self._tokens = MultiVectorTokens(tokenizer, self._modules, model)
        self.prompts = self._modules.prompts
        self.default_prompt_name = self._modules.default_prompt_name
        self.similarity_fn_name = self._modules.similarity
        self.model_card_data: Any = ModelCardData()

    def _open(
        self,
        name: str | os.PathLike[str],
        *,
        device: Any = None,
        prompts: Mapping[str, str | None] | None = None,
        default_prompt_name: str | None = None,
        cache_folder: str | os.PathLike[str] | None = None,
        model_kwargs: Mapping[str, Any] | None = None,
        processor_kwargs: Mapping[str, Any] | None = None,
        config_kwargs: Mapping[str, Any] | None = None,
        model_card_data: Any = None,
        backend: str = "torch",
        similarity_fn_name: Any = None,
        **where: Any,
    ) -> None:
        """Becomes what `from_pretrained` gives, with what a caller sets over it."""
        refuse_backend(backend)
        for argument, keywords in (("processor_kwargs", processor_kwargs), ("config_kwargs", config_kwargs)):
            if unknown := meaningful(keywords):
                raise InputError(
                    f"{argument}: found {', '.join(unknown)}: of these models filbert takes what the files say"
                )
        running = meaningful(model_kwargs, keep=("dtype", "torch_dtype"))
        if "torch_dtype" in running:
            running.setdefault("dtype", running.pop("torch_dtype"))
        device = "cpu" if device is None else device
        loaded = self.from_pretrained(name, device=device, cache_dir=cache_folder, **where, **running)
        self.__dict__.update(vars(loaded))
        self.prompts = merged_prompts(self.prompts, prompts)
        if default_prompt_name is not None:
            check_default_prompt(os.fspath(name), default_prompt_name, self.prompts)
            self.default_prompt_name = default_prompt_name
        if similarity_fn_name is not None:
            self.similarity_fn_name = similarity_fn_name
        if model_card_data is not None:
            self.model_card_data = model_card_data

    def _vectors(self, texts: list[str], task: str | None, batch_size: int | None, show: bool | None) -> list[Floats]:
        vectors: list[Floats] = [np.empty((0, self._dimension), np.float32)] * len(texts)

        def tokenize(numbers: list[int]) -> list[Row]:
            return self._tokens.rows([texts[index] for index in numbers], task)

        with Bar(len(texts), show, "Encoding") as bar:
            for indices, rows in forwards(texts, tokenize, batch_size):
                for index, found in zip(indices, self._run(indices, rows), strict=True):
                    vectors[index] = found
                bar.update(len(indices))
        return vectors

    def _run(self, indices: list[int], rows: list[Row]) -> list[Floats]:
        """The vectors of the texts of these numbers."""
        ids, bounds = packed([row.ids for row in rows])
        if len(ids) and ids.max() >= self.model.vocabulary:
            raise self.tokenizer.beyond(self.model.vocabulary, "text", indices, [row.ids for row in rows])
        query_only = np.array([row.query_only for row in rows], np.int64)
        hidden = self.model.run_packed(ids, bounds, query_only=query_only if query_only.any() else None)
        vectors = hidden[np.array([keep for row in rows for keep in row.kept], bool)]
        for step in self._modules.steps:
            vectors = step(vectors, self.model.num_threads)
        ends = np.cumsum([sum(row.kept) for row in rows])
        return [part.copy() for part in np.split(vectors, ends[:-1])]
