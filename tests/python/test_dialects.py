"""One model under the names of its authors and under those of transformers: the same bits."""

import json

import numpy as np
import pytest
from families import FAMILIES
from safetensors.numpy import load_file, save_file
from test_families import own_model, reference_model
from test_parity import check, reference_outputs

from filbert import (
    AutoModel,
    AutoModelForSequenceClassification,
    ConfigError,
    InputError,
    NomicBertConfig,
    WeightsError,
    XLMRobertaConfig,
    XLMRobertaModel,
    _core,
)

IDS = [[5, 6, 7, 8, 9, 10, 11], [12, 13]]


def write(folder, config, tensors):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, folder / "model.safetensors")
    return folder


def with_noise(folder, model, seed, auto_class=AutoModel):
    """The model with biases and norms that are random too, so that no two tensors may be confused."""
    rng = np.random.default_rng(seed)
    tensors = {
        name: (tensor + 0.2 * rng.standard_normal(tensor.shape)).astype(np.float32)
        for name, tensor in model.state_dict().items()
    }
    write(folder, json.loads(model.config.to_json_string()), tensors)
    return auto_class.from_pretrained(folder)


def renamed(tensors, names, joined=()):
    """Tensors by other names: a piece of a name by a piece; joined: (pieces, piece), along the rows."""
    tensors = dict(tensors)
    for pieces, piece in joined:
        for name in [name for name in tensors if pieces[0] in name]:
            parts = [tensors.pop(name.replace(pieces[0], each)) for each in pieces]
            tensors[name.replace(pieces[0], piece)] = np.concatenate(parts)
    result = {}
    for name, tensor in tensors.items():
        for old, new in names.items():
            name = name.replace(old, new)
        result[name] = tensor
    return result


QKV = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
NOMIC_NAMES = {
    "embeddings.LayerNorm": "emb_ln",
    "layers.": "encoder.layers.",
    "self_attn.o_proj": "attn.out_proj",
    "mlp.up_proj": "mlp.fc11",
    "mlp.gate_proj": "mlp.fc12",
    "mlp.down_proj": "mlp.fc2",
    "post_attention_layernorm": "norm1",
    "post_mlp_layernorm": "norm2",
}
GPT2_KEYS = {
    "hidden_size": "n_embd",
    "num_hidden_layers": "n_layer",
    "num_attention_heads": "n_head",
    "intermediate_size": "n_inner",
    "max_position_embeddings": "n_positions",
    "layer_norm_eps": "layer_norm_epsilon",
}
FLAGS = {
    **{"prenorm": False, "use_rms_norm": False, "rotary_emb_fraction": 1.0, "rotary_emb_interleaved": False},
    **{"rotary_emb_scale_base": None, "rotary_scaling_factor": None, "causal": False, "parallel_block": False},
    **{"qkv_proj_bias": False, "mlp_fc1_bias": False, "mlp_fc2_bias": False, "activation_function": "swiglu"},
}


def nomic(folder, seed):
    """A model under the names of transformers, its configuration in GPT-2's words, and its tensors in nomic's."""
    config = {**FAMILIES["nomic_bert"].draw(np.random.default_rng(seed)), "hidden_act": "silu"}
    theta = config.pop("rope_theta", None) or config.pop("rope_parameters")["rope_theta"]
    native = NomicBertConfig(**config, rope_theta=theta)
    model = with_noise(folder / "native", AutoModel.from_config(native, seed=seed), seed)
    words = {GPT2_KEYS.get(key, key): value for key, value in config.items() if key != "hidden_act"}
    hub = {"model_type": "nomic_bert", **words, **FLAGS, "rotary_emb_base": theta}
    tensors = renamed(model.state_dict(), NOMIC_NAMES, [(QKV, "attn.Wqkv")])
    return model, hub, tensors


def same(model, folder, **keywords):
    other = AutoModel.from_pretrained(folder, **keywords)
    assert other(IDS).last_hidden_state.tobytes() == model(IDS).last_hidden_state.tobytes()
    return other


