"""Writing a sparse model, so that sentence-transformers loads it too."""

from collections.abc import Mapping
from typing import Any

from .saving import Part, as_json, as_safetensors, save_parts, step_part, transformer_part
from .sparse_modules import SparseModules
from .sparse_routes import Route, SpladeRoute, TableRoute
from .steps import Normalize


def save(folder: str, modules: SparseModules, routes: Mapping[str, Route], settings: dict[str, Any]) -> None:
    """Writes the modules of all routes into a folder; see `save_parts`."""
    parts = {}
    for name, route in routes.items():
        for kind, place in modules.chain(name):
            parts[kind, place] = step_part(Normalize()) if kind == "Normalize" else _part(kind, route)
    save_parts(folder, modules.entries, parts, {"model_type": "SparseEncoder", **settings})


def _part(kind: str, route: Route) -> Part:
    """A module of a route but the last one, Normalize."""
    if isinstance(route, TableRoute):
        files = {
            "config.json": as_json({"frozen": route.files.frozen}),
            "model.safetensors": as_safetensors({"weight": route.weights}),
        }
        return Part(files, tokenizer=route.tokenizer)
    assert isinstance(route, SpladeRoute)
    if kind == "SpladePooling":
        settings = {"pooling_strategy": route.files.pooling, "activation_function": route.files.activation}
        return Part({"config.json": as_json({**settings, "embedding_dimension": route.size})})
    return transformer_part(route.model, route.tokenizer, route.files.transformer, {"transformer_task": "fill-mask"})
