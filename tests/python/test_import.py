"""`import filbert` stays cheap: what it brings in is checked in a fresh interpreter."""

import subprocess
import sys
from pathlib import Path

import pytest

import filbert

HEAVY = ("numpy", "torch", "tokenizers", "huggingface_hub", "safetensors", "transformers", "tqdm", "jinja2")


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.parametrize(
    ("statement", "allowed"),
    [
        ("import filbert", ()),
        ("import filbert; dir(filbert); filbert.errors.InputError; filbert.ConfigError", ()),
        ("from filbert import BertConfig; BertConfig().to_json_string()", ("numpy",)),
        ("import filbert.interop", ("numpy",)),
        ("from filbert import BertModel, AutoModel", ("numpy",)),
    ],
)
def test_what_an_import_brings_in(statement, allowed):
    loaded = run(f"{statement}\nimport sys; print(*[name for name in {HEAVY} if name in sys.modules])")
    assert loaded.split() == list(allowed)


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="Python 3.12 keeps interpreters apart")
def test_a_subinterpreter_is_refused():
    code = """
import _xxsubinterpreters as interpreters
try:
    interpreters.run_string(interpreters.create(), "from filbert import _core")
except interpreters.RunFailedError as error:
    print(error)
"""
    command = [sys.executable, "-W", "ignore", "-c", code]
    result = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert "ImportError'>: filbert runs in the main interpreter of a process" in result.stdout


def test_names():
    assert set(filbert.__all__) <= set(dir(filbert))
    with pytest.raises(AttributeError, match="no attribute 'Bert'"):
        filbert.Bert  # noqa: B018


def test_every_public_name_resolves():
    for name in filbert.__all__:
        assert getattr(filbert, name) is not None


def test_the_cmake_folder_is_beside_the_engine():
    from filbert import _core

    printed = subprocess.run(
        [sys.executable, "-m", "filbert", "--cmake-dir"], check=True, capture_output=True, text=True
    ).stdout.strip()
    assert printed == filbert.cmake_dir()
    assert Path(printed) == Path(_core.__file__).resolve().parent / "lib" / "cmake" / "filbert"
    assert (Path(printed) / "filbert-config.cmake").is_file() or (Path(printed) / "filbertConfig.cmake").is_file()
