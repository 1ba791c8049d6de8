"""What bulk jobs refuse: rows, files, folders and options; each error says which, and what was expected."""

import errno
import io
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from bulk_jobs import contents, texts, write_jsonl, write_lines
from text_models import sentence_folder

from filbert import ConfigError, DeviceError, InputError, SentenceEncoder, bulk

ODD = [
    {"text": "a"},
    {"text": None},
    {"n": 1},
    {"text": 3},
    {"text": ["a"]},
    "broken",
    {"text": "\ud800"},
    {"text": "b"},
]


@pytest.fixture(scope="module")
def encoder(folder):
    return SentenceEncoder.from_pretrained(folder)


@pytest.fixture
def odd(tmp_path):
    return write_jsonl(tmp_path / "odd.jsonl", ODD)


def test_rows_without_a_text_are_null_if_that_is_asked_for(encoder, odd, tmp_path):
    manifest = bulk.encode(encoder, odd, tmp_path / "out", format="npy", on_error="null", shard_rows=3)
    found = np.concatenate([np.load(part) for part in manifest.parts])
    assert np.isnan(found).all(axis=1).tolist() == [False, True, True, True, True, True, True, False]
    assert found[[0, 7]].tobytes() == encoder.encode(["a", "b"]).tobytes()
    assert manifest.bad == {"null": 2, "not text": 2, "unreadable": 1, "not UTF-8": 1}
    with pytest.raises(InputError, match="has rows without a vector already, which on_error='null' takes"):
        bulk.encode(encoder, odd, tmp_path / "out", format="npy", shard_rows=3)


def test_null_vectors_of_arrow(encoder, odd, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="the arrow extra is not installed")
    bulk.encode(encoder, odd, tmp_path / "out", keep=["n"], on_error="null", precision="binary")
    table = parquet.read_table(tmp_path / "out")
    binary = encoder.encode(["a", "b"], precision="binary").tolist()
    assert table["embedding"].to_pylist() == [binary[0], *[None] * 6, binary[1]]
    assert table["n"].to_pylist() == [None, None, 1, *[None] * 5]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (1, "found no text"),
        (3, r"found 3 \(int\), expected a string"),
        (5, "not an object of JSON"),
        (6, "the text is not UTF-8"),
    ],
)
def test_the_first_such_row_ends_the_job(encoder, tmp_path, row, message):
    """What was done before stays, and the job can be gone on with, such rows being null."""
    source = write_jsonl(tmp_path / "a.jsonl", [*[{"text": "a"}] * 4, ODD[row]])
    with pytest.raises(InputError, match=rf"a.jsonl: row 4 \(from 0\): {message}; on_error='null' goes on without"):
        bulk.encode(encoder, source, tmp_path / "out", format="npy", shard_rows=2)
    assert sorted(contents(tmp_path / "out")) == [
        *("_done/00000.json", "_done/00001.json", "_manifest.json", "part-00000.npy", "part-00001.npy")
    ]
    manifest = bulk.encode(encoder, source, tmp_path / "out", format="npy", shard_rows=2, on_error="null")
    assert (manifest.rows, sum(manifest.bad.values()), manifest.is_complete) == (5, 1, True)


def test_texts_that_are_too_long(encoder, tmp_path):
    """Found among the others, which have the vectors that they always have."""
    values = ["a cat"] * 50
    values[7] = values[30] = values[49] = "cat " * 20
    source = tmp_path / "a.txt"
    source.write_text("".join(f"{text}\n" for text in values))
    expected = encoder.encode(values, on_truncate="ignore")
    options = {"format": "npy", "on_truncate": "raise"}
    manifest = bulk.encode(encoder, source, tmp_path / "out", on_error="null", **options)
    found = np.load(manifest.parts[0])
    kept = [index for index in range(50) if index not in (7, 30, 49)]
    assert found[kept].tobytes() == expected[kept].tobytes()
    assert np.isnan(found[[7, 30, 49]]).all()
    assert manifest.bad == {"refused": 3}
    with pytest.raises(InputError, match=r"a.txt: row 7 \(from 0\): text 0: has more than 16 tokens"):
        bulk.encode(encoder, source, tmp_path / "other", **options)


