"""What the vectors of a bulk job depend on: what tells in long texts alone, and the route of a task."""

import shutil

import pytest
from bulk_jobs import write_lines
from checkpoints import tensors
from safetensors.numpy import save_file
from text_models import sentence_folder, write_json

from filbert import InputError, SentenceEncoder, bulk
from filbert.bulk.fingerprint import fingerprint
from filbert.bulk.settings import make_settings


def found(encoder, **options):
    settings = make_settings(
        column="text", id=None, keep=(), format="npy", shard_rows=10, on_error="raise", precision=None, options=options
    )
    return fingerprint(encoder, settings)


def different(first, second):
    return {name for name in first if first[name] != second[name]}


def test_the_side_that_is_cut(folder, tmp_path):
    source, out = write_lines(tmp_path / "a.txt", 3), tmp_path / "out"
    encoder = SentenceEncoder(folder)
    bulk.encode(encoder, source, out, format="npy")
    other = SentenceEncoder(folder, processor_kwargs={"truncation_side": "left"})
    with pytest.raises(InputError, match="truncation_side: found 'right', expected 'left'"):
        bulk.encode(other, source, out, format="npy")
    assert different(found(encoder), found(other)) == {"truncation_side", "vectors"}


def test_probes_are_no_texts_of_the_caller(folder):
    encoder = SentenceEncoder(folder)
    found(encoder)
    assert encoder.num_truncated == 0


def test_a_probe_reaches_the_last_place(folder, tmp_path):
    """The vector of a place that no short text has."""
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    weights = tensors()
    weights["embeddings.position_embeddings.weight"][23] += 1
    save_file(weights, copy / "model.safetensors", {"format": "pt"})
    encoders = [SentenceEncoder(folder), SentenceEncoder(copy)]
    for encoder in encoders:
        encoder.max_seq_length = 24
    assert different(*map(found, encoders)) == {"weights", "vectors"}


def test_the_route_of_a_task(tmp_path):
    """A Router between two encoders of one kind, with other weights and other limits."""
    structure, types = {}, {}
    for task, limit in (("query", 8), ("document", 16)):
        names = [f"{task}_0_Transformer", f"{task}_1_Pooling"]
        whole = sentence_folder(tmp_path / task, normalize=False, transformer={"max_seq_length": limit})
        if task == "query":
            save_file(tensors(seed=1), whole / "model.safetensors", {"format": "pt"})
        shutil.copytree(
            whole, tmp_path / "model" / names[0], ignore=shutil.ignore_patterns("1_Pooling", "modules.json")
        )
        shutil.copytree(whole / "1_Pooling", tmp_path / "model" / names[1])
        structure[task] = names
        types |= {name: f"sentence_transformers.models.{name.split('_')[2]}" for name in names}
    config = {"types": types, "structure": structure, "parameters": {}}
    write_json(tmp_path / "model" / "router_config.json", config)
    modules = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Router"}]
    write_json(tmp_path / "model" / "modules.json", modules)
    routed = SentenceEncoder(tmp_path / "model")
    for task, limit in (("query", 8), ("document", 16)):
        assert found(routed, task=task)["max_seq_length"] == limit
        assert different(found(routed, task=task), found(SentenceEncoder(tmp_path / task))) == {"task"}
    assert different(found(routed, task="query"), found(routed, task="document")) == {
        *("task", "weights", "max_seq_length", "vectors")
    }
