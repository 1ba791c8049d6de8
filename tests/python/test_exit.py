"""Python ends while daemon threads are inside filbert: quietly, and with the exit code it was given."""

import subprocess
import sys
import time

import pytest

HEAD = """
import os, sys, threading, time, types
import numpy as np
from filbert import AutoModel, BertConfig, BertModel, SentenceEncoder
from filbert.weights import open_weights

encoder = SentenceEncoder.from_pretrained(sys.argv[1], num_threads=1)
model = encoder.model
ids = np.array([[2, 5, 7, 3]])
config = BertConfig(vocab_size=10, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)

def leave(*bodies):
    # Daemon threads that call each body again and again, two threads each.
    def run(body):
        while True:
            body()
    for body in bodies:
        body()
        for _ in range(2):
            threading.Thread(target=run, args=(body,), daemon=True).start()
    time.sleep(float(sys.argv[2]))
"""

CASES = {
    "forward": "leave(lambda: model(ids))",
    "a long forward": "long = np.tile(ids, (4000, 1)); leave(lambda: model(long))",
    "encode": "leave(lambda: encoder.encode(['the cat', 'a sunny day .'] * 4))",
    "load": "leave(lambda: AutoModel.from_pretrained(sys.argv[1], add_pooling_layer=False))",
    "open": "leave(lambda: open_weights(sys.argv[1] + '/model.safetensors'))",
    "random weights": "leave(lambda: BertModel(config, seed=0, num_threads=1)(ids))",
    "everything, and an exit code": """
leave(lambda: model(ids), lambda: AutoModel.from_pretrained(sys.argv[1], add_pooling_layer=False))
sys.exit(3)
""",
    "used once more by the main thread while Python ends": """
class Last:
    def __del__(self, forward=model._engine.forward, ids=ids, write=os.write):
        forward(ids)
        write(1, b"used")
sys.modules["last"] = types.ModuleType("last")  # the threads keep this one alive
sys.modules["last"].last = Last()
leave(lambda: model(ids))
""",
}


@pytest.mark.parametrize("case", CASES)
def test_the_process_ends(case, folder):
    for run in range(8):
        command = [sys.executable, "-c", HEAD + CASES[case], folder, str(0.02 + 0.003 * run)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
        assert (done.returncode, done.stderr) == (3 if "exit code" in case else 0, "")
        assert done.stdout == ("used" if "once more" in case else "")


RUNNING_CALLS = """
import atexit, os, sys, threading, time

inside = []
begun = 0

def call():
    global begun
    begun += 1
    inside.append(1)
    time.sleep(0.03)
    inside.pop()

@atexit.register  # handlers run in reverse order: after that of RunningCalls
def look():
    before = begun
    time.sleep(0.1)
    with calls:
        call()  # by the thread that ends Python
    os.write(1, f"{len(inside)} inside, {begun - before} begun".encode())

from filbert.exits import RunningCalls
calls = RunningCalls()

def run():
    while True:
        with calls:
            call()

for _ in range(3):
    threading.Thread(target=run, daemon=True).start()
time.sleep(0.05)
if sys.argv[1] == "fork" and (child := os.fork()):
    assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.parametrize("fork", ["fork", "no fork"])
def test_running_calls_are_waited_for_and_none_begins(fork):
    begin = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RUNNING_CALLS, fork], capture_output=True, text=True, timeout=20
    )
    assert time.monotonic() - begin < 4, "it waited for threads that a fork left behind"
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("0 inside, 1 begun")
