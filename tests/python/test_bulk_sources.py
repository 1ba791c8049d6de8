"""What bulk jobs read: lines, JSON lines, CSV, Parquet and standard input, wherever they are cut."""

import io
import itertools
import json
import random
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from bulk_jobs import contents, texts, write_jsonl, write_lines
from text_models import sentence_folder

from filbert import InputError, SentenceEncoder, bulk
from filbert.bulk.plan import plan
from filbert.bulk.settings import make_settings
from filbert.bulk.sources import name_sources, open_source
from filbert.text_lines import read_lines


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return SentenceEncoder.from_pretrained(sentence_folder(tmp_path_factory.mktemp("model") / "model"))


def settings(**changed):
    defaults = {"column": "text", "id": None, "keep": (), "format": "jsonl", "shard_rows": 10, "on_error": "raise"}
    return make_settings(**{**defaults, "precision": None, "options": {}, **changed})


def read(path, **changed):
    """The rows of a file as shards: of each the texts, the kept columns and the numbers of rows that are unreadable."""
    asked = settings(**changed)
    (named,) = name_sources(path, None)
    source = open_source(named, asked)
    source.check()
    shards = []
    for shard in plan([source], asked.shard_rows):
        found = [rows for _, piece in shard for rows in source.read(piece)]
        assert [rows.first for rows in found] == [
            first + piece.first
            for _, piece in shard
            for first in itertools.accumulate((len(rows.texts) for rows in found[:-1]), initial=0)
        ]
        shards.append(
            (
                [text for rows in found for text in rows.texts],
                {name: [x for rows in found for x in rows.kept[name]] for name in asked.kept},
                [number for rows in found for number in rows.problems],
            )
        )
    return shards


def test_lines_are_those_of_encode(tmp_path):
    """Every mixture of line ends, marks of byte order, and bytes that end no line."""
    draw = random.Random(0)
    pieces = [b"a", b"b c", b"\n", b"\r\n", b"\r", b"", b"\x0c", "\u2028é".encode(), b"\n\n"]
    for number in range(200):
        data = b"".join(draw.choices(pieces, k=draw.randrange(12)))
        path = tmp_path / f"{number}.txt"
        path.write_bytes(draw.choice([b"", b"\xef\xbb\xbf"]) + data)
        expected = read_lines(str(path))
        for rows in (1, 3, 100):
            shards = read(path, shard_rows=rows)
            assert [text for found, _, _ in shards for text in found] == expected
            assert [len(found) for found, _, _ in shards[:-1]] == [rows] * (len(shards) - 1)


def test_fields_of_csv(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b'\xef\xbb\xbfn,text\r\n1,plain\r\n\r\n2,"two\nlines, and ""quotes"""\n3,\n4\n5,a,b\n6,last')
    for rows in (1, 2, 100):
        found = read(path, keep=["n"], shard_rows=rows)
        assert [text for each, _, _ in found for text in each] == [
            *("plain", 'two\nlines, and "quotes"', "", None, None, "last"),
        ]
        assert [n for _, each, _ in found for n in each["n"]] == ["1", "2", "3", None, None, "6"]
    assert read(path, shard_rows=100)[0][2] == [3, 4]
    (tmp_path / "a.tsv").write_text("text\tn\na,b\t1\n")
    assert read(tmp_path / "a.tsv") == [(["a,b"], {}, [])]


