"""Texts to the tokens of late interaction: markers, filled up queries, and which tokens keep their vectors."""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass

from ..encoder import EncoderModel
from ..errors import ConfigError
from ..tokenization import Tokenizer
from .multi_vector_settings import MultiVectorModules, QueryExpansion

TASKS = ("query", "document")


@dataclass(frozen=True)
class Row:
    """The tokens of one text. query_only: of how many at its end no token sees anything. kept: which have a vector."""

    ids: list[int]
    query_only: int
    kept: list[bool]

    def __len__(self) -> int:
        return len(self.ids)


class MultiVectorTokens:
    """Makes tokens of texts that were checked."""

    def __init__(self, tokenizer: Tokenizer, modules: MultiVectorModules, model: EncoderModel) -> None:
        """model: what the tokens are for. Raises ConfigError."""
        self._tokenizer, self._modules, self._longest = tokenizer, modules, model.max_tokens
        _register(tokenizer, modules.markers)
        self._skipped = frozenset(_skipped(tokenizer, modules.skiplist_words))
        self._only = frozenset(modules.keep_only_token_ids)
        expansion = modules.expansion
        # Filling that nothing sees and that has no vectors is as good as none; queries are cut all the same.
        self._fills = expansion is not None and (expansion.attend or modules.has_mask)
        self._filling = 0
        if expansion is not None:
            _check_expansion(tokenizer, expansion, model)
            self._filling = _filling(tokenizer, expansion)

    def rows(self, texts: list[str], task: str | None) -> list[Row]:
        """The tokens of texts for a task of TASKS, or for none. Raises InputError."""
        rows = self._tokenizer.truncated_ids(texts, self.limit(task))
        return [self._row(ids, task) for ids in rows]

    def limit(self, task: str | None) -> int:
        """The tokens of the longest text of a task."""
        modules, expansion = self._modules, self._modules.expansion
        longest = min(self._tokenizer.model_max_length, self._longest)
        length = {"query": modules.query_length, "document": modules.document_length}.get(task or "")
        if task == "query" and expansion is not None:
            if expansion.is_fixed:
                return expansion.length
            length = None if length is None else max(length, expansion.length)
        return longest if length is None else min(length, self._longest)

    def _row(self, ids: list[int], task: str | None) -> Row:
        modules, expansion, query_only = self._modules, self._modules.expansion, 0
        if task == "query" and expansion is not None and self._fills and len(ids) < expansion.length:
            filling = [self._filling] * (expansion.length - len(ids))
            query_only = 0 if expansion.attend else len(filling)
            ids = filling + ids if self._fills_left(expansion) else ids + filling
        kept = [True] * len(ids)
        if modules.has_mask and (task or "document") in modules.skiplist_tasks:
            kept = [index not in self._skipped for index in ids]
        if modules.has_mask and task != "query" and self._only:
            kept = [keep and index in self._only for keep, index in zip(kept, ids, strict=True)]
        return Row(ids, query_only, kept)

    def _fills_left(self, expansion: QueryExpansion) -> bool:
        return expansion.is_fixed and self._tokenizer.padding_side == "left"


def _register(tokenizer: Tokenizer, markers: Iterable[str]) -> None:
    """Makes a marker a token where the vocabulary has it, with the space behind it or without.

    Otherwise "[unused0]", say, would be taken apart as text is.
    """
    from tokenizers import AddedToken

    backend = tokenizer.backend_tokenizer
    for marker in filter(str.strip, markers):
        for token in (marker, marker.split(None, 1)[0]):
            if backend.token_to_id(token) is not None:
                if tokenizer.tokenize(token) != [token]:
                    backend.add_special_tokens([AddedToken(token, normalized=False, special=True)])
                break


def _skipped(tokenizer: Tokenizer, words: list[str]) -> Iterable[int]:
    ids = {word: tokenizer.backend_tokenizer.token_to_id(word) for word in words}
    if unknown := [word for word, index in ids.items() if index is None]:
        warnings.warn(f"skiplist_words: no tokens of {tokenizer.name_or_path}: {' '.join(unknown)}", stacklevel=5)
    return [index for index in ids.values() if index is not None]


def _check_expansion(tokenizer: Tokenizer, expansion: QueryExpansion, model: EncoderModel) -> None:
    where = f"{tokenizer.name_or_path}: query_expansion"
    if expansion.length > model.max_tokens:
        raise ConfigError(f"{where}: length: found {expansion.length}, the model takes {model.max_tokens}")
    if expansion.attend:
        return
    if model.config.model_type in ("deberta", "deberta-v2"):
        raise ConfigError(
            f"{where}: attend: found false, supported with {model.config.model_type}: true. In transformers its masked "
            "tokens attend to every column of a batch, padding included"
        )
    if expansion.is_fixed and tokenizer.padding_side == "left":
        raise ConfigError(f"{where}: attend: found false with padding at the left, supported: at the right")


def _filling(tokenizer: Tokenizer, expansion: QueryExpansion) -> int:
    """The token that queries are filled up with."""
    token = expansion.token or tokenizer.mask_token or tokenizer.eos_token
    index: int | None = None if token is None else tokenizer.backend_tokenizer.token_to_id(token)
    if index is None:
        found = "no mask token and no end of a text" if token is None else f"{token!r}, which is no token"
        raise ConfigError(f"{tokenizer.name_or_path}: query_expansion: token: found {found}")
    return index
