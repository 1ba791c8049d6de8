"""`filbert train classify`: what it reads, prints and saves, and how it fails."""

import json
import os
import sys

import pytest
import text_models
from test_cli import wrong
from test_text_classifier import CLASSES, drawn

from filbert import InputError, TextClassifier
from filbert.class_report import report, split
from filbert.cli import main
from filbert.labelled_files import read_labelled
from filbert.logistic import STRENGTHS

ROWS = [("the cat", "a"), ('he said "hi", twice', "b"), ("two\nlines", "a"), ("", "b"), (" é\u2028北京\x0c ", "a b")]


def lines(rows):
    return "".join(json.dumps({"text": text, "label": label, "more": [1]}) + "\n" for text, label in rows)


def table(rows, delimiter):
    quoted = [[str(part).replace('"', '""') for part in row] for row in rows]
    return f"id{delimiter}label{delimiter}text\n" + "".join(f'7{delimiter}{b}{delimiter}"{a}"\n' for a, b in quoted)


def _score(found):
    return -found["score"]


@pytest.fixture
def work(tmp_path, monkeypatch):
    """The current folder: with a model, and texts in three kinds of files."""
    pytest.importorskip("sklearn", reason="the train extra is not installed")
    text_models.sentence_folder(tmp_path / "model")
    rows = list(zip(*drawn(60), strict=True))
    (tmp_path / "data.jsonl").write_text(lines(rows))
    (tmp_path / "data.csv").write_text(table(rows, ","))
    (tmp_path / "test.tsv").write_text(table(zip(*drawn(9, seed=1), strict=True), "\t"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["data.jsonl", "DATA.NDJSON", "data.json", "data.csv", "data.tsv"])
def test_reading(tmp_path, name):
    path = tmp_path / name
    text = table(ROWS, "," if "csv" in name else "\t") if "sv" in name else lines(ROWS)
    for data in (text.encode(), b"\xef\xbb\xbf" + text.encode(), text.rstrip("\n").encode(), text.encode() + b"\n\n"):
        path.write_bytes(data)
        assert read_labelled(str(path), "text", "label") == ([row[0] for row in ROWS], [row[1] for row in ROWS])


def test_labels_of_lines_of_json_keep_their_types(tmp_path):
    (tmp_path / "data.jsonl").write_text(lines([("a", 1), ("b", True), ("c", "x")]))
    _, labels = read_labelled(str(tmp_path / "data.jsonl"), "text", "label")
    assert [type(label) for label in labels] == [int, bool, str]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("d.jsonl", b"", r"d\.jsonl: found no texts"),
        ("d.jsonl", b"\n \n", r"d\.jsonl: found no texts"),
        ("d.csv", b"", r"d\.csv: found no texts"),
        ("d.csv", b"text,label\n", r"d\.csv: found no texts"),
        ("d.parquet", b"", r"found a name that ends with '\.parquet', expected \.jsonl, \.csv or \.tsv"),
        ("d", b"", r"found a name that ends with ''"),
        ("d.csv", b"a,b\n1,2\n", r"d\.csv: found columns a, b, expected one 'text'"),
        ("d.csv", b"text,text,label\n1,2,3\n", r"d\.csv: found columns text, text, label, expected one 'text'"),
        ("d.csv", b"text,label\na,b,c\n", r"d\.csv: line 2: found 3 columns, the header has 2"),
        ("d.csv", b'text,label\n"a\n\n', r"d\.csv: line 3: unexpected end of data"),
        ("d.csv", b"text,label\na,\n", r"d\.csv: line 2: label: found no label"),
        ("d.csv", b"text,label\n" + b"a" * 200_000 + b",\n", r"d\.csv: line 2: label: found no label"),
        ("d.csv", b"," * 1_000_000 + b"\n", r"d\.csv: found columns , , .*expected one 'text'"),
        ("d.jsonl", b'{"text": "a", "label": "b"}\n{"text": "a"}\n', r"line 2: found text, expected 'label' among"),
        ("d.jsonl", b'{"text": "a", "label": null}\n', r"line 1: found text, expected 'label' among them"),
        ("d.jsonl", b"{}\n", r"line 1: found nothing, expected 'text' among them"),
        ("d.jsonl", b'{"text": 3, "label": "b"}\n', r"line 1: text: found 3, expected a string"),
        ("d.jsonl", b'{"text": "a", "label": 1.5}\n', r"line 1: label: found 1\.5, expected a string, an integer or"),
        ("d.jsonl", b'\n["a", "b"]\n', r"line 2: found '\[\"a\", \"b\"\]', expected a JSON object"),
        ("d.jsonl", b'{"text": "a"\n', r"d\.jsonl: line 1: found no JSON: Expecting"),
        ("d.jsonl", b"[" * 100_000 + b"\n", r"d\.jsonl: line 1: found no JSON: "),
        ("d.jsonl", b'{"text": "\xff"}\n', r"d\.jsonl: line 1 is not UTF-8"),
    ],
)
def test_files_that_are_wrong(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=message):
        read_labelled(str(tmp_path / name), "text", "label")


def test_the_report():
    expected = ["a", "a", "a", "bb", "bb", "c"]
    found = ["a", "a", "bb", "bb", "d", "a"]
    assert list(report(expected, found)) == [
        "accuracy 0.5000: 3 of 6 texts",
        "label  precision  recall      F1  texts",
        "a         0.6667  0.6667  0.6667      3",
        "bb        0.5000  0.5000  0.5000      2",
        "c         0.0000  0.0000  0.0000      1",
        "d         0.0000  0.0000  0.0000      0",
    ]


