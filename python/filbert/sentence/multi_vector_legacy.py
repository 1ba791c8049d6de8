"""Late interaction as it was saved before sentence-transformers had it: by PyLate, and by Stanford's ColBERT."""

import string
import warnings
from typing import Any

from ..hub import Source
from ..jsonfile import read_object
from .dense import Dense
from .multi_vector_settings import LENGTHS, MultiVectorModules, texts_of
from .tensors import read_tensor
from .transformer import optional

PUNCTUATION = list(string.punctuation)
# Keys of config_sentence_transformers.json; any of them says that PyLate wrote it.
PYLATE_KEYS = (
    *LENGTHS,
    *("do_query_expansion", "attend_to_expansion_tokens", "attend_to_mask_tokens"),
    *("query_prefix", "document_prefix", "skiplist_words"),
)
_QUERY_LENGTH = 32  # of either, where no file says it


def read_pylate(path: str, settings: dict[str, Any], modules: MultiVectorModules) -> dict[str, Any]:
    """Takes prefixes and words to skip out of config_sentence_transformers.json, and gives its LENGTHS.

    Raises ConfigError.
    """
    for key, role in (("query_prefix", "query"), ("document_prefix", "document")):
        if key in settings:
            prefix = optional(path, settings, key, str) or ""
            modules.markers.append(prefix)
            modules.prompts[role] = prefix + modules.prompts.get(role, "").removeprefix(prefix)
    modules.skiplist_words = texts_of(path, settings, "skiplist_words") or []
    if settings.get("skiplist_words") is None and modules.markers:
        modules.skiplist_words = PUNCTUATION
    lengths = {key: settings[key] for key in LENGTHS if settings.get(key) is not None}
    if "query_expansion" in settings or not any(key in settings for key in PYLATE_KEYS):
        return lengths
    if settings.get("do_query_expansion") is not False:
        attend = settings.get("attend_to_expansion_tokens", settings.get("attend_to_mask_tokens"))
        length = lengths.pop("query_length", None) or _QUERY_LENGTH
        lengths["query_expansion"] = {"strategy": "fixed", "attend": bool(attend), "length": length}
    return lengths


def read_stanford(source: Source, modules: MultiVectorModules) -> Dense:
    """Takes everything out of artifact.metadata, and gives the projection, which is in the file of the weights.

    Raises ConfigError, WeightsError and OSError.
    """
    path = source.find_if_known("artifact.metadata")
    if path is None:
        warnings.warn(f"{source.name} has no artifact.metadata: its settings are those of ColBERTv2", stacklevel=4)
    where = path or source.name
    metadata = read_object(path) if path is not None else {}
    for key, role, usual in (("query_token_id", "query", "[unused0]"), ("doc_token_id", "document", "[unused1]")):
        modules.prompts[role] = f"{optional(where, metadata, key, str) or usual} "
        modules.markers.append(modules.prompts[role])
    length = optional(where, metadata, "query_maxlen", int) or _QUERY_LENGTH
    attend = bool(metadata.get("attend_to_mask_tokens"))
    expansion = {"strategy": "fixed", "attend": attend, "length": length}
    modules.read_lengths(where, {"document_length": metadata.get("doc_maxlen"), "query_expansion": expansion})
    modules.skiplist_words = PUNCTUATION if metadata.get("mask_punctuation", True) else []
    return Dense(read_tensor(source.weights(), "linear.weight"))
