"""Every head of every family: numbers beside transformers, and what a head is asked for."""

import json
import re
import warnings

import numpy as np
import pytest
from families import DEBERTAS, DECODERS, FAMILIES, HEADS, REFERENCED, draw, draw_call
from test_families import own_model, reference_model
from test_parity import check, reference_outputs

import filbert
from filbert import AutoModel, ConfigError, InputError, WeightsError
from filbert.auto import AutoModelForNextToken

CASES = 20


def auto_class(task):
    return getattr(filbert, f"AutoModel{task}")


@pytest.mark.parametrize(("name", "task"), [model for model in HEADS if model[0] in REFERENCED])
@pytest.mark.parametrize("seed", range(CASES))
def test_the_head(torch, transformers, tmp_path, name, task, seed):
    config, reference = reference_model(torch, transformers, name, task, seed)
    rng = np.random.default_rng(2000 + seed)
    of_texts = task == "ForSequenceClassification"
    few = of_texts or task == "ForQuestionAnswering"  # numbers of a text or token: of one, the error is luck
    call = draw_call(FAMILIES[name], config, rng, seed % 5, batch=64 if few else None)
    if of_texts and name in ("modernbert", "ultrabert") and "attention_mask" in call:
        # A masked first token whose window reaches no token: transformers takes the mean of what is masked.
        mask, window = call["attention_mask"], config.get("sliding_window") or config["local_attention"] // 2
        mask[mask.argmax(1) > window, 0] = 1
    if of_texts and name in ("gemma3_text", *DECODERS) and "attention_mask" in call:
        call["input_ids"][call["attention_mask"] == 0] = config["pad_token_id"]  # which is looked at, not the mask
    if of_texts and name in DEBERTAS and "attention_mask" in call:
        call["attention_mask"][:, 0] = 1  # of a masked first token transformers takes the mean of all, masked ones too
    reference.save_pretrained(tmp_path)
    model = auto_class(task).from_pretrained(tmp_path)
    assert type(model).__name__ == FAMILIES[name].class_name(task)
    found = model(**call)
    single = reference_outputs(torch, reference, call)
    double = reference_outputs(torch, reference.double(), call)
    mask = call.get("attention_mask", np.ones(call["input_ids"].shape)).astype(bool)
    names = ["start_logits", "end_logits"] if task == "ForQuestionAnswering" else ["logits"]
    assert list(found) == names
    assert found[0] is found[names[0]]
    for key in names:
        where = True if of_texts else mask if found[key].ndim == 2 else mask[:, :, None]
        check(key, found[key], single[key], double[key], where)
        assert of_texts or not np.where(where, 0, found[key]).any()
    states = model(**call, output_hidden_states=True)
    assert states[0].tobytes() == found[0].tobytes(), "all rows, or only those that the head reads"
    assert len(states.hidden_states) == len(single.hidden_states)


@pytest.mark.parametrize(("name", "task"), HEADS)
def test_a_checkpoint_without_the_head_is_an_error(tmp_path, name, task):
    _, model = own_model(name, "Model", 0)
    model.save_pretrained(tmp_path)
    with pytest.raises((WeightsError, ConfigError), match=r"missing(.|\n)*no head for this task|expected 2") as error:
        auto_class(task).from_pretrained(tmp_path, num_labels=2 if task == "ForQuestionAnswering" else 3)
    assert str(tmp_path) in str(error.value)


@pytest.mark.parametrize(("name", "task"), HEADS)
def test_the_base_of_a_model_with_a_head_loads(tmp_path, name, task):
    _, model = own_model(name, task, 0)
    model.save_pretrained(tmp_path)
    ids = [[5, 6, 7, 8]]
    base = AutoModel.from_pretrained(tmp_path)
    states = model(ids, output_hidden_states=True).hidden_states
    assert base(ids).last_hidden_state.tobytes() == states[-1].tobytes()
    assert model.config.num_labels == base.config.num_labels


