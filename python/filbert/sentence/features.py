"""Calling a sentence model with what its tokenizer gives, as a module of PyTorch is called."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..batching import packed
from ..errors import InputError
from ..interop import prepare
from ..libraries import like
from .chain import Chain


def run_features(chain: Chain, features: Mapping[str, Any]) -> dict[str, Any]:
    """The features, with "token_embeddings" [n, tokens, hidden] and "sentence_embedding" [n, size].

    features: "input_ids" and "attention_mask", [n, tokens]; masked tokens have zeros for vectors. "prompt_length": the
    tokens that pooling leaves out, where it leaves out a prompt. Tensors of PyTorch if the ids are. Raises InputError
    and MemoryError.
    """
    if "input_ids" not in features:
        raise InputError(f"features: found {', '.join(features) or 'nothing'}, expected input_ids among them")
    inputs = prepare(features["input_ids"], features.get("attention_mask"), features.get("token_type_ids"), None)
    ids = inputs.input_ids
    mask = np.ones(ids.shape, bool) if inputs.attention_mask is None else inputs.attention_mask != 0
    if chain.pooling is None:
        rows = [row[kept] for row, kept in zip(ids, mask, strict=True)]
        found = {"sentence_embedding": chain.finish_rows(chain.model.embed(*packed(rows), "mean"))}
    else:
        hidden = chain.model(ids, mask, inputs.token_type_ids).last_hidden_state
        skips = not chain.pooling.include_prompt and "prompt_length" in features
        skipped = int(np.ravel(features["prompt_length"])[0]) if skips else 0
        vectors = [chain.finish(tokens[kept], skipped) for tokens, kept in zip(hidden, mask, strict=True)]
        found = {
            "token_embeddings": hidden,
            "sentence_embedding": np.stack(vectors) if vectors else np.zeros((0, chain.size), np.float32),
        }
    pattern = like(features["input_ids"])
    return {**features, **{name: pattern.from_numpy(array) if pattern else array for name, array in found.items()}}
