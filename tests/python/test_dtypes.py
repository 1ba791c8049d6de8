"""What a model computes in: how it is named, what it keeps, and how near it is to float32."""

import copy
from concurrent.futures import ThreadPoolExecutor

import checkpoints
import numpy as np
import pytest
from checkpoints import TINY
from safetensors.numpy import load_file, save_file
from test_weights_python import bfloat16, entry
from text_models import SENTENCES, minilm_folder

import filbert
from filbert import AutoModel, BertConfig, BertModel, DeviceError, InputError, SentenceEncoder
from filbert.weights import write_safetensors

DTYPES = ("float32", "bfloat16", "int8")
KNOWN = "expected one of: float32, bfloat16, int8, float16, float64"
IDS = [[1, 2, 3, 4], [5, 6, 7]]

# Wider than a block of the rotation of int8, and no multiple of anything.
WIDE = BertConfig(
    vocab_size=300,
    hidden_size=144,
    num_hidden_layers=2,
    num_attention_heads=3,
    intermediate_size=290,
    max_position_embeddings=80,
)


@pytest.fixture
def model(tiny_folder):
    return BertModel.from_pretrained(tiny_folder)


def numbers(output):
    return [array.tobytes() for array in (output.last_hidden_state, output.pooler_output)]


def write_bfloat16(folder):
    """Turns the weights of a folder into BF16."""
    entries = [entry(name, "BF16", bfloat16(array)) for name, array in checkpoints.tensors().items()]
    with open(folder / "model.safetensors", "wb") as file:
        write_safetensors(file, entries)


def check_named(folder, dtype, name):
    expected = numbers(BertModel.from_pretrained(folder, dtype=name)(IDS))
    models = [
        BertModel.from_pretrained(folder, dtype=dtype),
        AutoModel.from_pretrained(folder, torch_dtype=dtype),
        BertModel.from_pretrained(folder).to(dtype=dtype),
    ]
    if dtype is not None:
        models.append(BertModel.from_pretrained(folder).to(dtype))
        models.append(BertModel.from_pretrained(folder).to("cpu", dtype))
    for each in models:
        assert each.dtype == name
        assert f", {name}, cpu " in repr(each)
        assert numbers(each(IDS)) == expected
    assert BertModel(BertConfig(**TINY), dtype=dtype).dtype == name


@pytest.mark.parametrize(
    ("dtype", "name"),
    [
        (None, "float32"),
        *((name, name) for name in DTYPES),
        (np.float32, "float32"),
        (np.dtype("float32"), "float32"),
        (np.int8, "int8"),
        (np.dtype("int8"), "int8"),
    ],
)
def test_names(tiny_folder, dtype, name):
    check_named(tiny_folder, dtype, name)


@pytest.mark.parametrize("name", DTYPES)
def test_names_of_torch(tiny_folder, torch, name):
    check_named(tiny_folder, getattr(torch, name), name)
    check_named(tiny_folder, f"torch.{name}", name)


def test_moving_there_and_back(model):
    exact = numbers(model(IDS))
    assert model.bfloat16() is model
    assert model.dtype == "bfloat16"
    brain = numbers(model(IDS))
    assert numbers(model.to("int8")(IDS)) not in (exact, brain)
    assert brain != exact
    assert numbers(model.to(dtype="bfloat16", device="cpu")(IDS)) == brain
    assert numbers(model.float()(IDS)) == exact
    assert model.dtype == "float32"


def test_a_copy_moves_alone(model):
    exact = numbers(model(IDS))
    twin = copy.copy(model).bfloat16()
    assert (model.dtype, twin.dtype) == ("float32", "bfloat16")
    assert numbers(model(IDS)) == exact
    assert numbers(copy.deepcopy(twin)(IDS)) == numbers(twin(IDS))


@pytest.mark.parametrize("dtype", ["bf16", "float8", "int4", "", "Float32", np.int64, object, 8])
def test_unknown_names(tiny_folder, model, dtype):
    name = np.dtype(dtype).name if isinstance(dtype, type) else dtype
    message = f'dtype "{name}" is unknown; {KNOWN}'
    for call in (
        lambda: BertModel.from_pretrained(tiny_folder, dtype=dtype),
        lambda: BertModel(BertConfig(**TINY), dtype=dtype),
        lambda: model.to(dtype=dtype),
    ):
        with pytest.raises(InputError) as error:
            call()
        assert str(error.value) == message
    assert model.dtype == "float32"


def test_unknown_names_of_torch(model, torch):
    for move in (lambda: model.to(torch.float8_e4m3fn), lambda: model.to(dtype=torch.float8_e4m3fn)):
        with pytest.raises(InputError, match=f'dtype "float8_e4m3fn" is unknown; {KNOWN}'):
            move()