@pytest.mark.parametrize(("name", "task"), HEADS)
def test_packed_batches(name, task):
    _, model = own_model(name, task, 1)
    rows = [[5, 6, 7, 8, 9], [], [10, 11, 12]]
    ids, bounds = np.concatenate(rows).astype(np.int64), np.array([0, 5, 5, 8])
    found = model.run_packed(ids, bounds)
    alone = [model([row])[0] for row in (rows[0], rows[2])]
    if task == "ForQuestionAnswering":
        alone = [np.stack(model([row]).to_tuple(), -1) for row in (rows[0], rows[2])]
    if not model.is_per_token:
        assert found.tobytes() == np.stack([alone[0][0], np.zeros_like(alone[0][0]), alone[1][0]]).tobytes()
        with pytest.raises(InputError, match="head_tokens are asked of a model without a head"):
            model.run_packed(ids, bounds, None, np.array([1]))
        return
    assert found.tobytes() == np.concatenate([alone[0][0], alone[1][0]]).tobytes()
    assert model.run_packed(ids, bounds, None, np.array([6, 0, 6])).tobytes() == found[[6, 0, 6]].tobytes()
    assert model.run_packed(ids, bounds, None, np.zeros(0, np.int64)).shape == (0, found.shape[1])


@pytest.mark.parametrize("name", [name for name, task in HEADS if task == "ForMaskedLM"])
def test_the_largest_logits(name):
    _, model = own_model(name, "ForMaskedLM", 2)
    rows = [[5, 6, 7, 8, 9], [], [10, 11, 12]]
    found = model.max_logits(np.concatenate(rows).astype(np.int64), np.array([0, 5, 5, 8]))
    for index, row in enumerate(rows):
        expected = model([row]).logits[0].max(0) if row else np.zeros(found.shape[1])
        np.testing.assert_array_equal(found[index], expected)


@pytest.mark.parametrize("vocabulary", [300, 1024, 1025, 3000])
def test_logits_of_some_positions(vocabulary):
    """Vocabularies of one part and of several."""
    config = filbert.BertConfig(
        vocab_size=vocabulary, hidden_size=24, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
    )
    model = filbert.BertForMaskedLM(config, seed=0)
    ids = np.array([[0, 5, 6, 7], [8, 9, 10, 0]])
    mask = [[0, 1, 1, 1], [1, 1, 1, 0]]
    every = model(ids, attention_mask=mask).logits
    assert every.shape == (2, 4, vocabulary)
    pairs = [[1, 2], [0, 1], [1, 0], [1, 2]]
    some = model(ids, attention_mask=mask, positions=pairs).logits
    assert some.tobytes() == every[tuple(np.transpose(pairs))].tobytes()
    assert model(ids, positions=np.argwhere(ids == 12)).logits.shape == (0, vocabulary)
    none = model(ids, attention_mask=mask, positions=[], output_hidden_states=True)
    assert none.logits.shape == (0, vocabulary)
    states = model(ids, attention_mask=mask, output_hidden_states=True).hidden_states
    assert [each.tobytes() for each in none.hidden_states] == [each.tobytes() for each in states]
    assert model(ids, attention_mask=mask, positions=iter(pairs)).logits.tobytes() == some.tobytes()
    with pytest.raises(InputError, match="token id 9999"):
        model([[9999]], positions=[])
    for bad, message in (
        ([[1, 2], [0, 0]], "positions 1: found row 0, column 0, where the token is masked"),
        (3, "positions"),
        ([[2, 0]], "positions 0: found row 2, column 0, the batch has 2 rows of 4"),
        ([[0, 1], [0, -1]], "positions 1: found row 0, column -1"),
        ([[0, 1, 2]], r"positions: found shape \[1, 3\], expected \[n, 2\]"),
        ([[0.5, 1]], "positions: found float64, expected integers"),
    ):
        with pytest.raises(InputError, match=message):
            model(ids, attention_mask=mask, positions=bad)


