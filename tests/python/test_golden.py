"""Outputs of transformers, stored: what the tests prove of every family on a machine without torch."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from test_parity import allowed

import filbert
from filbert import devices
from filbert.models import FAMILIES

GOLDEN = Path(__file__).parent.parent / "golden"
sys.path.insert(0, str(GOLDEN))

from golden_cases import CASES, HEADS, OUTPUTS, inputs, kept, weights  # noqa: E402


def test_every_family_has_a_file() -> None:
    """If not: a case in golden_cases.py, and python tests/golden/make.py MODEL_TYPE"""
    assert set(CASES) == set(FAMILIES) == {path.stem for path in GOLDEN.glob("*.npz")}


@pytest.mark.parametrize("isa", ["avx512", "avx2", "neon", "scalar"])
@pytest.mark.parametrize(("model_type", "case"), [(name, case) for name in CASES for case in CASES[name]])
def test_golden(model_type, case, isa, tmp_path, monkeypatch):
    if isa not in devices()[0].isas:
        pytest.skip(f"this processor has no {isa}")
    monkeypatch.setenv("FILBERT_CPU_ISA", isa)
    config = CASES[model_type][case]
    (tmp_path / "config.json").write_text(json.dumps({**config, "model_type": model_type}))
    save_file(weights(model_type, case), tmp_path / "model.safetensors")
    auto = getattr(filbert, f"AutoModel{HEADS[case][0]}") if case in HEADS else filbert.AutoModel
    output = auto.from_pretrained(tmp_path)(**inputs(model_type, case))
    with np.load(GOLDEN / f"{model_type}.npz") as golden:
        names = [name for name in OUTPUTS if f"{case}/{name}" in golden]
        assert names
        for name in names:
            expected = golden[f"{case}/{name}"]
            error = np.abs(kept(case, output[name]) - expected).max()
            assert error <= allowed(golden[f"{case}/{name}/error"], expected.size), name