@pytest.mark.parametrize("prefix", ["", "bert.", "nomic_bert."])
@pytest.mark.parametrize("seed", range(5))
def test_nomic(tmp_path, seed, prefix):
    model, config, tensors = nomic(tmp_path, seed)
    tensors = {prefix + name: tensor for name, tensor in tensors.items()}
    other = same(model, write(tmp_path, config, tensors))
    assert other.config.hidden_size == other.config.n_embd == model.config.hidden_size
    assert other.config.rope_parameters == model.config.rope_parameters
    other.save_pretrained(tmp_path / "again")
    assert set(load_file(tmp_path / "again" / "model.safetensors")) == {name.removeprefix(prefix) for name in tensors}
    same(model, tmp_path / "again")


def test_nomic_in_both_words(tmp_path):
    model, config, tensors = nomic(tmp_path, 0)
    both = {**config, **{key: config[name] for key, name in GPT2_KEYS.items()}}
    same(model, write(tmp_path, both, tensors))
    other = same(model, write(tmp_path, {**both, "n_positions": 8192, "max_position_embeddings": 2048}, tensors))
    assert other.max_positions == 2048
    for key, value in (("n_embd", 7), ("n_layer", 40), ("n_inner", 3), ("layer_norm_epsilon", 0.5)):
        with pytest.raises(ConfigError, match=f"{key}: found {value} .*, expected what .* says"):
            AutoModel.from_pretrained(
                write(tmp_path, {**both, "rope_theta": config["rotary_emb_base"], key: value}, tensors)
            )


def test_nomic_of_longer_texts_than_it_learned_from_is_cut_where_it_would_change(tmp_path):
    model, config, tensors = nomic(tmp_path, 1)
    scaled = {**config, "rotary_scaling_factor": 2, "max_trained_positions": 9, "n_positions": 20}
    other = same(model, write(tmp_path, scaled, tensors))
    assert other.max_positions == 9
    with pytest.raises(InputError, match="10 tokens, but the model has 9 positions"):
        other([[5] * 10])
    with pytest.raises(InputError, match="10 tokens, but the model has 9 positions"):
        other([[5] * 10], position_ids=[[0, 1, 2, 3, 4, 0, 1, 2, 3, 4]])


def test_nomic_without_a_gate_and_with_biases(tmp_path):
    """As its mixtures of experts have it in the layers that are none: a plain feed-forward layer."""
    _, config, tensors = nomic(tmp_path, 2)
    rng = np.random.default_rng(0)
    hidden, inner = config["n_embd"], config["n_inner"]
    plain = {name.replace("fc11", "fc1"): tensor for name, tensor in tensors.items() if "fc12" not in name}
    for i in range(config["n_layer"]):
        layer = f"encoder.layers.{i}."
        for part, size in (
            ("attn.Wqkv", 3 * hidden),
            ("attn.out_proj", hidden),
            ("mlp.fc1", inner),
            ("mlp.fc2", hidden),
        ):
            plain[f"{layer}{part}.bias"] = rng.normal(size=size).astype(np.float32)
    flags = {"activation_function": "gelu", **{f"{part}_bias": True for part in ("qkv_proj", "mlp_fc1", "mlp_fc2")}}
    found = AutoModel.from_pretrained(write(tmp_path, {**config, **flags}, plain))(IDS[:1]).last_hidden_state[0]
    expected = post_norm(plain, config, IDS[0])
    assert np.abs(found - expected).max() < 1e-4


