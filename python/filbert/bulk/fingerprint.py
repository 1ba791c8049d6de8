"""What the vectors of a job depend on, told so that it is the same on every machine with the same files."""

import copy
import hashlib
import json
from typing import Any

from .._core import __version__
from ..sentence.encoder import SentenceEncoder
from ..sentence.transformer import choose_prompt
from ..tokenization import Tokenizer
from .settings import Settings

Fingerprint = dict[str, Any]

# Their vectors tell models apart by all that comes after the weights: pooling, further modules, settings, kernels.
_PROBES = ["", "filbert", "The quick brown fox jumps over the lazy dog. 0123456789", "Größe, 北京, \U0001f330"]
# Tokens of a further one: settings of long texts tell there, and a second or so is what it may cost.
_LONG = 2048


def fingerprint(encoder: SentenceEncoder, settings: Settings) -> Fingerprint:
    """By name what may differ between two jobs; never a path or a date. Raises InputError for options that do not fit.

    Of a model with a Router it is of what texts of the task go through. Reads all weights once, at the speed of
    SHA-256: about a second a gigabyte.
    """
    options = settings.options
    prompt = choose_prompt(
        encoder.prompts, encoder.default_prompt_name, options.get("prompt"), options.get("prompt_name")
    )
    chain = encoder.chain(options.get("task"))
    model, tokenizer = chain.model, chain.tokenizer
    probes = [*_PROBES, _longer_than(min(tokenizer.model_max_length, _LONG))]
    # A copy: what is cut of a probe is not counted as a text of the caller's.
    vectors = copy.copy(encoder).encode(probes, **{**options, "on_truncate": "ignore", "show_progress_bar": False})
    return {
        "filbert": __version__,
        "weights": model.weights_digest(),
        "tokenizer": _tokenizer_digest(tokenizer),
        "max_seq_length": tokenizer.model_max_length,
        "truncation_side": tokenizer.truncation_side,
        "dtype": model.dtype,
        "device": model.device.split(":")[0],
        "isa": model.isa,
        "task": options.get("task"),
        "prompt": prompt,
        "normalize_embeddings": bool(options.get("normalize_embeddings")),
        "truncate_dim": encoder.truncate_dim if options.get("truncate_dim") is None else options["truncate_dim"],
        "precision": settings.precision,
        "texts that are too long": "refused" if options.get("on_truncate") == "raise" else "cut",
        "vectors": hashlib.sha256(vectors.tobytes()).hexdigest(),
        "column": settings.column,
        "columns kept": list(settings.kept),
    }


def _longer_than(tokens: int) -> str:
    return " ".join(map(str, range(tokens + 1)))


def _tokenizer_digest(tokenizer: Tokenizer) -> str:
    described = json.loads(tokenizer.backend_tokenizer.to_str())
    for of_a_call in ("truncation", "padding"):
        described.pop(of_a_call, None)
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
