"""pytorch_model.bin: bad ones, and the files that torch writes."""

import collections
import struct

import numpy as np
import pytest
import torch_files as tf

from filbert.errors import UnsafePickleError, WeightsError
from filbert.unpickle import read_pickle

DTYPES = {"f4": "F32", "f2": "F16", "f8": "F64", "i8": "I64", "i4": "I32", "b1": "BOOL"}


@pytest.mark.parametrize("mmap", [True, False])
def test_zip_form(tmp_path, mmap):
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(tf.zip_bytes(*tf.dense(tf.ARRAYS)))
    tensors = read_pickle(path, mmap)
    assert list(tensors) == list(tf.ARRAYS)
    for name, array in tf.ARRAYS.items():
        assert tensors[name].dtype == DTYPES[array.dtype.str[1:]]
        assert tensors[name].shape == array.shape
        assert tf.raw(tensors[name]) == array.tobytes()


def test_legacy_form(read):
    arrays = {"a": tf.ARRAYS["weight"], "b": np.float32([8, 9])}
    tensors = read(tf.legacy_bytes(*tf.dense(arrays, legacy=True)))
    assert {name: tf.raw(tensor) for name, tensor in tensors.items()} == {k: v.tobytes() for k, v in arrays.items()}


def test_dense_tensors_are_parts_of_the_mapped_file(read):
    tensors = read(tf.zip_bytes(*tf.dense(tf.ARRAYS)))
    assert all(isinstance(tensor.data, memoryview) and tensor.data.readonly for tensor in tensors.values())


@pytest.mark.parametrize(
    ("shape", "strides", "offset"),
    [((3, 4), (1, 3), 0), ((2, 2), (4, 1), 5), ((2, 3), (6, 2), 0), ((5,), (0,), 7), ((3, 1, 2), (2, 9, 1), 1)],
)
def test_strides_and_offsets(read, shape, strides, offset):
    values = np.arange(12, dtype=np.float32)
    data = tf.zip_bytes(tf.program(tf.mapping({"t": tf.strided(shape, strides, offset)})), {"0": values.tobytes()})
    expected = np.lib.stride_tricks.as_strided(values[offset:], shape, [4 * stride for stride in strides])
    tensor = read(data)["t"]
    assert tensor.shape == shape
    assert tf.raw(tensor) == expected.tobytes()


def test_tensors_may_share_a_storage(read):
    whole, part = tf.strided((3, 4), (4, 1)), tf.strided((4,), (1,), 4)
    values = np.arange(12, dtype=np.float32)
    data = tf.zip_bytes(tf.program(tf.mapping({"whole": whole, "part": part})), {"0": values.tobytes()})
    assert tf.raw(read(data)["part"]) == values[4:8].tobytes()


def test_state_dict_one_level_down(read):
    inner, storages = tf.dense({"a": tf.ARRAYS["weight"]})
    outer = tf.mapping({"epoch": tf.integer(3), "state_dict": inner[2:-1]})
    assert list(read(tf.zip_bytes(tf.program(outer), storages))) == ["a"]


