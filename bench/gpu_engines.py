"""How engines are called on a GPU, and filbert as one of them; gpu_torch.py has those of torch.

All take a padded batch of token ids from host memory and give one vector a sequence back: the mean of its token
vectors, normalised. Last hidden states stay where they are, since the way to host memory would be most of the time.
"""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np

from gpu_cases import Batch

FILBERT, TORCH, COMPILED = "filbert", "torch", "torch.compile"
ENGINES = (FILBERT, TORCH, COMPILED)


class Engine(ABC):
    """A model for one batch."""

    device_ms: list[float] | None = None  # for one whose time on the device can be told

    def run_on_device(self) -> None:
        """Adds to device_ms what a batch takes that is on the device already."""
        raise NotImplementedError

    @abstractmethod
    def run(self) -> np.ndarray:
        """The vectors, [sequences, hidden]."""

    @abstractmethod
    def token_vectors(self) -> np.ndarray:
        """The last hidden state of the tokens that count, [tokens, hidden]."""


class FilbertEngine(Engine):
    """Texts of different lengths come to it one after the other, as tokenizers give them, without padding."""

    def __init__(self, model: Any, batch: Batch) -> None:
        self._model, self._batch = model, batch
        self._ids, self._cu_seqlens = batch.ids[batch.mask], batch.cu_seqlens

    def run(self) -> np.ndarray:
        return self._model.embed(self._ids, self._cu_seqlens, "mean", True)

    def token_vectors(self) -> np.ndarray:
        batch = self._batch
        return self._model(batch.ids, batch.mask).last_hidden_state[batch.mask]


def filbert_model(folder: Path, precision: str) -> Any:
    from filbert import AutoModel

    return AutoModel.from_pretrained(folder, dtype=precision, device="cuda", add_pooling_layer=False)


def no_filbert_cuda() -> str:
    """Why filbert cannot use a GPU here, or nothing."""
    try:
        from filbert import devices
    except ImportError as error:
        return f"filbert is not installed: {error}"
    found = [device for device in devices() if device.name.startswith("cuda")]
    return "" if any(device.available for device in found) else "; ".join(device.reason for device in found)
