"""Reading a whole file, with a limit, and an error that names the cause where something else is in its place."""

import os

from .errors import FilbertError


def read_file(path: str | os.PathLike[str], limit: int, error: type[FilbertError]) -> bytes:
    """The bytes of a file of at most `limit` bytes. Raises `error` (see also `refuse_stand_in`) and OSError."""
    with open(path, "rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise error(f"{os.fspath(path)}: found {os.path.getsize(path)} bytes, expected at most {limit}")
    refuse_stand_in(data[:1024], path, error)
    return data


def refuse_stand_in(begin: bytes, path: str | os.PathLike[str], error: type[FilbertError]) -> None:
    """Raises `error` if a file that begins so is empty, a pointer of Git LFS or an HTML page.

    csrc/files/stand_in.cpp says the same of the files that C++ reads.
    """
    found = None
    if not begin:
        found = "the file is empty"
    elif begin.startswith(b"version https://git-lfs.github.com/spec/"):
        found = "found a pointer of Git LFS instead of the file itself (`git lfs pull` in its folder fetches it)"
    elif begin.lstrip(b" \t\r\n").lower().startswith((b"<!doctype html", b"<html")):
        found = "found an HTML page instead of the file itself (of a proxy or a log-in?)"
    if found is not None:
        raise error(f"{os.fspath(path)}: {found}")
