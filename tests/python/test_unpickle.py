"""pytorch_model.bin: ROBUSTNESS cases 23 to 27, and the files that torch writes."""

import collections
import io
import os
import pickle
import struct
import zipfile
import zlib

import numpy as np
import pytest
import torch_files as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from filbert import picklecode
from filbert.errors import UnsafePickleError, WeightsError
from filbert.unpickle import read_pickle

ARRAYS = {
    "weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "half": np.float16([1.5, -2]),
    "double": np.float64([[np.pi]]),
    "ids": np.arange(4, dtype=np.int64).reshape(1, 4),
    "scalar": np.array(7, np.int32),
    "empty": np.zeros((0, 5), np.float32),
    "flags": np.array([True, False]),
}
DTYPES = {"f4": "F32", "f2": "F16", "f8": "F64", "i8": "I64", "i4": "I32", "b1": "BOOL"}


@pytest.fixture
def read(tmp_path):
    """Reads bytes as a file."""

    def read_bytes(data: bytes):
        path = tmp_path / "pytorch_model.bin"
        path.write_bytes(data)
        return read_pickle(path)

    return read_bytes


def raw(tensor) -> bytes:
    return np.asarray(tensor.data).tobytes()


@pytest.mark.parametrize("mmap", [True, False])
def test_zip_form(tmp_path, mmap):
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(tf.zip_bytes(*tf.dense(ARRAYS)))
    tensors = read_pickle(path, mmap)
    assert list(tensors) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert tensors[name].dtype == DTYPES[array.dtype.str[1:]]
        assert tensors[name].shape == array.shape
        assert raw(tensors[name]) == array.tobytes()


def test_legacy_form(read):
    arrays = {"a": ARRAYS["weight"], "b": np.float32([8, 9])}
    tensors = read(tf.legacy_bytes(*tf.dense(arrays, legacy=True)))
    assert {name: raw(tensor) for name, tensor in tensors.items()} == {k: v.tobytes() for k, v in arrays.items()}


def test_dense_tensors_are_parts_of_the_mapped_file(read):
    tensors = read(tf.zip_bytes(*tf.dense(ARRAYS)))
    assert all(isinstance(tensor.data, memoryview) and tensor.data.readonly for tensor in tensors.values())


def strided(shape, strides, offset=0, numel=12):
    return tf.tensor(tf.storage("0", "Float", numel), offset, shape, strides)


@pytest.mark.parametrize(
    ("shape", "strides", "offset"),
    [((3, 4), (1, 3), 0), ((2, 2), (4, 1), 5), ((2, 3), (6, 2), 0), ((5,), (0,), 7), ((3, 1, 2), (2, 9, 1), 1)],
)
def test_strides_and_offsets(read, shape, strides, offset):
    values = np.arange(12, dtype=np.float32)
    data = tf.zip_bytes(tf.program(tf.mapping({"t": strided(shape, strides, offset)})), {"0": values.tobytes()})
    expected = np.lib.stride_tricks.as_strided(values[offset:], shape, [4 * stride for stride in strides])
    tensor = read(data)["t"]
    assert tensor.shape == shape
    assert raw(tensor) == expected.tobytes()


def test_tensors_may_share_a_storage(read):
    whole, part = strided((3, 4), (4, 1)), strided((4,), (1,), 4)
    values = np.arange(12, dtype=np.float32)
    data = tf.zip_bytes(tf.program(tf.mapping({"whole": whole, "part": part})), {"0": values.tobytes()})
    assert raw(read(data)["part"]) == values[4:8].tobytes()


def test_state_dict_one_level_down(read):
    inner, storages = tf.dense({"a": ARRAYS["weight"]})
    outer = tf.mapping({"epoch": tf.integer(3), "state_dict": inner[2:-1]})
    assert list(read(tf.zip_bytes(tf.program(outer), storages))) == ["a"]


