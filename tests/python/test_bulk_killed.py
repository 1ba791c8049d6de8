"""Bulk jobs that end in the middle: nothing is half a file, and what was done is not lost."""

import errno
import random
import signal
import time

import pytest
from bulk_jobs import contents, encode, finish, killed_at, limited, start, write_lines

from filbert import SentenceEncoder, bulk
from filbert.bulk.whole_files import new_file, remove_left_behind

OPTIONS = {"format": "npy", "shard_rows": 40}


def parts(folder):
    return {name: data for name, data in contents(folder).items() if name.startswith("part-")}


def test_killed_at_random_moments(folder, tmp_path):
    """SIGKILL at 20 moments: every part there is whole, and going on gives the bytes of an unbroken job."""
    source = write_lines(tmp_path / "texts.txt", 600)
    bulk.encode(folder, source, tmp_path / "whole", **OPTIONS)
    whole = contents(tmp_path / "whole")
    draw = random.Random(0)
    left = []
    for number in range(20):
        out = tmp_path / str(number)
        process = start(encode, folder, source, out, **OPTIONS)
        # Some time after a number of parts is there, so that the moments are of all of the job on any machine.
        parts_before = draw.randrange(15)
        while process.is_alive() and len(list(out.glob("part-*"))) < parts_before:
            time.sleep(0.001)
        time.sleep(draw.uniform(0, 0.03))
        process.kill()
        finish(process)
        found = parts(out)
        assert found.items() <= whole.items()
        left.append(15 - len(found))
        bulk.encode(folder, source, out, **OPTIONS)
        assert contents(out) == whole
    assert len(set(left) - {0, 15}) > 1, left  # in the middle, not before or after


def test_killed_at_every_flush_and_rename(folder, tmp_path):
    source = write_lines(tmp_path / "texts.txt", 60)
    bulk.encode(folder, source, tmp_path / "whole", **OPTIONS)
    whole = contents(tmp_path / "whole")
    event, code = 0, -signal.SIGKILL
    while code == -signal.SIGKILL:
        event += 1
        out = tmp_path / str(event)
        code = finish(start(killed_at, event, folder, source, out, **OPTIONS))
        assert parts(out).items() <= whole.items()
        bulk.encode(folder, source, out, **OPTIONS)
        assert contents(out) == whole
    # A manifest, two parts with a record each, and the manifest again: two flushes and a rename for each.
    assert (code, event - 1) == (0, 18)


@pytest.mark.parametrize("format", ["npy", "jsonl", "parquet", "arrow"])
def test_the_system_refuses_to_write(folder, tmp_path, format):
    """As on a full disk: an error that names the part, which is not there then, and the job can be gone on with."""
    if format in ("parquet", "arrow"):
        pytest.importorskip("pyarrow", reason="the arrow extra is not installed")
    source = write_lines(tmp_path / "texts.txt", 60)
    options = {"format": format, "shard_rows": 40}
    bulk.encode(folder, source, tmp_path / "whole", **options)
    out, report = tmp_path / "out", tmp_path / "report"
    largest = max(map(len, parts(tmp_path / "whole").values())) - 1
    assert finish(start(limited, largest, report, folder, source, out, **options)) == 0
    assert report.read_text() == f"{errno.EFBIG} {out / 'part-00000'}.{format}"
    assert sorted(contents(out)) == ["_manifest.json"]
    bulk.encode(folder, source, out, **options)
    assert contents(out) == contents(tmp_path / "whole")


def test_an_interrupt_leaves_the_parts_before(folder, tmp_path, monkeypatch):
    source = write_lines(tmp_path / "texts.txt", 100)
    encoder = SentenceEncoder.from_pretrained(folder)
    real, calls = encoder.encode, []

    def interrupted(texts, **options):
        calls.append(len(texts))
        if calls.count(40) == 2:
            raise KeyboardInterrupt
        return real(texts, **options)

    monkeypatch.setattr(encoder, "encode", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bulk.encode(encoder, source, tmp_path / "out", **OPTIONS)
    assert sorted(parts(tmp_path / "out")) == ["part-00000.npy"]
    assert not list((tmp_path / "out").glob(".*"))


def test_what_another_process_is_writing_is_not_removed(tmp_path):
    for name in (".part-00000.npy.0123dead.tmp", "._manifest.json.0123dead.tmp", ".00000.json.0123dead.tmp"):
        (tmp_path / name).write_bytes(b"left behind")
    with new_file(str(tmp_path / "part-00000.npy")) as output:
        output.write(b"whole")
        remove_left_behind(str(tmp_path))
        assert len(list(tmp_path.iterdir())) == 1
        output.commit()
    assert contents(tmp_path) == {"part-00000.npy": b"whole"}


def test_files_of_others_are_not_removed(tmp_path):
    for name in (".notes.tmp", ".part-00000.npy.dead.tmp", ".notes.0123dead.tmp"):
        (tmp_path / name).write_bytes(b"somebody's")
    remove_left_behind(str(tmp_path))
    assert len(list(tmp_path.iterdir())) == 3
