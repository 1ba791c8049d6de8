"""CrossEncoder: by itself on a tiny model, and beside sentence-transformers where that is installed."""

import json
import random
import threading
import warnings

import numpy as np
import pytest
import test_hub
from test_parity import check
from test_sentence import WORDS
from test_texts import Table
from test_tokenization_parity import byte_level_folder, unigram_folder
from text_models import ODD_TEXTS, vocabulary_folder, write_json

import filbert
from filbert import ConfigError, CrossEncoder, InputError, WeightsError
from filbert.cli import main
from filbert.reference import float64_throughout
from filbert.sentence import activations
from filbert.stand_in import sentence_transformers as classes

hub = test_hub.hub  # the fixture

SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "initializer_range": 0.3,
}
RELATIVE = {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "pooler_hidden_size": 32}
DISTIL = {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48, "initializer_range": 0.3}


def words(folder, **config):
    return vocabulary_folder(folder, model_max_length=30, **config)


def distil_words(folder):
    return words(folder, tokenizer_class="DistilBertTokenizer")


# name -> (what its classes begin with, its configuration, its tokenizer)
MODELS = {
    "bert": ("Bert", {**SMALL, "vocab_size": 40, "max_position_embeddings": 32}, words),
    "bert without types": ("Bert", {**SMALL, "vocab_size": 400, "max_position_embeddings": 32}, unigram_folder),
    "roberta": ("Roberta", {**SMALL, "vocab_size": 600, "max_position_embeddings": 22}, byte_level_folder),
    "xlm-roberta": ("XLMRoberta", {**SMALL, "vocab_size": 400, "max_position_embeddings": 40}, unigram_folder),
    "distilbert": ("DistilBert", {**DISTIL, "vocab_size": 40, "max_position_embeddings": 32}, distil_words),
    "distilbert with types": ("DistilBert", {**DISTIL, "vocab_size": 40, "max_position_embeddings": 32}, words),
    "mpnet": ("MPNet", {**SMALL, "vocab_size": 400, "max_position_embeddings": 40}, unigram_folder),
    "electra": ("Electra", {**SMALL, "vocab_size": 40, "max_position_embeddings": 32, "embedding_size": 16}, words),
    "deberta": ("Deberta", {**SMALL, **RELATIVE, "vocab_size": 400, "max_position_embeddings": 32}, unigram_folder),
    "deberta-v2": (
        "DebertaV2",
        {**SMALL, **RELATIVE, "position_buckets": 8, "vocab_size": 400, "max_position_embeddings": 32},
        unigram_folder,
    ),
    "modernbert": (
        "ModernBert",
        {
            **SMALL,
            "vocab_size": 600,
            "max_position_embeddings": 64,
            "local_attention": 8,
            "pad_token_id": 1,
            **{f"{name}_token_id": None for name in ("bos", "eos", "cls", "sep")},
        },
        byte_level_folder,
    ),
}


def model_folder(folder, name="bert", labels=1, **config):
    """A tiny model with the head of a classifier, and its tokenizer."""
    stem, values, tokenizer = MODELS[name]
    tokenizer(folder)
    edit(folder / "tokenizer_config.json", padding_side="right")  # PyTorch's classifiers read the first column
    config_class = getattr(filbert, f"{stem}Config")
    model = getattr(filbert, f"{stem}ForSequenceClassification")
    model(config_class(**values, num_labels=labels, **config), seed=1).save_pretrained(folder)
    return folder


def edit(path, **values):
    """Changes keys of a JSON file, which need not be there."""
    old = json.loads(path.read_text()) if path.exists() else {}
    write_json(path, {**old, **values})


def modules_folder(folder, settings=None, transformer=None, **options):
    """The same, as sentence-transformers 6 saves a cross-encoder."""
    model_folder(folder, **options)
    path = "sentence_transformers.base.modules.transformer.Transformer"
    write_json(folder / "modules.json", [{"idx": 0, "name": "0", "path": "", "type": path}])
    logits = {"text": {"method": "forward", "method_output_name": "logits"}}
    own = {"transformer_task": "sequence-classification", "modality_config": logits, "module_output_name": "scores"}
    write_json(folder / "sentence_bert_config.json", {**own, **(transformer or {})})
    write_json(folder / "config_sentence_transformers.json", {"model_type": "CrossEncoder", **(settings or {})})
    return folder


def random_pairs(count, seed=0):
    """Of words, odd texts, nothing, odd spaces, and texts far longer than the model takes."""
    rng = random.Random(seed)
    odd = [*ODD_TEXTS, "", " ", "\n\t", " \u3000 x  y ", "é" * 90, "cat " * 200, "the dog runs. " * 9]

    def text():
        return rng.choice(odd) if rng.random() < 0.5 else " ".join(rng.choices(WORDS, k=rng.randint(0, 20)))

    return [(text(), text()) for _ in range(count)]


