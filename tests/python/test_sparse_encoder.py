"""SparseEncoder by itself, without torch: beside sentence-transformers it is in test_sparse_parity.py."""

import pickle
import random
import subprocess
import sys
import threading
import tracemalloc

import numpy as np
import pytest
import test_hub
from sparse_models import (
    generated_texts,
    masked_words_folder,
    router_folder,
    splade_folder,
    table_folder,
    table_weights,
)
from sparse_models import write_modules as modules_of
from text_models import SENTENCES, VOCABULARY

import filbert
from filbert import ConfigError, InputError, SparseEncoder
from filbert.sentence import sparse_routes
from filbert.sentence.sparse import SparseVector, SparseVectors

hub = test_hub.hub  # the fixture
TEXTS = generated_texts(200)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return splade_folder(tmp_path_factory.mktemp("sparse"))


@pytest.fixture
def encoder(folder):
    return SparseEncoder(folder)


def same(a, b):
    return a.shape == b.shape and a.toarray().tobytes() == b.toarray().tobytes()


@pytest.mark.parametrize("activation", ["relu", "log1p_relu"])
@pytest.mark.parametrize("strategy", ["max", "sum"])
def test_the_formula(tmp_path, strategy, activation):
    pooling = {"pooling_strategy": strategy, "activation_function": activation}
    encoder = SparseEncoder(splade_folder(tmp_path, pooling))
    model = filbert.AutoModelForMaskedLM.from_pretrained(tmp_path)
    for text, vector in zip(TEXTS, encoder.encode(TEXTS), strict=True):
        ids = encoder.tokenizer(text, truncation=True)["input_ids"]
        weights = np.log1p(np.maximum(model([ids]).logits[0].astype(np.float64), 0))
        weights = np.log1p(weights) if activation == "log1p_relu" else weights
        expected = weights.max(0) if strategy == "max" else weights.sum(0)
        assert vector.toarray() == pytest.approx(expected, rel=1e-6)
        assert (vector.data > 0).all()


