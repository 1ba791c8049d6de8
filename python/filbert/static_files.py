"""The files of a static model, in the one form that filbert, model2vec and sentence-transformers all read."""

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from .atomic import FileSet
from .tokenization import Tokenizer
from .weights import Entry, remove_stale_weights, write_safetensors

# In the order in which they appear there: the last makes the others a model of sentence-transformers.
_NAMES = ("tokenizer.json", "model.safetensors", "config.json", "config_sentence_transformers.json", "modules.json")
_MODULES = [("", "StaticEmbedding"), ("1_Normalize", "Normalize")]


class StaticFiles:
    """A folder that a static model is to be written to.

        with StaticFiles(folder) as files:
            files.write(table, tokenizer, settings)

    That it can be written to is known when this is made. Until `write` returns, and after any failure, it holds what
    it held. Raises OSError.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = os.fspath(folder)
        os.makedirs(self._folder, exist_ok=True)
        self._files = FileSet(self._folder)
        try:
            self._open = {name: self._files.create(name) for name in _NAMES}
        except BaseException:
            self._files.__exit__(None, None, None)
            raise

    def __enter__(self) -> "StaticFiles":
        return self

    def __exit__(self, *error: Any) -> None:
        self._files.__exit__(*error)

    def write(self, table: npt.NDArray[np.float32], tokenizer: Tokenizer, settings: Mapping[str, Any]) -> None:
        """Puts everything into its place.

        Args:
            table: float32 [ids, dims], a row for each id.
            tokenizer: what makes the ids; nothing of it is changed.
            settings: how the table was made, for config.json.

        Raises:
            OSError: the old files are there still.
        """
        vocabulary = tokenizer.get_vocab()
        tensors: dict[str, npt.NDArray[Any]] = {"embeddings": table}
        if len(vocabulary) != len(table):  # ids that no token has: model2vec takes as many rows as there are tokens
            ids = np.sort(np.fromiter(vocabulary.values(), np.int64))
            mapping = np.zeros(len(table), np.int64)
            mapping[ids] = np.arange(len(ids))
            tensors = {"embeddings": table[ids], "mapping": mapping}
        config = {
            "model_type": "model2vec",
            "architectures": ["StaticModel"],
            **settings,
            "hidden_dim": table.shape[1],
            "normalize": True,
            "max_length": None,  # model2vec would cut texts to 512 tokens
        }
        modules = [
            {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for index, (path, kind) in enumerate(_MODULES)
        ]
        self._open["tokenizer.json"].write(tokenizer.backend_tokenizer.to_str().encode())
        write_safetensors(self._open["model.safetensors"], [_entry(*tensor) for tensor in tensors.items()])
        self._write_json("config.json", config)
        self._write_json("config_sentence_transformers.json", {"similarity_fn_name": "cosine"})
        self._write_json("modules.json", modules)
        self._files.commit()
        remove_stale_weights(self._folder, ["model.safetensors"])

    def _write_json(self, name: str, value: Any) -> None:
        self._open[name].write((json.dumps(value, indent=2) + "\n").encode())


def _entry(name: str, array: npt.NDArray[Any]) -> Entry:
    kind = {"float32": "F32", "int64": "I64"}[array.dtype.name]
    return Entry(name, kind, array.shape, np.ascontiguousarray(array).reshape(-1).view(np.uint8))