PAIRS = random_pairs(220)
# How far logits may be from those of sentence-transformers: its own error is up to 8.2e-6 for these models, and
# test_parity.allowed lets ours be three times that. A sigmoid makes a quarter of it.
CLOSE = 4 * 8.2e-6


@pytest.fixture
def folder(tmp_path):
    return model_folder(tmp_path / "model")


@pytest.fixture
def encoder(folder):
    return CrossEncoder(folder)


@pytest.fixture(scope="module")
def reference():
    """Loads a folder with sentence-transformers."""
    library = pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # of which such small models are done soonest

    def load(folder, dtype="float32", **options):
        kwargs = {"attn_implementation": "eager", "dtype": dtype}
        return library.CrossEncoder(str(folder), device="cpu", model_kwargs=kwargs, **options)

    yield load
    torch.set_num_threads(threads)


def same_type(ours, theirs):
    assert type(ours) is type(theirs)
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape


@pytest.mark.parametrize("labels", [1, 3])
@pytest.mark.parametrize("name", MODELS)
def test_scores_beside_sentence_transformers(tmp_path, reference, name, labels):
    torch = pytest.importorskip("torch")
    folder = model_folder(tmp_path, name, labels)
    ours, theirs = CrossEncoder(folder), reference(folder)
    assert ours.max_seq_length == theirs.max_seq_length
    assert ours.num_labels == theirs.num_labels == labels
    logits, expected = (each.predict(PAIRS, activation_fn=torch.nn.Identity()) for each in (ours, theirs))
    same_type(logits, expected)
    assert np.abs(expected).max() > 0.1
    with float64_throughout(torch):
        exact = reference(folder, dtype="float64").predict(
            PAIRS, activation_fn=torch.nn.Identity(), convert_to_tensor=True
        )
    check("logits", logits, expected, exact.numpy(), True)
    for options in ({}, {"apply_softmax": True}, {"activation_fn": torch.nn.Tanh(), "apply_softmax": True}):
        scores, expected = ours.predict(PAIRS, **options), theirs.predict(PAIRS, **options)
        same_type(scores, expected)
        assert np.abs(scores - expected).max() < CLOSE, options
    for options in ({}, {"convert_to_numpy": False}, {"convert_to_tensor": True}):
        for pair in (PAIRS[0], list(PAIRS[1]), np.array(["the cat", "a dog"])):
            one, other = ours.predict(pair, **options), theirs.predict(pair, **options)
            same_type(one, other)
            assert np.asarray(one) == pytest.approx(np.asarray(other), abs=CLOSE)
    many = ours.predict(PAIRS[:5], convert_to_numpy=False)
    assert isinstance(many, list)
    assert torch.equal(torch.stack(many), ours.predict(PAIRS[:5], convert_to_tensor=True))


@pytest.mark.parametrize("name", ["bert", "roberta", "modernbert"])
def test_ranking_beside_sentence_transformers(tmp_path, reference, name):
    folder = model_folder(tmp_path, name)
    ours, theirs = CrossEncoder(folder), reference(folder)
    documents = [second for _, second in random_pairs(60, seed=2)]
    documents = list(dict.fromkeys(documents))  # equal ones may differ by rounding there, and not here
    for options in ({}, {"top_k": 7}, {"top_k": 500, "return_documents": True}, {"batch_size": 3}):
        found, expected = (each.rank("the cat is sunny", documents, **options) for each in (ours, theirs))
        assert len(found) == len(expected)
        assert [sorted(each) for each in found] == [sorted(each) for each in expected]
        for one, other in zip(found, expected, strict=True):
            assert {key: type(value) for key, value in one.items()} == {
                key: type(value) for key, value in other.items()
            }
            assert one["score"] == pytest.approx(other["score"], abs=1e-5)
            # Texts that differ only beyond where they are cut have one score.
            by_score = {each["corpus_id"]: each["score"] for each in expected}
            assert one["corpus_id"] == other["corpus_id"] or by_score.get(one["corpus_id"]) == pytest.approx(
                other["score"], abs=2e-6
            )
            assert "text" not in one or one["text"] == documents[one["corpus_id"]]
    assert ours.rank("a", []) == theirs.rank("a", []) == []


def test_equal_documents_stay_in_their_order(encoder):
    documents = ["cat", "dog", "cat", "sun", "dog", "cat"] * 5
    ranked = encoder.rank("the", documents, return_documents=True)
    scores = [each["score"] for each in ranked]
    assert scores == sorted(scores, reverse=True)
    for text in ("cat", "dog", "sun"):
        numbers = [each["corpus_id"] for each in ranked if each["text"] == text]
        assert numbers == [index for index, each in enumerate(documents) if each == text]
    assert len({each["score"] for each in ranked}) == 3
    assert encoder.rank("the", documents, top_k=4) == [
        {key: each[key] for key in ("corpus_id", "score")} for each in ranked[:4]
    ]


