"""MultiVectorEncoder by formulas in NumPy, and what it refuses."""

import json
import random
import string
import subprocess
import sys
import threading
import warnings

import checkpoints
import numpy as np
import pytest
import test_hub
from late_interaction import (
    CONFIG,
    FORMATS,
    VOCABULARY,
    WIDTH,
    encoder_folder,
    other_encoder,
    own_folder,
    projection,
    pylate_folder,
    random_texts,
    stanford_folder,
    write_dense,
    write_modules,
)
from safetensors.numpy import load_file, save_file
from text_models import write_json
from tokenizers import processors

from filbert import AutoTokenizer, ConfigError, InputError, MultiVectorEncoder, SentenceEncoder, WeightsError
from filbert.sentence import maxsim

hub = test_hub.hub  # the fixture
TEXTS = random_texts(240)
METHODS = ("encode_query", "encode_document", "encode")
# Vectors of length 1 in float32: some tens of roundings apart.
TOLERANCE = 1e-5
PUNCTUATION = [VOCABULARY.index(mark) for mark in string.punctuation]
FIXED = {"strategy": "fixed", "attend": True, "length": 24}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return MultiVectorEncoder.from_pretrained(stanford_folder(tmp_path_factory.mktemp("stanford")))


@pytest.mark.parametrize(("stem", "model_type"), [("Deberta", "deberta"), ("DebertaV2", "deberta-v2")])
def test_deberta_has_no_filling_that_nothing_attends_to(tmp_path, stem, model_type):
    folder = own_folder(tmp_path / "model", {"query_expansion": FIXED | {"attend": False}})
    other_encoder(folder, stem, {"intermediate_size": 48})
    with pytest.raises(ConfigError, match=f"attend: found false, supported with {model_type}: true"):
        MultiVectorEncoder.from_pretrained(folder)


def test_chats_are_refused(tmp_path):
    texts = {"method": "forward", "method_output_name": "last_hidden_state"}
    folder = own_folder(tmp_path / "own")
    edit(folder / "sentence_bert_config.json", modality_config={"text": texts, "message": texts | {"format": "flat"}})
    with pytest.raises(ConfigError, match="modality_config: found 'message': sentence-transformers makes a chat"):
        MultiVectorEncoder.from_pretrained(folder)
    folder = stanford_folder(tmp_path / "stanford")
    (folder / "chat_template.jinja").write_text("{{ messages[0].content }}")
    with pytest.raises(ConfigError, match=r"jinja: found a chat template and no modules\.json"):
        MultiVectorEncoder.from_pretrained(folder)


def edit(path, **values):
    write_json(path, {**(json.loads(path.read_text()) if path.is_file() else {}), **values})


def ids_of(tokens):
    return [VOCABULARY.index(token) for token in tokens.split()]


def by_formula(rows, kept=None):
    """Vectors of token vectors: projected, of length 1."""
    rows = (rows if kept is None else rows[kept]) @ projection().T
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_filling_at_the_left(tmp_path):
    """Where a tokenizer pads at the left, filling that is attended to goes there, too."""
    folder = own_folder(tmp_path / "model", {"query_expansion": FIXED | {"length": 8}})
    edit(folder / "tokenizer_config.json", padding_side="left")
    encoder = MultiVectorEncoder.from_pretrained(folder)
    hidden = encoder.model([ids_of("[MASK] [MASK] [MASK] [CLS] a cat . [SEP]")]).last_hidden_state[0]
    assert encoder.encode_query("a cat.") == pytest.approx(by_formula(hidden), abs=1e-6)
    edit(folder / "sentence_bert_config.json", query_expansion=FIXED | {"attend": False})
    with pytest.raises(ConfigError, match="attend: found false with padding at the left"):
        MultiVectorEncoder.from_pretrained(folder)


