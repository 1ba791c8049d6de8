"""Writes the numbers that tests/python/test_golden.py checks without torch, a file for each family.

    python tests/golden/make.py            # all
    python tests/golden/make.py albert     # one, as when a family lands

golden_cases.py draws the weights, so only outputs are stored: those of transformers in float64, and the error of
torch's own float32 as the measure of what is allowed.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from golden_cases import CASES, HEADS, OUTPUTS, Arrays, Config, inputs, kept, weights

from filbert.models import FAMILIES, class_of
from filbert.reference import float64_throughout

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parent / "python"))

import test_jina_bert  # noqa: E402
import test_nomic_moe  # noqa: E402

# Pieces of the names in the files of GTE's authors, and of those in transformers.
_NEW_NAMES = {
    "encoder.layer.": "layers.",
    "attention.": "self_attn.",
    "attn_ln": "post_attention_layernorm",
    "mlp_ln": "post_mlp_layernorm",
    "lm_head.norm": "lm_head.layer_norm",
}
_NEW_JOINED = {"qkv_proj": ("q_proj", "k_proj", "v_proj"), "up_gate_proj": ("up_proj", "gate_proj")}


def main() -> None:
    for model_type in sys.argv[1:] or CASES:
        arrays: Arrays = {}
        for case in CASES[model_type]:
            call, tensors = inputs(model_type, case), weights(model_type, case)
            single, double = evaluate(model_type, case, tensors, call)
            for name, expected in double.items():
                rows = call["attention_mask"].astype(bool)
                if case == "classes" or name == "pooler_output":
                    rows = np.ones(expected.shape, bool)
                elif expected.ndim == 3:
                    rows = rows[:, :, None]
                expected = kept(case, np.where(rows, expected, 0))
                arrays[f"{case}/{name}"] = expected
                own = kept(case, np.where(rows, single[name], 0))
                arrays[f"{case}/{name}/error"] = np.abs(own - expected).max()
        versions = {"torch": torch.__version__, "transformers": transformers.__version__}
        arrays["versions"] = np.array(json.dumps(versions))
        np.savez_compressed(FOLDER / f"{model_type}.npz", **arrays)


def evaluate(model_type: str, case: str, tensors: Arrays, call: Arrays) -> list[Arrays]:
    """The outputs in float32 and in float64."""
    config = CASES[model_type][case]
    dtypes = (torch.float32, torch.float64)
    if "num_experts" in config:  # which transformers has not
        states = [test_nomic_moe.evaluate(torch, config, tensors, dtype, **call)[-1] for dtype in dtypes]
        return [{"last_hidden_state": each} for each in states]
    if config.get("position_embedding_type") == "alibi":  # nor this
        states = [test_jina_bert.evaluate(torch, config, tensors, "geglu", dtype, **call)[-1] for dtype in dtypes]
        return [{"last_hidden_state": each} for each in states]
    if model_type == "model2vec":
        return [{"last_hidden_state": tensors["embeddings"][call["input_ids"]]}] * 2
    model = reference(model_type, config, HEADS[case][0] if case in HEADS else "Model", tensors)
    with torch.no_grad():
        single = model(**{name: torch.from_numpy(value) for name, value in call.items()})
        with float64_throughout(torch):
            double = model.double()(**{name: torch.from_numpy(value) for name, value in call.items()})
    names = [name for name in OUTPUTS if double.get(name) is not None]
    return [{name: outputs[name].numpy() for name in names} for outputs in (single, double)]


def reference(model_type: str, config: Config, kind: str, tensors: Arrays) -> Any:
    config = dict(config)
    if model_type == "new":  # transformers has it as "gte"
        model_type, tensors = "gte", as_gte(tensors)
    if model_type == "ultrabert":  # transformers renames what its authors' files have
        tensors = {name.replace("cls.weight", "head.decoder.weight"): tensor for name, tensor in tensors.items()}
    is_ntk = config.get("rope_scaling", {}).get("type") == "ntk"
    scaling = config.pop("rope_scaling") if is_ntk else None
    settings = getattr(transformers, f"{FAMILIES[model_type][1]}Config")(**config, attn_implementation="eager")
    model = getattr(transformers, class_of(model_type, kind).__name__)(settings).eval()
    own, prefix = model.state_dict(), model.base_model_prefix  # which a base below a head has, and filbert drops
    named = {name if name in own else f"{prefix}.{name}": tensor for name, tensor in tensors.items()}
    loaded = model.load_state_dict({name: torch.from_numpy(tensor) for name, tensor in named.items()}, strict=False)
    assert not loaded.unexpected_keys
    # Of ESM, and RoFormer's sines.
    kinds = ("contact_head.", ".inv_freq", ".embed_positions.")
    not_in_filbert = {key for key in own if any(kind in key for kind in kinds)}
    assert set(loaded.missing_keys) <= {*model.all_tied_weights_keys, *not_in_filbert}
    model.tie_weights()
    if scaling:  # of a kind that transformers has not: the formula's frequencies
        size, factor = config["hidden_size"] // config["num_attention_heads"], scaling["factor"]
        frequencies = (config["rope_theta"] * factor) ** (-np.arange(0, size, 2) / size) / factor ** (2 / size)
        getattr(model, prefix, model).rotary_emb.inv_freq = torch.tensor(frequencies, dtype=torch.float32)
    return model


def as_gte(tensors: Arrays) -> Arrays:
    found = {}
    for name, tensor in tensors.items():
        for old, new in _NEW_NAMES.items():
            name = name.replace(old, new)
        joined = next((joined for joined in _NEW_JOINED if f".{joined}." in name), "")
        pieces = _NEW_JOINED.get(joined, ("",))
        for piece, part in zip(pieces, np.split(tensor, len(pieces)), strict=True):
            found[name.replace(joined, piece) if joined else name] = part
    return found


if __name__ == "__main__":
    main()
