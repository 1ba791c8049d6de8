"""The models and batches that are timed on a GPU, and what they need at the least.

Floors: the time to read the layers' matrices once from memory, or to do the FLOPs at the rate of a large matrix
product, whichever is longer. One sequence is so short that starting kernels counts too: in a CUDA graph each takes
about a microsecond. A layer has seven (QKV, attention, output, norm, up, down, norm), the model two more (embedding and
pooling).
"""

from dataclasses import dataclass

import numpy as np

from cases import BERT_BASE, MINILM, Sizes, flops, layer_weights, parse_case

BERT_LARGE = "BERT-large"
PRECISIONS = ("bfloat16", "float16")
_WEIGHT_BYTES = 2
_KERNELS_A_LAYER, _KERNELS_A_MODEL = 7, 2

# Goals: one sequence takes at most this many times its floor, and this share of torch.compile's time.
_OVER_FLOOR = 1.5
OVER_COMPILE = 0.5


@dataclass(frozen=True)
class Model:
    sizes: Sizes
    heads: int
    matmul_share: float  # the goal for many tokens: this share of the rate of a large matrix product


MODELS = {
    MINILM: Model(Sizes(layers=6, hidden=384, inner=1536, vocabulary=30522), heads=12, matmul_share=0.45),
    BERT_BASE: Model(Sizes(layers=12, hidden=768, inner=3072, vocabulary=30522), heads=12, matmul_share=0.72),
    BERT_LARGE: Model(Sizes(layers=24, hidden=1024, inner=4096, vocabulary=30522), heads=16, matmul_share=0.78),
}


@dataclass(frozen=True)
class Rates:
    """What the GPU can do."""

    copy_gbps: float  # bytes read and written
    matmul_tflops: dict[str, float]  # by precision
    kernel_us: float  # of a kernel that does nothing, in a CUDA graph


# As measured on an H200; for where nothing can be measured.
H200 = Rates(copy_gbps=4300, matmul_tflops=dict.fromkeys(PRECISIONS, 790.0), kernel_us=1.3)

_HALF = "-half"


@dataclass(frozen=True)
class Case:
    batch: int
    length: int
    half: bool = False  # half of the tokens are padding

    @classmethod
    def parse(cls, text: str) -> "Case":
        """The case that "8x128", or "8x128-half", stands for."""
        return cls(*parse_case(text.removesuffix(_HALF)), text.endswith(_HALF))

    @property
    def name(self) -> str:
        return f"{self.batch}x{self.length}{_HALF if self.half else ''}"

    def lengths(self) -> list[int]:
        """Tokens in each sequence: all it has room for, or from few to almost all, half of them on average."""
        if not self.half:
            return [self.length] * self.batch
        return [max(1, round(self.length * (row + 0.5) / self.batch)) for row in range(self.batch)]

    def batch_of(self, vocabulary: int) -> "Batch":
        ids = np.random.default_rng(0).integers(0, vocabulary, (self.batch, self.length))
        return Batch(ids, np.arange(self.length) < np.array(self.lengths())[:, None])


@dataclass(frozen=True)
class Batch:
    ids: np.ndarray
    mask: np.ndarray  # which tokens count

    @property
    def cu_seqlens(self) -> np.ndarray:
        return np.cumsum([0, *self.mask.sum(axis=1)])


# One sequence of each length, 64k tokens in short and in long sequences, and the long ones half padding.
CASES = tuple(map(Case.parse, ("1x8", "1x32", "1x128", "1x256", "1x512", "512x128", "128x512", "128x512-half")))


def floor_ms(model: Model, case: Case, precision: str, rates: Rates) -> float:
    reading = layer_weights(model.sizes) * _WEIGHT_BYTES / rates.copy_gbps / 1e6
    multiplying = flops(model.sizes, case.lengths()) / rates.matmul_tflops[precision] / 1e9
    return max(reading, multiplying) + (_starting_ms(model, rates) if case.batch == 1 else 0)


def goal_ms(model: Model, case: Case, precision: str, rates: Rates) -> float:
    floor = floor_ms(model, case, precision, rates)
    return floor * _OVER_FLOOR if case.batch == 1 else floor / model.matmul_share


def _starting_ms(model: Model, rates: Rates) -> float:
    return rates.kernel_us * (model.sizes.layers * _KERNELS_A_LAYER + _KERNELS_A_MODEL) / 1e3
