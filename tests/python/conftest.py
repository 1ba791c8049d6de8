import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import checkpoints
import pytest
from text_models import sentence_folder

from filbert.unpickle import read_pickle

# Nothing here talks to a real hub; test_hub.py points the library at its own.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")


@pytest.fixture
def tiny_folder(tmp_path: Path) -> Path:
    """A folder with a small BERT: config.json and model.safetensors."""
    return checkpoints.write_folder(tmp_path / "tiny")


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small sentence encoder, which nobody writes into."""
    return sentence_folder(tmp_path_factory.mktemp("model") / "model")


@pytest.fixture
def torch() -> ModuleType:
    return pytest.importorskip("torch", reason="the reference extra is not installed")


@pytest.fixture
def transformers(torch: ModuleType) -> ModuleType:
    return pytest.importorskip("transformers", reason="the reference extra is not installed")


@pytest.fixture
def read(tmp_path: Path) -> Callable[[bytes], dict[str, Any]]:
    """Reads bytes as a pytorch_model.bin."""

    def read_bytes(data: bytes) -> dict[str, Any]:
        path = tmp_path / "pytorch_model.bin"
        path.write_bytes(data)
        return read_pickle(path)

    return read_bytes
