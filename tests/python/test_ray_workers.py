"""The workers of Ray: how many cores each asks for and computes with, and what becomes of those that find none."""

import os
import pickle
import shutil
import warnings
from types import SimpleNamespace

import pytest
from bulk_jobs import contents, write_lines

from filbert import DeviceError, InputError, SentenceEncoder, bulk
from filbert.bulk import ray_engine
from filbert.bulk.settings import make_settings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    ray = pytest.importorskip("ray", reason="the ray extra is not installed")


@pytest.fixture(scope="module")
def cluster():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ray.init(num_cpus=4, object_store_memory=200 << 20, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.mark.parametrize(
    ("cores", "workers", "expected"),
    [
        ([8, 2], None, 2),
        ([4], None, 4),
        ([4, 4], 1, 4),  # 8 in all, but on no machine
        ([4, 4], 2, 4),
        ([4, 4], 3, 2),
        ([8, 2], 2, 4),
        ([3, 3], 4, 1),
        ([2], 5, 1),
        ([], 2, 1),  # a cluster that grows
    ],
)
def test_cores_that_every_worker_finds(cores, workers, expected):
    assert ray_engine.cores_for_each(cores, workers) == expected


def test_a_pickled_encoder_has_the_threads_of_its_worker(folder, tmp_path, monkeypatch):
    shutil.copytree(folder, tmp_path / "model")

    def make_worker(model, options, settings):
        return SimpleNamespace(fingerprint={"threads": model.model.num_threads})

    monkeypatch.setattr(ray_engine, "make_worker", make_worker)
    monkeypatch.setenv("FILBERT_NUM_THREADS", "1")
    settings = make_settings(
        column="text", id=None, keep=(), format="npy", shard_rows=10, on_error="raise", precision=None, options={}
    )
    encoder = SentenceEncoder(tmp_path / "model")
    worker = ray_engine.RayWorker(os.getcwd(), 3, pickle.dumps(encoder), {}, settings)
    assert (encoder.model.num_threads, worker.fingerprint()) == (1, {"threads": 3})


def test_workers_that_find_no_machine(folder, tmp_path, monkeypatch, cluster):
    """An error, where it would wait for ever, that tells what is asked for and what is there."""
    monkeypatch.setattr(ray_engine, "WARN_AFTER", 0.5)
    monkeypatch.setattr(ray_engine, "GIVE_UP_AFTER", 0.5)
    source = write_lines(tmp_path / "a.txt", 3)
    told = "of 1 workers of Ray 1 have not begun: each asks for 64 CPUs; the cluster has machines of 4, and 4 are free"
    with (
        pytest.warns(UserWarning, match=rf"^{told}.* They are waited for 0.5 s more$"),
        pytest.raises(DeviceError, match=f"^after 1 s, {told}"),
    ):
        bulk.encode(
            folder, source, tmp_path / "out", engine="ray", workers=1, model_options={"num_threads": 64}, format="npy"
        )
    assert not (tmp_path / "out").exists()


def test_workers_that_are_there_go_on_without_the_others(folder, tmp_path, monkeypatch, cluster):
    monkeypatch.setattr(ray_engine, "WARN_AFTER", 0.1)
    monkeypatch.setattr(ray_engine, "GIVE_UP_AFTER", 15.0)
    source = write_lines(tmp_path / "a.txt", 20)
    bulk.encode(folder, source, tmp_path / "one", format="npy", shard_rows=5)
    options = {"engine": "ray", "workers": 2, "model_options": {"num_threads": 3}, "format": "npy", "shard_rows": 5}
    with pytest.warns(UserWarning, match="each asks for 3 CPUs"):
        bulk.encode(folder, source, tmp_path / "two", **options)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_numbers_that_are_none(folder, tmp_path, cluster):
    source = write_lines(tmp_path / "a.txt", 3)
    for options, message in (
        ({"workers": 0}, "workers: found 0, expected"),
        ({"model_options": {"num_threads": "x"}}, "num_threads: found 'x', expected"),
    ):
        with pytest.raises(InputError, match=message):
            bulk.encode(folder, source, tmp_path / "out", format="npy", engine="ray", **options)
