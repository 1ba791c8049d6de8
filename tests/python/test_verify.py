"""`filbert verify`: that it passes what is right, and finds what is not."""

import json
import shutil
import sys
from importlib import metadata

import checkpoints
import numpy as np
import pytest
import test_jina_bert
from families import FAMILIES, IN_TRANSFORMERS, REFERENCED
from safetensors.numpy import load_file, save_file
from test_families import reference_model
from test_parity import reference_outputs
from text_models import VOCABULARY, minilm_folder, sentence_folder, vocabulary_folder, write_json

import filbert
from filbert import DeviceError, FilbertError, reference, verify
from filbert.cli import main
from filbert.encoder import EncoderModel


@pytest.fixture(autouse=True)
def sentence_transformers(transformers):
    return pytest.importorskip("sentence_transformers", reason="the reference extra is not installed")


@pytest.fixture
def folder(tmp_path):
    return sentence_folder(tmp_path / "model")


@pytest.fixture
def bare(folder):
    """Without what sentence-transformers would read, which loads its models with transformers."""
    (folder / "modules.json").unlink()
    return folder


def run(capsys, folder, tmp_path, code=0):
    """What `verify` prints, and its figures."""
    assert main(["verify", str(folder), "--threads", "1", "--json", str(tmp_path / "figures.json")]) == code
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out, json.loads((tmp_path / "figures.json").read_text())


def fails(capsys, folder, tmp_path):
    """The lines about what is beyond tolerance."""
    out, figures = run(capsys, folder, tmp_path, code=1)
    assert not figures["within_tolerance"]
    lines = [line.removeprefix("BEYOND TOLERANCE: ") for line in out.splitlines() if line.startswith("BEYOND")]
    assert lines == figures["failures"] != []
    assert "within tolerance" not in out
    return lines


def load_instead(monkeypatch, library_class, change):
    """Has transformers read another folder, or read it otherwise, from what `change` makes of its arguments."""
    load = library_class.from_pretrained
    monkeypatch.setattr(library_class, "from_pretrained", lambda name, **kwargs: change(load, name, kwargs))


def test_real_weights(capsys, tmp_path):
    out, figures = run(capsys, minilm_folder(), tmp_path)
    assert out.splitlines()[-2:] == [
        f"token ids: 0 of {figures['tokens']['ids']} differ from those of transformers",
        "within tolerance",
    ]
    assert figures["within_tolerance"]
    assert figures["failures"] == []
    assert figures["left_out"] == {}
    assert set(figures["versions"]) == {"torch", "transformers", "sentence-transformers"}
    assert (len(figures["lengths"]), min(figures["lengths"]), max(figures["lengths"])) == (12, 2, 512)
    widths = {"last_hidden_state": sum(figures["lengths"]) * 384, "pooler_output": 12 * 384}
    assert {each["output"]: each["values"] for each in figures["outputs"]} == widths | {"sentence_embedding": 12 * 384}
    for each in figures["outputs"]:
        assert 0 < each["rms_error"] < each["max_error"] <= each["allowed"] < 2e-5
        assert 0 < each["torch_rms_error"] < each["torch_max_error"] < each["allowed"] / 2
        assert each["same_bits"]
        assert 0.999 < each["cosines"]["bfloat16"]["min"] < each["cosines"]["bfloat16"]["mean"] < 1
        assert 0.99 < each["cosines"]["int8"]["min"] < each["cosines"]["int8"]["mean"] < 1
        (line,) = (line for line in out.splitlines() if line.startswith(each["output"]))
        assert line.split()[1:4] == [f"{each[key]:.2e}" for key in ("max_error", "torch_max_error", "allowed")]
        assert len(line) <= 120


def test_figures_to_standard_output(capfd, folder):
    assert main(["verify", str(folder), "--threads", "1", "--json", "-"]) == 0
    captured = capfd.readouterr()
    assert json.loads(captured.out)["within_tolerance"]
    assert captured.err.splitlines()[-1] == "within tolerance"


def test_a_classifier_without_a_tokenizer(capsys, tmp_path):
    config = filbert.BertConfig(**checkpoints.TINY, num_labels=3)
    filbert.BertForSequenceClassification(config, seed=0).save_pretrained(tmp_path / "model")
    out, figures = run(capsys, tmp_path / "model", tmp_path)
    values = {each["output"]: each["values"] for each in figures["outputs"]}
    lengths = figures["lengths"]
    assert lengths == [1, 2, 3, 5, 8, 16, 24, 24, 24, 24, 24, 16]
    assert values == {"last_hidden_state": sum(lengths) * 32, "pooler_output": 12 * 32, "logits": 12 * 3}
    assert figures["tokens"] is None
    assert "token ids" not in out


