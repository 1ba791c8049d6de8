"""Weights that are saved, and shards: what is written, what goes, and what reads it."""

import json

import checkpoints
import numpy as np
import pytest
import torch_files
from checkpoints import TINY
from safetensors import safe_open
from safetensors.numpy import load_file
from test_weights_python import IDS, entry

from filbert import AutoModel, BertConfig, BertModel, ConfigError, InputError, WeightsError
from filbert.weights import as_array, open_weights, parse_size, shard_names, write_safetensors


def test_saved_and_loaded_again(tiny_folder, tmp_path):
    model = BertModel.from_pretrained(tiny_folder)
    model.save_pretrained(tmp_path / "new" / "folder")
    saved = tmp_path / "new" / "folder"
    assert sorted(path.name for path in saved.iterdir()) == ["config.json", "model.safetensors"]
    np.testing.assert_array_equal(AutoModel.from_pretrained(saved)(IDS)[1], model(IDS)[1])
    with safe_open(saved / "model.safetensors", "numpy") as file:
        assert file.metadata() == {"format": "pt"}
    config = json.loads((saved / "config.json").read_text())
    assert config["architectures"] == ["BertModel"]
    assert config["dtype"] == "float32"
    assert model.config.dtype is None, "saving does not change the model"


def test_the_reference_reader_agrees_with_the_writer(tmp_path):
    arrays = {
        "f64": np.arange(3.0),
        "f32": np.float32([[1, 2], [3, 4]]),
        'é\n"quoted"': np.float16([1]),
        "empty": np.zeros((0, 4), np.float32),
        "scalar": np.array(5, np.float32),
    }
    kinds = {"f8": "F64", "f4": "F32", "f2": "F16"}
    entries = [entry(name, kinds[array.dtype.str[1:]], array) for name, array in arrays.items()]
    with open(tmp_path / "x.safetensors", "wb") as file:
        write_safetensors(file, entries)
    assert int.from_bytes((tmp_path / "x.safetensors").read_bytes()[:8], "little") % 8 == 0
    loaded = load_file(tmp_path / "x.safetensors")
    assert sorted(loaded) == sorted(arrays)
    for name, array in arrays.items():
        assert loaded[name].dtype == array.dtype
        np.testing.assert_array_equal(loaded[name], array)


@pytest.mark.parametrize("limit", [1, 4096, "10KB", "20KiB"])
def test_shards(tiny_folder, tmp_path, limit):
    model = BertModel.from_pretrained(tiny_folder)
    model.save_pretrained(tmp_path, max_shard_size=limit)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    shards = sorted(set(index["weight_map"].values()))
    assert len(shards) > 1
    assert shards == [f"model-{i:05}-of-{len(shards):05}.safetensors" for i in range(1, len(shards) + 1)]
    assert sorted(path.name for path in tmp_path.glob("*.safetensors")) == shards
    assert index["metadata"]["total_size"] == 4 * model.num_parameters()
    for shard in shards:
        tensors = load_file(tmp_path / shard)
        assert set(tensors) == {name for name, place in index["weight_map"].items() if place == shard}
        assert len(tensors) == 1 or sum(array.nbytes for array in tensors.values()) <= parse_size(limit)
    np.testing.assert_array_equal(AutoModel.from_pretrained(tmp_path)(IDS)[1], model(IDS)[1])


def test_files_of_an_earlier_save_go(tiny_folder):
    model = BertModel.from_pretrained(tiny_folder)
    (tiny_folder / "notes.txt").write_text("mine")
    (tiny_folder / "adapter_model.safetensors").write_text("mine")
    others = {"config.json", "notes.txt", "adapter_model.safetensors"}
    for limit, sharded in ((5000, True), (20_000, True), (10**9, False), (20_000, True)):
        model.save_pretrained(tiny_folder, max_shard_size=limit)
        names = {path.name for path in tiny_folder.iterdir()} - others
        shards = {name for name in names if name.endswith(".safetensors")}
        assert names - shards == ({"model.safetensors.index.json"} if sharded else set())
        if not sharded:
            assert shards == {"model.safetensors"}
        else:
            assert all(name.endswith(f"-of-{len(shards):05}.safetensors") for name in shards)
        AutoModel.from_pretrained(tiny_folder)


@pytest.mark.parametrize(
    ("text", "expected"), [(7, 7), ("5GB", 5 * 10**9), ("200 MiB", 200 * 2**20), ("1kb", 1000), ("2TB", 2 * 10**12)]
)
def test_sizes(text, expected):
    assert parse_size(text) == expected


@pytest.mark.parametrize("size", [0, -1, True, 1.5, "", "5", "GB", "-5GB", "5PB", None, "1TiB!"])
def test_bad_sizes(tiny_folder, tmp_path, size):
    with pytest.raises(InputError, match="max_shard_size: found"):
        BertModel.from_pretrained(tiny_folder).save_pretrained(tmp_path / "saved", max_shard_size=size)
    assert list((tmp_path / "saved").iterdir()) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"weight_map": []}',
        '{"weight_map": {"a": 1}}',
        '{"weight_map": {"a": "../x.bin"}}',
        '{"weight_map": {"a": "/etc/x.bin"}}',
        '{"weight_map": {"a": "x.safetensors"}}',
        '{"weight_map": {"a": "sub/../x.bin"}}',
        '{"weight_map": {"a": "sub\\\\x.bin"}}',
        '{"weight_map": {"a": "c:x.bin"}}',
        '{"weight_map": {"a": "x\\u0000.bin"}}',
        '{"weight_map": {"a": "1.bin", "a": "2.bin"}}',
        '{"weight_map": {"a": NaN}}',
        "version https://git-lfs.github.com/spec/v1\n",
        '{"weight_map": {"a": ["x.bin"]}}',
        "[" * 100_000,
    ],
)
def test_bad_indexes_of_bin_shards(tmp_path, text):
    path = tmp_path / "pytorch_model.bin.index.json"
    path.write_text(text)
    with pytest.raises(WeightsError, match="index"):
        shard_names(str(path))