@pytest.mark.parametrize("strategy", ["max", "sum"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
def test_a_vector_does_not_depend_on_its_company(tmp_path, strategy, dtype):
    encoder = SparseEncoder(splade_folder(tmp_path, {"pooling_strategy": strategy}, normalize=True), dtype=dtype)
    vectors = encoder.encode(TEXTS)
    for text, vector in zip(TEXTS, vectors, strict=True):
        assert same(encoder.encode(text), vector)
    order = random.Random(1).sample(range(len(TEXTS)), len(TEXTS))
    for batch_size in (1, 7, None):
        assert same(encoder.encode([TEXTS[i] for i in order], batch_size=batch_size), vectors[order])


def test_threads(encoder):
    expected = encoder.encode(TEXTS)
    results = [None] * 6

    def work(number):
        results[number] = encoder.encode(TEXTS, batch_size=number + 1)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(results))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(same(result, expected) for result in results)


def test_shapes(encoder):
    vectors = encoder.encode(TEXTS)
    assert isinstance(vectors, SparseVectors)
    assert vectors.shape == (200, 40)
    assert isinstance(encoder.encode("hello"), SparseVector)
    assert encoder.encode("hello").shape == (40,)
    assert same(encoder.encode(iter(TEXTS)), vectors)
    assert same(encoder.encode(np.array(TEXTS, object)), vectors)
    for name in ("inputs", "sentences", "texts"):
        assert same(encoder.encode(**{name: TEXTS}), vectors)
        assert same(encoder.encode_query(**{name: TEXTS}), vectors)
    dense = encoder.encode(TEXTS, convert_to_sparse_tensor=False)
    assert dense.tobytes() == vectors.toarray().tobytes()
    assert encoder.encode("hello", convert_to_sparse_tensor=False).shape == (40,)


def test_no_texts(encoder):
    for texts in ([], (), np.array([], object), iter([])):
        assert encoder.encode(texts).shape == (0, 40)
    assert encoder.encode_query([], convert_to_sparse_tensor=False).shape == (0, 40)
    assert encoder.decode(encoder.encode([])) == []
    assert encoder.similarity(encoder.encode([]), encoder.encode(["a"])).shape == (0, 1)


def test_memory_is_for_few_rows(tmp_path, monkeypatch):
    """Of a real vocabulary, 8 MB of dense rows at a time, whatever the batch."""
    vocabulary = VOCABULARY + [f"w{number}" for number in range(30522 - len(VOCABULARY))]
    folder = masked_words_folder(tmp_path, vocabulary, num_hidden_layers=1, hidden_size=8, intermediate_size=8)
    encoder = SparseEncoder(folder, max_active_dims=10)
    asked = []
    largest = filbert.tasks.ForMaskedLM.max_logits

    def spy(*arguments):
        rows = largest(*arguments)
        asked.append(rows.nbytes)
        return rows

    monkeypatch.setattr(filbert.tasks.ForMaskedLM, "max_logits", spy)
    texts = [text or "a" for text in TEXTS[:150]]
    encoder.encode(texts[:2])
    tracemalloc.start()
    try:
        vectors = encoder.encode(texts, batch_size=None)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert vectors.shape == (150, 30522)
    assert (np.diff(vectors.indptr) == 10).all()
    assert 7e6 < max(asked) <= 8 << 20
    assert max(asked) < peak < (8 << 20) + 3e6
    asked.clear()
    assert same(encoder.encode(texts, batch_size=11), vectors)
    assert max(asked) == 11 * 30522 * 4
    monkeypatch.setattr(sparse_routes, "_MAX_BYTES", 1000)
    asked.clear()
    assert same(encoder.encode(texts[:5]), vectors[:5])
    assert asked == [30522 * 4] * 5, "one at least"


def test_sums_in_parts_of_a_text(tmp_path, monkeypatch):
    encoder = SparseEncoder(splade_folder(tmp_path, {"pooling_strategy": "sum"}))
    whole = encoder.encode(TEXTS).toarray()
    monkeypatch.setattr(sparse_routes, "_SUM_BYTES", 4 * 40 * 5)
    parts = []
    run = filbert.tasks.ForMaskedLM.run_packed

    def spy(*arguments, **named):
        rows = run(*arguments, **named)
        parts.append(len(rows))
        return rows

    monkeypatch.setattr(filbert.tasks.ForMaskedLM, "run_packed", spy)
    assert encoder.encode(TEXTS).toarray() == pytest.approx(whole, rel=1e-6)
    assert max(parts) == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"inputs": None}, "text: found None"),
        ({}, "text: found None"),
        ({"inputs": b"a"}, r"text: found b'a' \(bytes\)"),
        ({"inputs": {"a": 1}}, "text: found a mapping"),
        ({"inputs": 3}, r"text: found 3 \(int\)"),
        ({"inputs": ["a", None]}, "text 1: found None"),
        ({"inputs": ["a", "b", b"c"]}, r"text 2: found b'c' \(bytes\), expected a string"),
        ({"inputs": ["a", float("nan")]}, r"text 1: found nan \(float\)"),
        ({"inputs": ["a", "b\udfff"]}, "text 1: character 1 is a lone surrogate"),
        ({"inputs": "\ud800"}, "text 0: character 0 is a lone surrogate"),
        ({"inputs": [["a", "b"]]}, r"text 0: found \['a', 'b'\]"),
        ({"inputs": "a", "texts": "a"}, "found inputs and texts, which are names of the same"),
        ({"inputs": "a", "batch_size": 0}, "batch_size: found 0"),
        ({"inputs": "a", "max_active_dims": 0}, "max_active_dims: found 0"),
        ({"inputs": "a", "max_active_dims": True}, "max_active_dims: found True"),
        ({"inputs": "a", "prompt_name": "other"}, "prompt_name: found 'other', the model has query, document"),
        ({"inputs": "a", "prompt": 3}, r"prompt 0: found 3 \(int\)"),
        ({"inputs": "a", "prompt": "\udfff"}, "prompt 0: character 0 is a lone surrogate"),
        ({"inputs": "a", "device": ["cpu", "cuda:9"]}, "device: found 'cuda:9', the model is on 'cpu'; load one for"),
    ],
)
def test_bad_arguments(encoder, arguments, message):
    with pytest.raises(InputError, match=message):
        encoder.encode(**arguments)
    assert encoder.encode("hello").shape == (40,)


def test_other_bad_arguments(encoder, folder):
    with pytest.raises(InputError, match="top_k: found 0"):
        encoder.decode(encoder.encode("hello"), top_k=0)
    with pytest.raises(InputError, match="embeddings: found str, expected vectors"):
        encoder.decode("hello")
    with pytest.raises(InputError, match="similarity_fn_name: found 'maxsim', expected one of cosine, dot"):
        encoder.similarity_fn_name = "maxsim"
    for options in ({"similarity_fn_name": "l2"}, {"max_active_dims": -1}):
        with pytest.raises(InputError, match=next(iter(options))):
            SparseEncoder(folder, **options)
    with pytest.raises(ConfigError, match="default_prompt_name: found 'none'"):
        SparseEncoder(folder, default_prompt_name="none")
    with pytest.raises(NotImplementedError, match="does not train"):
        encoder.train()


