"""Questions and answers: the steps by themselves, and the whole beside what transformers 4.57 said, stored."""

import json
import random
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from pipeline_models import WORDS, write_model
from tokenizers import Tokenizer

import filbert
from filbert import InputError
from filbert.pipelines.answers import Candidates, Piece, aligned, answers, bounds, candidates

GOLDEN = Path(__file__).parent.parent / "golden"
sys.path.insert(0, str(GOLDEN))

import qa_cases  # noqa: E402

QUESTION, CONTEXT = "the dog is ?", "hello world , it ' s a sunny day . the cat runs , a dog is running ."
EMPTY = {"score": 0.0, "start": 0, "end": 0, "answer": ""}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("qa"), "bert", "ForQuestionAnswering")


@pytest.fixture(scope="module")
def qa(folder):
    return filbert.pipeline("question-answering", folder)


@pytest.fixture(scope="module")
def many():
    """Questions with contexts, long ones among them."""
    draw = random.Random(5)
    return [
        {"question": " ".join(draw.choices(WORDS, k=3)), "context": " ".join(draw.choices(WORDS, k=length))}
        for length in (1, 90, 5, 30, 200, 2, 12, 60, 1, 7)
    ]


# The steps.


@pytest.mark.parametrize("side", ["right", "left"])
def test_pieces_are_those_of_the_tokenizers_package(side):
    backend = Tokenizer.from_str('{"version":"1.0","model":{"type":"BPE","vocab":{"a":0},"merges":[]}}')
    for length in range(1, 40):
        for room in range(1, 12):
            for overlap in range(room):
                backend.enable_truncation(room, stride=overlap, direction=side)
                first = backend.encode("a" * length)
                expected = [(each.offsets[0][0], each.offsets[-1][1]) for each in [first, *first.overflowing]]
                assert list(bounds(length, room, overlap, side == "right")) == expected


def test_no_tokens_are_one_piece():
    assert list(bounds(0, 9, 3)) == [(0, 0)]


def test_tokens_reach_as_far_as_their_words():
    words, starts, ends = np.array([4, 4, 4, 5, 7, 7]), np.array([0, 2, 3, 8, 9, 10]), np.array([2, 3, 7, 9, 10, 14])
    found = aligned(words, starts, ends)
    assert [values.tolist() for values in found] == [[0, 0, 0, 8, 9, 9], [7, 7, 7, 9, 14, 14]]
    cut = aligned(words[1:5], starts[1:5], ends[1:5])
    assert [values.tolist() for values in cut] == [[2, 2, 8, 9], [7, 7, 9, 10]]
    assert [len(values) for values in aligned(*[np.zeros(0, np.int64)] * 3)] == [0, 0]


def plain_candidates(logits, piece, number, longest):
    """The same, one by one."""
    columns = [*piece.others, *range(piece.first, piece.first + len(piece.starts))]
    shares = np.zeros(logits.shape)
    for side in (0, 1):
        weights = [np.exp(float(logits[column, side]) - float(logits[columns, side].max())) for column in columns]
        for column, weight in zip(columns, weights, strict=True):
            shares[column, side] = weight / sum(weights)
    found = []
    for start in range(len(piece.starts)):
        for end in range(start, min(start + longest, len(piece.starts))):
            score = shares[piece.first + start, 0] * shares[piece.first + end, 1]
            found.append((-score, start, end))
    best = sorted(found)[:number]
    starts, ends = [int(piece.starts[start]) for _, start, _ in best], [int(piece.ends[end]) for _, _, end in best]
    return Candidates(starts, ends, [-score for score, _, _ in best], shares[0, 0] * shares[0, 1])


def test_candidates_are_the_best_of_all():
    generator = np.random.default_rng(0)
    for _ in range(200):
        first, count, after = generator.integers(1, 6), generator.integers(1, 30), generator.integers(0, 3)
        logits = generator.standard_normal((first + count + after, 2)).astype(np.float32) * 3
        starts = np.arange(count) * 10
        piece = Piece(int(first), starts, starts + 7, [[0], [], [0, int(first) - 1]][generator.integers(3)])
        number, longest = int(generator.choice([1, 3, 12, 1000])), int(generator.choice([1, 2, 15, 1000]))
        found, expected = candidates(logits, piece, number, longest), plain_candidates(logits, piece, number, longest)
        assert found[:2] == expected[:2]
        assert found.scores == pytest.approx(expected.scores, rel=1e-9)
        assert found.null_score == pytest.approx(expected.null_score, rel=1e-9)


def test_of_equal_candidates_the_first_comes_first():
    places = np.arange(4)
    found = candidates(np.zeros((6, 2), np.float32), Piece(1, places, places + 1, []), 3, 2)
    assert found == ([0, 0, 1], [1, 2, 2], [1 / 16] * 3, 0.0)


def test_equal_answers_are_one():
    found = answers("Ab c ab", [Candidates([0, 3], [2, 4], [0.5, 0.2], 0.3), Candidates([5], [7], [0.25], 0.1)], False)
    assert found == [
        {"score": 0.75, "start": 0, "end": 2, "answer": "Ab"},
        {"score": 0.2, "start": 3, "end": 4, "answer": "c"},
    ]


