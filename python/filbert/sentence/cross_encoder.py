"""Scores of pairs of texts, with the interface of sentence-transformers."""

import os
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np

from .. import auto
from ..batching import packed
from ..checks import count, optional_count
from ..configuration import PretrainedConfig
from ..encoder import EncoderModel
from ..encoding import BatchEncoding
from ..errors import InputError
from ..hub import Source
from ..pickling import Referable
from ..progress import Bar
from ..scores import softmax
from ..texts import Pair, as_pairs, as_texts, check_text
from ..tokenization import AutoTokenizer, Tokenizer
from . import reranker_saving
from .activations import Activation, activate, path_of
from .chain import Row
from .encoder_habits import EncoderHabits, ModelCardData
from .forwards import forwards
from .loading import limit_tokenizer
from .older_names import older_names
from .pair_tokens import PairTokens
from .reranker import RerankerModules, activation_of, chat_template, configured, next_tokens, read_reranker
from .transformer import check_default_prompt, choose_prompt, meaningful, merged_prompts, refuse_backend
from .vectors import Floats


class CrossEncoder(Referable, EncoderHabits):
    """Pairs of texts to scores, or to logits of labels. Many threads may call one.

    model, tokenizer: the model and its tokenizer. activation_fn: what makes scores of logits (see `predict`).
    prompts, default_prompt_name: texts put before the first text of every pair. max_seq_length: tokens of a pair.
    """

    _settings: ClassVar[tuple[str, ...]] = ("prompts", "default_prompt_name", "activation_fn")

    @older_names(
        positions=("num_labels", "max_length", "activation_fn", "device"),
        model_name="model_name_or_path",
        cache_dir="cache_folder",
        automodel_args="model_kwargs",
        config_args="config_kwargs",
        tokenizer_args="tokenizer_kwargs",
        default_activation_function="activation_fn",
    )
    def __init__(
        self,
        model_name_or_path: str | os.PathLike[str],
        *,
        num_labels: int | None = None,
        max_length: int | None = None,
        activation_fn: Activation | None = None,
        device: Any = None,
        prompts: Mapping[str, str | None] | None = None,
        default_prompt_name: str | None = None,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_folder: str | os.PathLike[str] | None = None,
        local_files_only: bool = False,
        trust_remote_code: bool | None = None,
        model_kwargs: Mapping[str, Any] | None = None,
        processor_kwargs: Mapping[str, Any] | None = None,
        tokenizer_kwargs: Mapping[str, Any] | None = None,
        config_kwargs: Mapping[str, Any] | None = None,
        model_card_data: Any = None,
        backend: str = "torch",
        classifier_dropout: float | None = None,
    ) -> None:
        """A cross-encoder of a folder or of the hub, as sentence-transformers loads it.

        That is a model with the head of a classifier, or a language model whose next token tells (LogitScore), such as
        Qwen3-Reranker, with a chat template that has a place for a query and one for a document.

        Args:
            num_labels: how many logits the head has, if config.json does not say.
            max_length: tokens of a pair, special ones included; the longer text is cut first. None: as the files say.
                More than the model has positions means as many as it has.
            activation_fn: see `predict`. None: as the files say, or else a sigmoid if there is one label.
            device: "cpu", "cuda", "cuda:1" or "auto"; None is the CPU.
            prompts: over those of the files. default_prompt_name: the one that is used where none is asked for.
            revision, token, local_files_only: see `AutoModel.from_pretrained`. cache_folder: its cache_dir.
            trust_remote_code: ignored; code of a repository is never run.
            model_kwargs: keywords for the model's `from_pretrained`, such as dtype (None is float32), num_threads,
                variant and mmap. Those that choose kernels or a library change nothing here.
            processor_kwargs, tokenizer_kwargs: replace keys of tokenizer_config.json. They are two names for one.
            config_kwargs: replace attributes of the configuration.
            model_card_data: what evaluators leave their results in; None: a list of them.
            backend: "torch", which here means filbert's engine: its numbers are those of PyTorch.
            classifier_dropout: the older form of the key of `config_kwargs`.

        Raises:
            ConfigError: a setting or a module of the files that filbert does not have.
            WeightsError: the weights have no such head, or one with another number of labels.
            InputError, DeviceError, OSError, MemoryError: see `AutoModel.from_pretrained`.
        """
        refuse_backend(backend)
        options: dict[str, Any] = {"cache_dir": cache_folder, "token": token, "local_files_only": local_files_only}
        if classifier_dropout is not None:
            config_kwargs = {**(config_kwargs or {}), "classifier_dropout": classifier_dropout}
        chosen = meaningful(model_kwargs, keep=("dtype", "torch_dtype", "use_safetensors"))
        if "force_download" in chosen:
            options["force_download"] = chosen.pop("force_download")
        source = Source(model_name_or_path, revision=revision, **options)
        self._modules = modules = read_reranker(source)
        modules.tokenizer_settings.update({**meaningful(processor_kwargs), **meaningful(tokenizer_kwargs)})
        modules.config_settings.update(meaningful(config_kwargs))
        if num_labels is not None:
            modules.config_settings["num_labels"] = num_labels
        where = {**options, "revision": source.revision, "subfolder": modules.transformer}
        inner = Source(source.name, **where)
        config = configured(inner, modules)
        self.tokenizer: Tokenizer = AutoTokenizer.from_pretrained(source.name, **where, **modules.tokenizer_settings)
        auto_class = "AutoModelForSequenceClassification"
        self.num_labels = int(config.num_labels or 0)
        self._is_log_odds = False
        if modules.is_causal:
            auto_class, self.num_labels = "AutoModelForNextToken", 1
            chosen["next_token_ids"] = modules.next_tokens = next_tokens(modules, self.tokenizer)
            self._is_log_odds = len(modules.next_tokens) == 2
        self.model: EncoderModel = getattr(auto, auto_class).from_pretrained(
            source.name, config=config, device="cpu" if device is None else device, **where, **chosen
        )
        self._prepare_tokenizer(modules, max_length)
        self._template = chat_template(inner, modules, self.tokenizer)
        self._pair_tokens = PairTokens(self.tokenizer, self._template, bool(getattr(config, "type_vocab_size", 0)))
        self.activation_fn = activation_of(modules, config, self.num_labels) if activation_fn is None else activation_fn
        self.prompts = merged_prompts(modules.prompts, prompts)
        self.default_prompt_name = modules.default_prompt_name if default_prompt_name is None else default_prompt_name
        check_default_prompt(source.name, self.default_prompt_name, self.prompts)
        self.model_card_data = ModelCardData() if model_card_data is None else model_card_data
        reference = {
            "num_labels": num_labels,
            "revision": source.revision,
            "cache_folder": cache_folder,
            "local_files_only": local_files_only,
            "model_kwargs": meaningful(model_kwargs),
            "processor_kwargs": {**meaningful(processor_kwargs), **meaningful(tokenizer_kwargs)},
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
        num_labels: int | None = None,
        max_length: int | None = None,
        activation_fn: Activation | None = None,
        revision: str | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        token: str | bool | None = None,
        local_files_only: bool = False,
        force_download: bool = False,
        variant: str | None = None,
        mmap: bool = True,
        trust_remote_code: bool | None = None,
    ) -> "CrossEncoder":
        """The same as the class, with the keywords of `SentenceEncoder.from_pretrained`."""
        return cls(
            pretrained_model_name_or_path,
            num_labels=num_labels,
            max_length=max_length,
            activation_fn=activation_fn,
            device=device,
            revision=revision,
            token=token,
            cache_folder=cache_dir,
            local_files_only=local_files_only,
            model_kwargs={
                "num_threads": num_threads,
                "dtype": dtype,
                "force_download": force_download,
                "variant": variant,
                "mmap": mmap,
            },
        )

    @older_names(activation_fct="activation_fn")
    def predict(
        self,
        inputs: Any = None,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
        activation_fn: Activation | None = None,
        apply_softmax: bool | None = False,
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: Any = None,
        pool: dict[str, Any] | None = None,
        chunk_size: int | None = None,
        *,
        sentences: Any = None,
        num_workers: int | None = None,
    ) -> Any:
        """The scores of pairs: float32 [n] in their order, or [n, labels] where there are several labels.

        A pair of more than `max_seq_length` tokens is cut, the longer text first. A score is bit-identical whatever
        other pairs it is computed with.

        Args:
            inputs: a pair of strings, or a list, an iterator or an array [n, 2] of pairs. sentences: its older name.
            prompt_name, prompt: the name of one of `prompts`, or a text, put before the first text of every pair; of
                a chat template, what the system says.
            batch_size: pairs in one forward at most; None lets a budget of tokens alone decide.
            show_progress_bar: None shows one on a terminal if it takes over a second.
            activation_fn: makes scores of all logits [n, labels]. None: `self.activation_fn`. A module or function of
                PyTorch gets a tensor, any other function a NumPy array.
            apply_softmax: after that, scales the scores of each pair to a sum of 1, if there are several labels.
            convert_to_numpy, convert_to_tensor: False and False return a list of PyTorch tensors, a true
                `convert_to_tensor` returns one tensor.
            device: None, or where the model is moved to first; a list of its own device changes nothing.
            pool, chunk_size: change nothing; see `start_multi_process_pool`. num_workers: ignored.

        Returns:
            As above; for a single pair its score alone, or its labels'.

        Raises:
            InputError: naming the number of a pair that is none. MemoryError.
        """
        single, pairs = as_pairs(sentences if inputs is None else inputs)
        if device is not None:
            self._move(device)
        prefix = choose_prompt(self.prompts, self.default_prompt_name, prompt, prompt_name)
        scores = self._scores(pairs, prefix, batch_size, show_progress_bar, activation_fn)
        if apply_softmax and scores.ndim > 1 and len(scores):
            scores = softmax(scores)
        if convert_to_numpy and not convert_to_tensor:
            return scores[0] if single else scores
        import torch

        tensor = torch.from_numpy(scores)
        if single:
            return tensor[0]
        return tensor if convert_to_tensor else list(tensor)

    @older_names(activation_fct="activation_fn", ignored=("apply_softmax", "convert_to_numpy", "convert_to_tensor"))
    def rank(
        self,
        query: str,
        documents: Iterable[str],
        top_k: int | None = None,
        return_documents: bool = False,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
        activation_fn: Activation | None = None,
        device: Any = None,
        pool: dict[str, Any] | None = None,
        chunk_size: int | None = None,
        *,
        num_workers: int | None = None,
    ) -> list[dict[str, Any]]:
        """The documents by their scores for a query, the best first; of equal ones the earlier first.

        Args:
            query: a string.
            documents: strings.
            top_k: how many to return; None returns all.
            return_documents: whether to return the texts, too.
            prompt_name, prompt, batch_size, show_progress_bar, activation_fn, device, pool, chunk_size, num_workers:
                see `predict`.

        Returns:
            One {"corpus_id": the number of a document, "score": a float} each, with "text" if asked for.

        Raises:
            InputError: naming the number of a document that is no string, or if the model has several labels.
            MemoryError.
        """
        if self.num_labels != 1:
            raise InputError(
                f"rank: the model has {self.num_labels} labels, expected one; predict gives the scores of them all"
            )
        check_text("query", 0, query)
        single, texts = as_texts("document", documents)
        if single:
            raise InputError(f"documents: found {documents!r:.100} (str), expected a list of strings")
        if device is not None:
            self._move(device)
        top_k = optional_count("top_k", top_k)
        prefix = choose_prompt(self.prompts, self.default_prompt_name, prompt, prompt_name)
        pairs: list[Pair] = [(query, text) for text in texts]
        scores = self._scores(pairs, prefix, batch_size, show_progress_bar, activation_fn)
        if scores.ndim != 1:
            raise InputError(f"activation_fn: gave shape {list(scores.shape)}, expected one score a pair")
        results: list[dict[str, Any]] = [
            {"corpus_id": index, "score": score, **({"text": texts[index]} if return_documents else {})}
            for index, score in enumerate(scores.tolist())
        ]
        order = np.argsort(-scores, kind="stable")
        return [results[index] for index in order[:top_k]]

    def preprocess(self, inputs: Any, prompt: str | None = None, **options: Any) -> BatchEncoding:
        """The ids, the mask and the types of pairs as the model gets them: int64 [n, tokens], padded to the longest.

        inputs: as for `predict`. prompt: see there. options: of `Tokenizer.pad`, such as return_tensors="pt". Raises
        InputError.
        """
        ids, types = self._pair_tokens.tokens(as_pairs(inputs)[1], prompt or "", self.max_seq_length)
        rows = {"input_ids": ids, **({} if types is None else {"token_type_ids": types})}
        return self.tokenizer.pad(rows, **{"return_tensors": "np", **options})

    def tokenize(self, texts: Any, **options: Any) -> BatchEncoding:
        """The older name of `preprocess`."""
        return self.preprocess(texts, **options)

    @property
    def max_seq_length(self) -> int:
        """Tokens of a pair that are used, special ones included; the rest is cut."""
        return self.tokenizer.model_max_length

    @max_seq_length.setter
    def max_seq_length(self, tokens: int) -> None:
        self.tokenizer.model_max_length = count("max_seq_length", tokens, self.model.max_tokens)

    max_length = max_seq_length

    @property
    def config(self) -> PretrainedConfig:
        return self.model.config

    @property
    def device(self) -> str:
        return self.model.device

    @property
    def dtype(self) -> str:
        """What the model computes in, such as "float32"."""
        return self.model.dtype

    def __repr__(self) -> str:
        labels = f"{self.num_labels} label{'' if self.num_labels == 1 else 's'}"
        return f"CrossEncoder({self.model!r}, {labels}, max_seq_length={self.max_seq_length})"

    def _save(self, folder: str) -> None:
        settings = {
            "prompts": self.prompts,
            "default_prompt_name": self.default_prompt_name,
            "activation_fn": path_of(self.activation_fn),
        }
        reranker_saving.save(folder, self._modules, self.model, self.tokenizer, self._template, settings)

    def _models(self) -> list[EncoderModel]:
        return [self.model]

    def _tokenizers(self) -> dict[str, Tokenizer]:
        return {"": self.tokenizer}

    def _now(self) -> dict[str, Any]:
        options = (self._reference or {}).get("model_kwargs", {})
        return {"device": self.device, "model_kwargs": {**options, "dtype": self.dtype}}

    def _prepare_tokenizer(self, modules: RerankerModules, max_length: int | None) -> None:
        limit_tokenizer(self.tokenizer, modules, self.model)
        if max_length is not None:
            self.tokenizer.model_max_length = min(count("max_length", max_length), self.model.max_tokens)

    def _scores(
        self,
        pairs: list[Pair],
        prompt: str,
        batch_size: int | None,
        show: bool | None,
        activation_fn: Activation | None,
    ) -> Floats:
        """The scores [n], or [n, labels]."""
        batch_size = optional_count("batch_size", batch_size)
        logits = self._logits(pairs, prompt, batch_size, show)
        if len(logits):
            logits = activate(self.activation_fn if activation_fn is None else activation_fn, logits)
        return logits[:, 0] if self.num_labels == 1 and logits.ndim == 2 and logits.shape[1] == 1 else logits

    def _logits(self, pairs: list[Pair], prompt: str, batch_size: int | None, show: bool | None) -> Floats:
        logits, vocabulary = np.empty((len(pairs), self.num_labels), np.float32), self.model.vocabulary

        def tokenize(numbers: list[int]) -> list[Row]:
            ids, types = self._pair_tokens.tokens([pairs[index] for index in numbers], prompt, self.max_seq_length)
            return [Row(row, None if types is None else types[index]) for index, row in enumerate(ids)]

        with Bar(len(pairs), show, "Scoring", "pair") as bar:
            for indices, rows in forwards(pairs, tokenize, batch_size):
                ids, bounds = packed([row.ids for row in rows])
                if len(ids) and ids.max() >= vocabulary:
                    raise self.tokenizer.beyond(vocabulary, "pair", indices, [row.ids for row in rows])
                kinds = None if rows[0].types is None else packed([row.types or [] for row in rows])[0]
                found = self.model.run_packed(ids, bounds, kinds)
                logits[indices] = found[:, :1] - found[:, 1:] if self._is_log_odds else found
                bar.update(len(indices))
        return logits