def post_norm(tensors, config, ids):
    """nomic's encoder without a gate, in float64."""
    from math import erf

    def norm(x, name):
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + config["layer_norm_epsilon"])
        return x * tensors[f"{name}.weight"] + tensors[f"{name}.bias"]

    def linear(x, name):
        return x @ tensors[f"{name}.weight"].astype(float).T + tensors[f"{name}.bias"]

    tokens, hidden, heads = len(ids), config["n_embd"], config["n_head"]
    size = hidden // heads
    angles = np.arange(tokens)[:, None] * config["rotary_emb_base"] ** (-np.arange(0, size, 2) / size)
    turn = np.cos(angles)[:, None] + 1j * np.sin(angles)[:, None]
    x = tensors["embeddings.word_embeddings.weight"][ids] + tensors["embeddings.token_type_embeddings.weight"][0]
    x = norm(x.astype(float), "emb_ln")
    for i in range(config["n_layer"]):
        layer = f"encoder.layers.{i}."
        q, k, v = linear(x, f"{layer}attn.Wqkv").reshape(tokens, 3, heads, size).swapaxes(0, 1)
        q, k = ((each[..., : size // 2] + 1j * each[..., size // 2 :]) * turn for each in (q, k))
        scores = np.einsum("qhd,khd->hqk", q, k.conj()).real / np.sqrt(size)
        p = np.exp(scores - scores.max(-1, keepdims=True))
        context = np.einsum("hqk,khd->qhd", p / p.sum(-1, keepdims=True), v).reshape(tokens, hidden)
        x = norm(x + linear(context, f"{layer}attn.out_proj"), f"{layer}norm1")
        inner = linear(x, f"{layer}mlp.fc1")
        inner = inner / 2 * (1 + np.vectorize(erf)(inner / np.sqrt(2)))
        x = norm(x + linear(inner, f"{layer}mlp.fc2"), f"{layer}norm2")
    return x


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("moe_every_n_layers", 2),
        ("prenorm", True),
        ("use_rms_norm", True),
        ("rotary_emb_fraction", 0.5),
        ("rotary_emb_interleaved", True),
        ("rotary_emb_scale_base", 512),
        ("causal", True),
        ("head_dim", 3),
    ],
)
def test_what_nomic_has_and_filbert_not(tmp_path, key, value):
    _, config, tensors = nomic(tmp_path, 3)
    with pytest.raises(ConfigError, match=f"{key}: found"):
        AutoModel.from_pretrained(write(tmp_path, {**config, key: value}, tensors))


GTE_NAMES = {
    "layers.": "encoder.layer.",
    "self_attn.o_proj": "attention.o_proj",
    "post_attention_layernorm": "attn_ln",
    "post_mlp_layernorm": "mlp_ln",
}
GTE_JOINED = [(QKV, "attention.qkv_proj"), (("mlp.up_proj", "mlp.gate_proj"), "mlp.up_gate_proj")]
GTE_APART = {f"self_attn.{part}_proj": f"attention.{part}_proj" for part in "qkv"}


@pytest.mark.parametrize("model_type", ["gte", "new"])
@pytest.mark.parametrize("prefix", ["", "new.", "gte."])
@pytest.mark.parametrize("seed", range(4))
def test_gte(tmp_path, seed, prefix, model_type):
    config, model = own_model("gte", "Model", seed)
    model = with_noise(tmp_path / "first", model, seed)
    config = {**config, "model_type": model_type, "layer_norm_eps": model.config.layer_norm_eps, "pack_qkv": seed != 1}
    names = {**GTE_NAMES, **({} if config["pack_qkv"] else GTE_APART)}
    tensors = renamed(model.state_dict(), names, GTE_JOINED if config["pack_qkv"] else GTE_JOINED[1:])
    other = same(model, write(tmp_path, config, {prefix + name: tensor for name, tensor in tensors.items()}))
    assert other.config.model_type == model_type
    other.save_pretrained(tmp_path / "again")
    same(model, tmp_path / "again")
    same(model, write(tmp_path / "native", config, {prefix + k: v for k, v in model.state_dict().items()}))


@pytest.mark.parametrize("seed", range(6))
def test_ntk_beside_transformers_with_the_frequencies_of_the_formula(torch, transformers, tmp_path, seed):
    """transformers knows no rope_type "ntk": its buffer is replaced."""
    config, reference = reference_model(torch, transformers, "gte", "Model", 100 + seed)
    theta, factor = (20000.0, 8.0) if seed % 2 else (160000.0, 2.0)
    size = config["hidden_size"] // config["num_attention_heads"]
    frequencies = (theta * factor) ** (-np.arange(0, size, 2) / size) / factor ** (2 / size)
    reference.rotary_emb.inv_freq = torch.tensor(frequencies, dtype=torch.float32)
    reference.save_pretrained(tmp_path)
    values = json.loads((tmp_path / "config.json").read_text())
    del values["rope_parameters"]
    values.update(rope_theta=theta, rope_scaling={"type": "ntk", "factor": factor})
    (tmp_path / "config.json").write_text(json.dumps(values))
    length = config["max_position_embeddings"]
    call = {"input_ids": np.random.default_rng(seed).integers(1, config["vocab_size"], (3, length))}
    model = AutoModel.from_pretrained(tmp_path)
    single, double = reference_outputs(torch, reference, call), reference_outputs(torch, reference.double(), call)
    states = model(**call).last_hidden_state
    check("last_hidden_state", states, single.last_hidden_state, double.last_hidden_state, True)
    model.save_pretrained(tmp_path / "again")
    assert AutoModel.from_pretrained(tmp_path / "again")(**call).last_hidden_state.tobytes() == states.tobytes()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("logn_attention_scale", True),
        ("logn_attention_clip1", True),
        ("layer_norm_type", "rms_norm"),
        ("position_embedding_type", "absolute"),
        ("rope_scaling", {"type": "yarn", "factor": 4}),
    ],
)
def test_what_gte_has_and_filbert_not(tmp_path, key, value):
    config, model = own_model("new", "Model", 0)
    folder = write(tmp_path, {**config, "model_type": "new", key: value}, model.state_dict())
    with pytest.raises(ConfigError, match=f"{key}.*: found"):
        AutoModel.from_pretrained(folder)


