"""CrossEncoders that filbert saves: loaded by filbert and by sentence-transformers, with the same scores."""

import json

import numpy as np
import pytest
import test_cross_encoder
import test_logit_score
from failing_saves import check_failing_save, contents
from test_cross_encoder import CLOSE, MODELS, PAIRS, edit, model_folder, modules_folder

from filbert import CrossEncoder, DeviceError, InputError
from filbert.sentence import activations

reference = test_cross_encoder.reference  # the fixtures
tokenizer, language_model, folder = test_logit_score.tokenizer, test_logit_score.language_model, test_logit_score.folder


def saved(encoder, folder):
    """The model once more, from what it writes."""
    encoder.save_pretrained(folder)
    return CrossEncoder(folder)


def same(ours, twin):
    assert ours.predict(PAIRS).tobytes() == twin.predict(PAIRS).tobytes()
    for name in ("activation_fn", "prompts", "default_prompt_name", "max_seq_length", "num_labels"):
        assert getattr(ours, name) == getattr(twin, name)


@pytest.mark.parametrize("labels", [1, 3])
@pytest.mark.parametrize("name", MODELS)
def test_a_model_without_modules(tmp_path, reference, name, labels):
    ours = CrossEncoder(model_folder(tmp_path / "model", name, labels))
    same(ours, saved(ours, tmp_path / "saved"))
    theirs = reference(tmp_path / "saved")
    assert ours.predict(PAIRS) == pytest.approx(theirs.predict(PAIRS), abs=CLOSE)
    assert (theirs.num_labels, theirs.max_length) == (labels, ours.max_seq_length)


def test_settings_that_were_changed(tmp_path, reference):
    """Over those of the files, in the folder that was read."""
    settings = {"prompts": {"a": "the cat "}, "activation_fn": "torch.nn.modules.activation.Tanh"}
    settings["keep_in_fp32_modules"] = ["0.model.classifier"]
    folder = modules_folder(tmp_path / "model", settings, {"max_seq_length": 20, "do_lower_case": True})
    edit(folder / "tokenizer_config.json", do_lower_case=False)
    edit(folder / "config.json", sentence_transformers={"activation_fn": "torch.nn.modules.activation.ReLU"})
    ours = CrossEncoder(folder, processor_kwargs={"strip_accents": False}, config_kwargs={"hidden_act": "relu"})
    assert ours.activation_fn is np.tanh
    ours.activation_fn = activations.log_sigmoid
    ours.prompts["b"] = "Hello "
    ours.default_prompt_name = "b"
    ours.max_seq_length = 14
    same(ours, saved(ours, folder))
    assert not list(folder.rglob(".*"))
    theirs = reference(folder)
    assert (theirs.prompts, theirs.default_prompt_name) == ({"a": "the cat ", "b": "Hello "}, "b")
    assert theirs.max_length == 14
    assert type(theirs.activation_fn).__name__ == "LogSigmoid"
    for options in ({}, {"prompt_name": "a"}):
        assert ours.predict(PAIRS, **options) == pytest.approx(theirs.predict(PAIRS, **options), abs=CLOSE)
    written = json.loads((folder / "config_sentence_transformers.json").read_text())
    assert written["keep_in_fp32_modules"] == ["0.model.classifier"]


def test_activations(tmp_path):
    torch = pytest.importorskip("torch")
    encoder = CrossEncoder(model_folder(tmp_path / "model", labels=3))
    known = {
        activations.softmax: activations.softmax,
        torch.nn.Sigmoid(): activations.sigmoid,
        torch.nn.Softmax(dim=-1): activations.softmax,
        torch.nn.Identity(): activations.identity,
    }
    for given, expected in known.items():
        encoder.activation_fn = given
        assert saved(encoder, tmp_path / "saved").activation_fn is expected
    before = contents(tmp_path / "saved")
    for given in (np.negative, torch.sigmoid, torch.nn.Softmax(dim=0), torch.nn.GELU(), lambda logits: logits):
        encoder.activation_fn = given
        with pytest.raises(InputError, match=r"activation_fn: found .*, which files have no name for; they have torch"):
            encoder.save_pretrained(tmp_path / "saved")
    assert contents(tmp_path / "saved") == before


