"""`filbert rerank` and `filbert classify`: what they write, where, and how they fail."""

import json
import os

import pytest
from test_cli import wrong
from test_cross_encoder import model_folder
from test_outputs_commands import shell
from text_models import ODD_TEXTS

from filbert import ConfigError, CrossEncoder, InputError, pipeline
from filbert.cli import main
from filbert.result_files import classify_file, rerank_file

LINES = ["hello world", "", "the cat\x0cruns", "é\u2028a 北京", "dog", "dog", " [SEP] \t"]


@pytest.fixture
def work(tmp_path, monkeypatch):
    """The current folder: with a model and texts."""
    model_folder(tmp_path / "model")
    (tmp_path / "texts.txt").write_bytes("\r\n".join(LINES).encode() + b"\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_model_without_a_transformer_neither_classifies_nor_ranks(work, capsys):
    assert main(["distill", "model", "-o", "static", "--dims", "8"]) == 0
    capsys.readouterr()
    message = "AutoModelForSequenceClassification has no model for Model2VecConfig"
    assert message in wrong(capsys, "classify", "static", "texts.txt")
    assert message in wrong(capsys, "rerank", "static", "texts.txt", "--query", "dog")
    with pytest.raises(ConfigError, match=message):
        pipeline("text-classification", "static")


def read(text):
    """The objects of lines of JSON."""
    assert text == "" or text.endswith("\n")
    return [json.loads(line) for line in text.removesuffix("\n").split("\n")] if text else []


def expected_ranking(texts, query, top_k=None):
    ranked = CrossEncoder("model").rank(query, texts, top_k, return_documents=True)
    return [{"index": each["corpus_id"], "score": each["score"], "text": each["text"]} for each in ranked]


def test_rerank_to_a_file(work, capsys):
    assert main(["rerank", "model", "--query", "the cat", "texts.txt", "-o", "out.jsonl"]) == 0
    assert capsys.readouterr().out == "out.jsonl: 7 results\n"
    text = (work / "out.jsonl").read_text(encoding="utf-8")
    assert read(text) == expected_ranking(LINES, "the cat")
    assert [list(each) for each in read(text)] == [["index", "score", "text"]] * 7
    assert "北京" in text, "not escaped"
    assert main(["rerank", "model", "--query", "the cat", "texts.txt", "--top-k", "1", "-o", "out.jsonl"]) == 0
    assert capsys.readouterr().out == "out.jsonl: 1 result\n"
    assert read((work / "out.jsonl").read_text(encoding="utf-8")) == expected_ranking(LINES, "the cat", 1)


def test_rerank_to_standard_output(work):
    run = shell("filbert rerank model texts.txt --query 'the cat' --top-k 3 --threads 1 --offline")
    assert (run.returncode, run.stderr) == (0, b"")
    assert read(run.stdout.decode()) == expected_ranking(LINES, "the cat", 3)
    for place in ("-o -", "-o /dev/stdout", "> new; cat new"):
        run = shell(f"filbert rerank model - --query hello {place}", input=b"a\nb c")
        assert (run.returncode, run.stderr) == (0, b"")
        assert read(run.stdout.decode()) == expected_ranking(["a", "b c"], "hello")
    run = shell("filbert rerank model - --query hello < /dev/null")
    assert (run.returncode, run.stdout, run.stderr) == (0, b"", b"")


def test_rerank_many_odd_lines(work, capfd):
    texts = [" ".join(text.split("\n")).replace("\r", " ") for text in ODD_TEXTS] * 15
    (work / "odd.txt").write_bytes("".join(f"{text}\n" for text in texts).encode())
    assert main(["rerank", "model", "--query", ODD_TEXTS[4], "odd.txt"]) == 0
    found = read(capfd.readouterr().out)
    assert found == expected_ranking(texts, ODD_TEXTS[4])
    assert [each["text"] for each in found] == [texts[each["index"]] for each in found]
    assert [(-each["score"], each["index"]) for each in found] == sorted(
        (-each["score"], each["index"]) for each in found
    )


def test_classify(work, capfd):
    model_folder(work / "three", labels=3)
    texts = [*LINES[:3], "cat " * 99]
    (work / "texts.txt").write_text("".join(f"{line}\n" for line in texts))
    expected = pipeline("text-classification", "three")(texts, top_k=3, truncation=True)
    assert main(["classify", "three", "texts.txt", "--top-k", "3"]) == 0
    assert read(capfd.readouterr().out) == [{**labels[0], "labels": labels} for labels in expected]
    assert main(["classify", "three", "texts.txt"]) == 0
    assert read(capfd.readouterr().out) == [labels[0] for labels in expected]
    assert main(["classify", "three", "texts.txt", "--top-k", "2", "-o", "out.jsonl"]) == 0
    assert capfd.readouterr().out == "out.jsonl: 4 results\n"
    found = read((work / "out.jsonl").read_text(encoding="utf-8"))
    assert [each["labels"] for each in found] == [labels[:2] for labels in expected]
    (work / "none.txt").write_bytes(b"")
    assert main(["classify", "model", "none.txt"]) == 0
    assert capfd.readouterr().out == ""


def test_errors_are_one_line(work, capsys):
    (work / "bad.txt").write_bytes(b"good\nbad \xff\n")
    (work / "out.jsonl").write_bytes(b"old")
    for command in (["rerank", "--query", "q"], ["classify"]):
        assert "line 2 is not UTF-8" in wrong(capsys, *command, "model", "bad.txt", "-o", "out.jsonl")
        assert "missing.txt" in wrong(capsys, *command, "model", "missing.txt", "-o", "out.jsonl")
        assert "missing.txt" in wrong(capsys, *command, "model", "missing.txt")
        assert "no such folder" in wrong(capsys, *command, "model", "texts.txt", "-o", "x/out.jsonl")
        assert "no/model" in wrong(capsys, *command, "./no/model", "texts.txt")
        assert (work / "out.jsonl").read_bytes() == b"old"
    model_folder(work / "three", labels=3)
    assert "the model has 3 labels" in wrong(capsys, "rerank", "--query", "q", "three", "texts.txt", "-o", "out.jsonl")
    assert (work / "out.jsonl").read_bytes() == b"old"
    assert sorted(os.listdir()) == ["bad.txt", "model", "out.jsonl", "texts.txt", "three"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["rerank", "model", "texts.txt"],
        ["rerank", "model", "--query", "q"],
        ["rerank", "model", "texts.txt", "--query", "q", "--top-k", "0"],
        ["classify", "model"],
        ["classify", "model", "texts.txt", "--query", "q"],
    ],
)
def test_a_wrong_command_line(capsys, arguments):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert capsys.readouterr().err.startswith("usage: filbert")