def test_a_tokenizer_without_special_tokens(tmp_path):
    """A text without tokens has no vectors, and takes none of others."""
    folder = own_folder(tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(single="$A", special_tokens=[])
    tokenizer.save_pretrained(folder)
    edit(folder / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
    encoder = MultiVectorEncoder.from_pretrained(folder)
    assert [len(rows) for rows in encoder.encode_document(["", "a cat", "", "dog", ""])] == [0, 2, 0, 1, 0]
    assert encoder.encode_document([""])[0].shape == (0, WIDTH)


def test_from_parts(encoder):
    """Without modules, the token vectors of an encoder."""
    plain = MultiVectorEncoder(encoder.model, encoder.tokenizer)
    hidden = plain.model([ids_of("[CLS] a cat . [SEP]")]).last_hidden_state[0]
    expected = hidden / np.linalg.norm(hidden, axis=1, keepdims=True)
    for encode in (plain.encode, plain.encode_query, plain.encode_document):
        assert encode("a cat.") == pytest.approx(expected, abs=1e-6)


def test_by_name(tmp_path, encoder):
    folder = own_folder(tmp_path)
    expected = MultiVectorEncoder.from_pretrained(folder).encode_query(TEXTS[:5])
    for name in (folder, str(folder)):
        found = MultiVectorEncoder(name, device="cpu", model_kwargs={"num_threads": 1}).encode_query(TEXTS[:5])
        assert all(ours.tobytes() == other.tobytes() for ours, other in zip(found, expected, strict=True))
    assert MultiVectorEncoder(folder, model_card_data="mine").model_card_data == "mine"
    message = "expected a name and keywords for it, or a model and its tokenizer"
    for arguments, options in (
        ((folder, encoder.tokenizer), {}),
        ((encoder.model,), {}),
        ((encoder.model, encoder.tokenizer), {"device": "cpu"}),
    ):
        with pytest.raises(TypeError, match=message):
            MultiVectorEncoder(*arguments, **options)


def test_a_document_by_formula(encoder):
    ids = ids_of("[CLS] [unused1] the cat , a dog . . . . [SEP]")
    hidden = encoder.model([ids]).last_hidden_state[0]
    kept = [index not in PUNCTUATION for index in ids]
    assert encoder.encode_document("the cat , a dog. ...") == pytest.approx(by_formula(hidden, kept), abs=1e-6)


def test_a_query_by_formula(encoder):
    ids = ids_of("[CLS] [unused0] a cat . [SEP]" + " [MASK]" * 18)
    hidden = encoder.model([ids]).last_hidden_state[0]
    assert encoder.encode_query("a cat.") == pytest.approx(by_formula(hidden), abs=1e-6)


def test_a_query_whose_filling_nothing_attends_to_by_formula(tmp_path):
    """The tokens of the text have the vectors of the text alone."""
    encoder = MultiVectorEncoder.from_pretrained(
        stanford_folder(tmp_path / "model", {"attend_to_mask_tokens": False, "query_maxlen": 9})
    )
    ids = ids_of("[CLS] [unused0] a cat . [SEP]")
    vectors = encoder.encode_query("a cat.")
    assert vectors.shape == (9, WIDTH)
    assert vectors[:6] == pytest.approx(by_formula(encoder.model([ids]).last_hidden_state[0]), abs=1e-6)
    # A filling token by itself, after the text: no other filling changes it.
    shorter = MultiVectorEncoder.from_pretrained(
        stanford_folder(tmp_path / "shorter", {"attend_to_mask_tokens": False, "query_maxlen": 7})
    )
    assert shorter.encode_query("a cat.").tobytes() == vectors[:7].tobytes()


@pytest.mark.parametrize("attend", [True, False], ids=["attended", "unattended"])
def test_vectors_do_not_depend_on_their_company(tmp_path, attend):
    encoder = MultiVectorEncoder.from_pretrained(
        pylate_folder(tmp_path / "model", {"attend_to_expansion_tokens": attend})
    )
    order = random.Random(1).sample(range(len(TEXTS)), len(TEXTS))
    for encode in (encoder.encode_query, encoder.encode_document):
        vectors = [rows.tobytes() for rows in encode(TEXTS)]
        assert [encode(text).tobytes() for text in TEXTS] == vectors
        shuffled = encode([TEXTS[index] for index in order], batch_size=7)
        assert [rows.tobytes() for rows in shuffled] == [vectors[index] for index in order]


def test_scores_do_not_depend_on_their_company(encoder):
    queries, documents = encoder.encode_query(TEXTS[:40]), encoder.encode_document(TEXTS[:60])
    scores = encoder.similarity(queries, documents)
    assert scores.shape == (40, 60)
    assert scores.dtype == np.float32
    for query, document in ((0, 0), (39, 59), (7, 31)):
        one = encoder.similarity(queries[query], documents[document])
        assert one.tobytes() == scores[query, document].tobytes()
    pairs = encoder.similarity_pairwise(queries, documents[:40])
    assert pairs.tobytes() == scores.diagonal().tobytes()


def test_scores_of_more_documents_than_are_taken_at_a_time(encoder, monkeypatch):
    queries, documents = encoder.encode_query(TEXTS[:5]), encoder.encode_document(TEXTS[:60])
    documents[7] = documents[59] = np.zeros((0, WIDTH), np.float32)
    scores = encoder.similarity(queries, documents)
    assert (scores[:, [7, 59]] == -1e9).all()
    for rows in (1, 40, 1000):
        monkeypatch.setattr(maxsim, "_ROWS", rows)
        assert encoder.similarity(queries, documents).tobytes() == scores.tobytes()


@pytest.mark.parametrize("name", ["maxsim", "meanmaxsim"])
def test_scores_by_formula(encoder, name):
    queries, documents = encoder.encode_query(TEXTS[:30]), encoder.encode_document(TEXTS)
    encoder.similarity_fn_name = name
    expected = np.array([[(q @ d.T).max(axis=1).sum() for d in documents] for q in queries])
    expected /= 24 if name == "meanmaxsim" else 1
    assert encoder.similarity(queries, documents) == pytest.approx(expected, abs=TOLERANCE)
    encoder.similarity_fn_name = "maxsim"


def test_nothing(encoder):
    assert encoder.encode([]) == encoder.encode_query([]) == encoder.encode_document([]) == []
    assert encoder.similarity([], []).shape == (0, 0)
    assert encoder.similarity(encoder.encode_query(["a"]), []).shape == (1, 0)
    assert encoder.similarity_pairwise([], []).shape == (0,)


def test_tensors(encoder, torch):
    arrays = encoder.encode_document(TEXTS[:5])
    for options in ({"convert_to_numpy": False}, {"convert_to_tensor": True}):
        tensors = encoder.encode_document(TEXTS[:5], **options)
        assert all(torch.equal(tensor, torch.from_numpy(rows)) for tensor, rows in zip(tensors, arrays, strict=True))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (["a", None], "text 1: found None"),
        (["a", "b", b"c"], "text 2: found b'c' .bytes., expected a string"),
        ([float("nan")], "text 0: found nan"),
        (["a", "b\ud800"], "text 1: character 1 is a lone surrogate"),
        (b"a", "text: found b'a'"),
        ({"a": 1}, "text: found a mapping"),
        (3, "text: found 3"),
    ],
)
def test_what_is_no_text(encoder, method, value, message):
    with pytest.raises(InputError, match=message):
        getattr(encoder, method)(value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "passage"}, "task: found 'passage', expected one of query, document or None"),
        ({"output_value": None}, "output_value: found None, expected 'token_embeddings'"),
        ({"device": ["cpu", "cuda"]}, "device: found 'cuda', the model is on 'cpu'"),
        ({"token_pooling": 1}, "token_pooling: found 1, expected None"),
        ({"batch_size": 0}, "batch_size: found 0"),
        ({"prompt_name": "corpus"}, "prompt_name: found 'corpus', the model has query, document"),
    ],
)
def test_keywords_that_cannot_be_honoured(encoder, options, message):
    with pytest.raises(InputError, match=message):
        encoder.encode(["a"], **options)
    pool = encoder.start_multi_process_pool(["cpu", "cpu"])
    for options in ({"device": "cpu"}, {"pool": pool, "chunk_size": 3}):
        assert encoder.encode(["a"], **options)[0].tobytes() == encoder.encode(["a"])[0].tobytes()
    encoder.stop_multi_process_pool(pool)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (np.ones((2, 3)), np.ones((2, 4)), "found vectors of 3 and 4 numbers"),
        ([np.zeros((2, 3)), np.zeros((2, 4))], np.ones((2, 3)), "embeddings1: found vectors of 3 and 4 numbers"),
        (np.zeros(3), np.zeros((2, 3)), r"embeddings1: found shape \[3\], expected a list"),
        ([np.zeros((2, 3))], [np.zeros(3)], r"embeddings2 0: found shape \[3\], expected \[tokens, width\]"),
        (["a"], ["b"], "embeddings1 0: could not convert string"),
    ],
)
def test_vectors_that_do_not_fit(encoder, first, second, message):
    with pytest.raises(InputError, match=message):
        encoder.similarity(first, second)
    with pytest.raises(InputError, match=message):
        encoder.similarity_pairwise(first, second)


