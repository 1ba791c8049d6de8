"""bench/bench_gpu.py: its floors, goals and tables, what it says without a GPU, and all of it on the simulated one."""

import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from test_gpu import CUDA

sys.path.append(str(Path(__file__).resolve().parents[2] / "bench"))

from cases import Sizes
from gpu_cases import CASES, H200, MODELS, Case, Model, Rates, floor_ms, goal_ms
from gpu_tables import digits, kernel_lines, rates_table, results_table, yardstick_tables


def of_model(name, case, figure=floor_ms):
    return figure(MODELS[name], Case.parse(case), "bfloat16", H200)


# The tables of floors and goals of the project's plan, in microseconds, rounded as there.
@pytest.mark.parametrize(
    ("case", "floors"),
    [
        ("1x8", (62, 151, 362)),
        ("1x128", (62, 151, 362)),
        ("1x256", (65, 170, 425)),
        ("1x512", (74, 234, 645)),
        ("512x128", (1860, 14500, 51100)),
        ("128x512", (2150, 15700, 54300)),
    ],
)
def test_floors_on_an_h200(case, floors):
    assert [1e3 * of_model(name, case) for name in MODELS] == pytest.approx(floors, rel=0.01)


def test_goals_on_an_h200():
    assert [1e3 * of_model(name, "1x128", goal_ms) for name in MODELS] == pytest.approx((95, 230, 540), rel=0.025)
    for name, share in zip(MODELS, (0.45, 0.72, 0.78), strict=True):
        assert of_model(name, "512x128") / of_model(name, "512x128", goal_ms) == pytest.approx(share)


def test_floors_by_hand():
    model = Model(Sizes(layers=2, hidden=4, inner=8, vocabulary=10), heads=2, matmul_share=0.5)
    rates = Rates(copy_gbps=1e-6, matmul_tflops={"float16": 1e-9, "bfloat16": 1e-3}, kernel_us=10)
    # 256 weights of 2 bytes at 1 KB/s, and 16 kernels; 256 FLOPs each and 2 * 4 * 3 * 3 * 4 of attention at 1 kFLOP/s.
    assert floor_ms(model, Case(1, 3), "bfloat16", rates) == pytest.approx(512 + 0.16)
    assert goal_ms(model, Case(1, 3), "bfloat16", rates) == pytest.approx(1.5 * 512.16)
    assert floor_ms(model, Case(5, 3), "float16", rates) == pytest.approx(5 * (3 * 512 + 288))
    assert goal_ms(model, Case(5, 3), "float16", rates) == pytest.approx(2 * 5 * (3 * 512 + 288))


def test_cases():
    assert [Case.parse(case.name) for case in CASES] == list(CASES)
    assert [case.batch * case.length for case in CASES if case.batch > 1] == [65536] * 3
    half = Case.parse("128x512-half")
    assert half == Case(128, 512, half=True)
    assert sum(half.lengths()) == 128 * 256
    assert (min(half.lengths()), max(half.lengths())) == (2, 510)
    assert Case(1, 1, half=True).lengths() == [1]
    for text in ("8", "8x128-part", "0x8-half"):
        with pytest.raises(ValueError):  # noqa: PT011
            Case.parse(text)


def test_batches():
    batch = Case(2, 4, half=True).batch_of(vocabulary=7)
    assert batch.ids.shape == batch.mask.shape == (2, 4)
    assert batch.mask.tolist() == [[True, False, False, False], [True, True, True, False]]
    assert batch.cu_seqlens.tolist() == [0, 1, 4]
    assert 0 <= batch.ids.min() <= batch.ids.max() < 7
    assert Case(2, 4).batch_of(7).mask.all()


def figures(p50, p95, device=None):
    found = {"p50_ms": p50, "p95_ms": p95}
    return found if device is None else {**found, "device_p50_ms": device}


def test_the_table_of_results():
    def row(case, floor, goal, engines):
        one = case.startswith("1x")
        names = {"model": "M", "precision": "bfloat16", "case": case, "batch": 1 if one else 9}
        return names | {"floor_ms": floor, "goal_ms": goal, "engines": engines}

    everyone = {
        "filbert": figures(0.08, 0.0912),
        "torch": figures(1.5, 2, 1.25),
        "torch.compile": figures(0.2, 0.3, 0.1),
    }
    rows = [
        row("1x8", 0.06, 0.1, everyone),
        row("9x8", 10, 20, {"filbert": figures(25, 30)}),
        row("9x8-half", 4, 8, {"filbert": figures(12.5, 130)}),
    ]
    assert results_table({"results": rows}) == [
        "",
        "| M bfloat16 | floor | goal | filbert | floor / it | it / goal | torch | on device | torch.compile "
        "| on device | filbert / torch.compile |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
        "| 1x8 | 0.06 | 0.1 | 0.08 / 0.0912 | 75% | 0.80 | 1.5 / 2 | 1.25 | 0.2 / 0.3 | 0.1 | 0.40 (goal 0.50) |",
        "| 9x8 | 10 | 20 | 25 / 30 | 40% | 1.25 | - | - | - | - | - |",
        "| 9x8-half | 4 | 8 | 12.5 / 130 | 32% | 1.56 | - | - | - | - | - |",
        "",
        "9x8-half costs filbert 0.50 of 9x8 (floors: 0.40)",
    ]
    without = results_table({"results": [row("9x8", 10, 20, {"torch": figures(1, 2, 3)})]})
    assert without[3] == "| 9x8 | 10 | 20 | - | - | - | 1 / 2 | 3 | - | - | - |"
    assert results_table({"results": []}) == []


