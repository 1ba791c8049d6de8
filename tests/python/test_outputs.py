import copy
import pickle

import numpy as np
import pytest

from filbert.outputs import BaseModelOutputWithPooling

LAST, POOLED = np.zeros((2, 3, 4)), np.ones((2, 4))


@pytest.fixture
def output() -> BaseModelOutputWithPooling:
    return BaseModelOutputWithPooling(last_hidden_state=LAST, pooler_output=POOLED)


def test_attribute_key_index_and_slice_give_the_same_arrays(output):
    assert output.last_hidden_state is LAST
    assert output["last_hidden_state"] is LAST
    assert output[0] is LAST
    assert output[-1] is output["pooler_output"] is POOLED
    assert output[:1] == (LAST,)
    assert output.to_tuple() == (LAST, POOLED)


def test_fields_that_are_none_are_attributes_but_not_items(output):
    assert output.hidden_states is None
    assert list(output) == list(output.keys()) == ["last_hidden_state", "pooler_output"]
    assert len(output) == 2
    assert "hidden_states" not in output
    assert list(output.values()) == [LAST, POOLED]
    assert dict(output.items()) == {"last_hidden_state": LAST, "pooler_output": POOLED}
    assert output.get("attentions") is None
    with pytest.raises(KeyError):
        output["attentions"]
    with pytest.raises(IndexError):
        output[2]


def test_unpacking_gives_the_keys_as_in_transformers(output):
    first, second = output
    assert (first, second) == ("last_hidden_state", "pooler_output")
    assert {**output} == dict(output)


def test_attributes_and_items_stay_in_step(output):
    states = (LAST, LAST)
    output.attentions = states
    output["hidden_states"] = states[:1]
    assert output["attentions"] is states
    assert output.to_tuple() == (LAST, POOLED, states[:1], states)
    output.pooler_output = None
    assert "pooler_output" not in output
    assert output[1] == states[:1]


def test_unknown_fields_and_removal_are_refused(output):
    with pytest.raises(AttributeError, match="no field 'logits'"):
        output.logits = LAST
    for remove in (
        lambda: output.pop("pooler_output"),
        lambda: output.update(pooler_output=None),
        lambda: output.__delitem__("pooler_output"),
        lambda: output.clear(),
        lambda: output.setdefault("attentions", ()),
        lambda: output.__delattr__("pooler_output"),
        lambda: output.__ior__({"pooler_output": LAST}),
    ):
        with pytest.raises(TypeError, match="fixed"):
            remove()
    assert len(output) == 2
    assert output.pooler_output is output["pooler_output"] is POOLED


def test_copies_and_pickles(output):
    for twin in (copy.copy(output), copy.deepcopy(output), pickle.loads(pickle.dumps(output))):
        assert isinstance(twin, BaseModelOutputWithPooling)
        assert list(twin) == list(output)
        np.testing.assert_array_equal(twin.pooler_output, POOLED)
    assert repr(output).startswith("BaseModelOutputWithPooling(last_hidden_state=array(")


def test_behaves_like_transformers(output, transformers, torch):
    reference = transformers.modeling_outputs.BaseModelOutputWithPooling(
        last_hidden_state=torch.from_numpy(LAST), pooler_output=torch.from_numpy(POOLED)
    )
    assert list(output) == list(reference)
    assert len(output.to_tuple()) == len(reference.to_tuple())
    assert ("attentions" in output) is ("attentions" in reference)