def write_bin_shards(folder, weight_map, **shards):
    """Shards 1.bin, 2.bin... of these arrays, and the index."""
    (folder / "config.json").write_text(json.dumps(TINY))
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": weight_map}))
    for name, arrays in shards.items():
        path = folder / f"{name.replace('__', '/')}.bin"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(torch_files.zip_bytes(*torch_files.dense(arrays)))


def test_bin_shards_in_folders_and_behind_links(tiny_folder, tmp_path):
    tensors = checkpoints.tensors()
    names = sorted(tensors)
    halves = {name: tensors[name] for name in names[::2]}, {name: tensors[name] for name in names[1::2]}
    weight_map = {name: "parts/one.bin" if name in halves[0] else "two.bin" for name in names}
    folder = tmp_path / "bin"
    folder.mkdir()
    write_bin_shards(folder, weight_map, parts__one=halves[0], two=halves[1])
    (folder / "two.bin").rename(tmp_path / "blob")
    (folder / "two.bin").symlink_to("../blob")
    expected = BertModel.from_pretrained(tiny_folder)(IDS)
    np.testing.assert_array_equal(BertModel.from_pretrained(folder)(IDS)[0], expected[0])
    assert shard_names(folder / "pytorch_model.bin.index.json") == ["parts/one.bin", "two.bin"]


def test_a_tensor_in_two_bin_shards_is_the_one_that_the_index_names(tmp_path):
    one, two = np.float32([1, 1]), np.float32([2, 2])
    write_bin_shards(tmp_path, {"a": "1.bin", "b": "2.bin"}, **{"1": {"a": one, "b": one}, "2": {"a": two, "b": two}})
    index = tmp_path / "pytorch_model.bin.index.json"
    weights = open_weights(index)
    assert weights.names() == ["a", "b"]
    assert [as_array(weights, name)[0] for name in "ab"] == [1, 2]
    # The index does not say which.
    write_bin_shards(tmp_path, {"a": "1.bin", "b": "2.bin"}, **{"1": {"a": one, "c": one}, "2": {"b": two, "c": two}})
    with pytest.raises(WeightsError, match=r'index\.json: tensor "c": the name is taken'):
        open_weights(index)
    write_bin_shards(tmp_path, {"a": "1.bin", "b": "2.bin"}, **{"1": {"b": one}, "2": {"a": two}})
    with pytest.raises(WeightsError, match=r"index\.json: tensor 'a': expected in '1.bin', found in '2.bin'"):
        open_weights(index)
    # A tensor that no shard has is missed only where the model needs it: it may have been left out.
    write_bin_shards(tmp_path, {"a": "1.bin", "z": "1.bin"}, **{"1": {"a": one}})
    assert open_weights(index).names() == ["a"]


def test_integers_of_numpy_and_paths(tiny_folder, tmp_path):
    config = BertConfig(**TINY | {"pad_token_id": np.int64(3)})
    state = BertModel(config, seed=1).state_dict()
    assert (state["embeddings.word_embeddings.weight"][3] == 0).all()
    model = BertModel.from_pretrained(tiny_folder)
    for number, size in enumerate((np.int64(5000), np.uint16(5000), np.array(5000))):
        folder = tmp_path / str(number)
        model.save_pretrained(folder, max_shard_size=size)
        assert len(shard_names(folder / "model.safetensors.index.json")) > 1
    assert len(open_weights(tiny_folder / "model.safetensors").names()) == len(checkpoints.shapes())
    for size in (np.float64(5000), np.bool_(True), np.int64(0), np.array([5000, 1])):
        with pytest.raises(InputError, match="max_shard_size: found"):
            parse_size(size)
    for pad in (np.int64(40), np.float32(1), np.bool_(True)):
        with pytest.raises(ConfigError, match="pad_token_id"):
            BertModel(BertConfig(**(TINY | {"pad_token_id": pad})))


def test_transformers_loads_what_filbert_saved(transformers, torch, tmp_path):
    for folder, limit in (("one", "50GB"), ("many", 5000)):
        model = BertModel(BertConfig(**TINY), seed=3)
        model.save_pretrained(tmp_path / folder, max_shard_size=limit)
        loaded, info = transformers.BertModel.from_pretrained(tmp_path / folder, output_loading_info=True)
        assert not any(info.values()), info
        state = model.state_dict()
        for name, tensor in loaded.state_dict().items():
            np.testing.assert_array_equal(tensor.numpy(), state[name])


def test_filbert_loads_what_transformers_saved(transformers, torch, tmp_path):
    reference = transformers.BertModel(transformers.BertConfig(**TINY))
    reference.save_pretrained(tmp_path / "one")
    reference.save_pretrained(tmp_path / "many", max_shard_size="5KB")
    (tmp_path / "zip").mkdir()
    (tmp_path / "legacy").mkdir()
    for folder, zipped in (("zip", True), ("legacy", False)):
        reference.config.save_pretrained(tmp_path / folder)
        path = tmp_path / folder / "pytorch_model.bin"
        torch.save(reference.state_dict(), path, _use_new_zipfile_serialization=zipped)
    expected = {name: tensor.numpy() for name, tensor in reference.state_dict().items()}
    for folder in ("one", "many", "zip", "legacy"):
        state = AutoModel.from_pretrained(tmp_path / folder).state_dict()
        assert sorted(state) == sorted(expected)
        for name in state:
            np.testing.assert_array_equal(state[name], expected[name])
