"""Bulk jobs: what is in the parts, however it is cut, shared or gone on with."""

import json
from pathlib import Path

import numpy as np
import pytest
from bulk_jobs import contents, encode, finish, start, texts, write_jsonl, write_lines
from text_models import sentence_folder

from filbert import InputError, SentenceEncoder, bulk

COUNT = 300


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return sentence_folder(tmp_path_factory.mktemp("model") / "model", normalize=False)


@pytest.fixture(scope="module")
def encoder(folder):
    return SentenceEncoder.from_pretrained(folder)


@pytest.fixture
def source(tmp_path):
    return write_lines(tmp_path / "texts.txt", COUNT)


def arrays(manifest):
    return [np.load(part) for part in manifest.parts]


def test_parts_are_rows_in_their_order(encoder, source, tmp_path):
    manifest = bulk.encode(encoder, source, tmp_path / "out", format="npy", shard_rows=128)
    assert [array.shape for array in arrays(manifest)] == [(128, 32), (128, 32), (44, 32)]
    assert np.concatenate(arrays(manifest)).tobytes() == encoder.encode(texts(COUNT)).tobytes()
    assert (manifest.rows, manifest.bad, manifest.is_complete) == (COUNT, {}, True)
    assert bulk.Manifest.read(tmp_path / "out") == manifest
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        *("_done", "_manifest.json"),
        *("part-00000.npy", "part-00001.npy", "part-00002.npy"),
    ]


def test_parts_of_npy_are_what_numpy_writes(encoder, source, tmp_path):
    bulk.encode(encoder, source, tmp_path / "out", format="npy")
    np.save(tmp_path / "expected.npy", encoder.encode(texts(COUNT)))
    assert (tmp_path / "out" / "part-00000.npy").read_bytes() == (tmp_path / "expected.npy").read_bytes()


def test_shards_go_on_from_file_to_file(encoder, tmp_path):
    """Empty files and small ones make no parts of their own."""
    for number, (begin, end) in enumerate([(0, 0), (0, 10), (10, 130), (130, 131), (131, COUNT), (COUNT, COUNT)]):
        path = tmp_path / f"{number}.txt"
        path.write_text("\n".join(texts(COUNT)[begin:end]) + ("\n" if end > begin else ""))
    manifest = bulk.encode(encoder, str(tmp_path / "*.txt"), tmp_path / "out", format="npy", shard_rows=100)
    assert [len(array) for array in arrays(manifest)] == [100, 100, 100]
    assert np.concatenate(arrays(manifest)).tobytes() == encoder.encode(texts(COUNT)).tobytes()


def test_options_of_encode(encoder, source, tmp_path):
    options = {"prompt": "a ", "normalize_embeddings": True, "truncate_dim": 8}
    expected = encoder.encode(texts(COUNT), **options)
    for precision, values in (
        (None, expected),
        ("float16", expected.astype(np.float16)),
        ("binary", encoder.encode(texts(COUNT), precision="binary", **options)),
        ("ubinary", encoder.encode(texts(COUNT), precision="ubinary", **options)),
    ):
        out = tmp_path / f"out {precision}"
        (found,) = arrays(bulk.encode(encoder, source, out, format="npy", precision=precision, batch_size=7, **options))
        assert (found.dtype, found.tobytes()) == (values.dtype, values.tobytes())


def test_kept_columns_of_json_lines(encoder, tmp_path):
    rows = [{"text": text, "n": index, "deep": {"é": [index]}} for index, text in enumerate(texts(20))]
    source = write_jsonl(tmp_path / "rows.jsonl", rows)
    manifest = bulk.encode(encoder, source, tmp_path / "out", format="jsonl", id="n", keep=["deep"], shard_rows=15)
    lines = [json.loads(line) for part in manifest.parts for line in Path(part).read_bytes().splitlines()]
    assert [list(line) for line in lines] == [["n", "deep", "embedding"]] * 20
    assert [(line["n"], line["deep"]) for line in lines] == [(row["n"], row["deep"]) for row in rows]
    vectors = np.array([line["embedding"] for line in lines], np.float32)
    assert vectors.tobytes() == encoder.encode(texts(20)).tobytes()