def test_ranking_is_for_one_label(tmp_path):
    encoder = CrossEncoder(model_folder(tmp_path, labels=3))
    with pytest.raises(InputError, match="rank: the model has 3 labels, expected one; predict"):
        encoder.rank("a", ["b"])
    assert "3 labels" in repr(encoder)


@pytest.mark.parametrize("labels", [1, 3])
@pytest.mark.parametrize("name", ["bert", "distilbert"])
def test_a_score_does_not_depend_on_its_company(tmp_path, name, labels):
    encoder = CrossEncoder(model_folder(tmp_path, name, labels))
    pairs = random_pairs(150, seed=3)
    scores = encoder.predict(pairs, apply_softmax=True)
    for pair, score in zip(pairs, scores, strict=True):
        assert encoder.predict(pair).tobytes() == encoder.predict([pair])[0].tobytes()
        assert encoder.predict([pair], apply_softmax=True).tobytes() == score.tobytes()
    order = random.Random(1).sample(range(150), 150)
    shuffled = encoder.predict([pairs[index] for index in order], batch_size=7, apply_softmax=True)
    assert shuffled.tobytes() == scores[order].tobytes()


def test_what_counts_as_pairs(encoder):
    pairs = [("hello", "world"), ("the cat", "a dog")]
    expected = encoder.predict(pairs).tobytes()
    first, second = zip(*pairs, strict=True)
    for same in (
        [list(pair) for pair in pairs],
        tuple(pairs),
        iter(pairs),
        zip(first, second, strict=True),
        (pair for pair in pairs),
        np.array(pairs),
        np.array(pairs, object),
        dict.fromkeys(pairs).keys(),
    ):
        assert encoder.predict(same).tobytes() == expected
    assert encoder.predict(sentences=pairs).tobytes() == expected
    assert encoder.predict(pairs, num_workers=0).tobytes() == expected
    assert encoder.predict(pairs[1]).tobytes() == expected[4:]


def test_no_pairs(tmp_path, encoder, torch):
    three = CrossEncoder(model_folder(tmp_path / "three", labels=3))
    for model, shape in ((encoder, (0,)), (three, (0, 3))):
        for nothing in ([], (), iter([]), np.empty((0, 2), str)):
            scores = model.predict(nothing, apply_softmax=True)
            assert (scores.shape, scores.dtype) == (shape, np.float32)
        assert model.predict([], convert_to_tensor=True).shape == shape
        assert model.predict([], convert_to_numpy=False) == []


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (None, r"pairs: found None \(NoneType\), expected a pair of strings or a list of pairs"),
        ("hello", r"pairs: found 'hello' \(str\), expected a pair"),
        (b"hello", r"pairs: found b'hello' \(bytes\)"),
        (3, r"pairs: found 3 \(int\)"),
        ({"a": "b"}, r"pairs: found a mapping"),
        ({("a", "b")}, r"pairs: found a set, which has no order"),
        ([("a", "b"), None], r"pair 1: found None \(NoneType\), expected two strings"),
        ([("a", "b"), "cd"], r"pair 1: found 'cd' \(str\), expected two strings"),
        ([("a", "b"), b"cd"], r"pair 1: found b'cd' \(bytes\), expected two strings"),
        ([("a", "b"), ("a", "b", "c")], r"pair 1: found \('a', 'b', 'c'\) \(tuple\), expected two strings"),
        ([("a",)], r"pair 0: found \('a',\) \(tuple\), expected two strings"),
        ([[]], r"pair 0: found \[\] \(list\), expected two strings"),
        ([("a", "b"), ("a", float("nan"))], r"pair 1: found nan \(float\), expected a string"),
        ([("a", "b"), (None, "a")], r"pair 1: found None \(NoneType\), expected a string"),
        ([("a", b"b")], r"pair 0: found b'b' \(bytes\), expected a string"),
        ([("a", "b"), ("a\udc80", "b")], "pair 1: character 1 is a lone surrogate"),
        ([("a", ["b"])], r"pair 0: found \['b'\] \(list\), expected a string"),
        (("a", None), r"pair 0: found None \(NoneType\), expected a string"),
        (["a", "b", "c"], r"pair 0: found \['a', 'b', 'c'\] \(list\), expected two strings"),
        (iter(["a", "b"]), r"pair 0: found 'a' \(str\), expected two strings"),
        (np.array([["a", "b", "c"]]), "pair 0: found"),
        (np.zeros((2, 2, 2)), "pairs: found an array of 3 dimensions"),
    ],
)
def test_what_is_no_pair(encoder, inputs, message):
    with pytest.raises(InputError, match=message):
        encoder.predict(inputs)
    assert encoder.predict(("a", "b")).shape == ()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"query": None}, r"query 0: found None"),
        ({"query": "a\ud800"}, r"query 0: character 1 is a lone surrogate"),
        ({"documents": "abc"}, r"documents: found 'abc' \(str\), expected a list of strings"),
        ({"documents": None}, r"document: found None"),
        ({"documents": ["a", float("nan")]}, r"document 1: found nan \(float\), expected a string"),
        ({"documents": {"a": 1}}, "document: found a mapping"),
        ({"top_k": 0}, "top_k: found 0, expected an integer above 0"),
        ({"top_k": 1.5}, "top_k: found 1.5"),
        ({"batch_size": 0}, "batch_size: found 0"),
        ({"prompt_name": "x"}, "prompt_name: found 'x', the model has no prompts"),
        ({"device": ["cpu", "cuda:7"]}, "device: found 'cuda:7', the model is on 'cpu'"),
        ({"activation_fn": lambda x: np.tile(x, 2)}, r"activation_fn: gave shape \[1, 2\], expected one score a pair"),
        ({"activation_fn": lambda x: 3}, r"activation_fn: gave shape \[\] for \[1, 1\]"),
    ],
)
def test_bad_arguments_of_rank(encoder, arguments, message):
    with pytest.raises(InputError, match=message):
        encoder.rank(**{"query": "a", "documents": ["b"], **arguments})
    assert encoder.rank("a", ["b"], device="cpu")