def test_kept_columns_that_are_not_utf8(encoder, tmp_path):
    (tmp_path / "a.csv").write_bytes(b"text,n\na,1\nb,\xff\n")
    manifest = bulk.encode(encoder, tmp_path / "a.csv", tmp_path / "out", format="jsonl", keep=["n"], on_error="null")
    assert manifest.bad == {"unreadable": 1}
    lines = (tmp_path / "out" / "part-00000.jsonl").read_text().splitlines()
    assert lines[0].startswith('{"n": "1", "embedding": [')
    assert lines[1] == '{"n": null, "embedding": null}'


def test_an_unknown_column(encoder, tmp_path):
    (tmp_path / "a.csv").write_text("title,body\nx,y\n")
    write_jsonl(tmp_path / "a.jsonl", [{"title": "x"}, {"body": "y"}])
    for name in ("a.csv", "a.jsonl"):
        with pytest.raises(InputError, match=f"{name}: no column 'text'; it has title, body$"):
            bulk.encode(encoder, tmp_path / name, tmp_path / "out", format="npy")
        with pytest.raises(InputError, match=f"{name}: no column 'id'; it has title, body$"):
            bulk.encode(encoder, tmp_path / name, tmp_path / "out", format="jsonl", column="body", id="id")
    with pytest.raises(InputError, match=r"a.txt: no column 'n'; it has none, being lines of text$"):
        bulk.encode(encoder, write_lines(tmp_path / "a.txt", 3), tmp_path / "out", format="jsonl", keep=["n"])
    assert not (tmp_path / "out").exists()


def test_two_columns_of_one_name(encoder, tmp_path):
    (tmp_path / "a.csv").write_text("text,n,text,n\nx,1,y,2\n")
    for column, name in (("text", "text"), ("n", "n")):
        with pytest.raises(InputError, match=f"a.csv: column '{name}': found 2 of that name, expected one"):
            bulk.encode(encoder, tmp_path / "a.csv", tmp_path / "out", format="npy", column=column)
    (tmp_path / "b.csv").write_text("text,n,n\na,1,2\n")
    assert bulk.encode(encoder, tmp_path / "b.csv", tmp_path / "out", format="npy").rows == 1
    with pytest.raises(InputError, match=r"b.csv: column 'n': found 2 of that name"):
        bulk.encode(encoder, tmp_path / "b.csv", tmp_path / "kept", format="jsonl", keep=["n"])


@pytest.mark.parametrize("error", [MemoryError, DeviceError, KeyboardInterrupt])
def test_errors_that_are_of_no_text_end_the_job(encoder, tmp_path, monkeypatch, error):
    """They would otherwise write a null in the place of every text."""
    source = write_lines(tmp_path / "a.txt", 20)
    real = encoder.encode

    def encode(found, **options):
        if "hello" in "".join(found):
            raise error("not this text's fault")
        return real(found, **options)

    monkeypatch.setattr(encoder, "encode", encode)
    with pytest.raises(error, match="not this text's fault"):
        bulk.encode(encoder, source, tmp_path / "out", format="npy", on_error="null")
    assert not (tmp_path / "out" / "part-00000.npy").exists()


