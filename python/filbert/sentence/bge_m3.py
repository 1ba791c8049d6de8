"""BGE-M3 (https://arxiv.org/abs/2402.03216): three kinds of vectors of a text in one pass, as in FlagEmbedding."""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..batching import packed
from ..checks import optional_count
from ..encoder import EncoderModel
from ..errors import InputError, WeightsError
from ..hub import Source
from ..pickling import LoadedByName
from ..progress import Bar
from ..texts import as_texts
from ..tokenization import Tokenizer
from .dense import Dense
from .forwards import forwards
from .loading import load_parts
from .maxsim import pair_scores
from .tensors import read_tensor
from .transformer import TransformerModule
from .vectors import normalize

Weights = dict[str, float]

# Tokens that are no words, by their roles.
_NO_WORDS = ("cls_token", "eos_token", "pad_token", "unk_token")
_OUTPUTS = ("dense_vecs", "lexical_weights", "colbert_vecs")


class BGEM3Encoder(LoadedByName):
    """Text to a vector, to weights of its words, and to a vector for each token. Many threads may call one.

    model, tokenizer: the encoder and its tokenizer.
    """

    def __init__(
        self,
        model: EncoderModel | str | os.PathLike[str],
        tokenizer: Tokenizer | None = None,
        sparse: Dense | None = None,
        colbert: Dense | None = None,
        **options: Any,
    ) -> None:
        """By name, or from parts.

        Args:
            model: the name of a folder or of the hub; or an encoder.
            tokenizer: of an encoder. sparse, colbert: what makes weights and vectors of its vectors of tokens.
            options: of a name, the keywords of `from_pretrained`.

        Raises:
            TypeError: a name together with parts, or a part that is missing; and what `from_pretrained` raises.
        """
        parts = (tokenizer, sparse, colbert)
        if isinstance(model, str | os.PathLike) and parts == (None, None, None):
            self.__dict__.update(vars(self.from_pretrained(model, **options)))
        elif isinstance(model, str | os.PathLike) or options or tokenizer is None or sparse is None or colbert is None:
            raise TypeError("BGEM3Encoder: expected a name and keywords for it, or a model and its parts")
        else:
            self._assemble(model, tokenizer, sparse, colbert)

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        *,
        device: Any = None,
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
    ) -> "BGEM3Encoder":
        """BAAI/bge-m3 or a model like it, of a folder or of the hub.

        Beside the encoder it has sparse_linear.pt and colbert_linear.pt, which are read without PyTorch, and nothing
        in them is run.

        Args:
            device, num_threads, dtype, mmap and those of the hub: as for `AutoModel.from_pretrained`; no device is the
                CPU. What comes after the encoder is float32 there.
            trust_remote_code: ignored; code of a repository is never run.

        Raises:
            OSError: a file is missing, sparse_linear.pt and colbert_linear.pt among them.
            WeightsError: those two do not fit the encoder.
            ConfigError, InputError, DeviceError, MemoryError: see `AutoModel.from_pretrained`.
        """
        hub: dict[str, Any] = {
            "cache_dir": cache_dir,
            "token": token,
            "local_files_only": local_files_only,
            "force_download": force_download,
        }
        source = Source(pretrained_model_name_or_path, revision=revision, **hub)
        source.find("config.json")  # fixes the commit
        device = "cpu" if device is None else device
        running = {"device": device, "num_threads": num_threads, "dtype": dtype, "variant": variant, "mmap": mmap}
        model, tokenizer = load_parts(source, TransformerModule(), hub, **running)
        sparse, colbert = (_linear(source, f"{name}_linear.pt", model.hidden_size) for name in ("sparse", "colbert"))
        if sparse.out_features != 1:
            raise WeightsError(f"{source.name}: sparse_linear.pt: gives {sparse.out_features} numbers, expected 1")
        encoder = cls.__new__(cls)
        encoder._assemble(model, tokenizer, sparse, colbert)
        encoder._refer_to(source.name, {**hub, **running, "revision": source.revision})
        return encoder

    def encode(
        self,
        sentences: str | Iterable[str],
        batch_size: int | None = None,
        max_length: int | None = None,
        return_dense: bool = True,
        return_sparse: bool = False,
        return_colbert_vecs: bool = False,
        *,
        show_progress_bar: bool | None = None,
    ) -> dict[str, Any]:
        """What is asked for of some texts, from one pass of the encoder. The bits do not depend on the other texts.

        Args:
            sentences: a string, or a sequence, an iterator, a Series or an array of strings.
            batch_size: texts in one forward at most; None lets a budget of tokens alone decide.
            max_length: tokens of a text that are used, special ones included. None: as many as the model takes.
            return_dense, return_sparse, return_colbert_vecs: which of the three are wanted.
            show_progress_bar: None shows one on a terminal if it takes over a second.

        Returns:
            Three items, None for what is not asked for. Of a single string each holds what it would have of the text.
            "dense_vecs": float32 [n, hidden], of length 1.
            "lexical_weights": a dictionary a text, of the ids of its tokens as strings (see `convert_id_to_token`) and
            their weights above 0; special tokens have none.
            "colbert_vecs": float32 [tokens - 1, width] a text: all but the first token, of length 1.

        Raises:
            InputError: an input that is no text, with its number; a count that is none.
            MemoryError: as it says.
        """
        single, texts = as_texts("text", sentences)
        batch_size = optional_count("batch_size", batch_size)
        longest = self.tokenizer.model_max_length
        max_length = min(optional_count("max_length", max_length) or longest, longest)
        wanted = dict(zip(_OUTPUTS, (return_dense, return_sparse, return_colbert_vecs), strict=True))
        found: dict[str, Any] = {
            "dense_vecs": np.empty((len(texts), self.model.hidden_size), np.float32),
            "lexical_weights": [{}] * len(texts),
            "colbert_vecs": [np.empty((0, self._colbert.out_features), np.float32)] * len(texts),
        }
        with Bar(len(texts), show_progress_bar, "Encoding") as bar:

            def tokenize(numbers: list[int]) -> list[list[int]]:
                return self.tokenizer.truncated_ids([texts[index] for index in numbers], max_length)

            for indices, rows in forwards(texts, tokenize, batch_size):
                self._run(indices, rows, {name: found[name] for name in _OUTPUTS if wanted[name]})
                bar.update(len(indices))
        return {name: (found[name][0] if single else found[name]) if wanted[name] else None for name in _OUTPUTS}

    def compute_lexical_matching_score(self, lexical_weights_1: Any, lexical_weights_2: Any) -> Any:
        """The sum over shared tokens of the products of their weights.

        Args:
            lexical_weights_1, lexical_weights_2: "lexical_weights" of a text, or of several.

        Returns:
            A number for two texts, float64 [n, m] for n and m.

        Raises:
            InputError: one text and several.
        """
        if isinstance(lexical_weights_1, Mapping) and isinstance(lexical_weights_2, Mapping):
            return _matching(lexical_weights_1, lexical_weights_2)
        if isinstance(lexical_weights_1, Mapping) or isinstance(lexical_weights_2, Mapping):
            raise InputError("lexical_weights: found those of one text and of several, expected two of a kind")
        rows = [[_matching(one, other) for other in lexical_weights_2] for one in lexical_weights_1]
        return np.array(rows, np.float64).reshape(len(lexical_weights_1), len(lexical_weights_2))

    def colbert_score(self, q_reps: Any, p_reps: Any) -> float:
        """The mean over the vectors of a query of the largest product with one of a passage.

        q_reps, p_reps: an array of "colbert_vecs" each. Raises InputError for shapes that do not fit.
        """
        return float(pair_scores("meanmaxsim", [q_reps], [p_reps])[0])

    def convert_id_to_token(self, lexical_weights: Any) -> Any:
        """ "lexical_weights" of a text or of several with the texts of tokens in the place of their ids."""
        if isinstance(lexical_weights, Mapping):
            return {self.tokenizer.decode([int(index)]): weight for index, weight in lexical_weights.items()}
        return [self.convert_id_to_token(weights) for weights in lexical_weights]

    @property
    def device(self) -> str:
        return self.model.device

    def __repr__(self) -> str:
        return f"BGEM3Encoder({self.model!r}, max_length={self.tokenizer.model_max_length})"

    def _assemble(self, model: EncoderModel, tokenizer: Tokenizer, sparse: Dense, colbert: Dense) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self._sparse, self._colbert = sparse, colbert
        roles = tokenizer.special_tokens_map
        self._no_words = {tokenizer.convert_tokens_to_ids(roles[role]) for role in _NO_WORDS if role in roles}

    def _run(self, indices: list[int], rows: list[list[int]], found: dict[str, Any]) -> None:
        """Writes what is wanted of the texts of these numbers into `found`."""
        ids, bounds = packed(rows)
        if len(ids) and ids.max() >= self.model.vocabulary:
            raise self.tokenizer.beyond(self.model.vocabulary, "text", indices, rows)
        hidden = self.model.run_packed(ids, bounds)
        threads = self.model.num_threads
        if "dense_vecs" in found:
            found["dense_vecs"][indices] = normalize(hidden[bounds[:-1]])
        if "lexical_weights" in found:
            weights = np.maximum(self._sparse(hidden, threads)[:, 0], 0)
            for index, row, part in zip(indices, rows, np.split(weights, bounds[1:-1]), strict=True):
                found["lexical_weights"][index] = self._lexical(row, part.tolist())
        if "colbert_vecs" in found:
            vectors = normalize(self._colbert(hidden, threads))
            for index, part in zip(indices, np.split(vectors, bounds[1:-1]), strict=True):
                found["colbert_vecs"][index] = part[1:].copy()

    def _lexical(self, ids: Sequence[int], weights: Sequence[float]) -> Weights:
        largest: Weights = {}
        for index, weight in zip(ids, weights, strict=True):
            if index not in self._no_words and weight > largest.get(str(index), 0):
                largest[str(index)] = weight
        return largest


def _linear(source: Source, name: str, width: int) -> Dense:
    """The layer in a file of torch.save with a weight and a bias."""
    path = source.find_if_known(name)
    if path is None:
        raise FileNotFoundError(
            f"{source.missing(name)}: BGEM3Encoder needs it beside the encoder; SentenceEncoder does without"
        )
    weight, bias = read_tensor(path, "weight"), read_tensor(path, "bias")
    if weight.ndim != 2 or weight.shape[1] != width or bias.shape != weight.shape[:1]:
        raise WeightsError(
            f"{path}: found a weight {list(weight.shape)} and a bias {list(bias.shape)}, expected [n, {width}] and [n]"
        )
    return Dense(weight, bias)


def _matching(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    return sum(weight * other[token] for token, weight in one.items() if token in other)
