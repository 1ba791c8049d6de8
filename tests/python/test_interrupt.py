"""Ctrl-C in a long call: KeyboardInterrupt soon, and the model stays usable."""

import signal
import time

import numpy as np
import pytest

from filbert import BertConfig, BertModel


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
