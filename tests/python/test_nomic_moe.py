"""Nomic's mixtures of experts (nomic-embed-text-v2-moe), beside the formulas of their paper.

transformers has no reference: it would take such a folder for a nomic_bert without experts, with random weights.
"""

import json

import numpy as np
import pytest
from families import FAMILIES, draw_call
from safetensors.numpy import load_file, save_file
from test_parity import check

import filbert
from filbert import (
    AutoModel,
    AutoModelForSequenceClassification,
    ConfigError,
    FilbertError,
    WeightsError,
    reference,
)
from filbert.cli import main
from filbert.verify import verify


def draw(seed):
    """A configuration in the words of the authors, and its tensors."""
    rng = np.random.default_rng(seed)
    heads, head_size = int(rng.integers(1, 6)), int(rng.choice([16, 12, 20, 32, 34]))
    experts = int(rng.choice([1, 2, 3, 8, 17]))
    config = {
        "model_type": "nomic_bert",
        "vocab_size": int(rng.integers(20, 300)),
        "n_embd": heads * head_size,
        "n_head": heads,
        "n_layer": int(rng.integers(2, 6)),
        "n_inner": int(rng.choice([1, 7, 64, 100, 512])),
        "n_positions": int(rng.choice([24, 64])),
        "type_vocab_size": int(rng.integers(1, 3)),
        "layer_norm_epsilon": float(rng.choice([1e-12, 1e-5])),
        "activation_function": "gelu",
        "rotary_emb_base": float(rng.choice([10000, 30.5])),
        "rotary_emb_fraction": 1.0,
        "pad_token_id": 1,
        **{f"{part}_bias": bool(rng.random() < 0.8) for part in ("qkv_proj", "mlp_fc1", "mlp_fc2")},
        "num_experts": experts,
        "moe_top_k": int(rng.integers(1, min(experts, 4) + 1)),
        "moe_every_n_layers": int(rng.integers(2, 4)),
        "moe_normalize_expert_weights": False,
        "num_shared_experts": 0,
        "moe_impl": "megablocks",
    }
    return config, weights(config, rng)


def weights(config, rng):
    hidden, inner, experts = config["n_embd"], config["n_inner"], config["num_experts"]
    shapes = {
        "embeddings.word_embeddings.weight": (config["vocab_size"], hidden),
        "embeddings.token_type_embeddings.weight": (config["type_vocab_size"], hidden),
    }
    norms, linear = ["emb_ln"], {}
    for i in range(config["n_layer"]):
        layer = f"encoder.layers.{i}."
        norms += [f"{layer}norm1", f"{layer}norm2"]
        linear[f"{layer}attn.Wqkv"] = (3 * hidden, hidden, config["qkv_proj_bias"])
        linear[f"{layer}attn.out_proj"] = (hidden, hidden, config["qkv_proj_bias"])
        if is_mixture(config, i):
            shapes |= {
                f"{layer}mlp.router.layer.weight": (experts, hidden),
                f"{layer}mlp.experts.mlp.w1": (experts * inner, hidden),
                f"{layer}mlp.experts.mlp.w2": (experts * inner, hidden),
                f"{layer}mlp.experts.bias": (hidden,),
            }
        else:
            linear[f"{layer}mlp.fc1"] = (inner, hidden, config["mlp_fc1_bias"])
            linear[f"{layer}mlp.fc2"] = (hidden, inner, config["mlp_fc2_bias"])
    for name, (rows, columns, has_bias) in linear.items():
        shapes |= {f"{name}.weight": (rows, columns), **({f"{name}.bias": (rows,)} if has_bias else {})}
    for name in norms:
        shapes |= {f"{name}.weight": (hidden,), f"{name}.bias": (hidden,)}
    return {
        name: (0.2 * rng.standard_normal(shape) + (name.removesuffix(".weight") in norms)).astype(np.float32)
        for name, shape in shapes.items()
    }


def is_mixture(config, layer):
    return layer % config["moe_every_n_layers"] == 1


def write(folder, config, tensors):
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "model.safetensors")
    return folder