@pytest.mark.parametrize("name", DECODERS)
def test_next_tokens(torch, transformers, tmp_path, name):
    """Those of a language model, tied to the table of words and not."""
    family = FAMILIES[name]
    config_class, model_class = (getattr(transformers, family.stem + kind) for kind in ("Config", "ForCausalLM"))
    for seed in range(10):
        config = family.draw(np.random.default_rng(seed))
        torch.manual_seed(seed)
        settings = config_class(**config, attn_implementation="eager", tie_word_embeddings=bool(seed % 2))
        reference = model_class(settings)
        reference.save_pretrained(tmp_path)
        call = draw_call(family, config, np.random.default_rng(seed), 4, batch=16)  # padded on the left
        model = AutoModelForNextToken.from_pretrained(tmp_path, next_token_ids=[7, 3, 7])
        single = reference_outputs(torch, reference, call).logits[:, -1, [7, 3, 7]]
        double = reference_outputs(torch, reference.double(), call).logits[:, -1, [7, 3, 7]]
        check("logits", model(**call).logits, single, double, True)
    with pytest.raises(ConfigError, match=r"next_token_ids: found 300 .* expected an integer from 0 to"):
        AutoModelForNextToken.from_pretrained(tmp_path, next_token_ids=[300])
    with pytest.raises(ConfigError, match="next_token_ids: found none"):
        AutoModelForNextToken.from_pretrained(tmp_path, next_token_ids=[])


@pytest.mark.parametrize("name", [*DECODERS, "gemma3_text"])
def test_scores_are_of_the_last_token_that_is_no_padding(torch, transformers, tmp_path, name):
    """Of its id, whatever the mask says."""
    _, reference = reference_model(torch, transformers, name, "ForSequenceClassification", 4)
    reference.save_pretrained(tmp_path)
    model = filbert.AutoModelForSequenceClassification.from_pretrained(tmp_path)
    ids = np.array([[5, 6, 7, 0], [5, 0, 0, 0], [5, 0, 6, 0], [8, 9, 10, 11]])
    single = reference_outputs(torch, reference, {"input_ids": ids}).logits
    double = reference_outputs(torch, reference.double(), {"input_ids": ids}).logits
    check("logits", model(ids).logits, single, double, True)


