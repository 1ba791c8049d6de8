"""How near filbert is to transformers, family by family: errors of small random models, beside those of torch.

    pip install ".[test,reference]"
    python bench/parity.py                # every family, ten minutes
    python bench/parity.py albert gte     # these, into a file of their own

The configurations and batches are those of tests/python/families.py, with other seeds than the tests have. An error is
the largest of a model's last hidden states, in float32, where float64 throughout is right. docs/models.md shows them.
"""

import argparse
import sys
import tempfile
import warnings
import zlib
from pathlib import Path

import numpy as np

from engines import quiet
from machine import default_output, save

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "python"))

from families import FAMILIES, REFERENCED, draw_call
from test_families import reference_model
from test_parity import reference_outputs

BATCHES = 10  # of each model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("families", nargs="*", metavar="FAMILY", help=", ".join(REFERENCED))
    parser.add_argument("--models", type=int, default=50, help="how many of each family (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    unknown = set(args.families) - set(REFERENCED)
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: expected families of {', '.join(REFERENCED)}")
    quiet(args.threads)
    warnings.simplefilter("ignore")
    found = {}
    for name in args.families or REFERENCED:
        first_seed = zlib.crc32(name.encode())
        pairs = np.array([errors(name, first_seed + index) for index in range(args.models)])
        shares = pairs[:, 0] / pairs[:, 1]
        worst = int(shares.argmax())
        found[name] = {
            "models": args.models,
            "median": float(np.median(shares)),
            "largest": float(shares[worst]),
            "of_largest": {"seed": first_seed + worst, "filbert": pairs[worst, 0], "torch": pairs[worst, 1]},
        }
        print(f"{name:<20} median {np.median(shares):.2f}, largest {shares[worst]:.2f}", flush=True)
    output = default_output("-".join(["parity", *args.families]))
    save(args.output or output, args.threads, {"batches_a_model": BATCHES, "error_over_that_of_torch": found})


def errors(name: str, seed: int) -> tuple[float, float]:
    """Of filbert and of torch, for one model: the largest in batches with every kind of mask."""
    import torch
    import transformers

    from filbert import AutoModel

    config, reference = reference_model(torch, transformers, name, "Model", seed)
    rng = np.random.default_rng(seed)
    calls = [draw_call(FAMILIES[name], config, rng, index % 5) for index in range(BATCHES)]
    with tempfile.TemporaryDirectory() as folder:
        reference.save_pretrained(folder)
        model = AutoModel.from_pretrained(folder)
        own = [model(**call).last_hidden_state for call in calls]
    single, double = (
        [reference_outputs(torch, each(), call).last_hidden_state.numpy() for call in calls]
        for each in (reference.float, reference.double)
    )
    kept = [call.get("attention_mask", np.ones(call["input_ids"].shape)).astype(bool) for call in calls]

    def largest(found: list[np.ndarray]) -> float:
        return max(float(np.abs(a - b)[rows].max()) for a, b, rows in zip(found, double, kept, strict=True))

    return largest(own), largest(single)


if __name__ == "__main__":
    main()
