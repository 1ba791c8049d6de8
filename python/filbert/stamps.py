"""What tells that the folder of a model was written again: sizes and times of its files."""

import os
import re

from .errors import InputError

# Path in the folder -> size, time of writing in ns, inode.
Stamp = dict[str, tuple[int, int, int]]

# Names of files that models are read from. Others, such as results, may be written beside them.
_IS_READ = re.compile(
    r"((adapter_)?config.*|modules|sentence_.*|router_config|idf|text_classifier|.*\.index)\.json"
    r"|(tokenizer.*|special_tokens_map|added_tokens)\.json|vocab\.txt|.*\.(safetensors|bin|pt)"
)
# Folders below that of the model: a module's, and in a Router's that of one of its modules.
_DEEPEST = 2


def stamp_of(folder: str) -> Stamp:
    """The stamp of the files that a model is read from; empty for what is no folder."""
    stamp: Stamp = {}
    for path, folders, names in os.walk(folder, followlinks=True):
        inner = os.path.relpath(path, folder)
        depth = 0 if inner == "." else inner.count(os.sep) + 1
        folders[:] = [name for name in folders if name[0] != "."] if depth < _DEEPEST else []
        for name in names:
            if _IS_READ.fullmatch(name):
                try:
                    found = os.stat(os.path.join(path, name))
                except OSError:  # removed since, or a link to nothing
                    continue
                stamp[os.path.normpath(os.path.join(inner, name))] = found.st_size, found.st_mtime_ns, found.st_ino
    return stamp


def this_machine() -> str:
    return os.uname().nodename


def refuse_changed(folder: str, machine: str, then: Stamp) -> None:
    """Raises InputError if a file is not the one that a model was loaded from. machine: where that was.

    Files that came or went tell nothing: checkpoints lie beside models, and loading misses what it needs.
    """
    now = stamp_of(folder)
    # A copy of the folder on another machine has times of its own, and no restored backup its inodes.
    compared = 2 if machine == this_machine() else 1
    for name in sorted(then.keys() & now.keys()):
        if then[name][:compared] != now[name][:compared]:
            raise InputError(
                f"{os.path.join(folder, name)}: was written again after the model was loaded that is pickled, and a "
                "pickle holds no weights: load the model anew and pickle that"
            )