JINA_NAMES = {
    "embeddings.LayerNorm": "emb_ln",
    "layers.": "encoder.layers.",
    "self_attn.o_proj": "mixer.out_proj",
    "post_attention_layernorm": "norm1",
    "post_mlp_layernorm": "norm2",
}
TASKS = ["retrieval.query", "retrieval.passage", "separation"]


def jina_v3(folder, seed):
    """A model under the names of transformers, and the configuration and tensors of the hub: with adapters."""
    config, model = own_model("jina_embeddings_v3", "Model", seed)
    model = with_noise(folder / "native", model, seed)
    tensors = renamed(model.state_dict(), JINA_NAMES, [(QKV, "mixer.Wqkv")])
    rng, rank = np.random.default_rng(seed), 3
    adapted = {}
    for name, tensor in tensors.items():
        if tensor.ndim == 1:
            adapted["roberta." + name] = tensor
            continue
        stem = f"roberta.{name.removesuffix('.weight')}.parametrizations.weight."
        rows, columns = (len(TASKS), tensor.shape[0], rank), (len(TASKS), rank, tensor.shape[1])
        shapes = (rows, columns) if "embeddings" in name else (columns, rows)
        adapted[f"{stem}original"] = tensor
        for part, shape in zip("AB", shapes, strict=True):
            adapted[f"{stem}0.lora_{part}"] = rng.normal(size=shape).astype(np.float32) * 0.1
    theta = model.config.rope_parameters["rope_theta"]
    hub = {key: value for key, value in config.items() if key not in ("rope_theta", "rope_parameters")}
    hub |= {"position_embedding_type": "rotary", "rotary_emb_base": theta, "lora_adaptations": TASKS, "lora_rank": rank}
    return model, {**hub, "lora_alpha": 2, "load_trained_adapters": True}, adapted


def merged(tensors, task, scale):
    result = {}
    for name, tensor in tensors.items():
        stem, found, _ = name.partition(".parametrizations.weight.original")
        if not found and "lora" not in name:
            result[name] = tensor
        elif found:
            a, b = (tensors[f"{stem}.parametrizations.weight.0.lora_{part}"][task].astype(float) for part in "AB")
            change = a @ b if "embeddings" in name else b @ a
            result[f"{stem}.weight"] = (tensor + scale * change).astype(np.float32)
    return result


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("says_its_type", [True, False])
def test_jina_v3(tmp_path, seed, says_its_type):
    model, config, tensors = jina_v3(tmp_path, seed)
    if says_its_type:
        config = {**config, "model_type": "xlm-roberta"}
    folder = write(tmp_path / "hub", config, tensors)
    other = same(model, folder)
    assert other(IDS).pooler_output.tobytes() == model(IDS).pooler_output.tobytes()
    for task, name in enumerate(TASKS):
        plain = {key: value for key, value in config.items() if not key.startswith("lora_")}
        plain = write(tmp_path / name, {**plain, "model_type": "xlm-roberta"}, merged(tensors, task, 2 / 3))
        expected = AutoModel.from_pretrained(plain)(IDS)
        chosen = AutoModel.from_pretrained(folder, task=name)
        found = chosen(IDS)
        assert np.abs(found.last_hidden_state - expected.last_hidden_state).max() < 2e-5
        assert np.abs(found.pooler_output - expected.pooler_output).max() < 2e-5
        assert np.abs(found.last_hidden_state - model(IDS).last_hidden_state).max() > 1e-3
    chosen.save_pretrained(tmp_path / "again")
    saved = load_file(tmp_path / "again" / "model.safetensors")
    assert {f"roberta.{name}": tensor.tobytes() for name, tensor in saved.items()} == {
        name: tensor.tobytes() for name, tensor in tensors.items()
    }
    same(chosen, tmp_path / "again")
    assert "model_type" not in json.loads((tmp_path / "again" / "config.json").read_text())


