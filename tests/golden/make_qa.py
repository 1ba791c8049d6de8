"""Writes question_answering.json: what transformers 4.57, the last that answered questions, says to qa_cases.py.

    pip install "transformers==4.57.*" torch && python tests/golden/make_qa.py

An answer is [start, end, score, text]; null stands for an error.
"""

import itertools
import json
import tempfile
import warnings
from pathlib import Path
from typing import Any

import transformers
from qa_cases import MODELS, cases, write_model

# Answers less likely than this are not stored: among them are the ones that are no answers, of score 0.
_LEAST = 1e-5
# Questions are left out that have answers as near to each other as this in relation: their order is rounding.
_NEAR = 1e-3


def main() -> None:
    assert transformers.__version__.startswith("4.57."), transformers.__version__
    warnings.simplefilter("ignore")
    stored: dict[str, Any] = {"transformers": transformers.__version__}
    for name in MODELS:
        with tempfile.TemporaryDirectory() as folder:
            write_model(name, Path(folder))
            qa = transformers.pipeline("question-answering", folder, device="cpu", dtype="float32")
            stored[name] = [ask(qa, *case) for case in cases(name)]
        counts = {
            kind: sum(kind == type(each).__name__ for each in stored[name]) for kind in ("list", "str", "NoneType")
        }
        print(name, counts)
    text = json.dumps(stored, ensure_ascii=False, separators=(",", ":")).replace("],[[", "],\n[[")
    (Path(__file__).parent / "question_answering.json").write_text(text + "\n", encoding="utf-8")


def ask(qa: Any, question: str, context: str, options: dict[str, Any]) -> list[Any] | str | None:
    """The answers; "near" if their order is not to be relied on, None if there was an error."""
    try:
        found = qa(question=question, context=context, **options)
    except BaseException as error:  # panics of the tokenizers package are no Exceptions
        if isinstance(error, KeyboardInterrupt):
            raise
        print(question[:30], options, error)
        return None
    answers = found if isinstance(found, list) else [found]
    scores = [answer["score"] for answer in answers if answer["score"] > _LEAST]
    if any(first - second < _NEAR * first for first, second in itertools.pairwise(scores)):
        return "near"
    return [
        [answer["start"], answer["end"], round(answer["score"], 8), answer["answer"]]
        for answer in answers[: len(scores)]
    ]


if __name__ == "__main__":
    main()