def test_habits_of_sentence_transformers(encoder, folder):
    texts = ["hello cats", "a long day"]
    expected = encoder.encode(texts).toarray()
    pool = encoder.start_multi_process_pool(["cpu", "cpu"])
    for options in ({"pool": pool, "chunk_size": 3}, {"pool": None, "chunk_size": None}, {"device": ["cpu"]}):
        assert encoder.encode(texts, **options).toarray().tobytes() == expected.tobytes()
    encoder.stop_multi_process_pool(pool)
    assert encoder.get_max_seq_length() == encoder.max_seq_length == 24
    assert (encoder.get_backend(), encoder.eval(), encoder.cpu()) == ("filbert", encoder, encoder)
    features = encoder.preprocess(texts, prompt="the ")
    assert encoder.tokenizer.batch_decode(features["input_ids"]) == [
        "[CLS] the hello cats [SEP]",
        "[CLS] the a long day [SEP]",
    ]
    assert encoder.tokenize(["hello " * 40])["input_ids"].shape == (1, 24)


def test_keywords_of_sentence_transformers(folder, tmp_path):
    names = {"model_card_data": "mine", "backend": "torch", "config_kwargs": {}, "processor_kwargs": None}
    encoder = SparseEncoder(folder, model_kwargs={"torch_dtype": "bfloat16", "num_threads": 1}, **names)
    model = encoder._models()[0]
    assert (model.dtype, model.num_threads, encoder.model_card_data) == ("bfloat16", 1, "mine")
    cut = SparseEncoder(folder, processor_kwargs={"model_max_length": 8})
    assert cut.max_seq_length == 8
    with pytest.warns(DeprecationWarning, match="'tokenizer_kwargs' is the older name of 'processor_kwargs'"):
        assert SparseEncoder(folder, tokenizer_kwargs={"model_max_length": 8}).max_seq_length == 8
    other = SparseEncoder(folder, config_kwargs={"layer_norm_eps": 0.5})
    expected = SparseEncoder(folder).encode("a cat").toarray()
    assert not np.allclose(other.encode("a cat").toarray(), expected)
    for each in (encoder, cut, other):
        twin = pickle.loads(pickle.dumps(each))
        assert twin.encode("a cat " * 6).toarray().tobytes() == each.encode("a cat " * 6).toarray().tobytes()
    assert pickle.loads(pickle.dumps(SparseEncoder(folder).to("bfloat16")))._models()[0].dtype == "bfloat16"
    with pytest.raises(InputError, match="backend: found 'onnx', expected 'torch'"):
        SparseEncoder(folder, backend="onnx")
    with pytest.raises(ConfigError, match="config_kwargs of the Transformer module: found no_such_key"):
        SparseEncoder(folder, config_kwargs={"no_such_key": 1})
    table_folder(tmp_path / "table", table_weights(30))
    modules_of(tmp_path / "table", ("SparseStaticEmbedding", ""))
    with pytest.raises(InputError, match="found model_max_length: a table of weights is taken as its files say"):
        SparseEncoder(tmp_path / "table", processor_kwargs={"model_max_length": 8})
    table = SparseEncoder(tmp_path / "table", model_kwargs={"torch_dtype": "float32"})
    assert table.tokenizer.batch_decode(table.preprocess(["the cat"])["input_ids"]) == ["the cat"]


def test_a_token_beyond_the_model(tmp_path):
    masked_words_folder(tmp_path, VOCABULARY[:30])
    (tmp_path / "vocab.txt").write_text("\n".join(VOCABULARY), encoding="utf-8")
    with pytest.raises(InputError, match=r"text 2: token 'long' has id 36, and .* for ids from 0 to 29"):
        SparseEncoder(tmp_path).encode(["a", "the cat", "a long day", "the"])
    table_folder(tmp_path / "table", table_weights(30))
    modules_of(tmp_path / "table", ("SparseStaticEmbedding", ""))
    with pytest.raises(InputError, match=r"text 1: token 'long' has id 36, and .* for ids from 0 to 29"):
        SparseEncoder(tmp_path / "table").encode(["a", "a long day"])


