"""Writing a cross-encoder, so that sentence-transformers loads it too."""

from typing import Any

from ..encoder import EncoderModel
from ..tokenization import Tokenizer
from .chat_template import ChatTemplate
from .reranker import LOGITS, RerankerModules
from .router import Entry
from .saving import Part, as_json, save_parts, transformer_part


def save(
    folder: str,
    modules: RerankerModules,
    model: EncoderModel,
    tokenizer: Tokenizer,
    template: ChatTemplate | None,
    settings: dict[str, Any],
) -> None:
    """Writes the modules into a folder, whether they were read from a modules.json or not; see `save_parts`."""
    task, output = modules.task()
    modality: dict[str, Any] = {"text": LOGITS}
    if template is not None:
        modality["message"] = {**LOGITS, "format": "structured" if template.structured else "flat"}
    own = {"transformer_task": task, "modality_config": modality, "module_output_name": output}
    parts: dict[Entry, Part] = {}
    parts["Transformer", modules.transformer] = part = transformer_part(model, tokenizer, modules, own)
    if template is not None:
        part.files["chat_template.jinja"] = template.text.encode()
    if modules.is_causal:
        names = ("true_token_id", "false_token_id")
        ids = dict(zip(names, modules.next_tokens or [], strict=False))
        parts["LogitScore", "1_LogitScore"] = Part(
            {"config.json": as_json({**dict.fromkeys(names), **ids, "module_input_name": output})}
        )
    if modules.full_precision:
        settings = {**settings, "keep_in_fp32_modules": modules.full_precision}
    save_parts(folder, list(parts), parts, {"model_type": "CrossEncoder", **settings})
