"""transformers (SDPA) on a GPU: as it is, and compiled by torch with CUDA graphs."""

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gpu_cases import Batch
from gpu_engines import Engine


class TorchEngine(Engine):
    """Without a mask where no token is padding: that lets attention take its fast path."""

    def __init__(self, model: Any, batch: Batch, compiled: bool = False) -> None:
        self._model, self._batch = model, batch
        self._embed = self._eager
        if compiled:
            torch._dynamo.reset()  # or earlier shapes count against the limit above which it compiles no more
            self._embed = torch.compile(self._eager, mode="max-autotune", dynamic=False)
        self.device_ms: list[float] = []

    @torch.inference_mode()
    def run(self) -> np.ndarray:
        return self._embed(*self._upload())[1].cpu().numpy()

    @torch.inference_mode()
    def token_vectors(self) -> np.ndarray:
        return self._embed(*self._upload())[0].float().cpu().numpy()[self._batch.mask]

    @torch.inference_mode()
    def run_on_device(self) -> None:
        ids, mask = self._uploaded
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        self._embed(ids, mask)
        end.record()
        end.synchronize()
        self.device_ms.append(begin.elapsed_time(end))

    def _eager(self, ids: torch.Tensor, mask: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = self._model(input_ids=ids, attention_mask=mask).last_hidden_state
        if mask is None:
            mean = hidden.mean(dim=1, dtype=torch.float32)
        else:
            mean = (hidden * mask[:, :, None]).sum(dim=1, dtype=torch.float32) / mask.sum(dim=1, keepdim=True)
        return hidden, torch.nn.functional.normalize(mean, dim=1)

    def _upload(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        batch, device = self._batch, self._model.device
        mask = None if batch.mask.all() else torch.from_numpy(batch.mask).to(device)
        return torch.from_numpy(batch.ids).to(device), mask

    @cached_property
    def _uploaded(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        return self._upload()


def torch_model(folder: Path, precision: str) -> Any:
    """On the GPU, or where torch has none (it then serves as the reference only) on the CPU."""
    from transformers import AutoModel

    model = AutoModel.from_pretrained(
        folder, dtype=getattr(torch, precision), attn_implementation="sdpa", add_pooling_layer=False
    )
    return model.eval().to("cuda" if torch.cuda.is_available() else "cpu")


def no_torch_cuda() -> str:
    """Why torch cannot use a GPU here, or nothing."""
    if torch.cuda.is_available():
        return ""
    built = f"for CUDA {torch.version.cuda}, which finds no GPU" if torch.version.cuda else "without CUDA"
    return f"torch {torch.__version__} is built {built}"