def test_other_logits(capsys, tmp_path, monkeypatch, transformers):
    config = filbert.BertConfig(**checkpoints.TINY, num_labels=3)
    filbert.BertForSequenceClassification(config, seed=0).save_pretrained(tmp_path / "model")
    other = shutil.copytree(tmp_path / "model", tmp_path / "other")
    weights = load_file(other / "model.safetensors")
    weights["classifier.bias"] = weights["classifier.bias"] + np.float32([0, 0, 1e-5])
    save_file(weights, other / "model.safetensors", {"format": "pt"})
    auto = transformers.AutoModelForSequenceClassification
    load_instead(monkeypatch, auto, lambda load, name, kwargs: load(other, **kwargs))
    (line,) = fails(capsys, tmp_path / "model", tmp_path)
    assert line.startswith("logits: the largest error is 1.0")


@pytest.mark.parametrize(("name", "task"), [model for model in IN_TRANSFORMERS if model[0] in REFERENCED])
def test_every_family(torch, transformers, tmp_path, name, task):
    """Random ids. One in a thousand such outputs is beyond tolerance (see deviations.py); none of these is."""
    _, model = reference_model(torch, transformers, name, task, seed=0)
    model.save_pretrained(tmp_path)
    found = verify.verify(str(tmp_path), num_threads=1)
    heads = {"Model": [], "ForQuestionAnswering": ["start_logits", "end_logits"]}
    outputs = ["last_hidden_state", *heads.get(task, ["logits"])]
    assert [each.output for each in found.deviations if each.output != "pooler_output"] == outputs
    assert ("pooler_output" in [each.output for each in found.deviations]) >= (
        FAMILIES[name].pooler and task == "Model"
    )
    assert (found.failures, found.left_out, found.tokens) == ([], {}, None)


def test_the_reference_is_float64_throughout(torch, transformers, tmp_path):
    """Left to itself, transformers computes the norms, rotations and softmax of Qwen3 in float32."""
    _, model = reference_model(torch, transformers, "qwen3", "Model", seed=0)
    model.save_pretrained(tmp_path)
    rows = [[1, 2, 3, 4, 5, 6, 7, 8], [9]]
    single, double = reference.model_outputs(str(tmp_path), rows, "AutoModel", 1, lambda: None)
    model.eval().double()
    for index, row in enumerate(rows):
        with torch.no_grad():
            rounded = model(torch.tensor([row])).last_hidden_state[0].numpy()
        expected = reference_outputs(torch, model, {"input_ids": [row]}).last_hidden_state[0].numpy()
        found = double["last_hidden_state"][index]
        assert found.dtype == np.float64
        assert single["last_hidden_state"][index].dtype == np.float32
        assert np.abs(found - expected).max() < 1e-13 < np.abs(found - rounded).max()


def test_float32_is_compared_with_float32(torch, transformers, tmp_path):
    """Whatever the weights are stored as, which transformers would compute in."""
    _, model = reference_model(torch, transformers, "bert", "Model", seed=0)
    model.bfloat16().save_pretrained(tmp_path)
    found = verify.verify(str(tmp_path), num_threads=1)
    assert found.failures == []
    assert all(each.torch_max_error < 1e-5 for each in found.deviations)


def test_no_pooler_of_random_weights(capsys, tmp_path):
    """Where the checkpoint has none, transformers draws one."""
    checkpoints.write_folder(tmp_path / "bare", weights=checkpoints.tensors(pooler=False))
    with pytest.warns(UserWarning, match="has no pooler"):
        found = verify.verify(str(tmp_path / "bare"), num_threads=1)
    assert [each.output for each in found.deviations] == ["last_hidden_state"]
    assert found.failures == []


def test_other_weights(capsys, bare, tmp_path, monkeypatch, transformers):
    """One value of the last norm that is off by 1e-4, where 1e-6 is right."""
    weights = checkpoints.tensors()
    weights["encoder.layer.1.output.LayerNorm.bias"][5] += np.float32(1e-4)
    other = checkpoints.write_folder(tmp_path / "other", weights=weights)
    load_instead(monkeypatch, transformers.AutoModel, lambda load, name, kwargs: load(other, **kwargs))
    lines = fails(capsys, bare, tmp_path)
    assert [line.split(":")[0] for line in lines] == ["last_hidden_state", "pooler_output"]
    assert "the largest error is 1.0" in lines[0]
    assert "e-04, allowed is" in lines[0]


def test_another_activation(capsys, bare, tmp_path, monkeypatch, transformers):
    """gelu by tanh is nowhere further from gelu by erf than 5e-4."""
    other = checkpoints.write_folder(tmp_path / "other", checkpoints.TINY | {"hidden_act": "gelu_new"})
    load_instead(monkeypatch, transformers.AutoModel, lambda load, name, kwargs: load(other, **kwargs))
    lines = fails(capsys, bare, tmp_path)
    assert [line.split(":")[0] for line in lines] == ["last_hidden_state", "pooler_output"]


def test_other_sentence_vectors(capsys, folder, tmp_path, monkeypatch, sentence_transformers):
    cls = sentence_transformers.SentenceTransformer
    encode = cls.encode
    monkeypatch.setattr(cls, "encode", lambda self, text, **kwargs: encode(self, text.upper()[:-1], **kwargs))
    lines = fails(capsys, folder, tmp_path)
    assert [line.split(":")[0] for line in lines] == ["sentence_embedding"]


