"""What is special about a family: its formulas by hand, its settings, and those that it refuses."""

import json
import math
import warnings

import numpy as np
import pytest
from families import FAMILIES
from safetensors.numpy import load_file, save_file
from test_families import own_model, reference_model
from test_parity import check, reference_outputs

import filbert
from filbert import AutoConfig, AutoModel, ConfigError
from filbert.reference import float64_throughout

ROTARY = ("llama", "modernbert", "qwen3", "ultrabert")
MODERNBERT = {
    "vocab_size": 40,
    "hidden_size": 48,
    "intermediate_size": 20,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "pad_token_id": 0,
}
QWEN3 = {**MODERNBERT, "num_key_value_heads": 1, "head_dim": 16}
MPNET = {**MODERNBERT, "max_position_embeddings": 302, "pad_token_id": 1}


def rewritten(folder, **changes):
    """The folder, with other values in config.json; None removes a key."""
    values = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps({key: value for key, value in values.items() if value is not None}))
    return folder


def softmax(scores):
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def bucket_of(distance):
    """Of a key so many columns after the query, as T5 has it (arXiv:1910.10683), with logarithms."""
    away = abs(distance)
    of_side = away if away < 8 else min(15, 8 + int(math.log(away / 8) / math.log(16) * 8))
    return of_side + (16 if distance > 0 else 0)


def test_mpnets_bias(tmp_path):
    model = filbert.MPNetModel(filbert.MPNetConfig(**{**MPNET, "relative_attention_num_buckets": 33}), seed=0)
    model.save_pretrained(tmp_path)
    tensors = dict(load_file(tmp_path / "model.safetensors"))
    for name in tensors:
        if ".attn.q." in name:
            tensors[name] = np.zeros_like(tensors[name])  # so that only the bias is left of the scores
    table = np.random.default_rng(0).standard_normal((33, 3)).astype(np.float32)
    tensors["encoder.relative_attention_bias.weight"] = table
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    length = 300
    found = AutoModel.from_pretrained(tmp_path)([[9] * length], output_attentions=True).attentions
    columns = np.arange(length)
    buckets = np.vectorize(bucket_of)(columns[None, :] - columns[:, None])
    expected = softmax(table.astype(np.float64)[buckets].transpose(2, 0, 1))
    for layer in found:
        np.testing.assert_allclose(layer[0], expected, rtol=1e-5, atol=1e-8)


def test_mpnets_buckets_are_those_of_transformers(torch, transformers):
    bucket = transformers.models.mpnet.modeling_mpnet.MPNetEncoder.relative_position_bucket
    distances = torch.arange(-600, 601)
    assert bucket(distances).tolist() == [bucket_of(int(distance)) for distance in distances]


def test_mpnet_counts_positions_from_1_whatever_its_padding_id(tmp_path):
    model = filbert.MPNetModel(filbert.MPNetConfig(**MPNET), seed=0)
    model.save_pretrained(tmp_path)
    other = AutoModel.from_pretrained(rewritten(tmp_path, pad_token_id=7))
    for ids in ([[9, 1, 7, 1, 8]], [[1, 1, 9]]):
        assert other(ids).last_hidden_state.tobytes() == model(ids).last_hidden_state.tobytes()


@pytest.mark.parametrize("window", [2, 3, 8, 40])
def test_modernberts_window_has_both_ends(window):
    kinds = ["sliding_attention", "full_attention"]
    config = filbert.ModernBertConfig(**MODERNBERT, local_attention=window, layer_types=kinds)
    ids = np.random.default_rng(0).integers(1, 40, (1, 50))
    mask = np.random.default_rng(1).random((1, 50)) < 0.7
    mask[0, 20] = mask[0, 0] = True
    near, every = filbert.ModernBertModel(config, seed=0)(ids, mask, output_attentions=True).attentions
    columns = np.arange(50)
    pairs = mask[0][:, None] & mask[0][None, :]
    is_near = np.abs(columns[:, None] - columns[None, :]) <= window // 2
    assert ((near[0] > 0) == (pairs & is_near)).all()
    assert ((every[0] > 0) == pairs).all()


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("window", [2, 3, 8, 40])
@pytest.mark.parametrize("stem", ["Qwen2", "Qwen3"])
def test_qwens_window(stem, window, causal):
    sliding = {"use_sliding_window": True, "sliding_window": window, "max_window_layers": 1, "is_causal": causal}
    model = getattr(filbert, f"{stem}Model")(getattr(filbert, f"{stem}Config")(**QWEN3, **sliding), seed=0)
    assert model.config.layer_types == ["full_attention", "sliding_attention"]
    ids = np.random.default_rng(0).integers(1, 40, (1, 50))
    every, near = model(ids, output_attentions=True).attentions
    away = np.arange(50)[:, None] - np.arange(50)[None, :]
    seen = away >= 0 if causal else away == away
    assert ((every[0] > 0) == seen).all()
    assert ((near[0] > 0) == (seen & (away < window if causal else np.abs(away) <= window))).all()


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("window", [2, 3, 8, 40, None])
def test_mistrals_window_is_of_all_layers(window, causal):
    config = filbert.MistralConfig(**QWEN3, sliding_window=window, is_causal=causal)
    layers = filbert.MistralModel(config, seed=0)(np.arange(1, 40)[None], output_attentions=True).attentions
    away = np.arange(39)[:, None] - np.arange(39)[None, :]
    seen = away >= 0 if causal else away == away
    if window is not None:
        seen &= away < window if causal else np.abs(away) <= window
    for layer in layers:
        assert ((layer[0] > 0) == seen).all()


