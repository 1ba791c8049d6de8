"""SentenceEncoder: by itself on a tiny model, and beside sentence-transformers where that is installed."""

import itertools
import json
import random
import sys
import threading
import warnings

import numpy as np
import pytest
import test_hub
from text_models import COSINES, ODD_TEXTS, SENTENCES, VOCABULARY, minilm_folder, sentence_folder, write_json

from filbert import ConfigError, InputError, SentenceEncoder
from filbert.batching import TOKEN_BUDGET, batches

hub = test_hub.hub  # the fixture

WORDS = [word for word in VOCABULARY if word.isalpha()]


def random_texts(count, seed=0):
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=rng.randint(0, 20))) for _ in range(count)]


@pytest.fixture
def folder(tmp_path):
    return sentence_folder(tmp_path / "model")


@pytest.fixture
def encoder(folder):
    return SentenceEncoder.from_pretrained(folder)


@pytest.fixture(scope="module")
def minilm():
    return SentenceEncoder.from_pretrained(minilm_folder())


@pytest.fixture(scope="module")
def reference():
    """Loads a folder with sentence-transformers."""
    library = pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    return lambda folder, **options: library.SentenceTransformer(
        str(folder), device="cpu", model_kwargs={"attn_implementation": "eager"}, **options
    )


def test_the_three_cosines(minilm):
    vectors = minilm.encode(SENTENCES)
    scores = minilm.similarity(vectors, vectors)
    assert scores[[0, 0, 1], [1, 2, 2]] == pytest.approx(COSINES, abs=5e-5)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-6)


def test_what_minilm_says_of_itself(minilm):
    assert minilm.max_seq_length == 256
    assert minilm.get_sentence_embedding_dimension() == minilm.get_embedding_dimension() == 384
    assert minilm.device == "cpu"
    assert "mean pooling, normalised, max_seq_length=256" in repr(minilm)
    assert len(minilm.tokenizer("word " * 300, truncation=True)["input_ids"]) == 256