def test_activations_get_arrays_or_tensors(encoder, torch):
    pairs, seen = random_pairs(9), []

    def note(logits):
        seen.append(logits)
        return logits * 2

    doubled = encoder.predict(pairs, activation_fn=note)
    (logits,) = seen
    assert isinstance(logits, np.ndarray)
    assert (logits.shape, logits.dtype) == ((9, 1), np.float32)
    assert doubled == pytest.approx(2 * logits[:, 0])

    class Own(torch.nn.Module):
        def forward(self, logits):
            return logits.double() * 2

    for function in (Own(), torch.nn.Sigmoid(), torch.sigmoid, torch.nn.functional.softplus):
        expected = function(torch.from_numpy(logits)).float().numpy()[:, 0]
        assert encoder.predict(pairs, activation_fn=function) == pytest.approx(expected)
    encoder.activation_fn = note
    assert encoder.predict(pairs).tobytes() == doubled.tobytes()


def test_activations_beside_torch(torch):
    logits = np.concatenate([[[-200, 200, 0], [-1e-8, 30, -30]], np.random.default_rng(0).normal(0, 5, (50, 3))])
    logits = logits.astype(np.float32)
    for path, function in activations._FUNCTIONS.items():
        module = getattr(torch.nn, path.split(".")[1])
        made = module(dim=-1) if "Softmax" in path else module()
        expected = made(torch.from_numpy(logits)).numpy()
        assert activations.named_activation("x", f"{module.__module__}.{module.__name__}") is function
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = activations.activate(function, logits)
        assert found.dtype == np.float32
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-38), path


TANH, IDENTITY = "torch.nn.modules.activation.Tanh", "torch.nn.modules.linear.Identity"
SIGMOID = "torch.nn.modules.activation.Sigmoid"


@pytest.mark.parametrize(
    ("settings", "config", "labels", "expected"),
    [
        (None, {}, 1, activations.sigmoid),
        (None, {}, 3, activations.identity),
        (None, {"sbert_ce_default_activation_function": IDENTITY}, 1, activations.identity),
        (None, {"sbert_ce_default_activation_function": None}, 1, activations.sigmoid),
        (None, {"sentence_transformers": {"activation_fn": TANH}}, 1, np.tanh),
        (None, {"sentence_transformers": {"version": "4.0.0"}}, 1, activations.sigmoid),
        (
            None,
            {"sentence_transformers": {"activation_fn": TANH}, "sbert_ce_default_activation_function": IDENTITY},
            1,
            np.tanh,
        ),
        (
            None,
            {"sentence_transformers": {"activation_fn": None}, "sbert_ce_default_activation_function": IDENTITY},
            1,
            activations.sigmoid,
        ),
        ({"activation_fn": IDENTITY}, {"sentence_transformers": {"activation_fn": TANH}}, 1, activations.identity),
        ({"activation_fn": None}, {"sentence_transformers": {"activation_fn": TANH}}, 1, np.tanh),
        ({}, {"sbert_ce_default_activation_function": TANH}, 3, np.tanh),
        ({"activation_fn": SIGMOID}, {}, 3, activations.sigmoid),
        ({"activation_fn": SIGMOID, "model_type": "SentenceTransformer"}, {}, 3, activations.identity),
        ({"activation_fn": TANH, "model_type": None}, {}, 1, activations.sigmoid),
    ],
)
def test_which_activation(tmp_path, reference, settings, config, labels, expected):
    if settings is None:
        folder = model_folder(tmp_path, labels=labels)
    else:
        folder = modules_folder(tmp_path, settings, labels=labels)
    edit(folder / "config.json", **config)
    encoder = CrossEncoder(folder)
    assert encoder.activation_fn is expected
    assert encoder.predict(PAIRS[:40]) == pytest.approx(reference(folder).predict(PAIRS[:40]), abs=CLOSE)
    given = CrossEncoder(folder, activation_fn=np.negative)
    assert given.activation_fn is np.negative


