"""Forks: a child works with what it inherited, and gives the same numbers. Each case in a process of its own, in which
a child that hangs is ended by SIGALRM."""

import subprocess
import sys

import pytest

HEAD = """
import os, signal, sys, threading, warnings
warnings.simplefilter("ignore")  # Python's own advice against threads and forks
import numpy as np
from filbert import AutoModel, SentenceEncoder

encoder = SentenceEncoder.from_pretrained(sys.argv[1], num_threads=2)
model = encoder.model
texts = ["the cat", "a sunny day ."] * 4
ids = np.array([[2, 5, 7, 3]])
expected = encoder.encode(texts)
state = model(ids).last_hidden_state

def encodes():
    return bool((encoder.encode(texts) == expected).all())

def runs():
    return bool((model(ids).last_hidden_state == state).all())

def forked(body):
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        os._exit(0 if body() else 1)
    return os.waitpid(pid, 0)[1]

def in_threads(count, body):
    right = []
    barrier = threading.Barrier(count)
    def run():
        barrier.wait()
        right.append(body())
    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return right == [True] * count

class Busy:
    # Threads that call body again and again.
    def __init__(self, count, body):
        self.stop = False
        def run():
            while not self.stop:
                body()
        self.threads = [threading.Thread(target=run) for _ in range(count)]
    def __enter__(self):
        for thread in self.threads:
            thread.start()
    def __exit__(self, *error):
        self.stop = True
        for thread in self.threads:
            thread.join()
"""

CASES = {
    "used before": "assert forked(lambda: encodes() and runs()) == 0",
    "while threads run a model, the smallest, so that locks are held as often as can be": """
from filbert import BertConfig, BertModel
sizes = dict(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
engine = BertModel(BertConfig(vocab_size=10, **sizes), seed=0, num_threads=1)._engine
before = engine.forward(ids)[0]
with Busy(4, lambda: engine.forward(ids)):
    for attempt in range(500):
        assert forked(lambda: bool((engine.forward(ids)[0] == before).all())) == 0, attempt
""",
    "while threads load": """
with Busy(2, lambda: AutoModel.from_pretrained(sys.argv[1], add_pooling_layer=False)):
    for attempt in range(30):
        assert forked(lambda: AutoModel.from_pretrained(sys.argv[1], add_pooling_layer=False)(ids) and encodes()) == 0
""",
    "several threads of the child come first": """
for attempt in range(30):
    assert forked(lambda: in_threads(8, runs) and in_threads(4, encodes)) == 0, attempt
""",
    "by a thread that is not the main one": """
with Busy(2, runs):
    assert in_threads(1, lambda: not any(forked(lambda: encodes() and in_threads(2, runs)) for _ in range(20)))
""",
    "a grandchild": """
assert forked(lambda: forked(encodes) == 0 and encodes() and forked(encodes) == 0) == 0
""",
    "dropped in the child": """
def drop():
    global encoder, model
    del encoder, model
    import gc
    gc.collect()
    return True
assert forked(drop) == 0
assert forked(lambda: encodes() and drop()) == 0
""",
    "the child ends as a process does": """
pid = os.fork()
if pid == 0:
    signal.alarm(20)
    assert encodes()
    sys.exit(0)
assert os.waitpid(pid, 0)[1] == 0
""",
    "by a signal handler, in the middle of a forward": """
pids = []
def fork(*signal_and_frame):
    pids.append(os.fork())
    if pids[-1] == 0:
        signal.alarm(20)
signal.signal(signal.SIGUSR1, fork)
long = np.tile(ids, (100000, 1))
threading.Timer(0.05, lambda: os.kill(os.getpid(), signal.SIGUSR1)).start()
while not pids:
    found = model(long).last_hidden_state
right = bool((found == state[0]).all()) and runs()
if pids[0] == 0:
    os._exit(0 if right else 1)
assert os.waitpid(pids[0], 0)[1] == 0 and right
""",
    "a pool of multiprocessing": """
import multiprocessing
def work(_):
    return encodes() and runs()
with Busy(2, runs), multiprocessing.get_context("fork").Pool(2) as pool:
    assert pool.map_async(work, range(20)).get(20) == [True] * 20
""",
}


@pytest.mark.parametrize("case", CASES)
def test_forked(case, folder):
    code = HEAD + CASES[case] + "\nassert encodes() and runs()\n"
    done = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
