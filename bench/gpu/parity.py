"""parity.py MODELS OUTPUT: filbert and torch in each precision against torch in float64, on the GPU, at real sizes; and
whether a sequence has the same bits alone and among 64k tokens."""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModel

from gpu_cases import MODELS
from gpu_engines import filbert_model

LENGTHS = [512, 300, 128, 77, 32, 8, 1]
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def torch_rows(folder: Path, dtype: torch.dtype, rows: list[np.ndarray]) -> list[np.ndarray]:
    model = AutoModel.from_pretrained(folder, dtype=dtype, attn_implementation="sdpa", add_pooling_layer=False)
    model = model.eval().to(DEVICE)
    with torch.inference_mode():
        outputs = [model(input_ids=torch.from_numpy(row)[None].to(DEVICE)).last_hidden_state[0] for row in rows]
    return [output.double().cpu().numpy() for output in outputs]


def errors(found: list[np.ndarray], exact: list[np.ndarray]) -> dict[str, float]:
    difference = np.concatenate([(a - b).ravel() for a, b in zip(found, exact, strict=True)])
    size = np.concatenate([b.ravel() for b in exact])
    cosines = [
        (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
        for a, b in zip(found, exact, strict=True)
    ]
    return {
        "rms": float(np.sqrt((difference**2).mean() / (size**2).mean())),
        "largest": float(np.abs(difference).max()),
        "least_cosine": float(np.concatenate(cosines).min()),
    }


def is_invariant(model, rows: list[np.ndarray], vocabulary: int) -> dict[str, bool]:
    """Vectors of sequences alone and in a batch of 65,536 tokens, which other tiles compute."""
    engine = model._engine
    generator = np.random.default_rng(1)
    filler = [generator.integers(0, vocabulary, 128) for _ in range(504)]
    batch = [*filler[:252], *rows, *filler[252:]]
    bounds = np.cumsum([0, *map(len, batch)])
    together = engine.embed(np.concatenate(batch), bounds, "mean", True)[252 : 252 + len(rows)]
    alone = [engine.embed(row, np.array([0, len(row)]), "mean", True)[0] for row in rows]
    return {str(len(row)): a.tobytes() == b.tobytes() for row, a, b in zip(rows, alone, together, strict=True)}


def main() -> None:
    models, output = Path(sys.argv[1]), Path(sys.argv[2])
    record = {}
    for name, model in MODELS.items():
        folder = models / f"{name}.random"
        generator = np.random.default_rng(0)
        rows = [generator.integers(0, model.sizes.vocabulary, length) for length in LENGTHS]
        exact = torch_rows(folder, torch.float64, rows)
        for precision in ("float32", "bfloat16", "float16"):
            own = filbert_model(folder, precision)
            found = [own(row[None]).last_hidden_state[0].astype(np.float64) for row in rows]
            peer = torch_rows(folder, getattr(torch, precision), rows)
            figures = {
                "filbert": errors(found, exact),
                "torch": errors(peer, exact),
                "same_bits_by_length": is_invariant(own, rows, model.sizes.vocabulary),
            }
            record[f"{name} {precision}"] = figures
            output.write_text(json.dumps(record, indent=1))
            ours, theirs = figures["filbert"], figures["torch"]
            print(
                f"{name:<10} {precision:<8}  rms error {ours['rms']:.2e} (torch {theirs['rms']:.2e})  "
                f"least cosine {ours['least_cosine']:.7f} (torch {theirs['least_cosine']:.7f})  "
                f"same bits in a batch: {all(figures['same_bits_by_length'].values())}",
                flush=True,
            )


if __name__ == "__main__":
    main()
