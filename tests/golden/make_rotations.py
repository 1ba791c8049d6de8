"""Writes rotations.json: frequencies of scaled rotary positions as transformers computes them, for tests/cpp.

    python tests/golden/make_rotations.py

Of drawn settings, in both spellings: the configuration, the frequencies in float32, and what cosines and sines are
multiplied by.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

FILE = Path(__file__).with_name("rotations.json")
CASES = 30  # of each kind


def main() -> None:
    FILE.write_text("[\n" + ",\n".join(json.dumps(case) for case in cases()) + "\n]\n")


def cases() -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    return [evaluated(draw(kind, rng)) for kind in ("linear", "llama3", "yarn") for _ in range(CASES)]


def draw(kind: str, rng: np.random.Generator) -> dict[str, Any]:
    """Settings as a config.json has them, with `head_dim` and no other size."""
    longest = int(rng.choice([64, 2048, 32768, 131072]))
    own: dict[str, Any] = {"factor": float(rng.choice([1.0, 2.0, 3.7, 8.0, 32.0, 0.5]))}
    if kind != "linear" and rng.random() < 0.7:
        own["original_max_position_embeddings"] = int(rng.choice([16, 512, 4096, 8192, 40000]))
    if kind == "llama3":
        low = float(rng.choice([1.0, 0.3, 2.0]))
        own |= {"low_freq_factor": low, "high_freq_factor": low * float(rng.choice([4.0, 1.1, 10.0]))}
    if kind == "yarn":
        drawn = {
            "attention_factor": float(rng.choice([0.7, 1.0, 1.3])),
            "beta_fast": float(rng.choice([32, 8, 64, 0])),
            "beta_slow": float(rng.choice([1, 0.5, 4, 0])),
            "mscale": float(rng.choice([1.0, 0.707, 0.0])),
            "mscale_all_dim": float(rng.choice([1.0, 0.4, 0.0])),
            "truncate": bool(rng.integers(2)),
        }
        own |= {key: value for key, value in drawn.items() if rng.random() < 0.5}
        if rng.random() < 0.2:
            own["factor"] = None  # the positions tell
    theta = float(rng.choice([10000.0, 500000.0, 1e6, 150.5, 10]))
    config = {"head_dim": int(rng.choice([2, 12, 64, 128, 256])), "max_position_embeddings": longest}
    if rng.integers(2):
        return {**config, "rope_theta": theta, "rope_scaling": {"type": kind, **own}}
    return {**config, "rope_parameters": {"rope_type": kind, "rope_theta": theta, **own}}


def evaluated(config: dict[str, Any]) -> dict[str, Any]:
    settings = LlamaConfig(**json.loads(json.dumps(config)))
    frequencies, growth = ROPE_INIT_FUNCTIONS[settings.rope_parameters["rope_type"]](settings)
    return {"config": config, "frequencies": [float(each) for each in frequencies], "growth": float(growth)}


if __name__ == "__main__":
    main()
