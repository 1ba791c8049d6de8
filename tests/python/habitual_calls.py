"""What programs written for sentence-transformers do with a model, one function a habit."""

from collections.abc import Callable
from typing import Any

TEXTS = ["a cat sits outside", "hello world", "The weather is lovely today.", "He drove to the stadium."]
PROMPTS = {"query": "query: ", "other": "passage: "}


def _set(model: Any, name: str, value: Any) -> Any:
    setattr(model, name, value)
    return model


def _pooled(model: Any) -> Any:
    pool = model.start_multi_process_pool(["cpu"])
    try:
        return model.encode(TEXTS, pool=pool)
    finally:
        model.stop_multi_process_pool(pool)


def _truncated(model: Any) -> Any:
    with model.truncate_sentence_embeddings(16):
        return model.encode(TEXTS)


def _features(model: Any) -> Any:
    import torch

    with torch.no_grad():
        features = model.preprocess(TEXTS)
        return model({name: torch.as_tensor(value) for name, value in features.items() if name in _INPUTS})


_INPUTS = ("input_ids", "attention_mask", "token_type_ids")

CALLS: dict[str, Callable[[Any], Any]] = {
    "a text": lambda m: m.encode("hello world"),
    "texts": lambda m: m.encode(TEXTS),
    "a tuple": lambda m: m.encode(tuple(TEXTS)),
    "inputs=": lambda m: m.encode(inputs=TEXTS),
    "sentences=": lambda m: m.encode(sentences=TEXTS),
    "prompt_name by place": lambda m: m.encode(TEXTS, "query"),
    "prompt by place": lambda m: m.encode(TEXTS, None, "query: "),
    "batch_size and no bar": lambda m: m.encode(TEXTS, batch_size=2, show_progress_bar=False),
    "convert_to_tensor": lambda m: m.encode(TEXTS, convert_to_tensor=True),
    "convert_to_numpy=False": lambda m: m.encode(TEXTS, convert_to_numpy=False),
    "device": lambda m: m.encode(TEXTS, device="cpu"),
    "normalize_embeddings": lambda m: m.encode(TEXTS, normalize_embeddings=True),
    "truncate_dim": lambda m: m.encode(TEXTS, truncate_dim=32, normalize_embeddings=True),
    "precision=None": lambda m: m.encode(TEXTS, precision=None),
    "binary": lambda m: m.encode(TEXTS, precision="binary"),
    "ubinary": lambda m: m.encode(TEXTS, precision="ubinary"),
    "sentence_embedding": lambda m: m.encode(TEXTS, output_value="sentence_embedding"),
    "token_embeddings": lambda m: m.encode(TEXTS, output_value="token_embeddings"),
    "token_embeddings of a text": lambda m: m.encode("hello world", output_value="token_embeddings"),
    "everything": lambda m: [each["sentence_embedding"] for each in m.encode(TEXTS, output_value=None)],
    "pairs": lambda m: m.encode([("a cat", "hello"), ("a dog sits", "outside, today")]),
    "a pool": _pooled,
    "encode_query": lambda m: m.encode_query(TEXTS),
    "encode_document": lambda m: m.encode_document(TEXTS, convert_to_tensor=True),
    "encode_query with a prompt": lambda m: m.encode_query(TEXTS, prompt="passage: "),
    "similarity": lambda m: m.similarity(m.encode(TEXTS), m.encode(TEXTS[:2])),
    "similarity_pairwise": lambda m: m.similarity_pairwise(m.encode(TEXTS[:2]), m.encode(TEXTS[2:])),
    "similarity of tensors": lambda m: m.similarity(*[m.encode(TEXTS, convert_to_tensor=True)] * 2),
    "similarity_fn_name": lambda m: _set(m, "similarity_fn_name", "euclidean").similarity(
        m.encode(TEXTS), m.encode(TEXTS)
    ),
    "get_embedding_dimension": lambda m: m.get_embedding_dimension(),
    "get_sentence_embedding_dimension": lambda m: m.get_sentence_embedding_dimension(),
    "get_max_seq_length": lambda m: m.get_max_seq_length(),
    "max_seq_length": lambda m: _set(m, "max_seq_length", 5).encode(TEXTS),
    "truncate_sentence_embeddings": _truncated,
    "preprocess": lambda m: m.preprocess(TEXTS)["input_ids"],
    "tokenize": lambda m: m.tokenize(TEXTS)["attention_mask"],
    "the tokenizer": lambda m: [len(row) for row in m.tokenizer(TEXTS)["input_ids"]],
    "to and eval": lambda m: m.to("cpu").eval().encode(TEXTS),
    "a call": lambda m: _features(m)["sentence_embedding"],
    "token vectors of a call": lambda m: _features(m)["token_embeddings"][2],  # the longest
}
NEED_TORCH = ("convert_to_tensor", "convert_to_numpy=False", "encode_document", "similarity of tensors", "a call")
NEED_TORCH += ("token vectors of a call",)
