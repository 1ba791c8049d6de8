"""filbert in the place of sentence-transformers, for programs that import that library by name."""

import re
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.metadata import Distribution, DistributionFinder
from types import ModuleType
from typing import Any

from .names import MODULES, PACKAGE, VERSION

_REMEDY = (
    "install sentence-transformers (pip install sentence-transformers) and leave out "
    "filbert.install_as_sentence_transformers() for what needs it"
)


def install_as_sentence_transformers() -> None:
    """Makes `import sentence_transformers` mean filbert, for the rest of this process.

    LangChain, LlamaIndex, Chroma, KeyBERT, BERTopic and others then run as they are, without PyTorch: the module has
    SentenceTransformer (a SentenceEncoder), CrossEncoder, SparseEncoder, MultiVectorEncoder, SimilarityFunction,
    quantize_embeddings and `util` (`filbert.util`: NumPy in the place of tensors), its submodules where programs look
    for these, and a version in `importlib.metadata`, 6.2.0+filbert.

    It comes before the imports of those libraries, which look for sentence-transformers when they are imported. It is
    never done by itself, and done twice it is done once. An installed sentence-transformers stays hidden while the
    process lives; other processes do not see the stand-in, but can read what was pickled here.

    Names that filbert does not have (training, losses, evaluators) raise ImportError where they are imported and
    AttributeError where they are looked up; both say what to do.

    Raises:
        RuntimeError: sentence-transformers itself has been imported already.
    """
    present = sys.modules.get(PACKAGE)
    if isinstance(present, _Module):
        return
    if present is not None:
        raise RuntimeError(
            f"{PACKAGE} has been imported already, from {getattr(present, '__file__', 'an unknown place')}: "
            "call filbert.install_as_sentence_transformers() before anything that imports it"
        )
    made = {name: _Module(name, members) for name, members in MODULES.items()}
    for name, module in made.items():
        parent, _, child = name.rpartition(".")
        # Where an older library had a module of the same name as its class, the name means the class.
        if parent and child not in MODULES[parent]:
            setattr(made[parent], child, module)
    made[PACKAGE].__version__ = VERSION
    sys.modules.update(made)
    sys.meta_path.insert(0, _Finder())


class _Module(ModuleType):
    """A module whose names are loaded when they are first used."""

    __path__: list[str]
    __version__: str

    def __init__(self, name: str, members: dict[str, str]) -> None:
        super().__init__(name, "filbert, in the place of sentence-transformers.")
        self.__spec__ = ModuleSpec(name, None, origin="filbert", is_package=True)
        self.__package__ = name
        self.__path__ = []
        self.__all__ = sorted(members)
        self._members = members

    def __getattr__(self, name: str) -> Any:
        if name not in self._members:
            raise AttributeError(
                f"{self.__name__} is filbert's stand-in, which has no {name!r}: {_REMEDY}", name=name, obj=self
            )
        try:
            value = getattr(import_module(self._members[name]), name)
        except AttributeError as error:  # of which Python would only keep that there is no such name
            raise ImportError(f"{self.__name__}.{name}: {error}", name=self._members[name]) from error
        setattr(self, name, value)
        return value

    def __dir__(self) -> list[str]:
        return sorted({*self.__dict__, *self._members})


class _Finder(DistributionFinder):
    """Answers for what the stand-in does not have, and for its version."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> None:
        """`from package import name` comes here too, if the package has no such name."""
        if name.startswith(f"{PACKAGE}."):
            raise ModuleNotFoundError(f"filbert's stand-in for {PACKAGE} has no {name!r}: {_REMEDY}", name=PACKAGE)

    def find_distributions(self, context: DistributionFinder.Context = DistributionFinder.Context()) -> Iterator[Any]:  # noqa: B008
        if context.name is not None and re.sub(r"[-_.]+", "_", context.name).lower() == PACKAGE:
            yield _Distribution()


class _Distribution(Distribution):
    def read_text(self, filename: str) -> str | None:
        metadata = f"Metadata-Version: 2.1\nName: sentence-transformers\nVersion: {VERSION}\nSummary: filbert\n"
        return metadata if filename == "METADATA" else None

    def locate_file(self, path: Any) -> Any:
        raise FileNotFoundError(f"{path}: filbert's stand-in for {PACKAGE} has no files of its own")