def test_without_rows_there_is_an_empty_part(encoder, tmp_path):
    for name, text in (("a.txt", ""), ("b.jsonl", "\n\n"), ("c.csv", "text,n\n"), ("d.csv", "")):
        (tmp_path / name).write_text(text)
        (array,) = arrays(bulk.encode(encoder, tmp_path / name, tmp_path / f"out {name}", format="npy"))
        assert (array.shape, array.dtype) == ((0, 32), np.float32)


def test_two_shares_are_the_whole(folder, source, tmp_path):
    """Two processes with half of the shards each, and both at once: the bytes of one, its manifest too."""
    options = {"format": "npy", "shard_rows": 20}
    bulk.encode(folder, source, tmp_path / "whole", **options)
    for order in ("one after the other", "together"):
        out = tmp_path / order
        processes = []
        for share in ("0/2", "1/2"):
            processes.append(start(encode, folder, source, out, shard=share, **options))
            if order == "one after the other":
                assert finish(processes[-1]) == 0
                assert bulk.Manifest.read(out).is_complete == (share == "1/2")
        assert [finish(process) for process in processes] == [0, 0]
        assert contents(out) == contents(tmp_path / "whole")


def test_two_processes_with_the_same_work(folder, source, tmp_path):
    options = {"format": "npy", "shard_rows": 20}
    bulk.encode(folder, source, tmp_path / "whole", **options)
    processes = [start(encode, folder, source, tmp_path / "out", **options) for _ in range(2)]
    assert [finish(process) for process in processes] == [0, 0]
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_going_on_does_only_what_is_missing(encoder, source, tmp_path):
    options = {"format": "npy", "shard_rows": 50}
    manifest = bulk.encode(encoder, source, tmp_path / "out", **options)
    before = contents(tmp_path / "out")
    times = {part: (tmp_path / "out" / part).stat().st_mtime_ns for part in before if part.startswith("part")}
    (tmp_path / "out" / "part-00002.npy").unlink()
    (tmp_path / "out" / "part-00003.npy").write_bytes(b"short")
    (tmp_path / "out" / "_done" / "00004.json").unlink()
    assert bulk.Manifest.read(tmp_path / "out").is_complete is False
    assert bulk.encode(encoder, source, tmp_path / "out", **options) == manifest
    assert contents(tmp_path / "out") == before
    written = {part for part, time in times.items() if (tmp_path / "out" / part).stat().st_mtime_ns != time}
    assert written == {f"part-0000{number}.npy" for number in (2, 3, 4)}


def test_a_name_is_loaded_as_its_options_say(folder, source, tmp_path):
    manifest = bulk.encode(
        folder, source, tmp_path / "out", format="npy", model_options={"dtype": "bfloat16", "num_threads": 1}
    )
    expected = SentenceEncoder.from_pretrained(folder, dtype="bfloat16").encode(texts(COUNT))
    assert arrays(manifest)[0].tobytes() == expected.tobytes()
    assert manifest.fingerprint["dtype"] == "bfloat16"


def test_a_folder_that_holds_a_job_can_be_refused(encoder, source, tmp_path):
    bulk.encode(encoder, source, tmp_path / "out", format="npy", resume=False)
    with pytest.raises(InputError, match="holds a job already; resume=True goes on with it"):
        bulk.encode(encoder, source, tmp_path / "out", format="npy", resume=False)


def test_progress_is_of_the_rows_that_are_left(encoder, source, tmp_path, capsys):
    options = {"format": "npy", "shard_rows": 100, "show_progress_bar": True}
    bulk.encode(encoder, source, tmp_path / "out", shard="0/3", **options)
    assert "100/100" in capsys.readouterr().err
    bulk.encode(encoder, source, tmp_path / "out", **options)
    assert "200/200" in capsys.readouterr().err
