"""What the vectors of a job depend on, told so that it is the same on every machine with the same files."""

import hashlib
import json
from typing import Any

from .._core import __version__
from ..sentence import SentenceEncoder
from ..sentence.transformer import choose_prompt
from .settings import Settings

Fingerprint = dict[str, Any]

# Their vectors tell models apart by all that comes after the weights: pooling, further modules, settings, kernels.
_PROBES = ["", "filbert", "The quick brown fox jumps over the lazy dog. 0123456789", "Größe, 北京, \U0001f330"]


def fingerprint(encoder: SentenceEncoder, settings: Settings) -> Fingerprint:
    """By name what may differ between two jobs; never a path or a date. Raises InputError for options that do not fit.

    Reads all weights once, at the speed of SHA-256: about a second a gigabyte.
    """
    options = settings.options
    prompt = choose_prompt(
        encoder.prompts, encoder.default_prompt_name, options.get("prompt"), options.get("prompt_name")
    )
    probes = encoder.encode(_PROBES, **{**options, "on_truncate": "ignore", "show_progress_bar": False})
    return {
        "filbert": __version__,
        "weights": encoder.model.weights_digest(),
        "tokenizer": _tokenizer_digest(encoder),
        "max_seq_length": encoder.max_seq_length,
        "dtype": encoder.model.dtype,
        "device": encoder.model.device.split(":")[0],
        "isa": encoder.model.isa,
        "task": options.get("task"),
        "prompt": prompt,
        "normalize_embeddings": bool(options.get("normalize_embeddings")),
        "truncate_dim": encoder.truncate_dim if options.get("truncate_dim") is None else options["truncate_dim"],
        "precision": settings.precision,
        "texts that are too long": "refused" if options.get("on_truncate") == "raise" else "cut",
        "vectors": hashlib.sha256(probes.tobytes()).hexdigest(),
        "column": settings.column,
        "columns kept": list(settings.kept),
    }


def _tokenizer_digest(encoder: SentenceEncoder) -> str:
    described = json.loads(encoder.tokenizer.backend_tokenizer.to_str())
    for of_a_call in ("truncation", "padding"):
        described.pop(of_a_call, None)
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