def test_objects_of_json_lines(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "a", "n": 1}\n\n{"text": null}\r\n{"n": 2}\n[1]\n{"text"\n{"text": 3, "n": null}')
    expected = ["a", None, None, None, None, 3]
    for rows in (1, 2, 100):
        found = read(path, keep=["n"], shard_rows=rows)
        assert [text for each, _, _ in found for text in each] == expected
        assert [n for _, each, _ in found for n in each["n"]] == [1, None, 2, None, None, None]
    assert found[0][2] == [3, 4]


def test_tables_of_parquet(tmp_path):
    pyarrow = pytest.importorskip("pyarrow", reason="the arrow extra is not installed")
    parquet = pytest.importorskip("pyarrow.parquet")
    values = [*texts(95), None, "end"]
    for kind in (pyarrow.string(), pyarrow.large_string(), pyarrow.string_view()):
        table = pyarrow.table({"n": range(97), "text": pyarrow.array(values, kind), "x": [b""] * 97})
        for group in (1, 10, 30, 1000):
            parquet.write_table(table, tmp_path / "a.parquet", row_group_size=group)
            for rows in (7, 10, 200):
                found = read(tmp_path / "a.parquet", keep=["n"], shard_rows=rows)
                assert [text for each, _, _ in found for text in each] == values
                assert [n.as_py() for _, each, _ in found for n in each["n"]] == list(range(97))


def test_a_dictionary_of_strings_is_texts(encoder, tmp_path):
    pyarrow = pytest.importorskip("pyarrow", reason="the arrow extra is not installed")
    parquet = pytest.importorskip("pyarrow.parquet")
    column = pyarrow.array(texts(30)).dictionary_encode()
    parquet.write_table(pyarrow.table({"text": column, "again": column}), tmp_path / "a.parquet")
    manifest = bulk.encode(encoder, tmp_path / "a.parquet", tmp_path / "out", keep=["again", "text"], shard_rows=20)
    table = parquet.read_table(tmp_path / "out")
    assert table.schema.names == ["again", "text", "embedding"]
    assert table["again"].to_pylist() == table["text"].to_pylist() == texts(30)
    vectors = np.array(table["embedding"].to_pylist(), np.float32)
    assert vectors.tobytes() == encoder.encode(texts(30)).tobytes()
    assert manifest.rows == 30


@pytest.mark.parametrize("format", ["parquet", "arrow"])
def test_columns_keep_their_types(encoder, tmp_path, format):
    """Those of a table as they are, those of JSON lines as the first file has them, in every part."""
    pyarrow = pytest.importorskip("pyarrow", reason="the arrow extra is not installed")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = [{"text": "a", "n": None if index < 5 else index + 0.5, "deep": [index]} for index in range(20)]
    types = {"n": pyarrow.float64(), "deep": pyarrow.list_(pyarrow.int64())}
    write_jsonl(tmp_path / "a.jsonl", rows)
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    for name in ("a.jsonl", "a.parquet"):
        out = tmp_path / f"out {name}"
        manifest = bulk.encode(encoder, tmp_path / name, out, format=format, keep=["n", "deep"], shard_rows=4)
        schema = pyarrow.schema([*types.items(), ("embedding", pyarrow.list_(pyarrow.float32(), 32))])
        for number, part in enumerate(manifest.parts):
            table = parquet.read_table(part) if format == "parquet" else pyarrow.ipc.open_file(part).read_all()
            assert table.schema.equals(schema)
            assert table.drop_columns(["embedding"]).to_pylist() == [
                {"n": row["n"], "deep": row["deep"]} for row in rows[4 * number : 4 * number + 4]
            ]
            assert table.schema.metadata[b"filbert.shard"] == str(number).encode()


def check_later_rows(encoder, tmp_path, first, later, found):
    """The first row that is not as the 1,003 before it ends a job to Arrow, and JSON lines keep it."""
    pytest.importorskip("pyarrow", reason="the arrow extra is not installed")
    rows = [{"text": "", "deep": first if index < 1003 else later} for index in range(1005)]
    source = write_jsonl(tmp_path / "a.jsonl", rows)
    message = rf"a.jsonl: column 'deep': row 1003 \(from 0\): found {found}"
    with pytest.raises(InputError, match=message):
        bulk.encode(encoder, source, tmp_path / "out", keep=["deep"])
    manifest = bulk.encode(encoder, source, tmp_path / "kept", keep=["deep"], format="jsonl")
    lines = Path(manifest.parts[0]).read_text().splitlines()
    assert [json.loads(line)["deep"] for line in lines] == [row["deep"] for row in rows]


@pytest.mark.parametrize(
    ("first", "later", "found", "expected"),
    [
        (7, "x", r"'x' \(str\)", "int64"),
        (7, 9.99, r"9\.99 \(float\)", "int64"),
        (7, 2.0, r"2\.0 \(float\)", "int64"),
        (7, True, r"True \(bool\)", "int64"),
        (0.5, False, r"False \(bool\)", "double"),
        (True, 1, r"1 \(int\)", "bool"),
        ("s", 5, r"5 \(int\)", "string"),
        (None, 5, r"5 \(int\)", "string"),
        ([1], [2, 1.5], r"1\.5 \(float\)", "list<.*int64>"),
        ([1], "", r"'' \(str\)", "list<.*int64>"),
        (["ab"], "ab", r"'ab' \(str\)", "list<.*string>"),
        ({"a": 1}, {"a": 1.5}, r"1\.5 \(float\)", "struct<a: int64>"),
        ({"a": 1}, [], r"\[\] \(list\)", "struct<a: int64>"),
        ({"a": [{"b": 1}]}, {"a": [None, {"b": 2}, {"b": 0.5}]}, r"0\.5 \(float\)", "struct<.*int64.*>"),
    ],
)
def test_a_value_of_another_type_than_the_first_rows(encoder, tmp_path, first, later, found, expected):
    """Of most of these pyarrow would make another value in silence: 9 of 9.99, 0.0 of false, two texts of "ab"."""
    check_later_rows(encoder, tmp_path, first, later, f"{found}, expected type {expected} as in the first rows")


def test_a_value_of_another_type_than_the_first_file(encoder, tmp_path):
    pyarrow = pytest.importorskip("pyarrow", reason="the arrow extra is not installed")
    parquet = pytest.importorskip("pyarrow.parquet")
    later = write_jsonl(tmp_path / "b.jsonl", [{"text": "", "n": {"a": 1}}, {"text": "", "n": {"a": 9.99}}])
    first = write_jsonl(tmp_path / "a.jsonl", [{"text": "", "n": {"a": 1}}])
    for kind in (pyarrow.map_(pyarrow.string(), pyarrow.int32()), pyarrow.struct({"a": pyarrow.timestamp("s")})):
        table = pyarrow.table({"text": [""], "n": pyarrow.array([{"a": 1}], kind)})
        parquet.write_table(table, tmp_path / "a.parquet")
        for source in (tmp_path / "a.parquet", first):
            with pytest.raises(InputError, match=r"b.jsonl: column 'n': row 1 \(from 0\): found 9.99 \(float\)"):
                bulk.encode(encoder, [source, later], tmp_path / f"out {source.suffix} {kind}", keep=["n"])


def test_integers_among_numbers_with_decimals(encoder, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="the arrow extra is not installed")
    values = [0.5] * 1000 + [2, None, -(2**53)]
    source = write_jsonl(tmp_path / "a.jsonl", [{"text": "", "n": value, "in": {"n": [value]}} for value in values])
    bulk.encode(encoder, source, tmp_path / "out", keep=["n", "in"])
    table = parquet.read_table(tmp_path / "out")
    assert table["n"].to_pylist() == values
    assert table["in"].to_pylist() == [{"n": [value]} for value in values]


@pytest.mark.parametrize(
    ("first", "later", "key"),
    [
        ({"a": 1}, {"a": 2, "b": 3}, "b"),
        ({"a": {"b": 1}}, {"a": {"b": 1, "c": None}}, "c"),
        ([{"a": 1}], [{"a": 1}, None, {"b": 2}], "b"),
        ({"a": [{"b": 1}]}, {"a": [{"c": 1}]}, "c"),
    ],
)
def test_a_key_that_the_first_rows_have_not(encoder, tmp_path, first, later, key):
    """Arrow would leave it out in silence; JSON lines keep it."""
    check_later_rows(encoder, tmp_path, first, later, f"the key '{key}', expected type .*; format='jsonl'")


def test_tables_of_different_types(encoder, tmp_path):
    pyarrow = pytest.importorskip("pyarrow", reason="the arrow extra is not installed")
    parquet = pytest.importorskip("pyarrow.parquet")
    for name, value in (("a", 1), ("b", "1")):
        parquet.write_table(pyarrow.table({"text": ["x"], "n": [value]}), tmp_path / f"{name}.parquet")
    with pytest.raises(InputError, match=r"b.parquet: column 'n': found type string, expected int64 as in .*a.parquet"):
        bulk.encode(encoder, str(tmp_path / "*.parquet"), tmp_path / "out", keep=["n"])


@pytest.mark.parametrize(("ending", "format"), [(".txt", "text"), (".jsonl", "jsonl"), (".csv", "csv")])
def test_standard_input_is_as_a_file(encoder, tmp_path, monkeypatch, ending, format):
    source = tmp_path / f"a{ending}"
    lines = [f'"{text}"' if format == "csv" else f'{{"text": "{text}"}}' if format == "jsonl" else text
             for text in texts(2500)]  # fmt: skip
    source.write_text("".join(f"{line}\n" for line in (["text", *lines] if format == "csv" else lines)))
    options = {"format": "npy", "shard_rows": 1100}
    of_file = bulk.encode(encoder, source, tmp_path / "file", **options)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(source.read_bytes())))
    of_stream = bulk.encode(encoder, "-", tmp_path / "stream", input_format=format, **options)
    assert of_stream.is_complete
    assert of_stream == bulk.Manifest.read(tmp_path / "stream")
    assert (of_stream.rows, of_stream.done) == (2500, of_file.done)
    files, streamed = contents(tmp_path / "file"), contents(tmp_path / "stream")
    assert {name: data for name, data in files.items() if name.startswith("part")} == {
        name: data for name, data in streamed.items() if name.startswith("part")
    }
    with pytest.raises(InputError, match="a job cannot be gone on with; save it to a file"):
        bulk.encode(encoder, "-", tmp_path / "stream", input_format=format, **options)
    with pytest.raises(InputError, match="it has no shares"):
        bulk.encode(encoder, "-", tmp_path / "other", shard="0/2", **options)