@pytest.mark.parametrize("dtype", ["float16", "float64", np.float16, float])
def test_what_the_cpu_does_not_compute_in(tiny_folder, dtype):
    with pytest.raises(DeviceError, match=r"cpu: .*only in float32, bfloat16 and int8"):
        BertModel.from_pretrained(tiny_folder, dtype=dtype)


def test_auto_takes_the_dtype_of_the_weights(tiny_folder):
    assert BertModel.from_pretrained(tiny_folder, dtype="auto").dtype == "float32"
    assert BertModel.from_pretrained(tiny_folder, torch_dtype="auto").dtype == "float32"
    assert BertModel(BertConfig(**TINY), dtype="auto").dtype == "float32"
    write_bfloat16(tiny_folder)
    model = BertModel.from_pretrained(tiny_folder, dtype="auto")
    assert model.dtype == "bfloat16"
    assert numbers(model(IDS)) == numbers(BertModel.from_pretrained(tiny_folder, dtype="bfloat16")(IDS))
    assert BertModel.from_pretrained(tiny_folder).dtype == "float32"
    assert BertModel.from_pretrained(tiny_folder).to(dtype="auto").dtype == "bfloat16"


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_auto_of_weights_that_the_cpu_does_not_compute_in(tiny_folder, dtype):
    save_file({name: array.astype(dtype) for name, array in checkpoints.tensors().items()},
              tiny_folder / "model.safetensors")  # fmt: skip
    name = np.dtype(dtype).name
    with pytest.raises(DeviceError) as error:
        BertModel.from_pretrained(tiny_folder, dtype="auto")
    assert "only in float32, bfloat16 and int8" in str(error.value)
    assert str(error.value).endswith(f'; dtype="auto" is {name}, as the weights are stored')
    for each in (None, *DTYPES):
        assert BertModel.from_pretrained(tiny_folder, dtype=each)(IDS).last_hidden_state.dtype == np.float32


@pytest.mark.parametrize("dtype", DTYPES)
def test_saving_writes_the_weights_as_they_came(tiny_folder, tmp_path, dtype):
    model = BertModel.from_pretrained(tiny_folder, dtype=dtype)
    model.save_pretrained(tmp_path / "saved")
    saved = load_file(tmp_path / "saved" / "model.safetensors")
    expected = load_file(tiny_folder / "model.safetensors")
    assert sorted(saved) == sorted(expected)
    for name, array in expected.items():
        assert (saved[name].dtype, saved[name].tobytes()) == (np.float32, array.tobytes())
        np.testing.assert_array_equal(model.state_dict()[name], array)
    again = BertModel.from_pretrained(tmp_path / "saved", dtype=dtype)
    assert again.config.dtype == "float32"
    assert numbers(again(IDS)) == numbers(model(IDS))


@pytest.mark.parametrize("dtype", DTYPES)
def test_outputs_are_float32_and_masked_rows_zero(tiny_folder, dtype):
    model = BertModel.from_pretrained(tiny_folder, dtype=dtype)
    mask = [[1, 1, 0], [0, 1, 1]]
    output = model([[1, 2, 3], [4, 5, 6]], mask, output_hidden_states=True, output_attentions=True)
    for array in (output[0], output[1], *output[2], *output[3]):
        assert array.dtype == np.float32
        assert np.isfinite(array).all()
    assert not output[0][np.array(mask) == 0].any()
    for weights in output.attentions:
        np.testing.assert_allclose(weights.sum(-1)[0, :, :2], 1, rtol=1e-6)


def random_texts(rng, count):
    return [rng.integers(0, 300, rng.integers(1, 81)).tolist() for _ in range(count)]


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_text_has_the_same_bits_in_any_batch_with_any_threads(dtype):
    rng = np.random.default_rng(7)
    texts = random_texts(rng, 60)
    one = BertModel(WIDE, seed=1, num_threads=1, dtype=dtype)
    alone = [one([text]) for text in texts]
    for threads in (1, 2, 5):
        model = BertModel(WIDE, seed=1, num_threads=threads, dtype=dtype)
        for size in (60, 17, 3):
            chosen = rng.permutation(60)[:size]
            columns = max(len(texts[i]) for i in chosen) + 2
            ids, mask, positions = (np.zeros((size, columns), np.int64) for _ in range(3))
            starts = []
            for row, i in enumerate(chosen):
                start = int(rng.integers(0, columns - len(texts[i]) + 1))
                span = slice(start, start + len(texts[i]))
                ids[row, span], mask[row, span], positions[row, span] = texts[i], 1, np.arange(len(texts[i]))
                starts.append(start)
            ragged = model([texts[i] for i in chosen])
            padded = model(ids, attention_mask=mask, position_ids=positions)
            for row, i in enumerate(chosen):
                expected = alone[i].last_hidden_state[0].tobytes()
                length = len(texts[i])
                assert ragged.last_hidden_state[row, :length].tobytes() == expected
                assert padded.last_hidden_state[row, starts[row] : starts[row] + length].tobytes() == expected
                assert ragged.pooler_output[row].tobytes() == alone[i].pooler_output[0].tobytes()
                if starts[row] == 0:
                    assert padded.pooler_output[row].tobytes() == alone[i].pooler_output[0].tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