@pytest.mark.parametrize("name", DECODERS)
def test_labels_of_tokens_may_have_no_bias(torch, transformers, tmp_path, name):
    config = {**draw(name, "ForTokenClassification", 0), "token_classification_bias": False, "classifier_dropout": 0.1}
    stem = FAMILIES[name].stem
    settings = getattr(transformers, f"{stem}Config")(**config)
    reference = getattr(transformers, f"{stem}ForTokenClassification")(settings).eval()
    reference.save_pretrained(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = filbert.AutoModelForTokenClassification.from_pretrained(tmp_path)
    call = {"input_ids": np.arange(1, 9)[None]}
    single, double = reference_outputs(torch, reference, call), reference_outputs(torch, reference.double(), call)
    check("logits", model(**call).logits, single.logits, double.logits, True)


@pytest.mark.parametrize("name", [*DECODERS, "gemma3_text"])
def test_a_padding_id_below_0_is_no_tokens(tmp_path, name):
    _, model = own_model(name, "ForSequenceClassification", 0)
    model.save_pretrained(tmp_path)
    ids = [[5, 6, 7, 0], [5, 0, 0, 0]]
    found = {}
    for padding in (None, -1, 0):
        config = json.loads((tmp_path / "config.json").read_text())
        (tmp_path / "config.json").write_text(json.dumps({**config, "pad_token_id": padding}))
        found[padding] = filbert.AutoModelForSequenceClassification.from_pretrained(tmp_path)(ids).logits.tobytes()
    assert found[-1] == found[None] != found[0]


def test_what_is_wrong_for_a_head_names_the_model(tmp_path):
    own_model("bert", "ForMaskedLM", 0)[1].save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": "no"}))
    with pytest.raises(ConfigError, match="^" + re.escape(f'{tmp_path}: tie_word_embeddings: found "no" (string)')):
        filbert.AutoModelForMaskedLM.from_pretrained(tmp_path)


@pytest.mark.parametrize("names", ["both", "decoder alone"])
def test_masked_language_models_under_older_names(tmp_path, names):
    """A decoder that is stored beside the table of words, and a bias under both of its names."""
    _, model = own_model("bert", "ForMaskedLM", 1)
    tensors = dict(model.state_dict())
    table = tensors["bert.embeddings.word_embeddings.weight"]
    bias = np.arange(len(table), dtype=np.float32)
    tensors["cls.predictions.decoder.weight"] = table[::-1].copy()
    tensors["cls.predictions.decoder.bias"] = bias
    if names == "both":
        tensors["cls.predictions.bias"] = bias
    else:
        del tensors["cls.predictions.bias"]
    from safetensors.numpy import save_file

    model.config.save_pretrained(tmp_path)
    save_file({key: np.ascontiguousarray(value) for key, value in tensors.items()}, tmp_path / "model.safetensors")
    again = filbert.BertForMaskedLM.from_pretrained(tmp_path)
    plain = model([[5, 6, 7]]).logits - tensors.get("zero", 0)
    expected = plain[..., ::-1] + bias
    np.testing.assert_allclose(again([[5, 6, 7]]).logits, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "table", "decoder"),
    [
        ("albert", "albert.embeddings.word_embeddings.weight", "predictions.decoder.weight"),
        ("bert", "bert.embeddings.word_embeddings.weight", "cls.predictions.decoder.weight"),
        ("modernbert", "model.embeddings.tok_embeddings.weight", "decoder.weight"),
        ("roberta", "roberta.embeddings.word_embeddings.weight", "lm_head.decoder.weight"),
        ("ultrabert", "ultrabert.embed_tokens.weight", "cls.weight"),
    ],
)
def test_a_table_that_is_stored_as_the_decoder_alone(tmp_path, name, table, decoder):
    """safetensors.torch.save_model keeps one name of tensors that are the same: the first by the alphabet."""
    from safetensors.numpy import load_file, save_file

    def logits(folder):
        return filbert.AutoModelForMaskedLM.from_pretrained(folder)([[5, 6, 7]]).logits.tobytes()

    models = (own_model(name, "ForMaskedLM", seed)[1] for seed in range(9))
    model = next(model for model in models if model.config.tie_word_embeddings)
    model.save_pretrained(tmp_path)
    expected = logits(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors[decoder] = tensors.pop(table)
    save_file(tensors, tmp_path / "model.safetensors")
    assert logits(tmp_path) == expected
    filbert.AutoModelForMaskedLM.from_pretrained(tmp_path).save_pretrained(tmp_path / "again")
    assert logits(tmp_path / "again") == expected
    values = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**values, "tie_word_embeddings": False}))
    with pytest.raises(WeightsError, match=r"(embeddings|embed_tokens)\.weight: missing"):
        logits(tmp_path)


@pytest.mark.parametrize("name", DEBERTAS)
def test_debertas_other_masked_language_model(torch, transformers, tmp_path, name):
    """The names of the hub's files are read whatever the configuration says."""
    config = {**FAMILIES[name].draw(np.random.default_rng(3)), "legacy": False}
    config.pop("embedding_size", None)
    stem = FAMILIES[name].stem
    settings = getattr(transformers, f"{stem}Config")(**config, attn_implementation="eager")
    reference = getattr(transformers, f"{stem}ForMaskedLM")(settings)
    reference.save_pretrained(tmp_path)
    expected = filbert.AutoModelForMaskedLM.from_pretrained(tmp_path)([[5, 6, 7]]).logits
    values = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**values, "legacy": True}))
    assert filbert.AutoModelForMaskedLM.from_pretrained(tmp_path)([[5, 6, 7]]).logits.tobytes() == expected.tobytes()


def test_a_classifier_has_labels_and_computes_no_loss():
    _, model = own_model("roberta", "ForSequenceClassification", 0)
    with pytest.raises(InputError, match="labels: a loss is for training"):
        model([[5, 6]], labels=[1])
    with pytest.raises(ConfigError, match="id2label: found no labels"):
        filbert.BertForSequenceClassification(filbert.BertConfig(num_hidden_layers=1, num_labels=0))
    with pytest.raises(ConfigError, match="num_labels: found 3, expected 2: where answers begin and end"):
        filbert.BertForQuestionAnswering(filbert.BertConfig(num_hidden_layers=1, num_labels=3))
    with pytest.raises(ConfigError, match="AutoModelForMaskedLM has no model for Qwen3Config"):
        filbert.AutoModelForMaskedLM.from_config(filbert.Qwen3Config())
