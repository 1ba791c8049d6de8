"""Small BERT checkpoints, written with the reference tools (json, safetensors) and without filbert or torch."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

TINY = {
    "architectures": ["BertModel"],
    "model_type": "bert",
    "vocab_size": 40,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 24,
    "type_vocab_size": 2,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "initializer_range": 0.02,
    "pad_token_id": 0,
}


def shapes(config: dict[str, Any] = TINY, pooler: bool = True) -> dict[str, tuple[int, ...]]:
    """Every tensor of a BertModel, as transformers names it."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    result: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (config["vocab_size"], hidden),
        "embeddings.position_embeddings.weight": (config["max_position_embeddings"], hidden),
        "embeddings.token_type_embeddings.weight": (config["type_vocab_size"], hidden),
    }
    linear = {}
    norms = ["embeddings.LayerNorm"]
    for layer in range(config["num_hidden_layers"]):
        base = f"encoder.layer.{layer}."
        for name in ("query", "key", "value"):
            linear[f"{base}attention.self.{name}"] = (hidden, hidden)
        linear[f"{base}attention.output.dense"] = (hidden, hidden)
        linear[f"{base}intermediate.dense"] = (inner, hidden)
        linear[f"{base}output.dense"] = (hidden, inner)
        norms += [f"{base}attention.output.LayerNorm", f"{base}output.LayerNorm"]
    if pooler:
        linear["pooler.dense"] = (hidden, hidden)
    for name, shape in linear.items():
        result[f"{name}.weight"], result[f"{name}.bias"] = shape, shape[:1]
    for name in norms:
        result[f"{name}.weight"] = result[f"{name}.bias"] = (hidden,)
    return result


def tensors(config: dict[str, Any] = TINY, pooler: bool = True, seed: int = 0) -> dict[str, np.ndarray]:
    """Random float32 weights of a size that keeps every part of the model busy."""
    generator = np.random.default_rng(seed)
    return {
        name: (generator.standard_normal(shape) * 0.2 + name.endswith("LayerNorm.weight")).astype(np.float32)
        for name, shape in shapes(config, pooler).items()
    }


def write_folder(
    folder: Path, config: dict[str, Any] | None = None, weights: dict[str, np.ndarray] | None = None
) -> Path:
    """A folder with config.json and model.safetensors."""
    folder.mkdir(parents=True, exist_ok=True)
    config = TINY if config is None else config
    (folder / "config.json").write_text(json.dumps(config))
    save_file(tensors(config) if weights is None else weights, folder / "model.safetensors", {"format": "pt"})
    return folder
