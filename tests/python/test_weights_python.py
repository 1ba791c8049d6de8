"""Weights in and out at the level of Python: formats, names, dtypes, random initialisation, saving."""

import json

import checkpoints
import numpy as np
import pytest
import torch_files
from checkpoints import TINY
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from filbert import AutoModel, BertConfig, BertModel, ConfigError, InputError, WeightsError
from filbert.weights import Entry, as_array, open_weights, parse_size, shard_names, write_safetensors

IDS = [[1, 2, 3, 4], [5, 6, 7, 0]]


def raw_bytes(path) -> dict[str, tuple[str, list[int], bytes]]:
    """Tensors of a safetensors file as (dtype, shape, bytes), whatever the dtype."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    content = data[8 + length :]
    return {
        name: (entry["dtype"], entry["shape"], content[slice(*entry["data_offsets"])]) for name, entry in header.items()
    }


def bfloat16(array: np.ndarray) -> np.ndarray:
    """float32 truncated to BF16, as its bits."""
    return (array.view(np.uint32) >> 16).astype(np.uint16)


def entry(name: str, dtype: str, array: np.ndarray) -> Entry:
    return Entry(name, dtype, array.shape, np.frombuffer(array.tobytes(), np.uint8))


def test_state_dict_has_the_names_shapes_and_values_of_the_file(tiny_folder):
    state = BertModel.from_pretrained(tiny_folder).state_dict()
    expected = checkpoints.tensors()
    assert sorted(state) == sorted(expected)
    for name, array in expected.items():
        assert state[name].dtype == np.float32
        assert not state[name].flags.writeable
        np.testing.assert_array_equal(state[name], array)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_dtypes_keep_theirs(tiny_folder, dtype):
    tensors = {name: array.astype(dtype) for name, array in checkpoints.tensors().items()}
    save_file(tensors, tiny_folder / "model.safetensors")
    state = BertModel.from_pretrained(tiny_folder).state_dict()
    for name, array in tensors.items():
        assert state[name].dtype == dtype
        np.testing.assert_array_equal(state[name], array)


def test_bfloat16_is_widened_exactly_and_saved_as_it_was(tiny_folder, tmp_path):
    arrays = checkpoints.tensors()
    special = np.array([np.inf, -np.inf, 0.0, -0.0, 1e-40, 3.4e38], np.float32)
    arrays["pooler.dense.bias"][:6] = special
    entries = [entry(name, "BF16", bfloat16(array)) for name, array in arrays.items()]
    with open(tiny_folder / "model.safetensors", "wb") as file:
        write_safetensors(file, entries)
    model = BertModel.from_pretrained(tiny_folder)
    for name, array in model.state_dict().items():
        expected = (bfloat16(arrays[name]).astype(np.uint32) << 16).view(np.float32)
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array.view(np.uint32), expected.view(np.uint32))
    model.save_pretrained(tmp_path / "saved")
    assert raw_bytes(tmp_path / "saved" / "model.safetensors") == raw_bytes(tiny_folder / "model.safetensors")
    assert json.loads((tmp_path / "saved" / "config.json").read_text())["dtype"] == "bfloat16"


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64])
@pytest.mark.parametrize("legacy", [False, True])
def test_pytorch_model_bin_gives_the_bits_of_safetensors(tiny_folder, tmp_path, dtype, legacy):
    tensors = {name: array.astype(dtype) for name, array in checkpoints.tensors().items()}
    save_file(tensors, tiny_folder / "model.safetensors")
    expected = BertModel.from_pretrained(tiny_folder)(IDS)
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text(json.dumps(TINY))
    parts = torch_files.dense(tensors, legacy)
    data = torch_files.legacy_bytes(*parts, np.dtype(dtype).itemsize) if legacy else torch_files.zip_bytes(*parts)
    (other / "pytorch_model.bin").write_bytes(data)
    for mmap in (True, False):
        output = BertModel.from_pretrained(other, mmap=mmap)(IDS)
        np.testing.assert_array_equal(output[0], expected[0])
        np.testing.assert_array_equal(output[1], expected[1])


def test_safetensors_come_before_bin(tiny_folder):
    (tiny_folder / "pytorch_model.bin").write_bytes(b"not read")
    assert BertModel.from_pretrained(tiny_folder).config.hidden_size == 32


def legacy_names(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    def rename(name: str) -> str:
        return "bert." + name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")

    return {rename(name): array for name, array in tensors.items()} | {
        "bert.embeddings.position_ids": np.arange(TINY["max_position_embeddings"], dtype=np.int64)[None]
    }


@pytest.mark.parametrize(
    "rename",
    [
        legacy_names,
        lambda tensors: {f"bert.{name}": array for name, array in tensors.items()},
        lambda tensors: {f"module.{name}": array for name, array in tensors.items()},
        lambda tensors: {f"module.{name}": array for name, array in legacy_names(tensors).items()},
    ],
)
def test_older_names(tiny_folder, tmp_path, rename, recwarn):
    expected = BertModel.from_pretrained(tiny_folder)(IDS)
    folder = checkpoints.write_folder(tmp_path / "legacy", weights=rename(checkpoints.tensors()))
    model = BertModel.from_pretrained(folder)
    assert [str(warning.message) for warning in recwarn] == []
    np.testing.assert_array_equal(model(IDS)[0], expected[0])
    assert sorted(model.state_dict()) == sorted(checkpoints.shapes())
    model.save_pretrained(tmp_path / "saved")
    assert sorted(load_file(tmp_path / "saved" / "model.safetensors")) == sorted(checkpoints.shapes())


def test_unexpected_tensors_give_one_warning(tiny_folder):
    extra = {f"cls.part{i:02}.weight": np.zeros(2, np.float32) for i in range(12)}
    save_file(checkpoints.tensors() | extra, tiny_folder / "model.safetensors")
    with pytest.warns(UserWarning, match=r"cls\.part00\.weight, .*cls\.part09\.weight and 2 more\.") as caught:
        BertModel.from_pretrained(tiny_folder)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert str(tiny_folder) in str(caught[0].message)


def test_missing_and_misshapen_tensors(tiny_folder):
    tensors = checkpoints.tensors()
    del tensors["encoder.layer.1.output.dense.weight"]
    tensors["embeddings.LayerNorm.bias"] = np.zeros(31, np.float32)
    save_file(tensors, tiny_folder / "model.safetensors")
    with pytest.raises(WeightsError) as caught:
        BertModel.from_pretrained(tiny_folder)
    message = str(caught.value)
    assert str(tiny_folder / "model.safetensors") in message
    assert "encoder.layer.1.output.dense.weight: missing" in message
    assert "embeddings.LayerNorm.bias: found [31], expected [32]" in message


def test_missing_tensors_of_a_bin_name_the_file(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(TINY))
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(torch_files.zip_bytes(*torch_files.dense({"a": np.zeros(2, np.float32)})))
    with pytest.raises(WeightsError) as caught:
        BertModel.from_pretrained(tmp_path)
    assert str(caught.value).startswith(f"{path}: 39 of 39 tensors do not fit the model:")


def test_a_checkpoint_without_a_pooler(tmp_path, recwarn):
    folder = checkpoints.write_folder(tmp_path / "bare", weights=checkpoints.tensors(pooler=False))
    with pytest.raises(WeightsError, match=r"pooler\.dense\.weight: missing(.|\n)*add_pooling_layer=False"):
        BertModel.from_pretrained(folder)
    bare = BertModel.from_pretrained(folder, add_pooling_layer=False)
    assert AutoModel.from_pretrained(folder, add_pooling_layer=False)(IDS).pooler_output is None
    assert [str(warning.message) for warning in recwarn] == []
    with pytest.warns(UserWarning, match="no pooler: pooler_output will be None") as caught:
        auto = AutoModel.from_pretrained(folder)
    assert len(caught) == 1
    for model in (bare, auto):
        output = model(IDS)
        assert output.pooler_output is None
        assert len(output) == len(output.to_tuple()) == 1
        assert "no pooler" in repr(model)
    with pytest.raises(WeightsError, match="missing"):
        AutoModel.from_pretrained(folder, add_pooling_layer=True)


def test_a_pooler_that_is_left_out(tiny_folder, tmp_path, recwarn):
    model = BertModel.from_pretrained(tiny_folder, add_pooling_layer=False)
    assert [str(warning.message) for warning in recwarn] == []
    assert model(IDS).pooler_output is None
    model.save_pretrained(tmp_path / "saved")
    assert sorted(load_file(tmp_path / "saved" / "model.safetensors")) == sorted(checkpoints.shapes(pooler=False))


def test_random_weights_are_those_of_transformers():
    config = BertConfig(**TINY | {"vocab_size": 2000, "hidden_size": 64, "initializer_range": 0.05, "pad_token_id": 3})
    state = BertModel(config, seed=1).state_dict()
    assert {name: array.shape for name, array in state.items()} == checkpoints.shapes(config.to_dict())
    for name, array in state.items():
        if name.endswith("LayerNorm.weight"):
            assert (array == 1).all()
        elif name.endswith("bias"):
            assert (array == 0).all()
        else:
            # The mean of n draws is within 5 standard errors of 0; their deviation within 5 of std (std/sqrt(2n)).
            size = array.size
            assert abs(array.mean()) < 5 * 0.05 / size**0.5 + 3 / size
            assert abs(array.std() - 0.05) < 5 * 0.05 / (2 * size) ** 0.5 + 0.05 * 64 / size
    assert (state["embeddings.word_embeddings.weight"][3] == 0).all()
    assert (state["embeddings.word_embeddings.weight"][[0, 2, 4]] != 0).any(axis=1).all()


def test_seeds():
    config = BertConfig(**TINY)
    first, again, other = (BertModel(config, seed=seed).state_dict() for seed in (7, 7, 8))
    unseeded = [BertModel(config).state_dict() for _ in range(2)]
    for name in first:
        np.testing.assert_array_equal(first[name], again[name])
    key = "pooler.dense.weight"
    assert (first[key] != other[key]).any()
    assert (unseeded[0][key] != unseeded[1][key]).any()
    assert "pooler.dense.weight" not in BertModel(config, add_pooling_layer=False).state_dict()
    no_padding = BertModel(BertConfig(**TINY | {"pad_token_id": None}), seed=7).state_dict()
    assert (no_padding["embeddings.word_embeddings.weight"][0] != 0).any()


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


@pytest.mark.parametrize("dtype", [np.int32, np.float32, np.uint8, np.int64])
def test_position_ids_of_any_dtype_are_no_unexpected_tensors(tiny_folder, dtype, recwarn):
    extra = {name: np.arange(24).astype(dtype) for name in ("embeddings.position_ids", "bert.embeddings.position_ids")}
    save_file(checkpoints.tensors() | extra, tiny_folder / "model.safetensors")
    BertModel.from_pretrained(tiny_folder)
    assert [str(warning.message) for warning in recwarn] == []


@pytest.mark.parametrize("prefix", ["model.", "encoder.bert.", "_fsdp_wrapped_module."])
def test_foreign_prefixes_are_shown(tmp_path, prefix):
    tensors = {prefix + name: array for name, array in checkpoints.tensors().items()}
    folder = checkpoints.write_folder(tmp_path / "foreign", weights=tensors)
    for load in (AutoModel.from_pretrained, BertModel.from_pretrained):
        with pytest.raises(WeightsError) as caught:
            load(folder)
        assert f'"{prefix}embeddings.LayerNorm.bias", ' in str(caught.value)[:600]
        assert f'with "{prefix}" in front' in str(caught.value)[:600]


def test_one_file_may_mix_names_with_and_without_prefix(tiny_folder, tmp_path):
    expected = BertModel.from_pretrained(tiny_folder)(IDS)
    prefixes = ["", "bert.", "module.", "module.bert."]
    mixed = {prefixes[i % 4] + name: array for i, (name, array) in enumerate(checkpoints.tensors().items())}
    model = AutoModel.from_pretrained(checkpoints.write_folder(tmp_path / "mixed", weights=mixed))
    np.testing.assert_array_equal(model(IDS)[1], expected[1])
    name = "encoder.layer.0.output.dense.bias"
    both = checkpoints.tensors() | {f"bert.{name}": np.zeros(32, np.float32)}
    folder = checkpoints.write_folder(tmp_path / "both", weights=both)
    with pytest.raises(WeightsError, match=f'found both "bert.{name}" and "{name}"'):
        BertModel.from_pretrained(folder)


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
