"""The C++ engine. Everything raised here is a class of filbert.errors, OSError, MemoryError or KeyboardInterrupt."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__version__: str

class Weights:
    """Named tensors, memory-mapped or borrowed. Iteration order is by name."""
    def __init__(self, source: str | bytes = "memory") -> None:
        """No tensors; `source` names them in messages."""
    @staticmethod
    def open(path: str | bytes, mmap: bool = True) -> Weights:
        """Open a .safetensors file, a .safetensors.index.json (shards beside it) or a folder with either."""
    def add(self, name: str, dtype: str, shape: Sequence[int], data: Any) -> None:
        """Add a tensor; `data` is any C-contiguous buffer, kept alive. dtype as in safetensors: "F32", "BF16"..."""
    def names(self) -> list[str]: ...
    def dtype(self, name: str) -> str: ...
    def shape(self, name: str) -> tuple[int, ...]: ...
    def data(self, name: str) -> npt.NDArray[np.uint8]:
        """The tensor's bytes, read-only and without a copy; keeps this object alive."""
    @property
    def source(self) -> str: ...

class TensorSpec:
    name: str
    shape: tuple[int, ...]
    init: str  # "normal", "normal_padding_zero", "zeros", "ones"

class TensorMatch:
    tensors: list[tuple[str, str]]  # (name as transformers saves it, name in the weights)
    unexpected: list[str]
    head: bool  # whether the head's are among `tensors`
    has_head: bool  # whether the family has one for the task

class Model:
    def __init__(
        self,
        config_json: str,
        weights: Weights,
        *,
        device: str = "cpu",
        dtype: str = "float32",
        num_threads: int = 0,
        task: str = "model",  # or "encoder", "next-token", "masked-lm", "question-answering", "...-classification"
        require_head: bool = False,
    ) -> None: ...
    def forward(
        self,
        input_ids: npt.NDArray[np.int64],  # [batch, seq], C-contiguous
        attention_mask: npt.NDArray[np.uint8] | None = None,  # [batch, seq]
        token_type_ids: npt.NDArray[np.int64] | None = None,  # [batch, seq]
        position_ids: npt.NDArray[np.int64] | None = None,  # [batch, seq]
        last_hidden_state: bool = True,
        hidden_states: bool = False,
        attentions: bool = False,
        # From a shape to zeros in the memory of the model's device, and their address; None: NumPy arrays.
        allocate: Callable[[tuple[int, ...]], tuple[Any, int]] | None = None,
        # Of a head with a row a token: row * seq + column of those whose rows are wanted.
        head_tokens: npt.NDArray[np.int64] | None = None,
    ) -> tuple[
        Any | None,  # [batch, seq, hidden]
        Any | None,  # [batch, head_width], [batch, seq, head_width] or [n, head_width]
        list[Any] | None,  # layers + 1 of [batch, seq, hidden]
        list[npt.NDArray[np.float32]] | None,  # layers of [batch, heads, seq, seq]
    ]: ...
    def run(
        self,
        input_ids: npt.NDArray[np.int64],  # [tokens]
        cu_seqlens: npt.NDArray[np.int64],  # [sequences + 1]
        token_type_ids: npt.NDArray[np.int64] | None = None,  # [tokens]
        head_tokens: npt.NDArray[np.int64] | None = None,  # [n], of a head with a row a token
        head: bool = True,  # or the last hidden state
        query_only: npt.NDArray[np.int64] | None = None,  # [sequences], of the last tokens of each
    ) -> npt.NDArray[np.float32]:  # [sequences, tokens or n; head_width or hidden]
        ...
    def max_head(
        self,
        input_ids: npt.NDArray[np.int64],  # [tokens]
        cu_seqlens: npt.NDArray[np.int64],  # [sequences + 1]
        token_type_ids: npt.NDArray[np.int64] | None = None,  # [tokens]
    ) -> npt.NDArray[np.float32]:  # [sequences, head_width]
        ...
    def embed(
        self,
        input_ids: npt.NDArray[np.int64],  # [tokens]
        cu_seqlens: npt.NDArray[np.int64],  # [sequences + 1]
        pooling: str,  # "cls", "mean", "max", "lasttoken"
        normalize: bool,
    ) -> npt.NDArray[np.float32]:  # [sequences, hidden]
        ...
    device: str
    isa: str
    threads: int
    vocabulary: int
    hidden_size: int
    layers: int
    heads: int
    max_positions: int
    max_tokens: int
    head_width: int  # 0: no head
    head_per_token: bool

class DeviceInfo:
    name: str
    description: str
    available: bool
    reason: str
    isas: list[str]
    note: str
    threads: int

# Paths are bytes where they may be no UTF-8: os.fsencode.
def validate_config(config_json: str, source: str | bytes = "config", model_type: str = "") -> None: ...
def shard_names(index_path: str | bytes) -> list[str]: ...
def weight_map(index_path: str | bytes) -> dict[str, str]: ...  # tensor -> shard
def tensor_specs(config_json: str, task: str) -> list[TensorSpec]: ...
def match_tensors(
    config_json: str, weights: Weights, task: str, require_head: bool, source: str | bytes = "config"
) -> TensorMatch: ...
def devices() -> list[DeviceInfo]: ...
def maxsim(
    queries: npt.NDArray[np.float32],  # [n, width]
    query_bounds: npt.NDArray[np.int64],  # [queries + 1]
    documents: npt.NDArray[np.float32],  # [n, width]
    document_bounds: npt.NDArray[np.int64],  # [documents + 1]
    num_threads: int = 0,
) -> npt.NDArray[np.float32]:  # [queries, documents]
    ...
