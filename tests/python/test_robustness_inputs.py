"""Bad inputs of the Python model, which works as before after each."""

import numpy as np
import pytest
from checkpoints import TINY

from filbert import BertConfig, BertModel, InputError

IDS = np.array([[1, 2, 3, 4], [5, 6, 7, 8]])


@pytest.fixture(scope="module")
def model():
    return BertModel(BertConfig(**TINY), seed=0)


@pytest.fixture(autouse=True)
def _works_afterwards(model):
    before = model(IDS)[0]
    yield
    np.testing.assert_array_equal(model(IDS)[0], before)


def replaced(row: int, column: int, value: int) -> np.ndarray:
    array = IDS.copy()
    array[row, column] = value
    return array


@pytest.mark.parametrize("value", [-1, 40, 2**31, 2**32 + 1, 2**40, 2**63 - 1, -(2**63)])
@pytest.mark.parametrize(("row", "column"), [(0, 0), (1, 2), (1, 3)])
def test_token_ids(model, value, row, column):
    with pytest.raises(InputError, match=rf"{value} at row {row}, column {column} .* expected 0 to 39"):
        model(replaced(row, column, value))


@pytest.mark.parametrize("value", [-1, 2, 2**40])
def test_token_types(model, value):
    types = np.zeros((2, 4), int)
    types[1, 2] = value
    with pytest.raises(InputError, match=rf"{value} at row 1, column 2 .* expected 0 to 1"):
        model(IDS, token_type_ids=types)


@pytest.mark.parametrize("value", [-1, 24, 2**40])
def test_positions(model, value):
    positions = np.tile(np.arange(4), (2, 1))
    positions[0, 3] = value
    with pytest.raises(InputError, match=rf"{value} at row 0, column 3 .* expected 0 to 23"):
        model(IDS, position_ids=positions)


def test_the_longest_sequence(model):
    assert model([[1] * 24])[0].shape == (1, 24, 32)
    with pytest.raises(InputError, match=r"25 tokens, .* 24 positions; truncate"):
        model([[1] * 25])
    with pytest.raises(InputError, match="row 1 has 30 tokens"):
        model([[1], [1] * 30])


@pytest.mark.parametrize(
    "ids",
    [
        np.array([[1, 2], [3]], object),
        np.ones((2, 4)),
        np.full((2, 4), np.nan),
        [[1.5]],
        [1, 2, 3],
        np.ones((1, 2, 3), int),
        [["a"]],
        None,
    ],
)
def test_ids(model, ids):
    with pytest.raises(InputError, match=r"input_ids: (found|cannot)"):
        model(ids)


@pytest.mark.parametrize("mask", [np.ones((2, 3)), np.ones(4), np.ones((2, 4, 4)), [[1, 1, 1, np.nan]] * 2, "1"])
def test_masks(model, mask):
    with pytest.raises(InputError, match="attention_mask: found"):
        model(IDS, attention_mask=mask)


@pytest.mark.parametrize(
    ("ids", "batch", "length"), [([], 0, 0), (np.zeros((0, 7), int), 0, 7), ([[], []], 2, 0), ([[]], 1, 0)]
)
def test_empty_batches(model, ids, batch, length):
    output = model(ids, output_hidden_states=True, output_attentions=True)
    assert output.last_hidden_state.shape == (batch, length, 32)
    assert output.pooler_output.shape == (batch, 32)
    assert [states.shape for states in output.hidden_states] == [(batch, length, 32)] * 3
    assert [weights.shape for weights in output.attentions] == [(batch, 4, length, length)] * 2
    assert all(np.isfinite(value).all() for value in output.to_tuple()[:2])


def test_rows_without_a_token_give_zeros(model):
    mask = np.array([[0, 0, 0, 0], [1, 1, 1, 1]])
    output = model(IDS, mask, output_hidden_states=True, output_attentions=True)
    for array in (*output.hidden_states, output.last_hidden_state, output.pooler_output, *output.attentions):
        assert (array[0] == 0).all()
        assert np.isfinite(array).all()
    np.testing.assert_array_equal(output.last_hidden_state[1], model(IDS[1:])[0][0])
    assert (model(IDS, np.zeros((2, 4)))[0] == 0).all()


def test_what_is_masked_does_not_matter(model):
    mask = np.array([[1, 1, 0, 1], [1, 0, 0, 0]])
    other = np.where(mask, IDS, 9)
    np.testing.assert_array_equal(model(IDS, mask)[0], model(other, mask)[0])