def test_minilm_beside_sentence_transformers(minilm, reference):
    texts = [*ODD_TEXTS, *SENTENCES, "word " * 400, "a longer text, of many words. " * 20]
    other = reference(minilm_folder())
    expected = other.encode(texts)
    vectors = minilm.encode(texts)
    # Unit vectors of 384 numbers: 2e-6 is a few times the float32 error of either side.
    assert np.abs(vectors - expected).max() < 2e-6
    assert other.max_seq_length == minilm.max_seq_length


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("mode", ["cls", "mean", "max"])
def test_pooling_beside_sentence_transformers(tmp_path, reference, mode, normalize):
    folder = sentence_folder(tmp_path, {"embedding_dimension": 32, "pooling_mode": mode}, normalize)
    texts = [*ODD_TEXTS, *random_texts(40)]
    ours, theirs = SentenceEncoder.from_pretrained(folder), reference(folder)
    for arguments in (
        {},
        {"normalize_embeddings": True},
        {"truncate_dim": 8},
        {"truncate_dim": 8, "normalize_embeddings": True},
    ):
        assert ours.encode(texts, **arguments) == pytest.approx(theirs.encode(texts, **arguments), rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("key", ["cls_token", "mean_tokens", "max_tokens"])
def test_pooling_settings_of_older_files(tmp_path, reference, key):
    modes = {f"pooling_mode_{name}": name == key for name in ("cls_token", "mean_tokens", "max_tokens")}
    folder = sentence_folder(tmp_path, {"word_embedding_dimension": 32, **modes})
    ours, theirs = SentenceEncoder.from_pretrained(folder), reference(folder)
    assert ours.encode(SENTENCES) == pytest.approx(theirs.encode(SENTENCES), abs=2e-6)


def test_settings_beside_sentence_transformers(tmp_path, reference):
    settings = {
        "prompts": {"query": "the cat ", "document": "", "none": None},
        "default_prompt_name": "query",
        "similarity_fn_name": "dot",
        "truncate_dim": 20,
    }
    folder = sentence_folder(tmp_path, settings=settings, transformer={"max_seq_length": 9, "do_lower_case": True})
    vocabulary = json.loads((folder / "tokenizer_config.json").read_text()) | {"do_lower_case": False}
    write_json(folder / "tokenizer_config.json", vocabulary)
    ours, theirs = SentenceEncoder.from_pretrained(folder), reference(folder)
    texts = ["HELLO World", "Caf Café", *random_texts(20)]
    arguments = ({}, {"prompt_name": "document"}, {"prompt": "a dog "}, {"prompt": ""}, {"prompt_name": "none"})
    for argument in arguments:
        vectors = ours.encode(texts, **argument)
        assert vectors.shape == (len(texts), 20)
        assert vectors == pytest.approx(theirs.encode(texts, **argument), abs=2e-6), argument
    assert ours.similarity(vectors, vectors) == pytest.approx(theirs.similarity(vectors, vectors).numpy(), abs=1e-5)
    assert ours.get_embedding_dimension() == theirs.get_embedding_dimension() == 20


@pytest.mark.parametrize("name", ["cosine", "dot", "euclidean", "manhattan"])
def test_similarities(encoder, reference, folder, name):
    a, b = encoder.encode(random_texts(30)), encoder.encode(random_texts(20, seed=1))
    theirs = reference(folder)
    encoder.similarity_fn_name = theirs.similarity_fn_name = name
    found, expected = encoder.similarity(a, b), theirs.similarity(a, b).numpy()
    if name == "euclidean":  # torch takes the root of a rounded square: of the same vectors it may be far from 0
        found, expected = found * np.abs(found), expected * np.abs(expected)
    assert found == pytest.approx(expected, abs=2e-6)
    assert encoder.similarity(a[0], b[0]).shape == (1, 1)
    with pytest.raises(InputError, match="vectors of 32 and 3 numbers"):
        encoder.similarity(a, [1.0, 2.0, 3.0])


@pytest.mark.parametrize("precision", ["int8", "uint8", "binary", "ubinary"])
def test_precisions(encoder, precision):
    quantize = pytest.importorskip("sentence_transformers.util").quantize_embeddings
    texts = random_texts(200)
    vectors = encoder.encode(texts)
    found, expected = encoder.encode(texts, precision=precision), quantize(vectors, precision)
    assert found.dtype == expected.dtype
    assert np.array_equal(found, expected)
    assert encoder.encode([], precision=precision).shape == (0, found.shape[1])


@pytest.mark.parametrize("precision", ["int8", "uint8"])
def test_ranges_that_are_given(encoder, precision):
    texts = random_texts(150)
    vectors = encoder.encode(texts)
    ranges = np.stack([vectors.min(axis=0), vectors.max(axis=0)])
    found = encoder.encode(texts, precision=precision, ranges=ranges)
    assert found.tobytes() == encoder.encode(texts, precision=precision).tobytes()
    assert encoder.encode(texts[3], precision=precision, ranges=ranges).tobytes() == found[3].tobytes()
    wide = encoder.encode(texts, precision=precision, ranges=[ranges[0] - 1, ranges[1] + 1])
    assert np.ptp(wide.astype(int)) < np.ptp(found.astype(int))
    with pytest.raises(InputError, match=r"ranges: found shape \[3, 32\], expected \[2, 32\]"):
        encoder.encode(texts, precision=precision, ranges=np.zeros((3, 32)))


def test_a_precision_that_needs_a_range(encoder):
    with pytest.raises(InputError, match="int8 takes its ranges from the vectors, and one has none"):
        encoder.encode("hello", precision="int8")
    with pytest.warns(UserWarning, match="2 are few"):
        encoder.encode(["hello", "world"], precision="int8")
    assert encoder.encode("hello", precision="ubinary").shape == (4,)


@pytest.mark.parametrize("precision", ["int8", "uint8", "binary", "ubinary"])
def test_precisions_of_tokens(encoder, precision, torch):
    """Integers take their ranges from the tokens of all texts, as in sentence-transformers 6.2."""
    quantize = pytest.importorskip("sentence_transformers.util").quantize_embeddings
    texts = random_texts(60)
    options = {"output_value": "token_embeddings", "precision": precision}
    vectors = encoder.encode(texts, output_value="token_embeddings")
    found, expected = encoder.encode(texts, **options), quantize(vectors, precision)
    for own, their in zip(found, expected, strict=True):
        assert own.dtype == their.dtype
        assert np.array_equal(own, their)
    tensors, offsets = encoder.encode(texts, convert_to_tensor=True, return_offsets_mapping=True, **options)
    assert all(torch.equal(own, torch.from_numpy(their)) for own, their in zip(tensors, expected, strict=True))
    assert [len(each) for each in offsets] == [len(each) for each in vectors]
    whole = np.concatenate(vectors)
    ranges = np.stack([whole.min(axis=0), whole.max(axis=0)])
    assert np.array_equal(encoder.encode(texts[3], ranges=ranges, **options), expected[3])
    assert encoder.encode([], **options) == []


def test_shapes_and_order(encoder):
    texts = random_texts(100)
    vectors = encoder.encode(texts)
    assert vectors.shape == (100, 32)
    assert vectors.dtype == np.float32
    assert encoder.encode(texts[7]).shape == (32,)
    assert encoder.encode([]).shape == (0, 32)
    assert encoder.encode(tuple(texts)).tobytes() == vectors.tobytes()
    assert encoder.encode(np.array(texts)).tobytes() == vectors.tobytes()


def test_a_vector_does_not_depend_on_its_company(encoder):
    texts = random_texts(120)
    vectors = encoder.encode(texts)
    for text, vector in zip(texts, vectors, strict=True):
        assert encoder.encode(text).tobytes() == vector.tobytes()
    order = random.Random(1).sample(range(120), 120)
    assert encoder.encode([texts[i] for i in order], batch_size=7).tobytes() == vectors[order].tobytes()


def test_an_empty_text_still_has_its_special_tokens(encoder):
    vector = encoder.encode("")
    out = encoder.model([[2, 3]])
    mean = out.last_hidden_state[0].mean(axis=0)
    assert vector == pytest.approx(mean / np.linalg.norm(mean), abs=1e-6)


def test_torch_vectors(encoder, torch):
    vectors = encoder.encode(["hello", "world"], convert_to_numpy=False)
    assert [tuple(vector.shape) for vector in vectors] == [(32,), (32,)]
    assert torch.equal(encoder.encode("world", convert_to_numpy=False), vectors[1])


def test_threads(encoder):
    texts = random_texts(60)
    expected = encoder.encode(texts).tobytes()
    results = [b""] * 6

    def work(number):
        results[number] = encoder.encode(texts, batch_size=number + 1).tobytes()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(results))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * len(results)


