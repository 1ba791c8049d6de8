"""Files whose place is odd, or taken by something else: paths that are no UTF-8, pointers of Git LFS, HTML pages."""

import json
import os

import checkpoints
import numpy as np
import pytest
import torch_files
from checkpoints import TINY

from filbert import AutoConfig, AutoModel, BertModel, ConfigError, WeightsError, _core
from filbert.files import read_file
from filbert.jsonfile import read_json
from filbert.unpickle import read_pickle
from filbert.weights import open_weights, shard_names

IDS = [[1, 2, 3, 4]]
# Latin-1, a byte that begins no sequence, half a sequence; and one that is UTF-8.
NAMES = [os.fsdecode(name) for name in (b"caf\xe9", b"\xff", b"x\xe2\x82", "caf\u00e9".encode())]


@pytest.fixture(params=NAMES, ids=ascii)
def odd_folder(request, tmp_path):
    try:
        return checkpoints.write_folder(tmp_path / request.param)
    except OSError:
        pytest.skip("the file system takes UTF-8 only")


def test_models_in_folders_that_are_no_utf8(odd_folder, tiny_folder, tmp_path):
    expected = BertModel.from_pretrained(tiny_folder)(IDS)[0]
    for place in (odd_folder, str(odd_folder)):
        model = AutoModel.from_pretrained(place)
        np.testing.assert_array_equal(model(IDS)[0], expected)
    for limit in ("50GB", 5000):
        model.save_pretrained(odd_folder / "saved", max_shard_size=limit)
        np.testing.assert_array_equal(BertModel.from_pretrained(odd_folder / "saved")(IDS)[0], expected)
    assert len(shard_names(odd_folder / "saved/model.safetensors.index.json")) > 1
    (odd_folder / "model.safetensors").unlink()
    path = odd_folder / "pytorch_model.bin"
    path.write_bytes(torch_files.zip_bytes(*torch_files.dense(checkpoints.tensors())))
    np.testing.assert_array_equal(BertModel.from_pretrained(odd_folder)(IDS)[0], expected)
    assert open_weights(path).source == str(path)


def test_errors_in_folders_that_are_no_utf8(odd_folder):
    """Every message of C++ names the path as Python does."""
    weights, index, config = (
        odd_folder / name for name in ("model.safetensors", "model.safetensors.index.json", "config.json")
    )
    for text, error in (({"hidden_size": 0}, ConfigError), ({"vocab_size": 41}, WeightsError)):
        config.write_text(json.dumps(TINY | text))
        with pytest.raises(error) as caught:
            AutoModel.from_pretrained(odd_folder)
        assert str(odd_folder) in str(caught.value)
    config.write_text(json.dumps(TINY))
    weights.write_bytes(b"1234567")
    with pytest.raises(WeightsError) as caught:
        BertModel.from_pretrained(odd_folder)
    assert str(caught.value).startswith(f"{weights}: header too small")
    weights.unlink()
    index.write_text('{"weight_map": {"a": "none.safetensors"}}')
    with pytest.raises(WeightsError) as caught:
        BertModel.from_pretrained(odd_folder)
    assert str(caught.value).startswith(f'{index}: shard "none.safetensors" is missing')
    with pytest.raises(FileNotFoundError) as missing:
        _core.Weights.open(os.fsencode(weights))
    assert str(weights) in str(missing.value)
    with pytest.raises(FileNotFoundError):
        shard_names(odd_folder / "none.json")


def test_core_takes_text_and_bytes(tiny_folder):
    path = str(tiny_folder / "model.safetensors")
    assert _core.Weights.open(path).source == _core.Weights.open(path.encode()).source == path
    assert _core.Weights("caf\u00e9").source == "caf\u00e9"
    assert _core.Weights(b"caf\xe9").source == "caf\udce9"


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:53aa51\nsize 90868376\n"
STAND_INS = [
    (POINTER, r"pointer of Git LFS .*git lfs pull"),
    (POINTER[:43], r"pointer of Git LFS .*git lfs pull"),
    (b"version https://git-lfs.github.com/spec/v2\n", r"pointer of Git LFS"),
    (b"<!DOCTYPE html>\n<html></html>", "an HTML page"),
    (b"\r\n  <!doctype HTML PUBLIC>", "an HTML page"),
    (b"<HTML lang=en><body>404</body></HTML>", "an HTML page"),
    (b"", "the file is empty"),
]


@pytest.mark.parametrize(("content", "message"), STAND_INS, ids=[content[:12].decode() for content, _ in STAND_INS])
def test_what_stands_in_the_place_of_a_file_is_named(tiny_folder, content, message):
    def load():
        AutoModel.from_pretrained(tiny_folder)

    index = {"weight_map": {"a": "shard.safetensors"}}
    bin_index = {"weight_map": {"a": "shard.bin"}}
    for name, beside, error in (
        ("config.json", {}, ConfigError),
        ("model.safetensors", {}, WeightsError),
        ("model.safetensors.index.json", {}, WeightsError),
        ("shard.safetensors", {"model.safetensors.index.json": index}, WeightsError),
        ("pytorch_model.bin", {}, WeightsError),
        ("pytorch_model.bin.index.json", {}, WeightsError),
        ("shard.bin", {"pytorch_model.bin.index.json": bin_index}, WeightsError),
    ):
        for path in tiny_folder.iterdir():
            path.unlink()
        (tiny_folder / "config.json").write_text(json.dumps(TINY))
        for other, values in beside.items():
            (tiny_folder / other).write_text(json.dumps(values))
        (tiny_folder / name).write_bytes(content)
        with pytest.raises(error, match=rf"{name}: .*{message}"):
            load()


def test_files_that_only_look_alike_are_read(tmp_path):
    path = tmp_path / "file"
    for content in (
        b"version",
        b" version https://git-lfs.github.com/spec/v1",
        b"<",
        b"<s>\n</s>\n",
        b"html",
        b"[PAD]\n<html>",
    ):
        path.write_bytes(content)
        assert read_file(path, 100, ConfigError) == content


def test_the_limit_of_a_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(11))
    assert read_file(str(path), 11, ConfigError) == bytes(11)
    for error in (ConfigError, WeightsError):
        with pytest.raises(error, match="file: found 11 bytes, expected at most 10"):
            read_file(path, 10, error)
    with pytest.raises(FileNotFoundError):
        read_file(tmp_path / "none", 10, ConfigError)


@pytest.mark.parametrize("read", [read_json, AutoConfig.from_json_file, read_pickle, open_weights])
def test_every_reader_names_the_pointer(tmp_path, read):
    path = tmp_path / "file.json"
    path.write_bytes(POINTER)
    with pytest.raises((ConfigError, WeightsError), match=r"file\.json: found a pointer of Git LFS"):
        read(str(path))