def test_what_it_says_of_itself(encoder, folder, tmp_path):
    assert encoder.get_embedding_dimension() == encoder.get_sentence_embedding_dimension() == 40
    assert encoder.max_seq_length == 24
    assert encoder.device == "cpu"
    assert encoder.prompts == {"query": "", "document": ""}
    assert (encoder.similarity_fn_name, encoder.max_active_dims, encoder.default_prompt_name) == ("dot", None, None)
    assert encoder.tokenizer.tokenize("hello cats") == ["hello", "cat", "##s"]
    assert encoder.to("cpu") is encoder
    assert "BertForMaskedLM(2 layers" in repr(encoder)
    assert "max of log(1 + relu), max_seq_length=24" in repr(encoder)
    router = SparseEncoder(router_folder(tmp_path, normalize=True))
    assert "query: 40 weights of tokens, normalised, document: BertForMaskedLM" in repr(router)
    assert router.device == "cpu"
    assert SparseEncoder.from_pretrained(folder, num_threads=1, device="cpu", mmap=False).max_seq_length == 24


def test_max_seq_length(encoder, tmp_path):
    long = "hello " * 30
    assert same(encoder.encode(long), encoder.encode("hello " * 22))
    encoder.max_seq_length = 4
    assert same(encoder.encode(long), encoder.encode("hello hello"))
    router = SparseEncoder(router_folder(tmp_path))
    router.max_seq_length = 2
    assert same(router.encode_query("hello world sunny"), router.encode_query("hello world"))
    for bad in (0, 25, None, 2.5):
        with pytest.raises(InputError, match=r"max_seq_length: found .* expected an integer from 1 to 24"):
            router.max_seq_length = bad
    assert router.max_seq_length == 2


def test_decode(encoder):
    vectors = encoder.encode(TEXTS)
    for vector, pairs in zip(vectors, encoder.decode(vectors), strict=True):
        assert encoder.decode(vector) == pairs
        assert {encoder.tokenizer.convert_tokens_to_ids(token): weight for token, weight in pairs} == dict(
            zip(vector.indices.tolist(), vector.data.tolist(), strict=True)
        )
        assert [weight for _, weight in pairs] == sorted(vector.data.tolist(), reverse=True)
        assert encoder.decode(vector, top_k=3) == pairs[:3]
    assert encoder.decode(np.eye(40)[[5, 23]]) == [[("the", 1.0)], [("hello", 1.0)]]
    assert encoder.decode(np.zeros(40)) == []


def test_two_prompts(encoder):
    with pytest.warns(UserWarning, match="prompt and prompt_name are both given"):
        found = encoder.encode("hello", prompt="the ", prompt_name="query")
    assert same(found, encoder.encode("the hello"))


def test_torch_is_not_needed(folder, tmp_path):
    router_folder(tmp_path / "router")
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('torch', 'scipy', 'transformers')))\n"
        "from filbert import SparseEncoder\n"
        "for folder in sys.argv[1:]:\n"
        "    encoder = SparseEncoder(folder)\n"
        "    vectors = encoder.encode_query(['hello world', 'the sun'])\n"
        "    encoder.decode(vectors), encoder.similarity(vectors, vectors), encoder.sparsity(vectors)\n"
        "    encoder.intersection(vectors[0], vectors), encoder.similarity_pairwise(vectors, vectors)\n"
        "    print(encoder.encode_document([]))\n"
    )
    command = [sys.executable, "-c", code, str(folder), str(tmp_path / "router")]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.count("0 x 40") == 2


def test_the_progress_bar(encoder, capsys):
    encoder.encode(["hello"] * 9)
    assert capsys.readouterr().err == ""
    encoder.encode(["hello"] * 9, show_progress_bar=True)
    assert "9/9" in capsys.readouterr().err


def test_from_the_hub(hub, tmp_path, monkeypatch):
    folder = router_folder(tmp_path / "router")
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    hub.add("org/sparse", {**files, "README.md": b"#", "onnx/model.onnx": b"x"})
    ours, expected = SparseEncoder("org/sparse"), SparseEncoder(folder)
    test_hub.go_offline(monkeypatch)
    for encoder in (ours, SparseEncoder("org/sparse", local_files_only=True)):
        assert same(encoder.encode_query(SENTENCES), expected.encode_query(SENTENCES))
        assert same(encoder.encode_document(SENTENCES), expected.encode_document(SENTENCES))
