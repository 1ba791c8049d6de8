"""`filbert verify`: a checkpoint's numbers beside those of transformers and sentence-transformers."""

import json
import sys
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from . import _core, auto, reference
from .atomic import Output
from .auto import AutoConfig, AutoModel
from .configuration import PretrainedConfig
from .deviations import FLOOR_ULPS, Deviation, LeastAndMean, deviation, least_and_mean_cosine, table
from .encoder import EncoderModel
from .errors import DeviceError, FilbertError
from .hub import Source
from .model_settings import load_config
from .models import class_of, has_decoder, head_named
from .models.nomic_bert import NomicBertConfig
from .progress import Bar
from .reference import Outputs
from .sentence.encoder import SentenceEncoder
from .sentence.modules import SentenceModules, read_modules
from .tokenization import AutoTokenizer
from .tokenizer_vocabularies import has_tokenizer

# Short and long, in several scripts, with next to nothing in them, and one twice. One fills most models.
TEXTS = (
    "",
    " \t",
    "a",
    "Hello!",
    "The weather is lovely today.",
    "Don't PANIC: cafés' naïve co-owners e-mailed $12.50 to user@example.com (3,000.5%)...",
    "Der Haselstrauch blüht im März. Ça coûte combien, s'il vous plaît ? ¿Cuánto cuesta, señor?",
    "北京是中国的首都。東京は日本の首都です。서울은 한국의 수도입니다.",
    "Привет, мир! مرحبا بالعالم नमस्ते สวัสดี 👋🏽",
    "The nuts of the hazel ripen in September and are known as filberts after a saint whose day falls then. " * 3,
    "Most of the crop grows on steep slopes above the Black Sea, is picked by hand and dried in the sun. " * 40,
    "The weather is lovely today.",
)

# Of sequences of random ids, where there is no tokenizer. The shorter ones are beginnings of the longest; two are one.
_LENGTHS = (1, 2, 3, 5, 8, 16, 33, 64, 129, 256, 512, 16)
# Attention costs the square of a length, and more than that in float64; nothing new happens further on.
_LONGEST = 512
_DTYPES = ("bfloat16", "int8")


@dataclass(frozen=True)
class TokenCounts:
    """ids: of all texts. differ: those that filbert's tokenizer and transformers' do not have in common."""

    ids: int
    differ: int


@dataclass(frozen=True)
class Verification:
    """What `verify` found.

    lengths: tokens of the sequences that were compared. tokens: None for a model without a tokenizer.
    left_out: what has no figures, and why. versions: of what it was compared with, by package.
    """

    model: EncoderModel
    lengths: list[int]
    deviations: list[Deviation]
    tokens: TokenCounts | None
    left_out: dict[str, str]
    versions: dict[str, str]

    @property
    def failures(self) -> list[str]:
        """What is beyond tolerance, a line each."""
        lines = [line for each in self.deviations for line in each.failures]
        if self.tokens is not None and self.tokens.differ:
            lines.append(f"{self.tokens.differ} of {self.tokens.ids} token ids are not those of transformers")
        return lines


@dataclass(frozen=True)
class _Subject:
    """What is compared: a model, and what else its folder makes."""

    model: EncoderModel
    with_head: EncoderModel | None
    encoder: SentenceEncoder | None

    @property
    def models(self) -> list[EncoderModel]:
        encoder = None if self.encoder is None else self.encoder.model
        return [each for each in (self.model, self.with_head, encoder) if each is not None]

    @property
    def reference_class(self) -> str:
        """The class of transformers that computes the same."""
        if self.with_head is not None:
            return f"AutoModel{head_named([type(self.with_head).__name__])}"
        return type(self.model).__name__ if has_decoder(self.model.config.model_type) else "AutoModel"

    def outputs(self, rows: list[list[int]], texts: list[str]) -> Outputs:
        """Of rows of ids and of texts in one batch."""
        found: Outputs = {}
        for model in (self.model, self.with_head):
            if model is not None and rows:
                found |= _outputs(model, rows)
        if self.encoder is not None:
            found["sentence_embedding"] = list(
                self.encoder.encode(texts, show_progress_bar=False, on_truncate="ignore")
            )
        return found


