"""EmbeddingGemma 2's texts: what its files have that those of other families do not, beside transformers."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from text_models import write_json
from tokenizers import Tokenizer, decoders, pre_tokenizers, processors
from tokenizers.models import WordLevel

from filbert import (
    AutoConfig,
    AutoModel,
    AutoTokenizer,
    ConfigError,
    EmbeddingGemma2TextConfig,
    EmbeddingGemma2TextModel,
    SentenceEncoder,
    _core,
)
from filbert.weights import open_weights

SIZES = {
    **{"vocab_size": 60, "hidden_size": 24, "intermediate_size": 50, "num_hidden_layers": 4, "num_attention_heads": 4},
    **{"num_key_value_heads": 2, "head_dim": 8, "sliding_window": 3, "hidden_size_per_layer_input": 10},
    **{"embedding_dim": 16, "max_position_embeddings": 64, "pad_token_id": 0},
}
IDS = [[5, 6, 7, 8, 9, 10, 11, 12], [13, 14]]
WORDS = ["<pad>", "<eos>", "<bos>", "<unk>", "the", "sun", "shines", "today", "he", "drove", "away"]
TEXTS = ["the sun shines today", "he drove away", "the", "", "sun " * 30]


def whole(transformers, folder, **sizes):
    """A whole model of transformers: the texts' part, with factors of layers, beside parts that only look so."""
    text = transformers.EmbeddingGemma2TextConfig(**{**SIZES, "global_head_dim": 12, **sizes})
    model = transformers.EmbeddingGemma2Model(transformers.EmbeddingGemma2Config(text_config=text.to_dict())).eval()
    model.save_pretrained(folder)
    tensors = load_file(folder / "model.safetensors")
    rng = np.random.default_rng(0)
    for name in tensors:
        if "norm" in name or "layer_scalar" in name:
            tensors[name] = (1 + 0.3 * rng.standard_normal(tensors[name].shape)).astype(np.float32)
    others = {f"{part}.x.weight": np.ones(3, np.float32) for part in ("vision_tower", "embed_vision", "audio_tower")}
    save_file({**tensors, **others}, folder / "model.safetensors", {"format": "pt"})
    return transformers.EmbeddingGemma2Model.from_pretrained(folder).eval()


def test_the_texts_of_a_whole_model(torch, transformers, tmp_path, recwarn):
    theirs = whole(transformers, tmp_path / "whole")
    ours = AutoModel.from_pretrained(tmp_path / "whole")
    assert type(ours) is EmbeddingGemma2TextModel
    assert not [warning for warning in recwarn if "filbert" in str(warning.filename)]
    for ids in IDS:
        with torch.no_grad():
            expected = theirs(torch.tensor([ids]), output_hidden_states=True)
        found = ours([ids], output_hidden_states=True)
        np.testing.assert_allclose(found.last_hidden_state, expected.last_hidden_state.numpy(), atol=2e-5)
        assert [state.shape[-1] for state in found.hidden_states] == [24, 24, 24, 24, 16]
        for state, other in zip(found.hidden_states, expected.hidden_states, strict=True):
            np.testing.assert_allclose(state, other.numpy(), atol=2e-5)
    ours.save_pretrained(tmp_path / "text")
    with torch.no_grad():
        saved = transformers.AutoModel.from_pretrained(tmp_path / "text").eval()(torch.tensor([IDS[0]]))
    np.testing.assert_allclose(ours([IDS[0]]).last_hidden_state, saved.last_hidden_state.numpy(), atol=2e-5)
    again = AutoModel.from_pretrained(tmp_path / "text")
    assert again(IDS).last_hidden_state.tobytes() == ours(IDS).last_hidden_state.tobytes()


def test_a_whole_model_in_the_engine(transformers, tmp_path):
    """As C++ opens it: by the whole configuration."""
    whole(transformers, tmp_path)
    weights = open_weights(tmp_path / "model.safetensors", mmap=True)
    model = _core.Model((tmp_path / "config.json").read_text(), weights)
    expected = AutoModel.from_pretrained(tmp_path)(IDS)
    ids, lengths = np.concatenate(IDS), np.array([0, 8, 10])
    assert model.embed(ids, lengths, "cls", False).tobytes() == expected.last_hidden_state[:, 0].tobytes()