def refuse_to_load():
    raise AssertionError("loaded")


def test_the_output_may_not_be_the_input(work, capsys):
    os.symlink("texts.txt", "link")
    before = (work / "texts.txt").read_bytes()
    for place in ("texts.txt", "./link"):
        with pytest.raises(InputError, match=r"texts\.txt: is both the input and the output"):
            rerank_file(refuse_to_load, "q", "texts.txt", place)
        with pytest.raises(InputError, match=r"texts\.txt: is both the input and the output"):
            classify_file(refuse_to_load, "texts.txt", place)
    for command in ("rerank --query q", "classify"):
        run = shell(f"filbert {command} 'no model' texts.txt >> link")
        assert (run.returncode, run.stderr) == (2, b"filbert: texts.txt: is both the input and the output\n")
    assert (work / "texts.txt").read_bytes() == before


def test_a_wrong_output_is_found_first(work, capsys):
    """Before the model and the texts, which are not there either."""
    for command in (["rerank", "--query", "q"], ["classify"]):
        assert "Is a directory: 'model'" in wrong(capsys, *command, "no model", "no texts", "-o", "model")
        assert "no such folder for out" in wrong(capsys, *command, "no model", "no texts", "-o", "no/out")
        assert "filbert: no model: " in wrong(capsys, *command, "no model", "no texts")


def test_closed_and_full_standard_output(work):
    run = shell("filbert rerank model texts.txt --query q >&-")
    assert (run.returncode, run.stderr) == (2, b"filbert: [Errno 9] Bad file descriptor: 'standard output'\n")
    run = shell("filbert rerank model texts.txt --query q > /dev/full")
    assert (run.returncode, run.stderr) == (2, b"filbert: [Errno 28] No space left on device\n")
    run = shell("set -o pipefail; filbert rerank model texts.txt --query q | true")
    assert (run.returncode, run.stderr) == (0, b"")
