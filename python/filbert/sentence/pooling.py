"""Pooling: the vectors of the tokens of a text to one vector."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ConfigError
from ..hub import Source
from ..jsonfile import read_object
from ..settings import warn_about_unknown
from .transformer import optional, within
from .vectors import Floats

# Settings of older files, in the order in which the vectors of several stand.
_LEGACY = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
MODES = tuple(_LEGACY.values())
# Those that the engine does, and nobody else needs the vectors of tokens for.
ENGINE_MODES = ("cls", "mean", "max", "lasttoken")


@dataclass
class Pooling:
    """modes: one after the other, side by side in the vector. dimension: numbers of a token's vector, or None if no
    file says it.
    include_prompt: whether the tokens of a prompt count."""

    modes: tuple[str, ...] = ("mean",)
    dimension: int | None = None
    include_prompt: bool = True

    kind = "Pooling"

    def __call__(self, tokens: Floats, skipped: int = 0) -> Floats:
        """One vector [len(modes) * hidden] of the vectors of a text's tokens [n, hidden].

        skipped: tokens at the beginning that do not count. Without any that count, zeros.
        """
        kept = tokens[skipped:]
        if not len(kept):
            return np.zeros(len(self.modes) * tokens.shape[1], np.float32)
        return np.concatenate([self._pooled(mode, kept, skipped) for mode in self.modes])

    def _pooled(self, mode: str, kept: Floats, skipped: int) -> Floats:
        pooled: Floats
        if mode == "cls":
            pooled = kept[0]
        elif mode == "lasttoken":
            pooled = kept[-1]
        elif mode == "max":
            pooled = kept.max(axis=0)
        elif mode == "weightedmean":
            weights = np.arange(skipped + 1, skipped + 1 + len(kept), dtype=np.float32)
            pooled = (kept * weights[:, None]).sum(axis=0) / weights.sum()
        else:
            count = np.float32(len(kept))
            pooled = kept.sum(axis=0) / (count if mode == "mean" else np.sqrt(count))
        return pooled

    def config(self) -> dict[str, Any]:
        """The settings, under the keys that all versions of sentence-transformers know where these can say it."""
        modes: dict[str, Any] = {key: mode in self.modes for key, mode in _LEGACY.items()}
        if [mode for mode in MODES if mode in self.modes] != [*self.modes]:
            modes = {"pooling_mode": [*self.modes]}
        return {"word_embedding_dimension": self.dimension, **modes, "include_prompt": self.include_prompt}

    def __str__(self) -> str:
        return f"{' and '.join(self.modes)} pooling"


def read_pooling(source: Source, folder: str) -> Pooling:
    """The Pooling module in a folder of a model. Raises ConfigError and OSError."""
    path = source.get(within(folder, "config.json"))
    config = read_object(path)
    modes = config.get("pooling_mode")
    if modes is None:
        modes = [mode for key, mode in _LEGACY.items() if config.get(key)] or ["mean"]
    modes = [modes] if isinstance(modes, str) else modes
    if not isinstance(modes, list) or not modes or any(mode not in MODES for mode in modes):
        found = " and ".join(map(str, modes)) if isinstance(modes, list) else modes
        raise ConfigError(f"{path}: found pooling {found}, supported: any of {', '.join(MODES)}")
    dimension = optional(path, config, "embedding_dimension", int)
    if dimension is None:
        dimension = optional(path, config, "word_embedding_dimension", int)
    known = {"pooling_mode", "embedding_dimension", "word_embedding_dimension", "include_prompt"}
    warn_about_unknown(path, config, known | {*_LEGACY})
    return Pooling(tuple(modes), dimension, optional(path, config, "include_prompt", bool) is not False)
