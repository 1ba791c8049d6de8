"""The vectors of the tokens of texts."""

import dataclasses
from collections.abc import Iterator
from typing import Any, ClassVar

from ..checks import optional_count
from ..errors import InputError
from ..scores import Floats
from ..texts import check_text
from .base import Options, Pipeline, Sequence

_TOKENIZE_KEYWORDS = ("truncation", "max_length", "padding", "add_special_tokens")


@dataclasses.dataclass(frozen=True)
class FeatureExtractionOptions(Options):
    """Settings of feature extraction.

    truncation: see `Tokenizer.__call__`; without it, too long a text is an error.
    tokenize_kwargs: truncation, max_length, padding and add_special_tokens of `Tokenizer.__call__`; those of a call
        are taken beside those of the pipeline.
    return_tensors: True or "pt" for PyTorch tensors, "np" for NumPy arrays; None for lists.
    """

    truncation: bool | str | None = None
    tokenize_kwargs: dict[str, Any] | None = None
    return_tensors: bool | str | None = None

    def __post_init__(self) -> None:
        given: Any = {} if self.tokenize_kwargs is None else self.tokenize_kwargs
        if not isinstance(given, dict):
            raise InputError(f"tokenize_kwargs: found {given!r:.100}, expected a dict")
        unknown = sorted(given.keys() - _TOKENIZE_KEYWORDS)
        if unknown:
            raise InputError(f"tokenize_kwargs: found {', '.join(unknown)}, expected {', '.join(_TOKENIZE_KEYWORDS)}")
        if self.truncation is not None and "truncation" in given:
            raise InputError("truncation: found twice, as an option and in tokenize_kwargs")
        if given.get("padding", False) not in (False, True, "longest", "do_not_pad"):
            raise InputError(f"padding: found {given['padding']!r}, and there are no vectors of padding")
        optional_count("max_length", given.get("max_length"))
        if self.return_tensors not in (None, False, True, "pt", "np"):
            raise InputError(f"return_tensors: found {self.return_tensors!r}, expected None, True, 'pt' or 'np'")
        if self.truncation is not None:
            given = {**given, "truncation": self.truncation}
        object.__setattr__(self, "tokenize_kwargs", given)
        object.__setattr__(self, "truncation", None)


class FeatureExtractionPipeline(Pipeline):
    """What a base model makes of each token: [1][tokens][hidden] for a text, and a list of those for a list of texts.

    See FeatureExtractionOptions for the options of calls.
    """

    task: ClassVar[str] = "feature-extraction"
    auto_class: ClassVar[str] = "AutoModel"
    options_class: ClassVar[type[Options]] = FeatureExtractionOptions
    model_keywords: ClassVar[dict[str, Any]] = {"add_pooling_layer": False}
    # Results are large, and those of one forward after another are held.
    of_list: ClassVar[int] = 256
    of_iterator: ClassVar[int] = 32

    def items(self, inputs: Any, options: Any) -> tuple[bool, list[Any] | Iterator[Any]]:
        return self.one_or_many(inputs, str)

    def sequences(self, items: list[Any], first: int, options: Any) -> list[list[Sequence]]:
        for number, item in enumerate(items, first):
            check_text("input", number, item)
        return [[found] for found in self.tokenize(items, **options.tokenize_kwargs)]

    def result(self, item: Any, sequences: list[Sequence], outputs: list[Floats], options: Any) -> Any:
        features = outputs[0][None].copy()  # or the rows of the whole forward stay in memory
        if options.return_tensors == "np":
            return features
        if options.return_tensors:
            import torch

            return torch.from_numpy(features)
        return features.tolist()

    def _with(self, options: Any, given: dict[str, Any]) -> Any:
        of_call = super()._with(FeatureExtractionOptions(), given)
        return dataclasses.replace(
            of_call,
            tokenize_kwargs={**options.tokenize_kwargs, **of_call.tokenize_kwargs},
            return_tensors=options.return_tensors if of_call.return_tensors is None else of_call.return_tensors,
        )
