"""UltraBERT: what its windows see, older keys and names of its files, its words, and what is refused."""

import json
import warnings

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from test_parity import check, reference_outputs

import filbert
from filbert import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    ConfigError,
    UltrabertConfig,
    UltrabertForMaskedLM,
    UltrabertForSequenceClassification,
    UltrabertModel,
    WeightsError,
    _core,
)

SIZES = {"vocab_size": 40, "hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 3, "intermediate_size": 20}
SIZES |= {"num_key_value_heads": 1, "head_dim": 16, "sliding_window": 3, "prediction_head_size": 30}
SIZES |= {"initializer_range": 0.2, "max_position_embeddings": 64}
OLDER = {"attention_windows": [None, 3, 0], "rope_theta": [500.0, 30, 500.0]}
KINDS = ["full_attention", "sliding_attention", "full_attention"]
IDS = np.random.default_rng(0).integers(1, 40, (4, 30))


def states(**settings):
    return UltrabertModel(UltrabertConfig(**{**SIZES, **settings}), seed=0)(IDS).last_hidden_state.tobytes()


def saved(torch, transformers, folder, kind, **settings):
    """A model of transformers, written to the folder."""
    torch.manual_seed(0)
    config = transformers.UltrabertConfig(**{**SIZES, **settings}, attn_implementation="eager")
    model = getattr(transformers, f"Ultrabert{kind}")(config).eval()
    model.save_pretrained(folder)
    return model


def beside(torch, reference, model, key="logits"):
    call = {"input_ids": IDS}
    single, double = (reference_outputs(torch, each(), call)[key] for each in (reference.float, reference.double))
    reference.float()
    check(key, model(IDS)[key], single, double, True)


@pytest.mark.parametrize("window", [1, 2, 7, 40])
def test_a_window_has_both_ends(torch, transformers, tmp_path, window):
    kinds = ["sliding_attention", "full_attention", "sliding_attention"]
    reference = saved(torch, transformers, tmp_path, "Model", layer_types=kinds, sliding_window=window)
    ids, mask = IDS[:1], np.random.default_rng(1).random((1, 30)) < 0.7
    mask[0, [0, 20]] = True
    ours = AutoModel.from_pretrained(tmp_path)(ids, mask, output_attentions=True).attentions
    call = {"input_ids": ids, "attention_mask": mask.astype(np.int64)}
    theirs = reference_outputs(torch, reference, call).attentions
    away, pairs = np.abs(np.arange(30)[:, None] - np.arange(30)), mask[0][:, None] & mask[0]
    for kind, found, expected in zip(kinds, ours, theirs, strict=True):
        seen = pairs & (away <= window) if kind == "sliding_attention" else pairs
        assert ((found[0] > 0) == seen).all()
        assert ((expected[0].numpy() > 0) == found[0].astype(bool))[:, mask[0]].all()


def test_every_setting_counts():
    usual = {"layer_types": KINDS, "rope_parameters": None}
    turned = {kind: {"rope_type": "default", "rope_theta": 77.0} for kind in KINDS}
    plain = {"sliding_attention": {"rope_theta": 10000.0}, "full_attention": {"rope_theta": 2560000.0}}
    assert states(**usual, attention_bias=False) == states(layer_types=KINDS, rope_parameters=plain)
    others = [
        {"sliding_window": 4},
        {"layer_types": KINDS[::-1][:2] + KINDS[1:2]},
        {"rope_parameters": {**plain, "full_attention": turned["full_attention"]}},
        {"rope_parameters": {**plain, "sliding_attention": turned["sliding_attention"]}},
        {"rms_norm_eps": 1e-2},
        {"hidden_act": "gelu"},
    ]
    assert len({states(**usual), *(states(**{**usual, **each}) for each in others)}) == 1 + len(others)
    settings = (UltrabertConfig(**SIZES, classifier_pooling=pooling) for pooling in ("cls", "mean"))
    first, mean = (UltrabertForSequenceClassification(each, seed=0)(IDS).logits.tobytes() for each in settings)
    assert first != mean
    # Without layer_types, every third layer sees all.
    assert states() == states(layer_types=["sliding_attention", "sliding_attention", "full_attention"])


def test_older_keys(torch, transformers, tmp_path):
    """As transformers reads them, and the engine alike: programs in C++ give it files as they are."""
    reference = saved(torch, transformers, tmp_path, "Model", **OLDER)
    config = UltrabertConfig(**{**SIZES, "sliding_window": 9}, **OLDER)
    thetas = {"full_attention": 500.0, "sliding_attention": 30}
    assert (config.sliding_window, config.layer_types) == (3, KINDS)
    assert config.rope_parameters == {kind: {"rope_type": "default", "rope_theta": thetas[kind]} for kind in KINDS}
    values = {**SIZES, "sliding_window": 9, "model_type": "ultrabert", **OLDER}
    (tmp_path / "config.json").write_text(json.dumps(values))
    theirs = transformers.AutoConfig.from_pretrained(tmp_path)
    read = AutoConfig.from_pretrained(tmp_path)
    for key in ("sliding_window", "layer_types", "rope_parameters"):
        assert getattr(read, key) == getattr(config, key) == getattr(theirs, key)
    model = AutoModel.from_pretrained(tmp_path)
    beside(torch, reference, model, "last_hidden_state")
    raw = _core.Model(json.dumps(values), model._weights).forward(IDS)[0]
    assert raw.tobytes() == model(IDS).last_hidden_state.tobytes()
    model.save_pretrained(tmp_path / "ours")
    again = transformers.AutoModel.from_pretrained(tmp_path / "ours", attn_implementation="eager")
    beside(torch, again, model, "last_hidden_state")
    cut = AutoModel.from_pretrained(tmp_path, num_hidden_layers=2)
    assert cut.config.layer_types == KINDS[:2]
    assert cut(IDS).last_hidden_state.tobytes() != model(IDS).last_hidden_state.tobytes()


def test_layer_types_hold_beside_older_windows(transformers):
    settings = {**SIZES, "attention_windows": [5, 5, 5], "layer_types": KINDS}
    ours, theirs = UltrabertConfig(**settings), transformers.UltrabertConfig(**settings)
    assert (ours.sliding_window, ours.layer_types) == (theirs.sliding_window, theirs.layer_types) == (5, KINDS)
    raw = _core.Model(json.dumps({**settings, "model_type": "ultrabert"}), UltrabertModel(ours, seed=0)._weights)
    assert raw.forward(IDS)[0].tobytes() == states(sliding_window=5, layer_types=KINDS)


@pytest.mark.parametrize("rope_theta", [77.0, [1.0]])
def test_a_theta_that_rope_parameters_leave_out(torch, transformers, tmp_path, rope_theta):
    """It is 10000 in layers of either kind, whatever the older key says."""
    own = {"full_attention": {"rope_type": "linear", "factor": 2.0}, "sliding_attention": {}}
    settings = {**SIZES, "rope_parameters": own, "rope_theta": rope_theta, "layer_types": KINDS}
    reference = saved(torch, transformers, tmp_path, "Model", **settings)
    (tmp_path / "config.json").write_text(json.dumps({**settings, "model_type": "ultrabert"}))
    model = AutoModel.from_pretrained(tmp_path)
    assert {each["rope_theta"] for each in model.config.rope_parameters.values()} == {10000.0}
    beside(torch, reference, model, "last_hidden_state")
    raw = _core.Model(json.dumps({**settings, "model_type": "ultrabert"}), model._weights).forward(IDS)[0]
    assert raw.tobytes() == model(IDS).last_hidden_state.tobytes()


@pytest.mark.parametrize("kind", ["Model", "ForMaskedLM", "ForSequenceClassification", "ForQuestionAnswering"])
def test_the_names_of_its_authors_and_those_of_transformers(torch, transformers, tmp_path, kind):
    reference = saved(torch, transformers, tmp_path, kind)
    base = "" if kind == "Model" else "model."
    of_theirs = {name: value.numpy() for name, value in reference.state_dict().items()}
    of_authors = {
        (name if name.startswith(("head", "classifier", "qa")) else f"ultrabert.{name.removeprefix(base)}"): value
        for name, value in of_theirs.items()
    }
    if kind == "ForMaskedLM":
        of_authors["cls.weight"] = of_authors.pop("head.decoder.weight")
    auto = AutoModel if kind == "Model" else getattr(filbert, f"AutoModel{kind}")
    found = []
    for tensors in (of_theirs, of_authors):
        save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model = auto.from_pretrained(tmp_path)
        found.append(model(IDS)[0].tobytes())
        beside(torch, reference, model, next(iter(model(IDS))))
        model.save_pretrained(tmp_path / "saved")
        again = getattr(transformers, f"Ultrabert{kind}").from_pretrained(tmp_path / "saved")
        assert {name: value.numpy().tobytes() for name, value in again.state_dict().items()} == {
            name: value.tobytes() for name, value in of_theirs.items()
        }
        last = model(IDS, output_hidden_states=True).hidden_states[-1]
        assert AutoModel.from_pretrained(tmp_path)(IDS)[0].tobytes() == last.tobytes()
    assert found[0] == found[1]


def test_new_models_have_the_names_that_transformers_saves(torch, transformers, tmp_path):
    saved(torch, transformers, tmp_path, "ForMaskedLM")
    ours = UltrabertForMaskedLM(UltrabertConfig(**SIZES), seed=0).state_dict()
    assert ours.keys() == load_file(tmp_path / "model.safetensors").keys()
    assert {"ultrabert.norm.weight", "head.linear2.weight", "cls.weight"} <= ours.keys()


@pytest.mark.parametrize("between", [1, 30, 800])
def test_words_stand_on_two_layers(torch, transformers, tmp_path, between):
    """By hand, and with the same bits alone and among many, which take the wider ones in slices."""
    saved(torch, transformers, tmp_path, "ForMaskedLM", prediction_head_size=between, vocab_size=1100)
    model = AutoModelForMaskedLM.from_pretrained(tmp_path)
    ids = np.random.default_rng(2).integers(1, 1100, (60, 20))
    out = model(ids, output_hidden_states=True)
    weights = {name: torch.tensor(value).double() for name, value in model.state_dict().items()}
    x = torch.from_numpy(out.hidden_states[-1]).double()
    for name in ("head.linear1.weight", "head.linear2.weight"):
        x = torch.nn.functional.gelu(x @ weights[name].T, approximate="tanh")
    np.testing.assert_allclose(out.logits, (x @ weights["cls.weight"].T).numpy(), atol=2e-5, rtol=1e-5)
    for row in (0, 7, 59):
        assert model(ids[row : row + 1]).logits[0].tobytes() == out.logits[row].tobytes()


def test_words_are_tied_only_where_the_configuration_says_so(torch, transformers, tmp_path):
    reference = saved(torch, transformers, tmp_path, "ForMaskedLM", tie_word_embeddings=True)
    assert "cls.weight" not in load_file(tmp_path / "model.safetensors")
    beside(torch, reference, AutoModelForMaskedLM.from_pretrained(tmp_path))
    values = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**values, "tie_word_embeddings": False}))
    with pytest.raises(WeightsError, match=r"cls\.weight: missing"):
        AutoModelForMaskedLM.from_pretrained(tmp_path)