def test_batches():
    lengths = [5, 3000, 9000, 1, 3000, 3000, 0]
    cut = list(batches(lengths, None))
    assert cut == [[2], [1, 4], [5, 0, 3, 6]]
    assert sorted(itertools.chain(*cut)) == list(range(len(lengths)))
    assert all(len(batch) == 1 or sum(lengths[i] for i in batch) <= TOKEN_BUDGET for batch in cut)
    assert list(batches([1, 1, 1], 2)) == [[0, 1], [2]]
    assert list(batches([], 2)) == []


def test_max_seq_length(encoder):
    assert encoder.max_seq_length == 16
    long = "hello " * 30
    assert encoder.encode(long).tobytes() == encoder.encode("hello " * 14).tobytes()
    encoder.max_seq_length = 4
    assert encoder.encode(long).tobytes() == encoder.encode("hello hello").tobytes()
    with pytest.raises(InputError, match="found 25, expected an integer from 1 to 24"):
        encoder.max_seq_length = 25


def test_a_length_beyond_the_positions_is_cut_to_them(tmp_path):
    encoder = SentenceEncoder.from_pretrained(sentence_folder(tmp_path, transformer={"max_seq_length": 512}))
    assert encoder.max_seq_length == 24
    encoder.encode("hello " * 100)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"inputs": ["a", 3]}, r"text 1: found 3 \(int\), expected a string"),
        ({"inputs": ["a", "b\udfff"]}, "text 1: character 1 is a lone surrogate"),
        ({"inputs": "a", "batch_size": 0}, "batch_size: found 0"),
        ({"inputs": "a", "truncate_dim": -1}, "truncate_dim: found -1"),
        ({"inputs": "a", "precision": "float16"}, "precision: found 'float16'"),
        ({"inputs": "a", "precision": "no", "output_value": "token_embeddings"}, "precision: found 'no'"),
        ({"inputs": "a", "precision": "int8", "output_value": None}, "found 'int8', expected 'float32' where"),
        ({"inputs": "a", "prompt_name": "q"}, "prompt_name: found 'q', the model has query, document"),
    ],
)
def test_bad_arguments(encoder, arguments, message):
    with pytest.raises(InputError, match=message):
        encoder.encode(**arguments)
    assert encoder.encode("hello").shape == (32,)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("modules.json", "", r"modules\.json: the file is empty"),
        ("modules.json", "{}", "expected a list of objects"),
        ("modules.json", "[3]", "expected a list of objects"),
        ("modules.json", "[]", "found modules none, supported: Transformer, Pooling"),
        (
            "modules.json",
            '[{"type": "sentence_transformers.models.CNN"}]',
            "found module 'sentence_transformers.models.CNN'",
        ),
        ("modules.json", '[{"type": "custom.Transformer"}]', "found module 'custom.Transformer'"),
        ("modules.json", '[{"type": 3}]', "found module 3"),
        ("modules.json", '[{"type": "sentence_transformers.models.Pooling"}]', "found modules Pooling"),
        ("1_Pooling/config.json", '{"pooling_mode": "median"}', "found pooling median, supported: any of"),
        ("1_Pooling/config.json", '{"pooling_mode": ["cls", "x"]}', "found pooling cls and x"),
        ("1_Pooling/config.json", '{"pooling_mode": []}', "found pooling , supported"),
        ("1_Pooling/config.json", '{"pooling_mode": 3}', "found pooling 3"),
        ("1_Pooling/config.json", '{"embedding_dimension": 33}', "vectors of 33 numbers, the model has 32"),
        ("1_Pooling/config.json", '{"embedding_dimension": "32"}', "embedding_dimension: found '32'"),
        ("1_Pooling/config.json", "[]", "found list, expected an object"),
        ("sentence_bert_config.json", '{"max_seq_length": true}', "max_seq_length: found True"),
        (
            "sentence_bert_config.json",
            '{"max_seq_length": -3}',
            "max_seq_length: found -3, expected an integer above 0",
        ),
        ("sentence_bert_config.json", '{"do_lower_case": "yes"}', "do_lower_case: found 'yes', expected true or false"),
        ("sentence_bert_config.json", '{"transformer_task": "fill-mask"}', "transformer_task: found 'fill-mask'"),
        ("config_sentence_transformers.json", '{"similarity_fn_name": "maxsim"}', "found 'maxsim', supported: "),
        ("config_sentence_transformers.json", '{"prompts": {"a": 3}}', "prompts: expected an object of strings"),
        (
            "config_sentence_transformers.json",
            '{"default_prompt_name": "q"}',
            "found 'q', which is none of the prompts",
        ),
        ("2_Normalize/config.json", '{"module_input_name": "token_embeddings"}', "found 'token_embeddings'"),
    ],
)
def test_settings_that_cannot_be_honoured(folder, file, content, message):
    (folder / file).parent.mkdir(exist_ok=True)
    (folder / file).write_text(content)
    with pytest.raises(ConfigError, match=message):
        SentenceEncoder.from_pretrained(folder)


