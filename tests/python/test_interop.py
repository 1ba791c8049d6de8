import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filbert.errors import InputError
from filbert.interop import prepare

IDS = np.array([[5, 6, 7], [8, 9, 0]])


def ids_of(value, **others):
    arguments = {"attention_mask": None, "token_type_ids": None, "position_ids": None} | others
    return prepare(value, **arguments)


@pytest.mark.parametrize("dtype", ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", ">i4", ">i8"])
def test_integers_of_any_width_and_order(dtype):
    ids = ids_of(IDS.astype(dtype)).input_ids
    assert ids.dtype == np.int64
    assert ids.flags.c_contiguous
    np.testing.assert_array_equal(ids, IDS)


def test_int64_is_not_copied():
    assert np.shares_memory(ids_of(IDS).input_ids, IDS)


def test_strided_arrays_are_made_contiguous():
    wide = np.arange(24).reshape(4, 6)
    for view in (wide.T, wide[::2, ::-1], np.asfortranarray(wide)):
        ids = ids_of(view).input_ids
        assert ids.flags.c_contiguous
        np.testing.assert_array_equal(ids, view)


def test_lists_tuples_and_lists_of_arrays():
    for value in (IDS.tolist(), tuple(map(tuple, IDS.tolist())), list(IDS), [np.uint8([5, 6, 7]), [8, 9, 0]]):
        inputs = ids_of(value)
        np.testing.assert_array_equal(inputs.input_ids, IDS)
        assert inputs.attention_mask is None


def test_ragged_lists_are_padded_and_masked():
    inputs = ids_of([[1, 2, 3], [], [4]], token_type_ids=[[0, 1, 1], [], [1]])
    np.testing.assert_array_equal(inputs.input_ids, [[1, 2, 3], [0, 0, 0], [4, 0, 0]])
    np.testing.assert_array_equal(inputs.attention_mask, [[1, 1, 1], [0, 0, 0], [1, 0, 0]])
    np.testing.assert_array_equal(inputs.token_type_ids, [[0, 1, 1], [0, 0, 0], [1, 0, 0]])
    assert inputs.attention_mask.dtype == np.uint8


def test_a_ragged_mask_is_combined_with_the_lengths():
    for mask in ([[1, 0, 1], [1]], [[1, 0, 1], [1, 1, 1]]):
        inputs = ids_of([[1, 2, 3], [4]], attention_mask=mask)
        np.testing.assert_array_equal(inputs.attention_mask, [[1, 0, 1], [1, 0, 0]])
    with pytest.raises(InputError, match="other lengths"):
        ids_of([[1, 2, 3], [4]], attention_mask=[[1], [1, 0, 1]])


@pytest.mark.parametrize(
    ("value", "shape"), [([], (0, 0)), ([[]], (1, 0)), ([[], []], (2, 0)), (np.zeros((0, 7), int), (0, 7))]
)
def test_empty_batches_keep_their_shape(value, shape):
    assert ids_of(value).input_ids.shape == shape


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "found None"),
        ("hello", "AutoTokenizer"),
        (["hello", "world"], "found text"),
        ([["hello"]], "found text"),
        ({"input_ids": [[1]]}, r"model\(\*\*encoded\)"),
        ([1, 2], r"found shape \[2\], expected \[batch, seq\]; for one sequence pass \[ids\]"),
        (np.array(3), r"found shape \[\]"),
        (7, r"found shape \[\]"),
        (np.zeros((1, 2, 3), int), r"found shape \[1, 2, 3\]"),
        ([[[1]], [[2]]], r"found shape \[2, 1, 1\]"),
        ([[[1]], [[2, 3]]], "cannot be read|rows of one depth"),
        ([[1], 2], "cannot be read|rows of one depth"),
        ([[1.0, 2.0]], "found float64, expected integers"),
        (np.array([[np.nan]]), "found float64, expected integers"),
        (np.float16([[1]]), "found float16, expected integers"),
        ([[True, False]], "found bool, expected integers"),
        (np.array([[1, 2], [3]], object), "rows of one depth"),
        (np.array([[1 + 2j]]), "complex128"),
        ([[2**70]], "cannot be read|64-bit"),
        ([[None]], "64-bit"),
        (np.uint64([[2**63]]), "9223372036854775808"),
        (object(), "64-bit"),
    ],
)
def test_bad_ids(value, message):
    with pytest.raises(InputError, match=message):
        ids_of(value)


