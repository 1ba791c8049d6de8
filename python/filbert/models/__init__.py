"""The model families. A new one is a module here and a line in FAMILIES; names, configurations and classes follow."""

from importlib import import_module
from typing import Any

# What the names of classes end in.
_BASE = ("Config", "Model")
_LABELS = (*_BASE, "ForSequenceClassification", "ForTokenClassification")
_WORDS = (*_LABELS, "ForMaskedLM")
_ALL = (*_WORDS, "ForQuestionAnswering")
# Of what has a decoder, too: the other heads read that.
_ENCODER = ("Config", "EncoderModel", "ForTokenClassification")
_DECODER = (*_LABELS, "ForQuestionAnswering", "ForNextToken")

# The heads that the architectures of a checkpoint may name.
HEADS = ("ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering", "ForMaskedLM")

# model_type -> (module of this package, what the names of its classes begin with, and what they end in)
FAMILIES = {
    "albert": ("albert", "Albert", _ALL),
    "bert": ("bert", "Bert", _ALL),
    "camembert": ("camembert", "Camembert", _ALL),
    "data2vec-text": ("data2vec_text", "Data2VecText", _ALL),
    "deberta": ("deberta", "Deberta", _ALL),
    "deberta-v2": ("deberta_v2", "DebertaV2", _ALL),
    "distilbert": ("distilbert", "DistilBert", _ALL),
    "electra": ("electra", "Electra", _ALL),
    "embedding_gemma2_text": ("embedding_gemma2", "EmbeddingGemma2Text", _BASE),
    "ernie": ("ernie", "Ernie", _ALL),
    "esm": ("esm", "Esm", _WORDS),
    "eurobert": ("eurobert", "EuroBert", _WORDS),
    "gemma3_text": ("gemma3_text", "Gemma3Text", (*_BASE, "ForSequenceClassification")),
    "gte": ("gte", "Gte", _WORDS),
    "jina_embeddings_v3": ("jina_embeddings_v3", "JinaEmbeddingsV3", _ALL),
    "llama": ("llama", "Llama", _DECODER),
    "megatron-bert": ("megatron_bert", "MegatronBert", _ALL),
    "mistral": ("mistral", "Mistral", _DECODER),
    "model2vec": ("model2vec", "Model2Vec", _BASE),
    "modernbert": ("modernbert", "ModernBert", _ALL),
    "mpnet": ("mpnet", "MPNet", _ALL),
    "mt5": ("t5", "MT5", _ENCODER),
    "new": ("gte", "New", _WORDS),
    "nomic_bert": ("nomic_bert", "NomicBert", _WORDS),
    "qwen2": ("qwen2", "Qwen2", _DECODER),
    "qwen3": ("qwen3", "Qwen3", _DECODER),
    "rembert": ("rembert", "RemBert", _ALL),
    "roberta": ("roberta", "Roberta", _ALL),
    "roberta-prelayernorm": ("roberta_prelayernorm", "RobertaPreLayerNorm", _ALL),
    "roformer": ("roformer", "RoFormer", _ALL),
    "t5": ("t5", "T5", _ENCODER),
    "ultrabert": ("ultrabert", "Ultrabert", _ALL),
    "umt5": ("t5", "UMT5", _ENCODER),
    "xlm-roberta": ("xlm_roberta", "XLMRoberta", _ALL),
    "xlm-roberta-xl": ("xlm_roberta_xl", "XLMRobertaXL", _ALL),
}

# The classes of all families -> their modules.
NAMES = {f"{stem}{kind}": f"models.{module}" for module, stem, kinds in FAMILIES.values() for kind in kinds}


def class_of(model_type: Any, kind: str) -> Any:
    """The class of a family, imported now; None if there is no such family, or it has none of that kind.

    "Model" is the encoder where that is all there is of an encoder and a decoder.
    """
    if not isinstance(model_type, str) or model_type not in FAMILIES:
        return None
    module, stem, kinds = FAMILIES[model_type]
    if kind == "Model" and has_decoder(model_type):
        kind = "EncoderModel"
    return getattr(import_module(f".{module}", __name__), stem + kind) if kind in kinds else None


def has_decoder(model_type: str) -> bool:
    """Whether a family's models have a decoder, which filbert does not compute."""
    return model_type in FAMILIES and "EncoderModel" in FAMILIES[model_type][2]


def head_named(architectures: Any) -> str | None:
    """What the first of the names ends in that is one of HEADS."""
    names = architectures if isinstance(architectures, list) else []
    return next((kind for name in names for kind in HEADS if str(name).endswith(kind)), None)


def having(kind: str) -> list[str]:
    """The families that have a class of that kind, by model_type."""
    return sorted(name for name, (_, _, kinds) in FAMILIES.items() if {kind, f"Encoder{kind}"} & {*kinds})
