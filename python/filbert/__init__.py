"""BERT-family encoders from the files on the Hugging Face hub, as they are, without PyTorch.

Names are loaded when they are first used, so that `import filbert` costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import subinterpreters
from .models import NAMES

if TYPE_CHECKING:
    from . import arrow as arrow
    from . import bulk as bulk
    from . import errors as errors
    from . import ray as ray
    from . import util as util
    from ._core import __version__ as __version__
    from ._core import devices as devices
    from .auto import AutoConfig as AutoConfig
    from .auto import AutoModel as AutoModel
    from .auto import AutoModelForMaskedLM as AutoModelForMaskedLM
    from .auto import AutoModelForQuestionAnswering as AutoModelForQuestionAnswering
    from .auto import AutoModelForSequenceClassification as AutoModelForSequenceClassification
    from .auto import AutoModelForTextEncoding as AutoModelForTextEncoding
    from .auto import AutoModelForTokenClassification as AutoModelForTokenClassification
    from .distillation import distill as distill
    from .errors import ConfigError as ConfigError
    from .errors import DeviceError as DeviceError
    from .errors import FilbertError as FilbertError
    from .errors import InputError as InputError
    from .errors import UnsafePickleError as UnsafePickleError
    from .errors import WeightsError as WeightsError
    from .models.albert import *  # noqa: F403
    from .models.bert import *  # noqa: F403
    from .models.camembert import *  # noqa: F403
    from .models.data2vec_text import *  # noqa: F403
    from .models.deberta import *  # noqa: F403
    from .models.deberta_v2 import *  # noqa: F403
    from .models.distilbert import *  # noqa: F403
    from .models.electra import *  # noqa: F403
    from .models.embedding_gemma2 import *  # noqa: F403
    from .models.ernie import *  # noqa: F403
    from .models.esm import *  # noqa: F403
    from .models.eurobert import *  # noqa: F403
    from .models.gemma3_text import *  # noqa: F403
    from .models.gte import *  # noqa: F403
    from .models.jina_embeddings_v3 import *  # noqa: F403
    from .models.llama import *  # noqa: F403
    from .models.megatron_bert import *  # noqa: F403
    from .models.mistral import *  # noqa: F403
    from .models.model2vec import *  # noqa: F403
    from .models.modernbert import *  # noqa: F403
    from .models.mpnet import *  # noqa: F403
    from .models.nomic_bert import *  # noqa: F403
    from .models.qwen2 import *  # noqa: F403
    from .models.qwen3 import *  # noqa: F403
    from .models.rembert import *  # noqa: F403
    from .models.roberta import *  # noqa: F403
    from .models.roberta_prelayernorm import *  # noqa: F403
    from .models.roformer import *  # noqa: F403
    from .models.t5 import *  # noqa: F403
    from .models.ultrabert import *  # noqa: F403
    from .models.xlm_roberta import *  # noqa: F403
    from .models.xlm_roberta_xl import *  # noqa: F403
    from .pipelines import pipeline as pipeline
    from .sentence.bge_m3 import BGEM3Encoder as BGEM3Encoder
    from .sentence.cross_encoder import CrossEncoder as CrossEncoder
    from .sentence.encoder import SentenceEncoder as SentenceEncoder
    from .sentence.multi_vector_encoder import MultiVectorEncoder as MultiVectorEncoder
    from .sentence.sparse_encoder import SparseEncoder as SparseEncoder
    from .stand_in import install_as_sentence_transformers as install_as_sentence_transformers
    from .text_classifier import TextClassifier as TextClassifier
    from .tokenization import AutoTokenizer as AutoTokenizer

# Here, because it is imported before any module that imports the engine.
subinterpreters.refuse()

_MODULE_OF = {
    "AutoConfig": "auto",
    "AutoModel": "auto",
    "AutoModelForSequenceClassification": "auto",
    "AutoModelForTokenClassification": "auto",
    "AutoModelForQuestionAnswering": "auto",
    "AutoModelForMaskedLM": "auto",
    "AutoModelForTextEncoding": "auto",
    "AutoTokenizer": "tokenization",
    "BGEM3Encoder": "sentence.bge_m3",
    "ConfigError": "errors",
    "CrossEncoder": "sentence.cross_encoder",
    "DeviceError": "errors",
    "FilbertError": "errors",
    "InputError": "errors",
    "MultiVectorEncoder": "sentence.multi_vector_encoder",
    "SentenceEncoder": "sentence.encoder",
    "SparseEncoder": "sentence.sparse_encoder",
    "TextClassifier": "text_classifier",
    "UnsafePickleError": "errors",
    "WeightsError": "errors",
    "__version__": "_core",
    "devices": "_core",
    "distill": "distillation",
    "install_as_sentence_transformers": "stand_in",
    "pipeline": "pipelines",
    **NAMES,
}

# Named as modules: filbert.bulk.encode.
_SUBMODULES = {"arrow", "bulk", "errors", "ray", "util"}

__all__ = sorted([*_MODULE_OF, *_SUBMODULES, "cmake_dir"])


def cmake_dir() -> str:
    """The folder to give CMake as `filbert_DIR`, for C++ programs that use the installed package."""
    from pathlib import Path

    core = import_module("._core", __name__)
    assert core.__file__ is not None
    return str(Path(core.__file__).resolve().parent / "lib" / "cmake" / "filbert")


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return import_module(f".{name}", __name__)
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{module}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
