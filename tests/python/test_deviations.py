"""The figures of `filbert verify`, and what it says where there is nothing to compare with. Needs no torch."""

from importlib import metadata

import numpy as np
import pytest
from text_models import sentence_folder

from filbert import FilbertError
from filbert.cli import main
from filbert.deviations import FLOOR_ULPS, deviation, least_and_mean_cosine, table

EPS = np.finfo(np.float32).eps


@pytest.mark.parametrize("missing", ["torch", "transformers", "sentence-transformers"])
def test_what_is_not_installed(capsys, tmp_path, monkeypatch, missing):
    def version(name):
        if name == missing:
            raise metadata.PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(metadata, "version", version)
    assert main(["verify", str(sentence_folder(tmp_path / "model"))]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        f'filbert: {missing} is not installed, which this compares filbert with: pip install "filbert[reference]"\n'
    )


def test_the_floor():
    """Four ulps of the largest value where torch makes no error; a fifth is too much, and so is NaN."""
    double = [np.array([[0.5, -8.0]]), np.array([[1.0, 2.0], [3.0, 4.0]])]
    for ulps, lines in ((4, 0), (-4, 0), (4.01, 1), (np.nan, 1)):
        found = [double[0] + ulps * EPS * 8, double[1]]
        each = deviation("x", found, double, double, True, {})
        assert each.allowed == FLOOR_ULPS * EPS * 8
        assert len(each.failures) == lines
        assert each.torch_max_error == each.torch_rms_error == 0
    single = [double[0] + 1, double[1] + 1]
    each = deviation("x", single, [double[0], double[1] - 0.25], double, True, {})
    assert (each.max_error, each.torch_max_error, each.values) == (1, 0.25, 6)
    assert each.allowed == 0.5 + 32 * EPS
    assert each.rms_error == 1
    assert each.torch_rms_error == pytest.approx(0.25 * (4 / 6) ** 0.5)
    with pytest.raises(FilbertError, match=r"x: filbert gives an array \(1, 2\), the reference one \(3, 2\)"):
        deviation("x", double[:1], double, double, True, {})


def test_cosines():
    found = [np.array([3.0, 4.0]), np.array([[1.0, 0.0], [0.0, 0.0]])]
    exact = [np.array([4.0, 3.0]), np.array([[2.0, 0.0], [1.0, 0.0]])]
    assert least_and_mean_cosine(found, exact) == pytest.approx((0, (0.96 + 1 + 0) / 3))


def test_the_table_says_what_is_wrong():
    each = deviation("x", [np.ones((1, 2))], [np.zeros((1, 2))], [np.zeros((1, 2))], False, {"int8": (0.5, 1.0)})
    heading, line = table([each])
    assert line.split() == ["x", "1.00e+00", "0.00e+00", "0.00e+00", "1.00e+00", "0.00e+00", "NO", "0.5000", "1.0000"]
    assert len(heading) == len(line)
    assert len(each.failures) == 2