def evaluate(torch, config, tensors, dtype, input_ids, attention_mask=None, token_type_ids=None):
    """The hidden states of all layers, [layers + 1, batch, seq, hidden]. Every expert sees every token, and those that
    were not chosen count nothing."""
    functional = torch.nn.functional
    own = {name: torch.tensor(tensor, dtype=dtype) for name, tensor in tensors.items()}
    heads, experts, eps = config["n_head"], config["num_experts"], config["layer_norm_epsilon"]

    def norm(x, name):
        return functional.layer_norm(x, x.shape[-1:], own[f"{name}.weight"], own[f"{name}.bias"], eps)

    def linear(x, name):
        return functional.linear(x, own[f"{name}.weight"], own.get(f"{name}.bias"))

    def mixture(x, name):
        p = (x @ own[f"{name}router.layer.weight"].T).softmax(-1)
        chosen = p.topk(config["moe_top_k"]).indices
        p = torch.zeros_like(p).scatter(-1, chosen, p.gather(-1, chosen))
        w1, w2 = (own[f"{name}experts.mlp.{part}"].unflatten(0, (experts, -1)) for part in ("w1", "w2"))
        given = torch.stack([functional.gelu(x @ w1[e].T) @ w2[e] for e in range(experts)], -1)
        return (given * p[..., None, :]).sum(-1) + own[f"{name}experts.bias"]

    batch, length = input_ids.shape
    mask = torch.ones((batch, length)) if attention_mask is None else torch.tensor(attention_mask)
    types = np.zeros_like(input_ids) if token_type_ids is None else token_type_ids
    size = config["n_embd"] // heads
    frequencies = 1.0 / config["rotary_emb_base"] ** (torch.arange(0, size, 2, dtype=dtype) / size)
    angles = torch.arange(length, dtype=dtype)[:, None] * frequencies
    cosine, sine = (torch.cat([f(angles)] * 2, -1) for f in (torch.cos, torch.sin))

    def turn(x):
        low, high = x.chunk(2, -1)
        return x * cosine + torch.cat([-high, low], -1) * sine

    words, kinds = (own[f"embeddings.{table}_embeddings.weight"] for table in ("word", "token_type"))
    x = norm(words[torch.tensor(input_ids)] + kinds[torch.tensor(types)], "emb_ln")
    states = [x]
    for i in range(config["n_layer"]):
        layer = f"encoder.layers.{i}."
        q, k, v = linear(x, f"{layer}attn.Wqkv").unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4)
        scores = (turn(q) @ turn(k).transpose(-1, -2) / size**0.5).masked_fill(mask[:, None, None, :] == 0, -1e30)
        context = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
        x = norm(linear(context, f"{layer}attn.out_proj") + x, f"{layer}norm1")
        if is_mixture(config, i):
            made = mixture(x, f"{layer}mlp.")
        else:
            made = linear(functional.gelu(linear(x, f"{layer}mlp.fc1")), f"{layer}mlp.fc2")
        x = norm(made + x, f"{layer}norm2")
        states.append(x)
    return torch.stack(states).numpy()


def call_of(config, seed, batch=None):
    call = {**config, "max_position_embeddings": config["n_positions"]}
    return draw_call(FAMILIES["nomic_bert"], call, np.random.default_rng(1000 + seed), seed % 5, batch)


@pytest.mark.parametrize("seed", range(40))
def test_hidden_states(torch, tmp_path, seed):
    config, tensors = draw(seed)
    call = call_of(config, seed)
    model = AutoModel.from_pretrained(write(tmp_path, config, tensors))
    assert type(model) is filbert.NomicBertModel
    found = np.stack(model(**call, output_hidden_states=True).hidden_states)
    single, double = (evaluate(torch, config, tensors, dtype, **call) for dtype in (torch.float32, torch.float64))
    mask = call.get("attention_mask", np.ones(call["input_ids"].shape)).astype(bool)[None, :, :, None]
    check("hidden_states", found, single, double, mask)
    model.save_pretrained(tmp_path / "again")
    saved = load_file(tmp_path / "again" / "model.safetensors")
    assert {name: tensor.tobytes() for name, tensor in saved.items()} == {
        name: tensor.tobytes() for name, tensor in tensors.items()
    }
    again = AutoModel.from_pretrained(tmp_path / "again")
    assert again(**call).last_hidden_state.tobytes() == found[-1].tobytes()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("seed", [31, 36, 57])