def test_a_module_outside_the_folder(folder):
    modules = json.loads((folder / "modules.json").read_text())
    modules[1]["path"] = "../1_Pooling"
    write_json(folder / "modules.json", modules)
    with pytest.raises(InputError, match=r"\.\./1_Pooling"):
        SentenceEncoder.from_pretrained(folder)


def test_without_modules_vectors_are_means(folder):
    (folder / "modules.json").unlink()
    with pytest.warns(UserWarning, match=r"has no modules\.json: its sentence vectors are means"):
        encoder = SentenceEncoder.from_pretrained(folder)
    out = encoder.model([[2, 23, 3]])
    assert encoder.encode("hello") == pytest.approx(out.last_hidden_state[0].mean(axis=0), rel=1e-5, abs=1e-6)
    assert encoder.max_seq_length == 24


def test_the_encoder_in_a_subfolder(folder):
    (folder / "0_Transformer").mkdir()
    expected = SentenceEncoder.from_pretrained(folder).encode("hello world")
    for name in ("config.json", "model.safetensors", "vocab.txt", "tokenizer_config.json", "sentence_bert_config.json"):
        (folder / name).rename(folder / "0_Transformer" / name)
    modules = json.loads((folder / "modules.json").read_text())
    modules[0]["path"] = "0_Transformer"
    write_json(folder / "modules.json", modules)
    encoder = SentenceEncoder.from_pretrained(folder)
    assert encoder.max_seq_length == 16
    assert encoder.encode("hello world").tobytes() == expected.tobytes()


