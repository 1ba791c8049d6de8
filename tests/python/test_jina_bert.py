"""Jina's second embedding models, beside what their paper says: transformers has nothing to compare with."""

import json

import numpy as np
import pytest
from families import FAMILIES, draw_call
from safetensors.numpy import save_file
from test_parity import check

import filbert
from filbert import AutoModel, ConfigError, InputError, WeightsError

LAYOUTS = ("original", "geglu", "reglu", "code")


def draw(seed):
    """A configuration and its tensors. The layout for code says geglu, too, and only its tensors tell it."""
    rng = np.random.default_rng(seed)
    layout = LAYOUTS[seed % 4]
    heads = int(rng.integers(1, 14))
    config = {
        "model_type": "bert",
        "position_embedding_type": "alibi",
        "feed_forward_type": "geglu" if layout == "code" else layout,
        "vocab_size": int(rng.integers(20, 300)),
        "hidden_size": heads * int(rng.integers(2 if heads > 8 else 16, 24)),
        "num_attention_heads": heads,
        "num_hidden_layers": int(rng.integers(1, 4)),
        "intermediate_size": int(rng.integers(1, 200)),
        "max_position_embeddings": int(rng.choice([24, 64, 300])),
        "type_vocab_size": int(rng.integers(1, 4)),
        "layer_norm_eps": float(rng.choice([1e-12, 1e-5])),
        "hidden_act": "gelu",
        "pad_token_id": 0,
    }
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    shapes = {
        "embeddings.word_embeddings.weight": (config["vocab_size"], hidden),
        "embeddings.token_type_embeddings.weight": (config["type_vocab_size"], hidden),
    }
    norms = ["embeddings.LayerNorm"]
    linear = {"pooler.dense": (hidden, hidden)}
    for i in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{i}."
        for part in ("query", "key", "value"):
            linear[f"{layer}attention.self.{part}"] = (hidden, hidden)
        linear[f"{layer}attention.output.dense"] = (hidden, hidden)
        norms.append(f"{layer}attention.output.LayerNorm")
        if layout == "original":
            linear |= {f"{layer}intermediate.dense": (inner, hidden), f"{layer}output.dense": (hidden, inner)}
            norms.append(f"{layer}output.LayerNorm")
        elif layout == "code":
            shapes[f"{layer}mlp.up_gated_layer.weight"] = (2 * inner, hidden)
            linear[f"{layer}mlp.down_layer"] = (hidden, inner)
            norms += [f"{layer}layer_norm_1", f"{layer}layer_norm_2"]
            norms += [f"{layer}attention.self.layer_norm_q", f"{layer}attention.self.layer_norm_k"]
        else:
            shapes[f"{layer}mlp.gated_layers.weight"] = (2 * inner, hidden)
            linear[f"{layer}mlp.wo"] = (hidden, inner)
            norms.append(f"{layer}mlp.layernorm")
    for name, shape in linear.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    for name in norms:
        shapes |= {f"{name}.weight": (hidden,), f"{name}.bias": (hidden,)}
    tensors = {
        name: (0.2 * rng.standard_normal(shape) + (name.removesuffix(".weight") in norms)).astype(np.float32)
        for name, shape in shapes.items()
    }
    return config, tensors, layout