def test_columns_of_tables(encoder, tmp_path):
    pyarrow = pytest.importorskip("pyarrow", reason="the arrow extra is not installed")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table({"title": ["x"], "n": [1]}), tmp_path / "a.parquet")
    for column, message in (("text", "no column 'text'; it has title, n$"), ("n", "column 'n': found type int64")):
        with pytest.raises(InputError, match=f"a.parquet: {message}"):
            bulk.encode(encoder, tmp_path / "a.parquet", tmp_path / "out", column=column)
    whole = (tmp_path / "a.parquet").read_bytes()
    for size in (0, 3, len(whole) // 2, len(whole) - 1):
        (tmp_path / "a.parquet").write_bytes(whole[:size])
        with pytest.raises(InputError, match=r"a.parquet: not a whole Parquet file"):
            bulk.encode(encoder, tmp_path / "a.parquet", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_table_whose_pages_are_gone(encoder, tmp_path):
    """The end of the file is there, and what it points to is not."""
    pyarrow = pytest.importorskip("pyarrow", reason="the arrow extra is not installed")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table({"text": texts(1000)}), tmp_path / "a.parquet", compression="none")
    data = bytearray((tmp_path / "a.parquet").read_bytes())
    data[4 : len(data) // 2] = bytes(len(data) // 2 - 4)
    (tmp_path / "a.parquet").write_bytes(data)
    with pytest.raises(InputError, match=r"a.parquet: not a whole Parquet file"):
        bulk.encode(encoder, tmp_path / "a.parquet", tmp_path / "out", format="npy")
    assert not [name for name in contents(tmp_path / "out") if "part" in name]


def test_csv_with_a_million_columns(encoder, tmp_path):
    wide = ",".join(map(str, range(1_000_000)))
    (tmp_path / "head.csv").write_text(f"{wide}\n1\n")
    with pytest.raises(InputError, match=r"no column 'text'; it has 0, 1, .* 19 and 999980 more$") as error:
        bulk.encode(encoder, tmp_path / "head.csv", tmp_path / "out", format="npy")
    assert len(str(error.value)) < 500
    (tmp_path / "row.csv").write_text(f"text,n\na,1\n{wide}\nb,2\n")
    with pytest.raises(InputError, match=r"row.csv: row 1 \(from 0\): found 1000000 fields, expected 2"):
        bulk.encode(encoder, tmp_path / "row.csv", tmp_path / "out", format="npy")
    manifest = bulk.encode(encoder, tmp_path / "row.csv", tmp_path / "out", format="npy", on_error="null")
    assert (manifest.rows, manifest.bad) == (3, {"unreadable": 1})


def test_csv_with_a_quote_that_is_never_closed(encoder, tmp_path):
    (tmp_path / "a.csv").write_text('text\nb\nc\n"' + ("a" * 15 + "\n") * (9 << 17))
    for on_error in ("raise", "null"):
        with pytest.raises(InputError, match=r"a.csv: line 4: field larger than field limit .* a quote that is never"):
            bulk.encode(encoder, tmp_path / "a.csv", tmp_path / "out", format="npy", on_error=on_error)


def test_csv_with_a_quote_that_is_never_closed_in_a_small_file(encoder, tmp_path, monkeypatch):
    for data in ('id,text\n1,a\n2,"b\n3,c\n4,d\n', 'id,text\n1,a\n2,"b'):
        (tmp_path / "a.csv").write_text(data)
        for rows in (1, 100):
            with pytest.raises(InputError, match=r"a.csv: line 3: a quote is never closed"):
                bulk.encode(encoder, tmp_path / "a.csv", tmp_path / "out", format="npy", shard_rows=rows)
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data.encode())))
        with pytest.raises(InputError, match=r"line 3: a quote is never closed"):
            bulk.encode(encoder, "-", tmp_path / f"{len(data)}", format="npy", input_format="csv", resume=False)
    (tmp_path / "a.csv").write_text('id,text\n1,a\n\n2,"b\n"\n\n3,"c"')
    manifest = bulk.encode(encoder, tmp_path / "a.csv", tmp_path / "closed", format="npy")
    assert (manifest.rows, manifest.bad) == (3, {})