def test_sentences(torch, transformers, tmp_path):
    theirs = whole(transformers, tmp_path)
    backend = Tokenizer(WordLevel({word: index for index, word in enumerate(WORDS)}, "<unk>"))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.Whitespace(), decoders.Fuse()
    around = [("<bos>", 2), ("<eos>", 1)]
    backend.post_processor = processors.TemplateProcessing("<bos> $A <eos>", "<bos> $A $B <eos>", around)
    backend.save(str(tmp_path / "tokenizer.json"))
    names = {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>", "unk_token": "<unk>"}
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "processor_class": "EmbeddingGemma2Processor"}
    write_json(tmp_path / "tokenizer_config.json", {**settings, "model_max_length": 20, **names})
    modules = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    listed = [{"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in modules]
    write_json(tmp_path / "modules.json", [{"idx": i, "name": str(i), **each} for i, each in enumerate(listed)])
    pooling = {"word_embedding_dimension": 16, "pooling_mode_mean_tokens": True}
    write_json(tmp_path / "1_Pooling" / "config.json", pooling)
    encoder = SentenceEncoder.from_pretrained(tmp_path)
    assert encoder.get_embedding_dimension() == 16
    vectors = encoder.encode(TEXTS)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    for vector, ids in zip(vectors, tokenizer(TEXTS, truncation=True)["input_ids"], strict=True):
        with torch.no_grad():
            mean = theirs(torch.tensor([ids])).last_hidden_state.numpy()[0].mean(0)
        np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=5e-6)
    encoder.save_pretrained(tmp_path / "again")
    sentence_transformers = pytest.importorskip("sentence_transformers")
    again = sentence_transformers.SentenceTransformer(str(tmp_path / "again"), device="cpu")
    np.testing.assert_allclose(vectors, again.encode(TEXTS), atol=5e-6)


@pytest.mark.parametrize("layers", [4, 11, 24])
def test_heads_that_the_configuration_leaves_out_are_those_of_transformers(transformers, layers):
    sizes = {key: value for key, value in SIZES.items() if key != "head_dim"} | {"num_hidden_layers": layers}
    ours = EmbeddingGemma2TextConfig(**sizes, sliding_window_pattern=2)
    theirs = transformers.EmbeddingGemma2TextConfig(**sizes, sliding_window_pattern=2)
    expected = json.loads(theirs.to_json_string(use_diff=False))
    for key in ("layer_types", "per_layer_config", "rope_parameters", "head_dim", "num_key_value_heads"):
        assert getattr(ours, key) == expected[key], key
    shapes = {spec.name: tuple(spec.shape) for spec in _core.tensor_specs(ours.to_json_string(), "model")}
    wide = [i for i in range(layers) if shapes[f"layers.{i}.self_attn.k_norm.weight"] == (512,)]
    assert wide == [i for i, kind in enumerate(ours.layer_types) if kind == "full_attention"]


@pytest.mark.parametrize("own", [None, {}, {"3": {"head_dim": 12}}])
def test_heads_that_the_configuration_says(transformers, own):
    sizes = {**SIZES, "per_layer_config": own}
    config = EmbeddingGemma2TextConfig(**sizes)
    shapes = {name: value.shape for name, value in EmbeddingGemma2TextModel(config, seed=0).state_dict().items()}
    theirs = transformers.EmbeddingGemma2TextModel(transformers.EmbeddingGemma2TextConfig(**sizes)).state_dict()
    assert shapes == {name: tuple(value.shape) for name, value in theirs.items()}


def test_a_whole_configuration_of_texts():
    whole = {"text_config": {**SIZES, "auto_map": {}}, "auto_map": {"AutoModel": "x.Y"}, "output_hidden_states": True}
    config = AutoConfig.for_model("embedding_gemma2", **whole)
    assert (config.auto_map, config.output_hidden_states, config.hidden_size) == (whole["auto_map"], True, 24)


def test_the_last_layer_sees_all(transformers):
    kinds = ["full_attention", "sliding_attention", "full_attention", "sliding_attention"]
    ours = EmbeddingGemma2TextConfig(**SIZES, layer_types=kinds)
    assert ours.layer_types == transformers.EmbeddingGemma2TextConfig(**SIZES, layer_types=kinds).layer_types
    assert ours.layer_types[-1] == "full_attention"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"per_layer_config": {"1": {"sliding_window": 5}}}, r"per_layer_config\.1\.sliding_window: found 5"),
        ({"per_layer_config": {"1": {"head_dim": 7}}}, "layer 1: found heads of 7 numbers, expected an even number"),
        ({"per_layer_config": {"0": {"num_key_value_heads": 3}}}, r"layer 0: found 3 heads of keys, .* \(4\)"),
        ({"per_layer_config": {"0": 5}}, r"per_layer_config\.0: found 5"),
        ({"per_layer_config": {"0": None}}, r"per_layer_config\.0: found null"),
        ({"per_layer_config": 5}, "per_layer_config: found 5"),
        ({"per_layer_config": {"full_attention": {}}}, 'per_layer_config: found the key "full_attention"'),
        ({"num_key_value_heads": 3}, "layer 0: found 3 heads of keys"),
        ({"sliding_window": 0}, "sliding_window: found 0"),
        ({"rope_scaling": {"rope_type": "linear", "factor": 2.0}}, "rope_scaling: found an object"),
        ({"rope_theta": 5.0}, "rope_theta: found 5"),
    ],
)
def test_settings_that_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        EmbeddingGemma2TextModel(EmbeddingGemma2TextConfig(**{**SIZES, **values}))


def test_a_whole_model_without_texts(tmp_path):
    write_json(tmp_path / "config.json", {"model_type": "embedding_gemma2"})
    with pytest.raises(ConfigError, match="text_config: missing, expected an object"):
        AutoConfig.from_pretrained(tmp_path)
