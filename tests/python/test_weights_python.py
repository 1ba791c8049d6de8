"""Weights in and out at the level of Python: formats, names, dtypes, random initialisation, saving."""

import json

import checkpoints
import numpy as np
import pytest
import torch_files
from checkpoints import TINY
from safetensors.numpy import load_file, save_file

from filbert import AutoModel, BertConfig, BertModel, WeightsError, _core
from filbert.weights import Entry, write_safetensors

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


def test_memory_that_weights_are_read_from_can_neither_be_closed_nor_grow():
    held = bytearray(np.arange(4, dtype=np.float32).tobytes())
    weights = _core.Weights("memory")
    weights.add("x", "F32", [4], held)
    with pytest.raises(BufferError):
        held.extend(b"more")
    np.testing.assert_array_equal(weights.data("x").view(np.float32), np.arange(4))
    del weights
    held.extend(b"more")


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
