"""Writing a sentence model, so that sentence-transformers loads it too."""

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import _core
from ..atomic import FileSet
from ..tokenization import NO_LIMIT, Tokenizer
from .chain import Chain
from .modules import SentenceModules
from .pooling import Pooling
from .router import Entry, Router
from .steps import KINDS as STEPS
from .steps import Step
from .transformer import within


def save(folder: str, modules: SentenceModules, chains: Mapping[str | None, Chain], settings: dict[str, Any]) -> None:
    """Writes the modules of all chains into a folder, each where it was read from; modules.json comes last.

    settings: of config_sentence_transformers.json. Raises OSError; no file is left half-written.
    """
    found: dict[Entry, Any] = {}
    for chain in chains.values():
        found[chain.entries[0]] = chain
        found |= {entry: chain.pooling for entry in chain.entries if entry[0] == "Pooling"}
        found |= zip([entry for entry in chain.entries if entry[0] in STEPS], chain.steps, strict=True)
    for (_, place), module in found.items():
        inner = os.path.join(folder, place)
        if _files(module, modules):
            os.makedirs(inner, exist_ok=True)
        if isinstance(module, Chain):
            module.model.save_pretrained(inner)
            module.tokenizer.save_pretrained(inner)
    with FileSet(folder) as files:
        for (_, place), module in found.items():
            for name, data in _files(module, modules):
                with files.create(within(place, name)) as file:
                    file.write(data)
        for entry in modules.entries:
            if isinstance(entry, Router):
                os.makedirs(os.path.join(folder, entry.folder), exist_ok=True)
                with files.create(within(entry.folder, "router_config.json")) as file:
                    file.write(_json(_router(entry)))
        for name, value in (
            ("config_sentence_transformers.json", {"__version__": {"filbert": _core.__version__}, **settings}),
            ("modules.json", [_listed(index, entry) for index, entry in enumerate(modules.entries)]),
        ):
            with files.create(name) as file:
                file.write(_json(value))
        files.commit()


def _files(module: Chain | Pooling | Step, modules: SentenceModules) -> list[tuple[str, bytes]]:
    """The files of a module, beside those of an encoder and its tokenizer."""
    if isinstance(module, Chain):
        if module.pooling is None:
            return [("tokenizer.json", _cutting(module.tokenizer))]
        lower = modules.transformers[module.entries[0][1]].do_lower_case
        settings = {"max_seq_length": module.tokenizer.model_max_length, "do_lower_case": lower}
        return [("sentence_bert_config.json", _json(settings))]
    if isinstance(module, Pooling):
        return [("config.json", _json(module.config()))]
    files = [] if module.kind == "Normalize" else [("config.json", _json(module.config()))]
    # In the order of rows: the package writes memory as it lies.
    if tensors := {name: np.ascontiguousarray(tensor) for name, tensor in module.tensors().items()}:
        from safetensors.numpy import save as to_bytes

        files.append(("model.safetensors", to_bytes(tensors, {"format": "pt"})))
    return files


def _cutting(tokenizer: Tokenizer) -> bytes:
    """tokenizer.json with where texts are cut, of which a StaticEmbedding has no other file."""
    from tokenizers import Tokenizer as Backend

    backend = Backend.from_str(tokenizer.backend_tokenizer.to_str())
    if tokenizer.model_max_length < NO_LIMIT:
        backend.enable_truncation(tokenizer.model_max_length, direction=tokenizer.truncation_side)
    return backend.to_str(pretty=True).encode()


def _router(router: Router) -> dict[str, Any]:
    start = len(router.folder) + 1 if router.folder else 0
    return {
        "types": {place[start:]: _class(kind) for entries in router.routes.values() for kind, place in entries},
        "structure": {name: [place[start:] for _, place in entries] for name, entries in router.routes.items()},
        "parameters": {
            "default_route": router.default_route,
            "allow_empty_key": router.default_route is not None,
            "route_mappings": {str(key): name for key, name in router.mappings.items()},
        },
    }


def _listed(index: int, entry: Entry | Router) -> dict[str, Any]:
    kind, place = ("Router", entry.folder) if isinstance(entry, Router) else entry
    return {"idx": index, "name": str(index), "path": place, "type": _class(kind)}


def _class(kind: str) -> str:
    """By the name that all versions of sentence-transformers know."""
    return f"sentence_transformers.models.{kind}"


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()