def test_a_copy_of_jina_v3_is_no_xlm_roberta_of_transformers(transformers, tmp_path):
    """Which would have random weights: that it cannot open the authors' files either is told."""
    _, config, tensors = jina_v3(tmp_path, 0)
    AutoModel.from_pretrained(write(tmp_path / "hub", config, tensors)).save_pretrained(tmp_path / "again")
    for name in ("hub", "again"):
        with pytest.raises(ValueError, match="model_type"):
            transformers.AutoModel.from_pretrained(tmp_path / name)


def test_tasks_that_there_are_not(tmp_path):
    model, config, tensors = jina_v3(tmp_path, 0)
    folder = write(tmp_path, config, tensors)
    with pytest.raises(ConfigError, match=r"task: found \"x\".*one of retrieval.query, retrieval.passage, separation"):
        AutoModel.from_pretrained(folder, task="x")
    write(tmp_path, {**config, "lora_rank": 5}, tensors)
    with pytest.raises(WeightsError, match=r"lora_A: found \[3, .*expected \[3, "):
        AutoModel.from_pretrained(folder)
    model.save_pretrained(tmp_path / "plain")
    with pytest.raises(InputError, match=r"task: found 'retrieval.query', but .* has no adapters"):
        AutoModel.from_pretrained(tmp_path / "plain", task="retrieval.query")


def test_a_task_without_adapters(tmp_path):
    """Tensors that are merged already, and families that have none."""
    _, config, tensors = jina_v3(tmp_path, 1)
    write(tmp_path, config, merged(tensors, 0, 1.0))
    with pytest.raises(ConfigError, match=r"task: found .*the weights have no adapters"):
        AutoModel.from_pretrained(tmp_path, task=TASKS[0])
    write(
        tmp_path, {**config, "model_type": "xlm-roberta", "position_embedding_type": "absolute", "task": "x"}, tensors
    )
    with pytest.raises(ConfigError, match="task: found"):
        AutoModel.from_pretrained(tmp_path)


def test_an_adapter_of_what_has_none(tmp_path):
    _, config, tensors = jina_v3(tmp_path, 1)
    stem = "roberta.emb_ln"
    tensors[f"{stem}.parametrizations.weight.original"] = tensors.pop(f"{stem}.weight")
    write(tmp_path, config, tensors)
    with pytest.raises(WeightsError, match=r"emb_ln.weight: missing"):
        AutoModel.from_pretrained(tmp_path)


JINA_CODE = {"AutoConfig": "configuration_xlm_roberta.XLMRobertaFlashConfig"}
JINA_RERANKER_NAMES = {
    "embeddings.LayerNorm": "emb_ln",
    "encoder.layer.": "encoder.layers.",
    "attention.output.dense": "mixer.out_proj",
    "attention.output.LayerNorm": "norm1",
    "intermediate.dense": "mlp.fc1",
    "output.dense": "mlp.fc2",
    "output.LayerNorm": "norm2",
}


