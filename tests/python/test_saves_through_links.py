"""Saving into a folder whose files are links, FIFOs or devices."""

import os
import stat
import threading

import checkpoints
import numpy as np
import pytest
from text_models import vocabulary_folder

from filbert import AutoTokenizer, BertConfig, BertModel
from filbert.atomic import FileSet
from filbert.weights import remove_stale_weights


def linked(folder, names):
    """A folder whose files are links to those of another one, and that other."""
    (folder / "links").mkdir()
    (folder / "files").mkdir()
    for name in names:
        (folder / "links" / name).symlink_to(f"../files/{name}")
    return folder / "links", folder / "files"


def test_saves_go_through_links(tiny_folder, tmp_path):
    names = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
    links, files = linked(tmp_path, names)
    (files / "config.json").write_text("old")
    config = BertConfig(**checkpoints.TINY)
    config.save_pretrained(links)
    assert (files / "config.json").read_text() == config.to_json_string()
    config.vocab_size += 1
    config.to_json_file(links / "config.json")
    assert (files / "config.json").read_text() == config.to_json_string()
    model = BertModel.from_pretrained(tiny_folder)
    model.save_pretrained(links)
    AutoTokenizer.from_pretrained(vocabulary_folder(tmp_path / "vocabulary")).save_pretrained(links)
    assert sorted(os.listdir(files)) == sorted(os.listdir(links)) == names
    assert all((links / name).is_symlink() and not (files / name).is_symlink() for name in names)
    ids = [[1, 2, 3]]
    np.testing.assert_array_equal(BertModel.from_pretrained(files)(ids)[0], model(ids)[0])
    assert AutoTokenizer.from_pretrained(files)("the cat")["input_ids"] == [2, 5, 7, 3]


def test_a_set_of_files_that_fails_leaves_what_is_behind_its_links(tmp_path):
    links, files = linked(tmp_path, ["a", "b"])
    (files / "a").write_text("old")
    (links / "c").mkdir()
    with FileSet(links) as outputs:
        for name in ("a", "b"):
            with outputs.create(name) as file:
                file.write(b"new")
        with pytest.raises(IsADirectoryError, match="c"):
            outputs.create("c")
    assert (os.listdir(files), (files / "a").read_text()) == (["a"], "old")


def test_only_files_and_links_to_them_are_stale_weights(tmp_path):
    (tmp_path / "model-00001-of-00002.safetensors").symlink_to("mine")
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "model-00002-of-00002.safetensors").write_text("")
    os.mkfifo(tmp_path / "model.safetensors")
    remove_stale_weights(str(tmp_path), [])
    assert sorted(os.listdir(tmp_path)) == ["mine", "model.safetensors"]


def test_a_fifo_among_the_files_is_written_to(tiny_folder, tmp_path):
    model = BertModel.from_pretrained(tiny_folder)
    model.save_pretrained(tmp_path / "plain")
    (tmp_path / "saved").mkdir()
    fifo, got = tmp_path / "saved" / "model.safetensors", []
    os.mkfifo(fifo)
    reader = threading.Thread(target=lambda: got.append(fifo.read_bytes()), daemon=True)
    reader.start()
    model.save_pretrained(tmp_path / "saved")
    reader.join(30)
    assert stat.S_ISFIFO(fifo.lstat().st_mode)
    assert got == [(tmp_path / "plain" / "model.safetensors").read_bytes()]
    assert (tmp_path / "saved" / "config.json").read_text() == (tmp_path / "plain" / "config.json").read_text()
