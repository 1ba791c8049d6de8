"""Routers, tables of weights and settings of modules of SparseEncoder, beside sentence-transformers."""

import json

import numpy as np
import pytest
import test_sparse_parity
from sparse_models import masked_words_folder, router_folder, splade_folder, table_weights, write_modules
from test_sparse_parity import FEW, TEXTS, TOLERANCE, check
from text_models import VOCABULARY, vocabulary_folder, write_json

from filbert import SparseEncoder

library, reference = test_sparse_parity.library, test_sparse_parity.reference  # the fixtures
# A [PAD] in the shorter text of a batch gives sentence-transformers' table of weights none for it.
UNPADDED = [text for text in TEXTS if "[PAD]" not in text]


@pytest.mark.parametrize(
    "transformer",
    [
        {},
        {"max_seq_length": 7},
        {"max_seq_length": 512, "do_lower_case": True},
        {"config_kwargs": {"hidden_act": "relu"}},
    ],
)
def test_settings_of_the_transformer(tmp_path, reference, transformer):
    folder = splade_folder(tmp_path, transformer=transformer)
    values = json.loads((folder / "tokenizer_config.json").read_text()) | {"do_lower_case": False}
    write_json(folder / "tokenizer_config.json", values)
    if transformer.get("max_seq_length") == 512:
        with pytest.raises(RuntimeError):  # which is beyond what the model takes
            reference(folder).encode("unbelievable " * 40)
    texts = [text for text in FEW if len(text) < 10 or transformer.get("max_seq_length") != 512]
    check(SparseEncoder(folder).encode(texts), reference(folder).encode(texts))


@pytest.mark.parametrize("where", ["after SpladePooling", "after Router"])
def test_vectors_of_length_one(tmp_path, reference, where):
    folder = (router_folder if where == "after Router" else splade_folder)(tmp_path, normalize=True)
    ours, theirs = SparseEncoder(folder), reference(folder)
    for name in ("encode_query", "encode_document"):
        check(getattr(ours, name)(UNPADDED[:60]), getattr(theirs, name)(UNPADDED[:60]))


@pytest.fixture
def router(library, reference, tmp_path):
    """A Router of sentence-transformers, of a table and a SPLADE model."""
    import torch
    from sentence_transformers.sparse_encoder import modules

    theirs = reference(masked_words_folder(tmp_path / "base"))
    table = modules.SparseStaticEmbedding(theirs.tokenizer, torch.from_numpy(table_weights()))
    pooling = modules.SpladePooling(activation_function="log1p_relu")

    def make(**options):
        routes = {"query": [table], "document": [theirs[0], pooling]}
        return library.SparseEncoder(
            modules=[modules.Router(routes, **options)], device="cpu", similarity_fn_name="dot"
        )

    return make


@pytest.mark.parametrize(
    "options",
    [
        {"default_route": "document"},
        {},
        {"route_mappings": {(None, "text"): "document"}},
        {
            "route_mappings": {
                ("query", None): "document",
                ("document", "text"): "query",
                (None, ("image", "text")): "query",
            }
        },
        {"route_mappings": {(None, None): "query"}, "allow_empty_key": False},
    ],
)
@pytest.mark.parametrize("safe", [True, False])
def test_a_router(tmp_path, router, reference, options, safe):
    router(**options).save_pretrained(str(tmp_path / "saved"), safe_serialization=safe)
    saved = tmp_path / "saved" / "query_0_SparseStaticEmbedding"
    assert (saved / "pytorch_model.bin").is_file() != safe
    ours, theirs = SparseEncoder(tmp_path / "saved"), reference(tmp_path / "saved")
    texts = UNPADDED if options == {} else UNPADDED[:50]
    for name in ("encode", "encode_query", "encode_document"):
        check(getattr(ours, name)(texts), getattr(theirs, name)(texts))
    check(ours.encode_query("a [PAD] b"), theirs.encode_query("a [PAD] b"))
    queries, documents = ours.encode_query(FEW), ours.encode_document(FEW)
    scores = theirs.similarity(queries.to_torch(), documents.to_torch()).numpy()
    assert ours.similarity(queries, documents) == pytest.approx(scores, abs=1e-5)
    assert ours.decode(queries) == theirs.decode(queries.to_torch())
    few = theirs.encode_query(texts, max_active_dims=2).to_dense().numpy()
    assert np.abs(ours.encode_query(texts, max_active_dims=2).toarray() - few).max() < TOLERANCE


def test_a_table_from_json(tmp_path, library, monkeypatch):
    idf = {token: float(weight) for token, weight in zip(VOCABULARY, table_weights(), strict=True) if weight}
    folder = vocabulary_folder(tmp_path)
    write_json(folder / "idf.json", idf)
    write_json(folder / "config.json", {"path": "idf.json", "frozen": True})
    write_modules(folder, ("SparseStaticEmbedding", ""))
    monkeypatch.chdir(folder)  # where sentence-transformers looks for it
    theirs = library.SparseEncoder(str(folder), device="cpu")
    ours = SparseEncoder(folder)
    check(ours.encode(UNPADDED), theirs.encode(UNPADDED))
    write_json(folder / "config.json", {})
    assert SparseEncoder(folder).encode(TEXTS).toarray().tobytes() == ours.encode(TEXTS).toarray().tobytes()


def test_older_names_of_modules(tmp_path, library, reference):
    from sentence_transformers.sparse_encoder.modules import MLMTransformer, SpladePooling

    folder = masked_words_folder(tmp_path / "base")
    library.SparseEncoder(modules=[MLMTransformer(str(folder)), SpladePooling("max")], device="cpu").save_pretrained(
        str(tmp_path / "saved")
    )
    (tmp_path / "saved" / "sentence_bert_config.json").write_text('{"max_seq_length": 12, "do_lower_case": false}')
    check(SparseEncoder(tmp_path / "saved").encode(FEW), reference(tmp_path / "saved").encode(FEW))


def test_without_modules(tmp_path, reference):
    folder = masked_words_folder(tmp_path)
    check(SparseEncoder.from_pretrained(folder).encode(FEW), reference(folder).encode(FEW))
