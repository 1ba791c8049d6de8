"""The names of dtypes, storages and quantisation schemes that pickles of torch hold: data, never resolved."""

from typing import NamedTuple


class DType(NamedTuple):
    """A dtype of torch. `stored` is what safetensors calls it, or "" if it does not have it: then it is left out."""

    name: str
    stored: str
    itemsize: int


_DTYPES = {
    name: DType(name, stored, itemsize)
    for name, stored, itemsize in (
        ("float64", "F64", 8),
        ("float32", "F32", 4),
        ("float16", "F16", 2),
        ("bfloat16", "BF16", 2),
        ("float8_e4m3fn", "F8_E4M3", 1),
        ("float8_e5m2", "F8_E5M2", 1),
        ("float8_e8m0fnu", "F8_E8M0", 1),
        ("float8_e4m3fnuz", "F8_E4M3FNUZ", 1),
        ("float8_e5m2fnuz", "F8_E5M2FNUZ", 1),
        ("float4_e2m1fn_x2", "", 1),  # two numbers to an element, which safetensors counts as two
        ("int64", "I64", 8),
        ("int32", "I32", 4),
        ("int16", "I16", 2),
        ("int8", "I8", 1),
        ("uint64", "U64", 8),
        ("uint32", "U32", 4),
        ("uint16", "U16", 2),
        ("uint8", "U8", 1),
        ("bool", "BOOL", 1),
        ("complex32", "", 4),
        ("complex64", "C64", 8),
        ("complex128", "", 16),
        ("qint32", "", 4),
        ("qint8", "", 1),
        ("quint8", "", 1),
        ("quint4x2", "", 1),
        ("quint2x4", "", 1),
        ("bits1x8", "", 1),
        ("bits2x4", "", 1),
        ("bits4x2", "", 1),
        ("bits8", "", 1),
        ("bits16", "", 2),
    )
}
_TYPED_STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
    "QInt8Storage": "qint8",
    "QInt32Storage": "qint32",
    "QUInt8Storage": "quint8",
    "QUInt4x2Storage": "quint4x2",
    "QUInt2x4Storage": "quint2x4",
}
# The names in full. None of them is ever called.
DTYPE_NAMES = {f"torch.{name}": dtype for name, dtype in _DTYPES.items()}
STORAGES = {
    f"{module}.{name}": _DTYPES[dtype] for name, dtype in _TYPED_STORAGES.items() for module in ("torch", "torch.cuda")
} | {"torch.storage.UntypedStorage": _DTYPES["uint8"]}  # bytes, as torch itself takes it
SCHEMES = {
    "torch.per_tensor_affine",
    "torch.per_tensor_symmetric",
    "torch.per_channel_affine",
    "torch.per_channel_symmetric",
    "torch.per_channel_affine_float_qparams",
}