def test_tar_files(read):
    header = b"sys_info".ljust(257, b"\0") + b"ustar\x0000".ljust(255, b"\0")
    with pytest.raises(UnsafePickleError, match=r"tar form .* save it again"):
        read(header + bytes(1024))


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (tf.strided((4, 4), (4, 1)), "storage '0', which has 12 elements"),
        (tf.strided((2, 3), (3, 1), 7), "does not fit"),
        (tf.strided((2,), (2**62,)), "does not fit"),
        (tf.strided((2**40, 2**40), (0, 0)), "would expand"),
        (tf.strided((2**28,), (0,)), "would expand"),
        (tf.strided((2,), (-1,), 3), "non-negative"),
        (tf.strided((-2,), (1,)), "non-negative"),
        (tf.strided((2,), (1,), -1), "non-negative"),
        (tf.strided((2, 2), (1,)), "non-negative"),
        (tf.strided((2**64,), (1,)), "non-negative"),
        (tf.strided((1,) * 9, (1,) * 9), "9 dimensions"),
        (tf.strided((0,), (1,), 13), "does not fit"),
        (tf.tensor(tf.storage("0", "Double", 12), 0, (12,), (1,)), "48 bytes, 12 elements of float64 need 96"),
        (tf.tensor(tf.storage("0", "Float", 13), 0, (1,), (1,)), "48 bytes, 13 elements of float32 need 52"),
        (tf.tensor(tf.storage("0", "Float", 2**62), 0, (1,), (1,)), "storage '0'"),
        (tf.tensor(tf.storage("0", "Float", -1), 0, (0,), (1,)), "storage '0' has -1 elements"),
        (tf.tensor(tf.storage("1", "Float", 12), 0, (1,), (1,)), "'1' has no record"),
        (tf.tensor(tf.storage("../../x", "Float", 12), 0, (1,), (1,)), "has no record"),
        # For storages of bytes the bounds count elements of the tensor's dtype.
        (tf.tensor_v3(tf.storage("0", "Untyped", 48), 0, (25,), (1,), "uint16"), "which has 24 elements"),
        (tf.tensor_v3(tf.storage("0", "Untyped", 48), 23, (2,), (1,), "uint16"), "does not fit"),
        (tf.tensor_v3(tf.storage("0", "Untyped", 48), 0, (7,), (1,), "uint64"), "which has 6 elements"),
        (tf.tensor_v3(tf.storage("0", "Untyped", 47), 0, (6,), (1,), "uint64"), "which has 5 elements"),
        (tf.tensor_v3(tf.storage("0", "Untyped", 48), 25, (0,), (1,), "uint16"), "does not fit"),
        (tf.tensor_v3(tf.storage("0", "Untyped", 48), 0, (2,), (2**62,), "uint8"), "does not fit"),
        (tf.tensor_v3(tf.storage("0", "Untyped", 48), 0, (2**28,), (0,), "float8_e5m2"), "would expand"),
        (tf.tensor_v3(tf.storage("0", "Untyped", 48), 0, (1,) * 9, (1,) * 9, "uint8"), "9 dimensions"),
        (tf.tensor_v3(tf.storage("0", "Untyped", 48), 0, (-1,), (1,), "uint8"), "non-negative"),
        (
            tf.tensor_v3(tf.storage("0", "Untyped", 49), 0, (1,), (1,), "uint8"),
            "48 bytes, 49 elements of uint8 need 49",
        ),
        (tf.tensor_v3(tf.storage("0", "Untyped", 48), 0, (4,), (1,), "complex128"), "which has 3 elements"),
    ],
)
def test_tensors_that_do_not_fit_their_storage(read, tensor, message):
    with pytest.raises(WeightsError, match=message):
        read(tf.zip_bytes(tf.program(tf.mapping({"t": tensor})), {"0": bytes(48)}))


def test_one_storage_of_two_types(read):
    other = tf.tensor(tf.storage("0", "Int", 12), 0, (12,), (1,))
    with pytest.raises(WeightsError, match="storage '0' is 12 float32 at one place and 12 int32"):
        read(tf.zip_bytes(tf.program(tf.mapping({"a": tf.strided((12,), (1,)), "b": other})), {"0": bytes(48)}))


@pytest.mark.parametrize(
    ("kind", "numel", "message"),
    [
        ("Float", 12, "12 float32 at one place and 48 uint8"),
        ("QInt8", 48, "48 qint8 at one place and 48 uint8"),
        ("Byte", 47, "47 uint8 at one place and 48 uint8"),
        ("Untyped", 49, "49 uint8 at one place and 48 uint8"),
    ],
)
def test_one_storage_with_and_without_a_type(read, kind, numel, message):
    typed = tf.tensor(tf.storage("0", kind, numel), 0, (1,), (1,))
    other = tf.tensor_v3(tf.storage("0", "Untyped", 48), 0, (1,), (1,), "uint16")
    with pytest.raises(WeightsError, match=f"storage '0' is {message}"):
        read(tf.zip_bytes(tf.program(tf.mapping({"a": typed, "b": other})), {"0": bytes(48)}))


def test_a_view_of_bytes_in_another_dtype(read):
    """torch lets uint8 and the newer dtypes share a storage, since it takes plain bytes for uint8."""
    values = np.arange(6, dtype=np.uint16)
    items = {
        "typed": tf.tensor(tf.storage("0", "Byte", 12), 0, (12,), (1,)),
        "words": tf.tensor_v3(tf.storage("0", "Untyped", 12), 1, (2, 2), (1, 2), "uint16"),
        "odd": tf.tensor_v3(tf.storage("1", "Untyped", 7), 0, (3,), (1,), "uint16"),
        "odd_strided": tf.tensor_v3(tf.storage("1", "Untyped", 7), 0, (2,), (2,), "uint16"),
    }
    tensors = read(tf.zip_bytes(tf.program(tf.mapping(items)), {"0": values.tobytes(), "1": values.tobytes()[:7]}))
    assert {name: tensor.dtype for name, tensor in tensors.items()} == dict.fromkeys(items, "U16") | {"typed": "U8"}
    assert tf.raw(tensors["typed"]) == values.tobytes()
    assert tf.raw(tensors["words"]) == np.uint16([[1, 3], [2, 4]]).tobytes()
    assert tf.raw(tensors["odd"]) == np.uint16([0, 1, 2]).tobytes()
    assert tf.raw(tensors["odd_strided"]) == np.uint16([0, 2]).tobytes()


