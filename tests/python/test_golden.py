"""Outputs of transformers, stored: what the tests prove on a machine without torch."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from filbert import BertModel, _core, devices

GOLDEN = Path(__file__).parent.parent / "golden"
sys.path.insert(0, str(GOLDEN))

import make  # noqa: E402


@pytest.mark.parametrize("isa", ["avx512", "avx2", "neon", "scalar"])
@pytest.mark.parametrize("case", make.CASES)
def test_golden(case, isa, tmp_path, monkeypatch):
    if isa not in devices()[0].isas:
        pytest.skip(f"this processor has no {isa}")
    monkeypatch.setenv("FILBERT_CPU_ISA", isa)
    config = make.configuration(case)
    (tmp_path / "config.json").write_text(json.dumps(config))
    specs = _core.tensor_specs(json.dumps(config), "model")
    save_file(make.weights([(spec.name, spec.shape) for spec in specs]), tmp_path / "model.safetensors")
    output = BertModel.from_pretrained(tmp_path)(**make.inputs(config))
    with np.load(GOLDEN / "bert.npz") as golden:
        for name in ("last_hidden_state", "pooler_output"):
            error = np.abs(output[name] - golden[f"{case}/{name}"]).max()
            assert error <= max(1e-6, 2 * golden[f"{case}/{name}/error"])