def test_empty_standard_input(encoder, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
    manifest = bulk.encode(encoder, "-", tmp_path / "out", format="npy")
    assert np.load(manifest.parts[0]).shape == (0, 32)
    assert manifest.is_complete


def test_names_and_patterns(tmp_path):
    for name in ("b.txt", "a.txt", "c.jsonl", "[x].txt", "odd.dat"):
        (tmp_path / name).write_text("")
    (tmp_path / "folder.txt").mkdir()

    def found(names, input_format=None):
        return [(path.removeprefix(f"{tmp_path}/"), format) for path, format in name_sources(names, input_format)]

    assert found(str(tmp_path / "*.txt")) == [("[x].txt", "text"), ("a.txt", "text"), ("b.txt", "text")]
    assert found([str(tmp_path / "[x].txt"), tmp_path / "c.jsonl"]) == [("[x].txt", "text"), ("c.jsonl", "jsonl")]
    assert found(tmp_path / "odd.dat", "csv") == [("odd.dat", "csv")]
    for names, error, message in (
        (tmp_path / "odd.dat", InputError, "odd.dat: found the ending '.dat', expected one of .parquet"),
        (tmp_path / "texts.txt.gz", InputError, "zcat .*texts.txt.gz"),
        (tmp_path / "folder.txt", InputError, "is a folder; name its files"),
        (str(tmp_path / "*.csv"), FileNotFoundError, "no file matches"),
        ([], InputError, "found none"),
        (["-", "a.txt"], InputError, "standard input among files"),
    ):
        with pytest.raises(error, match=message):
            name_sources(names, None)
    with pytest.raises(InputError, match="standard input has none: save it to a file"):
        name_sources("-", "parquet")
    with pytest.raises(InputError, match="input_format: found 'xml', expected one of text, jsonl"):
        name_sources("a.xml", "xml")


def test_files_are_never_whole_in_memory(tmp_path):
    """Of 20 MB of lines at most 8,192 rows are: 1.3 MB as strings."""
    path = tmp_path / "a.txt"
    path.write_text(f"{'x' * 99}\n" * 200_000)
    asked = settings(shard_rows=50_000)
    source = open_source(name_sources(path, None)[0], asked)
    tracemalloc.start()
    (shards, count) = (plan([source], 50_000), 0)
    for shard in shards:
        for rows in source.read(shard[0][1]):
            count += len(rows.texts)
            del rows
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (len(shards), count) == (4, 200_000)
    assert peak < 6_000_000  # 8,192 strings of 148 bytes and tuples of 64, twice while one batch follows another


def test_long_rows_come_fewer_at_a_time(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", [{"text": "x" * 1_000_000}] * 70)
    source = open_source(name_sources(path, None)[0], settings(shard_rows=100))
    ((_, piece),) = plan([source], 100)[0]
    assert [len(rows.texts) for rows in source.read(piece)] == [34, 34, 2]  # 32 MiB, reached by the 34th


def test_write_lines_is_what_it_says(tmp_path):
    assert read_lines(str(write_lines(tmp_path / "a.txt", 40))) == texts(40)
