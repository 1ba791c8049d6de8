"""Ray: the bytes of one process, from the engine of bulk jobs and from Ray Data."""

import warnings

import numpy as np
import pytest
from bulk_jobs import contents, texts, write_jsonl, write_lines

import filbert.ray
from filbert import InputError, SentenceEncoder, bulk

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    ray = pytest.importorskip("ray", reason="the ray extra is not installed")

OPTIONS = {"engine": "ray", "workers": 2, "model_options": {"num_threads": 1}}


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """Four logical CPUs, so that two workers leave Ray Data some; little memory, and no dashboard."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ray.init(num_cpus=4, object_store_memory=200 << 20, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def test_two_workers_write_what_one_process_does(folder, tmp_path):
    source = write_lines(tmp_path / "a.txt", 300)
    one = bulk.encode(folder, source, tmp_path / "one", shard_rows=40)
    two = bulk.encode(folder, source, tmp_path / "two", shard_rows=40, **OPTIONS)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert (two.rows, two.done, two.is_complete) == (300, one.done, True)
    by_reference = SentenceEncoder.from_pretrained(folder, num_threads=1)
    assert bulk.encode(by_reference, source, tmp_path / "three", shard_rows=40, engine="ray", workers=2).is_complete
    assert contents(tmp_path / "one") == contents(tmp_path / "three")
    # What one engine began the other goes on with.
    (tmp_path / "one" / "part-00003.parquet").unlink()
    assert bulk.encode(folder, source, tmp_path / "one", shard_rows=40, **OPTIONS) == one
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_errors_of_workers_are_those_of_one_process(folder, tmp_path):
    source = write_jsonl(tmp_path / "a.jsonl", [{"text": "a"}, {"text": None}])
    with pytest.raises(InputError, match=r"^[^\n]*a.jsonl: row 1 \(from 0\): found no text; [^\n]*$"):
        bulk.encode(folder, source, tmp_path / "out", **OPTIONS)
    with pytest.raises(InputError, match=r"^prompt_name: found 'x'[^\n]*$"):
        bulk.encode(folder, source, tmp_path / "new", prompt_name="x", **OPTIONS)
    assert not (tmp_path / "new").exists()


def test_batches_of_ray_data(folder, tmp_path):
    """Vectors are a fixed-size list, which other readers of the files know."""
    import ray.data
    from pyarrow import float32, list_, parquet

    ray.data.DataContext.get_current().enable_progress_bars = False
    source = write_jsonl(tmp_path / "a.jsonl", [{"n": index, "text": text} for index, text in enumerate(texts(200))])
    vectors = ray.data.read_json(str(source)).map_batches(
        filbert.ray.Encoder,
        fn_constructor_args=(str(folder),),
        fn_constructor_kwargs={"model_options": {"num_threads": 1}, "normalize_embeddings": True},
        batch_format="pyarrow",
        batch_size=50,
        num_cpus=1,
        compute=ray.data.ActorPoolStrategy(size=2),
    )
    vectors.write_parquet(str(tmp_path / "out"))
    table = parquet.read_table(tmp_path / "out").sort_by("n")
    assert table.schema.field("embedding").type == list_(float32(), 32)
    assert table["text"].to_pylist() == texts(200)
    expected = SentenceEncoder.from_pretrained(folder).encode(texts(200), normalize_embeddings=True)
    assert np.array(table["embedding"].to_pylist(), np.float32).tobytes() == expected.tobytes()


def test_the_column_of_vectors_is_replaced(folder):
    import pyarrow

    encoder = filbert.ray.Encoder(folder, "body", "vector")
    table = encoder(pyarrow.table({"vector": [0, 0], "body": ["a", None]}))
    assert table.column_names == ["body", "vector"]
    assert table["vector"].is_null().to_pylist() == [False, True]
    with pytest.raises(KeyError, match="body"):
        encoder(pyarrow.table({"text": ["a"]}))
