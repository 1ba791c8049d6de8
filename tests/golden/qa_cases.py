"""What question_answering.json is of: small models with their tokenizers, and questions. No torch, no filbert."""

import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "python"))

import pipeline_models
from pipeline_models import SPACES, WORDS

# And how many questions there are to each. The last cuts texts from their left.
MODELS = {"bert": 220, "roberta": 220, "bert-left": 60}


def write_model(name: str, folder: Path) -> Path:
    """A folder with a model and its tokenizer."""
    family, _, side = name.partition("-")
    return pipeline_models.write_model(folder, family, "ForQuestionAnswering", truncation_side=side or "right")


def cases(name: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Questions, contexts and options."""
    draw = random.Random(name).random  # the one method whose numbers Python promises to keep

    def one(values: Sequence[Any]) -> Any:
        return values[int(draw() * len(values))]

    # The mark of the beginning is in contexts alone: in a question transformers takes it for an answer.
    anywhere = [*WORDS, "[CLS]", "<s>", "[MASK]", "<mask>"]

    def text(words: int, among: list[str]) -> str:
        return "".join(one(among) + one(SPACES) for _ in range(words)) or one(among)

    found = []
    for _ in range(MODELS[name]):
        words = int(draw() ** 3 * 150)  # most are short
        context = one([" ", "\n\n", ".", "\u200b"]) if draw() < 0.04 else text(words, anywhere)
        if draw() < 0.2:
            context = (" ".join(one(WORDS) for _ in range(1 + int(draw() * 4))) + " ") * (1 + words // 4)
        options = {
            "top_k": one([1, 1, 1, 2, 3, 5, 20]),
            "max_answer_len": one([1, 2, 5, 15, 15, 100]),
            "handle_impossible_answer": draw() < 0.4,
            "align_to_words": draw() < 0.7,
            "max_seq_len": one([None, None, 40, 48, 60]),
            "doc_stride": one([None, None, 0, 1, 7]),
        }
        given = {key: value for key, value in options.items() if value is not None and draw() < 0.8}
        found.append((text(1 + int(draw() ** 2 * 6), WORDS), context, given))
    return found