def test_another_tokenizer(capsys, bare, tmp_path, monkeypatch, transformers):
    """Two words that have changed places: "hello" and "!", each once in the texts."""
    swapped = {"hello": "!", "!": "hello"}
    other = vocabulary_folder(tmp_path / "other", [swapped.get(word, word) for word in VOCABULARY])
    write_json(other / "config.json", checkpoints.TINY)
    load_instead(monkeypatch, transformers.AutoTokenizer, lambda load, name, kwargs: load(other, **kwargs))
    (line,) = fails(capsys, bare, tmp_path)
    ids = filbert.AutoTokenizer.from_pretrained(bare).truncated_ids(list(verify.TEXTS), 24)
    words = [VOCABULARY[token] for row in ids for token in row]
    differ = words.count("hello") + words.count("!")
    assert differ >= 2
    assert line == f"{differ} of {len(words)} token ids are not those of transformers"


def test_a_shorter_tokenizer(capsys, folder, tmp_path, monkeypatch):
    ids = reference.token_ids
    monkeypatch.setattr(reference, "token_ids", lambda *args, **kwargs: [row[:-1] for row in ids(*args, **kwargs)])
    (line,) = fails(capsys, folder, tmp_path)
    assert line.startswith(f"{len(verify.TEXTS)} of ")


def test_bits_that_depend_on_the_batch(capsys, folder, tmp_path, monkeypatch):
    """One unit in the last place of one value, only where there is company."""
    call = EncoderModel.__call__

    def almost(self, rows, **kwargs):
        found = call(self, rows, **kwargs)
        if len(rows) > 1:
            state = found["last_hidden_state"]
            state[3, 1, 7] = np.nextafter(state[3, 1, 7], np.float32(np.inf))
        return found

    monkeypatch.setattr(EncoderModel, "__call__", almost)
    assert fails(capsys, folder, tmp_path) == [
        "last_hidden_state: a text alone does not give the bits that it gives in a batch"
    ]


def test_a_dtype_that_the_device_does_not_have(capsys, folder, tmp_path, monkeypatch):
    to = EncoderModel.to

    def without_int8(self, *args, dtype=None, **kwargs):
        if dtype == "int8":
            raise DeviceError("int8 is for others")
        return to(self, *args, dtype=dtype, **kwargs)

    monkeypatch.setattr(EncoderModel, "to", without_int8)
    out, figures = run(capsys, folder, tmp_path)
    assert figures["left_out"] == {"int8": "int8 is for others"}
    assert "int8: left out: int8 is for others\n" in out
    assert all(set(each["cosines"]) == {"bfloat16"} for each in figures["outputs"])
    assert "int8 cosine" not in out


def wrong(capsys, folder):
    assert main(["verify", str(folder)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return captured.err


def test_a_family_that_transformers_lacks(capsys, folder, monkeypatch, transformers):
    def refuse(name, **kwargs):
        raise KeyError("bert9\nis not known" + "!" * 1000)

    monkeypatch.setattr(transformers.AutoModel, "from_pretrained", refuse)
    has_bars = transformers.utils.logging.is_progress_bar_enabled()
    found = wrong(capsys, folder)
    assert found.startswith(f"filbert: transformers cannot run {folder}: KeyError: 'bert9")
    assert len(found) < 500
    assert transformers.utils.logging.is_progress_bar_enabled() == has_bars


def test_code_of_a_repository_is_not_run(capsys, folder, tmp_path):
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    code = {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}
    write_json(folder / "config.json", checkpoints.TINY | {"auto_map": code})
    with pytest.warns(UserWarning, match=r"evil\.py: 'evil\.Model', which is never run"):
        assert verify.verify(str(folder), num_threads=1).failures == []
    assert not (tmp_path / "ran").exists()


def test_sentence_transformers_is_for_sentences_only(folder, monkeypatch):
    version = metadata.version

    def without(name):
        if name == "sentence-transformers":
            raise metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(metadata, "version", without)
    with pytest.raises(FilbertError, match="sentence-transformers is not installed"):
        verify.verify(str(folder), num_threads=1)
    (folder / "modules.json").unlink()
    assert verify.verify(str(folder), num_threads=1).failures == []


def test_what_filbert_cannot_open(capsys, folder):
    (folder / "config.json").write_text("{")
    assert "config.json" in wrong(capsys, folder)
    assert "does not exist" in wrong(capsys, folder / "nothing")


def test_torch_is_left_as_it_was(torch, folder):
    methods = torch.Tensor.to, torch.Tensor.float, torch.nn.functional.softmax
    threads = torch.get_num_threads()
    verify.verify(str(folder), num_threads=1)
    assert (torch.Tensor.to, torch.Tensor.float, torch.nn.functional.softmax) == methods
    assert torch.get_num_threads() == threads
    assert "tqdm" in sys.modules


def test_a_checkpoint_that_transformers_takes_for_another(tmp_path):
    """It fills what is missing with random numbers, which are nothing to compare with."""
    config, tensors, _ = test_jina_bert.draw(1)
    test_jina_bert.write(tmp_path, config, tensors)
    with pytest.raises(FilbertError, match="tensors that the file has not"):
        verify.verify(str(tmp_path), num_threads=1)