class Evil:
    def __init__(self, *call):
        self._call = call

    def __reduce__(self):
        return self._call[0], self._call[1:]


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (Evil(exec, "raise SystemExit(1)"), "exec"),
        (Evil(eval, "1/0"), "eval"),
        (Evil(os.system, "exit 1"), "system"),
        (Evil(getattr, "x", "y"), "getattr"),
        (collections.Counter("ab"), "collections.Counter"),
        (np.zeros(2), "numpy"),
        ({1, 2}, "set"),
        (b"bytes", "opcode|codecs"),
    ],
)
@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("form", [tf.zip_bytes, tf.legacy_bytes])
def test_23_nothing_outside_the_allow_list(read, value, found, protocol, form):
    with pytest.raises(UnsafePickleError, match=rf"pytorch_model.bin: .*({found}|opcode)"):
        read(form(pickle.dumps({"a": value}, protocol), {}))


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("torch._utils", "_rebuild_tensor_v3"),
        ("torch._utils", "_rebuild_qtensor"),
        ("torch._utils", "_rebuild_tensor_v4"),
        ("torch._utils", "_rebuild_parameter_with_state"),
        ("torch._utils", "_rebuild_sparse_tensor"),
        ("torch._utils", "_rebuild_wrapper_subclass"),
        ("torch._tensor", "_rebuild_from_type_v2"),
        ("torch", "float8_e4m3fn"),
        ("torch", "float32"),
        ("torch", "dtype"),
        ("torch", "device"),
        ("torch", "Size"),
        ("torch", "per_tensor_affine"),
        ("torch", "UntypedStorage"),
        ("torch", "storage.UntypedStorage"),
        ("torch.storage", "TypedStorage"),
        ("torch.storage", "_load_from_bytes"),
        ("torch.storage", "float32"),
        ("torch.storage.UntypedStorage", "from_file"),
        ("torch.storage", "UntypedStorage.from_file"),
        ("torch.cuda", "float32"),
        ("_codecs", "encode"),
        ("torch", "FloatStorage.from_file"),
        ("torch", "load"),
        ("torch.storage", "UntypedStorage"),
        ("torch._utils._rebuild_tensor_v2", "__globals__"),
        ("collections", "OrderedDict.fromkeys"),
        ("builtins", "getattr"),
    ],
)
@pytest.mark.parametrize("stacked", [False, True])
def test_23_names_near_the_allow_list(read, module, name, stacked):
    symbol = tf.text(module) + tf.text(name) + b"\x93" if stacked else tf.name(module, name)
    with pytest.raises(UnsafePickleError, match="Nothing was run"):
        read(tf.zip_bytes(tf.program(symbol + b")R"), {}))


@pytest.mark.parametrize(
    "body",
    [
        b"c__builtin__\neval\n" + tf.text("1") + b"\x85R",
        b"(i__builtin__\neval\n",
        b"(cposix\nsystem\no",
        b"cposix\nsystem\n)\x81",
        b"cposix\nsystem\n)}\x92",
        b"\x82\x01",
        b"Pkey\n",
        tf.text("key") + b"Q",
        tf.name("collections", "OrderedDict") + tf.text("x") + b"\x85R",
        tf.name("torch", "FloatStorage") + b")R",
        tf.name("torch._utils", "_rebuild_tensor_v2") + b")R",
        tf.name("torch._utils", "_rebuild_parameter") + b"}\x85R",
        tf.text("eval") + b")R",
        tf.name("collections", "OrderedDict") + b"}b",
        b"((t" + tf.text("eval") + b"\x93",
        # The calls and names of the newer dtypes.
        tf.name("torch._utils", "_rebuild_tensor_v3") + b")R",
        tf.name("torch", "float32") + b")R",
        tf.name("torch", "float32") + b"(" + tf.storage("0", "Float", 1) + (tf.integer(0) + b"))") + b"tR",
        tf.name("torch.storage", "UntypedStorage") + tf.integer(4) + b"\x85R",
        tf.name("torch.storage", "UntypedStorage")
        + b"("
        + tf.storage("0", "Untyped", 1)
        + (tf.integer(0) + b"))")
        + b"tR",
        tf.name("torch", "per_tensor_affine") + b"(" + tf.storage("0", "QInt8", 1) + (tf.integer(0) + b"))") + b"tR",
        tf.name("torch", "float32") + b"}b",
        tf.name("torch.storage", "UntypedStorage") + b"}b",
        tf.name("torch", "float32") + b")\x81",
        b"(" + tf.text("storage") + tf.name("torch", "float32") + tf.text("0") + tf.text("cpu") + tf.integer(1) + b"tQ",
        b"(" + tf.text("storage") + tf.name("torch", "per_tensor_affine") + tf.text("0") + b"N" + tf.integer(1) + b"tQ",
        b"(" + tf.text("storage") + tf.name("torch._utils", "_rebuild_tensor_v3") + tf.text("0") + b"NNtQ",
        b"("
        + tf.text("module")
        + tf.name("torch.storage", "UntypedStorage")
        + tf.text("0")
        + b"N"
        + tf.integer(1)
        + b"tQ",
    ],
)
def test_23_every_way_to_call_is_refused(read, body):
    with pytest.raises(UnsafePickleError):
        read(tf.zip_bytes(tf.program(body), {}))


