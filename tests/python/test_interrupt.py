"""Signals in calls: KeyboardInterrupt soon, and what a handler raises is what the caller gets."""

import gc
import signal
import time

import numpy as np
import pytest
from tokenizers import Tokenizer, models

from filbert import BertConfig, BertModel, InputError
from filbert.text_encoder import TextEncoder


def test_ctrl_c_stops_a_long_forward():
    config = BertConfig(
        vocab_size=50, hidden_size=128, num_attention_heads=4, num_hidden_layers=4, intermediate_size=512
    )
    model = BertModel(config, seed=0)
    ids = np.ones((8, 128), np.int64)
    before = model(ids).last_hidden_state
    begin = time.perf_counter()
    model(ids)
    seconds = time.perf_counter() - begin
    long = np.ones((int(8 * 60 / seconds), 128), np.int64)  # about a minute of work, on any machine
    old = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(KeyboardInterrupt):
            model(long)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    np.testing.assert_array_equal(model(ids).last_hidden_state, before)


class TimeIsUpError(Exception):
    pass


def test_what_a_signal_handler_raises_while_texts_are_tokenised():
    def stop(*_):
        raise TimeIsUpError

    encoder = TextEncoder(Tokenizer(models.WordLevel({"a": 0}, unk_token="?")))
    texts = ["a"] * 10_000

    def encode_for_ever():
        while True:
            encoder.encode(texts)

    gc.disable()  # Python drops what is raised while it collects
    old = signal.signal(signal.SIGALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(TimeIsUpError):
            encode_for_ever()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
        gc.enable()
    with pytest.raises(InputError, match="WordLevel error"):  # of the package itself
        encoder.encode(["b"])
