"""jina-embeddings-v3 as transformers has it; the files of its authors say model_type "xlm-roberta"."""

from dataclasses import dataclass
from typing import Any, ClassVar

from ..base_model import BaseModel
from ..configuration import PretrainedConfig
from ..layer_settings import rotation
from ..tasks import ForMaskedLM, ForQuestionAnswering, ForSequenceClassification, ForTokenClassification


@dataclass(init=False, repr=False, eq=False)
class JinaEmbeddingsV3Config(PretrainedConfig):
    """jina-embeddings-v3 (https://arxiv.org/abs/2409.10173), with the defaults of transformers."""

    model_type: ClassVar[str] = "jina_embeddings_v3"
    checked_by_engine = PretrainedConfig.checked_by_engine | {"is_decoder", "add_cross_attention"}

    vocab_size: int = 250002
    hidden_size: int = 1024
    num_hidden_layers: int = 24
    num_attention_heads: int = 16
    intermediate_size: int = 4096
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 8194
    type_vocab_size: int = 1
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-5
    pad_token_id: int | None = 1
    bos_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 2
    use_cache: bool = True
    classifier_dropout: float | None = None
    tie_word_embeddings: bool = True
    rope_parameters: dict[str, Any] | None = None

    def __init__(self, /, **kwargs: Any) -> None:
        scaling, theta = kwargs.pop("rope_scaling", None), kwargs.pop("rope_theta", 20000.0)
        super().__init__(**kwargs)
        self.rope_parameters = rotation(scaling or self.rope_parameters, theta, self.max_position_embeddings)


class JinaEmbeddingsV3Model(BaseModel):
    """jina-embeddings-v3 without a head of a task (https://arxiv.org/abs/2409.10173)."""

    config_class = JinaEmbeddingsV3Config


class JinaEmbeddingsV3ForSequenceClassification(ForSequenceClassification):
    """jina-embeddings-v3 with logits for a whole text."""

    config_class = JinaEmbeddingsV3Config


class JinaEmbeddingsV3ForTokenClassification(ForTokenClassification):
    """jina-embeddings-v3 with logits for each token."""

    config_class = JinaEmbeddingsV3Config


class JinaEmbeddingsV3ForQuestionAnswering(ForQuestionAnswering):
    """jina-embeddings-v3 with the places where answers begin and end."""

    config_class = JinaEmbeddingsV3Config


class JinaEmbeddingsV3ForMaskedLM(ForMaskedLM):
    """jina-embeddings-v3 with logits over the vocabulary for each token."""

    config_class = JinaEmbeddingsV3Config
