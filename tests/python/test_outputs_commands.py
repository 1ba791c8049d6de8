"""What commands write (`encode -o`, `bench --json`, `verify --json`): to standard output in its forms, and to wrong
places, which are refused before any work."""

import json
import os
import shlex
import signal
import stat
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from text_models import sentence_folder

from filbert import InputError, SentenceEncoder
from filbert.cli import main
from filbert.encode_file import encode_file

TEXTS = ["hello world", "the cat"]


@pytest.fixture
def work(tmp_path, monkeypatch):
    """The current folder: with a model, texts, and what links to standard output."""
    sentence_folder(tmp_path / "model")
    (tmp_path / "texts.txt").write_text("".join(f"{text}\n" for text in TEXTS))
    (tmp_path / "std").symlink_to("/dev/stdout")
    (tmp_path / "std2").symlink_to("std")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def npy(work):
    """What `encode` has to write."""
    np.save(work / "expected.npy", SentenceEncoder.from_pretrained(work / "model").encode(TEXTS))
    return (work / "expected.npy").read_bytes()


def shell(line, **options):
    """Runs a line with `filbert` in it."""
    filbert = f"{shlex.quote(sys.executable)} -m filbert"
    return subprocess.run(
        ["bash", "-c", line.replace("filbert", filbert, 1)], capture_output=True, timeout=300, **options
    )


def wrong(capsys, *arguments):
    assert main(list(map(str, arguments))) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


STANDARD = ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "std2"]


@pytest.mark.parametrize("place", STANDARD)
def test_vectors_to_standard_output(work, npy, place):
    """A pipe, a new file and a file that is appended to: nothing but the vectors; the rest is on standard error."""
    (work / "log").write_bytes(b"before")
    for redirection, expected in (("| cat", None), ("> new", npy), (">> log", b"before" + npy)):
        run = shell(f"filbert encode model texts.txt -o {place} {redirection}")
        assert run.returncode == 0
        assert run.stderr.decode().endswith(": 2 vectors of 32 float32 numbers\n")
        assert run.stdout == (npy if expected is None else b"")
        if expected is not None:
            assert (work / redirection.split()[1]).read_bytes() == expected
    assert os.readlink(work / "std") == "/dev/stdout"


def test_vectors_into_the_middle_of_what_a_shell_writes(work, npy):
    assert shell("{ printf a; filbert encode model texts.txt -o -; printf z; } > log").returncode == 0
    assert (work / "log").read_bytes() == b"a" + npy + b"z"


def test_other_descriptors_leave_standard_output_to_messages(work, npy):
    run = shell("filbert encode model texts.txt -o /dev/fd/5 5> five")
    assert (run.stdout, (work / "five").read_bytes()) == (b"/dev/fd/5: 2 vectors of 32 float32 numbers\n", npy)
    run = shell("filbert encode model texts.txt -o >(cat > substituted; touch done)")
    while not (work / "done").exists():
        time.sleep(0.01)
    assert (run.returncode, (work / "substituted").read_bytes()) == (0, npy)
    run = shell("filbert encode model texts.txt -o /dev/stderr")
    assert run.stderr == npy
    # Another name for standard output is standard output.
    run = shell("filbert encode model texts.txt -o /dev/fd/5 5>&1 | cat")
    assert (run.stdout, run.stderr) == (npy, b"/dev/fd/5: 2 vectors of 32 float32 numbers\n")


@pytest.mark.parametrize("place", STANDARD)
def test_figures_to_standard_output(work, place):
    run = shell(f"filbert bench model --length 8 --seconds 0.01 --json {place}")
    assert run.returncode == 0
    assert [each["case"] for each in json.loads(run.stdout)["results"]] == ["1x8"]
    assert [line.split()[0] for line in run.stderr.decode().splitlines()[2:]] == ["case", "1x8"]