def test_csv_that_cannot_be_read(encoder, tmp_path, monkeypatch):
    """One record; the lines after it are read, wherever the file is cut."""
    data = b'text,n\na,1\n"b\nb",2\nc\rc,3\nd,4\n'
    (tmp_path / "a.csv").write_bytes(data)
    for rows in (1, 2, 100):
        with pytest.raises(InputError, match=r"a.csv: row 2 \(from 0\): new-line character seen in unquoted field"):
            bulk.encode(encoder, tmp_path / "a.csv", tmp_path / f"raise {rows}", format="npy", shard_rows=rows)
        options = {"format": "jsonl", "keep": ["n"], "shard_rows": rows, "on_error": "null"}
        manifest = bulk.encode(encoder, tmp_path / "a.csv", tmp_path / f"null {rows}", **options)
        assert (manifest.rows, manifest.bad) == (4, {"unreadable": 1})
        lines = [json.loads(line) for part in manifest.parts for line in Path(part).read_text().splitlines()]
        assert [line["n"] for line in lines] == ["1", "2", None, "4"]
        assert [line["embedding"] is None for line in lines] == [False, False, True, False]
    (tmp_path / "a.csv").write_bytes(b"text\rn\na,1\n")
    with pytest.raises(InputError, match=r"a.csv: line 1: expected names of columns: new-line character"):
        bulk.encode(encoder, tmp_path / "a.csv", tmp_path / "out", format="npy")


def test_errors_of_standard_input_name_it(encoder, tmp_path, monkeypatch):
    class Broken(io.RawIOBase):
        """Two rows, and then a disk that fails."""

        def readinto(self, buffer):
            if self.readable() and not hasattr(self, "given"):
                self.given = data
                buffer[: len(data)] = data
                return len(data)
            raise OSError(errno.EIO, "Input/output error")

        def readable(self):
            return True

    for data, error, message in (
        (b"text\rn\na,1\n", InputError, "^standard input: line 1: expected names"),
        (b'text\na\n"' + b"a" * (17 << 20), InputError, "^standard input: line 3: field larger than"),
        (b"body\na\n", InputError, "^standard input: no column 'text'; it has body"),
        (b"text\na\n\xff\n", InputError, r"^standard input: row 1 \(from 0\): the text is not UTF-8"),
    ):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
        with pytest.raises(error, match=message):
            bulk.encode(encoder, "-", tmp_path / f"out {len(data)}", input_format="csv", format="npy")
    data = b"text\na\nb\n"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(Broken())))
    with pytest.raises(OSError, match=r"Input/output error: 'standard input'"):
        bulk.encode(encoder, "-", tmp_path / "broken", input_format="csv", format="npy")


def test_another_job_in_the_folder(folder, encoder, tmp_path):
    """Whatever vectors or parts depend on is told, and nothing is written."""
    source = write_lines(tmp_path / "a.txt", 10)
    other = write_lines(tmp_path / "b.txt", 10)
    out = tmp_path / "out"
    bulk.encode(encoder, source, out, format="npy")
    before = contents(out)
    shorter = SentenceEncoder.from_pretrained(folder)
    shorter.max_seq_length = 8
    bfloat16 = SentenceEncoder.from_pretrained(folder, dtype="bfloat16")
    for model, sources, options, message in (
        (bfloat16, source, {}, "dtype: found 'float32', expected 'bfloat16'"),
        (shorter, source, {}, "max_seq_length: found 16, expected 8"),
        (encoder, source, {"prompt": "a "}, "prompt: found '', expected 'a '"),
        (encoder, source, {"truncate_dim": 4}, "truncate_dim: found None, expected 4"),
        (encoder, source, {"normalize_embeddings": True}, "normalize_embeddings: found False, expected True"),
        (encoder, source, {"precision": "float16"}, "precision: found 'float32', expected 'float16'"),
        (encoder, source, {"column": "body"}, "column: found 'text', expected 'body'"),
        (encoder, source, {"format": "jsonl"}, "format: found 'npy', expected 'jsonl'"),
        (encoder, source, {"shard_rows": 7}, "shard_rows: found 65536, expected 7"),
        (encoder, other, {}, "source 0: found '.*a.txt', expected '.*b.txt'"),
        (encoder, [source, other], {}, "number of sources: found 1, expected 2"),
    ):
        with pytest.raises(InputError, match=f"out/_manifest.json: is of another job: {message}"):
            bulk.encode(model, sources, out, **{"format": "npy", **options})
    assert contents(out) == before


