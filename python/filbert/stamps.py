"""What tells that the folder of a model was written again: sizes and times of its files."""

import os
import re
from collections.abc import Iterator

# Path -> size, time of writing in ns, inode.
Stamp = dict[str, tuple[int, int, int]]

# Names of files that models are read from.
_IS_READ = re.compile(
    r"((adapter_)?config.*|modules|sentence_.*|router_config|idf|text_classifier|.*\.index)\.json"
    r"|(tokenizer.*|special_tokens_map|added_tokens|vocab)\.json|(vocab|merges)\.txt|chat_template\.jinja"
    r"|artifact\.metadata|.*\.(safetensors|bin|pt)"
)
# One of these is in the folder of any module that has files.
_MARKS = ("config.json", "router_config.json", "model.safetensors", "pytorch_model.bin")
# The model's, those of its modules, and those of a Router's.
_LEVELS = 3


def stamp_of(folder: str) -> Stamp:
    """The stamp of the files that a model is read from; empty for what is no folder."""
    stamp: Stamp = {}
    folders = [folder] if os.path.isdir(folder) else []
    for _ in range(_LEVELS):
        folders = [inner for each in folders for inner in _look_into(each, stamp)]
    return stamp


def _look_into(folder: str, stamp: Stamp) -> Iterator[str]:
    """Adds the files of a folder, and yields the folders in it that may be of modules."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                if any(os.path.exists(os.path.join(entry.path, mark)) for mark in _MARKS):
                    yield entry.path
            elif _IS_READ.fullmatch(entry.name):
                try:
                    found = entry.stat()
                except OSError:  # removed since, or a link to nothing
                    continue
                stamp[entry.path] = found.st_size, found.st_mtime_ns, found.st_ino