@pytest.mark.parametrize("path", ["torch.nn.modules.activation.Bilinear", "my.Sigmoid", "torch.sigmoid", "Sigmoid"])
def test_an_activation_that_is_not_known(tmp_path, path):
    folder = modules_folder(tmp_path)
    for file, key in (("config_sentence_transformers.json", "activation_fn"), ("config.json", "sentence_transformers")):
        edit(folder / file, **{key: {"activation_fn": path} if file == "config.json" else path})
        with pytest.raises(ConfigError, match=rf"{file}: .*activation_fn: found '{path}', supported: torch\.nn\.mod"):
            CrossEncoder(folder)
        assert CrossEncoder(folder, activation_fn=np.tanh).activation_fn is np.tanh
        edit(folder / file, **{key: None})
    edit(folder / "config_sentence_transformers.json", activation_fn=3)
    with pytest.raises(ConfigError, match="activation_fn: found 3, expected a string"):
        CrossEncoder(folder)


def test_prompts_beside_sentence_transformers(tmp_path, reference):
    settings = {"prompts": {"query": "the cat ", "none": ""}, "default_prompt_name": "query"}
    folder = modules_folder(tmp_path, settings, {"max_seq_length": 12, "do_lower_case": True})
    edit(folder / "tokenizer_config.json", do_lower_case=False)
    given = {"query": None, "more": None, "none": "we "}
    assert CrossEncoder(folder, prompts=given).prompts == {"query": "the cat ", "more": "", "none": "we "}
    for options in (
        {"prompts": given},
        {},
        {"prompts": {"query": "a dog ", "more": "hello "}, "default_prompt_name": "more"},
    ):
        ours, theirs = CrossEncoder(folder, **options), reference(folder, **options)
        assert ours.max_seq_length == theirs.max_seq_length == 12
        assert (ours.prompts, ours.default_prompt_name) == (theirs.prompts, theirs.default_prompt_name)
        for argument in ({}, {"prompt_name": "none"}, {"prompt_name": "query"}, {"prompt": "we "}, {"prompt": ""}):
            assert ours.predict(PAIRS, **argument) == pytest.approx(theirs.predict(PAIRS, **argument), abs=1e-5)
            assert ours.rank("a", ["b"], **argument)[0]["score"] == pytest.approx(
                theirs.rank("a", ["b"], **argument)[0]["score"], abs=1e-5
            )
    assert ours.predict([("a", "b")], prompt="x ").tobytes() == ours.predict([("x a", "b")], prompt="").tobytes()
    with pytest.warns(UserWarning, match="prompt is used"):
        ours.predict(PAIRS[0], prompt="a", prompt_name="query")
    with pytest.raises(InputError, match="prompt 0: found 3"):
        ours.predict(PAIRS[0], prompt=3)
    with pytest.raises(ConfigError, match="default_prompt_name: found 'x', which is none of the prompts: query, none"):
        CrossEncoder(folder, default_prompt_name="x")


def test_what_sentence_transformers_saves(tmp_path, reference):
    theirs = reference(model_folder(tmp_path / "old"), max_length=15, prompts={"q": "hello "})
    theirs.save_pretrained(str(tmp_path / "new"))
    ours = CrossEncoder(tmp_path / "new")
    assert ours.max_seq_length == 15
    assert ours.prompts == {"q": "hello "}
    for argument in ({}, {"prompt_name": "q"}):
        assert ours.predict(PAIRS, **argument) == pytest.approx(theirs.predict(PAIRS, **argument), abs=1e-5)