def v3_call(*arguments: bytes) -> bytes:
    return tf.name("torch._utils", "_rebuild_tensor_v3") + b"(" + b"".join(arguments) + b"tR"


def quantised(source: bytes, parameters: bytes, call: str = "_rebuild_qtensor") -> bytes:
    hooks = tf.name("collections", "OrderedDict") + b")R"
    arguments = source + tf.integer(0) + tf.integers((4,)) + tf.integers((1,)) + parameters + b"\x89" + hooks
    return tf.name("torch._utils", call) + b"(" + arguments + b"tR"


UNTYPED = tf.storage("0", "Untyped", 4)
FRONT = (tf.integer(0), tf.integers((4,)), tf.integers((1,)), b"\x89", b"}")
SCHEME = tf.name("torch", "per_tensor_affine")


@pytest.mark.parametrize(
    "tensor",
    [
        v3_call(UNTYPED, *FRONT),  # no dtype
        v3_call(UNTYPED, *FRONT, b"N"),
        v3_call(UNTYPED, *FRONT, tf.text("float8_e4m3fn")),
        v3_call(UNTYPED, *FRONT, tf.text("torch.float8_e4m3fn")),
        v3_call(UNTYPED, *FRONT, tf.integer(1)),
        v3_call(UNTYPED, *FRONT, tf.name("torch.storage", "UntypedStorage")),
        v3_call(UNTYPED, *FRONT, tf.name("torch", "FloatStorage")),
        v3_call(UNTYPED, *FRONT, SCHEME),
        v3_call(UNTYPED, *FRONT, tf.name("torch._utils", "_rebuild_tensor_v2")),
        v3_call(UNTYPED, *FRONT[:4], tf.name("torch", "uint8")),  # one argument short
        v3_call(tf.storage("0", "Float", 1), *FRONT, tf.name("torch", "float8_e4m3fn")),
        v3_call(tf.storage("0", "QInt8", 4), *FRONT, tf.name("torch", "float8_e4m3fn")),
        v3_call(tf.text("0"), *FRONT, tf.name("torch", "uint8")),
        v3_call(tf.name("torch.storage", "UntypedStorage"), *FRONT, tf.name("torch", "uint8")),
        v3_call(tf.tensor_v3(UNTYPED, 0, (4,), (1,), "uint8"), *FRONT, tf.name("torch", "uint8")),
        quantised(tf.storage("0", "QInt8", 4), b"N"),
        quantised(tf.storage("0", "QInt8", 4), b")"),
        quantised(tf.storage("0", "QInt8", 4), SCHEME),
        quantised(tf.storage("0", "QInt8", 4), tf.text("per_tensor_affine") + b"\x85"),
        quantised(tf.storage("0", "QInt8", 4), tf.name("torch", "float32") + b"\x85"),
        quantised(tf.storage("0", "Char", 4), SCHEME + b"\x85"),
        quantised(UNTYPED, SCHEME + b"\x85"),
        tf.name("torch._utils", "_rebuild_qtensor") + b"(" + tf.storage("0", "QInt8", 4) + b"".join(FRONT[:3]) + b"tR",
        tf.name("torch._utils", "_rebuild_parameter") + b"(" + UNTYPED + b"".join(FRONT) + b"tR",
    ],
)
def test_23_new_calls_with_other_arguments(read, tensor):
    data = tf.zip_bytes(tf.program(tf.mapping({"t": tensor, "a": strided((1,), (1,))})), {"0": bytes(48)})
    with pytest.raises(UnsafePickleError, match=r"arguments that torch\.save does not write"):
        read(data)