def test_a_row_has_the_same_bits_in_any_batch(torch, tmp_path, seed, dtype):
    config, tensors = draw(seed)
    write(tmp_path, config, tensors)
    one, two = (AutoModel.from_pretrained(tmp_path, dtype=dtype, num_threads=threads) for threads in (1, 2))
    call = call_of(config, 2, batch=9)
    batch = one(**call).last_hidden_state
    mask = call.get("attention_mask", np.ones(call["input_ids"].shape)).astype(bool)
    exact = evaluate(torch, config, tensors, torch.float64, **call)[-1][mask].ravel()
    cosine = batch[mask].ravel() @ exact / np.linalg.norm(batch) / np.linalg.norm(exact)
    assert cosine > {"float32": 1 - 1e-6, "bfloat16": 0.99, "int8": 0.98}[dtype]
    for row in range(9):
        single = two(**{name: value[row : row + 1] for name, value in call.items()})
        assert single.last_hidden_state[0].tobytes() == batch[row].tobytes()


def test_a_head_reads_the_first_token_alone(tmp_path):
    """Of the last layer, a mixture, only that one is computed: with the bits that it has among the others."""
    config, tensors = draw(57)
    config |= {"n_layer": config["moe_every_n_layers"] + 2, "id2label": {"0": "a", "1": "b"}}
    tensors = weights(config, np.random.default_rng(0))
    for name, rows in (("pooler.dense", config["n_embd"]), ("classifier", 2)):
        tensors[f"{name}.weight"] = np.eye(rows, config["n_embd"], dtype=np.float32)
        tensors[f"{name}.bias"] = np.zeros(rows, np.float32)
    model = AutoModelForSequenceClassification.from_pretrained(write(tmp_path, config, tensors))
    assert is_mixture(config, config["n_layer"] - 1)
    ids = [[5, 6, 7, 8], [9], [10, 11]]
    of_all = model(ids, output_hidden_states=True)  # computes every token
    assert model(ids).logits.tobytes() == of_all.logits.tobytes()
    assert np.abs(of_all.logits - np.tanh(of_all.hidden_states[-1][:, 0, :2])).max() < 1e-6


def test_saved_in_the_words_of_the_authors_whose_code_alone_opens_it(tmp_path):
    config, tensors = draw(5)
    config["auto_map"] = {"AutoModel": "nomic-ai/nomic-bert-2048--modeling_hf_nomic_bert.NomicBertModel"}
    with pytest.warns(UserWarning, match="which is never run"):
        model = AutoModel.from_pretrained(write(tmp_path, config, tensors))
    assert model.config.hidden_size == model.config.n_embd == model.config.to_dict()["hidden_size"] == config["n_embd"]
    model.save_pretrained(tmp_path / "again")
    saved = json.loads((tmp_path / "again" / "config.json").read_text())
    assert config.items() <= saved.items()
    assert "hidden_size" not in saved
    assert model.config.hidden_act == saved["hidden_act"] == "gelu"


NATIVE = {
    **{"vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48},
    **{"num_experts": 8, "moe_top_k": 2, "moe_every_n_layers": 2, "activation_function": "gelu"},
}


@pytest.mark.parametrize("biases", [{}, {"qkv_proj_bias": True, "mlp_fc2_bias": True}])
def test_a_configuration_in_the_words_of_transformers(tmp_path, biases):
    config = filbert.NomicBertConfig(**NATIVE, **biases, rope_theta=30.5)
    model = filbert.NomicBertModel(config, seed=0)
    model.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text())
    assert saved["rotary_emb_base"] == 30.5
    assert [saved[f"{part}_bias"] for part in ("qkv_proj", "mlp_fc1", "mlp_fc2")] == [bool(biases), False, bool(biases)]
    again = AutoModel.from_pretrained(tmp_path)
    assert again([[1, 2, 3]]).last_hidden_state.tobytes() == model([[1, 2, 3]]).last_hidden_state.tobytes()