@pytest.mark.parametrize(
    "mask",
    [
        [[1, 1, 0], [1, 0, 0]],
        np.array([[True, True, False], [True, False, False]]),
        np.float32([[1, 1, 0], [1, 0, 0]]),
        np.array([[-3, 2, 0], [1, 0, 0]]),
        np.array([[0.5, np.inf, 0.0], [1e-30, -0.0, 0.0]]),
    ],
)
def test_masks_count_where_they_are_not_zero(mask):
    result = ids_of(IDS, attention_mask=mask).attention_mask
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, [[1, 1, 0], [1, 0, 0]])


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("attention_mask", np.ones((2, 2)), r"found shape \[2, 2\], expected \[2, 3\]"),
        ("attention_mask", np.ones((1, 3)), r"found shape \[1, 3\], expected \[2, 3\]"),
        ("attention_mask", np.ones((2, 1, 3, 3)), r"found shape \[2, 1, 3, 3\]"),
        ("attention_mask", [[1, np.nan, 0]] * 2, "NaN"),
        ("attention_mask", [[1], [1, 1]], r"found shape \[2, 2\]"),
        ("attention_mask", "ones", "found text"),
        ("token_type_ids", np.zeros((2, 3)), "found float64"),
        ("token_type_ids", np.zeros((2, 4), int), r"expected \[2, 3\]"),
        ("position_ids", np.zeros((3,), int), r"found shape \[3\]"),
        ("position_ids", [[0, 1, 2], [0, 1]], "other lengths"),
    ],
)
def test_bad_companions(name, value, message):
    with pytest.raises(InputError, match=f"{name}: .*({message})"):
        ids_of(IDS, **{name: value})


def test_one_row_of_positions_serves_every_sequence():
    inputs = ids_of(IDS, position_ids=[[4, 5, 6]])
    np.testing.assert_array_equal(inputs.position_ids, [[4, 5, 6], [4, 5, 6]])
    assert inputs.position_ids.flags.c_contiguous


class Exporter:
    """An array that is known only through DLPack."""

    def __init__(self, array):
        self._array = array

    def __dlpack__(self, **options):
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self._array.__dlpack_device__()


def test_dlpack_without_a_copy():
    ids = ids_of(Exporter(IDS)).input_ids
    np.testing.assert_array_equal(ids, IDS)
    assert np.shares_memory(ids, IDS)


def test_a_device_that_numpy_cannot_read():
    class OnDevice(Exporter):
        def __dlpack_device__(self):
            return (2, 0)

        def __dlpack__(self, **options):
            raise BufferError("this memory is on a GPU")

    with pytest.raises(InputError, match="input_ids: cannot be read"):
        ids_of(OnDevice(IDS))


@pytest.mark.skipif(np.lib.NumpyVersion(np.__version__) < "2.1.0", reason="NumPy asks for no copies")
def test_a_device_that_copies_to_the_host():
    class OnDevice(Exporter):
        def __dlpack_device__(self):
            return (2, 0)

        def __dlpack__(self, *, dl_device=None, copy=None, **options):
            assert (dl_device, copy) == ((1, 0), True)
            return self._array.copy().__dlpack__(**options)

    np.testing.assert_array_equal(ids_of(OnDevice(IDS)).input_ids, IDS)


def test_torch_tensors(torch):
    tensor = torch.from_numpy(IDS)
    inputs = ids_of(tensor)
    assert np.shares_memory(inputs.input_ids, IDS)
    for mask in (torch.ones(2, 3), torch.ones(2, 3, dtype=torch.bool), torch.ones(2, 3, dtype=torch.bfloat16)):
        np.testing.assert_array_equal(ids_of(tensor.int(), attention_mask=mask).attention_mask, np.ones((2, 3)))
    with pytest.raises(InputError, match="float32"):
        ids_of(tensor.float().requires_grad_())
    with pytest.raises(InputError, match="cannot be read"):
        ids_of(torch.zeros(2, 3, dtype=torch.long, device="meta"))
    ragged = ids_of([tensor[0], tensor[1, :2]])
    np.testing.assert_array_equal(ragged.attention_mask, [[1, 1, 1], [1, 1, 0]])


numbers = st.integers() | st.floats() | st.booleans() | st.none() | st.text(max_size=2)
nested = st.recursive(numbers, lambda inner: st.lists(inner, max_size=4) | st.tuples(inner, inner), max_leaves=12)
arrays = st.builds(
    lambda shape, dtype: np.ones(shape, dtype),
    st.lists(st.integers(0, 3), max_size=4),
    st.sampled_from(["i1", "u8", "f2", "f8", "?", "c8", "U1", "O", "M8[s]", "V4"]),
)


@given(ids=nested | arrays, mask=st.none() | nested | arrays, positions=st.none() | nested | arrays)
def test_anything_is_taken_or_is_an_input_error(ids, mask, positions):
    try:
        inputs = ids_of(ids, attention_mask=mask, position_ids=positions)
    except InputError:
        return
    assert inputs.input_ids.dtype == np.int64
    for array in filter(lambda array: array is not None, inputs):
        assert array.shape == inputs.input_ids.shape
        assert array.flags.c_contiguous