def test_digits():
    assert [digits(value) for value in (0.0123456, 1.0, 12.345, 99.96, 1234.5)] == [
        "0.0123",
        "1",
        "12.3",
        "100",
        "1234",
    ]


def test_the_tables_of_yardsticks():
    linear = {
        "model": "M",
        "product": "qkv",
        "m": 8,
        "n": 6,
        "k": 4,
        "us": 2.25,
        "tflops": 0.05,
        "weights_gbps": 1234.5,
    }
    attention = {"model": "M", "heads": 12, "head_size": 32, "length": 128, "ms": 0.5, "tflops": 300.0}
    gelu = {"is": "tanh", "equal_to_erf": 0.25, "equal_to_tanh": 0.99}
    gelu |= {"product_ms": 1, "product_and_gelu_kernel_ms": 1.5, "fused_ms": 1.1}
    lines = yardstick_tables({"linear": [linear], "attention": [attention], "gelu_epilogue": gelu})
    assert "| M | qkv | 8 | 6 | 4 | 2.2 | 0.1 | 1234.5 |" in lines
    assert "| M | 12 of 32 | 128 | 0.5 | 300.0 |" in lines
    assert "fuses is tanh (equal outputs: erf 25.0%, tanh 99.0%)" in lines[-1]
    (line,) = rates_table(H200, "guessed")
    assert line == (
        "rates (guessed): copy 4300 GB/s; matrix product, TFLOP/s: bfloat16 790, float16 790; kernel in a graph 1.30 us"
    )


def test_shares_of_the_kernels_of_bench_ops():
    lines = [
        '{"linear_gflops": 1.0}',
        "bfloat16 qkv     8 x 1152 x  384    9.0 us 79000.0 GFLOP/s  50.0% of peak  weights   98.3 GB/s (3% of memory)",
        "bfloat16 norm    8 x  384           9.0 us   2150.0 GB/s",
    ]
    assert [new.removeprefix(old) for old, new in zip(lines, kernel_lines(lines, H200), strict=True)] == [
        "",
        "  10% of torch's product",
        "  50% of torch's copy",
    ]


def test_without_a_gpu(torch, monkeypatch, tmp_path, capsys):
    import bench_gpu

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(bench_gpu, "no_filbert_cuda", lambda: "no plug-in")
    output = tmp_path / "figures.json"
    for options in ([], ["--yardsticks-only"]):
        assert bench_gpu.main([*options, "--output", str(output)]) == 2
        message = capsys.readouterr().err
        reason = "not asked for" if options else "no plug-in"
        assert message.startswith(f"no GPU to measure: filbert: {reason}; torch: torch {torch.__version__} is built ")
        assert message.count("\n") == 1
    assert not output.exists()


def test_a_wrong_case(capsys):
    from bench_gpu import main

    with pytest.raises(SystemExit):
        main(["--cases", "8x"])
    assert "--cases: " in capsys.readouterr().err


class Outputs:
    """An engine that gives what it is told to."""

    def __init__(self, tokens, vectors):
        self._tokens, self._vectors = np.array(tokens, np.float32), np.array(vectors, np.float32)

    def token_vectors(self):
        return self._tokens

    def run(self):
        return self._vectors


def test_wrong_outputs_are_found():
    from bench_gpu import check, outputs

    generator = np.random.default_rng(0)
    tokens, vectors = generator.standard_normal((200, 16)), generator.standard_normal((3, 16))
    expected = outputs(Outputs(tokens, vectors))
    found = check(Outputs(tokens * 2, vectors), expected)
    assert found == dict.fromkeys(("min_cosine", "token_min_cosine", "token_mean_cosine"), pytest.approx(1))
    one_wrong = tokens.copy()
    one_wrong[77] = tokens[78]
    for wrong in (
        Outputs(one_wrong, vectors),
        Outputs(tokens, vectors[[0, 2, 1]]),
        Outputs(tokens, vectors + 0.03 * generator.standard_normal(vectors.shape)),
        Outputs(tokens * np.nan, vectors),
    ):
        with pytest.raises(ValueError, match="with those of torch in float32 is"):
            check(wrong, expected)