def test_closed_and_full_standard_output(work):
    for command in ("encode model texts.txt -o", "bench model --length 8 --seconds 0.01 --json"):
        run = shell(f"filbert {command} - >&-")
        assert (run.returncode, run.stderr) == (2, b"filbert: [Errno 9] Bad file descriptor: 'standard output'\n")
        run = shell(f"filbert {command} - > /dev/full")
        assert (run.returncode, run.stderr.splitlines()[-1]) == (2, b"filbert: [Errno 28] No space left on device")
        assert shell(f"filbert {command} out >&-").returncode == 0
        os.unlink("out")


def test_a_reader_that_goes_away(work):
    """For standard output it is as with every command; for a FIFO the vectors are nowhere, and that is an error."""
    run = shell("set -o pipefail; filbert encode model texts.txt -o - | true")
    assert run.returncode == 0
    os.mkfifo("fifo")
    (work / "texts.txt").write_text("the cat\n" * 1000)
    reader = threading.Thread(target=lambda: open("fifo", "rb").close(), daemon=True)
    reader.start()
    run = shell("filbert encode model texts.txt -o fifo")
    assert (run.returncode, run.stderr) == (2, b"filbert: [Errno 32] Broken pipe: 'fifo'\n")


@pytest.mark.parametrize(
    "command",
    [["encode", "no model", "no texts", "-o"], ["bench", "no model", "--json"], ["verify", "no model", "--json"]],
)
def test_a_wrong_output_is_found_first(work, capsys, command):
    """Before the model, which is not there either."""
    (work / "loop").symlink_to("loop")
    (work / "folder").symlink_to("model")
    for place, message in (
        ("model", "Is a directory: 'model'"),
        ("folder", "Is a directory: 'folder'"),
        ("new/", "Is a directory: 'new/'"),
        ("no/out", "no such folder for out: 'no'"),
        ("loop", "Too many levels of symbolic links: 'loop'"),
        ("/proc/out", ": '/proc/out'"),
        ("/dev/fd/987", "Bad file descriptor: '/dev/fd/987'"),
    ):
        assert message in wrong(capsys, *command, place)
    assert "filbert: no model: " in wrong(capsys, *command, "out")
    assert not [name for name in os.listdir() if "out" in name or name.endswith(".tmp")]


def refuse_to_load():
    raise AssertionError("loaded")


def test_the_output_may_not_be_the_input(work, capsys):
    os.symlink("texts.txt", "link")
    os.link("texts.txt", "hard")
    os.mkfifo("fifo")
    before = (work / "texts.txt").read_bytes()
    for source, place in (
        ("texts.txt", "texts.txt"),
        ("texts.txt", "./link"),
        ("link", "model/../texts.txt"),
        ("texts.txt", "hard"),
        ("fifo", "fifo"),
    ):
        with pytest.raises(InputError, match=f"{source}: is both the input and the output"):
            encode_file(refuse_to_load, source, place)
        assert "both the input and the output" in wrong(capsys, "encode", "no model", source, "-o", place)
    for line in ("texts.txt -o - >> texts.txt", "- -o texts.txt < link", "- -o /dev/stdout < texts.txt >> hard"):
        run = shell(f"filbert encode 'no model' {line}")
        assert run.returncode == 2
        assert run.stderr.endswith(b": is both the input and the output\n")
    assert (work / "texts.txt").read_bytes() == before
    assert (work / "link").is_symlink()
    # A device is not what is written to it.
    assert main(["encode", "model", "/dev/null", "-o", "/dev/null"]) == 0
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_ctrl_c_leaves_the_old_file_and_nothing_else(work):
    (work / "out.npy").write_bytes(b"old")
    command = [sys.executable, "-m", "filbert", "encode", "model", "-", "-o", "out.npy"]

    def heed() -> None:  # a shell lets what it starts in the background ignore Ctrl-C
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    pipes = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes, preexec_fn=heed) as process:
        while not list(work.glob(".out.npy.*.tmp")):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr.read() == b"filbert: interrupted\n"
    assert (work / "out.npy").read_bytes() == b"old"
    assert not list(work.glob(".*"))
