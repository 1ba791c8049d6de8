"""T5, mT5 and umT5: buckets, the names in files of encoders and of whole models, and what is refused."""

import json
import warnings

import numpy as np
import pytest
from families import FAMILIES
from safetensors.numpy import load_file, save_file
from test_families import own_model, reference_model

import filbert
from filbert import AutoModel, ConfigError, WeightsError, _core

T5 = {"vocab_size": 40, "d_model": 24, "d_kv": 10, "d_ff": 20, "num_layers": 2, "num_heads": 3}
SHARED, EMBEDDED = "shared.weight", "encoder.embed_tokens.weight"
IDS = [[5, 6, 7, 8]]

# The keys that files of flan-t5 and of umt5 have.
ON_THE_HUB = {
    "t5": {
        "architectures": ["T5ForConditionalGeneration"], "d_ff": 2048, "d_kv": 64, "d_model": 768,
        "decoder_start_token_id": 0, "dropout_rate": 0.1, "eos_token_id": 1, "feed_forward_proj": "gated-gelu",
        "initializer_factor": 1.0, "is_encoder_decoder": True, "layer_norm_epsilon": 1e-06, "model_type": "t5",
        "n_positions": 512, "num_decoder_layers": 12, "num_heads": 12, "num_layers": 12, "output_past": True,
        "pad_token_id": 0, "relative_attention_max_distance": 128, "relative_attention_num_buckets": 32,
        "task_specific_params": {"summarization": {"max_length": 200, "prefix": "summarize: "}},
        "tie_word_embeddings": False, "transformers_version": "4.23.1", "use_cache": True, "vocab_size": 32128,
    },
    "umt5": {
        "architectures": ["UMT5ForConditionalGeneration"], "d_ff": 2048, "d_kv": 64, "d_model": 768,
        "decoder_start_token_id": 0, "dense_act_fn": "silu", "dropout_rate": 0.1, "eos_token_id": 2,
        "feed_forward_proj": "gated-silu", "initializer_factor": 1.0, "is_encoder_decoder": True, "is_gated_act": True,
        "layer_norm_epsilon": 1e-06, "model_type": "umt5", "num_decoder_layers": 12, "num_heads": 12,
        "num_layers": 12, "pad_token_id": 1, "relative_attention_max_distance": 128,
        "relative_attention_num_buckets": 32, "scalable_attention": True, "tie_word_embeddings": False,
        "tokenizer_class": "LlamaTokenizerFast", "torch_dtype": "float32", "transformers_version": "4.37.2",
        "use_cache": True, "vocab_size": 32128,
    },
}  # fmt: skip


def bucket_of(distance, buckets, farthest):
    """Of a key so many columns after the query (arXiv:1910.10683), with integers alone."""
    side = buckets // 2
    single = side // 2
    growing, bucket = side - single, abs(distance)
    if bucket >= single:
        away, bucket = bucket, single
        # (away / single)^growing >= (farthest / single)^steps
        while bucket + 1 < side and away**growing * single ** (bucket + 1 - single) >= (
            farthest ** (bucket + 1 - single) * single**growing
        ):
            bucket += 1
    return bucket + (side if distance > 0 else 0)


def with_tensors(folder, tensors):
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder


def loaded(folder):
    """The model of a folder, of which no warning tells anything."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return AutoModel.from_pretrained(folder)


@pytest.mark.parametrize(("buckets", "farthest"), [(32, 128), (64, 128), (16, 50), (4, 2), (128, 512), (32, 512)])
@pytest.mark.parametrize("stem", ["T5", "UMT5"])
def test_biases_are_those_of_the_distances(tmp_path, stem, buckets, farthest):
    settings = {"relative_attention_num_buckets": buckets, "relative_attention_max_distance": farthest}
    config = getattr(filbert, f"{stem}Config")(**T5, **settings)
    getattr(filbert, f"{stem}EncoderModel")(config, seed=0).save_pretrained(tmp_path)
    tensors = dict(load_file(tmp_path / "model.safetensors"))
    for name in tensors:
        if name.endswith(".q.weight"):
            tensors[name] = np.zeros_like(tensors[name])  # so that only the bias is left of the scores
    length = 600
    found = AutoModel.from_pretrained(with_tensors(tmp_path, tensors))([[9] * length], output_attentions=True)
    columns = np.arange(length)
    near = np.array([bucket_of(distance, buckets, farthest) for distance in range(1 - length, length)])
    of_pairs = near[columns[None, :] - columns[:, None] + length - 1]
    for layer, attentions in enumerate(found.attentions):
        owner = layer if stem == "UMT5" else 0
        table = tensors[f"encoder.block.{owner}.layer.0.SelfAttention.relative_attention_bias.weight"]
        scores = np.exp(table.astype(np.float64)[of_pairs].transpose(2, 0, 1))
        np.testing.assert_allclose(attentions[0], scores / scores.sum(-1, keepdims=True), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("buckets", [4, 8, 16, 32, 64, 128])
def test_buckets_are_those_of_transformers(torch, transformers, buckets):
    of_distances = transformers.models.t5.modeling_t5.T5Attention._relative_position_bucket
    for farthest in (buckets // 4 + 1, 27, 128, 300, 512):
        if farthest > buckets // 4:
            found = of_distances(torch.arange(-600, 601), num_buckets=buckets, max_distance=farthest).tolist()
            assert found == [bucket_of(distance, buckets, farthest) for distance in range(-600, 601)]


@pytest.mark.parametrize("name", ["t5", "mt5", "umt5"])
def test_a_whole_models_encoder(torch, transformers, tmp_path, name):
    """Its decoder's tensors are passed over in silence, as in transformers, and are not saved again."""
    stem = FAMILIES[name].stem
    torch.manual_seed(0)
    reference = getattr(transformers, f"{stem}Model")(getattr(transformers, f"{stem}Config")(**T5)).eval()
    reference.save_pretrained(tmp_path)
    assert any(key.startswith("decoder.") for key in load_file(tmp_path / "model.safetensors"))
    model = loaded(tmp_path)
    assert type(model).__name__ == f"{stem}EncoderModel"
    for library in (filbert, transformers):
        encoder = library.AutoModelForTextEncoding.from_pretrained(tmp_path)
        assert type(encoder).__name__ == f"{stem}EncoderModel"
    assert model.config.is_encoder_decoder
    with torch.no_grad():
        expected = reference.encoder(torch.tensor(IDS)).last_hidden_state.numpy()
    np.testing.assert_allclose(model(IDS).last_hidden_state, expected, atol=1e-5)
    model.save_pretrained(tmp_path / "encoder")
    again = getattr(transformers, f"{stem}EncoderModel").from_pretrained(tmp_path / "encoder")
    with torch.no_grad():
        np.testing.assert_array_equal(again(torch.tensor(IDS)).last_hidden_state.numpy(), expected)
    assert not any("decoder" in key for key in load_file(tmp_path / "encoder" / "model.safetensors"))
    _, info = AutoModel.from_pretrained(tmp_path, output_loading_info=True)
    assert info["unexpected_keys"] == set()


def test_an_encoder_alone_stays_one(torch, transformers, tmp_path):
    transformers.T5EncoderModel(transformers.T5Config(**T5)).save_pretrained(tmp_path)
    AutoModel.from_pretrained(tmp_path).save_pretrained(tmp_path / "ours")
    for folder in (tmp_path, tmp_path / "ours"):
        for library in (filbert, transformers):
            assert not library.AutoConfig.from_pretrained(folder).is_encoder_decoder


def test_what_is_missing_is_not_looked_for_in_the_decoder(tmp_path):
    _, model = own_model("t5", "Model", 0)
    model.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["encoder.final_layer_norm.weight"]
    more = {name: np.ones(3, np.float32) for name in ("decoder.final_layer_norm.weight", "encoder.norm.weight")}
    with_tensors(tmp_path, {**tensors, **more})
    with pytest.raises(WeightsError) as error:
        AutoModel.from_pretrained(tmp_path)
    assert 'the model does not know: "encoder.norm.weight"\n' in str(error.value)


