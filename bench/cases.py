"""The models and batches that are timed, and what they need at the least."""

from dataclasses import dataclass
from pathlib import Path

MINILM = "MiniLM-L6"
BERT_BASE = "BERT-base"
ALBERT = "ALBERT-base"
DEBERTA = "DeBERTa-base"
DEBERTA_V3 = "DeBERTa-v3-base"
DISTILBERT = "DistilBERT-base"
ELECTRA = "ELECTRA-base"
ESM = "ESM-2-150M"
EUROBERT = "EuroBERT-210m"
GEMMA = "EmbeddingGemma-300m"
GTE = "GTE-base"
JINA = "jina-embeddings-v3"
MEGATRON = "Megatron-BERT-345m"
MODERNBERT = "ModernBERT-base"
MPNET = "MPNet-base"
NOMIC = "nomic-embed-v1.5"
QWEN3 = "Qwen3-0.6B"
REMBERT = "RemBERT"
ROBERTA = "RoBERTa-base"
ROFORMER = "RoFormer-base"
T5 = "T5-base"
MODELS = (MINILM, BERT_BASE)  # those that are compared unless others are named

# By model_type, the model that stands for a family. Some differ from another in their embeddings and names alone, or in
# small things: biases, or norms of heads, which llama and its like have not.
MODEL_OF = {
    "albert": ALBERT,
    "bert": BERT_BASE,
    "camembert": ROBERTA,
    "data2vec-text": ROBERTA,
    "deberta": DEBERTA,
    "deberta-v2": DEBERTA_V3,
    "distilbert": DISTILBERT,
    "electra": ELECTRA,
    "ernie": BERT_BASE,
    "esm": ESM,
    "eurobert": EUROBERT,
    "gemma3_text": GEMMA,
    "gte": GTE,
    "jina_embeddings_v3": JINA,
    "llama": QWEN3,
    "megatron-bert": MEGATRON,
    "mistral": QWEN3,
    "modernbert": MODERNBERT,
    "mpnet": MPNET,
    "mt5": T5,
    "new": GTE,
    "nomic_bert": NOMIC,
    "qwen2": QWEN3,
    "qwen3": QWEN3,
    "rembert": REMBERT,
    "roberta": ROBERTA,
    "roberta-prelayernorm": MEGATRON,
    "roformer": ROFORMER,
    "t5": T5,
    "umt5": T5,
    "xlm-roberta": ROBERTA,
    "xlm-roberta-xl": MEGATRON,
}
ALL_MODELS = (MINILM, *dict.fromkeys(MODEL_OF.values()))

PRECISIONS = ("float32", "bfloat16", "int8")
BYTES = {"float32": 4, "bfloat16": 2, "int8": 1}


_INNER = {
    "distilbert": "hidden_dim",
    **dict.fromkeys(("mt5", "t5", "umt5"), "d_ff"),
}  # where its size has a name of its own
_GATED = ("eurobert", "gemma3_text", "gte", "llama", "mistral", "modernbert", "nomic_bert", "qwen2", "qwen3")


@dataclass(frozen=True)
class Sizes:
    layers: int
    hidden: int
    inner: int
    vocabulary: int
    gated: bool = False
    queries: int = 0  # columns of the queries of all heads; 0: as many as hidden
    keys: int = 0  # columns of the keys, and of the values; 0: as many as hidden
    window: int = 0  # tokens that a query sees to either side in some of the layers
    windowed: int = 0  # how many layers those are
    distinct: int = 0  # layers that have weights of their own; 0: all

    @classmethod
    def of(cls, folder: Path) -> "Sizes":
        from filbert import AutoConfig

        config = AutoConfig.from_pretrained(folder)
        window = getattr(config, {"gemma3_text": "sliding_window"}.get(config.model_type, "local_attention"), 0)
        head = getattr(config, "head_dim", 0)
        return cls(
            config.num_hidden_layers,
            config.hidden_size,
            getattr(config, _INNER.get(config.model_type, "intermediate_size")),
            config.vocab_size,
            gated=getattr(config, "is_gated_act", config.model_type in _GATED),
            queries=head * config.num_attention_heads,
            keys=head * getattr(config, "num_key_value_heads", config.num_attention_heads),
            window=window // 2,
            windowed=config.layer_types.count("sliding_attention") if window else 0,
            distinct=getattr(config, "num_hidden_groups", 0),
        )


def layer_weights(sizes: Sizes) -> int:
    """Numbers in the matrices of all layers: query, key, value, attention output, feed-forward gate, up and down."""
    attention = 2 * (sizes.queries or sizes.hidden) + 2 * (sizes.keys or sizes.hidden)
    inner = (3 if sizes.gated else 2) * sizes.inner
    return sizes.layers * sizes.hidden * (attention + inner)


def flops(sizes: Sizes, lengths: list[int]) -> int:
    """Multiplications and additions of the layers' matrices and of attention, over sequences of these lengths."""
    matrices = 2 * layer_weights(sizes) * sum(lengths)
    seen = [min(length, 2 * sizes.window + 1) for length in lengths]
    keys = (sizes.layers - sizes.windowed) * sum(length**2 for length in lengths)
    keys += sizes.windowed * sum(length * width for length, width in zip(lengths, seen, strict=True))
    return matrices + 4 * (sizes.queries or sizes.hidden) * keys


def memory_floor_ms(sizes: Sizes, precision: str, read_gbps: float) -> float:
    """Milliseconds to read the layers' matrices once."""
    numbers = layer_weights(sizes) * (sizes.distinct or sizes.layers) / sizes.layers
    return numbers * BYTES[precision] / read_gbps / 1e6


def parse_case(text: str) -> tuple[int, int]:
    """(batch, length) of "8x128"."""
    batch, length = map(int, text.split("x"))
    if batch < 1 or length < 1:
        raise ValueError(f"found {text}, expected two integers above 0, as in 8x128")
    return batch, length
