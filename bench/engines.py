"""The libraries that are compared, behind one interface: [batch, seq] token ids in, the last hidden state out."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cases import PRECISIONS
from exports import ModelFiles, torch_class

Forward = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Spec:
    """How an engine is made. Some libraries have two variants; the better one of a case counts."""

    library: str
    variant: str
    precision: str
    load: Callable[[ModelFiles, int], Forward]

    @property
    def name(self) -> str:
        return f"{self.library} {self.variant}".strip()


def filbert_engine(folder: Path, precision: str, threads: int) -> Forward:
    from filbert import AutoModel

    model = AutoModel.from_pretrained(folder, dtype=precision, num_threads=threads, add_pooling_layer=False)
    return lambda ids: model(ids).last_hidden_state


def each_precision(load: Callable[[str], Any]) -> dict[str, Any]:
    """What `load` makes of each dtype that this build of filbert computes in; says which it does not."""
    from filbert import DeviceError

    found = {}
    for precision in PRECISIONS:
        try:
            found[precision] = load(precision)
        except DeviceError as error:
            print(f"filbert {precision}: not available: {error}", flush=True)
    return found


def torch_engine(folder: Path, precision: str, threads: int) -> Forward:
    import torch

    torch.set_num_threads(threads)
    model = torch_class(folder).from_pretrained(folder, dtype=getattr(torch, precision)).eval()  # sdpa where there is
    model.pooler = None  # not every family takes add_pooling_layer
    model.config.use_cache = False  # of keys and values, in what is also a decoder

    def forward(ids: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return model(torch.from_numpy(ids)).last_hidden_state.float().numpy()

    return forward


def onnxruntime_session(path: Path, threads: int, entries: dict[str, str] | None = None) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    for key, value in (entries or {}).items():
        options.add_session_config_entry(key, value)
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def onnxruntime_engine(path: Path, threads: int, entries: dict[str, str] | None = None) -> Forward:
    session = onnxruntime_session(path, threads, entries)
    return lambda ids: session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0]


def openvino_model(path: Path, precision: str, threads: int, shape: tuple[int, ...] = (), **settings: Any) -> Any:
    """shape: of all inputs, if it is to be known beforehand."""
    import openvino

    core = openvino.Core()
    model = core.read_model(path)
    if shape:
        model.reshape({each.any_name: list(shape) for each in model.inputs})
    options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
    if precision != "int8":  # what is not in int8 there is in what OpenVINO chooses for the machine
        options["INFERENCE_PRECISION_HINT"] = {"float32": "f32", "bfloat16": "bf16"}[precision]
    return core.compile_model(model, "CPU", options | settings)


def openvino_engine(path: Path, precision: str, threads: int, **settings: Any) -> Forward:
    request = openvino_model(path, precision, threads, **settings).create_infer_request()
    return lambda ids: request.infer({"input_ids": ids, "attention_mask": np.ones_like(ids)})[0]


def ctranslate2_encoder(path: Path, precision: str, threads: int) -> Any:
    import ctranslate2

    kind = {"float32": "float32", "int8": "int8_float32"}[precision]
    return ctranslate2.Encoder(str(path), compute_type=kind, inter_threads=1, intra_threads=threads)


def ctranslate2_engine(path: Path, precision: str, threads: int) -> Forward:
    import ctranslate2

    encoder = ctranslate2_encoder(path, precision, threads)

    def forward(ids: np.ndarray) -> np.ndarray:
        lengths = np.full(len(ids), ids.shape[1], np.int32)
        views = (ctranslate2.StorageView.from_array(array) for array in (ids.astype(np.int32), lengths))
        return np.array(encoder.forward_batch(*views).last_hidden_state)

    return forward


def _of_folder(library: str, precision: str, make: Callable[[Path, str, int], Forward]) -> Spec:
    return Spec(library, "", precision, lambda files, threads: make(files.folder(), precision, threads))


def _onnxruntime(variant: str, precision: str, path: Callable[[ModelFiles], Path]) -> Spec:
    return Spec("onnxruntime", variant, precision, lambda files, threads: onnxruntime_engine(path(files), threads))


def _openvino(precision: str, path: Callable[[ModelFiles], Path] = ModelFiles.openvino) -> Spec:
    return Spec("openvino", "", precision, lambda files, threads: openvino_engine(path(files), precision, threads))


def _ctranslate2(precision: str) -> Spec:
    return Spec(
        "ctranslate2", "", precision, lambda files, threads: ctranslate2_engine(files.ctranslate2(), precision, threads)
    )


ENGINES = (
    _of_folder("filbert", "float32", filbert_engine),
    _of_folder("filbert", "bfloat16", filbert_engine),
    _of_folder("filbert", "int8", filbert_engine),
    _of_folder("torch", "float32", torch_engine),
    _of_folder("torch", "bfloat16", torch_engine),
    _onnxruntime("", "float32", ModelFiles.onnx),
    _onnxruntime("fused", "float32", ModelFiles.fused_onnx),
    _onnxruntime("", "int8", ModelFiles.int8_onnx),
    _onnxruntime("fused", "int8", ModelFiles.fused_int8_onnx),
    _openvino("float32"),
    _openvino("bfloat16"),
    _openvino("int8", ModelFiles.int8_openvino),
    _ctranslate2("float32"),
    _ctranslate2("int8"),
)
LIBRARIES = tuple(dict.fromkeys(spec.library for spec in ENGINES))


def quiet(threads: int) -> None:
    """For the libraries that read the environment when they are imported: how many threads, and what to print."""
    os.environ["OMP_NUM_THREADS"] = os.environ["FILBERT_NUM_THREADS"] = str(threads)
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["TQDM_DISABLE"] = "1"
