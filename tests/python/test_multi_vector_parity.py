"""MultiVectorEncoder beside sentence-transformers."""

import json
import string
import warnings

import numpy as np
import pytest
from late_interaction import (
    FORMATS,
    VOCABULARY,
    WIDTH,
    other_encoder,
    own_folder,
    projection,
    pylate_folder,
    random_texts,
    stanford_folder,
    write_dense,
)
from text_models import write_json

from filbert import MultiVectorEncoder

TEXTS = random_texts(240)
METHODS = ("encode_query", "encode_document", "encode")
# Vectors of length 1 in float32: some tens of roundings apart.
TOLERANCE = 1e-5
PUNCTUATION = [VOCABULARY.index(mark) for mark in string.punctuation]
FIXED = {"strategy": "fixed", "attend": True, "length": 24}


@pytest.fixture(scope="module")
def reference():
    """Loads a folder with sentence-transformers."""
    library = pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    if not hasattr(library, "MultiVectorEncoder"):
        pytest.skip("sentence-transformers has no MultiVectorEncoder before version 6.2")
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # models this small are no faster with more, and far slower where others compute
    yield lambda folder: library.MultiVectorEncoder(str(folder), device="cpu")
    torch.set_num_threads(threads)


def assert_equal(found, expected):
    assert [rows.shape for rows in found] == [rows.shape for rows in expected]
    assert all(rows.dtype == np.float32 for rows in found)
    difference = max((np.abs(a - b).max() for a, b in zip(found, expected, strict=True) if a.size), default=0)
    assert difference < TOLERANCE


def compare(folder, reference, texts=TEXTS, methods=METHODS, **options):
    """Beside sentence-transformers: the vectors of every method. Gives both encoders."""
    ours, theirs = MultiVectorEncoder.from_pretrained(folder), reference(folder)
    for method in methods:
        expected = getattr(theirs, method)(texts, convert_to_numpy=True, **options)
        assert_equal(getattr(ours, method)(texts, **options), expected)
    assert ours.get_embedding_dimension() == theirs.get_embedding_dimension()
    assert ours.prompts == theirs.prompts
    return ours, theirs


@pytest.mark.parametrize("attend", [True, False], ids=["attended", "unattended"])
@pytest.mark.parametrize("name", FORMATS)
def test_formats(tmp_path, reference, name, attend):
    arguments = {
        "own": (
            {"query_expansion": FIXED | {"attend": attend}, "document_length": 48},
            {"skiplist_words": list(string.punctuation)},
            {"prompts": {"query": "[unused0] ", "document": "[unused1] "}},
        ),
        "pylate": ({"attend_to_expansion_tokens": attend},),
        "stanford": ({"attend_to_mask_tokens": attend},),
    }
    folder = FORMATS[name](tmp_path / name, *arguments[name])
    ours, theirs = compare(folder, reference)
    assert (ours.query_length, ours.document_length) == (24, 48)
    queries, documents = ours.encode_query(TEXTS[:30]), ours.encode_document(TEXTS)
    assert {len(rows) for rows in queries} == {24}
    for ours.similarity_fn_name in ("maxsim", "meanmaxsim"):
        theirs.similarity_fn_name = ours.similarity_fn_name
        expected = theirs.similarity(queries, documents).numpy()
        assert ours.similarity(queries, documents) == pytest.approx(expected, abs=TOLERANCE)