def test_a_language_models_last_layer_is_told(tmp_path):
    _, model = own_model("t5", "Model", 0)
    model.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    more = {"lm_head.weight": tensors[SHARED] + 1, "decoder.final_layer_norm.weight": np.ones(3, np.float32)}
    with_tensors(tmp_path, {**tensors, **more})
    with pytest.warns(UserWarning, match=r"does not use these tensors of .*: lm_head\.weight\. That is as it should"):
        AutoModel.from_pretrained(tmp_path)


@pytest.mark.parametrize("names", [[SHARED], [EMBEDDED], [SHARED, EMBEDDED]])
def test_the_table_of_words_under_either_name(torch, transformers, tmp_path, names):
    _, model = own_model("t5", "Model", 0)
    model.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    table = tensors.pop(SHARED)
    with_tensors(tmp_path, {**tensors, **dict.fromkeys(names, table)})
    again = loaded(tmp_path)
    assert again(IDS).last_hidden_state.tobytes() == model(IDS).last_hidden_state.tobytes()
    again.save_pretrained(tmp_path / "again")  # under the name that all versions of transformers read
    assert load_file(tmp_path / "again" / "model.safetensors").keys() == {*tensors, SHARED}
    for folder in (tmp_path, tmp_path / "again"):
        theirs = transformers.T5EncoderModel.from_pretrained(folder)
        assert theirs.encoder.embed_tokens.weight.detach().numpy().tobytes() == table.tobytes()


def test_a_whole_models_pickle(torch, transformers, tmp_path):
    """Which has the table of words four times, in one storage."""
    reference = transformers.T5ForConditionalGeneration(transformers.T5Config(**T5)).eval()
    reference.config.save_pretrained(tmp_path)
    torch.save(reference.state_dict(), tmp_path / "pytorch_model.bin")
    assert {SHARED, EMBEDDED, "decoder.embed_tokens.weight", "lm_head.weight"} < reference.state_dict().keys()
    with pytest.warns(UserWarning, match=r"does not use these tensors of .*: lm_head\.weight\. That is as it should"):
        model = AutoModel.from_pretrained(tmp_path)
    with torch.no_grad():
        expected = reference.encoder(torch.tensor(IDS)).last_hidden_state.numpy()
    np.testing.assert_allclose(model(IDS).last_hidden_state, expected, atol=1e-5)


def test_two_tables_of_words_that_differ(tmp_path):
    _, model = own_model("t5", "Model", 0)
    model.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    with_tensors(tmp_path, {**tensors, EMBEDDED: tensors[SHARED] + 1})
    message = f'tensor "{EMBEDDED}": found other numbers than in "{SHARED}", expected the same'
    with pytest.raises(WeightsError, match=message):
        AutoModel.from_pretrained(tmp_path)


@pytest.mark.parametrize("name", ON_THE_HUB)
def test_configurations_of_the_hub(transformers, tmp_path, name):
    small = {**ON_THE_HUB[name], **T5}
    make = getattr(filbert, f"{FAMILIES[name].stem}Config")
    AutoModel.from_config(make(**small), seed=0).save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(small))
    read = loaded(tmp_path).config
    theirs = transformers.AutoConfig.from_pretrained(tmp_path).to_diff_dict()
    own = {"dtype", "model_type", "transformers_version"}
    assert {key: getattr(read, key) for key in theirs.keys() - own} == {
        key: value for key, value in theirs.items() if key not in own
    }
    assert (read.hidden_size, read.num_attention_heads, read.num_hidden_layers, read.head_dim) == (24, 3, 2, 10)


