"""What could stand at the masks of a text."""

import dataclasses
import warnings
from collections.abc import Collection, Iterable, Iterator, Set
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from ..checks import count
from ..encoder import EncoderModel
from ..errors import ConfigError, InputError
from ..scores import Floats
from ..texts import as_list, as_texts, check_text
from ..tokenization import Tokenizer
from .base import Options, Pipeline, Sequence
from .ranking import highest

Fillings = list[dict[str, Any]]


class Choices(NamedTuple):
    """The best tokens for each mask of a text, the likeliest first: both [masks, top_k]."""

    tokens: npt.NDArray[np.int64]
    scores: Floats


@dataclasses.dataclass(frozen=True)
class FillMaskOptions(Options):
    """See FillMaskPipeline. targets: as ids."""

    none_leaves: ClassVar[Collection[str]] = ("top_k", "targets", "tokenizer_kwargs")

    top_k: int = 5
    targets: Any = None
    tokenizer_kwargs: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        count("top_k", self.top_k)


class FillMaskPipeline(Pipeline):
    """Fills masks: `fill("Paris is the [MASK] of France.")`. Made by `filbert.pipeline("fill-mask", model)`.

    Options of the call, or of `filbert.pipeline`:
        top_k: fillings of a mask, 5.
        targets: words, or one, that alone may fill it. For one that is no token, its first token is taken, with a
            warning. Scores stay those among all tokens.
        tokenizer_kwargs: keywords for the tokenizer, such as {"truncation": True}.

    Gives a list of {"score", "token", "token_str", "sequence"} for a text, the likeliest first: the probability, the id
    of the token, the token, and the text with it. Of a text with several masks it is a list of such lists, one a mask,
    and their sequences keep the special tokens and the other masks. A list of one text is taken for the text.
    """

    task: ClassVar[str] = "fill-mask"
    auto_class: ClassVar[str] = "AutoModelForMaskedLM"
    options_class: ClassVar[type[Options]] = FillMaskOptions
    remedy: ClassVar[str] = 'tokenizer_kwargs={"truncation": True} cuts it'

    def __init__(
        self, model: EncoderModel, tokenizer: Tokenizer, batch_size: int | None = None, **options: Any
    ) -> None:
        """See Pipeline. Raises ConfigError for a tokenizer without a mask token, and InputError for bad options."""
        if tokenizer.mask_token_id is None:
            raise ConfigError(f"{tokenizer!r} has no mask token")
        super().__init__(model, tokenizer, batch_size, **options)

    def items(self, inputs: Any, options: FillMaskOptions) -> tuple[bool, list[str] | Iterator[str]]:
        if hasattr(inputs, "__iter__") and not hasattr(inputs, "__len__"):
            return False, _checked(inputs)
        single, texts = as_texts("input", inputs)
        return single or (isinstance(inputs, list) and len(texts) == 1), texts

    def sequences(self, items: list[str], first: int, options: FillMaskOptions) -> list[list[Sequence]]:
        keywords = {**options.tokenizer_kwargs, "return_attention_mask": True, "return_tensors": None}
        if keywords.get("truncation") and keywords.get("max_length") is None:
            keywords["max_length"] = min(self.tokenizer.model_max_length, self.model.max_tokens)
        encoded = self.tokenizer(items, **{"verbose": False, **keywords})
        masked, found = self.tokenizer.mask_token_id, []
        for row, mask in enumerate(encoded["attention_mask"]):
            ids = _kept(encoded["input_ids"][row], mask)
            types = _kept(encoded["token_type_ids"][row], mask) if "token_type_ids" in encoded else None
            masks = [column for column, token in enumerate(ids) if token == masked]
            if not masks:
                raise InputError(f"input {first + row}: has no {self.tokenizer.mask_token} among its {len(ids)} tokens")
            found.append([Sequence(ids, types, positions=masks)])
        return found

    def kept(self, sequence: Sequence, rows: Floats, options: FillMaskOptions) -> Choices:
        return best_tokens(rows, options.top_k, options.targets)

    def result(
        self, item: str, sequences: list[Sequence], outputs: list[Choices], options: FillMaskOptions
    ) -> Fillings | list[Fillings]:
        filled = _filled(self.tokenizer, sequences[0], outputs[0])
        return filled[0] if len(filled) == 1 else filled

    def _with(self, options: Options, given: dict[str, Any]) -> Any:
        if given.get("targets") is not None:
            given = {**given, "targets": self._target_ids(given["targets"])}
        return super()._with(options, given)

    def _target_ids(self, targets: Any) -> npt.NDArray[np.int64]:
        """The ids of targets, each once."""
        if isinstance(targets, str):
            targets = [targets]
        words = list(targets) if isinstance(targets, Set) else as_list("targets", targets)
        ids = []
        for index, word in enumerate(words):
            check_text("targets", index, word)
            ids += self._target_id(word)
        if not ids:
            raise InputError(f"targets: found {targets!r:.100}, expected at least one word with a token")
        return np.unique(np.array(ids, np.int64))

    def _target_id(self, word: str) -> list[int]:
        token = self.tokenizer.backend_tokenizer.token_to_id(word)
        if token is None:
            tokens = self.tokenizer(word, add_special_tokens=False, verbose=False)["input_ids"]
            instead = f"{self.tokenizer.convert_ids_to_tokens(tokens[0])!r} is taken" if tokens else "it is left out"
            warnings.warn(f"targets: {word!r:.100} is not in the vocabulary: {instead}", stacklevel=5)
            if not tokens:
                return []
            token = tokens[0]
        if token >= self.model.vocabulary:
            raise InputError(f"targets: {word!r:.100} has id {token}, but the model has {self.model.vocabulary} tokens")
        return [int(token)]


def best_tokens(logits: Floats, top_k: int, targets: npt.NDArray[np.int64] | None = None) -> Choices:
    """The `top_k` likeliest tokens of each row of logits [masks, vocabulary], of the targets if there are any.

    A token's score is its share in the softmax over the whole vocabulary. Equals are in the order of their ids.
    """
    peaks = logits.max(axis=1, keepdims=True)
    sums = np.exp(logits - peaks).sum(axis=1, dtype=np.float64, keepdims=True)
    candidates = logits if targets is None else logits[:, targets]
    best = np.stack([highest(row, top_k) for row in candidates])
    scores = np.exp(np.take_along_axis(candidates, best, axis=1) - peaks) / sums
    return Choices(best if targets is None else targets[best], scores.astype(np.float32))


def _filled(tokenizer: Tokenizer, sequence: Sequence, choices: Choices) -> list[Fillings]:
    """The fillings of each mask."""
    assert sequence.positions is not None
    single, pad = len(sequence.positions) == 1, tokenizer.pad_token_id
    found = []
    for place, tokens, scores in zip(sequence.positions, *(choice.tolist() for choice in choices), strict=True):
        fillings = []
        for token, score in zip(tokens, scores, strict=True):
            ids = [*sequence.ids[:place], token, *sequence.ids[place + 1 :]]
            text = tokenizer.decode([each for each in ids if each != pad], single)
            fillings.append({"score": score, "token": token, "token_str": tokenizer.decode([token]), "sequence": text})
        found.append(fillings)
    return found


def _checked(texts: Iterable[Any]) -> Iterator[str]:
    for index, text in enumerate(texts):
        check_text("input", index, text)
        yield text


def _kept(row: list[int], mask: list[int]) -> list[int]:
    return [value for value, keep in zip(row, mask, strict=True) if keep]
