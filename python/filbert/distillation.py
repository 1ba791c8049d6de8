"""A static model out of an encoder: a vector for each token, and no transformer (https://github.com/MinishLab/model2vec)."""

import os
import re
from typing import Any

import numpy as np
import numpy.typing as npt

from .batching import TOKEN_BUDGET
from .checks import optional_count
from .errors import ConfigError, InputError
from .hub import Source
from .progress import Bar
from .scores import Floats
from .sentence.chain import Chain
from .sentence.cuts import Cuts
from .sentence.encoder import SentenceEncoder
from .sentence.loading import load_chains
from .sentence.modules import read_modules
from .static_files import StaticFiles
from .tokenization import Tokenizer

Doubles = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

# Places that vocabularies keep free: [unused12] of BERT, <unused12> of Gemma.
_UNUSED = re.compile(r"[\[<]unused_?\d+[\]>]")
# Rows that are widened to float64 at a time.
_ROWS = 8192


def distill(
    pretrained_model_name_or_path: str | os.PathLike[str],
    save_directory: str | os.PathLike[str],
    *,
    dims: int | None = 256,
    sif_coefficient: float | None = 1e-4,
    device: Any = "cpu",
    num_threads: int | None = None,
    dtype: Any = None,
    revision: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    token: str | bool | None = None,
    local_files_only: bool = False,
    show_progress_bar: bool | None = None,
) -> SentenceEncoder:
    """Makes a static model of a sentence encoder by the method of Model2Vec, with no training and no texts.

    Each token of the vocabulary goes through the encoder alone, between the special tokens that a text gets. The
    vectors are turned onto their principal axes, of which the first are kept, and weighted by how rare a token is: the
    ids of vocabularies follow frequency, so the n-th token is taken to be seen 1/(n+1) times as often (Zipf). A text's
    vector is the mean of its tokens' vectors, scaled to length 1. That is far quicker than the encoder, and knows
    neither the order of words nor what they mean together.

    Special tokens, the unknown one and [unused...] have vectors of zeros, so they count for nothing; ids are those of
    the encoder's tokenizer, which is saved unchanged.

    Args:
        pretrained_model_name_or_path: a sentence encoder: a folder or an id on the hub.
        save_directory: where the static model goes. filbert, model2vec and sentence-transformers load it from there.
        dims: numbers of a vector; all of them where the encoder has fewer, or if None.
        sif_coefficient: `a` in the weight a / (a + p) of a token of probability p; smaller values leave frequent
            tokens less. None: all weigh the same.
        device, num_threads, dtype, revision, cache_dir, token, local_files_only: see `AutoModel.from_pretrained`.
        show_progress_bar: None shows one on a terminal if it takes over a second.

    Returns:
        The static model, opened.

    Raises:
        ConfigError: the model is static already, or is no sentence encoder that filbert has.
        InputError: an argument makes no sense, `save_directory` is the model's own folder, or the model has a Router
            that needs a task.
        WeightsError, DeviceError, MemoryError: see `AutoModel.from_pretrained`.
        OSError: the model cannot be read, or `save_directory` not be written; files that were there survive.
    """
    dims = optional_count("dims", dims)
    if sif_coefficient is not None and not 0 < sif_coefficient < np.inf:
        raise InputError(f"sif_coefficient: found {sif_coefficient!r}, expected a number above 0, or None")
    hub: dict[str, Any] = {"cache_dir": cache_dir, "token": token, "local_files_only": local_files_only}
    source = Source(pretrained_model_name_or_path, revision=revision, **hub)
    if source.is_local and os.path.isdir(save_directory) and os.path.samefile(source.name, save_directory):
        raise InputError(f"{source.name}: is both the model and where the static model goes")
    modules = read_modules(source)
    if modules.chain()[0][0] == "StaticEmbedding":
        raise ConfigError(f"{source.name}: is a static model already, with no encoder to distil")
    with StaticFiles(save_directory) as files:
        options = {"device": device, "num_threads": num_threads, "dtype": dtype}
        chain = load_chains(source, modules, hub, Cuts(), **options)[None]
        tokenizer = chain.tokenizer
        ids = meaningful_ids(tokenizer)
        vectors = token_vectors(chain, ids, show_progress_bar)
        kept = principal_components(vectors, min(dims or chain.size, chain.size))
        table = np.zeros((max(tokenizer.get_vocab().values()) + 1, kept.shape[1]), np.float32)
        table[ids] = kept * zipf_weights(len(ids), sif_coefficient)[:, None]
        name = os.path.basename(os.path.realpath(source.name)) if source.is_local else source.name
        files.write(table, tokenizer, {"tokenizer_name": name, "apply_pca": dims, "sif_coefficient": sif_coefficient})
    return SentenceEncoder.from_pretrained(save_directory)