def test_which_biases_decoders_have():
    def biases(stem, **values):
        model = getattr(filbert, f"{stem}Model")(getattr(filbert, f"{stem}Config")(**QWEN3, **values), seed=0)
        named = {name.split(".", 2)[2].removesuffix(".bias") for name in model.state_dict() if name.endswith(".bias")}
        return {name.split(".")[1] for name in named}

    every = {"q_proj", "k_proj", "v_proj", "o_proj"}
    assert biases("Qwen2") == biases("Qwen2", attention_bias=True) == every - {"o_proj"}
    assert biases("Mistral", attention_bias=True) == biases("Llama") == biases("Qwen3") == set()
    assert biases("Llama", attention_bias=True) == biases("Qwen3", attention_bias=True) == every
    assert biases("Llama", mlp_bias=True) == {"gate_proj", "up_proj", "down_proj"}


@pytest.mark.parametrize("name", ROTARY)
def test_positions_are_those_that_are_given(torch, transformers, tmp_path, name):
    config, reference = reference_model(torch, transformers, name, "Model", 5)
    reference.save_pretrained(tmp_path)
    rng = np.random.default_rng(0)
    call = {"input_ids": rng.integers(1, config["vocab_size"], (2, 30)), "attention_mask": np.ones((2, 30), np.int64)}
    call["position_ids"] = rng.integers(0, 5000, (2, 30))
    model = AutoModel.from_pretrained(tmp_path)
    single = reference_outputs(torch, reference, call)
    double_ = reference_outputs(torch, reference.double(), call)
    found = model(**call)
    check("last_hidden_state", found.last_hidden_state, single.last_hidden_state, double_.last_hidden_state, True)
    del call["position_ids"]
    default = model(**call).last_hidden_state
    assert np.abs(default - found.last_hidden_state).max() > 1e-3
    counted = model(**call, position_ids=np.arange(30)[None])
    assert counted.last_hidden_state.tobytes() == default.tobytes()


@pytest.mark.parametrize("name", ROTARY)
def test_texts_may_be_longer_than_those_it_learned_from(torch, transformers, tmp_path, name):
    config, reference = reference_model(torch, transformers, name, "Model", 6)
    reference.save_pretrained(tmp_path)
    model = AutoModel.from_pretrained(tmp_path)
    assert model.max_positions == config["max_position_embeddings"]
    call = {"input_ids": np.random.default_rng(0).integers(1, config["vocab_size"], (1, 700))}
    single = reference_outputs(torch, reference, call)
    double_ = reference_outputs(torch, reference.double(), call)
    found = model(**call).last_hidden_state
    check("last_hidden_state", found, single.last_hidden_state, double_.last_hidden_state, True)


@pytest.mark.parametrize("name", ROTARY)
def test_the_first_layers_of_a_model(torch, transformers, tmp_path, name):
    reference_model(torch, transformers, name, "Model", 6)[1].save_pretrained(tmp_path)
    model = AutoModel.from_pretrained(tmp_path, num_hidden_layers=1)
    reference = transformers.AutoModel.from_pretrained(tmp_path, num_hidden_layers=1, attn_implementation="eager")
    call = {"input_ids": np.arange(1, 20)[None]}
    single, double = reference_outputs(torch, reference, call), reference_outputs(torch, reference.double(), call)
    check("last_hidden_state", model(**call)[0], single[0], double[0], True)
    model.save_pretrained(tmp_path / "ours")
    assert AutoModel.from_pretrained(tmp_path / "ours")(**call)[0].tobytes() == model(**call)[0].tobytes()