def write(folder, config, tensors):
    (folder / "config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "model.safetensors")
    return folder


def slopes(heads):
    """By the recursion of https://arxiv.org/abs/2108.12409, whose values tests/cpp/test_formulas.cpp has by hand."""
    power = 1 << (heads.bit_length() - 1)
    own = [2.0 ** (-8 * (i + 1) / power) for i in range(power)]
    return own if power == heads else own + slopes(2 * power)[::2][: heads - power]


def evaluate(torch, config, tensors, layout, dtype, input_ids, attention_mask=None, token_type_ids=None):
    """The hidden states of all layers, [layers + 1, batch, seq, hidden]."""
    functional = torch.nn.functional
    weights = {name: torch.tensor(tensor, dtype=dtype) for name, tensor in tensors.items()}
    heads, eps = config["num_attention_heads"], config["layer_norm_eps"]
    activate = functional.relu if layout == "reglu" else functional.gelu

    def norm(x, name):
        return functional.layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"], eps)

    def linear(x, name):
        return functional.linear(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"))

    def split(x):
        return x.unflatten(-1, (heads, -1)).transpose(1, 2)

    batch, length = input_ids.shape
    mask = torch.ones((batch, length)) if attention_mask is None else torch.tensor(attention_mask)
    types = np.zeros_like(input_ids) if token_type_ids is None else token_type_ids
    distance = (torch.arange(length)[:, None] - torch.arange(length)).abs()
    bias = (-torch.tensor(slopes(heads), dtype=torch.float64)[:, None, None] * distance).to(dtype)
    bias = bias.masked_fill(mask[:, None, None, :] == 0, -1e30)
    words, kinds = (weights[f"embeddings.{table}_embeddings.weight"] for table in ("word", "token_type"))
    x = norm(words[torch.tensor(input_ids)] + kinds[torch.tensor(types)], "embeddings.LayerNorm")
    states = [x]
    for i in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{i}."
        q, k, v = (linear(x, f"{layer}attention.self.{part}") for part in ("query", "key", "value"))
        if layout == "code":
            q = norm(q, f"{layer}attention.self.layer_norm_q")
            k = norm(k, f"{layer}attention.self.layer_norm_k")
        q, k, v = map(split, (q, k, v))
        scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5 + bias
        context = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
        attended = norm(linear(context, f"{layer}attention.output.dense") + x, f"{layer}attention.output.LayerNorm")
        if layout == "original":
            inner = activate(linear(attended, f"{layer}intermediate.dense"))
            x = norm(linear(inner, f"{layer}output.dense") + attended, f"{layer}output.LayerNorm")
        elif layout == "code":
            attended = norm(attended + x, f"{layer}layer_norm_1")
            other, gate = linear(attended, f"{layer}mlp.up_gated_layer").chunk(2, -1)
            x = norm(linear(activate(gate) * other, f"{layer}mlp.down_layer") + attended, f"{layer}layer_norm_2")
        else:
            gate, other = linear(attended, f"{layer}mlp.gated_layers").chunk(2, -1)
            x = norm(linear(activate(gate) * other, f"{layer}mlp.wo") + attended, f"{layer}mlp.layernorm")
        states.append(x)
    return torch.stack(states).numpy()


@pytest.mark.parametrize("seed", range(32))
def test_hidden_states(torch, tmp_path, seed):
    config, tensors, layout = draw(seed)
    call = draw_call(FAMILIES["bert"], config, np.random.default_rng(1000 + seed), seed % 5)
    model = AutoModel.from_pretrained(write(tmp_path, config, tensors))
    assert type(model) is filbert.BertModel
    found = np.stack(model(**call, output_hidden_states=True).hidden_states)
    single, double = (
        evaluate(torch, config, tensors, layout, dtype, **call) for dtype in (torch.float32, torch.float64)
    )
    mask = call.get("attention_mask", np.ones(call["input_ids"].shape)).astype(bool)[None, :, :, None]
    check("hidden_states", found, single, double, mask)
    model.save_pretrained(tmp_path / "again")
    again = AutoModel.from_pretrained(tmp_path / "again")(**call)
    assert again.last_hidden_state.tobytes() == found[-1].tobytes()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("layout", range(4))
def test_a_row_has_the_same_bits_in_any_batch(tmp_path, layout, dtype):
    config, tensors, _ = draw(8 + layout)
    write(tmp_path, config, tensors)
    one, two = (AutoModel.from_pretrained(tmp_path, dtype=dtype, num_threads=threads) for threads in (1, 2))
    call = draw_call(FAMILIES["bert"], config, np.random.default_rng(0), 2, batch=9)
    batch = one(**call).last_hidden_state
    exact = AutoModel.from_pretrained(tmp_path)(**call).last_hidden_state.ravel()
    cosine = batch.ravel() @ exact / np.linalg.norm(batch) / np.linalg.norm(exact)
    assert cosine > {"float32": 1 - 1e-6, "bfloat16": 0.999, "int8": 0.99}[dtype]
    for row in range(9):
        single = two(**{name: value[row : row + 1] for name, value in call.items()})
        assert single.last_hidden_state[0].tobytes() == batch[row].tobytes()


def test_half_of_it(tmp_path):
    """The setting without the tensors, and the tensors without the setting."""
    config, tensors, _ = draw(1)
    plain = {key: value for key, value in config.items() if key not in ("position_embedding_type", "feed_forward_type")}
    with pytest.raises(WeightsError, match=r"position_embeddings.weight: missing"):
        AutoModel.from_pretrained(write(tmp_path, plain, tensors))
    with pytest.raises(ConfigError, match=r"feed_forward_type: found \"geglu\""):
        AutoModel.from_pretrained(write(tmp_path, {**config, "position_embedding_type": "absolute"}, tensors))
    with pytest.raises(ConfigError, match=r"feed_forward_type: found \"swiglu\".*geglu"):
        AutoModel.from_pretrained(write(tmp_path, {**config, "feed_forward_type": "swiglu"}, tensors))
    bert = filbert.BertModel(filbert.BertConfig(**plain), seed=0).state_dict()
    with pytest.raises(WeightsError, match=r"mlp.gated_layers.weight: missing"):
        AutoModel.from_pretrained(write(tmp_path, config, dict(bert)))


def test_no_two_tokens_are_further_apart_than_there_are_biases(tmp_path):
    config, tensors, _ = draw(1)
    model = AutoModel.from_pretrained(write(tmp_path, {**config, "max_position_embeddings": 16}, tensors))
    ids = np.full((1, 20), 5)
    for positions in (None, np.zeros((1, 20), int)):
        with pytest.raises(InputError, match="20 tokens, but the model has 16 positions"):
            model(ids, position_ids=positions)
    assert model(ids[:, :16], position_ids=np.zeros((1, 16), int)).last_hidden_state.shape[1] == 16
    with pytest.raises(ConfigError, match="max_position_embeddings: found 16777216"):
        AutoModel.from_pretrained(write(tmp_path, {**config, "max_position_embeddings": 2**24}, tensors))
