"""The model as people use it: calls, habits, and what is said about what is not there."""

import copy
import warnings

import numpy as np
import pytest
from checkpoints import TINY, shapes

import filbert
from filbert import AutoModel, BertConfig, BertModel, ConfigError, DeviceError, InputError

IDS = np.array([[1, 2, 3, 4], [5, 6, 7, 0]])
MASK = np.array([[1, 1, 1, 1], [1, 1, 1, 0]])


@pytest.fixture
def model(tiny_folder):
    return BertModel.from_pretrained(tiny_folder)


def test_the_seed_of_the_project(torch):
    model = BertModel(BertConfig())
    encoded_sequences = [[101, 7592, 999, 102], [101, 4658, 1012, 102], [101, 3835, 999, 102]]
    output = model(torch.tensor(encoded_sequences))
    assert output.last_hidden_state.shape == (3, 4, 768)
    assert output.pooler_output.shape == (3, 768)
    assert isinstance(output.last_hidden_state, torch.Tensor)
    assert torch.isfinite(output.last_hidden_state).all()


def test_shapes_and_dtypes(model):
    output = model(IDS, MASK, output_hidden_states=True, output_attentions=True)
    assert output.last_hidden_state.shape == (2, 4, 32)
    assert output.pooler_output.shape == (2, 32)
    assert [states.shape for states in output.hidden_states] == [(2, 4, 32)] * 3
    assert [weights.shape for weights in output.attentions] == [(2, 4, 4, 4)] * 2
    assert all(array.dtype == np.float32 for array in (output[0], output[1], *output[2], *output[3]))
    np.testing.assert_array_equal(output.hidden_states[-1], output.last_hidden_state)
    assert (output.last_hidden_state[1, 3] == 0).all(), "rows at masked positions are zero"


def test_ragged_padded_and_alone_are_the_same_to_the_bit(model):
    ragged = model([[1, 2, 3, 4], [5, 6, 7]])
    padded = model(IDS, attention_mask=MASK)
    alone = model([[5, 6, 7]])
    np.testing.assert_array_equal(ragged[0], padded[0])
    np.testing.assert_array_equal(ragged[1], padded[1])
    np.testing.assert_array_equal(alone[0][0], padded[0][1, :3])
    np.testing.assert_array_equal(alone[1][0], padded[1][1])


def test_every_kind_of_input_gives_the_same(model, torch):
    expected = model(IDS)[0]
    for ids in (IDS.tolist(), IDS.astype(np.int32), np.asfortranarray(IDS), torch.from_numpy(IDS), list(IDS)):
        np.testing.assert_array_equal(np.asarray(model(ids)[0]), expected)


def test_torch_in_torch_out(model, torch):
    output = model(torch.from_numpy(IDS), output_hidden_states=True, output_attentions=True)
    arrays = model(IDS, output_hidden_states=True, output_attentions=True)
    for tensors, expected in zip(
        (output.hidden_states, output.attentions), (arrays.hidden_states, arrays.attentions), strict=True
    ):
        assert all(isinstance(tensor, torch.Tensor) for tensor in tensors)
        for tensor, array in zip(tensors, expected, strict=True):
            np.testing.assert_array_equal(tensor.numpy(), array)
    assert isinstance(model(IDS.tolist(), attention_mask=torch.ones(2, 4))[0], torch.Tensor)
    assert all(isinstance(value, torch.Tensor) for value in model(torch.from_numpy(IDS), return_dict=False))
    output.last_hidden_state.add_(1)


def test_results_belong_to_the_caller(model):
    first = model(IDS)
    kept = first[0].copy()
    model(IDS[:, ::-1])
    np.testing.assert_array_equal(first[0], kept)
    first[0][:] = 0


def test_what_the_configuration_says_about_outputs(tiny_folder):
    model = BertModel.from_pretrained(tiny_folder, output_hidden_states=True, output_attentions=True, return_dict=False)
    assert len(model(IDS)) == 4
    assert isinstance(model(IDS), tuple)
    output = model(IDS, output_hidden_states=False, output_attentions=False, return_dict=True)
    assert list(output) == ["last_hidden_state", "pooler_output"]
    assert model.forward(IDS, return_dict=True).attentions is not None


def test_return_dict_false_drops_what_is_none(tiny_folder):
    model = BertModel.from_pretrained(tiny_folder, add_pooling_layer=False)
    assert [array.shape for array in model(IDS, return_dict=False)] == [(2, 4, 32)]


def test_arguments_that_do_not_exist(model):
    with pytest.raises(TypeError, match="unexpected keyword argument 'labels'"):
        model(IDS, labels=IDS)
    for name in ("inputs_embeds", "head_mask", "encoder_hidden_states", "past_key_values", "use_cache"):
        with pytest.raises(InputError, match=name):
            model(IDS, **{name: True})
        model(IDS, **{name: None})
    model(IDS, use_cache=False)
    with pytest.raises(InputError, match="found None"):
        model()


def test_modes(model):
    assert model.eval() is model
    assert model.train(False) is model
    assert model.training is False
    with pytest.raises(NotImplementedError, match="does not train"):
        model.train()


def test_devices_and_dtypes_that_are_here(model, torch):
    for move in (
        lambda: model.to("cpu"),
        lambda: model.cpu(),
        lambda: model.float(),
        lambda: model.to("cpu", "float32"),
        lambda: model.to(torch.device("cpu"), torch.float32),
        lambda: model.to(np.float32),
        lambda: model.to(dtype=np.dtype("float32"), device="cpu"),
        lambda: model.to("auto"),
    ):
        assert move() is model
        assert (model.device, model.dtype) == ("cpu", "float32")