def verify(name: str, *, device: Any = "cpu", num_threads: int | None = None, **where: Any) -> Verification:
    """Compares a checkpoint with transformers and, if it has a modules.json, with sentence-transformers.

    Args:
        name: a folder or a hub id; `where` (revision, local_files_only) as for `AutoModel`.
        device: what filbert runs on; the others run on the CPU. num_threads: of filbert and of torch.

    Returns:
        The figures of every output that both have, those of its head too if its architectures name one.

    Raises:
        FilbertError: where a package to compare with is missing or cannot run the model; and what loading it raises.
    """
    source = Source(name, **where)
    is_sentence = source.find("modules.json") is not None
    versions = reference.require("transformers", *(["sentence-transformers"] if is_sentence else []))
    modules = read_modules(source) if is_sentence else SentenceModules()
    if modules.is_static:
        raise FilbertError(f"{name}: it has a table of vectors and no transformer: there is nothing to compare")
    where["revision"] = source.revision
    inner = {**where, "subfolder": modules.transformer}
    config = _config(Source(name, **inner))
    if isinstance(config, NomicBertConfig) and vars(config).get("num_experts"):
        raise FilbertError(
            f"{name}: transformers has no mixtures of experts of nomic_bert: there is nothing to compare"
        )
    left_out: dict[str, str] = {}
    subject = _load(name, config, is_sentence, left_out, where, inner, device=device, num_threads=num_threads)
    rows, tokens = _rows(Source(name, **inner), subject.model, inner)
    texts = [] if subject.encoder is None else _texts(subject.encoder)

    alone = max(len(rows), len(texts))
    with Bar(alone + 2 * len(rows) + 2 * len(texts), None, "Comparing", "run", leave=False) as bar:
        together = subject.outputs(rows, texts)
        same_bits = dict.fromkeys(together, True)
        for index in range(alone):
            one = slice(index, index + 1)
            for key, arrays in subject.outputs(rows[one], texts[one]).items():
                same_bits[key] &= all(array.tobytes() == together[key][index].tobytes() for array in arrays)
            bar.update()
        evaluations = [reference.model_outputs(name, rows, subject.reference_class, num_threads, bar.update, **inner)]
        if is_sentence:
            evaluations.append(reference.sentence_vectors(name, texts, num_threads, bar.update, **where))
        cosines = _cosines(subject.models, lambda: subject.outputs(rows, texts), together, left_out)
    deviations = [
        deviation(key, together[key], single[key], double[key], same_bits[key], cosines[key])
        for single, double in evaluations
        for key in single
        if key in together
    ]
    return Verification(subject.model, list(map(len, rows)), deviations, tokens, left_out, versions)


def _config(source: Source) -> PretrainedConfig:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # loading the model gives them
        config: PretrainedConfig = load_config(AutoConfig, source)
    return config


def _load(
    name: str,
    config: PretrainedConfig,
    is_sentence: bool,
    left_out: dict[str, str],
    where: dict[str, Any],
    inner: dict[str, Any],
    **machine: Any,
) -> _Subject:
    """Everything that filbert makes of the checkpoint, with the warnings of each thing once."""
    with_head = _with_head(name, config, left_out, **inner, **machine)
    with warnings.catch_warnings():
        if with_head is not None:
            warnings.simplefilter("ignore")  # of the head's tensors, and what was said of it already
        model = AutoModel.from_pretrained(name, **inner, **machine)
        warnings.simplefilter("ignore")
        encoder = SentenceEncoder.from_pretrained(name, **where, **machine) if is_sentence else None
    return _Subject(model, with_head, encoder)


def _with_head(name: str, config: PretrainedConfig, left_out: dict[str, str], **where: Any) -> EncoderModel | None:
    kind = head_named(config.architectures)
    if kind is None:
        return None
    if class_of(config.model_type, kind) is None:
        left_out["logits"] = f"filbert has no {kind} of model_type {config.model_type!r}"
        return None
    model: EncoderModel = getattr(auto, f"AutoModel{kind}").from_pretrained(name, **where)
    return model


def _rows(source: Source, model: EncoderModel, where: dict[str, Any]) -> tuple[list[list[int]], TokenCounts | None]:
    """Ids of TEXTS, and how they compare; random ones without a tokenizer."""
    if not has_tokenizer(source):
        return _random_rows(model), None
    tokenizer = AutoTokenizer.from_pretrained(source.name, **where)
    limit = min(_LONGEST, model.max_positions, tokenizer.model_max_length)
    rows = tokenizer.truncated_ids(list(TEXTS), limit)
    others = reference.token_ids(source.name, list(TEXTS), limit, **where)
    # A tokenizer may have no token for a text, and transformers needs one.
    return [row for row in rows if row], TokenCounts(sum(map(len, rows)), sum(map(_differing, rows, others)))


