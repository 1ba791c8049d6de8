"""device="cuda": the same numbers as on the CPU, whatever the batch. Needs a GPU; on the simulated device of
tests/cuda_on_cpu the same list runs without one."""

import multiprocessing
import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import fake_cupy
import numpy as np
import pytest
import test_nomic_moe
from checkpoints import TINY
from families import FAMILIES, MODELS, draw
from text_models import SENTENCES, minilm_folder

import filbert
from filbert import BertConfig, BertModel, DeviceError, InputError, SentenceEncoder
from filbert.libraries import LikeTorch

CUDA = next((device for device in filbert.devices() if device.name.startswith("cuda")), None)

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(CUDA is None or not CUDA.available, reason=f"no CUDA device: {CUDA and CUDA.reason}"),
]

# The largest error of a hidden state of size 1: a few roundings of each layer's sums, norms and activations.
ERRORS = {"float32": 2e-5, "float16": 0.02, "bfloat16": 0.15}
DTYPES = tuple(ERRORS)

# Heads and widths that fill the tiles of the kernels, and that do not.
CONFIGS = {
    "odd": BertConfig(vocab_size=90, hidden_size=33, num_hidden_layers=2, num_attention_heads=3, intermediate_size=50,
                      max_position_embeddings=300),
    "head 32": BertConfig(vocab_size=90, hidden_size=64, num_hidden_layers=2, num_attention_heads=2,
                          intermediate_size=128, max_position_embeddings=300),
    "head 64, tanh": BertConfig(vocab_size=90, hidden_size=128, num_hidden_layers=1, num_attention_heads=2,
                                intermediate_size=96, max_position_embeddings=300, hidden_act="gelu_new"),
}  # fmt: skip


def ragged(lengths, vocabulary=90, seed=0):
    generator = np.random.default_rng(seed)
    return [generator.integers(0, vocabulary, length).tolist() for length in lengths]


def pair(config, dtype):
    model = BertModel(config, seed=0, dtype=dtype, device="cuda")
    reference = BertModel(config, seed=0)
    return model, reference


def cosine(a, b):
    a, b = a.ravel().astype(np.float64), b.ravel().astype(np.float64)
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CONFIGS)
def test_every_output_is_that_of_the_cpu(name, dtype):
    model, reference = pair(CONFIGS[name], dtype)
    ids = ragged([1, 17, 64, 2, 65, 130])
    found = model(ids, output_hidden_states=True, output_attentions=True)
    expected = reference(ids, output_hidden_states=True, output_attentions=True)
    tensors = zip(
        [found.last_hidden_state, found.pooler_output, *found.hidden_states, *found.attentions],
        [expected.last_hidden_state, expected.pooler_output, *expected.hidden_states, *expected.attentions],
        strict=True,
    )
    for left, right in tensors:
        assert left.shape == right.shape
        np.testing.assert_allclose(left, right, rtol=0, atol=ERRORS[dtype])
    assert cosine(found.last_hidden_state, expected.last_hidden_state) > 0.9999
    assert model.device == "cuda:0"
    assert model.dtype == dtype


@pytest.mark.parametrize(("name", "task"), MODELS)
def test_every_family_and_head(name, task):
    config = getattr(filbert, f"{FAMILIES[name].stem}Config")(**draw(name, task, 4))
    make = getattr(filbert, FAMILIES[name].class_name(task))
    rows = ragged([1, 9, 17, 5], 20, seed=3)
    for dtype in DTYPES:
        found = make(config, seed=0, dtype=dtype, device="cuda")(rows)
        for left, right in zip(found.to_tuple(), make(config, seed=0)(rows).to_tuple(), strict=True):
            assert left.shape == right.shape
            np.testing.assert_allclose(left, right, rtol=0, atol=ERRORS[dtype] * max(1, np.abs(right).max()))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", [31, 36, 63])
