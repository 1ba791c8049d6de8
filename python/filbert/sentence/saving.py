"""Writing a model of sentence-transformers: its modules, each with its files, and the settings beside them."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import _core
from ..atomic import FileSet
from ..encoder import EncoderModel
from ..tokenization import NO_LIMIT, Tokenizer
from ..weights import remove_stale_weights
from .chain import Chain
from .modules import SentenceModules
from .pooling import Pooling
from .router import Entry, Router
from .steps import KINDS as STEPS
from .steps import Step
from .transformer import TransformerModule
from .vectors import Floats

# Where the classes of modules are, by names that as many versions of sentence-transformers know as can be.
_PACKAGE = "sentence_transformers.models"
_PACKAGES = {
    **dict.fromkeys(
        ("MLMTransformer", "SpladePooling", "SparseStaticEmbedding"), "sentence_transformers.sparse_encoder.models"
    ),
    "LogitScore": "sentence_transformers.cross_encoder.modules.logit_score",
    "MultiVectorMask": "sentence_transformers.multi_vector_encoder.modules.multi_vector_mask",
}


@dataclass
class Part:
    """What a module is written as: files by their names, over those of its encoder and of its tokenizer."""

    files: dict[str, bytes] = field(default_factory=dict)
    model: EncoderModel | None = None
    tokenizer: Tokenizer | None = None


def save(folder: str, modules: SentenceModules, chains: Mapping[str | None, Chain], settings: dict[str, Any]) -> None:
    """Writes the modules of all chains of a SentenceEncoder; see `save_parts`."""
    parts: dict[Entry, Part] = {}
    for chain in chains.values():
        parts[chain.entries[0]] = _first(chain, modules)
        parts |= {entry: _pooling(chain.pooling) for entry in chain.entries if entry[0] == "Pooling" and chain.pooling}
        steps = [entry for entry in chain.entries if entry[0] in STEPS]
        parts |= zip(steps, map(step_part, chain.steps), strict=True)
    save_parts(folder, modules.entries, parts, settings)


def save_parts(
    folder: str, entries: Sequence[Entry | Router], parts: Mapping[Entry, Part], settings: dict[str, Any]
) -> None:
    """Writes modules into a folder, each where it was read from; modules.json comes last.

    settings: of config_sentence_transformers.json. Raises OSError: until all files are written the old ones are there.
    """
    os.makedirs(folder, exist_ok=True)
    weights: dict[str, list[str]] = {}
    with FileSet(folder) as files:
        for (_, place), part in parts.items():
            weights |= _write(files, place, part)
        for entry in entries:
            if isinstance(entry, Router):
                _create(files.within(entry.folder), "router_config.json", as_json(_router(entry)))
        settings = {"__version__": {"filbert": _core.__version__}, **settings}
        _create(files, "config_sentence_transformers.json", as_json(settings))
        _create(files, "modules.json", as_json([_listed(index, entry) for index, entry in enumerate(entries)]))
        files.commit()
    for place, names in weights.items():
        remove_stale_weights(os.path.join(folder, place), names)


def transformer_part(
    model: EncoderModel, tokenizer: Tokenizer, module: TransformerModule, settings: Mapping[str, Any] | None = None
) -> Part:
    """A Transformer module. settings: what its file says beside how texts are cut and lowered."""
    own = {"max_seq_length": tokenizer.model_max_length, "do_lower_case": module.do_lower_case, **(settings or {})}
    return Part({"sentence_bert_config.json": as_json(own)}, model, tokenizer)


def step_part(step: Step, settings: Mapping[str, Any] | None = None) -> Part:
    """A module after the first. settings: what its config.json says beside its own."""
    config = {**step.config(), **(settings or {})}
    files = {} if step.kind == "Normalize" and not config else {"config.json": as_json(config)}
    if tensors := step.tensors():
        files["model.safetensors"] = as_safetensors(tensors)
    return Part(files)


def as_json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def as_safetensors(tensors: Mapping[str, Floats]) -> bytes:
    from safetensors.numpy import save as to_bytes

    # In the order of rows: the package writes memory as it lies.
    return to_bytes({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, {"format": "pt"})


def _first(chain: Chain, modules: SentenceModules) -> Part:
    if chain.pooling is None:
        return Part({"tokenizer.json": _cutting(chain.tokenizer)}, chain.model, chain.tokenizer)
    return transformer_part(chain.model, chain.tokenizer, modules.transformers[chain.entries[0][1]])


def _pooling(pooling: Pooling) -> Part:
    return Part({"config.json": as_json(pooling.config())})


def _write(files: FileSet, place: str, part: Part) -> dict[str, list[str]]:
    """Creates the files of a module, and gives the names of those of its encoder's weights, by the place."""
    weights = {}
    if part.files or part.model is not None or part.tokenizer is not None:
        files = files.within(place)
    if part.model is not None:
        weights[place] = part.model.write(files)
    if part.tokenizer is not None:
        part.tokenizer.write(files)
    for name, data in part.files.items():
        _create(files, name, data)
    return weights


def _create(files: FileSet, name: str, data: bytes) -> None:
    with files.create(name) as file:
        file.write(data)


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
    return f"{_PACKAGES.get(kind, _PACKAGE)}.{kind}"