def test_lengths(folder, encoder):
    long = ("hello " * 30, "world " * 30)
    assert encoder.max_seq_length == encoder.max_length == 30
    halves = ("hello " * 13, "world " * 14)
    assert encoder.predict(long).tobytes() == encoder.predict(halves).tobytes()
    for short in (CrossEncoder(folder, max_length=7), CrossEncoder.from_pretrained(folder, max_length=7)):
        assert short.max_seq_length == 7
        assert short.predict(long).tobytes() == short.predict(("hello hello", "world world")).tobytes()
    encoder.max_seq_length = 7
    assert encoder.predict(long).tobytes() == short.predict(long).tobytes()
    assert CrossEncoder(folder, processor_kwargs={"model_max_length": 9}).max_seq_length == 9
    assert CrossEncoder(folder, tokenizer_kwargs={"model_max_length": 512}).max_seq_length == 32
    longest = CrossEncoder(folder, max_length=512)
    assert longest.max_seq_length == 32
    assert longest.predict(long).tobytes() == longest.predict(("hello " * 14, "world " * 15)).tobytes()
    for wrong in (0, -1, "7", True, 7.0):
        with pytest.raises(InputError, match=f"max_length: found {wrong!r}, expected an integer above 0"):
            CrossEncoder(folder, max_length=wrong)
    with pytest.raises(InputError, match="max_seq_length: found 33, expected an integer from 1 to 32"):
        encoder.max_seq_length = 33
    encoder.max_seq_length = 2
    with pytest.raises(InputError, match="max_length: found 2, but 3 special tokens are added"):
        encoder.predict(long)


def test_a_limit_of_the_files_and_one_of_the_caller(tmp_path):
    folder = modules_folder(tmp_path, transformer={"max_seq_length": 12})
    assert CrossEncoder(folder).max_seq_length == 12
    assert CrossEncoder(folder, max_length=14).max_seq_length == 14
    assert CrossEncoder(folder, processor_kwargs={"model_max_length": 13}).max_seq_length == 13


def test_a_model_without_a_head_is_an_error(tmp_path, folder):
    (tmp_path / "bare").mkdir()
    vocabulary_folder(tmp_path / "bare")
    filbert.BertModel(filbert.BertConfig(**MODELS["bert"][1])).save_pretrained(tmp_path / "bare")
    with pytest.raises(WeightsError, match=r"classifier\.weight"):
        CrossEncoder(tmp_path / "bare")
    with pytest.raises(WeightsError, match=r"classifier\.weight.*\[1, 32\].*\[3, 32\]"):
        CrossEncoder(folder, num_labels=3)


def test_the_number_of_labels(tmp_path, folder):
    assert CrossEncoder(folder, num_labels=1).num_labels == 1
    assert CrossEncoder(folder, config_kwargs={"num_labels": 1, "classifier_dropout": 0.5}).num_labels == 1
    # As sentence-transformers takes what does not say that it is a classifier.
    edit(folder / "config.json", architectures=None, id2label=None, label2id=None)
    assert CrossEncoder(folder).predict([("a", "b")]).shape == (1,)
    three = model_folder(tmp_path / "three", labels=3)
    edit(three / "config.json", architectures=None)
    assert CrossEncoder(three, num_labels=3).predict([("a", "b")]).shape == (1, 3)


def test_keywords(folder):
    expected = CrossEncoder(folder).predict(PAIRS[:20])
    options = {"attn_implementation": "sdpa", "use_safetensors": True, "dtype": "bfloat16", "num_threads": 1}
    encoder = CrossEncoder(folder, device="cpu", trust_remote_code=True, model_kwargs=options)
    assert (encoder.model.dtype, encoder.model.num_threads, encoder.device) == ("bfloat16", 1, "cpu")
    assert encoder.predict(PAIRS[:20]) == pytest.approx(expected, abs=0.05)
    other = CrossEncoder.from_pretrained(folder, dtype="bfloat16", num_threads=1, mmap=False)
    assert other.predict(PAIRS[:20]).tobytes() == encoder.predict(PAIRS[:20]).tobytes()
    assert encoder.config.model_type == "bert"
    for arguments, error, message in (
        ({"backend": "onnx"}, InputError, "backend: found 'onnx', expected 'torch'"),
        ({"model_kwargs": {"device_map": "auto"}}, InputError, "device_map: found 'auto'; device="),
        ({"model_kwargs": {"rope": 3}}, TypeError, "unexpected keyword arguments: rope"),
        ({"config_kwargs": {"rope": 3}}, ConfigError, "config_kwargs: found rope, which BertConfig does not have"),
        ({"hidden_size": 3}, TypeError, "hidden_size"),
    ):
        with pytest.raises(error, match=message):
            CrossEncoder(folder, **arguments)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("modules.json", "{}", "expected a list of objects"),
        ("modules.json", "[]", "found modules none, supported: Transformer, or Transformer and LogitScore"),
        ("modules.json", '[{"type": "sentence_transformers.base.modules.dense.Dense"}]', r"found module '.*\.Dense'"),
        ("modules.json", '[{"type": "mine.Transformer"}]', "found module 'mine.Transformer'"),
        ("modules.json", '[{"type": "sentence_transformers.a.LogitScore"}]', "found modules LogitScore, supported: "),
        ("sentence_bert_config.json", "{}", 'transformer_task: found None, supported: "sequence-classification"'),
        (
            "sentence_bert_config.json",
            '{"transformer_task": "sequence-classification", "processing_kwargs": {"text": {"max_length": 3}}}',
            "processing_kwargs: found",
        ),
        (
            "sentence_bert_config.json",
            '{"transformer_task": "sequence-classification", "modality_config": {"text": {"method": "x"}}}',
            "modality_config: found .* supported for text",
        ),
        (
            "sentence_bert_config.json",
            '{"transformer_task": "sequence-classification", "modality_config": '
            '{"text": {"method": "forward", "method_output_name": "logits"}, "message": 3}}',
            "modality_config: found 3, supported for message",
        ),
        ("config_sentence_transformers.json", '{"model_type": "CrossEncoder", "prompts": 3}', "prompts: expected"),
    ],
)
def test_settings_that_cannot_be_honoured(tmp_path, file, content, message):
    folder = modules_folder(tmp_path)
    (folder / file).write_text(content)
    with pytest.raises(ConfigError, match=message):
        CrossEncoder(folder)