def test_nomic_with_experts(tmp_path, seed, dtype):
    """Where two experts are nearly as good, 16 bits may choose the other one: single numbers say little, and of these
    models (of 3, 3 and 17 experts) no token is so near a tie. One that is moves by a tenth, as with seed 57.
    """
    config, tensors = test_nomic_moe.draw(seed)
    test_nomic_moe.write(tmp_path, config, tensors)
    model = filbert.AutoModel.from_pretrained(tmp_path, dtype=dtype, device="cuda")
    rows = ragged([1, 9, 17, 5], 20, seed=3)
    expected = filbert.AutoModel.from_pretrained(tmp_path)(rows).last_hidden_state
    found = [model(rows).last_hidden_state for _ in range(3)]  # plain, recorded, replayed
    assert len({each.tobytes() for each in found}) == 1
    if dtype == "float32":
        np.testing.assert_allclose(found[0], expected, rtol=0, atol=ERRORS[dtype])
    assert cosine(found[0], expected) > {"float32": 1 - 1e-6, "float16": 0.999, "bfloat16": 0.99}[dtype]
    for row, ids in enumerate(rows):
        assert model([ids]).last_hidden_state[0].tobytes() == found[0][row, : len(ids)].tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
def test_words_of_some_tokens_the_largest_and_tokens_that_only_ask(dtype):
    config = BertConfig(**{**TINY, "vocab_size": 1500, "hidden_size": 64})
    model, reference = (
        filbert.BertForMaskedLM(config, seed=0, **where) for where in ({"dtype": dtype, "device": "cuda"}, {})
    )
    ids, bounds = np.arange(1, 15), np.array([0, 9, 9, 14])
    every = model.run_packed(ids, bounds)
    assert model.run_packed(ids, bounds, None, np.array([12, 3])).tobytes() == every[[12, 3]].tobytes()
    largest = model.max_logits(ids, bounds)
    assert largest.tobytes() == np.stack([every[:9].max(0), np.zeros(1500, np.float32), every[9:].max(0)]).tobytes()
    np.testing.assert_allclose(every, reference.run_packed(ids, bounds), rtol=0, atol=5 * ERRORS[dtype])
    asking = {"query_only": np.array([4, 0, 2])}
    found, expected = (each.run_packed(ids, bounds, **asking) for each in (model, reference))
    np.testing.assert_allclose(found, expected, rtol=0, atol=5 * ERRORS[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("positions", ["rotary", "absolute"])
def test_dropped_words(positions, dtype):
    """Of masked first tokens, too, whose embeddings are zeros; again and again, with others dropped."""
    config = filbert.EsmConfig(
        **{"vocab_size": 33, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2},
        **{"intermediate_size": 96, "pad_token_id": 1, "mask_token_id": 32, "token_dropout": True},
        **{"position_embedding_type": positions, "emb_layer_norm_before": positions == "absolute"},
    )
    model, reference = (
        filbert.EsmForSequenceClassification(config, seed=0, **where)
        for where in ({"dtype": dtype, "device": "cuda"}, {})
    )
    rng = np.random.default_rng(0)
    mask = np.ones((4, 18), np.int64)
    mask[1, :3], mask[2, 9:], mask[3, 0] = 0, 0, 0
    for share in (0, 0.1, 0.4, 0.2):
        ids = np.where(rng.random(mask.shape) < share, 32, rng.integers(4, 32, mask.shape))
        found, expected = (each(ids, attention_mask=mask).logits for each in (model, reference))
        np.testing.assert_allclose(found, expected, rtol=0, atol=ERRORS[dtype] * max(1, np.abs(expected).max()))


@pytest.mark.parametrize("dtype", DTYPES)
def test_masks_with_holes(dtype):
    model, reference = pair(CONFIGS["head 32"], dtype)
    generator = np.random.default_rng(1)
    ids, mask = generator.integers(0, 90, (5, 70)), generator.random((5, 70)) < 0.6
    mask[3] = False
    found = model(ids, mask, output_attentions=True)
    expected = reference(ids, mask, output_attentions=True)
    np.testing.assert_allclose(found.last_hidden_state, expected.last_hidden_state, rtol=0, atol=ERRORS[dtype])
    np.testing.assert_allclose(found.pooler_output, expected.pooler_output, rtol=0, atol=ERRORS[dtype])
    assert not found.last_hidden_state[~mask].any()


def test_beside_transformers(transformers, torch, tmp_path):
    config = {**TINY, "hidden_size": 64, "intermediate_size": 160}
    reference = transformers.BertModel(transformers.BertConfig(**config)).eval()
    reference.save_pretrained(tmp_path)
    model = BertModel.from_pretrained(tmp_path, device="cuda")
    ids = np.random.default_rng(0).integers(0, TINY["vocab_size"], (3, 20))
    with torch.no_grad():
        expected = reference(torch.from_numpy(ids)).last_hidden_state.numpy()
    np.testing.assert_allclose(model(ids).last_hidden_state, expected, rtol=0, atol=ERRORS["float32"])


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_batch_changes_no_bit(dtype):
    model = BertModel(CONFIGS["head 32"], dtype=dtype, device="cuda")
    ids = ragged([1, 2, 16, 17, 63, 64, 65, 100, 129, 200])
    alone = [model([row]) for row in ids]
    order = np.random.default_rng(2).permutation(len(ids))
    together = model([ids[i] for i in order])
    for place, i in enumerate(order):
        length = len(ids[i])
        assert together.last_hidden_state[place, :length].tobytes() == alone[i].last_hidden_state.tobytes()
        assert together.pooler_output[place].tobytes() == alone[i].pooler_output.tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
def test_replayed_graphs_change_no_bit(dtype):
    """A shape that comes again is replayed; asking for hidden states runs every kernel anew."""
    model = BertModel(CONFIGS["head 64, tanh"], dtype=dtype, device="cuda")
    batches = [ragged(lengths, seed=len(lengths)) for lengths in ([5], [64, 3], [17, 40, 2])]
    for _ in range(5):
        for ids in batches:
            replayed, anew = model(ids), model(ids, output_hidden_states=True)
            assert replayed.last_hidden_state.tobytes() == anew.last_hidden_state.tobytes()
            assert replayed.pooler_output.tobytes() == anew.pooler_output.tobytes()


def test_threads_share_a_model():
    model = BertModel(CONFIGS["odd"], device="cuda", dtype="bfloat16")
    batches = [ragged([n, 2 * n], seed=n) for n in range(1, 17)]
    expected = [model(ids).last_hidden_state.tobytes() for ids in batches]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda ids: model(ids).last_hidden_state.tobytes(), batches * 2))
    assert found == expected * 2


