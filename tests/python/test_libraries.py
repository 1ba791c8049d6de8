"""Arrays of other libraries. CuPy needs a GPU to make any array, so a double stands in for it."""

import sys

import fake_cupy
import numpy as np
import pytest

from filbert import BertConfig, BertModel
from filbert.libraries import like

IDS = np.array([[5, 6, 7], [8, 9, 0]])
CONFIG = BertConfig(vocab_size=40, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)


@pytest.fixture
def cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy)
    return fake_cupy


def on_device(cupy, array, index):
    with cupy.Device(index):
        return cupy.asarray(array)


def test_arrays_of_no_other_library(monkeypatch):
    assert like(IDS) is None
    assert like(IDS.tolist()) is None
    assert like(None) is None
    for name in ("torch", "cupy"):  # while it is being imported
        monkeypatch.setitem(sys.modules, name, type(sys)(name))
    assert like(IDS) is None


def test_torch(torch):
    pattern = like(torch.from_numpy(IDS))
    assert pattern.device == "cpu"
    assert np.shares_memory(pattern.to_numpy(), IDS)
    assert like(torch.ones(2, dtype=torch.bfloat16)).to_numpy().tolist() == [1, 1]
    result = np.zeros((2, 3), np.float32)
    tensor = pattern.from_numpy(result)
    result[0, 0] = 4
    assert tensor[0, 0] == 4
    zeros, address = pattern.zeros((2, 0, 3))
    assert (zeros.shape, zeros.dtype, address) == ((2, 0, 3), torch.float32, zeros.data_ptr())


def test_cupy(cupy):
    pattern = like(on_device(cupy, IDS, 1))
    assert pattern.device == "cuda:1"
    np.testing.assert_array_equal(pattern.to_numpy(), IDS)
    result = pattern.from_numpy(np.ones((2, 3), np.float32))
    assert isinstance(result, cupy.ndarray)
    assert result.device.id == 1
    before = cupy.Stream.synchronized
    zeros, address = pattern.zeros((2, 3))
    assert (zeros.device.id, zeros.dtype, zeros.shape) == (1, np.float32, (2, 3))
    assert address == zeros.data.ptr
    assert cupy.Stream.synchronized == before + 1
    assert cupy.Device.current == 0


def test_results_are_of_the_library_of_the_arguments(cupy, torch):
    model = BertModel(CONFIG)
    expected = model(IDS)
    of_cupy = model(on_device(cupy, IDS, 0), output_attentions=True)
    of_torch = model(IDS, torch.ones(2, 3))
    for name, array in expected.items():
        assert isinstance(of_cupy[name], cupy.ndarray)
        np.testing.assert_array_equal(of_cupy[name].get(), array)
        assert isinstance(of_torch[name], torch.Tensor)
        np.testing.assert_array_equal(of_torch[name].numpy(), array)
    assert isinstance(of_cupy.attentions[0], cupy.ndarray)
