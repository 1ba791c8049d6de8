"""From labelled tokens to entities, as the strategies of token classification have them."""

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import numpy as np

from ..errors import InputError
from ..scores import Floats

Entity = dict[str, Any]
Join = Callable[[list[str]], str]  # from tokens to the text that they stand for

STRATEGIES = ("none", "simple", "first", "average", "max")
WORD_STRATEGIES = ("first", "average", "max")


class Token(NamedTuple):
    """A token of a text: what it reads, the score of each label, where it is, and whether it goes on with a word."""

    word: str
    scores: Floats
    start: int
    end: int
    position: int  # among the tokens of the sequence
    is_subword: bool


def entities_of(tokens: list[Token], labels: list[str], strategy: str, join: Join) -> list[Entity]:
    """The entities in a row of tokens.

    Args:
        tokens: those of a text or a part of one, in order, without special tokens.
        labels: their names, by number.
        strategy: one of STRATEGIES. "none" gives every token; the others group neighbours of one label, be they tokens
            ("simple") or words, whose label is that of the first token, of the mean of the tokens' scores, or of the
            token with the highest score.
        join: the tokenizer's `convert_tokens_to_string`.

    Returns:
        For "none" {"entity", "score", "index", "word", "start", "end"}, else {"entity_group", "score", "word", "start",
        "end"}. Scores are np.float32, the mean over a group; start and end count characters of the text.
    """
    if strategy in WORD_STRATEGIES:
        return _groups([_word(word, labels, strategy, join) for word in _words(tokens)], join)
    entities = [_token(token, labels) for token in tokens]
    return entities if strategy == "none" else _groups(entities, join)


def without_overlaps(entities: list[Entity]) -> list[Entity]:
    """The entities of overlapping parts of a text, in order: where two overlap the longer, then the likelier one."""
    kept: list[Entity] = []
    for entity in sorted(entities, key=lambda entity: entity["start"]):
        if not kept or not kept[-1]["start"] <= entity["start"] < kept[-1]["end"]:
            kept.append(entity)
        elif _rank(entity) > _rank(kept[-1]):
            kept[-1] = entity
    return kept


def without_labels(entities: list[Entity], ignored: Collection[str]) -> list[Entity]:
    """The entities whose label, or that of their group, is not ignored."""
    return [entity for entity in entities if entity.get("entity", entity.get("entity_group")) not in ignored]


def _rank(entity: Entity) -> tuple[int, float]:
    return entity["end"] - entity["start"], entity["score"]


def _token(token: Token, labels: list[str]) -> Entity:
    best = int(token.scores.argmax())
    return {
        "entity": labels[best],
        "score": token.scores[best],
        "index": token.position,
        "word": token.word,
        "start": token.start,
        "end": token.end,
    }


def _words(tokens: list[Token]) -> list[list[Token]]:
    words: list[list[Token]] = []
    for token in tokens:
        if token.is_subword and words:
            words[-1].append(token)
        else:
            words.append([token])
    return words


def _word(tokens: list[Token], labels: list[str], strategy: str, join: Join) -> Entity:
    if strategy == "average":
        scores = np.mean([token.scores for token in tokens], axis=0)
    elif strategy == "max":
        scores = max(tokens, key=lambda token: token.scores.max()).scores
    else:
        scores = tokens[0].scores
    best = int(scores.argmax())
    word = join([token.word for token in tokens])
    return {
        "entity": labels[best],
        "score": scores[best],
        "word": word,
        "start": tokens[0].start,
        "end": tokens[-1].end,
    }


def _groups(entities: list[Entity], join: Join) -> list[Entity]:
    groups: list[list[Entity]] = []
    for entity in entities:
        begins, tag = _tag(entity["entity"])
        if groups and not begins and tag == _tag(groups[-1][-1]["entity"])[1]:
            groups[-1].append(entity)
        else:
            groups.append([entity])
    return [_group(group, join) for group in groups]


def _tag(label: str) -> tuple[bool, str]:
    """Whether a label says that an entity begins, and what kind of entity. Others than B-... and I-... go on."""
    return label.startswith("B-"), label[2:] if label.startswith(("B-", "I-")) else label


def _group(entities: list[Entity], join: Join) -> Entity:
    return {
        "entity_group": entities[0]["entity"].split("-", 1)[-1],
        "score": np.mean([entity["score"] for entity in entities]),
        "word": join([entity["word"] for entity in entities]),
        "start": entities[0]["start"],
        "end": entities[-1]["end"],
    }


def check_strategy(strategy: Any) -> None:
    if not isinstance(strategy, str) or strategy.lower() not in STRATEGIES:
        raise InputError(f"aggregation_strategy: found {strategy!r}, expected one of {', '.join(STRATEGIES)}")