def jina_reranker(folder, seed):
    """XLM-R with logits under the names of transformers, and the configuration and tensors of jina-reranker-v2."""
    config, model = own_model("xlm-roberta", "ForSequenceClassification", seed)
    model = with_noise(folder / "native", model, seed, AutoModelForSequenceClassification)
    query, key, value = (f"attention.self.{name}" for name in ("query", "key", "value"))
    tensors = renamed(model.state_dict(), JINA_RERANKER_NAMES, [((query, key, value), "mixer.Wqkv")])
    return model, {**config, "position_embedding_type": "absolute", "auto_map": JINA_CODE}, tensors


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("says", [{}, {"model_type": "xlm-roberta"}, {"auto_map": None, "model_type": "xlm-roberta"}])
def test_jina_reranker_v2(tmp_path, seed, says):
    model, config, tensors = jina_reranker(tmp_path, seed)
    folder = write(tmp_path / "hub", {**config, **says}, tensors)
    other = AutoModelForSequenceClassification.from_pretrained(folder)
    assert other(IDS).logits.tobytes() == model(IDS).logits.tobytes()
    other.save_pretrained(tmp_path / "again")
    saved = load_file(tmp_path / "again" / "model.safetensors")
    assert {name: tensor.tobytes() for name, tensor in saved.items()} == {
        name: tensor.tobytes() for name, tensor in tensors.items()
    }
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path / "again")
    assert again(IDS).logits.tobytes() == model(IDS).logits.tobytes()


def test_new_weights_of_jina_reranker_v2_are_for_the_code_that_its_configuration_names(tmp_path):
    config = XLMRobertaConfig(num_hidden_layers=1, hidden_size=24, vocab_size=60, auto_map=JINA_CODE)
    model = XLMRobertaModel(config, seed=0)
    assert "encoder.layers.0.mixer.Wqkv.weight" in model.state_dict()
    model.save_pretrained(tmp_path)
    assert "model_type" not in json.loads((tmp_path / "config.json").read_text())
    same(model, tmp_path)


def test_an_adapter_of_what_only_names_jinas_code(tmp_path):
    _, config, tensors = jina_reranker(tmp_path, 0)
    folder = write(tmp_path / "hub", {**config, "lora_adaptations": TASKS, "task": TASKS[0]}, tensors)
    with pytest.raises(ConfigError, match=r"task: found .*only jina-embeddings-v3"):
        AutoModel.from_pretrained(folder)


def test_eurobert_in_the_words_of_its_authors(tmp_path):
    config, model = own_model("eurobert", "ForSequenceClassification", 1)
    tensors = model.state_dict()
    logits = {}
    for key in ("classifier_pooling", "clf_pooling"):
        for pooling in ("late", "mean", "bos"):
            words = {name: value for name, value in config.items() if name != "classifier_pooling"}
            words["model_type"] = "eurobert"
            folder = write(tmp_path / key / pooling, {**words, key: pooling}, tensors)
            found = AutoModelForSequenceClassification.from_pretrained(folder)
            assert found.config.classifier_pooling == found.config.clf_pooling == pooling
            logits[key, pooling] = found(IDS).logits.tobytes()
    assert all(logits["clf_pooling", each] == logits["classifier_pooling", each] for each in ("late", "mean", "bos"))
    assert len(set(logits.values())) == 3
    both = {**words, "clf_pooling": "mean", "classifier_pooling": "bos"}
    with pytest.raises(ConfigError, match="pooling: found"):
        AutoModelForSequenceClassification.from_pretrained(write(tmp_path / "both", both, tensors))


def test_the_defaults_of_jina_v3_are_those_of_the_engine():
    bare = {"position_embedding_type": "rotary"}
    own = XLMRobertaConfig(**bare)
    assert own.layer_norm_eps == 1e-5
    specs = [
        [(spec.name, spec.shape) for spec in _core.tensor_specs(text, "model")]
        for text in (json.dumps({**bare, "model_type": "xlm-roberta"}), own.to_json_string())
    ]
    assert specs[0] == specs[1]


@pytest.mark.parametrize("key", ["rotary_emb_base", "rotary_emb_fraction", "layer_norm_epsilon", "qkv_proj_bias"])
def test_nomic_says_what_its_authors_default_to(tmp_path, key):
    _, config, tensors = nomic(tmp_path, 3)
    del config[key]
    with pytest.raises(ConfigError, match=f"{key}: missing, expected beside n_embd"):
        AutoModel.from_pretrained(write(tmp_path, config, tensors))
