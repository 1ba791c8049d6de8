"""What filbert is measured against: transformers and sentence-transformers, in float32 and in float64.

They and torch are imported when they are asked for.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import numpy.typing as npt

from .errors import FilbertError

# By its name, an array for each text: [tokens, width] of what there is for each token, [width] of the others.
Outputs = dict[str, list[npt.NDArray[Any]]]

# What is one number a token, here [tokens, 1].
OF_TOKENS = ("start_logits", "end_logits")

_LONGEST_MESSAGE = 300


class Evaluations(NamedTuple):
    """The same outputs as torch computes them in float32, and in float64."""

    single: Outputs
    double: Outputs


def require(*packages: str) -> dict[str, str]:
    """The versions of these packages and of torch. Raises FilbertError, with what to install, if one is missing."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return {package: version(package) for package in ("torch", *packages)}
    except PackageNotFoundError as error:
        raise FilbertError(
            f'{error.name} is not installed, which this compares filbert with: pip install "filbert[reference]"'
        ) from None


@contextmanager
def float64_throughout(torch: Any) -> Iterator[None]:
    """Within, float64 stays float64: norms, rotations and softmax do not go through float32.

    transformers computes some steps in float32 whatever a model's dtype is. It changes methods of torch, so no other
    thread may use torch meanwhile.
    """
    to, single, softmax = torch.Tensor.to, torch.Tensor.float, torch.nn.functional.softmax

    def is_double(tensor: Any) -> bool:
        return bool(tensor.dtype == torch.float64)

    def kept(tensor: Any, *args: Any, **kwargs: Any) -> Any:
        lowers = torch.float32 in args or kwargs.get("dtype") == torch.float32
        return tensor if is_double(tensor) and lowers else to(tensor, *args, **kwargs)

    def kept_softmax(tensor: Any, dim: int, dtype: Any = None) -> Any:
        return softmax(tensor, dim=dim, dtype=None if is_double(tensor) else dtype)

    with (
        mock.patch.object(torch.Tensor, "to", kept),
        mock.patch.object(torch.Tensor, "float", lambda tensor: tensor if is_double(tensor) else single(tensor)),
        mock.patch.object(torch.nn.functional, "softmax", kept_softmax),
    ):
        yield


def token_ids(name: str, texts: list[str], limit: int, **where: Any) -> list[list[int]]:
    """The ids that transformers' tokenizer makes of each text, cut to `limit` tokens. Raises FilbertError."""
    with _asking("transformers", name) as transformers:
        tokenizer = transformers.AutoTokenizer.from_pretrained(name, trust_remote_code=False, **where)
        ids: list[list[int]] = tokenizer(texts, truncation=True, max_length=limit)["input_ids"]
    return ids


def model_outputs(
    name: str,
    rows: list[list[int]],
    class_name: str,
    num_threads: int | None,
    advance: Callable[[], object],
    **where: Any,
) -> Evaluations:
    """What transformers computes for each row of ids alone, with eager attention, on the CPU.

    class_name: of transformers, such as "AutoModelForMaskedLM": its outputs, and what the encoder below its head gives.
    num_threads: None for as many as torch takes.
    `advance` is called after each of two forwards a row. `where` goes to `from_pretrained`. Raises FilbertError.
    """
    with _asking("transformers", name) as transformers:
        import torch

        model, loading = getattr(transformers, class_name).from_pretrained(
            name,
            attn_implementation="eager",
            dtype=torch.float32,
            trust_remote_code=False,
            output_loading_info=True,
            **where,
        )
        model.eval()
        invented = [key for key in loading["missing_keys"] if "pooler" not in key] + list(loading["mismatched_keys"])
        if invented:
            raise FilbertError(
                f"{type(model).__name__} has {len(invented)} tensors that the file has not, such as {invented[0]}: "
                "transformers takes the checkpoint for another model than it is"
            )

        def forward(row: list[int]) -> dict[str, npt.NDArray[Any]]:
            ids = torch.tensor([row])
            with torch.no_grad():
                found = {**model.base_model(ids, return_dict=True)}
                if model.base_model is not model:
                    found |= {**model(ids, return_dict=True)}
            advance()
            kept = ("last_hidden_state", "pooler_output", "logits", *OF_TOKENS)
            outputs = {key: found[key][0].numpy() for key in kept if found.get(key) is not None}
            return {key: array[:, None] if key in OF_TOKENS else array for key, array in outputs.items()}

        return _evaluations(torch, model, forward, rows, num_threads)


def sentence_vectors(
    name: str, texts: list[str], num_threads: int | None, advance: Callable[[], object], **where: Any
) -> Evaluations:
    """What sentence-transformers' `encode` makes of each text alone; see `model_outputs`."""
    with _asking("sentence_transformers", name) as sentence_transformers:
        import torch

        model = sentence_transformers.SentenceTransformer(
            name,
            device="cpu",
            trust_remote_code=False,
            model_kwargs={"attn_implementation": "eager", "dtype": torch.float32},
            **where,
        ).eval()

        def encode(text: str) -> dict[str, npt.NDArray[Any]]:
            vector = model.encode(text, show_progress_bar=False)
            advance()
            return {"sentence_embedding": np.asarray(vector)}

        return _evaluations(torch, model, encode, texts, num_threads)


def _evaluations(
    torch: Any, model: Any, run: Callable[[Any], dict[str, Any]], inputs: Sequence[Any], num_threads: int | None
) -> Evaluations:
    """Of each input, in float32 and then in float64, which the model is left in."""

    def evaluate() -> Outputs:
        found = [run(each) for each in inputs]
        return {key: [outputs[key] for outputs in found] for key in found[0]} if found else {}

    threads = torch.get_num_threads()
    torch.set_num_threads(num_threads or threads)
    try:
        single = evaluate()
        model.double()
        with float64_throughout(torch):
            return Evaluations(single, evaluate())
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _asking(package: str, name: str) -> Iterator[Any]:
    """The package, without its progress bars and warnings; what it raises becomes a FilbertError of one line."""
    from importlib import import_module

    try:
        transformers, asked = import_module("transformers"), import_module(package)
        logging = transformers.utils.logging
        verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield asked
        finally:
            logging.set_verbosity(verbosity)
            if bars:
                logging.enable_progress_bar()
    except (FilbertError, MemoryError):
        raise
    except Exception as error:  # of any kind: a KeyError for a family it lacks, what a model's own code raises...
        told = " ".join(str(error).split()) or "no message"
        if len(told) > _LONGEST_MESSAGE:
            told = told[:_LONGEST_MESSAGE] + "..."
        raise FilbertError(f"{package} cannot run {name}: {type(error).__name__}: {told}") from error