class HostClock:
    """In place of torch.cuda.Event: here torch runs on the CPU, which is done when it says so."""

    def __init__(self, enable_timing):
        assert enable_timing

    def record(self):
        self.time = time.perf_counter()

    def synchronize(self):
        pass

    def elapsed_time(self, end):
        return 1e3 * (end.time - self.time)


@pytest.fixture
def tiny(monkeypatch):
    sizes = Sizes(layers=2, hidden=64, inner=96, vocabulary=100)
    monkeypatch.setitem(MODELS, "tiny", Model(sizes, heads=2, matmul_share=0.5))


def test_the_times_of_torch(torch, transformers, tiny, monkeypatch, tmp_path, capsys):
    import bench_gpu
    import gpu_torch
    import gpu_yardsticks

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "Event", HostClock)
    monkeypatch.setattr(gpu_torch, "no_torch_cuda", lambda: "")
    monkeypatch.setattr(gpu_yardsticks, "gpu", lambda: {"name": "none"})
    monkeypatch.setattr(gpu_yardsticks, "rates", lambda: H200)
    monkeypatch.setattr(bench_gpu, "measure_yardsticks", lambda: {"linear": []})
    path = tmp_path / "figures.json"
    options = ["--models", "tiny", "--precision", "bfloat16", "--engines", "torch", "--cases", "1x8", "3x16-half"]
    assert bench_gpu.main([*options, "--seconds", "0", "--work", str(tmp_path), "--output", str(path)]) == 0
    record = json.loads(path.read_text())
    assert (record["gpu"]["torch"], record["yardsticks"]) == ({"name": "none"}, {"linear": []})
    for row in record["results"]:
        assert list(row["engines"]) == ["torch"]
        assert row["engines"]["torch"]["device_p50_ms"] > 0
    assert "rates (measured with torch)" in capsys.readouterr().out
    assert bench_gpu.main(["--yardsticks-only", "--output", str(path)]) == 0
    assert json.loads(path.read_text())["results"] == []


@pytest.mark.gpu
@pytest.mark.skipif(CUDA is None or not CUDA.available, reason=f"no CUDA device: {CUDA and CUDA.reason}")
def test_a_whole_run(transformers, tiny, monkeypatch, tmp_path, capsys):
    """On the simulated device: torch, without CUDA, is the reference and nothing else."""
    import bench_gpu

    monkeypatch.setattr(bench_gpu, "_WARM_UP", 1)
    path = tmp_path / "figures.json"
    cases = ["1x8", "2x16", "2x16-half"]
    options = ["--models", "tiny", "--precision", "bfloat16", "--cases", *cases, "--seconds", "0"]
    options += ["--engines", "filbert", "--work", str(tmp_path), "--output", str(path)]
    assert bench_gpu.main(options) == 0
    record = json.loads(path.read_text())
    assert record["left_out"] == []
    assert [row["case"] for row in record["results"]] == cases
    assert [row["tokens"] for row in record["results"]] == [8, 32, 16]
    for row in record["results"]:
        own = row["engines"]["filbert"]
        assert 0 < own["p50_ms"] <= own["p95_ms"]
        assert own["min_cosine"] >= 0.9999
        assert 0 < row["floor_ms"] < row["goal_ms"]
    assert {"gpu", "rates", "machine", "versions", "date"} <= set(record)
    assert "2x16-half costs filbert" in capsys.readouterr().out


@pytest.mark.gpu
@pytest.mark.skipif(CUDA is None or not CUDA.available, reason=f"no CUDA device: {CUDA and CUDA.reason}")
def test_engines_that_are_missing_or_wrong(torch, transformers, tiny, monkeypatch, tmp_path, capsys):
    import bench_gpu

    if torch.cuda.is_available():
        pytest.skip("torch has CUDA")
    monkeypatch.setitem(bench_gpu.LEAST_COSINES, "vectors", 1.1)
    path = tmp_path / "figures.json"
    options = ["--models", "tiny", "--precision", "float16", "--cases", "1x8", "--seconds", "0"]
    assert bench_gpu.main([*options, "--work", str(tmp_path), "--output", str(path)]) == 1
    record = json.loads(path.read_text())
    assert [each["engine"] for each in record["left_out"]] == ["torch", "torch.compile", "filbert"]
    assert "the lowest cosine of vectors" in record["left_out"][2]["reason"]
    assert record["results"][0]["engines"] == {}
    assert "rates (those of an H200, not measured: torch" in capsys.readouterr().out