def test_other_files_of_the_model(folder, encoder, tmp_path):
    """Copies give the same fingerprint from elsewhere; other weights, vocabularies and modules another."""
    source = write_lines(tmp_path / "a.txt", 10)
    first = bulk.encode(encoder, source, tmp_path / "out", format="npy")
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    assert bulk.encode(copy, source, tmp_path / "out", format="npy") == first
    words = (copy / "vocab.txt").read_text()
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[len(weights) // 2] ^= 1
    for name, data, message in (
        ("model.safetensors", weights, "weights: found"),
        ("vocab.txt", words.replace("caf\n", "kaf\n").encode(), "tokenizer: found"),
        ("1_Pooling/config.json", b'{"word_embedding_dimension": 32, "pooling_mode": "cls"}', "vectors: found"),
    ):
        shutil.copytree(folder, copy, dirs_exist_ok=True)
        (copy / name).write_bytes(data)
        with pytest.raises(InputError, match=f"is of another job: {message}"):
            bulk.encode(copy, source, tmp_path / "out", format="npy")


def test_a_source_that_changed(encoder, tmp_path, monkeypatch):
    source = write_lines(tmp_path / "a.txt", 20)
    status = os.stat(source)
    bulk.encode(encoder, source, tmp_path / "out", format="npy", shard="0/2", shard_rows=10)
    os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns + 10**9))
    with pytest.raises(InputError, match=r"a.txt: changed since the job was planned: found a last change at"):
        bulk.encode(encoder, source, tmp_path / "out", format="npy", shard_rows=10)
    write_lines(source, 21)
    with pytest.raises(InputError, match=r"a.txt: changed since the job was planned: found bytes"):
        bulk.encode(encoder, source, tmp_path / "out", format="npy", shard_rows=10)
    source.unlink()
    with pytest.raises(FileNotFoundError, match=r"a.txt"):
        bulk.encode(encoder, source, tmp_path / "out", format="npy", shard_rows=10)


def test_a_source_that_changes_while_it_is_read(encoder, tmp_path, monkeypatch):
    source = write_lines(tmp_path / "a.txt", 20)
    real = encoder.encode

    def encode(found, **options):
        if len(found) == 20:
            write_lines(source, 19)
        return real(found, **options)

    monkeypatch.setattr(encoder, "encode", encode)
    with pytest.raises(InputError, match=r"a.txt: changed since the job was planned"):
        bulk.encode(encoder, source, tmp_path / "out", format="npy")
    assert sorted(contents(tmp_path / "out")) == ["_manifest.json"]


def test_places_that_are_no_folder_for_parts(encoder, tmp_path):
    source = write_lines(tmp_path / "a.txt", 3)
    for place, error, message in (
        (tmp_path, InputError, "holds 'a.txt' but no _manifest.json; expected a folder that is new or empty"),
        (source, NotADirectoryError, "a.txt: is a file; expected a folder"),
        ("/proc/out", OSError, "/proc/out"),
    ):
        with pytest.raises(error, match=message):
            bulk.encode(encoder, source, place, format="npy")
    (tmp_path / "used" / "_done").mkdir(parents=True)
    (tmp_path / "used" / "notes").write_text("")
    with pytest.raises(InputError, match=r"used: holds 'notes' but no _manifest.json"):
        bulk.encode(encoder, source, tmp_path / "used", format="npy")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".hidden").write_text("")
    assert bulk.encode(encoder, source, tmp_path / "out", format="npy").is_complete


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to every folder")
def test_a_folder_that_is_read_only(encoder, tmp_path):
    (tmp_path / "out").mkdir(mode=0o555)
    with pytest.raises(PermissionError, match="out"):
        bulk.encode(encoder, write_lines(tmp_path / "a.txt", 3), tmp_path / "out", format="npy")


