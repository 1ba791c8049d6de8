"""What is special about DeBERTa-v2: its buckets, its convolution, its settings, and those that it refuses."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from filbert import AutoModel, ConfigError, DebertaV2Config, DebertaV2Model, InputError

SMALL = {
    "vocab_size": 60,
    "hidden_size": 32,
    "intermediate_size": 20,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 16,
    "initializer_range": 0.2,
}
RELATIVE = {**SMALL, "relative_attention": True, "pos_att_type": ["c2p", "p2c"], "position_biased_input": False}


def rows_of(folder, term, length, mask=None, **settings):
    """[length, length]: which row of the table of relative positions a query and a key take, read off the attention."""
    config = DebertaV2Config(**{**RELATIVE, "pos_att_type": [term], **settings})
    DebertaV2Model(config, seed=0).save_pretrained(folder)
    tensors = dict(load_file(folder / "model.safetensors"))
    first = np.zeros(32, np.float32)
    first[[0, 16]] = 1  # of each head
    for name in tensors:
        if any(part in name for part in ("query_proj", "key_proj")):
            tensors[name] = np.zeros_like(tensors[name])
    step = 0.05 * np.sqrt(16 * 2)  # 0.05 of a score, which is divided by sqrt(head size (1 + terms))
    table = np.zeros_like(tensors["encoder.rel_embeddings.weight"])
    table[:, 0] = step * np.arange(len(table))
    tensors["encoder.rel_embeddings.weight"] = table
    for i in range(2):
        own = f"encoder.layer.{i}.attention.self."
        tensors[own + ("query" if term == "c2p" else "key") + "_proj.bias"] = first
        tensors[own + ("pos_key" if term == "c2p" else "pos_query") + "_proj.weight"] = np.outer(first, np.eye(32)[0])
    tensors = {name: np.ascontiguousarray(value, np.float32) for name, value in tensors.items()}
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    found = AutoModel.from_pretrained(folder)([[9] * length], mask, output_attentions=True).attentions
    assert found[0].tobytes() == found[1].tobytes()
    middle = len(table) // 2  # the row of no distance
    with np.errstate(divide="ignore", invalid="ignore"):  # of what is masked
        scores = np.log(found[0][0, 0].astype(np.float64)) / 0.05
        return np.rint(scores - scores.diagonal()[:, None] + middle)


# Buckets of 8 that end at a distance of 15: 4 + ceil(3 ln(distance / 4) / ln(15 / 4)) from 5 on, and 16 is 8.
BY_HAND = {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 5, 7: 6, 8: 6, 9: 6, 10: 7, 11: 7, 14: 7, 15: 7, 16: 8, 17: 8, 39: 10}


@pytest.mark.parametrize("term", ["c2p", "p2c"])
@pytest.mark.parametrize("holes", [False, True])
def test_buckets_by_hand(tmp_path, term, holes):
    mask = np.ones((1, 40), int)
    if holes:
        mask[0, [3, 4, 11, 30]] = 0
    rows = rows_of(tmp_path, term, 40, mask, position_buckets=8)
    pairs = [(q, k) for q in range(40) for k in range(40) if mask[0, q] and mask[0, k] and abs(q - k) in BY_HAND]
    assert len(pairs) > 500
    for q, k in pairs:  # counted from the key to the query
        bucket = BY_HAND[abs(q - k)] if q > k else -BY_HAND[abs(q - k)]
        assert rows[q, k] == min(max(bucket, -8), 7) + 8


def test_without_buckets_a_row_is_a_distance(tmp_path):
    rows = rows_of(tmp_path, "c2p", 50, max_relative_positions=20)
    columns = np.arange(50)
    assert (rows == np.clip(columns[:, None] - columns[None, :], -20, 19) + 20).all()


@pytest.mark.parametrize(("buckets", "farthest"), [(256, 512), (64, 512), (32, 128), (5, 40), (6, 13), (9, 8), (2, 4)])
def test_buckets_are_those_of_transformers(torch, transformers, tmp_path, buckets, farthest):
    bucket = transformers.models.deberta_v2.modeling_deberta_v2.make_log_bucket_position
    columns = torch.arange(600)
    expected = bucket(columns[:, None] - columns[None, :], buckets, farthest).long()
    rows = rows_of(tmp_path, "c2p", 600, position_buckets=buckets, max_relative_positions=farthest)
    assert (rows == torch.clamp(expected + buckets, 0, 2 * buckets - 1).numpy()).all()


def test_a_sequence_may_be_longer_than_max_position_embeddings_without_a_table():
    ids = [[9] * 100]
    model = DebertaV2Model(DebertaV2Config(**RELATIVE), seed=0)
    assert "embeddings.position_embeddings.weight" not in model.state_dict()
    assert np.isfinite(model(ids).last_hidden_state).all()
    limited = DebertaV2Model(DebertaV2Config(**{**RELATIVE, "position_biased_input": True}), seed=0)
    with pytest.raises(InputError, match="has 100 tokens, but the model has 16 positions"):
        limited(ids)


def test_terms_may_be_a_string(tmp_path):
    listed = DebertaV2Model(DebertaV2Config(**RELATIVE), seed=0)
    named = DebertaV2Model(DebertaV2Config(**{**RELATIVE, "pos_att_type": "P2C | c2p"}), seed=0)
    assert named.config.pos_att_type == ["p2c", "c2p"]
    ids = [[5, 6, 7, 8]]
    assert named(ids)[0].tobytes() == listed(ids)[0].tobytes()
    listed.save_pretrained(tmp_path)
    values = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**values, "pos_att_type": "c2p|p2c"}))
    loaded = AutoModel.from_pretrained(tmp_path)
    assert loaded.config.pos_att_type == ["c2p", "p2c"]
    assert loaded(ids)[0].tobytes() == listed(ids)[0].tobytes()


def test_terms_without_relative_attention_still_count_in_the_scale():
    """As in transformers: scores are divided by sqrt(head size (1 + terms)) whether the terms are there or not."""
    ids = [[5, 6, 7, 8, 9, 10]]
    config = {**SMALL, "num_hidden_layers": 1}
    none, both = (
        np.log(
            DebertaV2Model(DebertaV2Config(**config, pos_att_type=terms), seed=0)(ids, output_attentions=True)
            .attentions[0]
            .astype(np.float64)
        )
        for terms in ([], ["c2p", "p2c"])
    )
    # Logarithms of probabilities are scores but for a number a row.
    differences = [scores - scores.mean(-1, keepdims=True) for scores in (none, both)]
    assert np.abs(differences[0]).max() > 0.01
    np.testing.assert_allclose(differences[1] * np.sqrt(3), differences[0], atol=1e-5)


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_the_convolution_beside_the_first_layer(tmp_path, groups, kernel):
    config = DebertaV2Config(**RELATIVE, conv_kernel_size=kernel, conv_groups=groups, conv_act="relu")
    model = DebertaV2Model(config, seed=0)
    model.save_pretrained(tmp_path)
    tensors = dict(load_file(tmp_path / "model.safetensors"))
    rng = np.random.default_rng(0)
    for name in ("conv.bias", "LayerNorm.weight", "LayerNorm.bias"):
        tensors[f"encoder.conv.{name}"] = rng.standard_normal(32).astype(np.float32)
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    ids, mask = rng.integers(1, 60, (2, 14)), rng.random((2, 14)) < 0.7
    mask[0] = True
    mask[1, 0] = False
    found = AutoModel.from_pretrained(tmp_path)(ids, mask, output_hidden_states=True).hidden_states
    without = {name: value for name, value in tensors.items() if "encoder.conv" not in name}
    (tmp_path / "plain").mkdir()
    DebertaV2Config(**RELATIVE).save_pretrained(tmp_path / "plain")
    save_file(without, tmp_path / "plain" / "model.safetensors", {"format": "pt"})
    layer = AutoModel.from_pretrained(tmp_path / "plain")(ids, mask, output_hidden_states=True).hidden_states[1]

    # The output at a column: of each group its own inputs, at columns around it, zeros where there is no token.
    weight = tensors["encoder.conv.conv.weight"].astype(np.float64)  # [32, 32 / groups, kernel]
    reach, width = kernel // 2, 32 // groups
    around = np.pad(found[0].astype(np.float64), ((0, 0), (reach, reach), (0, 0)))
    sums = np.zeros((2, 14, 32)) + tensors["encoder.conv.conv.bias"]
    for out in range(32):
        inputs = slice(out // width * width, out // width * width + width)
        for tap in range(kernel):
            sums[:, :, out] += around[:, tap : tap + 14, inputs] @ weight[out, :, tap]
    x = layer + np.maximum(sums, 0)
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-7)
    x = x * tensors["encoder.conv.LayerNorm.weight"] + tensors["encoder.conv.LayerNorm.bias"]
    np.testing.assert_allclose(found[1][mask], x[mask], rtol=0, atol=2e-5)
    assert not found[1][~mask].any()


REFUSED = [
    ({"attention_head_size": 8}, r"attention_head_size: found 8 .*hidden_size / num_attention_heads \(16\)"),
    ({"num_attention_heads": 3}, r"hidden_size: found 32, expected a multiple of num_attention_heads \(3\)"),
    ({"pos_att_type": ["p2p"]}, r"pos_att_type: found .*names among c2p and p2c"),
    ({"pos_att_type": ["C2P"]}, r"pos_att_type: found .*names among c2p and p2c"),
    ({"pos_att_type": ["c2p "]}, r"pos_att_type: found .*names among c2p and p2c"),
    ({"pos_att_type": 5}, r"pos_att_type: found 5 \(integer\)"),
    ({"norm_rel_ebd": "batch_norm"}, r'norm_rel_ebd: found "batch_norm" .*names among none and layer_norm'),
    ({"position_buckets": 1}, r"position_buckets: found 1 .*-1 or an integer above 1"),
    ({"position_buckets": 8, "max_relative_positions": 5}, r"max_relative_positions: found 5 .*more than .* \(5\)"),
    ({"position_buckets": 32}, r"max_position_embeddings: found 16 .*more than .* \(17\)"),
    ({"conv_kernel_size": 4}, r"conv_kernel_size: found 4 .*0 or an odd integer"),
    ({"conv_kernel_size": -1}, r"conv_kernel_size: found -1"),
    ({"conv_kernel_size": 3, "conv_groups": 5}, r"hidden_size: found 32, expected a multiple of conv_groups \(5\)"),
    ({"conv_act": "x"}, "conv_act: found .*one of gelu"),
    ({"hidden_act": "x"}, "hidden_act: found .*one of gelu"),
    ({"embedding_size": 0}, "embedding_size: found 0"),
]


@pytest.mark.parametrize(("values", "message"), REFUSED)
def test_settings_that_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        DebertaV2Model(DebertaV2Config(**{**RELATIVE, **values}))


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("share", [False, True])
def test_the_first_and_the_last_token_alone_have_the_same_bits(layers, share):
    config = {**RELATIVE, "num_hidden_layers": layers, "share_att_key": share, "position_buckets": 8}
    ids = [[5, 6, 7, 8, 9], [9] * 30, [3]]
    for kernel in (0, 3):
        model = DebertaV2Model(DebertaV2Config(**config, conv_kernel_size=kernel), seed=0)
        last = model(ids).last_hidden_state
        packed = np.concatenate(ids), np.array([0, 5, 35, 36])
        assert model.embed(*packed, "cls").tobytes() == last[:, 0].tobytes()
        assert model.embed(*packed, "lasttoken").tobytes() == last[range(3), [4, 29, 0]].tobytes()


def test_names_of_the_hubs_files(tmp_path):
    """Theirs have the prefix of the base model, and a head for masked tokens of a name of its own."""
    config = DebertaV2Config(**RELATIVE, norm_rel_ebd="layer_norm", share_att_key=True)
    model = DebertaV2Model(config, seed=0)
    model.save_pretrained(tmp_path)
    tensors = {f"deberta.{name}": value for name, value in load_file(tmp_path / "model.safetensors").items()}
    tensors["lm_predictions.lm_head.bias"] = np.zeros(60, np.float32)
    tensors["mask_predictions.dense.weight"] = np.zeros((32, 32), np.float32)
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.warns(UserWarning, match="does not use these tensors .*lm_predictions"):
        loaded = AutoModel.from_pretrained(tmp_path)
    ids = [[5, 6, 7, 8]]
    assert loaded(ids)[0].tobytes() == model(ids)[0].tobytes()
