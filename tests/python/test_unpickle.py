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
    ],
)
def test_23_every_way_to_call_is_refused(read, body):
    with pytest.raises(UnsafePickleError):
        read(tf.zip_bytes(tf.program(body), {}))


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
        (tf.tensor(tf.storage("0", "Double", 12), 0, (12,), (1,)), "48 bytes, 12 elements of F64 need 96"),
        (tf.tensor(tf.storage("0", "Float", 13), 0, (1,), (1,)), "48 bytes, 13 elements of F32 need 52"),
        (tf.tensor(tf.storage("0", "Float", 2**62), 0, (1,), (1,)), "storage '0'"),
        (tf.tensor(tf.storage("0", "Float", -1), 0, (0,), (1,)), "storage '0' has -1 elements"),
        (tf.tensor(tf.storage("1", "Float", 12), 0, (1,), (1,)), "'1' has no record"),
        (tf.tensor(tf.storage("../../x", "Float", 12), 0, (1,), (1,)), "has no record"),
    ],
)
def test_25_tensors_that_do_not_fit_their_storage(read, tensor, message):
    with pytest.raises(WeightsError, match=message):
        read(tf.zip_bytes(tf.program(tf.mapping({"t": tensor})), {"0": bytes(48)}))


def test_25_one_storage_of_two_types(read):
    other = tf.tensor(tf.storage("0", "Int", 12), 0, (12,), (1,))
    with pytest.raises(WeightsError, match="storage '0' is 12 F32 at one place and 12 I32"):
        read(tf.zip_bytes(tf.program(tf.mapping({"a": strided((12,), (1,)), "b": other})), {"0": bytes(48)}))


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
        (tf.zip_bytes(tf.program(tf.mapping({"a": b"N"})), {}), "entry 'a' is None"),
        (tf.zip_bytes(tf.program(b"}" + tf.integer(1) + tf.integer(2) + b"s"), {}), "entry 1 is 2"),
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


def test_what_else_torch_writes_is_refused(torch, tmp_path):
    path = tmp_path / "pytorch_model.bin"
    torch.save({"model": torch.nn.Linear(2, 2)}, path)
    with pytest.raises(UnsafePickleError, match=r"torch\.nn\.modules\.linear\.Linear"):
        read_pickle(path)
    torch.save({"a": torch.zeros(2, dtype=torch.float8_e4m3fn)}, path)
    with pytest.raises(UnsafePickleError, match="_rebuild_tensor_v3"):
        read_pickle(path)
