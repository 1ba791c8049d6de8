"""README.md and the examples say what is true: their Python runs as written, and their commands exist.

Every ```python block of README.md runs by itself, in an empty folder, with the demo's weights in the hub's cache under
their real name, so that it may load "sentence-transformers/all-MiniLM-L6-v2", and stand-ins for other models. An HTML
comment on the line before a block steers it: `<!-- not run: REASON -->`, or `<!-- prints -->` before a ```text block
that holds the output of the Python block above it.
"""

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pipeline_models import write_model
from test_cross_encoder import model_folder
from text_models import minilm_folder

from filbert.cli import main

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8") if (ROOT / "README.md").is_file() else ""
BLOCK = re.compile(
    r"(?:^<!-- (?P<note>[^\n]*?) -->\n)?^```(?P<language>\w+)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL
)
MODEL = "sentence-transformers/all-MiniLM-L6-v2"
# No package has these: small ones of random weights stand for them.
STAND_INS = {
    "cross-encoder/ms-marco-MiniLM-L6-v2": model_folder,
    "deepset/minilm-uncased-squad2": lambda folder: write_model(folder, "bert", "ForQuestionAnswering", limit=512),
    "google-bert/bert-base-uncased": lambda folder: write_model(folder, "bert", "ForMaskedLM", limit=512),
}
COMMIT = "0" * 40


def python_blocks():
    """(line number, code, expected output or None) of each block that is to run."""
    blocks = list(BLOCK.finditer(README))
    for block, following in itertools.zip_longest(blocks, blocks[1:]):
        if block["language"] == "python" and not (block["note"] or "").startswith("not run: "):
            prints = following["body"] if following is not None and following["note"] == "prints" else None
            yield README.count("\n", 0, block.start("body")) + 1, block["body"], prints


@pytest.fixture
def environment(tmp_path):
    """The environment of a process that finds the demo's model and the stand-ins in the hub's cache, and is offline."""
    folders = {MODEL: minilm_folder()}
    folders |= {name: make(tmp_path / "models" / name) for name, make in STAND_INS.items()}
    for name, folder in folders.items():
        repository = tmp_path / "cache" / f"models--{name.replace('/', '--')}"
        (repository / "refs").mkdir(parents=True)
        (repository / "refs" / "main").write_text(COMMIT)
        (repository / "snapshots").mkdir()
        (repository / "snapshots" / COMMIT).symlink_to(folder, target_is_directory=True)
    return {**os.environ, "HF_HUB_CACHE": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1"}


def run(command, environment, folder):
    result = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stderr
    return result.stdout


def needs(code):
    code = code.partition("filbert.install_as_sentence_transformers()")[0]
    packages = ["torch", "transformers", "sentence_transformers", "dask", "duckdb", "polars", "pyarrow"]
    needed = [package for package in packages if re.search(rf"^(?:import|from) {package}\b", code, re.MULTILINE)]
    for package in [*needed, *(["sklearn"] if "TextClassifier" in code else [])]:
        pytest.importorskip(package, reason="an optional package is not installed")


@pytest.mark.parametrize(("line", "code", "prints"), list(python_blocks()), ids=lambda value: str(value)[:6].strip())
def test_a_python_block_of_the_readme(line, code, prints, environment, tmp_path):
    needs(code)
    folder = tmp_path / "empty"
    folder.mkdir()
    output = run([sys.executable, "-c", code], environment, folder)
    if prints is not None:
        assert output.strip() == prints.strip(), f"README.md line {line}"


def test_the_commands_of_the_readme_exist(capsys):
    bodies = [block["body"] for block in BLOCK.finditer(README) if block["language"] in ("bash", "console", "sh")]
    commands = {
        match for body in bodies for match in re.findall(r"(?:^|&& |\$ )filbert ([a-z]\w*)", body, re.MULTILINE)
    }
    for command in commands:
        with pytest.raises(SystemExit) as stop:
            main([command, "--help"])
        assert stop.value.code == 0, command
    capsys.readouterr()


@pytest.mark.parametrize("path", sorted((ROOT / "examples" / "python").glob("*.py")), ids=lambda path: path.stem)
def test_an_example_runs(path, environment, tmp_path):
    code = path.read_text(encoding="utf-8")
    needs(code)
    assert run([sys.executable, str(path)], environment, tmp_path).strip()
