"""Router: modules that stand in each other's place, chosen by what a text is encoded for. Older files call it Asym."""

import ast
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import ConfigError, InputError
from ..hub import Source
from ..jsonfile import read_object
from ..settings import warn_about_unknown
from .transformer import kind_of, within

KINDS = ("Router", "Asym")

_MODALITY = "text"
_LONGEST_KEY = 200  # of a mapping, whose keys are Python tuples written out

Entry = tuple[str, str]  # the kind of a module, and its folder


@dataclass
class Router:
    """routes: the modules of each, one after the other. mappings: the name of a route for a task and a modality, None
    for any. default_route: the name where nothing else tells."""

    folder: str
    routes: dict[str, list[Entry]]
    mappings: dict[Any, str] = field(default_factory=dict)
    default_route: str | None = None

    def tasks(self) -> set[str]:
        """Those that routes are chosen by."""
        return {*self.routes, *(task for task, _ in self.mappings if task is not None)}

    def route_name(self, task: str | None) -> str:
        """The name of the route of a task, in sentence-transformers' order. Raises InputError if there is none."""
        for key in ((task, _MODALITY), (task, None), (None, _MODALITY), (None, None)):
            if key in self.mappings:
                return self.mappings[key]
        for name in (task, _MODALITY):
            if name in self.routes:
                return str(name)
        if task is not None or self.default_route is None:
            raise InputError(f"task: found {task!r}, the model's Router has {', '.join(self.routes)}")
        return self.default_route


def read_router(source: Source, folder: str, kinds: Collection[str], supported: str) -> tuple[str, Router]:
    """The path of a Router's settings, and what they say. kinds, supported: see `read_entries`. Raises ConfigError."""
    path = source.find(within(folder, "router_config.json"))
    path = source.get(within(folder, "config.json")) if path is None else path  # as Asym called it
    config = read_object(path)
    warn_about_unknown(path, config, {"types", "structure", "parameters"})
    types, structure = config.get("types"), config.get("structure")
    parameters = config.get("parameters") or {}
    if not all(isinstance(part, dict) for part in (types, structure, parameters)) or not types or not structure:
        raise ConfigError(f"{path}: expected objects types, structure and parameters, the first two not empty")
    kind_by_name = {name: kind_of(path, class_name, kinds, supported) for name, class_name in types.items()}
    routes = {}
    for name, modules in structure.items():
        if not name or not isinstance(modules, list) or not all(_is_in(kind_by_name, module) for module in modules):
            raise ConfigError(f"{path}: structure: {name!r}: found {modules!r:.100}, expected a list of names of types")
        routes[name] = [(kind_by_name[module], within(folder, module)) for module in modules]
    warn_about_unknown(path, parameters, {"default_route", "allow_empty_key", "route_mappings"})
    default = parameters.get("default_route")
    if default is None and parameters.get("allow_empty_key", True):
        default = next(iter(routes))
    mappings = _read_mappings(path, parameters.get("route_mappings") or {})
    for name in (*mappings.values(), *([] if default is None else [default])):
        if not _is_in(routes, name):
            raise ConfigError(f"{path}: found route {name!r}, expected one of {', '.join(routes)}")
    return path, Router(folder, routes, mappings, default)


def _read_mappings(path: str, mappings: Any) -> dict[Any, str]:
    """Routes by (task, modality), None for any of them."""
    if not isinstance(mappings, dict):
        raise ConfigError(f"{path}: route_mappings: found {mappings!r:.100}, expected an object")
    read = {}
    for text, name in mappings.items():
        try:
            task, modality = ast.literal_eval(text[:_LONGEST_KEY])
            if not (isinstance(task, str | None) and isinstance(modality, str | tuple | None)):
                raise ValueError
            read[task, modality] = name
        except (ValueError, SyntaxError, TypeError):
            message = f"{path}: route_mappings: found {text!r:.100}, expected a task and a modality"
            raise ConfigError(message) from None
    return read


def _is_in(names: Mapping[str, Any], name: Any) -> bool:
    return isinstance(name, str) and name in names