def test_pairs_that_do_not_fit(encoder):
    with pytest.raises(InputError, match="found 2 and 1, expected as many of both"):
        encoder.similarity_pairwise([np.zeros((2, 3))] * 2, [np.zeros((2, 3))])
    with pytest.raises(InputError, match="similarity_fn_name: found 'cosine', expected one of maxsim, meanmaxsim"):
        encoder.similarity_fn_name = "cosine"


def test_lengths(tmp_path):
    encoder = MultiVectorEncoder.from_pretrained(own_folder(tmp_path / "model", {"document_length": 1000}))
    assert (encoder.max_seq_length, encoder.query_length, encoder.document_length) == (50, 50, 64)
    encoder.max_seq_length = 8
    assert encoder.encode("the cat " * 30).shape == (8, WIDTH)
    assert encoder.encode_document("the cat " * 60).shape == (64, WIDTH)
    assert repr(encoder).endswith(f"vectors of {WIDTH}, query_length=8, document_length=64)")


def test_a_token_that_the_model_has_no_vector_for(tmp_path):
    folder = pylate_folder(tmp_path / "model")
    config = CONFIG | {"vocab_size": len(VOCABULARY)}
    checkpoints.write_folder(folder, config)
    with pytest.raises(InputError, match=r"text 0: token '\[[dD]\] ' has id .* has vectors for ids from 0 to"):
        MultiVectorEncoder.from_pretrained(folder).encode_document(["a"])