def test_manifests_and_records_that_are_none(encoder, tmp_path):
    source, out = write_lines(tmp_path / "a.txt", 3), tmp_path / "out"
    bulk.encode(encoder, source, out, format="npy")
    good = contents(out)
    for name, text, error, message in (
        ("_manifest.json", "{", ConfigError, "_manifest.json: line 1"),
        ("_manifest.json", '{"version": 7}', InputError, "_manifest.json: version: found 7, expected 1"),
        ("_manifest.json", '{"version": 1}', InputError, "_manifest.json: is no manifest of a bulk job"),
        ("_done/00000.json", "{}", InputError, "00000.json: is of another job than the manifest beside it"),
    ):
        (out / name).write_text(text)
        with pytest.raises(error, match=message):
            bulk.encode(encoder, source, out, format="npy")
        (out / name).write_bytes(good[name])


def test_options_that_are_none(encoder, tmp_path):
    source, out = write_lines(tmp_path / "a.txt", 3), tmp_path / "out"
    for options, error, message in (
        ({"precision": "int8"}, InputError, "precision: found 'int8', whose steps depend on all vectors at once"),
        ({"precision": "int4"}, InputError, "precision: found 'int4', expected one of float32, float16, binary"),
        ({"format": "xlsx"}, InputError, "format: found 'xlsx', expected one of parquet, arrow, npy, jsonl"),
        ({"format": "npy", "keep": ["n"]}, InputError, "npy files hold vectors alone; to keep n"),
        ({"format": "jsonl", "keep": "n"}, InputError, "keep: found 'n', expected a list"),
        ({"format": "jsonl", "id": "embedding"}, InputError, "the name of the column of vectors"),
        ({"format": "npy", "precision": "binary", "on_error": "null"}, InputError, "binary vectors have no null"),
        ({"on_error": "skip"}, InputError, "on_error: found 'skip', expected one of raise, null"),
        ({"engine": "spark"}, InputError, "engine: found 'spark', expected one of local, ray"),
        ({"format": "npy", "workers": 2}, InputError, "workers: is for engine='ray'"),
        ({"shard_rows": 0}, InputError, "shard_rows: found 0, expected an integer above 0"),
        ({"shard": "3/3"}, InputError, r"shard: found '3/3', expected 'i/n' or \(i, n\) with 0 <= i < n"),
        ({"shard": (0, 2, 3)}, InputError, r"shard: found \(0, 2, 3\)"),
        ({"shard": "-1/2"}, InputError, "shard: found '-1/2'"),
        ({"shard": "a/2"}, InputError, "shard: found 'a/2'"),
        ({"convert_to_tensor": True}, TypeError, "unexpected keyword arguments: convert_to_tensor; of those of"),
        ({"format": "npy", "prompt_name": "x"}, InputError, "prompt_name: found 'x'"),
        ({"model_options": {"dtype": "int8"}}, InputError, "model_options: found dtype beside an encoder"),
        ({"format": "npy", "truncate_dim": 0}, InputError, "truncate_dim: found 0"),
    ):
        with pytest.raises(error, match=message):
            bulk.encode(encoder, source, out, **{"format": "jsonl", **options})
        assert not out.exists()


def test_prompts_by_text_and_by_name_are_one_job(tmp_path):
    folder = sentence_folder(tmp_path / "model", settings={"prompts": {"query": "a "}, "default_prompt_name": "query"})
    source = write_lines(tmp_path / "a.txt", 3)
    manifests = [
        bulk.encode(folder, source, tmp_path / "out", format="npy", **options)
        for options in ({}, {"prompt_name": "query"}, {"prompt": "a "})
    ]
    assert manifests[0] == manifests[1] == manifests[2]
    assert manifests[0].fingerprint["prompt"] == "a "


@pytest.mark.parametrize("format", ["parquet", "arrow"])
def test_without_pyarrow(encoder, tmp_path, monkeypatch, format):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r'pyarrow is not installed.*pip install "filbert\[arrow\]"'):
        bulk.encode(encoder, write_lines(tmp_path / "a.txt", 3), tmp_path / "out", format=format)
