"""docs/models.md says what the table of families and bench/results/ say. Nothing is measured here."""

import re

import models_page
import pytest
from families import REFERENCED

from filbert.models import FAMILIES


def test_every_family_has_its_phrase_and_two_lines() -> None:
    assert set(models_page.SPECIAL) == set(FAMILIES)
    text = models_page.PAGE.read_text()
    for name in FAMILIES:
        assert len(re.findall(rf"^\| `{name}` \|", text, re.MULTILINE)) == 2, name


def test_every_family_was_compared_with_transformers() -> None:
    """If not: python bench/parity.py MODEL_TYPE"""
    assert set(REFERENCED) <= set(models_page.parities())


def test_the_page_is_up_to_date() -> None:
    """If not: python tests/python/models_page.py"""
    assert models_page.PAGE.read_text() == models_page.page()


def test_nearness() -> None:
    parity = {"gte": models_page.Figure({"models": 5, "median": 0.5, "largest": 2}, {})}
    assert models_page.nearness("gte", parity) == ("`gte`", "5", "0.50", "2.00")
    assert models_page.nearness("new", parity) == ("`new`", "as `gte`", "", "")
    assert models_page.nearness("bert", parity) == ("`bert`", "", "", "")


def test_times() -> None:
    speed = {
        ("GTE-base", "8x128"): models_page.Figure({"filbert": 300.0, "onnxruntime": 400.0, "openvino": 500.0}, {}),
        ("GTE-base", "1x512"): models_page.Figure({"filbert": 300.0, "onnxruntime": 200.0}, {}),
    }
    timed = ("300", "400", "500", "0.75", "300", "200", "", "1.50")
    assert models_page.times("GTE-base", speed) == ("GTE-base", "`gte`, `new`", *timed)
    assert models_page.times("BERT-base", speed) == ("BERT-base", "`bert`, `ernie`", *[""] * 8)


def test_a_newer_file_counts_for_what_it_has(tmp_path: models_page.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(name: str, found: dict[str, int]) -> None:
        (tmp_path / name).write_text(f'{{"error_over_that_of_torch": {found}}}'.replace("'", '"'))

    write("2026-01-01-parity.json", {"bert": 1, "gte": 1})
    write("2026-01-02-parity-gte.json", {"gte": 2})
    monkeypatch.setattr(models_page, "RESULTS", tmp_path)
    assert {name: figure.values for name, figure in models_page.parities().items()} == {"bert": 1, "gte": 2}
