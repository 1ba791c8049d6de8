"""The hub and its cache, against a server on loopback."""

import json
import os

import checkpoints
import numpy as np
import pytest
import torch_files
from fake_hub import FakeHub
from safetensors.numpy import save
from text_models import sentence_folder

from filbert import AutoConfig, AutoModel, BertConfig, BertModel, InputError, SentenceEncoder
from filbert.hub import Source

CONFIG = json.dumps(checkpoints.TINY).encode()
WEIGHTS = save(checkpoints.tensors(), {"format": "pt"})
REPO = "org/tiny"


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub, and an empty cache in tmp_path / "cache". Online."""
    from huggingface_hub import constants

    hub = FakeHub()
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    yield hub
    hub.close()


def go_offline(monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def test_a_model_is_fetched_once_and_only_what_it_needs(hub):
    commit = hub.add(REPO, {"config.json": CONFIG, "model.safetensors": WEIGHTS, "README.md": b"#", "x.onnx": b"x"})
    model = AutoModel.from_pretrained(REPO)
    assert model.config.name_or_path == REPO
    fetched = [path for method, path in hub.requests if method == "GET"]
    assert sorted(os.path.basename(path) for path in fetched) == ["config.json", "model.safetensors"]
    assert any(commit in path for _, path in hub.requests), "the weights come from the commit of the configuration"
    hub.requests.clear()
    AutoModel.from_pretrained(REPO)
    assert [request for request in hub.requests if request[0] == "GET"] == []
    hub.requests.clear()
    AutoModel.from_pretrained(REPO, revision=commit)
    assert hub.requests == [], "a pinned commit in the cache costs no request"


def test_a_commit_is_fixed_by_the_first_file(hub):
    first = hub.add(REPO, {"config.json": b"first", "other": b"first"})
    source = Source(REPO)
    assert source.revision is None
    source.get("config.json")
    assert source.revision == first
    hub.add(REPO, {"config.json": b"second", "other": b"second"})
    with open(source.get("other")) as file:
        assert file.read() == "first"


def test_missing_files_are_remembered(hub):
    hub.add(REPO, {"config.json": CONFIG, "pytorch_model.bin": b"x"})
    source = Source(REPO)
    source.get("config.json")
    source.weights()
    source = Source(REPO, revision=source.revision)
    hub.requests.clear()
    assert source.weights().endswith("pytorch_model.bin")
    assert source.find("tokenizer.json") is None
    assert source.find("tokenizer.json") is None
    assert [path for _, path in hub.requests] == [f"/{REPO}/resolve/{source.revision}/tokenizer.json"]


def test_revision_subfolder_and_variant(hub):
    hub.add(REPO, {"config.json": b"{}"})
    hub.add(REPO, {"sub/dir/config.json": CONFIG, "sub/dir/model.fp16.safetensors": WEIGHTS}, "refs/pr/1")
    model = BertModel.from_pretrained(REPO, revision="refs/pr/1", subfolder="sub/dir", variant="fp16")
    assert model.config.hidden_size == 32
    with pytest.raises(OSError, match=r"org/tiny: no sub/dir/model\.safetensors or .* at revision 'refs/pr/1'"):
        BertModel.from_pretrained(REPO, revision="refs/pr/1", subfolder="sub/dir")


def test_shards_of_both_formats(hub):
    tensors = checkpoints.tensors()
    names = sorted(tensors)
    halves = [{name: tensors[name] for name in names[::2]}, {name: tensors[name] for name in names[1::2]}]

    def pickled(half):
        return torch_files.zip_bytes(*torch_files.dense(half))

    for repo, suffix, index, encode in (
        ("org/safe", ".safetensors", "model.safetensors.index.json", save),
        ("org/pickled", ".bin", "pytorch_model.bin.index.json", pickled),
    ):
        weight_map = {name: f"part{i}{suffix}" for i, half in enumerate(halves) for name in half}
        files = {f"part{i}{suffix}": encode(half) for i, half in enumerate(halves)}
        files |= {"config.json": CONFIG, index: json.dumps({"weight_map": weight_map}).encode()}
        hub.add(repo, files)
        state = BertModel.from_pretrained(repo).state_dict()
        assert sorted(state) == names
        for name in names:
            np.testing.assert_array_equal(state[name], tensors[name])


def test_a_shard_that_is_not_there(hub):
    index = {"weight_map": {"a": "part1.safetensors", "b": "part2.safetensors"}}
    hub.add(REPO, {"model.safetensors.index.json": json.dumps(index).encode()})
    with pytest.raises(OSError, match=r"shards are missing: part1\.safetensors, part2\.safetensors"):
        Source(REPO).weights()


def test_what_a_repository_has_instead(hub, monkeypatch):
    """One more request, where the hub is there to answer it."""
    hub.add("org/onnx", {"config.json": CONFIG, "onnx/model.onnx": b"x", "a/b/model.gguf": b"x"})
    with pytest.raises(OSError, match=r"no model\.safetensors or .*; it has onnx/model\.onnx \(ONNX\), which filbert"):
        AutoModel.from_pretrained("org/onnx")
    hub.add("org/gguf", {"README.md": b"#", "tiny.gguf": b"x", "sub/checkpoint-1/config.json": CONFIG})
    with pytest.raises(
        OSError, match=r"org/gguf: no config\.json in that repository; it has tiny\.gguf \(GGUF\), which"
    ):
        AutoModel.from_pretrained("org/gguf")
    with pytest.raises(OSError, match=r"no sub/config\.json in .*; checkpoint-1 in it has one: .*='checkpoint-1'"):
        AutoModel.from_pretrained("org/gguf", subfolder="sub")
    go_offline(monkeypatch)
    hub.requests.clear()
    for name in ("org/onnx", "org/gguf"):
        with pytest.raises(OSError, match=rf"{name}: ") as caught:
            AutoModel.from_pretrained(name)
        assert "it has" not in str(caught.value)
    assert hub.requests == []


def test_a_local_folder_wins(hub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    checkpoints.write_folder(tmp_path / REPO)
    hub.add(REPO, {})
    BertModel.from_pretrained(REPO)
    assert hub.requests == []


def test_offline_and_not_cached(hub, tmp_path, monkeypatch):
    go_offline(monkeypatch)
    with pytest.raises(OSError, match=r"org/tiny: config\.json is not in the cache .*cache.*HF_HUB_OFFLINE is set"):
        AutoModel.from_pretrained(REPO)
    with pytest.raises(OSError, match=r"elsewhere.*HF_HUB_OFFLINE"):
        AutoConfig.from_pretrained(REPO, cache_dir=tmp_path / "elsewhere")
    assert hub.requests == []


def test_local_files_only(hub):
    hub.add(REPO, {"config.json": CONFIG, "model.safetensors": WEIGHTS})
    with pytest.raises(OSError, match="local_files_only is set"):
        AutoModel.from_pretrained(REPO, local_files_only=True)
    assert hub.requests == []
    AutoModel.from_pretrained(REPO)
    hub.requests.clear()
    assert AutoModel.from_pretrained(REPO, local_files_only=True).config.hidden_size == 32
    assert hub.requests == []


def test_cached_in_part(hub, monkeypatch):
    hub.add(REPO, {"config.json": CONFIG, "model.safetensors": WEIGHTS})
    AutoConfig.from_pretrained(REPO)
    go_offline(monkeypatch)
    with pytest.raises(OSError, match=r"model\.safetensors or .*pytorch_model\.bin.* is not in the cache"):
        AutoModel.from_pretrained(REPO)


def test_offline_with_a_full_cache(hub, monkeypatch):
    hub.add(REPO, {"config.json": CONFIG, "model.safetensors": WEIGHTS})
    online = AutoModel.from_pretrained(REPO)
    hub.close()
    go_offline(monkeypatch)
    offline = AutoModel.from_pretrained(REPO)
    np.testing.assert_array_equal(online([[1, 2]])[0], offline([[1, 2]])[0])


def test_force_download(hub):
    hub.add(REPO, {"config.json": CONFIG})
    BertConfig.from_pretrained(REPO)
    hub.requests.clear()
    BertConfig.from_pretrained(REPO, force_download=True)
    assert [method for method, _ in hub.requests].count("GET") == 1


def test_cache_dir(hub, tmp_path):
    hub.add(REPO, {"config.json": CONFIG})
    BertConfig.from_pretrained(REPO, cache_dir=tmp_path / "mine")
    assert (tmp_path / "mine" / "models--org--tiny").is_dir()
    assert not (tmp_path / "cache").exists()


def test_tokens(hub):
    hub.add(REPO, {"config.json": CONFIG})
    hub.tokens[REPO] = "secret"
    with pytest.raises(OSError, match=r"org/tiny: access to this repository must be asked for .*HF_TOKEN"):
        AutoConfig.from_pretrained(REPO)
    assert AutoConfig.from_pretrained(REPO, token="secret").hidden_size == 32


def test_no_such_repository_revision_or_file(hub):
    hub.add(REPO, {"README.md": b"x"})
    with pytest.raises(OSError, match=r"org/none: neither a folder here nor a model on the hub; .*token"):
        AutoConfig.from_pretrained("org/none")
    with pytest.raises(OSError, match="org/tiny: the repository has no revision 'v9'"):
        AutoConfig.from_pretrained(REPO, revision="v9")
    with pytest.raises(OSError, match=r"org/tiny: no config\.json in that repository"):
        AutoConfig.from_pretrained(REPO)
    with pytest.raises(OSError, match="neither a folder here nor a valid hub id"):
        AutoConfig.from_pretrained("a b")


@pytest.mark.parametrize("name", ["./none", "../none", "/none/at/all", "~/none", "a/b/c", "none/", "a\\b"])
def test_names_that_can_only_be_folders(hub, name):
    with pytest.raises(FileNotFoundError, match="does not exist; expected a model folder"):
        AutoModel.from_pretrained(name)
    assert hub.requests == []


def test_a_file_is_not_a_folder(tiny_folder):
    with pytest.raises(FileNotFoundError, match="is a file, not a folder"):
        AutoModel.from_pretrained(tiny_folder / "model.safetensors")
    assert BertConfig.from_pretrained(tiny_folder / "config.json").hidden_size == 32


def test_a_folder_without_the_files(tmp_path, tiny_folder):
    with pytest.raises(FileNotFoundError, match=r"the folder has no config\.json"):
        AutoModel.from_pretrained(tmp_path)
    (tiny_folder / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"has no model\.safetensors or .*pytorch_model\.bin\.index\.json"):
        AutoModel.from_pretrained(tiny_folder)


@pytest.mark.parametrize("value", ["..", "../x", "a/../../x", "/etc", "a\0b", "\\\\server\\x", "..\\x", "c:\\x", ""])
@pytest.mark.parametrize("keyword", ["revision", "subfolder", "variant"])
def test_names_that_lead_out(hub, tiny_folder, keyword, value):
    if (keyword, value) == ("subfolder", ""):  # the folder itself
        return
    for name in (REPO, tiny_folder):
        with pytest.raises(InputError, match=f"{keyword}: found .* expected a "):
            BertModel.from_pretrained(name, **{keyword: value})
    assert hub.requests == []


@pytest.mark.parametrize("name", ["../config.json", "/etc/passwd", "a\0", ""])
def test_file_names_that_lead_out(hub, tiny_folder, name):
    for where in (REPO, tiny_folder):
        with pytest.raises(InputError, match="file name"):
            Source(where).find(name)
    assert hub.requests == []


@pytest.mark.parametrize("name", ["", "a\0b"])
def test_model_names(name):
    with pytest.raises(InputError, match="model name"):
        AutoModel.from_pretrained(name)


def test_instructors_are_known_by_their_names(hub, tmp_path):
    folder = sentence_folder(tmp_path / "model")
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for name in ("hkunlp/instructor-base", "someone/instructor-tuned", "someone/else"):
        hub.add(name, files)
    text, prompt = "the cat runs", "the dog is "
    encoder = SentenceEncoder("someone/else")
    with_prompt = encoder.encode(text, prompt=prompt)
    encoder.set_pooling_include_prompt(False)
    without_prompt = encoder.encode(text, prompt=prompt)
    assert with_prompt.tobytes() != without_prompt.tobytes()
    assert SentenceEncoder("hkunlp/instructor-base").encode(text, prompt=prompt).tobytes() == without_prompt.tobytes()
    with pytest.warns(UserWarning, match="^someone/instructor-tuned: INSTRUCTOR models leave the instruction out of"):
        other = SentenceEncoder("someone/instructor-tuned")
    assert other.encode(text, prompt=prompt).tobytes() == with_prompt.tobytes()