SETTINGS = {
    "nothing": ({}, {}, {}),
    "lengths": ({"query_length": 7, "document_length": 11}, {}, {}),
    "least": ({"query_expansion": {"strategy": "min", "length": 12, "attend": True}}, {}, {}),
    "least, unattended": ({"query_expansion": {"strategy": "min", "length": 12}}, {}, {}),
    "least and most": (
        {"query_length": 20, "query_expansion": {"strategy": "min", "length": 9, "attend": True}},
        {},
        {},
    ),
    "a token": ({"query_expansion": FIXED | {"token": "a"}}, {"skiplist_words": ["a"], "skiplist_tasks": "query"}, {}),
    "tasks": (
        {"query_expansion": FIXED},
        {"skiplist_words": [".", "a", "??"], "skiplist_tasks": ["query", "document"]},
        {},
    ),
    "no tasks": ({}, {"skiplist_words": ["."], "skiplist_tasks": []}, {}),
    "unk": ({}, {"skiplist_words": ["[UNK]", "[CLS]"]}, {}),
    "only": ({"query_expansion": FIXED}, {"keep_only_token_ids": [*range(7, 60)], "skiplist_words": ["a"]}, {}),
    "default prompt": (
        {},
        {},
        {"prompts": {"query": None, "passage": "cat ", "x": "dog "}, "default_prompt_name": "x"},
    ),
    "mean": ({"query_expansion": FIXED}, {}, {"similarity_fn_name": "meanmaxsim"}),
    "lower": ({"do_lower_case": True, "max_seq_length": 9}, {}, {}),
    "query_length of PyLate": ({"query_length": 50}, {}, {"query_length": 9, "document_length": 10}),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings(tmp_path, reference, name):
    transformer, mask, settings = SETTINGS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # "??" is no token
        folder = own_folder(tmp_path / "model", transformer, mask, settings)
        ours, theirs = compare(folder, reference, TEXTS[:100])
    assert ours.similarity_fn_name == theirs.similarity_fn_name
    assert ours.default_prompt_name == theirs.default_prompt_name


CHAINS = {
    "no mask": (("Dense", "Normalize"), {"query_expansion": FIXED}),
    "no mask, unattended": (("Dense", "Normalize"), {"query_expansion": FIXED | {"attend": False}}),
    "not normalised": (("Dense", "MultiVectorMask"), {}),
    "no projection": (("MultiVectorMask", "Normalize"), {"query_expansion": FIXED}),
    "mask first": (("MultiVectorMask", "Normalize", "Dense"), {}),
    "nothing": ((), {}),
}


@pytest.mark.parametrize("name", CHAINS)
def test_chains_of_modules(tmp_path, reference, name):
    modules, transformer = CHAINS[name]
    folder = own_folder(tmp_path / "model", transformer, {"skiplist_words": ["."]}, modules=modules)
    ours, _ = compare(folder, reference, TEXTS[:100])
    assert ours.get_embedding_dimension() == (WIDTH if "Dense" in modules else 32)
    compare(folder, reference, TEXTS[:40], normalize_embeddings=True)


def drawn(*shape, seed=3):
    return (np.random.default_rng(seed).standard_normal(shape) * 0.3).astype(np.float32)


DENSE = {
    "bias": ({"linear.weight": projection(), "linear.bias": drawn(WIDTH)}, {}),
    "tanh": ({"linear.weight": projection()}, {"activation_function": "torch.nn.modules.activation.Tanh"}),
    "relu": ({"linear.weight": projection()}, {"activation_function": "torch.nn.modules.activation.ReLU"}),
    "sigmoid": ({"linear.weight": projection()}, {"activation_function": "torch.nn.Sigmoid"}),
    "silu": ({"linear.weight": projection()}, {"activation_function": "torch.nn.SiLU"}),
    "itself": ({"linear.weight": projection(width=32)}, {"use_residual": True}),
    "residual": ({"linear.weight": projection(), "residual.weight": drawn(WIDTH, 32)}, {"use_residual": True}),
    "pickle": ({"linear.weight": projection(), "linear.bias": drawn(WIDTH)}, {}),
}


@pytest.mark.parametrize("name", DENSE)
def test_dense_modules(tmp_path, reference, name):
    tensors, config = DENSE[name]
    folder = own_folder(tmp_path / "model")
    names = {"module_input_name": "token_embeddings", "module_output_name": "token_embeddings"}
    write_dense(folder / "1_Dense", tensors, **names, **config)
    if name == "pickle":
        import torch

        (folder / "1_Dense" / "model.safetensors").unlink()
        torch.save(
            {key: torch.from_numpy(tensor) for key, tensor in tensors.items()}, folder / "1_Dense/pytorch_model.bin"
        )
    compare(folder, reference, TEXTS[:60])


def test_padding_at_the_left(tmp_path, reference):
    folder = own_folder(tmp_path / "model", {"query_expansion": FIXED})
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    write_json(folder / "tokenizer_config.json", settings | {"padding_side": "left"})
    compare(folder, reference, TEXTS[:60], ("encode_query",))


def test_two_projections(tmp_path, reference):
    folder = own_folder(tmp_path / "model", modules=("Dense", "Dense", "MultiVectorMask", "Normalize"))
    names = {"module_input_name": "token_embeddings", "module_output_name": "token_embeddings"}
    write_dense(folder / "2_Dense", {"linear.weight": projection(8, 12, WIDTH)}, **names)
    ours, _ = compare(folder, reference, TEXTS[:60])
    assert ours.get_embedding_dimension() == 12


PYLATE = {
    "version 3": {"model_type": "ColBERT"},
    "version 3, no list": {"model_type": "ColBERT", "skiplist_words": ...},
    "no list": {"skiplist_words": None},
    "an empty list": {"skiplist_words": []},
    "no filling": {"do_query_expansion": False},
    "no filling, said anew": {"query_expansion": None},
    "filling, said anew": {"query_expansion": {"strategy": "min", "attend": True, "length": 10}, "query_length": 30},
    "no lengths": {"query_length": None, "document_length": None},
    "the words of Stanford": {"attend_to_expansion_tokens": ..., "attend_to_mask_tokens": True},
    "no prefixes": {"query_prefix": ..., "document_prefix": ...},
    "prefixes null": {"query_prefix": None, "document_prefix": None},
    "words for prefixes": {"query_prefix": "[unused0] ", "document_prefix": "cat: "},
    "prompts, too": {"prompts": {"query": "[Q] the cat ", "document": "dog ", "other": "sun "}},
    "cosine": {"similarity_fn_name": "cosine"},
}


@pytest.mark.parametrize("markers", [True, False], ids=["tokens", "texts"])
@pytest.mark.parametrize("name", PYLATE)
def test_settings_of_pylate(tmp_path, reference, name, markers):
    ours, _ = compare(pylate_folder(tmp_path / "model", PYLATE[name], markers), reference, TEXTS[:100])
    assert ours.similarity_fn_name == "maxsim"


STANFORD = {
    "nothing": None,
    "nulls": dict.fromkeys(("query_token_id", "doc_token_id", "query_maxlen", "doc_maxlen"))
    | {"attend_to_mask_tokens": True},
    "punctuation": {"mask_punctuation": False},
    "words": {"query_token_id": "[Q]", "doc_token_id": "cat"},
}


@pytest.mark.parametrize("name", STANFORD)
def test_settings_of_stanford(tmp_path, reference, name):
    folder = stanford_folder(tmp_path / "model", STANFORD[name])
    if STANFORD[name] is None:
        (folder / "artifact.metadata").unlink()
        with pytest.warns(UserWarning, match=r"has no artifact\.metadata: its settings are those of ColBERTv2"):
            compare(folder, reference, TEXTS[:100])
    else:
        compare(folder, reference, TEXTS[:100])


FAMILIES = {
    "Roberta": {"intermediate_size": 48},
    "MPNet": {"intermediate_size": 48},
    # Filling that is farther than the window from the text sees nothing at all in its local layers.
    "ModernBert": {"intermediate_size": 48, "local_attention": 8, "global_attn_every_n_layers": 2},
    "NomicBert": {"intermediate_size": 48},
}


@pytest.mark.parametrize("attend", [True, False], ids=["attended", "unattended"])
@pytest.mark.parametrize("family", FAMILIES)
def test_families(tmp_path, reference, family, attend):
    folder = own_folder(tmp_path / "model", {"query_expansion": FIXED | {"attend": attend}})
    other_encoder(folder, family, FAMILIES[family])
    compare(folder, reference, TEXTS[:60])


@pytest.mark.parametrize("name", ["maxsim", "meanmaxsim"])
def test_odd_shapes_of_vectors(tmp_path, reference, name):
    """Texts without vectors, one text, padded arrays, tensors."""
    folder = own_folder(tmp_path / "model", {"query_expansion": FIXED})
    encoder, theirs = MultiVectorEncoder.from_pretrained(folder), reference(folder)
    encoder.similarity_fn_name = theirs.similarity_fn_name = name
    queries, documents = encoder.encode_query(TEXTS[:20]), encoder.encode_document(TEXTS[:20])
    nothing = np.zeros((0, WIDTH), np.float32)
    padded = np.zeros((3, 70, WIDTH), np.float32)
    for index in range(3):
        padded[index, : len(documents[index])] = documents[index]
    cases = [
        (queries, [*documents[:18], nothing, documents[5]]),
        ([nothing, *queries[1:]], documents),
        (queries[0], documents[:1]),
        (padded, padded),
        ([nothing], [nothing]),
        (np.stack(queries), [*documents[:19], nothing]),
    ]
    for first, second in cases:
        expected = theirs.similarity(first, second).numpy()
        assert encoder.similarity(first, second) == pytest.approx(expected, rel=1e-6, abs=TOLERANCE)
        expected = theirs.similarity_pairwise(first, second).numpy()
        assert encoder.similarity_pairwise(first, second) == pytest.approx(expected, rel=1e-6, abs=TOLERANCE)
    tensors = encoder.encode_query(TEXTS[:20], convert_to_numpy=False)
    assert encoder.similarity(tensors, tensors).numpy().tobytes() == encoder.similarity(queries, queries).tobytes()
