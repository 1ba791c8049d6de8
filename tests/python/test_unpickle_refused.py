"""pytorch_model.bin: what is refused: calls outside the allow-list, malformed and doubtful files, bombs, mutations."""

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
def test_nothing_outside_the_allow_list(read, value, found, protocol, form):
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
def test_names_near_the_allow_list(read, module, name, stacked):
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
def test_every_way_to_call_is_refused(read, body):
    with pytest.raises(UnsafePickleError):
        read(tf.zip_bytes(tf.program(body), {}))


UNTYPED = tf.storage("0", "Untyped", 4)
FRONT = (tf.integer(0), tf.integers((4,)), tf.integers((1,)), b"\x89", b"}")
SCHEME = tf.name("torch", "per_tensor_affine")


@pytest.mark.parametrize(
    "tensor",
    [
        tf.v3_call(UNTYPED, *FRONT),  # no dtype
        tf.v3_call(UNTYPED, *FRONT, b"N"),
        tf.v3_call(UNTYPED, *FRONT, tf.text("float8_e4m3fn")),
        tf.v3_call(UNTYPED, *FRONT, tf.text("torch.float8_e4m3fn")),
        tf.v3_call(UNTYPED, *FRONT, tf.integer(1)),
        tf.v3_call(UNTYPED, *FRONT, tf.name("torch.storage", "UntypedStorage")),
        tf.v3_call(UNTYPED, *FRONT, tf.name("torch", "FloatStorage")),
        tf.v3_call(UNTYPED, *FRONT, SCHEME),
        tf.v3_call(UNTYPED, *FRONT, tf.name("torch._utils", "_rebuild_tensor_v2")),
        tf.v3_call(UNTYPED, *FRONT[:4], tf.name("torch", "uint8")),  # one argument short
        tf.v3_call(tf.storage("0", "Float", 1), *FRONT, tf.name("torch", "float8_e4m3fn")),
        tf.v3_call(tf.storage("0", "QInt8", 4), *FRONT, tf.name("torch", "float8_e4m3fn")),
        tf.v3_call(tf.text("0"), *FRONT, tf.name("torch", "uint8")),
        tf.v3_call(tf.name("torch.storage", "UntypedStorage"), *FRONT, tf.name("torch", "uint8")),
        tf.v3_call(tf.tensor_v3(UNTYPED, 0, (4,), (1,), "uint8"), *FRONT, tf.name("torch", "uint8")),
        tf.quantised(tf.storage("0", "QInt8", 4), b"N"),
        tf.quantised(tf.storage("0", "QInt8", 4), b")"),
        tf.quantised(tf.storage("0", "QInt8", 4), SCHEME),
        tf.quantised(tf.storage("0", "QInt8", 4), tf.text("per_tensor_affine") + b"\x85"),
        tf.quantised(tf.storage("0", "QInt8", 4), tf.name("torch", "float32") + b"\x85"),
        tf.quantised(tf.storage("0", "Char", 4), SCHEME + b"\x85"),
        tf.quantised(UNTYPED, SCHEME + b"\x85"),
        tf.name("torch._utils", "_rebuild_qtensor") + b"(" + tf.storage("0", "QInt8", 4) + b"".join(FRONT[:3]) + b"tR",
        tf.name("torch._utils", "_rebuild_parameter") + b"(" + UNTYPED + b"".join(FRONT) + b"tR",
    ],
)
def test_new_calls_with_other_arguments(read, tensor):
    data = tf.zip_bytes(tf.program(tf.mapping({"t": tensor, "a": tf.strided((1,), (1,))})), {"0": bytes(48)})
    with pytest.raises(UnsafePickleError, match=r"arguments that torch\.save does not write"):
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
        read(tf.zip_bytes(*tf.dense(tf.ARRAYS)))


def test_the_budget_of_the_pickle(read, monkeypatch):
    monkeypatch.setattr(picklecode, "MAX_PICKLE_BYTES", 50)
    with pytest.raises(WeightsError, match="the limit is 50"):
        read(tf.zip_bytes(*tf.dense(tf.ARRAYS)))
    with pytest.raises(WeightsError, match="exceeds 50 bytes"):
        read(tf.legacy_bytes(*tf.dense({"a": tf.ARRAYS["weight"]}, legacy=True)))


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
        (lambda: tf.zip_bytes(*tf.dense(tf.ARRAYS), compression=zipfile.ZIP_DEFLATED), "compressed"),
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
def test_zip_files_that_readers_could_disagree_about(read, make, message):
    with pytest.raises(WeightsError, match=message):
        read(make())


def test_overlapping_records(read):
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
    assert tf.raw(read(data)["a"]) == values.tobytes()


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
        assert all(len(tf.raw(tensor)) <= len(mutated) for tensor in result.values())


@settings(max_examples=300, deadline=None)
@given(body=st.binary(max_size=60))
def test_any_pickle_raises_or_loads(body, tmp_path_factory):
    path = tmp_path_factory.mktemp("pickle") / "pytorch_model.bin"
    path.write_bytes(tf.zip_bytes(tf.program(body), {}))
    result = outcome(path)
    assert result == {} or str(path) in str(result)