NOT_TENSORS = {
    "none": b"N",
    "flag": b"\x88",
    "epoch": tf.integer(3),
    "large": tf.integer(-(2**70)),
    "rate": b"G" + struct.pack(">d", 0.5),
    "text": tf.text("hello"),
    "list": b"](" + tf.integer(1) + tf.text("x") + b"Ne",
    "tuple": tf.integers((1, 2)),
    "nested": tf.mapping({"a": tf.mapping({"b": b"N"}), "c": b"]"}),
    "dtype": tf.name("torch", "float32"),
    "kind": tf.name("torch", "FloatStorage"),
    "tensor_within": b"](" + tf.tensor(tf.storage("0", "Float", 12), 0, (12,), (1,)) + b"e",
}


@pytest.mark.parametrize("value", NOT_TENSORS.values(), ids=NOT_TENSORS)
def test_entries_that_are_no_tensors_are_left_out(read, value, recwarn):
    items = {"before": tf.strided((12,), (1,)), "x": value, "after": tf.strided((3,), (1,))}
    for mapped in (tf.mapping(items), tf.mapping({"state_dict": tf.mapping(items), "x": value})):
        tensors = read(tf.zip_bytes(tf.program(mapped), {"0": bytes(48)}))
        assert list(tensors) == ["before", "after"]
    assert [str(warning.message) for warning in recwarn] == []


@pytest.mark.parametrize(
    "key", [tf.integer(7), b"N", b"\x88", b"G" + struct.pack(">d", 0.5), tf.integers((1, 2)), b"]"]
)
def test_entries_whose_keys_are_no_strings_are_left_out(read, key):
    pair = tf.text("a") + tf.strided((12,), (1,)) + key + tf.strided((3,), (1,))
    assert list(read(tf.zip_bytes(tf.program(b"}(" + pair + b"u"), {"0": bytes(48)}))) == ["a"]


def test_dtypes_that_safetensors_lacks_are_left_out_with_one_warning(read):
    scheme = tf.name("torch", "per_tensor_affine") + b"G" + struct.pack(">d", 1) + tf.integer(0) + b"\x87"
    conjugate = tf.mapping({"conj": b"\x88"})
    items = {
        "a": tf.strided((12,), (1,)),
        "complex": tf.tensor(tf.storage("1", "ComplexDouble", 3), 0, (3,), (1,)),
        "tf.quantised": tf.quantised(tf.storage("2", "QInt8", 48), scheme),
        "quantised32": tf.quantised(tf.storage("3", "QInt32", 12), scheme),
        "half": tf.tensor_v3(tf.storage("4", "Untyped", 48), 0, (2,), (1,), "complex32"),
        "fp4": tf.tensor_v3(tf.storage("5", "Untyped", 48), 0, (2,), (1,), "float4_e2m1fn_x2"),
        "conjugate": tf.tensor_v3(tf.storage("6", "Untyped", 48), 0, (2,), (1,), "complex64", conjugate),
    }
    with pytest.warns(UserWarning, match="left out") as caught:
        tensors = read(tf.zip_bytes(tf.program(tf.mapping(items)), {str(i): bytes(48) for i in range(7)}))
    assert list(tensors) == ["a"]
    assert len(caught) == 1
    message = str(caught[0].message)
    for part in ("pytorch_model.bin", "complex (complex128)", "tf.quantised (qint8)", "quantised32 (qint32)"):
        assert part in message
    for part in ("half (complex32)", "fp4 (float4_e2m1fn_x2)", "conjugate (complex64 (conj))"):
        assert part in message


def test_legacy_storages(read):
    pickled, storages = tf.dense({"a": np.zeros(4, np.float32)}, legacy=True)
    good = tf.legacy_bytes(pickled, storages)
    for data, message in [
        (good[:-1], "truncated in storage '0'"),
        (good + b"\0", "1 bytes follow"),
        (good.replace(struct.pack("<q", 4) + bytes(16), struct.pack("<q", 3) + bytes(16)), "has 3 elements"),
        (tf.legacy_bytes(pickled, {}), "list of storages"),
        (tf.legacy_bytes(pickled, storages | {"1": b""}), "list of storages"),
        (tf.legacy_bytes(pickled, storages, little_endian=False), "big-endian"),
    ]:
        with pytest.raises(WeightsError, match=message):
            read(data)