def meaningful_ids(tokenizer: Tokenizer) -> Integers:
    """The ids, in their order, of tokens that stand for text. Raises ConfigError if there is none."""
    special = set(tokenizer.all_special_ids)
    ids = [i for token, i in tokenizer.get_vocab().items() if i not in special and not _UNUSED.fullmatch(token)]
    if not ids:
        raise ConfigError(f"{tokenizer.name_or_path}: its tokenizer has special tokens only")
    return np.sort(np.array(ids, np.int64))


def token_vectors(chain: Chain, ids: Integers, show: bool | None) -> Floats:
    """What the modules make of each token alone: float32 [ids, size]. Raises ConfigError and MemoryError.

    Without Normalize: a token whose vector is long says more, and says so in the mean of a text's tokens.
    """
    assert chain.pooling is not None
    before, after = _special_tokens(chain.tokenizer)
    length = len(before) + 1 + len(after)
    step = max(TOKEN_BUDGET // length, 1)
    vectors = np.empty((len(ids), chain.size), np.float32)
    with Bar(len(ids), show, "Distilling", unit="token") as bar:
        for start in range(0, len(ids), step):
            some = ids[start : start + step]
            rows = np.tile(np.array([*before, 0, *after], np.int64), (len(some), 1))
            rows[:, len(before)] = some
            states = chain.model.run_packed(rows.ravel(), np.arange(len(some) + 1, dtype=np.int64) * length)
            pooled = np.stack([chain.pooling(state) for state in states.reshape(len(some), length, -1)])
            for module in chain.steps:
                pooled = pooled if module.kind == "Normalize" else module(pooled, chain.model.num_threads)
            vectors[start : start + step] = pooled
            bar.update(len(some))
    return vectors


def principal_components(vectors: Floats, size: int) -> Floats:
    """The first `size` coordinates of the rows of [n, hidden], less their mean, on the principal axes of all.

    The axes are eigenvectors of the covariance, in float64: of [hidden, hidden], where a singular value decomposition
    would be of [n, hidden]. Of the two directions of an axis it is the one whose largest number is positive.
    """
    mean = vectors.mean(axis=0, dtype=np.float64)
    covariance = np.zeros((vectors.shape[1], vectors.shape[1]))
    for start in range(0, len(vectors), _ROWS):
        centred = vectors[start : start + _ROWS] - mean
        covariance += centred.T @ centred
    _, axes = np.linalg.eigh(covariance)
    axes = axes[:, ::-1][:, :size]
    largest = np.abs(axes).argmax(axis=0)
    axes = axes * np.sign(axes[largest, np.arange(size)])
    found = np.empty((len(vectors), size), np.float32)
    for start in range(0, len(vectors), _ROWS):
        found[start : start + _ROWS] = (vectors[start : start + _ROWS] - mean) @ axes
    return found


def zipf_weights(count: int, sif_coefficient: float | None) -> Doubles:
    """Weights [count] of tokens, the most frequent first, by their probabilities under Zipf's law (see `distill`)."""
    if sif_coefficient is None:
        return np.ones(count)
    chances = 1 / np.arange(2.0, count + 2)
    chances /= chances.sum()
    return sif_coefficient / (sif_coefficient + chances)


def _special_tokens(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """The ids that a text gets before and after its own."""
    sample = tokenizer.backend_tokenizer.encode("a")
    own = [index for index, is_special in enumerate(sample.special_tokens_mask) if not is_special]
    if not own:
        raise ConfigError(f"{tokenizer.name_or_path}: its tokenizer makes no token of the text 'a'")
    return sample.ids[: own[0]], sample.ids[own[-1] + 1 :]
