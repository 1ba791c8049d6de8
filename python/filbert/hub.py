"""Finding the files of a model: in a folder, or on the hub through `huggingface_hub` and its cache."""

import os
from collections.abc import Mapping
from typing import Any

from .errors import InputError

# The keywords of a Source.
_KEYWORDS = ("revision", "subfolder", "cache_dir", "token", "local_files_only", "force_download", "variant")

# Tried in this order, as transformers does. An index names the shards beside it.
_WEIGHTS = (
    ("model", ".safetensors", ""),
    ("model", ".safetensors", ".index"),
    ("pytorch_model", ".bin", ""),
    ("pytorch_model", ".bin", ".index"),
)


class Source:
    """A model folder, or a repository on the hub. A folder of that name wins.

    The first file that is found fixes the commit, so that all files come from one; with a commit id as `revision`
    a file in the cache costs no request. Only the files asked for are fetched. The HF_* variables of
    `huggingface_hub` hold. Raises InputError, before any I/O, for a name, revision, subfolder or variant
    that could lead out of the cache.
    """

    def __init__(
        self,
        name_or_path: str | os.PathLike[str],
        *,
        revision: str | None = None,
        subfolder: str | os.PathLike[str] = "",
        cache_dir: str | os.PathLike[str] | None = None,
        token: str | bool | None = None,
        local_files_only: bool = False,
        force_download: bool = False,
        variant: str | None = None,
    ) -> None:
        if not isinstance(name_or_path, str | bytes | os.PathLike):
            raise InputError(f"model name: found {name_or_path!r:.100}, expected a folder or a hub id")
        self.name = os.fsdecode(name_or_path)
        if isinstance(subfolder, os.PathLike):
            subfolder = "" if os.fspath(subfolder) == "." else os.fspath(subfolder)
        if not self.name or "\0" in self.name:
            raise InputError(f"model name: found {self.name!r}, expected a folder or a hub id")
        if revision is not None:
            _check("revision", revision)
        if subfolder:
            _check("subfolder", subfolder)
        if variant is not None:
            _check("variant", variant)
            if "/" in variant:
                raise InputError(f"variant: found {variant!r}, expected a name such as 'fp16'")
        self._variant = variant
        self._subfolder = (subfolder or "").rstrip("/")
        self._revision = revision
        self._commit = revision if revision is not None and _is_commit(revision) else None
        self._options: dict[str, Any] = {
            "cache_dir": cache_dir,
            "token": token,
            "local_files_only": local_files_only,
            "force_download": force_download,
        }
        self.is_local = os.path.isdir(self.name)
        if not self.is_local and _looks_like_path(self.name):
            kind = "is a file, not a folder" if os.path.exists(self.name) else "does not exist"
            raise FileNotFoundError(f"{self.name}: {kind}; expected a model folder or a hub id such as 'org/model'")
        self._unavailable: dict[str, str] = {}  # why `find` could not look on the hub
        self._unreachable: set[str] = set()  # those of them that the hub was asked for

    @property
    def revision(self) -> str | None:
        """The commit, once a file of it was found; until then what was asked for."""
        return self._commit or self._revision

    @property
    def subfolder(self) -> str:
        return self._subfolder

    def names(self) -> list[str] | None:
        """The files that there are, sorted, those one folder down too, no hidden ones; None if that cannot be told."""
        try:
            names = self._listed_here() if self.is_local else self._listed_on_the_hub()
        except Exception:  # of what a file system or an HTTP client may raise: names are for messages alone
            return None
        return None if names is None else sorted(name for name in names if name.count("/") < 2 and name[0] != ".")

    def find(self, name: str) -> str | None:
        """The path of one file, or None if the folder or repository does not have it (or cannot be reached for it).

        Raises OSError if there is no such repository or revision, or no permission to read it.
        """
        _check("file name", name)
        if not self.is_local:
            return self._download(name)
        path = os.path.join(self.name, self._subfolder, name)
        return path if os.path.isfile(path) else None

    def get(self, name: str) -> str:
        """The path of one file. Raises OSError if it is missing."""
        path = self.find(name)
        if path is None:
            raise self._no_model(name) if name == "config.json" else self.missing(name)
        return path

    def weights(self, use_safetensors: bool | None = None) -> str:
        """The weights file, or the index of its shards, which are fetched too. Raises OSError if there is none.

        use_safetensors: True looks for safetensors only, False for pytorch_model.bin only, None for either.
        """
        infix = f".{self._variant}" if self._variant else ""
        candidates = [
            f"{stem}{suffix}{index}{infix}.json" if index else f"{stem}{infix}{suffix}"
            for stem, suffix, index in _WEIGHTS
            if use_safetensors is None or use_safetensors == (suffix == ".safetensors")
        ]
        for name in candidates:
            path = self.find(name)
            if path is None:
                continue
            if name.endswith(".json") and not self.is_local:
                self._fetch_shards(path)
            return path
        raise self._no_model(*candidates)

    def find_if_known(self, name: str) -> str | None:
        """As `find`, for a file whose absence changes what a model computes: not known to be absent is an OSError.

        Where the caller asked for the cache alone, what is not in it is absent: nothing else can ever be known.
        """
        path = self.find(name)
        if path is None and name in self._unreachable:
            raise self.missing(name)
        return path

    def missing(self, *names: str) -> OSError:
        """An error that says that none of `names` could be had, and why."""
        wanted = " or ".join(os.path.join(self._subfolder, name) for name in names)
        if self.is_local:
            return FileNotFoundError(f"{self.name}: the folder has no {wanted}")
        message = f"{self.name}: no {wanted} in that repository"
        if self._revision is not None:
            message += f" at revision {self._revision!r}"
        reason = next((self._unavailable[name] for name in names if name in self._unavailable), None)
        if reason is not None:
            message = f"{self.name}: {wanted} is not in the cache {self._cache()}, and {reason}"
        if "/" not in self.name:
            message += f"; nor is there a folder named {self.name!r} here"
        return FileNotFoundError(message)

    def _no_model(self, *names: str) -> OSError:
        """As `missing`, of files without which there is no model; with what a folder has instead."""
        from .other_files import instead

        return FileNotFoundError(f"{self.missing(*names)}{instead(self)}")

    def _listed_here(self) -> list[str]:
        folder = os.path.join(self.name, self._subfolder)
        if not os.path.isdir(folder):
            return []
        names = []
        for name in os.listdir(folder):
            inner = os.path.join(folder, name)
            names += [f"{name}/{each}" for each in os.listdir(inner)] if os.path.isdir(inner) else [name]
        return names

    def _listed_on_the_hub(self) -> list[str] | None:
        from huggingface_hub import HfApi, constants

        if self._unavailable or self._options["local_files_only"] or constants.HF_HUB_OFFLINE:
            return None
        found = HfApi().list_repo_files(self.name, revision=self.revision, token=self._options["token"])
        folder = f"{self._subfolder}/" if self._subfolder else ""
        return [name.removeprefix(folder) for name in found if name.startswith(folder)]

    def _fetch_shards(self, index: str) -> None:
        from .weights import shard_names

        missing = [shard for shard in shard_names(index) if self.find(shard) is None]
        if missing:
            raise FileNotFoundError(f"{index}: shards are missing: {', '.join(missing)}. {self.missing(missing[0])}")

    def _cache(self) -> str:
        from huggingface_hub import constants

        return str(self._options["cache_dir"] or constants.HF_HUB_CACHE)

    def _download(self, name: str) -> str | None:
        from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
        from huggingface_hub.errors import (
            EntryNotFoundError,
            GatedRepoError,
            HFValidationError,
            LocalEntryNotFoundError,
            RepositoryNotFoundError,
            RevisionNotFoundError,
        )

        path = f"{self._subfolder}/{name}" if self._subfolder else name
        try:
            if self._commit is not None and not self._options["force_download"]:
                known = try_to_load_from_cache(self.name, path, self._options["cache_dir"], self._commit)
                if known is not None:
                    return known if isinstance(known, str) else None
            found: str = hf_hub_download(self.name, path, revision=self.revision, **self._options)
        except LocalEntryNotFoundError as error:
            if constants.HF_HUB_OFFLINE:
                self._unavailable[name] = "HF_HUB_OFFLINE is set"
            elif self._options["local_files_only"]:
                self._unavailable[name] = "local_files_only is set"
            else:
                self._unreachable.add(name)
                self._unavailable[name] = (
                    f"the hub cannot be reached ({error.__cause__ or error}); HF_HUB_OFFLINE=1 takes the cache as it is"
                )
            return None
        except EntryNotFoundError:
            return None
        except GatedRepoError as error:
            raise PermissionError(
                f"{self.name}: access to this repository must be asked for on its page, and a token passed with "
                f"token=... or HF_TOKEN ({_first_line(error)})"
            ) from error
        except RepositoryNotFoundError as error:
            raise FileNotFoundError(
                f"{self.name}: neither a folder here nor a model on the hub; a private model needs token=... "
                f"or HF_TOKEN ({_first_line(error)})"
            ) from error
        except RevisionNotFoundError as error:
            raise FileNotFoundError(f"{self.name}: the repository has no revision {self._revision!r}") from error
        except HFValidationError as error:
            raise FileNotFoundError(f"{self.name}: neither a folder here nor a valid hub id ({error})") from error
        except (OSError, ValueError):
            raise
        except Exception as error:  # of the HTTP client that this version of the hub's library uses
            raise OSError(f"{self.name}: {path} cannot be fetched: {error}") from error
        if self._commit is None:
            # <cache>/models--org--name/snapshots/<commit>/<path>
            snapshot = found.split(os.sep)[-2 - path.count("/")]
            self._commit = snapshot if _is_commit(snapshot) else None
        return found


def _check(what: str, value: str) -> None:
    parts = value.replace("\\", "/").split("/") if isinstance(value, str) else []
    if not parts or not value or "\0" in value or ".." in parts or parts[0] == "" or ":" in parts[0]:
        raise InputError(f"{what}: found {value!r}, expected a relative name without '..'")


def _is_commit(revision: str) -> bool:
    return len(revision) == 40 and all(character in "0123456789abcdef" for character in revision)


def _looks_like_path(name: str) -> bool:
    return (
        os.path.isabs(name)
        or name.startswith((".", "~"))
        or name.endswith(("/", os.sep))
        or name.count("/") > 1
        or "\\" in name
        or os.path.exists(name)
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]


def hub_keywords(keywords: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the keywords that a Source takes."""
    return {key: keywords[key] for key in _KEYWORDS if key in keywords}