def test_a_share_of_each_label_is_kept():
    labels = ["a"] * 10 + ["b"] * 5 + ["c"]
    fitted, tested = split(labels, 0.2)
    assert sorted([*fitted, *tested]) == list(range(16))
    assert [labels[index] for index in tested] == ["a", "a", "b"]
    assert split(labels, 0.2) == (fitted, tested)
    assert [labels[index] for index in split(labels, 0.99)[0]] == ["a", "b", "c"]


def test_a_classifier_in_a_folder(work, capsys):
    assert main(["train", "classify", "data.jsonl", "model", "-o", "out", "--threads", "1"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "fitted to 60 texts of 3 labels, C=3",
        "saved in out: filbert.TextClassifier.from_pretrained('out').predict([...])",
    ]
    texts, labels = drawn(60)
    expected = TextClassifier("model").fit(texts, labels).predict_proba(texts)
    assert TextClassifier.from_pretrained("out").predict_proba(texts).tobytes() == expected.tobytes()
    assert main(["train", "classify", "data.csv", "model", "-o", "out2", "--c", "1"]) == 0
    expected = TextClassifier("model", C=1).fit(texts, labels).predict_proba(texts)
    assert TextClassifier.from_pretrained("out2").predict_proba(texts).tobytes() == expected.tobytes()


def test_tests_are_printed(work, capsys):
    arguments = ["train", "classify", "data.csv", "model", "-o", "out"]
    assert main([*arguments, "--test", "test.tsv", "--c", "auto"]) == 0
    printed = capsys.readouterr().out.splitlines()
    test_texts, test_labels = drawn(9, seed=1)
    found = TextClassifier.from_pretrained("out").predict(test_texts).tolist()
    assert printed[0] in [f"fitted to 60 texts of 3 labels, C={strength:g}" for strength in STRENGTHS]
    assert printed[1:-1] == list(report(test_labels, found))
    assert main([*arguments, "--test-share", "0.2"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("fitted to 48 texts of 3 labels")
    assert printed[1].endswith("of 12 texts")
    assert [line.split()[-1] for line in printed[3:-1]] == ["4"] * 3


def test_filbert_classify_runs_it(work):
    texts, labels = drawn(60)
    TextClassifier("model").fit(texts, labels).save_pretrained("out")
    (work / "lines.txt").write_text("the cat\n\ndog\n")
    chances = TextClassifier.from_pretrained("out").predict_proba(["the cat", "", "dog"])

    def written(*options):
        assert main(["classify", "out", "lines.txt", "-o", "found.jsonl", *options]) == 0
        return [json.loads(line) for line in (work / "found.jsonl").read_text().splitlines()]

    for line, both, row in zip(written(), written("--top-k", "2"), chances.tolist(), strict=True):
        ranked = sorted(
            ({"label": label, "score": score} for label, score in zip(CLASSES, row, strict=True)), key=_score
        )
        assert line == ranked[0]
        assert both == {**ranked[0], "labels": ranked[:2]}


def test_other_columns(work):
    (work / "named.csv").write_text("what;why,who\na,b\nc,d\n")
    columns = ["--text-column", "what;why", "--label-column", "who"]
    assert main(["train", "classify", "named.csv", "model", "-o", "out", *columns]) == 0
    assert TextClassifier.from_pretrained("out").classes_.tolist() == ["b", "d"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.csv", "model", "-o", "out"], "missing.csv"),
        (["data.csv", "missing/", "-o", "out"], "missing/: does not exist"),
        (["data.csv", "model", "-o", "out", "--text-column", "x"], "found columns id, label, text, expected one 'x'"),
        (["data.csv", "model", "-o", "out", "--test", "empty.csv"], "empty.csv: found no texts"),
        (["data.csv", "model", "-o", "out", "--test", "numbers.jsonl"], "label 60: found 1 (int), expected str"),
        (["one.csv", "model", "-o", "out"], "labels: found only 'a', expected two different ones or more"),
        (["data.csv", "model", "-o", "out", "--test-share", "0.01"], "too few texts of each label to keep a share"),
        (["data.csv", "model", "-o", "model"], "model: is both the model and where the classifier goes"),
        (["data.csv", "model", "-o", "data.csv"], "data.csv"),
        (["data.csv", "model", "-o", "data.csv/out"], "data.csv/out"),
        (["data.csv", "no_sentence_model", "-o", "out"], "found module 'sentence_transformers.models.SpladePooling'"),
    ],
)
def test_bad_input(work, capsys, arguments, message):
    (work / "empty.csv").write_text("text,label\n")
    (work / "one.csv").write_text("text,label\nb,a\nc,a\n")
    (work / "numbers.jsonl").write_text(lines([("a", 1)]))
    folder = text_models.sentence_folder(work / "no_sentence_model")
    modules = json.loads((folder / "modules.json").read_text())
    modules[1]["type"] = "sentence_transformers.models.SpladePooling"
    (folder / "modules.json").write_text(json.dumps(modules))
    assert message in wrong(capsys, "train", "classify", *arguments)
    assert not (work / "out" / "modules.json").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["train"],
        ["train", "classify", "data", "model"],
        ["train", "classify", "data", "model", "-o", "x", "--c", "0"],
        ["train", "classify", "data", "model", "-o", "x", "--c", "best"],
        ["train", "classify", "data", "model", "-o", "x", "--test-share", "1"],
        ["train", "classify", "data", "model", "-o", "x", "--test-share", "0.1", "--test", "y"],
    ],
)
def test_a_wrong_command_line(arguments):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2


def test_without_scikit_learn(work, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    message = wrong(capsys, "train", "classify", "data.csv", "model", "-o", "out")
    assert 'pip install "filbert[train]"' in message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to every folder")
def test_a_folder_that_may_not_be_written_to(work, capsys):
    (work / "out").mkdir(mode=0o500)
    assert "out" in wrong(capsys, "train", "classify", "data.csv", "model", "-o", "out")
