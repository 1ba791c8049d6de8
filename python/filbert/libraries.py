"""PyTorch and CuPy, for those who pass their arrays: arrays from them, and results to them. Imports neither."""

import sys
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt


class Like(Protocol):
    """An array of a library, as the pattern of results."""

    @property
    def device(self) -> str:
        """Where it is, in the words of `EncoderModel.device`."""

    def to_numpy(self) -> npt.NDArray[Any]:
        """Its numbers: the same memory, or a copy of what is on a GPU; floating-point ones of any width."""

    def from_numpy(self, array: npt.NDArray[Any]) -> Any:
        """An array of the library on the same device: the same memory, or a copy on a GPU."""

    def zeros(self, shape: tuple[int, ...]) -> tuple[Any, int]:
        """A float32 array on the same device, whose zeros have been written, and its address."""


class LikeTorch:
    def __init__(self, torch: Any, tensor: Any) -> None:
        self._torch, self._tensor = torch, tensor

    @property
    def device(self) -> str:
        return str(self._tensor.device)

    def to_numpy(self) -> npt.NDArray[Any]:
        tensor = self._tensor.detach().cpu()
        array: npt.NDArray[Any] = (tensor.float() if tensor.is_floating_point() else tensor).numpy()
        return array

    def from_numpy(self, array: npt.NDArray[Any]) -> Any:
        return self._torch.from_numpy(array).to(self._tensor.device)

    def zeros(self, shape: tuple[int, ...]) -> tuple[Any, int]:
        zeros = self._torch.zeros(shape, dtype=self._torch.float32, device=self._tensor.device)
        if zeros.is_cuda:
            self._torch.cuda.current_stream(zeros.device).synchronize()
        return zeros, zeros.data_ptr()


class LikeCuPy:
    def __init__(self, cupy: Any, array: Any) -> None:
        self._cupy, self._array = cupy, array

    @property
    def device(self) -> str:
        return f"cuda:{self._array.device.id}"

    def to_numpy(self) -> npt.NDArray[Any]:
        array: npt.NDArray[Any] = self._array.get()
        return array

    def from_numpy(self, array: npt.NDArray[Any]) -> Any:
        with self._array.device:
            return self._cupy.asarray(array)

    def zeros(self, shape: tuple[int, ...]) -> tuple[Any, int]:
        with self._array.device:
            zeros = self._cupy.zeros(shape, np.float32)
            self._cupy.cuda.get_current_stream().synchronize()
        return zeros, zeros.data.ptr


def like(value: Any) -> Like | None:
    """`value` as the pattern of results if it is an array of PyTorch or CuPy."""
    torch, cupy = sys.modules.get("torch"), sys.modules.get("cupy")
    if torch is not None and isinstance(value, getattr(torch, "Tensor", ())):
        return LikeTorch(torch, value)
    if cupy is not None and isinstance(value, getattr(cupy, "ndarray", ())):
        return LikeCuPy(cupy, value)
    return None