def test_moves_between_devices(tiny_folder, tmp_path):
    model = BertModel.from_pretrained(tiny_folder)
    before = model([[1, 2, 3]]).last_hidden_state
    assert model.cuda().device == "cuda:0"
    np.testing.assert_allclose(model([[1, 2, 3]]).last_hidden_state, before, rtol=0, atol=ERRORS["float32"])
    model.half().save_pretrained(tmp_path / "saved")
    assert (tmp_path / "saved/model.safetensors").stat().st_size == (tiny_folder / "model.safetensors").stat().st_size
    assert model.to("cpu", "float32")([[1, 2, 3]]).last_hidden_state.tobytes() == before.tobytes()
    assert BertModel.from_pretrained(tiny_folder, device="auto").device == "cuda:0"


def test_torch_results_stay_on_the_device(torch, monkeypatch):
    """On a GPU with its tensors; on the simulated device, whose memory is the host's, with any tensors."""
    model = BertModel(CONFIGS["odd"], device="cuda", dtype="bfloat16")
    ids = torch.arange(36).reshape(2, 18)
    mask = torch.tensor([[1] * 18, [1] * 5 + [0] * 13])
    expected = model(ids, mask, output_hidden_states=True)
    assert expected.last_hidden_state.device.type == "cpu"
    if torch.cuda.is_available():
        found = model(ids.cuda(), mask.cuda(), output_hidden_states=True)
        assert found.last_hidden_state.device.type == found.pooler_output.device.type == "cuda"
        assert model(ids.cuda(), output_attentions=True).attentions[0].device.type == "cuda"
    else:
        monkeypatch.setattr(LikeTorch, "device", "cuda:0")
        model(ids + 1, output_hidden_states=True)
        found = model(ids, mask, output_hidden_states=True)
    for left, right in zip(found.hidden_states, expected.hidden_states, strict=True):
        assert torch.equal(left.cpu(), right)
    assert torch.equal(found.last_hidden_state.cpu(), expected.last_hidden_state)
    assert torch.equal(found.pooler_output.cpu(), expected.pooler_output)


