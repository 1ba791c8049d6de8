"""Writes bert.npz, the numbers that tests/python/test_golden.py checks without torch:  python tests/golden/make.py

Weights come from a frozen generator (numpy.random.RandomState), so only outputs are stored: those of transformers in
float64, and the error of torch's own float32 as the measure of what is allowed.
"""

import json
from pathlib import Path

import numpy as np

CASES = {
    "gelu": {"hidden_act": "gelu"},
    "gelu_new": {"hidden_act": "gelu_new", "layer_norm_eps": 1e-5},
    "relu_odd": {"hidden_act": "relu", "hidden_size": 45, "num_attention_heads": 5, "intermediate_size": 67},
    "silu_long": {"hidden_act": "silu", "num_hidden_layers": 1, "max_position_embeddings": 150},
}
DEFAULTS = {
    "model_type": "bert",
    "vocab_size": 60,
    "hidden_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 100,
    "max_position_embeddings": 40,
    "type_vocab_size": 2,
}


def configuration(case):
    return {**DEFAULTS, **CASES[case]}


def weights(shapes):
    """Float32 arrays for (name, shape) pairs, in the order of the names."""
    random = np.random.RandomState(0)
    return {
        name: (0.3 * random.standard_normal(shape) + name.endswith("LayerNorm.weight")).astype(np.float32)
        for name, shape in sorted(shapes)
    }


def inputs(config):
    """A batch with right padding, holes, left padding, token types and positions."""
    random = np.random.RandomState(1)
    shape = (4, config["max_position_embeddings"])
    mask = np.ones(shape, np.int64)
    mask[1, shape[1] // 2 :] = 0
    mask[2] = random.random_sample(shape[1]) < 0.6
    mask[3, :7] = 0
    return {
        "input_ids": random.randint(0, config["vocab_size"], shape),
        "attention_mask": mask,
        "token_type_ids": random.randint(0, 2, shape),
        "position_ids": np.stack([random.permutation(shape[1]) for _ in range(4)]),
    }


def main():
    import torch
    from transformers import BertConfig, BertModel

    arrays = {}
    for case in CASES:
        config = configuration(case)
        model = BertModel(BertConfig(**config, attn_implementation="eager")).eval()
        state = weights([(name, tuple(value.shape)) for name, value in model.state_dict().items()])
        model.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
        call = {name: torch.from_numpy(value) for name, value in inputs(config).items()}
        with torch.no_grad():
            single = model(**call)
            double = model.double()(**call)
        for name in ("last_hidden_state", "pooler_output"):
            rows = call["attention_mask"].bool()[:, :, None] if name == "last_hidden_state" else torch.tensor(True)
            expected = torch.where(rows, double[name], 0.0)
            error = (torch.where(rows, single[name].double(), 0.0) - expected).abs().max().item()
            arrays[f"{case}/{name}"] = expected.numpy()
            arrays[f"{case}/{name}/error"] = np.float64(error)
    arrays["versions"] = np.array(json.dumps({"torch": torch.__version__}))
    np.savez_compressed(Path(__file__).parent / "bert.npz", **arrays)


if __name__ == "__main__":
    main()