FILES = [
    ({"attention_windows": [5, 4, None]}, r"attention_windows: found an array, expected windows of one size: transf"),
    ({"attention_windows": [5, 5]}, r"attention_windows: found an array, expected an array of num_hidden_layers \(3\)"),
    ({"attention_windows": 5}, r"attention_windows: found 5 \(integer\), expected an array of num_hidden_layers"),
    ({"attention_windows": [5, -1, 5]}, r"attention_windows: found -1 \(integer\) at 1, expected an integer from 0 on"),
    ({"attention_windows": [5, "a", 5]}, r'attention_windows: found "a" \(string\) at 1, expected an integer'),
    ({"rope_theta": [5.0, 6.0, 7.0]}, "rope_theta: found an array, expected one number for all layers of a kind"),
    ({"rope_theta": 10000.0}, r"rope_theta: found 10000.* \(number\), expected an array of num_hidden_layers"),
    ({"rope_theta": [5.0, 0, 5.0]}, r"rope_theta: found 0 \(integer\) at 1, expected a number above 0"),
]
SETTINGS = [
    ({"sliding_window": 0}, r"sliding_window: found 0 \(integer\), expected an integer above 0: some layers see only"),
    ({"sliding_window": None}, r"sliding_window: found null, expected an integer above 0"),
    ({"sliding_window": -1}, r"sliding_window: found -1 \(integer\), expected an integer from 0"),
    ({"layer_types": KINDS[:2]}, r"layer_types: found 2 layers, expected num_hidden_layers \(3\)"),
    ({"layer_types": [*KINDS[:2], "chunked_attention"]}, 'layer_types: found "chunked_attention"'),
    ({"rope_parameters": {"rope_theta": 5.0}}, r"rope_parameters\.full_attention: missing, expected an object: some"),
    ({"rope_parameters": {"full_attention": {}}}, r"rope_parameters\.sliding_attention: missing, expected an object"),
    (
        {"rope_scaling": {"rope_type": "linear", "factor": 2.0}},
        "rope_scaling: found an object, expected none: rope_par",
    ),
    ({"hidden_size": 50}, r"hidden_size: found 50, expected a multiple of num_attention_heads \(3\)"),
    ({"num_key_value_heads": 2}, "num_attention_heads: found 3, expected a multiple of num_key_value_heads"),
    ({"partial_rotary_factor": 0.5}, "partial_rotary_factor: found 0.5"),
]


@pytest.mark.parametrize(("settings", "told"), [*FILES, *SETTINGS])
def test_what_is_refused(tmp_path, settings, told):
    """Of a file, and of settings that are given."""
    with pytest.raises(ConfigError, match=told):
        UltrabertModel(UltrabertConfig(**{**SIZES, **settings}))
    (tmp_path / "config.json").write_text(json.dumps({**SIZES, "model_type": "ultrabert", **settings}))
    with pytest.raises(ConfigError, match=told):
        AutoConfig.from_pretrained(tmp_path)


def test_no_window_is_needed_where_all_see_all(torch, transformers, tmp_path):
    kinds = ["full_attention"] * 3
    own = {"full_attention": {"rope_type": "default", "rope_theta": 500.0}}
    reference = saved(torch, transformers, tmp_path, "Model", layer_types=kinds, sliding_window=0, rope_parameters=own)
    beside(torch, reference, AutoModel.from_pretrained(tmp_path), "last_hidden_state")


def test_pooling_of_another_kind():
    with pytest.raises(ConfigError, match=r'classifier_pooling: found "late" .*one of "cls", "mean"'):
        UltrabertForSequenceClassification(UltrabertConfig(**SIZES, classifier_pooling="late"))