def test_settings_that_are_missing(tmp_path):
    folder = modules_folder(tmp_path)
    (folder / "sentence_bert_config.json").unlink()
    with pytest.raises(ConfigError, match=r"modules\.json: found no sentence_bert_config\.json beside it"):
        CrossEncoder(folder)
    edit(folder / "config_sentence_transformers.json", colour="red")
    model_folder(tmp_path / "other")
    edit(tmp_path / "other" / "config.json", colour="red")
    with pytest.warns(UserWarning, match="filbert does not know colour='red'"):
        CrossEncoder(tmp_path / "other")


def test_a_model_in_a_subfolder(tmp_path):
    folder = modules_folder(tmp_path / "model")
    expected = CrossEncoder(folder).predict(PAIRS)
    (folder / "0_Transformer").mkdir()
    for name in ("config.json", "model.safetensors", "vocab.txt", "tokenizer_config.json", "sentence_bert_config.json"):
        (folder / name).rename(folder / "0_Transformer" / name)
    modules = json.loads((folder / "modules.json").read_text())
    modules[0]["path"] = "0_Transformer"
    write_json(folder / "modules.json", modules)
    assert CrossEncoder(folder).predict(PAIRS).tobytes() == expected.tobytes()


def test_a_token_that_the_model_has_no_vector_for(tmp_path):
    folder = model_folder(tmp_path)
    vocabulary_folder(folder, [*(folder / "vocab.txt").read_text().split("\n")[:-1], "zebra"])
    encoder = CrossEncoder(folder)
    with pytest.raises(InputError, match=r"pair 1: token 'zebra' has id 40, and the model has vectors .* 0 to 39"):
        encoder.predict([("a", "b"), ("a", "zebra"), ("a", "b")])


@pytest.mark.parametrize(("stream", "show"), [(None, None), (None, True), (object(), None)])
def test_no_progress_bar_on_what_is_no_terminal(encoder, monkeypatch, stream, show):
    expected = encoder.predict(PAIRS[:2])
    monkeypatch.setattr("sys.stderr", stream)
    np.testing.assert_array_equal(encoder.predict(PAIRS[:2], show_progress_bar=show), expected)


def test_the_progress_bar(encoder, capsys):
    encoder.predict(PAIRS[:9])
    assert capsys.readouterr().err == ""
    encoder.predict(PAIRS[:9], show_progress_bar=True)
    assert "Scoring: 100%" in capsys.readouterr().err


def test_threads(encoder):
    expected = encoder.predict(PAIRS).tobytes()
    results = [b""] * 4

    def work(number):
        results[number] = encoder.predict(PAIRS, batch_size=number + 1).tobytes()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(results))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * len(results)