def test_experts_beside_the_gates_of_transformers():
    config = filbert.NomicBertConfig(**NATIVE)
    del config.activation_function
    with pytest.raises(ConfigError, match=r"num_experts: found 8 .*expected 0 beside layers with a gate"):
        filbert.NomicBertModel(config)


def test_a_saved_head_has_the_prefix_of_the_authors(tmp_path):
    """Without experts it has that of transformers, which opens it."""
    model = AutoModelForSequenceClassification.from_config(filbert.NomicBertConfig(**NATIVE), seed=0)
    model.save_pretrained(tmp_path / "experts")
    saved = load_file(tmp_path / "experts" / "model.safetensors")
    assert {name.partition(".")[0] for name in saved} == {"bert", "classifier"}
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path / "experts")
    assert again([[1, 2, 3]]).logits.tobytes() == model([[1, 2, 3]]).logits.tobytes()
    dense = {key: value for key, value in NATIVE.items() if not key.startswith(("num_experts", "moe", "activation"))}
    model = AutoModelForSequenceClassification.from_config(filbert.NomicBertConfig(**dense), seed=0)
    model.save_pretrained(tmp_path / "dense")
    saved = load_file(tmp_path / "dense" / "model.safetensors")
    assert {name.partition(".")[0] for name in saved} == {"nomic_bert", "classifier"}


@pytest.mark.parametrize(("gate", "activation"), [("swiglu", "silu"), ("geglu", "gelu"), ("glu", "sigmoid")])
def test_the_activation_behind_a_gate(gate, activation):
    assert filbert.NomicBertConfig(activation_function=gate).hidden_act == activation


def test_what_info_tells(tmp_path, capsys):
    config, tensors = draw(6)
    assert main(["info", str(write(tmp_path, config, tensors))]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"{'activation':<18}gelu" in lines
    assert f"{'experts':<18}{config['num_experts']}, {config['moe_top_k']} a token" in lines


def test_nothing_to_verify_with(tmp_path, monkeypatch):
    config, tensors = draw(6)
    monkeypatch.setattr(reference, "require", lambda *packages: dict.fromkeys(packages, "1"))
    with pytest.raises(FilbertError, match="transformers has no mixtures of experts"):
        verify(str(write(tmp_path, config, tensors)), num_threads=1)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("num_experts", 5000, "an integer from 0 to 4096"),
        ("num_experts", 0, "moe_every_n_layers: found 2 .*none: num_experts names no experts"),
        ("moe_top_k", 9, "an integer from 1 to 8"),
        ("moe_top_k", None, "found null, expected an integer from 1 to 8"),
        ("moe_every_n_layers", 0, "an integer from 1 to"),
        ("moe_every_n_layers", None, "found null, expected an integer from 1 to"),
        ("moe_normalize_expert_weights", True, "found true .*expected false"),
        ("moe_normalize_expert_weights", 1, "found 1 .*expected true or false"),
        ("expert_choice_router", True, "found true .*expected false"),
        ("num_shared_experts", 1, "found 1 .*expected 0"),
        ("moe_impl", "dense", 'found "dense" .*expected one of "megablocks"'),
        ("ffn_div", 2, "found 2 .*expected 1"),
        ("activation_function", "gelu_new", 'found "gelu_new" .*expected one of "swiglu", "geglu", "glu", "gelu"'),
        ("activation_function", "swiglu", "num_experts: found 8 .*expected 0 beside layers with a gate"),
    ],
)
def test_settings_of_experts_that_are_not_computed(tmp_path, key, value, expected):
    config, _ = draw(0)
    config |= {"num_experts": 8, "moe_top_k": 2, "moe_every_n_layers": 2, key: value}
    with pytest.raises(ConfigError, match=f"config.json: .*{expected}"):
        AutoModel.from_pretrained(write(tmp_path, config, {}))


def test_experts_of_another_number(tmp_path):
    config, tensors = draw(6)
    with pytest.raises(WeightsError, match=r"mlp.router.layer.weight: found \[\d+, \d+\], expected \[19, "):
        AutoModel.from_pretrained(write(tmp_path, {**config, "num_experts": 19}, tensors))
