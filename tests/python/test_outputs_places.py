"""Every output goes to what is at its place: files are replaced whole, links followed, all else written to."""

import errno
import gc
import os
import re
import socket
import stat
import threading
import tracemalloc

import numpy as np
import pytest

from filbert import BertConfig
from filbert.atomic import Output, write_text


@pytest.fixture
def fifo(tmp_path):
    """A FIFO, and a function that gives what its reader got."""
    path, got = tmp_path / "fifo", []
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: got.append(path.read_bytes()), daemon=True)
    reader.start()

    def received():
        reader.join(30)
        assert stat.S_ISFIFO(path.lstat().st_mode)
        return got[0]

    return path, received


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o755])
def test_the_permission_bits_of_the_old_file_stay(tmp_path, mode):
    path = tmp_path / "a"
    path.write_text("old")
    path.chmod(mode)
    with Output(path) as output:
        output.write(b"new")
        (temporary,) = (each for each in tmp_path.iterdir() if each != path)
        assert stat.S_IMODE(temporary.stat().st_mode) == 0o600
        assert path.read_text() == "old"
        output.commit()
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("new", mode)
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("where", ["fdopen", "urandom", "return"])
def test_an_interrupt_before_the_with_leaves_nothing(tmp_path, monkeypatch, where):
    (tmp_path / "a").write_text("old")

    def interrupted(*arguments):
        raise KeyboardInterrupt

    if where == "return":
        Output(tmp_path / "a").file.close()  # its `with` is never reached
    else:
        monkeypatch.setattr(os, where, interrupted)
        with pytest.raises(KeyboardInterrupt):
            Output(tmp_path / "a")
    assert os.listdir(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_what_could_not_be_created_is_not_removed(tmp_path, monkeypatch):
    def refused(*arguments):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    removed = []
    monkeypatch.setattr(os, "open", refused)
    monkeypatch.setattr(os, "unlink", removed.append)
    with pytest.raises(OSError, match="Read-only file system"):
        Output(tmp_path / "a")
    gc.collect()
    assert removed == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_the_owner_of_the_old_file_stays(tmp_path):
    (tmp_path / "a").write_text("old")
    os.chown(tmp_path / "a", 1234, 2345)
    write_text(tmp_path / "a", "new")
    status = (tmp_path / "a").stat()
    assert (status.st_uid, status.st_gid, (tmp_path / "a").read_text()) == (1234, 2345, "new")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to every file")
def test_a_file_that_is_read_only_is_refused(tmp_path):
    (tmp_path / "a").write_text("old")
    (tmp_path / "a").chmod(0o444)
    with pytest.raises(PermissionError, match="a"):
        write_text(tmp_path / "a", "new")
    assert ((tmp_path / "a").read_text(), os.listdir(tmp_path)) == ("old", ["a"])


def test_the_system_is_asked_whether_a_file_may_be_written(tmp_path, monkeypatch):
    """As above, for root too."""
    path = tmp_path / "a"
    path.write_text("old")
    monkeypatch.setattr(os, "access", lambda asked, mode: (asked, mode) != (str(path), os.W_OK))
    with pytest.raises(PermissionError, match=re.escape(f"Permission denied: '{path}'")):
        write_text(path, "new")
    assert (path.read_text(), os.listdir(tmp_path)) == ("old", ["a"])


@pytest.mark.parametrize("old", ["old", None], ids=["a file", "nothing yet"])
@pytest.mark.parametrize("links", [["d/a"], ["link2", "d/link3", "a"], ["e/link2", "../../d/a"]])
def test_links_are_followed_and_stay(tmp_path, monkeypatch, links, old):
    """One, a chain, and one in a folder that is a link: each is relative to the folder where it really is."""
    (tmp_path / "d").mkdir()
    (tmp_path / "elsewhere" / "e").mkdir(parents=True)
    (tmp_path / "e").symlink_to("elsewhere/e")
    target = tmp_path / "d" / "a"
    if old is not None:
        target.write_text(old)
        target.chmod(0o600)
    place = tmp_path / "link1"
    made = []
    for link in links:
        place.symlink_to(link)
        made.append((place, link))
        place = place.parent / link
    monkeypatch.chdir(tmp_path)
    write_text("link1", "new")
    assert [(each, os.readlink(each)) for each, _ in made] == made
    assert target.read_text() == "new"
    assert not target.is_symlink()
    assert stat.S_IMODE(target.stat().st_mode) == (0o600 if old else 0o666 & ~umask())
    assert not list(tmp_path.rglob("*.tmp"))


def umask():
    value = os.umask(0)
    os.umask(value)
    return value


def interrupted_write(place, data):
    with Output(place) as output:
        output.write(data)
        raise KeyboardInterrupt


def test_after_a_failure_the_file_behind_a_link_is_the_old_one(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a").write_text("old")
    (tmp_path / "link").symlink_to("d/a")
    with pytest.raises(KeyboardInterrupt):
        interrupted_write(tmp_path / "link", b"new")
    assert (tmp_path / "link").read_text() == "old"
    assert (os.listdir(tmp_path / "d"), (tmp_path / "link").is_symlink()) == (["a"], True)


def test_what_cannot_be_written_is_refused_at_once(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "a").write_text("old")
    for name, target in {"loop1": "loop2", "loop2": "loop1", "self": "self", "to_d": "d", "astray": "no/a"}.items():
        (tmp_path / name).symlink_to(target)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
    before = sorted(os.listdir(tmp_path))
    for name, error, number in (
        ("loop1", OSError, errno.ELOOP),
        ("self", OSError, errno.ELOOP),
        ("loop1/a", OSError, errno.ENOENT),
        ("d", IsADirectoryError, errno.EISDIR),
        ("to_d", IsADirectoryError, errno.EISDIR),
        ("d/", IsADirectoryError, errno.EISDIR),
        ("a/", IsADirectoryError, errno.EISDIR),
        ("new/", IsADirectoryError, errno.EISDIR),
        ("d/..", IsADirectoryError, errno.EISDIR),
        ("a/b", FileNotFoundError, errno.ENOENT),
        ("socket", OSError, errno.ENXIO),
        ("n" * 256, OSError, errno.ENAMETOOLONG),
    ):
        with pytest.raises(error, match=name.split("/")[0]) as raised:
            Output(f"{tmp_path}/{name}")
        assert raised.value.errno == number, name
    with pytest.raises(FileNotFoundError, match=re.escape(f"no such folder for a: '{tmp_path}/no'")):
        Output(tmp_path / "astray")
    with pytest.raises(IsADirectoryError):
        Output("")
    assert sorted(os.listdir(tmp_path)) == before
    assert stat.S_ISSOCK((tmp_path / "socket").lstat().st_mode)


def test_the_longest_names_are_written(tmp_path):
    for name in ("n" * 255, "名" * 85):
        write_text(tmp_path / name, "x")
        assert (tmp_path / name).read_text() == "x"


@pytest.mark.parametrize("size", [3, 1_000_000])
def test_a_fifo_is_written_to(fifo, tmp_path, size):
    received = fifo[1]
    (tmp_path / "link").symlink_to("fifo")
    write_text(tmp_path / "link", "x" * size)
    assert received() == b"x" * size


def test_a_failure_sends_a_fifo_no_more(fifo):
    path, received = fifo
    with pytest.raises(KeyboardInterrupt):
        interrupted_write(path, b"in the buffer")
    assert received() == b""


def test_a_device_is_written_to(tmp_path):
    path = tmp_path / "null"
    try:
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        path.write_bytes(b"")
    except OSError as error:
        pytest.skip(f"no device nodes here: {error}")
    write_text(path, "x")
    BertConfig().to_json_file(path)
    assert stat.S_ISCHR(path.lstat().st_mode)
    assert os.listdir(tmp_path) == ["null"]


@pytest.mark.parametrize("size", [3, 1_000_000])
def test_a_full_device_is_an_error_that_names_it(tmp_path, size):
    """Three bytes meet it only when the file is closed."""
    (tmp_path / "link").symlink_to("/dev/full")
    for place in ("/dev/full", str(tmp_path / "link")):
        with pytest.raises(OSError, match=f"No space left on device: '{place}'"):
            write_text(place, "x" * size)
    assert os.readlink(tmp_path / "link") == "/dev/full"


@pytest.mark.parametrize("folder", ["/dev/fd", "/proc/self/fd", "/proc/thread-self/fd", "link"])
def test_own_descriptors_are_written_where_they_stand(tmp_path, folder):
    (tmp_path / "link").symlink_to("/proc/self/fd")
    with open(tmp_path / "a", "w+b", buffering=0) as file:
        file.write(b"abcdef")
        file.seek(2)
        write_text(os.path.join(tmp_path, folder, str(file.fileno())), "XY")
        Output(file.fileno()).__exit__(None, None, None)
        file.write(b"Z")
    assert (tmp_path / "a").read_bytes() == b"abXYZf"


def test_descriptors_that_cannot_be_written(tmp_path):
    (tmp_path / "a").write_text("old")
    with open(tmp_path / "a") as file, pytest.raises(OSError, match="not open for writing: '/dev/fd/"):
        write_text(f"/dev/fd/{file.fileno()}", "x")
    for number in ("987", "999999999", "9999999999", "-1", "x"):
        with pytest.raises(OSError, match=f"/dev/fd/{number}"):
            write_text(f"/dev/fd/{number}", "x")
    assert (tmp_path / "a").read_text() == "old"


def test_arrays_go_to_a_pipe_in_pieces():
    array = np.arange(1 << 23, dtype=np.float64)  # 64 MiB
    tracemalloc.start()
    with Output("/dev/null") as output:
        np.save(output, array)
        output.commit()
    assert tracemalloc.get_traced_memory()[1] < array.nbytes / 2
    tracemalloc.stop()
