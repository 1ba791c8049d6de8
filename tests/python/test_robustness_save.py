"""Saving never loses what was on disk, and may go onto the files that are mapped."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys

import checkpoints
import numpy as np
import pytest

from filbert import AutoModel, BertConfig, BertModel
from filbert.atomic import FileSet, write_text
from filbert.weights import write_safetensors

IDS = [[1, 2, 3]]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def other():
    """A model whose files differ from those of tiny_folder."""
    return BertModel(BertConfig(**checkpoints.TINY | {"note": "new"}), seed=5)


SAVES = {"one": "50GB", "shards": 5000}


class Disk:
    """Makes the Nth call of a kind fail, as on a full disk."""

    def __init__(self, failing: int) -> None:
        self.failing = failing
        self.calls = 0

    def wrap(self, function):
        def call(*args):
            self.calls += 1
            if self.calls == self.failing:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return function(*args)

        return call

    def writer(self, file, entries):
        """write_safetensors, with every write of it counted."""

        class File:
            @staticmethod
            def write(data, disk=self):
                return disk.wrap(file.write)(data)

        return write_safetensors(File, entries)


def save_on(model, folder, limit):
    """The number of the error that saving gave, or None."""
    try:
        model.save_pretrained(folder, max_shard_size=limit)
    except OSError as error:
        return error.errno
    return None


@pytest.mark.parametrize("limit", [10**9, 5000], ids=["one", "shards"])
@pytest.mark.parametrize("kind", ["create", "write", "fsync"])
def test_any_failing_call_leaves_the_old_files(tiny_folder, other, monkeypatch, kind, limit):
    """The Nth call of a kind fails, for every N up to the end of the save."""
    before = contents(tiny_folder)
    failing, result = 0, errno.ENOSPC
    while result == errno.ENOSPC:
        failing += 1
        disk = Disk(failing)
        with monkeypatch.context() as patch:
            if kind == "create":
                patch.setattr(FileSet, "create", disk.wrap(FileSet.create))
            elif kind == "write":
                patch.setattr("filbert.weights.write_safetensors", disk.writer)
            else:
                patch.setattr(os, "fsync", disk.wrap(os.fsync))
            result = save_on(other, tiny_folder, limit)
        after = contents(tiny_folder)
        if b"note" in after["config.json"]:
            break
        assert (result, after) == (errno.ENOSPC, before)
    # All calls but that on the folder itself, after the renames, come before anything is replaced.
    assert failing == disk.calls + (result is None)
    assert failing >= 2
    other.save_pretrained(tiny_folder, max_shard_size=limit)
    np.testing.assert_array_equal(AutoModel.from_pretrained(tiny_folder)(IDS)[0], other(IDS)[0])


KILLED = """
import os, signal, sys
from filbert import BertModel, BertConfig
model = BertModel(BertConfig.from_pretrained(sys.argv[1], note="new"), seed=5)
function, number, real, calls = sys.argv[2], int(sys.argv[3]), getattr(os, sys.argv[2]), 0
def counted(*args):
    global calls
    calls += 1
    if calls == number:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*args)
setattr(os, function, counted)
model.save_pretrained(sys.argv[1], max_shard_size=int(sys.argv[4]))
"""


@pytest.mark.parametrize("limit", [10**9, 20_000])
@pytest.mark.parametrize(("function", "number"), [("fsync", 1), ("fsync", 2), ("replace", 1)])
def test_killed_before_the_renames(tiny_folder, function, number, limit):
    """SIGKILL at a flush or before the first rename: the old files are as they were."""
    config = dict(checkpoints.TINY, note="old")
    (tiny_folder / "config.json").write_text(json.dumps(config))
    before = contents(tiny_folder)
    command = [sys.executable, "-c", KILLED, str(tiny_folder), function, str(number), str(limit)]
    assert subprocess.run(command).returncode == -signal.SIGKILL
    after = contents(tiny_folder)
    assert {name: after[name] for name in before} == before
    assert all(name.startswith(".") and name.endswith(".tmp") for name in set(after) - set(before))
    BertModel.from_pretrained(tiny_folder)


@pytest.mark.parametrize("number", range(1, 7))
def test_killed_between_the_renames(tiny_folder, number):
    """SIGKILL between two renames of a sharded save over a sharded save: the folder still loads."""
    BertModel.from_pretrained(tiny_folder).save_pretrained(tiny_folder, max_shard_size=20_000)
    (tiny_folder / "config.json").write_text(json.dumps(dict(checkpoints.TINY, note="old")))
    command = [sys.executable, "-c", KILLED, str(tiny_folder), "replace", str(number), "20000"]
    assert subprocess.run(command).returncode == -signal.SIGKILL
    BertModel.from_pretrained(tiny_folder)


LIMITED = """
import resource, signal, sys
from filbert import BertModel
model = BertModel.from_pretrained(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    model.save_pretrained(sys.argv[2])
except OSError as error:
    print(type(error).__name__, error.errno)
print(model([[1, 2, 3]])[0].shape)
"""


def test_the_system_refuses_to_write(tiny_folder, tmp_path):
    """A real failing write: the limit on the size of a file."""
    target = tmp_path / "target"
    shutil.copytree(tiny_folder, target)
    before = contents(target)
    run = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tiny_folder), str(target)], capture_output=True, text=True, check=True
    )
    assert run.stdout.split("\n")[:2] == [f"OSError {errno.EFBIG}", "(1, 3, 32)"]
    assert contents(target) == before


def test_a_file_where_the_folder_should_be(tmp_path, other):
    (tmp_path / "x").write_text("mine")
    with pytest.raises(OSError, match="x"):
        other.save_pretrained(tmp_path / "x")
    assert (tmp_path / "x").read_text() == "mine"


def test_an_interrupt_leaves_nothing_behind(tmp_path):
    write_text(tmp_path / "a", "old")

    def save():
        with FileSet(tmp_path) as files, files.create("a") as file:
            file.write(b"new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        save()
    assert contents(tmp_path) == {"a": b"old"}


def test_files_get_the_usual_permissions(tmp_path):
    old = os.umask(0o027)
    try:
        write_text(tmp_path / "a", "x")
    finally:
        os.umask(old)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("limit", [10**9, 20_000])
@pytest.mark.parametrize("mmap", [True, False])
def test_saving_onto_the_folder_that_is_mapped(tiny_folder, limit, mmap):
    model = BertModel.from_pretrained(tiny_folder, mmap=mmap)
    expected = model(IDS)[1].copy()
    state = {name: array.copy() for name, array in model.state_dict().items()}
    for _ in range(3):
        model.save_pretrained(tiny_folder, max_shard_size=limit)
        np.testing.assert_array_equal(model(IDS)[1], expected)
        for name, array in model.state_dict().items():
            np.testing.assert_array_equal(array, state[name])
        model = BertModel.from_pretrained(tiny_folder, mmap=mmap)
    np.testing.assert_array_equal(model(IDS)[1], expected)


def test_a_folder_that_is_gone(tiny_folder):
    """Unlinking the mapped file is harmless; the model can even put it back."""
    model = BertModel.from_pretrained(tiny_folder)
    expected = model(IDS)[1].copy()
    shutil.rmtree(tiny_folder)
    np.testing.assert_array_equal(model(IDS)[1], expected)
    model.save_pretrained(tiny_folder)
    np.testing.assert_array_equal(BertModel.from_pretrained(tiny_folder)(IDS)[1], expected)