def test_24_tar_files(read):
    header = b"sys_info".ljust(257, b"\0") + b"ustar\x0000".ljust(255, b"\0")
    with pytest.raises(UnsafePickleError, match=r"tar form .* save it again"):
        read(header + bytes(1024))


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (strided((4, 4), (4, 1)), "storage '0', which has 12 elements"),
        (strided((2, 3), (3, 1), 7), "does not fit"),
        (strided((2,), (2**62,)), "does not fit"),
        (strided((2**40, 2**40), (0, 0)), "would expand"),
        (strided((2**28,), (0,)), "would expand"),
        (strided((2,), (-1,), 3), "non-negative"),
        (strided((-2,), (1,)), "non-negative"),
        (strided((2,), (1,), -1), "non-negative"),
        (strided((2, 2), (1,)), "non-negative"),
        (strided((2**64,), (1,)), "non-negative"),
        (strided((1,) * 9, (1,) * 9), "9 dimensions"),
        (strided((0,), (1,), 13), "does not fit"),
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
def test_25_tensors_that_do_not_fit_their_storage(read, tensor, message):
    with pytest.raises(WeightsError, match=message):
        read(tf.zip_bytes(tf.program(tf.mapping({"t": tensor})), {"0": bytes(48)}))


def test_25_one_storage_of_two_types(read):
    other = tf.tensor(tf.storage("0", "Int", 12), 0, (12,), (1,))
    with pytest.raises(WeightsError, match="storage '0' is 12 float32 at one place and 12 int32"):
        read(tf.zip_bytes(tf.program(tf.mapping({"a": strided((12,), (1,)), "b": other})), {"0": bytes(48)}))


@pytest.mark.parametrize(
    ("kind", "numel", "message"),
    [
        ("Float", 12, "12 float32 at one place and 48 uint8"),
        ("QInt8", 48, "48 qint8 at one place and 48 uint8"),
        ("Byte", 47, "47 uint8 at one place and 48 uint8"),
        ("Untyped", 49, "49 uint8 at one place and 48 uint8"),
    ],
)
def test_25_one_storage_with_and_without_a_type(read, kind, numel, message):
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
    assert raw(tensors["typed"]) == values.tobytes()
    assert raw(tensors["words"]) == np.uint16([[1, 3], [2, 4]]).tobytes()
    assert raw(tensors["odd"]) == np.uint16([0, 1, 2]).tobytes()
    assert raw(tensors["odd_strided"]) == np.uint16([0, 2]).tobytes()


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
    items = {"before": strided((12,), (1,)), "x": value, "after": strided((3,), (1,))}
    for mapped in (tf.mapping(items), tf.mapping({"state_dict": tf.mapping(items), "x": value})):
        tensors = read(tf.zip_bytes(tf.program(mapped), {"0": bytes(48)}))
        assert list(tensors) == ["before", "after"]
    assert [str(warning.message) for warning in recwarn] == []


@pytest.mark.parametrize(
    "key", [tf.integer(7), b"N", b"\x88", b"G" + struct.pack(">d", 0.5), tf.integers((1, 2)), b"]"]
)
def test_entries_whose_keys_are_no_strings_are_left_out(read, key):
    pair = tf.text("a") + strided((12,), (1,)) + key + strided((3,), (1,))
    assert list(read(tf.zip_bytes(tf.program(b"}(" + pair + b"u"), {"0": bytes(48)}))) == ["a"]


def test_dtypes_that_safetensors_lacks_are_left_out_with_one_warning(read):
    scheme = tf.name("torch", "per_tensor_affine") + b"G" + struct.pack(">d", 1) + tf.integer(0) + b"\x87"
    conjugate = tf.mapping({"conj": b"\x88"})
    items = {
        "a": strided((12,), (1,)),
        "complex": tf.tensor(tf.storage("1", "ComplexDouble", 3), 0, (3,), (1,)),
        "quantised": quantised(tf.storage("2", "QInt8", 48), scheme),
        "quantised32": quantised(tf.storage("3", "QInt32", 12), scheme),
        "half": tf.tensor_v3(tf.storage("4", "Untyped", 48), 0, (2,), (1,), "complex32"),
        "fp4": tf.tensor_v3(tf.storage("5", "Untyped", 48), 0, (2,), (1,), "float4_e2m1fn_x2"),
        "conjugate": tf.tensor_v3(tf.storage("6", "Untyped", 48), 0, (2,), (1,), "complex64", conjugate),
    }
    with pytest.warns(UserWarning, match="left out") as caught:
        tensors = read(tf.zip_bytes(tf.program(tf.mapping(items)), {str(i): bytes(48) for i in range(7)}))
    assert list(tensors) == ["a"]
    assert len(caught) == 1
    message = str(caught[0].message)
    for part in ("pytorch_model.bin", "complex (complex128)", "quantised (qint8)", "quantised32 (qint32)"):
        assert part in message
    for part in ("half (complex32)", "fp4 (float4_e2m1fn_x2)", "conjugate (complex64 (conj))"):
        assert part in message


