"""Writing a model of late interaction as sentence-transformers 6 does, whatever format it was read from."""

from typing import Any

from ..encoder import EncoderModel
from ..tokenization import Tokenizer
from .multi_vector_settings import MultiVectorModules
from .router import Entry
from .saving import Part, as_json, save_parts, step_part, transformer_part

_NAMES = {"module_input_name": "token_embeddings", "module_output_name": "token_embeddings"}


def save(
    folder: str, modules: MultiVectorModules, model: EncoderModel, tokenizer: Tokenizer, settings: dict[str, Any]
) -> None:
    """Writes the modules into a folder; see `save_parts`."""
    after = [(step.kind, step_part(step, _NAMES)) for step in modules.steps]
    if modules.has_mask:
        # Where sentence-transformers has it: after the last Dense.
        dense = [index for index, (kind, _) in enumerate(after, 1) if kind == "Dense"]
        after.insert(max(dense, default=0), ("MultiVectorMask", _mask(modules)))
    parts: dict[Entry, Part] = {}
    parts["Transformer", modules.transformer] = transformer_part(model, tokenizer, modules, _lengths(modules))
    parts |= {(kind, f"{index}_{kind}"): part for index, (kind, part) in enumerate(after, 1)}
    save_parts(folder, list(parts), parts, {"model_type": "MultiVectorEncoder", **settings})


def _mask(modules: MultiVectorModules) -> Part:
    config = {
        "skiplist_words": modules.skiplist_words,
        "skiplist_tasks": modules.skiplist_tasks,
        "keep_only_token_ids": modules.keep_only_token_ids or None,
    }
    return Part({"config.json": as_json(config)})


def _lengths(modules: MultiVectorModules) -> dict[str, Any]:
    lengths: dict[str, Any] = {"query_length": modules.query_length, "document_length": modules.document_length}
    if (expansion := modules.expansion) is not None:
        lengths["query_expansion"] = {
            "strategy": "fixed" if expansion.is_fixed else "min",
            "length": expansion.length,
            "attend": expansion.attend,
            "token": expansion.token,
        }
    return {key: value for key, value in lengths.items() if value is not None}