def test_cupy_results_stay_on_the_device(monkeypatch):
    model = BertModel(CONFIGS["odd"], device="cuda", dtype="bfloat16")
    ids = np.arange(36).reshape(2, 18)
    expected = model(ids, output_hidden_states=True)
    if CUDA.description.startswith("CUDA on CPU"):
        monkeypatch.setitem(sys.modules, "cupy", fake_cupy)
    cupy = pytest.importorskip("cupy")
    found = model(cupy.asarray(ids), output_hidden_states=True)
    for left, right in zip(found.hidden_states, expected.hidden_states, strict=True):
        assert isinstance(left, cupy.ndarray)
        np.testing.assert_array_equal(left.get(), right)
    np.testing.assert_array_equal(found.pooler_output.get(), expected.pooler_output)


def test_sentences():
    folder = minilm_folder()
    texts = SENTENCES[:3]
    expected = SentenceEncoder.from_pretrained(folder).encode(texts)
    for dtype, least in (("float32", 0.999999), ("bfloat16", 0.9999), ("float16", 0.9999)):
        found = SentenceEncoder.from_pretrained(folder, device="cuda", dtype=dtype).encode(texts)
        assert min(cosine(a, b) for a, b in zip(found, expected, strict=True)) > least


def test_errors_leave_the_model_usable():
    model = BertModel(BertConfig(**TINY), device="cuda")
    expected = model([[1, 2, 3]]).last_hidden_state.tobytes()
    with pytest.raises(InputError, match="token id 40 at row 0, column 1"):
        model([[1, 40]])
    with pytest.raises(InputError, match="float"):
        model(np.ones((1, 3)))
    with pytest.raises(DeviceError, match="cuda:99"):
        model.to("cuda:99")
    with pytest.raises(DeviceError, match="int8"):
        model.to(dtype="int8")
    assert model.device == "cuda:0"
    assert model([[1, 2, 3]]).last_hidden_state.tobytes() == expected


def _forward_in_child(model, queue):
    try:
        model([[1, 2, 3]])
        queue.put("no error")
    except Exception as error:
        queue.put(f"{type(error).__name__}: {error}")


def test_after_a_fork():
    model = BertModel(BertConfig(**TINY), device="cuda")
    expected = model([[1, 2, 3]]).last_hidden_state.tobytes()
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_forward_in_child, args=(model, queue))
    child.start()
    message = queue.get(timeout=60)
    child.join(60)
    assert child.exitcode == 0
    assert message.startswith("DeviceError: cuda: CUDA does not survive a fork")
    assert model([[1, 2, 3]]).last_hidden_state.tobytes() == expected


def test_forks_while_threads_run_the_model():
    model = BertModel(BertConfig(**TINY), device="cuda")
    expected = model([[1, 2, 3]]).last_hidden_state.tobytes()
    stop = threading.Event()

    def run():
        while not stop.is_set():
            model([[1, 2, 3]])

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(30):
            child = os.fork()
            if child == 0:
                signal.alarm(20)  # it may not wait for the device, nor for a lock
                told = False
                try:
                    model([[1, 2, 3]])
                except DeviceError as error:
                    told = "CUDA does not survive a fork" in str(error)
                finally:
                    del model
                    os._exit(0 if told else 1)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert model([[1, 2, 3]]).last_hidden_state.tobytes() == expected