@pytest.mark.parametrize("zipped", [True, False])
def test_files_of_torch(torch, tmp_path, zipped):
    state = collections.OrderedDict(
        dense=torch.arange(6.0).reshape(2, 3),
        transposed=torch.arange(6.0).reshape(2, 3).t(),
        parameter=torch.nn.Parameter(torch.ones(3)),
        brain=torch.arange(3, dtype=torch.bfloat16),
        scalar=torch.tensor(3),
        expanded=torch.arange(4).expand((2, -1)),
        empty=torch.zeros(0, 4),
        complex=torch.zeros(2, dtype=torch.complex64),
        view=torch.arange(20, dtype=torch.float16)[5:9],
    )
    state._metadata = {"": {"version": 1}}
    path = tmp_path / "pytorch_model.bin"
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    tensors = read_pickle(path)
    assert list(tensors) == list(state)
    assert [tensors[name].dtype for name in ("brain", "scalar", "view", "complex")] == ["BF16", "I64", "F16", "C64"]
    for name, tensor in state.items():
        expected = tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        assert tensors[name].shape == tuple(tensor.shape)
        assert tf.raw(tensors[name]) == expected


@pytest.mark.parametrize("zipped", [True, False])
def test_newer_dtypes_of_torch(torch, tmp_path, zipped):
    kinds = {
        "float8_e4m3fn": "F8_E4M3",
        "float8_e5m2": "F8_E5M2",
        "float8_e4m3fnuz": "F8_E4M3FNUZ",
        "float8_e5m2fnuz": "F8_E5M2FNUZ",
        "float8_e8m0fnu": "F8_E8M0",
        "uint16": "U16",
        "uint32": "U32",
        "uint64": "U64",
        "complex64": "C64",
    }
    state = {}
    for name in kinds:
        dtype = getattr(torch, name, None)
        if dtype is not None:
            whole = torch.arange(12 * dtype.itemsize, dtype=torch.uint8).view(dtype).reshape(3, 4)
            state |= {name: whole.clone(), f"{name}.row": whole.clone()[1], f"{name}.turned": whole.clone().t()}
    path = tmp_path / "pytorch_model.bin"
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    tensors = read_pickle(path)
    assert list(tensors) == list(state)
    for name, tensor in state.items():
        assert tensors[name].dtype == kinds[name.split(".")[0]]
        assert tensors[name].shape == tuple(tensor.shape)
        assert tf.raw(tensors[name]) == tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


@pytest.mark.filterwarnings("ignore:.*quantized:Warning")
@pytest.mark.parametrize("zipped", [True, False])
def test_what_torch_saves_beside_tensors(torch, tmp_path, zipped):
    state = {
        "weight": torch.ones(2, 3),
        "epoch": 3,
        "note": "hello",
        "history": [1, 2.5, None, {"loss": torch.ones(2)}],
        "optimizer": {"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.999)}]},
        "dtype": torch.bfloat16,
        ("tuple", 1): torch.ones(1),
        7: torch.ones(1),
        "complex": torch.ones(2, dtype=torch.complex128),
        "conjugate": torch.ones(2, dtype=torch.complex64).conj(),
        "rows": torch.quantize_per_channel(torch.ones(2, 3), torch.ones(2), torch.zeros(2).long(), 0, torch.qint8),
        "whole": torch.quantize_per_tensor(torch.ones(3), 0.5, 1, torch.quint8),
    }
    path = tmp_path / "pytorch_model.bin"
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    with pytest.warns(UserWarning, match=r"complex \(complex128\), conj.*, rows \(qint8\), whole \(quint8\)") as caught:
        tensors = read_pickle(path)
    assert len(caught) == 1
    assert list(tensors) == ["weight"]


def test_what_else_torch_writes_is_refused(torch, tmp_path):
    path = tmp_path / "pytorch_model.bin"
    for value, found in (
        (torch.nn.Linear(2, 2), r"torch\.nn\.modules\.linear\.Linear"),
        (torch.eye(2).to_sparse(), "_rebuild_sparse_tensor"),
        (torch.device("cpu"), r"torch\.device"),
        (torch.zeros(2, device="meta"), "_rebuild_meta_tensor_no_storage"),
        ({1, 2}, "set"),
    ):
        torch.save({"a": torch.ones(2), "model": value}, path)
        with pytest.raises(UnsafePickleError, match=found):
            read_pickle(path)
