"""What could stand in a text at a *: pip install . && python examples/python/fill_masks.py [TEXT...]"""

import sys

from filbert import pipeline

TEXTS = ["A squirrel hides * in autumn.", "Hazelnuts are good for your *."]

fill = pipeline("fill-mask", "google-bert/bert-base-uncased", top_k=3)
mask = fill.tokenizer.mask_token

for text in sys.argv[1:] or TEXTS:
    print(text)
    for filling in fill(text.replace("*", mask)):
        print(f"  {filling['score']:.2f}  {filling['token_str']}")

# Which of a few words fits best. The scores are still those among all words.
best, *_ = fill(f"Most hazelnuts grow in {mask}.", targets=["turkey", "norway", "winter"])
print(f"{best['sequence']} ({best['score']:.2f})")
