"""Sentence vectors, with the interface of sentence-transformers."""

import inspect
import os
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np

from ..checks import count, optional_count
from ..encoder import EncoderModel
from ..encoding import BatchEncoding
from ..errors import InputError
from ..hub import Source
from ..pickling import Referable
from ..texts import Pair, as_inputs
from ..tokenization import NO_LIMIT, Tokenizer
from . import saving
from .alike import alike
from .chain import Asked, Chain, prefixed
from .cuts import CHOICES, Cuts
from .encoder_habits import ModelCardData, SentenceHabits
from .features import run_features
from .loading import load_chains
from .modules import SIMILARITIES, read_modules
from .older_names import older_names
from .token_values import everything, token_vectors
from .transformer import check_default_prompt, choose_prompt, meaningful, merged_prompts, prompt_for, refuse_backend
from .vectors import known_precision, normalize, quantize, similarity, similarity_pairwise

_OUTPUTS = ("sentence_embedding", "token_embeddings", None)


class SentenceEncoder(Referable, SentenceHabits):
    """Text to vectors; many threads may call one.

    prompts, default_prompt_name: texts put before every input. truncate_dim: numbers of a vector that are kept, or
    None. model, tokenizer: the encoder and its tokenizer, of a model with a Router those of no task.

    It is pickled as where it was loaded from and how (see `Referable`), with what was set on it since.
    """

    _settings: ClassVar[tuple[str, ...]] = (
        *("prompts", "default_prompt_name", "similarity_fn_name", "truncate_dim", "_include_prompt"),
    )

    @older_names(tokenizer_kwargs="processor_kwargs", use_auth_token="token")
    def __init__(
        self,
        model_name_or_path: str | os.PathLike[str],
        *,
        device: Any = None,
        prompts: Mapping[str, str | None] | None = None,
        default_prompt_name: str | None = None,
        cache_folder: str | os.PathLike[str] | None = None,
        trust_remote_code: bool | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        token: str | bool | None = None,
        model_kwargs: Mapping[str, Any] | None = None,
        processor_kwargs: Mapping[str, Any] | None = None,
        config_kwargs: Mapping[str, Any] | None = None,
        model_card_data: Any = None,
        backend: str = "torch",
        similarity_fn_name: Any = None,
        truncate_dim: int | None = None,
    ) -> None:
        """Loads a sentence-transformers model of a folder or of the hub.

        Its first module is Transformer with Pooling, or StaticEmbedding (model2vec's files, too); after it come any of
        Dense, Normalize, LayerNorm and Dropout. Routers may choose among them. Without modules.json vectors are means
        of token vectors, or of a causal model the last ones, with a warning.

        Args:
            device: "cpu", "cuda", "cuda:1" or "auto"; None is the CPU.
            prompts: over those of the files. default_prompt_name: the one that is used where none is asked for.
            revision, token, local_files_only: see `AutoModel.from_pretrained`. cache_folder: its cache_dir.
            trust_remote_code: ignored; code of a repository is never run.
            model_kwargs: keywords for the model's `from_pretrained`, such as dtype (None is float32), num_threads,
                variant, mmap and task. Those that choose kernels or a library change nothing here.
            processor_kwargs: replace keys of tokenizer_config.json, which StaticEmbedding has not. config_kwargs:
                replace attributes of the configuration.
            model_card_data: what evaluators leave their results in; None: a list of them.
            backend: "torch", which here means filbert's engine: its numbers are those of PyTorch.
            similarity_fn_name: what `similarity` computes: "cosine", "dot", "euclidean" or "manhattan"; None: as the
                files say. truncate_dim: see `encode`; None: as the files say.

        Raises:
            ConfigError: a setting or a module of the files that filbert does not have.
            WeightsError, InputError, DeviceError, OSError, MemoryError: see `AutoModel.from_pretrained`.
        """
        refuse_backend(backend)
        keywords = {**meaningful(model_kwargs, keep=("dtype", "torch_dtype", "use_safetensors"))}
        where: dict[str, Any] = {"cache_dir": cache_folder, "token": token, "local_files_only": local_files_only}
        where["force_download"] = keywords.pop("force_download", False)
        source = Source(model_name_or_path, revision=revision, **where)
        self._modules = modules = read_modules(source)
        for module in modules.transformers.values():
            module.tokenizer_settings.update(meaningful(processor_kwargs))
            module.config_settings.update(meaningful(config_kwargs))
        self._cuts = Cuts()
        device = "cpu" if device is None else device
        self._chains = load_chains(source, modules, where, self._cuts, device=device, **keywords)
        self._first = self._chains.get(None) or next(iter(self._chains.values()))
        self.prompts = merged_prompts(modules.prompts, prompts)
        self.default_prompt_name = modules.default_prompt_name if default_prompt_name is None else default_prompt_name
        check_default_prompt(source.name, self.default_prompt_name, self.prompts)
        self.similarity_fn_name = modules.similarity if similarity_fn_name is None else similarity_fn_name
        self.truncate_dim = optional_count("truncate_dim", truncate_dim) or modules.truncate_dim
        self.model_card_data = ModelCardData() if model_card_data is None else model_card_data
        reference = {
            "revision": source.revision,
            "cache_folder": cache_folder,
            "local_files_only": local_files_only,
            "model_kwargs": keywords,
            "processor_kwargs": meaningful(processor_kwargs),
            "config_kwargs": meaningful(config_kwargs),
        }
        self._refer_to(source.name, reference)

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
        **options: Any,
    ) -> "SentenceEncoder":
        """The same as the class, with the keywords of `AutoModel.from_pretrained`: `cache_dir` is its `cache_folder`.

        options: the others of the class.
        """
        given = {
            "num_threads": num_threads,
            "dtype": dtype,
            "force_download": force_download,
            "variant": variant,
            "mmap": mmap,
            "task": task,
        }
        return cls(
            pretrained_model_name_or_path,
            device=device,
            truncate_dim=truncate_dim,
            revision=revision,
            cache_folder=cache_dir,
            token=token,
            local_files_only=local_files_only,
            model_kwargs={**given, **(options.pop("model_kwargs", None) or {})},
            **options,
        )

    @older_names(sentences="inputs", texts="inputs")
    def encode(
        self,
        inputs: str | Iterable[str] | Iterable[Pair],
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int | None = 32,
        show_progress_bar: bool | None = None,
        output_value: str | None = "sentence_embedding",
        precision: str | None = "float32",
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: Any = None,
        normalize_embeddings: bool | None = False,
        truncate_dim: int | None = None,
        pool: dict[str, Any] | None = None,
        chunk_size: int | None = None,
        *,
        task: str | None = None,
        on_truncate: str = "warn",
        return_offsets_mapping: bool = False,
        ranges: Any = None,
    ) -> Any:
        """The vectors of some texts: float32 [n, size] in their order, or [size] for a single string.

        A vector is bit-identical whatever other texts it is computed with. In order: the modules, truncate_dim,
        normalize_embeddings, precision.

        Args:
            inputs: a string, or a sequence, an iterator, a Series or an array of strings, or of pairs of strings.
            prompt_name, prompt: the name of one of `prompts`, or a text, put before every input.
            batch_size: changes nothing but must be a count: forwards are cut by a budget of tokens, and vectors do not
                depend on them.
            show_progress_bar: None shows one on a terminal if it takes over a second.
            output_value: "sentence_embedding"; "token_embeddings" for an array [tokens, hidden] a text, special tokens
                included; None for a dict a text of both, "input_ids" and "attention_mask", whose vector of the text
                may differ from the others in its last bits. Of what comes after the modules these know truncate_dim.
            precision: "float32" or None, "int8", "uint8", "binary" or "ubinary"; see
                `filbert.util.quantize_embeddings`. Of tokens it takes their vectors of all texts; dicts have float32.
            convert_to_numpy: False gives a list of PyTorch tensors. convert_to_tensor: True gives one tensor. Either
                gives tensors in the place of arrays of tokens, too.
            device: moves the model there for good, if it is elsewhere; a list of its own device changes nothing.
            normalize_embeddings: scales vectors to length 1; False and None leave them as the model makes them.
            truncate_dim: keeps the first numbers of each vector. None: as `self.truncate_dim` says.
            pool, chunk_size: change nothing; see `start_multi_process_pool`.
            task: chooses among the modules of a Router, as "query" and "document" do.
            on_truncate: of texts of more than `max_seq_length` tokens, which are cut: "warn" tells of the first,
                "ignore" of none, "raise" raises InputError; `num_truncated` counts them.
            return_offsets_mapping: with token vectors, adds where each token stands in its text: int64 [tokens, 2],
                characters [begin, end), [0, 0) of special tokens and a prompt's. "token_embeddings" then gives two
                lists, and None dicts with "offset_mapping".
            ranges: of int8 and uint8, the least and the greatest value of each number of a vector, [2, size]. None
                takes those of this call's vectors: the integers of a vector then depend, as nothing else does, on the
                texts it is computed with.

        Raises:
            InputError: an input that is no text, with its number; an unknown name; what else it says.
            MemoryError, DeviceError: as they say.
        """
        is_batch, texts = as_inputs(inputs, None)
        single = not is_batch
        optional_count("batch_size", batch_size)
        truncate_dim = optional_count("truncate_dim", truncate_dim)
        if output_value not in _OUTPUTS:
            raise InputError(f"output_value: found {output_value!r:.100}, expected one of {_OUTPUTS}")
        precision = known_precision(precision)
        if output_value is None and precision != "float32":
            raise InputError(f"precision: found {precision!r}, expected 'float32' where output_value is None")
        if on_truncate not in CHOICES:
            raise InputError(f"on_truncate: found {on_truncate!r:.100}, expected one of {CHOICES}")
        if device is not None:
            self._move(device)
        asked = Asked(
            choose_prompt(self.prompts, self.default_prompt_name, prompt, prompt_name), on_truncate, show_progress_bar
        )
        chain = self.chain(task)
        dimension = self.truncate_dim if truncate_dim is None else truncate_dim
        tensors = convert_to_tensor or not convert_to_numpy
        if output_value != "sentence_embedding":
            encoded = chain.tokens(texts, asked, return_offsets_mapping)
            if asked.cut:
                self._tell(chain, asked, len(texts))
            if output_value is None:
                return everything(encoded, dimension, single, return_offsets_mapping, tensors)
            return token_vectors(encoded, single, return_offsets_mapping, tensors, precision, ranges)
        scale = bool(normalize_embeddings)
        vectors = chain.vectors(texts, asked, scale and dimension is None)
        if asked.cut:
            self._tell(chain, asked, len(texts))
        if dimension is not None:
            vectors = np.ascontiguousarray(vectors[:, :dimension])
            vectors = normalize(vectors) if scale else vectors
        result: Any = quantize(vectors, precision, ranges)
        if tensors:
            import torch

            result = torch.from_numpy(result)
            result = result if convert_to_tensor or single else list(result)
        return result[0] if single else result

    def encode_query(
        self, inputs: Any = None, prompt_name: str | None = None, prompt: str | None = None, *args: Any, **options: Any
    ) -> Any:
        """`encode` for texts that are asked, with the prompt "query" unless another is given, and the task "query"."""
        return self._encode_for("query", inputs, prompt_name, prompt, args, options)

    def encode_document(
        self, inputs: Any = None, prompt_name: str | None = None, prompt: str | None = None, *args: Any, **options: Any
    ) -> Any:
        """`encode` for texts that are searched, with the first prompt there is of "document", "passage" and "corpus"
        unless another is given, and the task "document"."""
        return self._encode_for("document", inputs, prompt_name, prompt, args, options)

    for method in (encode_query, encode_document):
        method.__signature__ = inspect.signature(encode)  # type: ignore[attr-defined]
    del method

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Scores float32 [n, m] of vectors [n, hidden] against vectors [m, hidden], by `similarity_fn_name`.

        "cosine", "dot", or the negative distances "euclidean" and "manhattan". Tensors give a tensor on their device,
        anything else NumPy. Raises InputError.
        """
        scores = similarity(self.similarity_fn_name, embeddings1, embeddings2)
        return alike(scores, embeddings1, embeddings2)

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Scores float32 [n] of each of the vectors [n, hidden] with that of [n, hidden], as in `similarity`."""
        scores = similarity_pairwise(self.similarity_fn_name, embeddings1, embeddings2)
        return alike(scores, embeddings1, embeddings2)

    def tokenize(self, texts: Any, **options: Any) -> BatchEncoding:
        """The older name of `preprocess`."""
        return self.preprocess(texts, **options)

    def preprocess(
        self, inputs: Any, prompt: str | None = None, task: str | None = None, **options: Any
    ) -> BatchEncoding:
        """The ids and the mask of texts as the model gets them: int64 [n, tokens], filled up to the longest.

        Args:
            inputs: as for `encode`. prompt: a text put before each; its tokens are counted in "prompt_length".
            task: of a model with a Router; it is in what is returned.
            options: of the tokenizer's call, such as return_tensors="pt".

        Raises InputError.
        """
        chain = self.chain(task)
        given = {"padding": True, "truncation": True, "return_tensors": "np", **options}
        if chain.pooling is None:
            cuts = chain.tokenizer.model_max_length < NO_LIMIT
            given = {**given, "add_special_tokens": False, "truncation": cuts}
        if prompt:
            inputs = [prefixed(prompt, text) for text in as_inputs(inputs, None)[1]]
        features = chain.tokenizer(inputs, **given)
        if prompt and chain.pooling is not None:
            features["prompt_length"] = chain.prompt_length(prompt)
        if task in self._chains and task is not None:
            features["task"] = task
        return features

    def __call__(self, features: Mapping[str, Any], task: str | None = None) -> dict[str, Any]:
        """What `preprocess` gives, and "token_embeddings" [n, tokens, hidden] and "sentence_embedding" [n, size].

        They are tensors of PyTorch if the ids are. Raises InputError and MemoryError.
        """
        return run_features(self.chain(features.get("task") if task is None else task), features)

    forward = __call__

    def get_embedding_dimension(self) -> int:
        """How many numbers a vector has."""
        return self._first.size if self.truncate_dim is None else min(self._first.size, self.truncate_dim)

    get_sentence_embedding_dimension = get_embedding_dimension

    @property
    def model(self) -> EncoderModel:
        return self._first.model

    @property
    def tokenizer(self) -> Tokenizer:
        return self._first.tokenizer

    @property
    def max_seq_length(self) -> int:
        """Tokens of a text that are used, special ones included; the rest is cut."""
        return self.tokenizer.model_max_length

    @max_seq_length.setter
    def max_seq_length(self, tokens: int) -> None:
        tokens = count("max_seq_length", tokens, max(model.max_tokens for model in self._models()))
        for chain in self._chains.values():
            chain.tokenizer.model_max_length = min(tokens, chain.model.max_tokens)

    @property
    def similarity_fn_name(self) -> str:
        """What `similarity` computes."""
        return self._similarity

    @similarity_fn_name.setter
    def similarity_fn_name(self, name: Any) -> None:
        name = getattr(name, "value", name)  # of sentence-transformers' SimilarityFunction
        if name not in SIMILARITIES:
            raise InputError(f"similarity_fn_name: found {name!r}, expected one of {', '.join(SIMILARITIES)}")
        self._similarity: str = name

    @property
    def num_truncated(self) -> int:
        """How many of the texts that were encoded so far had more than `max_seq_length` tokens."""
        return self._cuts.count

    @property
    def device(self) -> str:
        return self.model.device

    @property
    def dtype(self) -> str:
        """What the model computes in, such as "float32"."""
        return self.model.dtype

    def set_pooling_include_prompt(self, include_prompt: bool) -> None:
        """Sets whether the tokens of a prompt count in a vector."""
        for pooling in self._modules.poolings.values():
            pooling.include_prompt = include_prompt

    def __repr__(self) -> str:
        chain = self._first
        parts = [*(["mean pooling"] if chain.pooling is None else [str(chain.pooling)])]
        parts += ["normalised" if step.kind == "Normalize" else step.kind for step in chain.steps]
        routes = f", tasks {', '.join(str(task) for task in self._chains if task)}" if len(self._chains) > 1 else ""
        return f"SentenceEncoder({self.model!r}, {', '.join(parts)}, max_seq_length={self.max_seq_length}{routes})"

    @property
    def _include_prompt(self) -> dict[str, bool]:
        """By the folders of poolings."""
        return {folder: pooling.include_prompt for folder, pooling in self._modules.poolings.items()}

    @_include_prompt.setter
    def _include_prompt(self, values: dict[str, bool]) -> None:
        for folder, value in values.items():
            self._modules.poolings[folder].include_prompt = value

    def _tokenizers(self) -> dict[str, Tokenizer]:
        return {chain.entries[0][1]: chain.tokenizer for chain in self._chains.values()}

    def _now(self) -> dict[str, Any]:
        reference = self._reference or {}
        return {"device": self.device, "model_kwargs": {**reference.get("model_kwargs", {}), "dtype": self.dtype}}

    def _save(self, folder: str) -> None:
        settings = {
            "prompts": self.prompts,
            "default_prompt_name": self.default_prompt_name,
            "similarity_fn_name": self.similarity_fn_name,
            **({} if self.truncate_dim is None else {"truncate_dim": self.truncate_dim}),
        }
        saving.save(folder, self._modules, self._chains, settings)

    def _models(self) -> list[EncoderModel]:
        return list({id(chain.model): chain.model for chain in self._chains.values()}.values())

    def chain(self, task: str | None = None) -> Chain:
        """What a text of that task goes through. Without a Router a task changes nothing. Raises InputError."""
        chain = self._chains.get(task)
        if chain is None:
            self._modules.chain(task)  # which tells why there is none, if there is none
            chain = self._first
        return chain

    def _tell(self, chain: Chain, asked: Asked, texts: int) -> None:
        if asked.on_truncate == "warn":
            self._cuts.tell(len(asked.cut), texts, chain.tokenizer.model_max_length)

    def _encode_for(
        self,
        task: str,
        inputs: Any,
        prompt_name: str | None,
        prompt: str | None,
        args: tuple[Any, ...],
        options: dict[str, Any],
    ) -> Any:
        name, options = prompt_for(task, self.prompts, prompt_name, prompt), {"task": task, **options}
        if inputs is None:  # given by an older name
            return self.encode(prompt_name=name, prompt=prompt, **options)
        return self.encode(inputs, name, prompt, *args, **options)
