"""`filbert encode`: when it is a bulk job, and what it says then."""

import json
import sys

import numpy as np
import pytest
from bulk_jobs import texts, write_jsonl, write_lines
from test_cli import run, wrong
from text_models import sentence_folder

from filbert import SentenceEncoder, bulk
from filbert.cli import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return sentence_folder(tmp_path_factory.mktemp("model") / "model", settings={"prompts": {"q": "a "}})


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_lines(tmp_path / "a.txt", 30)
    write_lines(tmp_path / "b.txt", 10)
    write_jsonl(tmp_path / "c.jsonl", [{"id": index, "body": text} for index, text in enumerate(texts(20))])
    return tmp_path


def encode(folder, *arguments):
    return main(["encode", str(folder), *arguments])


def vectors(out):
    return np.concatenate([np.load(part) for part in bulk.Manifest.read(out).parts])


def test_several_files_patterns_and_options_make_a_bulk_job(folder, work, capsys):
    expected = SentenceEncoder.from_pretrained(folder).encode([*texts(30), *texts(10)])
    for number, names in enumerate((["a.txt", "b.txt"], ["?.txt"], ["[ab].txt"])):
        assert encode(folder, *names, "--format", "npy", "-o", f"out{number}") == 0
        assert capsys.readouterr().out == f"out{number}: 40 rows in 1 part\n"
        assert vectors(work / f"out{number}").tobytes() == expected.tobytes()
    assert encode(folder, "a.txt", "--format", "npy", "--shard-rows", "20", "-o", "out") == 0
    assert capsys.readouterr().out == "out: 30 rows in 2 parts\n"
    assert vectors(work / "out").tobytes() == expected[:30].tobytes()


def test_every_option(folder, work, capsys):
    options = ["--column", "body", "--id", "id", "--format", "jsonl", "--precision", "float16", "--shard-rows", "7"]
    options += ["--on-error", "null", "--normalize", "--prompt-name", "q", "--truncate-dim", "8", "--dtype", "bfloat16"]
    options += ["--input-format", "jsonl", "--threads", "1", "--engine", "local"]
    assert encode(folder, "c.jsonl", "-o", "out", *options) == 0
    manifest = bulk.Manifest.read("out")
    lines = [json.loads(line) for part in manifest.parts for line in (work / part).read_text().splitlines()]
    encoder = SentenceEncoder.from_pretrained(folder, dtype="bfloat16")
    expected = encoder.encode(texts(20), normalize_embeddings=True, prompt_name="q", truncate_dim=8)
    assert [line["id"] for line in lines] == list(range(20))
    found = np.array([line["embedding"] for line in lines], np.float16)
    assert found.tobytes() == expected.astype(np.float16).tobytes()
    assert len(manifest.parts) == 3


def test_shares_and_bad_rows_are_told(folder, work, capsys):
    write_jsonl(work / "d.jsonl", [{"text": "a"}, {"text": None}, {"text": 3}, {"text": "b"}])
    options = ["--format", "npy", "--on-error", "null", "--shard-rows", "2", "-o", "out"]
    assert encode(folder, "d.jsonl", *options, "--shard", "1/2") == 0
    assert encode(folder, "d.jsonl", *options, "--shard", "0/2", "--resume") == 0
    assert capsys.readouterr().out.splitlines() == [
        "out: 2 rows in 1 part; without a vector: 1 not text; 1 part still to come",
        "out: 4 rows in 2 parts; without a vector: 1 null, 1 not text",
    ]
    assert "holds a job already" in wrong(capsys, "encode", folder, "d.jsonl", *options, "--no-resume")


def test_one_file_into_one_array_as_ever(folder, work):
    """Of any ending, as long as the output is one file."""
    (work / "old").write_text("")
    for source, output in (("a.txt", "out"), ("c.jsonl", "out.npy"), ("c.jsonl", "old")):
        assert encode(folder, source, "-o", output) == 0
        lines = (work / source).read_text().splitlines()
        assert np.load(output).tobytes() == SentenceEncoder.from_pretrained(folder).encode(lines).tobytes()


def test_standard_input_in_parts(folder, work):
    result = run("encode", folder, "-", "--format", "npy", "-o", "out", input=b"a\nb\n", cwd=work)
    assert (result.returncode, result.stdout, result.stderr) == (0, b"out: 2 rows in 1 part\n", b"")
    assert vectors(work / "out").shape == (2, 32)


def test_errors_are_one_line(folder, work, capsys, monkeypatch):
    (work / "new").mkdir()
    for arguments, message in (
        (["a.txt", "-o", "new"], "Is a directory: 'new'; with --format parts are written into a folder"),
        (["a.txt", "b.txt", "-o", "-"], "--output: found standard output, expected a folder: a bulk job writes parts"),
        (["a.txt", "b.txt", "-o", "out.npy"], "--output: found 'out.npy', expected a folder"),
        (["*.md", "--format", "npy", "-o", "out"], "*.md: no file matches"),
        (["c.jsonl", "-o", "out", "--format", "jsonl"], "no column 'text'; it has id, body"),
        (["a.txt", "--format", "npy", "-o", "out", "--shard", "2/2"], "shard: found '2/2'"),
        (["a.txt", "-o", "out", "--format", "npy", "--workers", "2"], "workers: is for engine='ray'"),
    ):
        assert message in wrong(capsys, "encode", folder, *arguments)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert 'pip install "filbert[arrow]"' in wrong(capsys, "encode", folder, "a.txt", "b.txt", "-o", "out")
    assert not (work / "out").exists()