def test_stanford_gives_no_warnings(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        MultiVectorEncoder.from_pretrained(stanford_folder(tmp_path / "model"))


def test_a_pickle_of_stanford(tmp_path, torch):
    folder = stanford_folder(tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    expected = MultiVectorEncoder.from_pretrained(folder).encode_query(TEXTS[:20])
    (folder / "model.safetensors").unlink()
    torch.save({name: torch.from_numpy(tensor) for name, tensor in tensors.items()}, folder / "pytorch_model.bin")
    found = MultiVectorEncoder.from_pretrained(folder).encode_query(TEXTS[:20])
    assert [rows.tobytes() for rows in found] == [rows.tobytes() for rows in expected]


def broken(folder, name, values):
    """A good model of sentence-transformers with other settings in one file."""
    own_folder(folder)
    edit(folder / name, **values)
    return folder


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("sentence_bert_config.json", {"query_expansion": 3}, "query_expansion: found 3, expected an object"),
        ("sentence_bert_config.json", {"query_expansion": {"x": 1}}, "query_expansion: found {'x': 1}"),
        ("sentence_bert_config.json", {"query_expansion": {"strategy": "max", "length": 3}}, "strategy: found 'max'"),
        ("sentence_bert_config.json", {"query_expansion": {"strategy": "min"}}, "found no length"),
        ("sentence_bert_config.json", {"query_expansion": FIXED | {"attend": 1}}, "attend: found 1"),
        ("sentence_bert_config.json", {"query_expansion": FIXED | {"length": 65}}, "found 65, the model takes 64"),
        (
            "sentence_bert_config.json",
            {"query_expansion": FIXED | {"token": "zzz"}},
            "found 'zzz', which is no token",
        ),
        ("sentence_bert_config.json", {"query_expansion": FIXED, "query_length": 9}, "found 9, less than the 24"),
        ("sentence_bert_config.json", {"document_length": 0}, "document_length: found 0, expected an integer above 0"),
        ("sentence_bert_config.json", {"processing_kwargs": {"text": {}}}, "processing_kwargs: found"),
        ("config_sentence_transformers.json", {"model_type": "SparseEncoder"}, "model_type: found 'SparseEncoder'"),
        ("config_sentence_transformers.json", {"default_prompt_name": "x"}, "default_prompt_name: found 'x'"),
        ("config_sentence_transformers.json", {"query_prefix": 3}, "query_prefix: found 3, expected a string"),
        ("config_sentence_transformers.json", {"skiplist_words": "."}, "skiplist_words: found '.', expected a list"),
        ("2_MultiVectorMask/config.json", {"skiplist_words": [1]}, "skiplist_words: found .1., expected a list"),
        ("2_MultiVectorMask/config.json", {"keep_only_token_ids": ["a"]}, "keep_only_token_ids: found .'a'."),
        ("3_Normalize/config.json", {"module_output_name": "x"}, "found names 'token_embeddings' and 'x'"),
        ("1_Dense/config.json", {"module_input_name": "sentence_embedding"}, "supported: token_embeddings"),
        ("1_Dense/config.json", {"activation_function": "torch.nn.GELU"}, "activation_function: found 'torch.nn.GELU'"),
        ("1_Dense/config.json", {"in_features": None}, "found no in_features or no out_features"),
    ],
)
def test_settings_that_are_refused(tmp_path, name, values, message):
    with pytest.raises(ConfigError, match=message):
        MultiVectorEncoder.from_pretrained(broken(tmp_path / "model", name, values))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"bias": True}, r"found tensors linear\.weight, expected linear\.weight, linear\.bias"),
        ({"out_features": 3}, r"tensor 'linear\.weight': found shape \[16, 32\], expected \[3, 32\]"),
    ],
)
def test_a_projection_that_does_not_fit_its_settings(tmp_path, values, message):
    with pytest.raises(WeightsError, match=message):
        MultiVectorEncoder.from_pretrained(broken(tmp_path / "model", "1_Dense/config.json", values))