def test_no_answer_is_one_where_it_may_be():
    pieces = [Candidates([0], [1], [0.2], 0.3), Candidates([2], [3], [0.1], 0.25)]
    assert answers("a b", pieces, True)[0] == {**EMPTY, "score": 0.25}
    assert "" not in [answer["answer"] for answer in answers("a b", pieces, False)]
    assert answers(" ", [Candidates([], [], [], 1.0)], False) == [EMPTY]


# Beside transformers 4.57.


@pytest.mark.parametrize("name", qa_cases.MODELS)
def test_the_stored_answers(name, tmp_path):
    qa = filbert.pipeline("question-answering", qa_cases.write_model(name, tmp_path))
    stored = json.loads((GOLDEN / "question_answering.json").read_text(encoding="utf-8"))[name]
    compared = 0
    for (question, context, options), expected in zip(qa_cases.cases(name), stored, strict=True):
        if expected is None:
            with pytest.raises(InputError, match="question 0: with its"):
                qa(question=question, context=context, **options)
        elif expected != "near":  # scores so near to each other that their order is rounding
            found = qa(question=question, context=context, **options)
            assert isinstance(found, list) == (options.get("top_k", 1) > 1)
            found = found if isinstance(found, list) else [found]
            assert all(list(answer) == ["score", "start", "end", "answer"] for answer in found)
            assert {tuple(map(type, answer.values())) for answer in found} == {(float, int, int, str)}
            values = [(answer["start"], answer["end"], answer["answer"]) for answer in found]
            scores = [answer["score"] for answer in found]
            count = len(expected)  # of those that are likely at all
            assert values[:count] == [(start, end, answer) for start, end, _, answer in expected], (question, context)
            assert scores[:count] == pytest.approx([score for _, _, score, _ in expected], abs=1e-5)
            assert all(score < 2e-5 for score in scores[count:])
            compared += 1
    assert compared >= 0.85 * qa_cases.MODELS[name]


# How it is called.


def test_ways_to_ask(qa):
    one = qa(question=QUESTION, context=CONTEXT)
    assert CONTEXT[one["start"] : one["end"]] == one["answer"] != ""
    item = {"question": QUESTION, "context": CONTEXT}
    other = {"question": "the cat ?", "context": "the cat is sunny"}
    assert qa(QUESTION, CONTEXT) == qa(QUESTION, context=CONTEXT) == qa(item) == qa([item]) == one
    assert qa([QUESTION], [CONTEXT]) == qa(question=(QUESTION,), context=CONTEXT) == one
    two = [one, qa(other)]
    assert qa([item, other]) == qa((item, other)) == two
    questions, contexts = [QUESTION, other["question"]], [CONTEXT, other["context"]]
    assert qa(question=questions, context=contexts) == qa(questions, contexts) == two
    assert qa(question=questions, context=CONTEXT) == [one, qa("the cat ?", CONTEXT)]
    assert qa([]) == qa(question=[], context=[]) == qa(question=[], context=CONTEXT) == []


def test_options(qa, folder):
    three = qa(QUESTION, CONTEXT, top_k=3)
    assert [len(three), three[0]] == [3, qa(QUESTION, CONTEXT)]
    assert [answer["score"] for answer in three] == sorted((answer["score"] for answer in three), reverse=True)
    assert len({answer["answer"].lower() for answer in three}) == 3
    with pytest.warns(UserWarning, match="topk is called top_k"):
        assert qa(QUESTION, CONTEXT, topk=3) == three
    assert qa(QUESTION, CONTEXT, top_k=1) == qa(QUESTION, CONTEXT, top_k=None) == three[0]
    assert qa(QUESTION, CONTEXT, max_question_len=1, padding="max_length", num_workers=2) == three[0]
    with_default = filbert.pipeline("question-answering", folder, top_k=3)
    assert with_default(QUESTION, CONTEXT) == with_default(QUESTION, CONTEXT, top_k=None) == three
    assert with_default(QUESTION, CONTEXT, top_k=1) == three[0]
    assert any(answer["answer"] == "" for answer in qa(QUESTION, "a", top_k=5, handle_impossible_answer=True))
    assert len(qa(QUESTION, "unbelievable", align_to_words=False, top_k=9)) > 1
    assert [answer["answer"] for answer in qa(QUESTION, "unbelievable", top_k=9)] == ["unbelievable"]
    assert all(" " not in answer["answer"] for answer in qa(QUESTION, CONTEXT, top_k=99, max_answer_len=1))


def test_a_context_without_words(qa):
    assert qa(QUESTION, " \n") == EMPTY
    assert qa(QUESTION, " \n", top_k=2) == [EMPTY]
    assert qa(QUESTION, " ", handle_impossible_answer=True) == {**EMPTY, "score": 1.0}


def test_answers_are_never_in_the_question(qa):
    answer = qa("[CLS] the [CLS] ?", "[CLS] a dog")
    assert answer["answer"] in ("[CLS]", "[CLS] a", "[CLS] a dog", "a", "a dog", "dog")


