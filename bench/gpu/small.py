"""Small models with odd sizes on the GPU beside the CPU: what compute-sanitizer watches, and the first sign of life."""

import numpy as np

from filbert import BertConfig, ModernBertConfig, MPNetConfig, Qwen3Config
from filbert.models import class_of

LENGTHS = [1, 7, 16, 63, 64, 65, 127, 128, 200, 300]
SIZES = [(33, 3, 50), (64, 2, 160), (128, 2, 512), (192, 2, 200), (256, 1, 264)]  # hidden, heads, inner
COMMON = {"vocab_size": 90, "num_hidden_layers": 2, "pad_token_id": 1}


def configurations() -> list:
    """BERT of several sizes, and what the other families add: bias, windows, gates, norms and groups of heads."""
    found = [
        BertConfig(**COMMON, hidden_size=hidden, num_attention_heads=heads, intermediate_size=inner)
        for hidden, heads, inner in SIZES
    ]
    sizes = {**COMMON, "num_attention_heads": 4}
    return [
        *found,
        MPNetConfig(**sizes, hidden_size=96, intermediate_size=150),
        ModernBertConfig(**sizes, hidden_size=128, intermediate_size=100, local_attention=40),
        Qwen3Config(**sizes, hidden_size=90, intermediate_size=130, num_key_value_heads=2, head_dim=64),
    ]


def main() -> None:
    worst = 0.0
    for config in configurations():
        model_class = class_of(config.model_type, "Model")
        reference = model_class(config, seed=0)
        generator = np.random.default_rng(0)
        rows = [generator.integers(2, 90, length).tolist() for length in LENGTHS]
        expected = reference(rows, output_attentions=True)
        for dtype in ("float32", "float16", "bfloat16"):
            model = model_class(config, seed=0, dtype=dtype, device="cuda")
            found = model(rows, output_attentions=True)
            for _ in range(3):  # plain, recorded, replayed
                again = model(rows).last_hidden_state
                assert again.tobytes() == found.last_hidden_state.tobytes(), "a replay changes bits"
            alone = [model([row]).last_hidden_state[0] for row in rows]
            same = all(
                a.tobytes() == b[: len(a)].tobytes() for a, b in zip(alone, found.last_hidden_state, strict=True)
            )
            error = float(np.abs(found.last_hidden_state - expected.last_hidden_state).max())
            worst = max(worst, error if dtype == "float32" else 0.0)
            name = f"{config.model_type} {config.hidden_size}"
            print(f"{name:14s} {dtype:8s}  largest error {error:.2e}  the same bits alone: {same}", flush=True)
    print(f"largest error in float32: {worst:.2e}")


if __name__ == "__main__":
    main()