@pytest.mark.parametrize("name", ROTARY)
def test_padding_on_the_left_changes_no_bit(name):
    _, model = own_model(name, "Model", 2)
    alone = model([[9, 10, 11, 12]]).last_hidden_state[0]
    padded = model([[0, 0, 0, 9, 10, 11, 12]], attention_mask=[[0, 0, 0, 1, 1, 1, 1]]).last_hidden_state[0]
    assert padded[3:].tobytes() == alone.tobytes()


def test_a_local_theta_of_null_is_the_global_one(tmp_path):
    thetas = {"global_rope_theta": 500.0, "local_rope_theta": None}
    config = filbert.ModernBertConfig(**MODERNBERT, **thetas)
    assert config.rope_parameters["sliding_attention"] == {"rope_theta": 500.0, "rope_type": "default"}
    model = filbert.ModernBertModel(config, seed=0)
    model.save_pretrained(tmp_path)
    ids = [list(range(1, 30))]
    expected = model(ids).last_hidden_state.tobytes()
    values = json.loads((tmp_path / "config.json").read_text())
    del values["rope_parameters"]
    for local, is_same in ((None, True), (500.0, True), (400.0, False)):
        (tmp_path / "config.json").write_text(json.dumps(values | thetas | {"local_rope_theta": local}))
        assert (AutoModel.from_pretrained(tmp_path)(ids).last_hidden_state.tobytes() == expected) == is_same