def test_the_engine_reads_older_keys_and_usual_names_as_the_configuration_does(tmp_path):
    """Programs in C++ give it files as they are."""
    usual = {"hidden_size": 24, "head_dim": 10, "num_hidden_layers": 2, "num_attention_heads": 3}
    others = {key: value for key, value in T5.items() if key in ("vocab_size", "d_ff")}
    for feed_forward in ("relu", "gated-gelu", "gelu"):
        model = filbert.T5EncoderModel(filbert.T5Config(**T5, feed_forward_proj=feed_forward), seed=0)
        values = {**usual, **others, "model_type": "t5", "feed_forward_proj": feed_forward}
        raw = _core.Model(json.dumps(values), model._weights)
        assert raw.forward(np.array(IDS))[0].tobytes() == model(IDS).last_hidden_state.tobytes()
        other = {**values, "dense_act_fn": "tanh"}  # which wins in transformers, too
        assert (
            _core.Model(json.dumps(other), model._weights).forward(np.array(IDS))[0].tobytes()
            != raw.forward(np.array(IDS))[0].tobytes()
        )
        assert filbert.T5Config(feed_forward_proj=feed_forward, dense_act_fn="tanh").dense_act_fn == "tanh"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"is_decoder": True}, "is_decoder: found true .*expected false: filbert runs encoders"),
        ({"add_cross_attention": True}, "add_cross_attention: found true"),
        ({"feed_forward_proj": "gated-swish2"}, 'dense_act_fn: found "swish2" .*expected one of gelu'),
        ({"feed_forward_proj": "gates-gelu"}, "feed_forward_proj: found 'gates-gelu', expected an activation"),
        ({"dense_act_fn": "swish2"}, 'dense_act_fn: found "swish2" .*expected one of gelu'),
        ({"relative_attention_num_buckets": 40}, "relative_attention_num_buckets: found 40 .*a power of two"),
        ({"relative_attention_num_buckets": 2}, "relative_attention_num_buckets: found 2 .*from 4 to 128"),
        ({"relative_attention_max_distance": 8}, "relative_attention_max_distance: found 8 .*from 9 to 512"),
        ({"d_kv": 0}, "d_kv: found 0"),
        ({"layer_norm_epsilon": -1}, "layer_norm_epsilon: found -1"),
    ],
)
def test_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        filbert.T5EncoderModel(filbert.T5Config(**{**T5, **values}))


@pytest.mark.parametrize("name", ["t5", "mt5", "umt5"])
def test_heads_that_read_the_decoder(torch, transformers, tmp_path, name):
    stem = FAMILIES[name].stem
    settings = getattr(transformers, f"{stem}Config")(**T5)
    getattr(transformers, f"{stem}ForSequenceClassification")(settings).save_pretrained(tmp_path)
    auto = filbert.AutoModelForSequenceClassification
    with pytest.raises(ConfigError, match=f"has no model for {stem}Config, whose decoder filbert does not compute"):
        auto.from_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="T5's head for this task reads the decoder, which filbert does not compute"):
        _core.tensor_specs((tmp_path / "config.json").read_text(), "sequence-classification")
    with pytest.warns(UserWarning, match=r"these tensors of .*: classification_head\.dense\.bias, classification_head"):
        AutoModel.from_pretrained(tmp_path)


def test_new_weights_are_as_wide_as_those_of_transformers(torch, transformers):
    torch.manual_seed(0)
    sizes = {**T5, "d_model": 200, "vocab_size": 500, "d_ff": 300, "feed_forward_proj": "gated-gelu"}
    for name in ("t5", "umt5"):
        stem, kind = FAMILIES[name].stem, "ForTokenClassification"
        config = {**sizes, "num_labels": 30, "initializer_factor": 0.5}
        ours = getattr(filbert, stem + kind)(getattr(filbert, f"{stem}Config")(**config), seed=0).state_dict()
        theirs = getattr(transformers, stem + kind)(getattr(transformers, f"{stem}Config")(**config)).state_dict()
        for key, tensor in ours.items():
            if tensor.ndim == 2:
                assert tensor.std() == pytest.approx(theirs[key].std().item(), rel=0.25), key


def test_parameters_without_embeddings(torch, transformers):
    for name in ("t5", "umt5"):
        _, theirs = reference_model(torch, transformers, name, "Model", 0)
        _, ours = own_model(name, "Model", 0)
        for exclude in (False, True):
            assert ours.num_parameters(exclude_embeddings=exclude) == theirs.num_parameters(exclude_embeddings=exclude)


def test_texts_may_have_any_length():
    _, model = own_model("t5", "Model", 0)
    assert model([[5] * 3000]).last_hidden_state.shape[1] == 3000
