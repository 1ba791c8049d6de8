"""What programs written for sentence-transformers call on a model, apart from encoding."""

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from ..checks import optional_count
from ..encoder import EncoderModel
from ..errors import InputError
from ..habits import ModuleHabits

Encoder = TypeVar("Encoder", bound="EncoderHabits")


class ModelCardData:
    """Where the evaluators of sentence-transformers leave their results: `evaluations`, of each the evaluator, its
    metrics, and the epoch and steps of a training, if there is one.

    model_name, base_model, base_model_revision: None, and there for programs that read or set them.
    """

    def __init__(self) -> None:
        self.model_name: str | None = None
        self.base_model: str | None = None
        self.base_model_revision: str | None = None
        self.evaluations: list[tuple[Any, dict[str, float], int, int]] = []

    def set_evaluation_metrics(
        self, evaluator: Any, metrics: dict[str, float], epoch: int = 0, steps: int = 0, **others: Any
    ) -> None:
        self.evaluations.append((evaluator, metrics, epoch, steps))


class EncoderHabits(ModuleHabits):
    """Of a class with `device`, `max_seq_length`, `_models` and `_save`."""

    @property
    def device(self) -> str:
        raise NotImplementedError

    @property
    def max_seq_length(self) -> int:
        raise NotImplementedError

    def _models(self) -> Sequence[EncoderModel]:
        raise NotImplementedError

    def _save(self, folder: str) -> None:
        raise NotImplementedError

    def save_pretrained(
        self,
        path: str | os.PathLike[str],
        model_name: str | None = None,
        create_model_card: bool = True,
        train_datasets: Any = None,
        safe_serialization: bool = True,
    ) -> None:
        """Writes the model into a folder, for sentence-transformers too; see `EncoderModel.save_pretrained`.

        A model of late interaction is written as a MultiVectorEncoder of sentence-transformers 6, whatever format it
        was read from. The other arguments are sentence-transformers' and change nothing: filbert writes no model card,
        and always safetensors.

        Raises:
            InputError: an `activation_fn` that files have no name for, or steps of one's own that are no module.
            OSError: until all files are written, the old ones are as they were.
        """
        self._save(os.fspath(path))

    save = save_pretrained

    def to(self: Encoder, *args: Any, device: Any = None, dtype: Any = None) -> Encoder:
        """Moves the model to a device, or to another dtype, in either order. Raises DeviceError and InputError."""
        for model in self._models():
            model.to(*args, device=device, dtype=dtype)
        return self

    def get_max_seq_length(self) -> int:
        """The same as `max_seq_length`."""
        return self.max_seq_length

    def get_backend(self) -> str:
        """The library that runs the model, for programs that ask whether that is PyTorch: "filbert"."""
        return "filbert"

    @property
    def backend(self) -> str:
        """The same as `get_backend()`."""
        return self.get_backend()

    def start_multi_process_pool(self, target_devices: list[str] | None = None) -> dict[str, Any]:
        """Something to pass as `pool`, for programs that do. No process starts: one uses all cores.

        target_devices: only the model's own, however often. Raises InputError for others: load a model for each.
        """
        self._check_devices(target_devices or [])
        return {"input": None, "output": None, "processes": []}

    @staticmethod
    def stop_multi_process_pool(pool: dict[str, Any]) -> None:
        """Does nothing."""

    def _move(self, device: Any) -> None:
        """To a device; of a list of devices checks that the model is there already. Raises DeviceError, InputError."""
        if isinstance(device, list | tuple):
            self._check_devices(list(device))
        else:
            self.to(device=device)

    def _check_devices(self, devices: list[Any]) -> None:
        for device in devices:
            if str(device) not in (self.device, self.device.split(":")[0]):
                raise InputError(f"device: found {device!r}, the model is on {self.device!r}; load one for each device")


class SentenceHabits(EncoderHabits):
    """Of a class with `encode` and `truncate_dim`, too."""

    encode: Any
    truncate_dim: int | None

    @contextmanager
    def truncate_embeddings(self, truncate_dim: int | None) -> Iterator[None]:
        """Within it, vectors keep their first `truncate_dim` numbers."""
        before, self.truncate_dim = self.truncate_dim, optional_count("truncate_dim", truncate_dim)
        try:
            yield
        finally:
            self.truncate_dim = before

    truncate_sentence_embeddings = truncate_embeddings  # the older name

    def encode_multi_process(
        self,
        sentences: Any,
        pool: dict[str, Any],
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        chunk_size: int | None = None,
        show_progress_bar: bool | None = None,
        precision: str = "float32",
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
    ) -> Any:
        """The older name of `encode` with a pool."""
        warnings.warn("encode_multi_process is the older name of encode", DeprecationWarning, stacklevel=2)
        return self.encode(
            sentences,
            prompt_name,
            prompt,
            batch_size,
            show_progress_bar,
            precision=precision,
            normalize_embeddings=normalize_embeddings,
            truncate_dim=truncate_dim,
            pool=pool,
            chunk_size=chunk_size,
        )