def test_the_engine_reads_older_keys_as_the_configuration_does():
    """Programs in C++ give it files as they are: without layer_types and rope_parameters."""
    from filbert import _core

    older = {
        "modernbert": {**MODERNBERT, "global_attn_every_n_layers": 2, "global_rope_theta": 50, "local_rope_theta": 70},
        "qwen3": {**QWEN3, "rope_theta": 50, "use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1},
    }
    ids = np.arange(1, 30)[None]
    for name, values in older.items():
        stem = FAMILIES[name].stem
        model = getattr(filbert, f"{stem}Model")(getattr(filbert, f"{stem}Config")(**values), seed=0)
        raw = _core.Model(json.dumps({**values, "model_type": name}), model._weights)
        assert raw.forward(ids)[0].tobytes() == model(ids).last_hidden_state.tobytes()


@pytest.mark.parametrize("prefix", ["", "model."])
def test_qwen3_of_either_name_and_with_a_head_that_nobody_reads(torch, transformers, tmp_path, prefix):
    _, reference = reference_model(torch, transformers, "qwen3", "Model", 1)
    reference.save_pretrained(tmp_path)
    ids = [[5, 6, 7]]
    expected = AutoModel.from_pretrained(tmp_path)(ids).last_hidden_state
    tensors = load_file(tmp_path / "model.safetensors")
    tensors = {prefix + name: tensor for name, tensor in tensors.items()}
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = AutoModel.from_pretrained(tmp_path)(ids).last_hidden_state
    assert found.tobytes() == expected.tobytes()
    tensors["lm_head.weight"] = tensors[f"{prefix}embed_tokens.weight"] + 1
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.warns(UserWarning, match=r"does not use these tensors of .*: lm_head\.weight\. That is as it should"):
        found = AutoModel.from_pretrained(tmp_path)
    assert found(ids).last_hidden_state.tobytes() == expected.tobytes()
    found.save_pretrained(tmp_path / "again")
    assert set(load_file(tmp_path / "again" / "model.safetensors")) == set(reference.state_dict())


def test_qwen3_fills_no_masks(tmp_path):
    model = filbert.Qwen3Model(filbert.Qwen3Config(**QWEN3), seed=0)
    model.save_pretrained(tmp_path)
    assert not hasattr(filbert, "Qwen3ForMaskedLM")
    with pytest.raises(ConfigError, match="has no model for Qwen3Config; it has albert, bert, camembert, data2vec-"):
        filbert.AutoModelForMaskedLM.from_pretrained(tmp_path)
    assert model([[5, 6]]).pooler_output is None


def test_parameters_without_embeddings(torch, transformers):
    for name, values in (("mpnet", MPNET), ("modernbert", MODERNBERT), ("qwen3", QWEN3)):
        stem = FAMILIES[name].stem
        ours = getattr(filbert, f"{stem}Model")(getattr(filbert, f"{stem}Config")(**values), seed=0)
        theirs = getattr(transformers, f"{stem}Model")(getattr(transformers, f"{stem}Config")(**values))
        for exclude in (False, True):
            assert ours.num_parameters(exclude_embeddings=exclude) == theirs.num_parameters(exclude_embeddings=exclude)


REFUSED = [
    ("MPNet", {"relative_attention_num_buckets": 16}, r"relative_attention_num_buckets: found 16 .*from 32 to"),
    ("MPNet", {"max_position_embeddings": 2}, r"max_position_embeddings: found 2 .*from 3 to"),
    ("MPNet", {"num_attention_heads": 5}, r"hidden_size: found 48, expected a multiple of num_attention_heads \(5\)"),
    ("ModernBert", {"hidden_size": 45}, "hidden_size: found 45 .*an even number a head: they turn in pairs"),
    ("ModernBert", {"local_attention": 1}, r"local_attention: found 1 .*from 2 to"),
    ("ModernBert", {"layer_types": ["full_attention"]}, r"layer_types: found 1 layers, expected num_hidden_layers \(2"),
    ("ModernBert", {"layer_types": ["x", "full_attention"]}, 'layer_types: found "x", expected "full_attention" or'),
    ("ModernBert", {"layer_types": [0, 1]}, r"layer_types: found 0 \(integer\) at 0, expected a string"),
    ("ModernBert", {"layer_types": "full_attention"}, "layer_types: found .*expected an array of strings"),
    ("ModernBert", {"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}, r'rope_type: found "dynamic" \(string\)'),
    ("ModernBert", {"rope_parameters": {"rope_theta": 5.0}}, r"rope_parameters\.rope_theta: found 5.*an object for"),
    ("ModernBert", {"rope_parameters": 5}, r"rope_parameters: found 5 \(integer\), expected an object"),
    (
        "ModernBert",
        {"rope_parameters": {"full_attention": {"rope_theta": "x"}}},
        r'rope_parameters\.full_attention\.rope_theta: found "x" \(string\), expected a number above 0',
    ),
    (
        "ModernBert",
        {"rope_parameters": {"sliding_attention": {"rope_type": "linear"}}},
        r"rope_parameters\.sliding_attention\.factor: missing, expected a number",
    ),
    ("ModernBert", {"hidden_activation": "x"}, "hidden_activation: found .*one of gelu"),
    ("Qwen3", {"head_dim": 15}, "head_dim: found 15 .*an even integer: heads turn in pairs"),
    ("Qwen3", {"head_dim": None}, "head_dim: found null, expected an even integer"),
    ("Qwen3", {"num_key_value_heads": 2}, r"num_attention_heads: found 3, expected a multiple of num_key_value_heads"),
    ("Qwen3", {"rope_scaling": {"type": "dynamic", "factor": 2.0}}, r'rope_parameters\.rope_type: found "dynamic"'),
    (
        "Qwen3",
        {"rope_parameters": {"partial_rotary_factor": 0.5}},
        r"rope_parameters\.partial_rotary_factor: found 0.5",
    ),
    (
        "Qwen3",
        {"rope_parameters": {"full_attention": {}}},
        r"rope_parameters\.full_attention: found .*one rotation for",
    ),
    ("Qwen3", {"use_sliding_window": True, "sliding_window": 1}, r"sliding_window: found 1 .*from 2 to"),
    ("Qwen3", {"layer_types": ["sliding_attention"] * 2}, 'no "sliding_attention" without use_sliding_window'),
    ("Llama", {"hidden_size": 50}, r"hidden_size: found 50, expected a multiple of num_attention_heads \(3\)"),
    ("Llama", {"head_dim": 15}, "head_dim: found 15 .*an even integer: heads turn in pairs"),
    ("Llama", {"is_causal": "no"}, "is_causal: found .*expected true or false"),
    ("Mistral", {"sliding_window": 1}, r"sliding_window: found 1 .*from 2 to"),
    ("Qwen2", {"hidden_size": 50, "head_dim": None}, "hidden_size: found 50, expected a multiple of"),
    ("Qwen2", {"layer_types": ["sliding_attention"] * 2}, 'no "sliding_attention" without use_sliding_window'),
    ("Gemma3Text", {"is_causal": False}, r"is_causal: found false .*expected true: use_bidirectional_attention says"),
    ("Gemma3Text", {"is_causal": None, "use_bidirectional_attention": True}, "is_causal: found null, expected true"),
    ("Gte", {"head_dim": 8}, "head_dim: found 8 .*expected 16, as follows from hidden_size"),
    ("JinaEmbeddingsV3", {"head_dim": 8}, "head_dim: found 8 .*expected 16, as follows from hidden_size"),
]


@pytest.mark.parametrize(("stem", "values", "message"), REFUSED)
def test_settings_that_are_refused(stem, values, message):
    small = {"MPNet": MPNET, "ModernBert": MODERNBERT, "Gte": MODERNBERT, "JinaEmbeddingsV3": MODERNBERT}.get(
        stem, QWEN3
    )
    with pytest.raises(ConfigError, match=message):
        getattr(filbert, f"{stem}Model")(getattr(filbert, f"{stem}Config")(**{**small, **values}))


@pytest.mark.parametrize(
    ("stem", "values", "same"),
    [
        ("ModernBert", {"sliding_window": 2, "local_attention": 16}, {"local_attention": 4}),
        ("Qwen3", {"is_causal": None}, {"is_causal": False}),
        ("Llama", {"is_causal": None, "pretraining_tp": 2}, {"is_causal": False}),
        ("Mistral", {"num_key_value_heads": None}, {"num_key_value_heads": 3}),
        ("Gemma3Text", {"_sliding_window_pattern": 1}, {"sliding_window_pattern": 6}),
    ],
)
def test_settings_as_transformers_takes_them(stem, values, same):
    def run(settings):
        config = getattr(filbert, f"{stem}Config")(**{**small, **settings})
        return getattr(filbert, f"{stem}Model")(config, seed=0)(np.arange(1, 30)[None]).last_hidden_state.tobytes()

    small = {"ModernBert": MODERNBERT, "Gemma3Text": {**QWEN3, "sliding_window": 4}}.get(stem, QWEN3)
    assert run(values) == run(same) != run({**same, "sliding_window_pattern": 1} if "pattern" in str(same) else {})


def test_gemmas_pattern_is_saved_as_transformers_saves_it(transformers, tmp_path):
    transformers.Gemma3TextConfig(**QWEN3, sliding_window_pattern=2).save_pretrained(tmp_path)
    AutoConfig.from_pretrained(tmp_path).save_pretrained(tmp_path / "ours")
    ours, theirs = (json.loads((each / "config.json").read_text()) for each in (tmp_path / "ours", tmp_path))
    assert ours["_sliding_window_pattern"] == theirs["_sliding_window_pattern"]
    assert ours["layer_types"] == theirs["layer_types"]


def test_a_rotation_of_a_file_is_refused_by_its_own_name(tmp_path):
    for scaling, message in (
        ({"type": "longrope", "factor": 4.0}, r'rope_scaling\.type: found "longrope" .* change with the length'),
        ({"type": "mrope"}, r'rope_scaling\.type: found "mrope" \(string\), expected one of "default", "linear"'),
        ({"rope_type": "yarn", "factor": None, "truncate": "no"}, r'rope_scaling\.truncate: found "no" \(string\)'),
    ):
        (tmp_path / "config.json").write_text(json.dumps({**QWEN3, "model_type": "qwen3", "rope_scaling": scaling}))
        with pytest.raises(ConfigError, match=message):
            AutoConfig.from_pretrained(tmp_path)


def test_classifier_pooling_of_another_kind():
    config = filbert.ModernBertConfig(**MODERNBERT, classifier_pooling="max")
    with pytest.raises(ConfigError, match=r'classifier_pooling: found "max" .*one of "cls", "mean"'):
        filbert.ModernBertForSequenceClassification(config)


def test_float64_stays_float64(torch):
    """Of the reference itself: without this, its norms and rotations would be rounded to float32."""
    x = torch.full((2,), 1 / 3, dtype=torch.float64)
    with float64_throughout(torch):
        for kept in (x.to(torch.float32), x.float(), torch.nn.functional.softmax(x, dim=0, dtype=torch.float32)):
            assert kept.dtype == torch.float64
        assert x.half().float().dtype == torch.float32
    assert x.float().dtype == torch.float32


def test_a_global_theta_must_be_a_number(tmp_path):
    model = filbert.ModernBertModel(filbert.ModernBertConfig(**MODERNBERT), seed=0)
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["rope_parameters"]
    (tmp_path / "config.json").write_text(json.dumps({**config, "global_rope_theta": None}))
    with pytest.raises(ConfigError, match="global_rope_theta: found null, expected a number"):
        AutoModel.from_pretrained(tmp_path)


def test_a_row_is_one_text_whatever_its_positions():
    model = filbert.Qwen3Model(filbert.Qwen3Config(**QWEN3), seed=0)
    call = {"input_ids": [[5, 6, 7, 8]], "position_ids": [[0, 1, 0, 1]]}
    with_mask = model(**call, attention_mask=[[1, 1, 1, 1]]).last_hidden_state
    assert model(**call).last_hidden_state.tobytes() == with_mask.tobytes()
    assert model([[7, 8]]).last_hidden_state[0].tobytes() != with_mask[0, 2:].tobytes()