def test_batches_change_no_bit(qa, many):
    expected = [qa(item, top_k=4) for item in many]
    for batch_size in (1, 3, None):
        assert qa(many, top_k=4, batch_size=batch_size) == expected
    assert qa(many[::-1], top_k=4) == expected[::-1]


def test_an_iterator_gives_results_one_by_one(qa, many):
    taken = []
    results = qa((taken.append(index) or item for index, item in enumerate(many)), batch_size=2)
    assert taken == []
    assert next(results) == qa(many[0])
    assert len(taken) == 2
    assert list(results) == qa(many[1:])


def test_very_long_contexts(qa):
    words = random.Random(1).choices(WORDS, k=24_000)
    context = " ".join(words)
    assert len(context) > 100_000
    tracemalloc.start()
    answer = qa(QUESTION, context)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert context[answer["start"] : answer["end"]] == answer["answer"] != ""
    assert peak < 100e6


def test_many_long_contexts_are_not_all_tokenised_at_once(qa, monkeypatch):
    monkeypatch.setattr("filbert.pipelines.base._CHARACTERS", 1000)
    items = [{"question": QUESTION, "context": "the dog " * length} for length in (1, 100, 40, 40, 3, 50, 50, 1)]
    chunks, sequences = [], qa.sequences
    monkeypatch.setattr(qa, "sequences", lambda items, *rest: chunks.append(len(items)) or sequences(items, *rest))
    assert len(qa(items)) == len(list(qa(iter(items)))) == len(items)
    assert chunks == [3, 4, 1] * 2


# Bad input.


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("context", None, "found None"),
        ("question", None, "found None"),
        ("context", "", "is empty"),
        ("question", "", "is empty"),
        ("context", b"abc", "found b'abc'"),
        ("question", float("nan"), "found nan"),
        ("context", ["a", "b"], r"found \['a', 'b'\]"),
        ("question", "a \ud800", "character 2 is a lone surrogate"),
        ("context", 3, "found 3"),
    ],
)
def test_a_bad_item_is_named(qa, name, value, message):
    good = {"question": QUESTION, "context": CONTEXT}
    with pytest.raises(InputError, match=f"{name} 2: {message}"):
        qa([good, good, {**good, name: value}])
    with pytest.raises(InputError, match=f"{name} 1: {message}"):
        list(qa(iter([good, {**good, name: value}])))
    with pytest.raises(InputError, match=f"{name}( 0)?: .*(found|is empty|surrogate)"):
        qa(**{**good, name: value})


@pytest.mark.parametrize(
    "item", [None, "text", 3, {}, {"question": "a"}, {"question": "a", "context": "b", "id": 1}, ("a", "b"), [1]]
)
def test_what_is_no_question_with_a_context(qa, item):
    with pytest.raises(InputError, match="input 1: found"):
        qa([{"question": QUESTION, "context": CONTEXT}, item])


def test_inputs_that_do_not_fit_together(qa):
    with pytest.raises(InputError, match="context: found 3, expected one or 2"):
        qa(question=["a", "b"], context=["c", "d", "e"])
    with pytest.raises(InputError, match="context 0: found"):
        qa(question="a", context=["b", "c"])
    with pytest.raises(InputError, match="question: found None"):
        qa()
    with pytest.raises(InputError, match="inputs: found as well as question"):
        qa({"question": "a", "context": "b"}, question="a")
    for value in ("only a question", b"bytes", 3, {1, 2}):
        with pytest.raises(InputError, match="inputs: found"):
            qa(value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[(name, value) for name in ("top_k", "topk", "max_answer_len", "max_seq_len") for value in (0, -1, 1.5, "2")],
        ("max_question_len", 0),
        ("doc_stride", -1),
        ("doc_stride", 2.5),
        ("doc_stride", 61),
        ("top_k", True),
    ],
)
@pytest.mark.filterwarnings("ignore:topk")
def test_bad_options(qa, name, value):
    with pytest.raises(InputError, match=f"{'top_k' if name == 'topk' else name}: found {value!r}"):
        qa(QUESTION, CONTEXT, **{name: value})


def test_options_that_there_are_not(qa, folder):
    with pytest.raises(TypeError, match="unexpected keyword arguments: topp"):
        qa(QUESTION, CONTEXT, topp=None)
    with pytest.raises(TypeError, match="unexpected keyword arguments: function_to_apply"):
        filbert.pipeline("question-answering", folder, function_to_apply="none")


def test_a_question_that_leaves_no_room(qa):
    good = {"question": QUESTION, "context": CONTEXT}
    with pytest.raises(InputError, match="question 1: with its 63 tokens a sequence of 60 has room for 0"):
        qa([good, {"question": "a " * 60, "context": CONTEXT}])
    with pytest.raises(InputError, match="whose pieces share 30"):
        qa("a " * 30, "the dog " * 40)
    assert qa("a " * 30, "the dog " * 40, doc_stride=5)["answer"]
    assert qa("a " * 30, "the dog")["answer"]
    assert qa(QUESTION, CONTEXT, max_seq_len=10_000) == qa(QUESTION, CONTEXT)