def test_a_projection_that_does_not_fit_the_encoder(tmp_path):
    folder = own_folder(tmp_path / "model")
    names = {"module_input_name": "token_embeddings", "module_output_name": "token_embeddings"}
    write_dense(folder / "1_Dense", {"linear.weight": projection(hidden=8)}, **names)
    with pytest.raises(ConfigError, match="Dense is made for vectors of 8 numbers, and gets them of 32"):
        MultiVectorEncoder.from_pretrained(folder)
    (folder / "1_Dense" / "model.safetensors").unlink()
    with pytest.raises(OSError, match=r"no 1_Dense/model\.safetensors or 1_Dense/pytorch_model\.bin"):
        MultiVectorEncoder.from_pretrained(folder)


def test_models_of_something_else(tmp_path):
    folder = encoder_folder(tmp_path / "model")
    with pytest.raises(ConfigError, match=r"no modules\.json, and no HF_ColBERT among the architectures"):
        MultiVectorEncoder.from_pretrained(folder)
    write_modules(folder, [("", "sentence_transformers.models.Transformer")])
    with pytest.raises(ConfigError, match="of a SentenceTransformer: it has no projection of token vectors"):
        MultiVectorEncoder.from_pretrained(folder)
    write_modules(folder, [("", "sentence_transformers.models.Transformer"), ("1_x", "pylate.models.x.X")])
    with pytest.raises(ConfigError, match=r"found module 'pylate\.models\.x\.X'"):
        MultiVectorEncoder.from_pretrained(folder)
    write_modules(folder, [("1_Dense", "pylate.models.Dense.Dense")])
    with pytest.raises(ConfigError, match="found modules Dense, supported: Transformer and then"):
        MultiVectorEncoder.from_pretrained(folder)
    with pytest.raises(OSError, match=r"the folder has no config\.json"):
        MultiVectorEncoder.from_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=r"found module '.*\.MultiVectorMask', supported"):
        SentenceEncoder.from_pretrained(own_folder(tmp_path / "own"))