def test_what_cannot_be_had_raises_and_changes_nothing(model):
    expected = model(IDS)[0]
    for move in (
        lambda: model.half(),
        lambda: model.to("float16"),
        lambda: model.to(dtype=np.float64),
        lambda: model.to(float),
    ):
        with pytest.raises(DeviceError, match="only in float32, bfloat16 and int8"):
            move()
    with pytest.raises(DeviceError, match="tpu"):
        model.to("tpu")
    assert (model.device, model.dtype) == ("cpu", "float32")
    np.testing.assert_array_equal(model(IDS)[0], expected)


def test_cuda_raises_with_the_reason(model):
    gpu = [device for device in filbert.devices() if device.name.startswith("cuda")]
    if any(device.available for device in gpu):
        pytest.skip("there is a GPU here")
    for move in (model.cuda, lambda: model.cuda(1), lambda: model.to("cuda:0")):
        with pytest.raises(DeviceError, match="cuda"):
            move()
    with pytest.raises(DeviceError, match="cuda"):
        BertModel(BertConfig(**TINY), device="cuda")


@pytest.mark.parametrize("threads", [0, -1, 2**31, True, 1.5, "2"])
def test_bad_thread_counts(threads):
    with pytest.raises(InputError, match="num_threads: found"):
        BertModel(BertConfig(**TINY), num_threads=threads)


def test_thread_counts_change_no_bit(tiny_folder):
    one, two = (BertModel.from_pretrained(tiny_folder, num_threads=count) for count in (1, 2))
    assert ("1 thread)" in repr(one), "2 threads)" in repr(two)) == (True, True)
    np.testing.assert_array_equal(one(IDS)[1], two(IDS)[1])


def test_counting(model, tiny_folder):
    sizes = {name: int(np.prod(shape)) for name, shape in shapes().items()}
    assert model.num_parameters() == sum(sizes.values())
    embeddings = sum(size for name, size in sizes.items() if name.endswith("_embeddings.weight"))
    assert model.num_parameters(exclude_embeddings=True) == sum(sizes.values()) - embeddings


def test_counting_as_transformers_does(transformers):
    reference = transformers.BertModel(transformers.BertConfig(**TINY))
    model = BertModel(BertConfig(**TINY))
    for exclude in (False, True):
        assert model.num_parameters(exclude_embeddings=exclude) == reference.num_parameters(exclude_embeddings=exclude)


def test_repr(model):
    text = repr(model)
    assert text.startswith("BertModel(2 layers, hidden size 32, 4 heads, ")
    for part in (f"{model.num_parameters() / 1e3:.1f}k parameters", "pooler", "float32", "cpu "):
        assert part in text


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("parameters", r"state_dict\(\)"),
        ("named_parameters", r"state_dict\(\)"),
        ("encoder", r"state_dict\(\)"),
        ("requires_grad_", "does not train"),
        ("load_state_dict", "from_pretrained"),
        ("generate", "encoders"),
        ("push_to_hub", "save_pretrained"),
        ("nonsense", "no attribute 'nonsense'$"),
    ],
)
def test_what_is_not_there_says_why(model, name, reason):
    assert not hasattr(model, name)
    with pytest.raises(AttributeError, match=reason):
        getattr(model, name)


def test_copies_share_the_weights(model):
    expected = model(IDS)[0]
    for twin in (copy.copy(model), copy.deepcopy(model)):
        assert twin is not model
        np.testing.assert_array_equal(twin(IDS)[0], expected)
    assert copy.deepcopy(model).config is not model.config


def test_a_config_given_by_the_caller(tiny_folder):
    config = BertConfig(**TINY | {"hidden_act": "relu"})
    model = BertModel.from_pretrained(tiny_folder, config=config, num_labels=4)
    assert (model.config.hidden_act, model.config.num_labels, config.num_labels) == ("relu", 4, 2)
    assert (model(IDS)[0] != BertModel.from_pretrained(tiny_folder)(IDS)[0]).any()
    assert AutoModel.from_pretrained(tiny_folder, config=config).config.hidden_act == "relu"


def test_the_auto_class(tiny_folder):
    model = AutoModel.from_pretrained(tiny_folder, num_threads=1)
    assert type(model) is BertModel
    assert model.name_or_path == str(tiny_folder)
    new = AutoModel.from_config(BertConfig(**TINY), seed=1)
    expected = BertModel(BertConfig(**TINY), seed=1)
    np.testing.assert_array_equal(new(IDS)[0], expected(IDS)[0])
    with pytest.raises(TypeError, match="AutoModel is not instantiated"):
        AutoModel()
    with pytest.raises(TypeError, match="takes a configuration, found dict"):
        AutoModel.from_config(TINY)


def test_wrong_arguments_of_constructors(tiny_folder):
    with pytest.raises(TypeError, match=r"takes a BertConfig, found str; use BertModel\.from_pretrained"):
        BertModel(str(tiny_folder))
    with pytest.raises(TypeError, match="unexpected keyword arguments: colour"):
        BertModel.from_pretrained(tiny_folder, colour=1)
    with pytest.raises(TypeError, match="takes a BertConfig, found dict"):
        BertModel.from_pretrained(tiny_folder, config=TINY)
    with pytest.raises(TypeError, match="unexpected keyword arguments: colour"):
        BertModel(BertConfig(**TINY)).save_pretrained(tiny_folder, colour=1)


def test_a_config_that_does_not_fit_the_weights(tiny_folder):
    with pytest.raises(filbert.WeightsError, match=r"expected \[50, 32\]"):
        BertModel.from_pretrained(tiny_folder, vocab_size=50)
    with pytest.raises(ConfigError, match="multiple"):
        BertModel.from_pretrained(tiny_folder, num_attention_heads=5)


def test_a_good_checkpoint_gives_no_warning(tiny_folder):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        AutoModel.from_pretrained(tiny_folder)