def test_keywords_of_from_pretrained(folder):
    encoder = SentenceEncoder.from_pretrained(folder, truncate_dim=8, num_threads=1)
    assert encoder.encode(["hello"]).shape == (1, 8)
    assert encoder.get_embedding_dimension() == 8
    assert encoder.encode("hello", truncate_dim=100).shape == (32,)
    for truncated in (encoder.truncate_embeddings, encoder.truncate_sentence_embeddings):
        with truncated(5):
            assert encoder.encode("hello").shape == (encoder.get_embedding_dimension(),) == (5,)
        assert encoder.truncate_dim == 8


def test_the_progress_bar(encoder, capsys, monkeypatch):
    encoder.encode(["hello"] * 9)
    assert capsys.readouterr().err == ""
    encoder.encode(["hello"] * 9, show_progress_bar=True)
    assert "Encoding: 100%" in capsys.readouterr().err
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    encoder.encode(["hello"] * 9)
    assert "100%" not in capsys.readouterr().err, "quick work shows no bar"
    encoder.encode(["hello"] * 9, show_progress_bar=False)
    assert capsys.readouterr().err == ""


def test_from_the_hub(hub, folder, monkeypatch):
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    hub.add("org/sentences", {**files, "README.md": b"#", "onnx/model.onnx": b"x"})
    expected = SentenceEncoder.from_pretrained(folder).encode(SENTENCES)
    encoder = SentenceEncoder.from_pretrained("org/sentences")
    assert encoder.encode(SENTENCES).tobytes() == expected.tobytes()
    fetched = {path.split("/resolve/")[1].split("/", 1)[1] for method, path in hub.requests if method == "GET"}
    assert fetched == set(files)
    test_hub.go_offline(monkeypatch)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = SentenceEncoder.from_pretrained("org/sentences", local_files_only=True)
    assert again.encode(SENTENCES).tobytes() == expected.tobytes()


def test_modules_that_are_not_in_the_cache_are_not_taken_for_absent(hub, folder, monkeypatch):
    from filbert import AutoModel, AutoTokenizer

    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    commit = hub.add("org/sentences", files)
    AutoModel.from_pretrained("org/sentences")
    AutoTokenizer.from_pretrained("org/sentences")
    with monkeypatch.context() as patch:  # nobody answers, and nobody said that the cache is all there is
        patch.setattr("huggingface_hub.hf_hub_download", _unreachable)
        with pytest.raises(OSError, match=r"modules\.json is not in the cache .* hub cannot be reached .*OFFLINE=1"):
            SentenceEncoder.from_pretrained("org/sentences", revision=commit)
    test_hub.go_offline(monkeypatch)
    with pytest.warns(UserWarning, match=r"has no modules\.json"):
        SentenceEncoder.from_pretrained("org/sentences")


def _unreachable(*_, **__):
    from huggingface_hub.errors import LocalEntryNotFoundError

    raise LocalEntryNotFoundError("no answer")
