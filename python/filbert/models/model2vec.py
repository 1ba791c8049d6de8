"""Models without a transformer: a vector for each token (model2vec, and StaticEmbedding of sentence-transformers)."""

from dataclasses import dataclass
from typing import ClassVar

from ..base_model import BaseModel
from ..configuration import PretrainedConfig


@dataclass(init=False, repr=False, eq=False)
class Model2VecConfig(PretrainedConfig):
    """A table of token vectors (https://github.com/MinishLab/model2vec).

    vocab_size, hidden_dim: of a new model (32000 and 256 if None); the files of others tell them by the table.
    normalize: whether a text's vector has length 1.
    """

    model_type: ClassVar[str] = "model2vec"
    attribute_map: ClassVar[dict[str, str]] = {"hidden_size": "hidden_dim"}
    # How the table was made of a transformer's, and how long texts were then.
    unused_keys = frozenset(
        {"tokenizer_name", "apply_pca", "apply_zipf", "sif_coefficient", "seq_length", "embedding_dtype", "pooling"}
        | {"vocabulary_quantization"}
    )

    vocab_size: int | None = None
    hidden_dim: int | None = None
    normalize: bool = False
    initializer_range: float = 0.02


class Model2VecModel(BaseModel):
    """Token vectors out of a table (https://github.com/MinishLab/model2vec); a text's is their mean."""

    config_class = Model2VecConfig