def test_calls_at_once_get_the_same_bits(dtype):
    texts = random_texts(np.random.default_rng(8), 24)
    model = BertModel(WIDE, seed=2, num_threads=2, dtype=dtype)
    expected = [numbers(model([text])) for text in texts]
    for _ in range(3):
        with ThreadPoolExecutor(2) as pool:
            found = list(pool.map(lambda text: numbers(model([text])), texts))
        assert found == expected


TEXTS = [
    *SENTENCES,
    "Hello!",
    "How do I reset my password?",
    "I forgot my login details and cannot get into my account.",
    "The Treaty of Westphalia, signed in 1648, ended the Thirty Years' War in the Holy Roman Empire.",
    "def add(a, b):\n    return a + b",
    "Le chat dort sur le canapé. 東京は日本の首都です。",
    "$12.50 for 3 kg of apples, 20 % off -- until Friday only!!!",
    "a",
    "The mitochondrion is an organelle found in the cells of most eukaryotes. It has a double membrane structure and "
    "uses aerobic respiration to generate adenosine triphosphate, which is used throughout the cell as a source of "
    "chemical energy. They were discovered by Albert von Koelliker in 1857 in the voluntary muscles of insects. " * 3,
]


@pytest.mark.parametrize(("dtype", "nearest"), [("bfloat16", 0.9999), ("int8", 0.999)])
@pytest.mark.parametrize("isa", ["amx", "avx512_vnni", "avx2", "neon_bf16", "neon"])
def test_real_sentences_stay_where_they_are(monkeypatch, isa, dtype, nearest):
    folder = minilm_folder()
    if isa not in filbert.devices()[0].isas:
        pytest.skip(f"this processor has no {isa}")
    monkeypatch.setenv("FILBERT_CPU_ISA", isa)
    exact = SentenceEncoder.from_pretrained(folder).encode(TEXTS)
    encoder = SentenceEncoder.from_pretrained(folder, dtype=dtype)
    assert encoder.model.dtype == dtype
    found = encoder.encode(TEXTS)
    cosines = (found.astype(np.float64) * exact).sum(1)  # both have length 1
    assert cosines.min() >= nearest
    assert found.tobytes() != exact.tobytes()
    assert [encoder.encode(text).tobytes() for text in TEXTS] == [row.tobytes() for row in found]


def test_an_instruction_set_that_is_not_there(tiny_folder, monkeypatch):
    isas = filbert.devices()[0].isas
    monkeypatch.setenv("FILBERT_CPU_ISA", "avx1024")
    message = f"FILBERT_CPU_ISA=avx1024 is not available on this processor; it has: {', '.join(isas)}"
    for dtype in DTYPES:
        with pytest.raises(DeviceError) as error:
            BertModel.from_pretrained(tiny_folder, dtype=dtype)
        assert str(error.value) == f"cpu: {message}"
    cpu = filbert.devices()[0]
    assert (cpu.available, cpu.reason, cpu.note) == (False, f"cpu: {message}", "")


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_instruction_set_is_used_and_as_near_to_float32_as_plain_loops(tiny_folder, monkeypatch, dtype):
    isas = filbert.devices()[0].isas

    def states(isa, dtype):
        monkeypatch.setenv("FILBERT_CPU_ISA", isa)
        model = BertModel.from_pretrained(tiny_folder, dtype=dtype)
        assert f"cpu {isa}, " in repr(model)
        return model(IDS).last_hidden_state

    exact = states("scalar", "float32")
    naive = np.abs(states("scalar", dtype) - exact).max()
    assert (naive == 0) == (dtype == "float32")
    for isa in isas:
        # Twice the error of the naive implementation; 4e-6 is a dozen roundings of normalised numbers up to 3.
        assert np.abs(states(isa, dtype) - exact).max() <= max(4e-6, 2 * naive)