def test_25_legacy_storages(read):
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


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"PK\x03\x04", "end record"),
        (b"\x80", "malformed|ends early"),
        (b"{}", "not a file written by torch.save"),
        (b"\x80\x02K\x01.", "ends early"),
        (b"\x80\x02K\x01." * 3, "not one of torch.save"),
        (tf.zip_bytes(tf.program(b"]"), {}), "holds a list"),
        (tf.zip_bytes(tf.program(tf.mapping({"a": b"N"})), {}), r"holds no tensors: found 'a' \(None\)"),
        (tf.zip_bytes(tf.program(b"}" + tf.integer(1) + tf.integer(2) + b"s"), {}), r"holds no tensors: found 1 \(2\)"),
        (tf.zip_bytes(tf.program(b"}" + tf.text("m") + b"}s"), {}), r"holds no tensors: found 'm' \(a dict\)"),
        (tf.zip_bytes(tf.program(b"}N" + tf.integer(2) + b"s"), {}), "found nothing that has a name"),
        (tf.zip_bytes(tf.program(tf.mapping({str(i): b"]" for i in range(11)})), {}), r"'9' \(a list\), \.\.\.$"),
        (tf.zip_bytes(tf.program(tf.text("x")), {}), "holds 'x', expected a dictionary"),
        (tf.zip_bytes(tf.program(b"}(" + (tf.text("a") + b"N") * 2 + b"u"), {}), "key 'a' occurs twice"),
        (tf.zip_bytes(tf.program(b"h\x07"), {}), "malformed"),
        (tf.zip_bytes(tf.program(b"t"), {}), "malformed"),
        (tf.zip_bytes(b"\x80\x02", {}), "ends early"),
        (tf.zip_bytes(tf.program(b"X\xff\xff\xff\xff"), {}), "ends early"),
        (tf.zip_bytes(tf.program(b"X\x01\0\0\0\xff"), {}), "malformed"),
        (tf.zip_bytes(b".", {}), "malformed"),
        (tf.zip_bytes(tf.program(b"}"), {}, byteorder=b"big"), "byteorder is b'big'"),
    ],
)
def test_malformed_files(read, data, message):
    with pytest.raises(WeightsError, match=message):
        read(data)


def test_bombs_are_small_and_quick(read):
    doubling = b")q\x00" + b"h\x00h\x00\x86q\x00" * 5000
    for body in (
        doubling + b"R",
        doubling + b"Q",
        tf.name("torch._utils", "_rebuild_tensor_v2") + b"(" + tf.storage("0", "Float", 1) + doubling * 2 + b"NtR",
        b"}" + doubling + b"Ns",
        b"]" * 200_000,
        b"(" * 200_000 + b"t" * 200_000,
        b"}q\x00" * 600_000,
    ):
        with pytest.raises(WeightsError) as caught:
            read(tf.zip_bytes(tf.program(body), {}))
        assert len(str(caught.value)) < 1000


def test_the_budget_of_opcodes(read, monkeypatch):
    monkeypatch.setattr(picklecode, "MAX_OPCODES", 50)
    with pytest.raises(WeightsError, match="more than 50 opcodes"):
        read(tf.zip_bytes(*tf.dense(ARRAYS)))


def test_the_budget_of_the_pickle(read, monkeypatch):
    monkeypatch.setattr(picklecode, "MAX_PICKLE_BYTES", 50)
    with pytest.raises(WeightsError, match="the limit is 50"):
        read(tf.zip_bytes(*tf.dense(ARRAYS)))
    with pytest.raises(WeightsError, match="exceeds 50 bytes"):
        read(tf.legacy_bytes(*tf.dense({"a": ARRAYS["weight"]}, legacy=True)))


GOOD = tf.zip_bytes(*tf.dense({"a": np.arange(5, dtype=np.float32)}))


def edit(offset: int, replacement: bytes, marker: bytes = b"PK\x01\x02") -> bytes:
    """GOOD with bytes replaced at an offset from its first marker (a central directory record)."""
    at = GOOD.index(marker) + offset
    return GOOD[:at] + replacement + GOOD[at + len(replacement) :]