def test_what_info_says(tmp_path, capsys):
    folder = modules_folder(tmp_path, {"prompts": {"query": "the "}}, {"max_seq_length": 12})
    assert main(["info", str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-3:] == [
        "modules           Transformer",
        "scores of pairs   by the classifier, of up to 12 tokens",
        "prompt            query: 'the '",
    ]


def test_from_the_hub(hub, tmp_path, monkeypatch):
    folder = modules_folder(tmp_path / "model", {"prompts": {"query": "the "}})
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    hub.add("org/reranker", {**files, "README.md": b"#", "onnx/model.onnx": b"x"})
    expected = CrossEncoder(folder).predict(PAIRS)
    assert CrossEncoder("org/reranker").predict(PAIRS).tobytes() == expected.tobytes()
    fetched = {path.split("/resolve/")[1].split("/", 1)[1] for method, path in hub.requests if method == "GET"}
    assert fetched == set(files)
    test_hub.go_offline(monkeypatch)
    again = CrossEncoder.from_pretrained("org/reranker", local_files_only=True)
    assert again.predict(PAIRS, prompt_name="query").tobytes() != expected.tobytes()


@pytest.mark.parametrize("labels", [1, 3])
def test_evaluators(tmp_path, reference, labels):
    """They leave their results in model_card_data."""
    evaluation = pytest.importorskip("sentence_transformers.cross_encoder.evaluation")
    folder, pairs = model_folder(tmp_path, labels=labels), [("a cat", "the dog"), ("sun", "day"), ("hello", "long day")]
    evaluators = [evaluation.CrossEncoderClassificationEvaluator(pairs, [0, 1, 1 if labels == 1 else 2])]
    if labels == 1:
        rows = [{"query": "a cat", "positive": ["the dog"], "negative": ["sun", "long day"]}]
        evaluators.append(evaluation.CrossEncoderRerankingEvaluator(rows))
        evaluators.append(evaluation.CrossEncoderCorrelationEvaluator(pairs, [0.1, 0.9, 0.5]))
    ours, theirs = CrossEncoder(folder), reference(folder)
    for evaluator in evaluators:
        evaluator.write_csv = False
        assert evaluator(ours) == pytest.approx(evaluator(theirs), abs=1e-3)
    assert [each[0] for each in ours.model_card_data.evaluations] == evaluators
    assert CrossEncoder(folder, model_card_data="mine").model_card_data == "mine"


def test_keywords_by_their_older_names(tmp_path):
    folder = model_folder(tmp_path)
    pairs = [("a cat", "the dog"), ("sun", "day")]
    expected = CrossEncoder(folder, model_kwargs={"dtype": "bfloat16"}, activation_fn=np.tanh).predict(pairs)
    with pytest.warns(DeprecationWarning, match="'automodel_args' is the older name of 'model_kwargs'"):
        older = CrossEncoder(folder, automodel_args={"dtype": "bfloat16"}, default_activation_function=np.tanh)
    assert older.predict(pairs).tobytes() == expected.tobytes()
    with pytest.warns(DeprecationWarning, match="'activation_fct' is the older name of 'activation_fn'"):
        assert older.predict(pairs, activation_fct=np.tanh).tobytes() == expected.tobytes()
    with pytest.raises(TypeError, match="got both 'activation_fn' and 'activation_fct'"):
        older.rank("a", ["b"], activation_fn=np.tanh, activation_fct=np.tanh)


def test_arguments_as_they_once_were(folder, encoder, tmp_path):
    with pytest.warns(DeprecationWarning, match="num_labels, max_length: given by position"):
        older = CrossEncoder(folder, 1, 9)
    assert (older.num_labels, older.max_seq_length) == (1, 9)
    with pytest.raises(WeightsError), pytest.warns(DeprecationWarning, match="num_labels: given by position"):
        CrossEncoder(folder, 3)
    with pytest.raises(TypeError, match="multiple values for argument 'num_labels'"):
        CrossEncoder(folder, 1, num_labels=1)
    with (
        pytest.raises(TypeError, match="positional arguments"),
        pytest.warns(DeprecationWarning, match="device: given"),
    ):
        CrossEncoder(folder, 1, 9, None, "cpu", "more")
    for kind in (CrossEncoder, classes.CrossEncoder):
        with pytest.warns(DeprecationWarning, match="older name"):
            older = kind(model_name=folder, cache_dir=tmp_path, classifier_dropout=0.5)
        assert older.config.classifier_dropout == 0.5
    best = encoder.rank("a cat", ["the dog", "sun"])
    for name in ("apply_softmax", "convert_to_numpy", "convert_to_tensor"):
        with pytest.warns(DeprecationWarning, match=rf"'{name}' changes nothing in rank\(\)"):
            assert encoder.rank("a cat", ["the dog", "sun"], **{name: True}) == best


@pytest.mark.parametrize("name", ["bert", "roberta", "distilbert"])
def test_preprocessing_beside_sentence_transformers(tmp_path, reference, name):
    folder = model_folder(tmp_path, name)
    ours, theirs = CrossEncoder(folder), reference(folder)
    for prompt in (None, "hello "):
        expected = theirs.preprocess(PAIRS[:9], prompt=prompt)
        found = ours.preprocess(PAIRS[:9], prompt=prompt)
        assert found.keys() == {"input_ids", "attention_mask"} | ({"token_type_ids"} if name == "bert" else set())
        for key, array in found.items():
            np.testing.assert_array_equal(array, expected[key].numpy())
    assert ours.tokenize(PAIRS[0], return_tensors="pt")["input_ids"].ndim == 2


def test_what_programs_ask_of_it(folder):
    encoder = CrossEncoder(folder, model_kwargs={"dtype": "bfloat16"})
    assert (encoder.dtype, encoder.backend) == ("bfloat16", "filbert")


def test_a_table_is_refused(encoder):
    with pytest.raises(InputError, match=r"pairs: found a table .*\(zip two columns of it\)"):
        encoder.predict(Table())