@pytest.mark.parametrize("form", ["two tokens", "one token", "plain pairs"])
def test_language_models(tmp_path, folder, reference, form):
    """Those that tell by their next token, whose chats and tokens are written down."""
    ours = CrossEncoder(folder, max_length=90)
    same(ours, saved(ours, tmp_path / "saved"))
    place = tmp_path / "saved"
    if form == "one token":
        edit(place / "1_LogitScore" / "config.json", false_token_id=None)
    if form == "plain pairs":
        text = {"method": "forward", "method_output_name": "logits"}
        edit(place / "sentence_bert_config.json", modality_config={"text": text})
    ours = CrossEncoder(place)
    same(ours, saved(ours, tmp_path / "again"))
    pairs = PAIRS[:80]
    for path in (place, tmp_path / "again"):
        theirs = reference(path)
        assert ours.predict(pairs) == pytest.approx(theirs.predict(pairs), abs=2e-5)
    config = json.loads((place / "config.json").read_text())
    assert config["architectures"] == ["Qwen3ForCausalLM"]
    assert "next_token_ids" not in config


def test_a_template_that_a_caller_gives(tmp_path, folder, reference):
    template = "{{ messages | selectattr('role', 'eq', 'document') | map(attribute='content') | first }} \
{{ messages | selectattr('role', 'eq', 'query') | map(attribute='content') | first }}"
    ours = CrossEncoder(folder, processor_kwargs={"chat_template": template})
    assert ours.predict(PAIRS).tobytes() != CrossEncoder(folder).predict(PAIRS).tobytes()
    same(ours, saved(ours, folder))
    assert ours.predict(PAIRS[:40]) == pytest.approx(reference(folder).predict(PAIRS[:40]), abs=2e-5)


def test_a_classifier_of_chats(tmp_path, folder, reference):
    transformers = pytest.importorskip("transformers")
    config = transformers.Qwen3Config.from_pretrained(folder, num_labels=3)
    transformers.Qwen3ForSequenceClassification(config).save_pretrained(folder)
    ours = CrossEncoder(folder)
    same(ours, saved(ours, tmp_path / "saved"))
    expected = reference(tmp_path / "saved").predict(PAIRS[:40])
    assert ours.predict(PAIRS[:40]) == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize("failing", range(1, 8))
def test_a_failing_save_leaves_the_old_files(tmp_path, monkeypatch, failing):
    folder = modules_folder(tmp_path / "model")
    encoder = CrossEncoder(folder)
    encoder.max_seq_length = 9
    check_failing_save(monkeypatch, encoder, folder, failing)


def test_keywords_of_saving(tmp_path):
    encoder = CrossEncoder(model_folder(tmp_path / "model"))
    encoder.save(tmp_path / "saved", "name", create_model_card=False, train_datasets=["a"], safe_serialization=True)
    assert (tmp_path / "saved" / "modules.json").is_file()
    with pytest.raises(TypeError, match="push"):
        encoder.save_pretrained(tmp_path / "saved", push=True)


def test_moving(tmp_path):
    encoder = CrossEncoder(model_folder(tmp_path / "model"))
    before = encoder.predict(PAIRS)
    assert encoder.to("cpu").to(dtype="bfloat16").eval() is encoder
    assert encoder.model.dtype == "bfloat16"
    assert encoder.predict(PAIRS).tobytes() != before.tobytes()
    assert encoder.float().predict(PAIRS, device="cpu").tobytes() == before.tobytes()
    options = {"pool": encoder.start_multi_process_pool(["cpu"]), "chunk_size": 3}
    assert encoder.predict(PAIRS, **options).tobytes() == before.tobytes()
    assert encoder.rank("a", ["b", "c"], **options) == encoder.rank("a", ["b", "c"])
    with pytest.raises(DeviceError):
        encoder.to(device="cuda:7")
