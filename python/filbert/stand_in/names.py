"""What the stand-in has: its modules, and for each of their names where it is in filbert."""

PACKAGE = "sentence_transformers"

# The release of sentence-transformers whose interface this is. The second part says that it is not that library.
VERSION = "6.2.0+filbert"

_SENTENCE = {"SentenceTransformer": "filbert.stand_in.sentence_transformers"}
_CROSS = {"CrossEncoder": "filbert.stand_in.sentence_transformers"}
_SPARSE = {"SparseEncoder": "filbert.stand_in.sentence_transformers"}
_MULTI_VECTOR = {"MultiVectorEncoder": "filbert.stand_in.sentence_transformers"}
_MODULES = {"StaticEmbedding": "filbert.stand_in.sentence_transformers"}
_QUANTIZATION = {"quantize_embeddings": "filbert.util"}
_RETRIEVAL = dict.fromkeys(
    ("community_detection", "paraphrase_mining", "paraphrase_mining_embeddings", "semantic_search"), "filbert.util"
)
_SIMILARITY = dict.fromkeys(
    (
        *("SimilarityFunction", "cos_sim", "dot_score", "euclidean_sim", "manhattan_sim", "pytorch_cos_sim"),
        *("pairwise_cos_sim", "pairwise_dot_score", "pairwise_euclidean_sim", "pairwise_manhattan_sim"),
        *("maxsim", "maxsim_pairwise", "mean_maxsim", "mean_maxsim_pairwise"),
    ),
    "filbert.util",
)
_TENSOR = dict.fromkeys(("normalize_embeddings", "truncate_embeddings"), "filbert.util")

# Those of version 6, and those of versions before that programs still import.
MODULES: dict[str, dict[str, str]] = {
    PACKAGE: {
        **_SENTENCE,
        **_CROSS,
        **_SPARSE,
        **_MULTI_VECTOR,
        **_QUANTIZATION,
        "SimilarityFunction": "filbert.util",
    },
    f"{PACKAGE}.SentenceTransformer": _SENTENCE,
    f"{PACKAGE}.sentence_transformer": _SENTENCE,
    f"{PACKAGE}.sentence_transformer.model": _SENTENCE,
    f"{PACKAGE}.sentence_transformer.modules": _MODULES,
    f"{PACKAGE}.models": _MODULES,
    f"{PACKAGE}.cross_encoder": _CROSS,
    f"{PACKAGE}.cross_encoder.CrossEncoder": _CROSS,
    f"{PACKAGE}.cross_encoder.model": _CROSS,
    f"{PACKAGE}.sparse_encoder": _SPARSE,
    f"{PACKAGE}.sparse_encoder.SparseEncoder": _SPARSE,
    f"{PACKAGE}.sparse_encoder.model": _SPARSE,
    f"{PACKAGE}.multi_vector_encoder": _MULTI_VECTOR,
    f"{PACKAGE}.multi_vector_encoder.model": _MULTI_VECTOR,
    f"{PACKAGE}.util": {**_QUANTIZATION, **_RETRIEVAL, **_SIMILARITY, **_TENSOR},
    f"{PACKAGE}.util.quantization": _QUANTIZATION,
    f"{PACKAGE}.util.retrieval": _RETRIEVAL,
    f"{PACKAGE}.util.similarity": _SIMILARITY,
    f"{PACKAGE}.util.tensor": _TENSOR,
    f"{PACKAGE}.quantization": _QUANTIZATION,
    f"{PACKAGE}.similarity_functions": {"SimilarityFunction": "filbert.util"},
}
