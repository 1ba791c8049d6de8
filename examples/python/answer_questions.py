"""Answer questions from a text: pip install . && python examples/python/answer_questions.py [FILE [QUESTION...]]"""

import sys
from pathlib import Path

from filbert import pipeline

TEXT = """
A filbert is a small nut with a hard shell, better known as a hazelnut. Most of the world's hazelnuts grow in Turkey,
on the coast of the Black Sea, where they are harvested in August. The tree flowers in winter, long before its leaves
come out, and the wind carries its pollen. Squirrels bury the nuts in autumn and find them again by smell.
"""
QUESTIONS = ["What is another name for a filbert?", "When are hazelnuts harvested?", "Who wrote Hamlet?"]

text = Path(sys.argv[1]).read_text(encoding="utf-8") if len(sys.argv) > 1 else TEXT
questions = sys.argv[2:] or QUESTIONS

qa = pipeline("question-answering", "deepset/minilm-uncased-squad2")  # texts of any length are read in pieces
answers = qa([{"question": each, "context": text} for each in questions], top_k=2, handle_impossible_answer=True)

for question, best in zip(questions, answers if len(questions) > 1 else [answers], strict=True):
    print(question)
    for answer in best:
        print(f"  {answer['score']:.2f}  {answer['answer'] or '(the text does not say)'}")
