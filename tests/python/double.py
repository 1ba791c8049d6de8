"""transformers computes some steps in float32 whatever a model's dtype is; an evaluation in float64 must not."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock


@contextmanager
def throughout(torch: Any) -> Iterator[None]:
    """Within, float64 stays float64: norms, rotations and softmax do not go through float32."""
    to, single, softmax = torch.Tensor.to, torch.Tensor.float, torch.nn.functional.softmax

    def is_double(tensor: Any) -> bool:
        return bool(tensor.dtype == torch.float64)

    def kept(tensor: Any, *args: Any, **kwargs: Any) -> Any:
        lowers = torch.float32 in args or kwargs.get("dtype") == torch.float32
        return tensor if is_double(tensor) and lowers else to(tensor, *args, **kwargs)

    def kept_softmax(tensor: Any, dim: int, dtype: Any = None) -> Any:
        return softmax(tensor, dim=dim, dtype=None if is_double(tensor) else dtype)

    with (
        mock.patch.object(torch.Tensor, "to", kept),
        mock.patch.object(torch.Tensor, "float", lambda tensor: tensor if is_double(tensor) else single(tensor)),
        mock.patch.object(torch.nn.functional, "softmax", kept_softmax),
    ):
        yield