def test_stanford_without_its_projection(tmp_path):
    folder = stanford_folder(tmp_path / "model")
    save_file({"bert.x": projection()}, folder / "model.safetensors")
    with pytest.raises(WeightsError, match=r"found tensors bert\.x, expected linear\.weight"):
        MultiVectorEncoder.from_pretrained(folder)


def test_words_to_skip_that_are_no_tokens(tmp_path):
    folder = broken(tmp_path / "model", "2_MultiVectorMask/config.json", {"skiplist_words": ["cat", "cats", "??"]})
    with pytest.warns(UserWarning, match=r"skiplist_words: no tokens of .*: cats \?\?"):
        encoder = MultiVectorEncoder.from_pretrained(folder)
    assert encoder.encode_document("cat dog [UNK]").shape == (4, WIDTH)


def test_threads(encoder):
    expected = [rows.tobytes() for rows in encoder.encode_query(TEXTS[:60])]
    results = [None] * 4

    def work(number):
        results[number] = [rows.tobytes() for rows in encoder.encode_query(TEXTS[:60], batch_size=number + 1)]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(results))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * len(results)


@pytest.mark.parametrize("name", FORMATS)
def test_from_the_hub(hub, tmp_path, monkeypatch, name):
    folder = FORMATS[name](tmp_path / "model")
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    hub.add("org/colbert", {**files, "README.md": b"#", "colbert_linear.pt": b"x"})
    expected = [rows.tobytes() for rows in MultiVectorEncoder.from_pretrained(folder).encode_query(TEXTS[:20])]
    found = MultiVectorEncoder.from_pretrained("org/colbert").encode_query(TEXTS[:20])
    assert [rows.tobytes() for rows in found] == expected
    fetched = {path.split("/resolve/")[1].split("/", 1)[1] for method, path in hub.requests if method == "GET"}
    assert fetched == set(files)
    test_hub.go_offline(monkeypatch)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = MultiVectorEncoder.from_pretrained("org/colbert", local_files_only=True).encode_query(TEXTS[:20])
    assert [rows.tobytes() for rows in found] == expected


def test_it_does_not_need_torch(tmp_path):
    """Nor transformers, nor sentence-transformers."""
    code = (
        "import sys, filbert; encoder = filbert.MultiVectorEncoder.from_pretrained(sys.argv[1]); "
        "print(encoder.similarity(encoder.encode_query(['a']), encoder.encode_document(['a', 'b'])).shape); "
        "assert not {'torch', 'transformers', 'sentence_transformers'} & {*sys.modules}"
    )
    folder = stanford_folder(tmp_path / "model")
    result = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, check=False)
    assert (result.stdout, result.returncode) == ("(1, 2)\n", 0), result.stderr