def with_extra_record(name: str) -> bytes:
    target = io.BytesIO(GOOD)
    with zipfile.ZipFile(target, "a") as file:
        file.writestr(name, bytes(20))
    return target.getvalue()


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tf.zip_bytes(*tf.dense(ARRAYS), compression=zipfile.ZIP_DEFLATED), "compressed"),
        (lambda: edit(8, b"\x01"), "encrypted"),
        (lambda: edit(6, b"\x01", b"PK\x03\x04"), "differs"),
        (lambda: edit(8, b"\x08", b"PK\x03\x04"), "differs"),
        (lambda: edit(18, b"\x01", b"PK\x03\x04"), "differs"),
        (lambda: edit(31, b"X", b"PK\x03\x04"), "differs"),
        (lambda: edit(42, b"\xff\xff\xff\x7f"), "truncated|outside"),
        (lambda: edit(20, b"\xff\xff\xff\x7f\xff\xff\xff\x7f"), "differs"),
        (lambda: edit(24, b"\xff\xff\xff\xff"), "zip64|compressed"),
        (lambda: edit(8, b"\xff\xff\xff\xff", b"PK\x05\x06"), "limit|several parts|truncated"),
        (lambda: edit(16, b"\xff\xff\xff\x7f", b"PK\x05\x06"), "outside"),
        (lambda: edit(4, b"\x01", b"PK\x05\x06"), "several parts"),
        (lambda: GOOD + b"\0", "bytes follow"),
        (lambda: GOOD[:-1], "end record|bytes follow|truncated"),
        (lambda: with_extra_record("archive/data/0"), "occurs twice"),
        (lambda: with_extra_record("other/data.pkl"), r"found 2 records named \*/data.pkl"),
        (lambda: GOOD.replace(np.arange(5, dtype=np.float32).tobytes(), bytes(20)), "does not match its CRC"),
    ],
)
def test_26_zip_files_that_readers_could_disagree_about(read, make, message):
    with pytest.raises(WeightsError, match=message):
        read(make())


def test_26_overlapping_records(read):
    """A second record inside the content of the first, with headers that agree."""
    inner = b"PK\x03\x04" + struct.pack("<HHH4xIIIHH", 20, 0, 0, 0, 0, 0, 1, 0) + b"x"
    pickled, storages = tf.dense({"a": np.frombuffer(inner + b"\0", np.float32)})
    data = tf.zip_bytes(pickled, storages)
    start, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    entry = b"PK\x01\x02" + struct.pack("<HHHH4xIIIHHHHHII", 20, 20, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, data.index(inner))
    directory = data[start:end] + entry + b"x"
    trailer = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 4, 4, len(directory), start, 0)
    with pytest.raises(WeightsError, match="overlap"):
        read(data[:start] + directory + trailer)


def test_crc_zero_means_that_torch_computed_none(read):
    values = np.arange(5, dtype=np.float32)
    data = GOOD.replace(struct.pack("<I", zlib.crc32(values)), bytes(4))
    assert raw(read(data)["a"]) == values.tobytes()


def outcome(path):
    """The tensors, or the one kind of error that a bad file may give."""
    try:
        return read_pickle(path)
    except WeightsError as error:
        return error


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_mutated_files_raise_or_load(data, tmp_path_factory):
    legacy = tf.legacy_bytes(*tf.dense({"a": np.arange(5, dtype=np.float32)}, legacy=True))
    mutated = bytearray(data.draw(st.sampled_from([GOOD, legacy])))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(mutated) - 1))
        mutated[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    path = tmp_path_factory.mktemp("mutated") / "pytorch_model.bin"
    path.write_bytes(mutated)
    result = outcome(path)
    if isinstance(result, WeightsError):
        assert str(path) in str(result)
    else:
        assert all(len(raw(tensor)) <= len(mutated) for tensor in result.values())


@settings(max_examples=300, deadline=None)
@given(body=st.binary(max_size=60))
def test_any_pickle_raises_or_loads(body, tmp_path_factory):
    path = tmp_path_factory.mktemp("pickle") / "pytorch_model.bin"
    path.write_bytes(tf.zip_bytes(tf.program(body), {}))
    result = outcome(path)
    assert result == {} or str(path) in str(result)


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
        assert raw(tensors[name]) == expected


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
        assert raw(tensors[name]) == tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


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