def _texts(encoder: SentenceEncoder) -> list[str]:
    """Those of TEXTS that are any tokens."""
    rows = encoder.tokenizer.truncated_ids(list(TEXTS), encoder.max_seq_length)
    return [text for text, row in zip(TEXTS, rows, strict=True) if row]


def _random_rows(model: EncoderModel) -> list[list[int]]:
    """Any ids but that of padding, which models may count positions by."""
    ids = np.arange(model.vocabulary)
    longest = min(_LONGEST, model.max_positions)
    drawn = np.random.default_rng(0).choice(ids[ids != vars(model.config).get("pad_token_id")], longest).tolist()
    return [drawn[:length] for length in _LENGTHS]


def _differing(row: list[int], other: list[int]) -> int:
    return sum(a != b for a, b in zip(row, other, strict=False)) + abs(len(row) - len(other))


def _outputs(model: EncoderModel, rows: list[list[int]]) -> Outputs:
    found = model(rows, output_hidden_states=False, output_attentions=False, return_dict=True)

    def cut(key: str, array: Any, length: int) -> Any:
        if key in reference.OF_TOKENS:
            return array[:length, None]
        return array[:length] if array.ndim == 2 else array

    return {
        key: [cut(key, array, len(row)) for array, row in zip(arrays, rows, strict=True)]
        for key, arrays in found.items()
    }


def _cosines(
    models: list[EncoderModel], outputs: Callable[[], Outputs], exact: Outputs, left_out: dict[str, str]
) -> dict[str, dict[str, LeastAndMean]]:
    """By output and dtype; a dtype that the device does not have is left out."""
    cosines: dict[str, dict[str, LeastAndMean]] = {key: {} for key in exact}
    for dtype in _DTYPES:
        try:
            for model in models:
                model.to(dtype=dtype)
        except DeviceError as error:
            left_out[dtype] = str(error)
            continue
        for key, found in outputs().items():
            cosines[key][dtype] = least_and_mean_cosine(found, exact[key])
    for model in models:
        model.to(dtype="float32")
    return cosines


def lines(found: Verification) -> list[str]:
    """What `filbert verify` prints."""
    model, lengths = found.model, found.lengths
    threads = f"{model.num_threads} thread{'' if model.num_threads == 1 else 's'}"
    versions = ", ".join(f"{package} {version}" for package, version in found.versions.items())
    text = [
        f"{model.name_or_path} on {model.device} ({model.isa}, {threads}), beside {versions}",
        f"{len(lengths)} sequences of {min(lengths)} to {max(lengths)} tokens. Errors: of float32 against float64, "
        f"allowed: twice torch's and {FLOOR_ULPS} ulps.",
        "Same bits: alone and in a batch. Cosines: with float32, the least and the mean.",
        "",
        *table(found.deviations),
        "",
    ]
    if found.tokens is not None:
        text.append(f"token ids: {found.tokens.differ} of {found.tokens.ids} differ from those of transformers")
    text += [f"{name}: left out: {reason}" for name, reason in found.left_out.items()]
    return [*text, *([f"BEYOND TOLERANCE: {line}" for line in found.failures] or ["within tolerance"])]


def report(found: Verification) -> dict[str, Any]:
    """What `filbert verify --json` writes."""
    model = found.model
    return {
        "filbert": _core.__version__,
        "versions": found.versions,
        "model": model.name_or_path,
        "model_type": model.config.model_type,
        "device": model.device,
        "isa": model.isa,
        "threads": model.num_threads,
        "lengths": found.lengths,
        "within_tolerance": not found.failures,
        "failures": found.failures,
        "outputs": [_figures(each) for each in found.deviations],
        "tokens": None if found.tokens is None else asdict(found.tokens),
        "left_out": found.left_out,
    }


def _figures(each: Deviation) -> dict[str, Any]:
    cosines = {dtype: {"min": least, "mean": mean} for dtype, (least, mean) in each.cosines.items()}
    return asdict(each) | {"cosines": cosines}


def run(name: str, *, json_place: str | int | None, **options: Any) -> bool:
    """Prints what `verify` finds, writes it as JSON to the output `json_place`, which is opened first.

    The table goes to standard error if the JSON goes to standard output. Returns whether all is within tolerance.
    Raises what `verify` raises, and OSError.
    """
    with nullcontext() if json_place is None else Output(json_place) as output:
        found = verify(name, **options)
        print(*lines(found), sep="\n", file=sys.stderr if output and output.is_stdout else sys.stdout)
        if output:
            output.write((json.dumps(report(found), indent=1) + "\n").encode())
            output.commit()
    return not found.failures
