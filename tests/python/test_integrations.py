"""filbert.integrations beside the real libraries: each gives the vectors of the encoder itself."""

import asyncio
import importlib
import sys

import numpy as np
import pytest
from hosts import SCALED_AGAIN, need, run
from text_models import SENTENCES, sentence_folder

import filbert
from filbert.errors import InputError


@pytest.fixture
def folder(tmp_path):
    """A model with prompts for queries and documents, so that mixing them up shows."""
    return sentence_folder(tmp_path / "model", settings={"prompts": {"query": "hello ", "document": "the "}})


@pytest.fixture
def encoder(folder):
    return filbert.SentenceEncoder(folder)


@pytest.fixture
def documents(encoder):
    return encoder.encode_document(SENTENCES).tolist()


@pytest.fixture
def query(encoder):
    return encoder.encode_query("a cat").tolist()


def test_langchain(folder, encoder, documents, query):
    pytest.importorskip("langchain_core")
    from langchain_core.vectorstores import InMemoryVectorStore

    from filbert.integrations.langchain import FilbertEmbeddings

    for embeddings in (FilbertEmbeddings(encoder), FilbertEmbeddings(str(folder), num_threads=1)):
        assert embeddings.embed_documents(SENTENCES) == documents
        assert embeddings.embed_query("a cat") == query
        assert asyncio.run(embeddings.aembed_documents(SENTENCES)) == documents
    store = InMemoryVectorStore.from_texts(SENTENCES, embeddings)
    (nearest,) = store.similarity_search("a cat", k=1)
    assert nearest.page_content == SENTENCES[np.argmax(encoder.similarity(query, documents))]
    with pytest.raises(InputError, match="dtype: found options for a model that is loaded already"):
        FilbertEmbeddings(encoder, dtype="int8")
    with pytest.raises(InputError, match="model name: found 7, expected a folder or a hub id"):
        FilbertEmbeddings(7)


def test_llama_index(folder, encoder, documents, query):
    pytest.importorskip("llama_index.core")
    from llama_index.core.schema import TextNode

    from filbert.integrations.llama_index import FilbertEmbedding

    embedding = FilbertEmbedding(str(folder), options={"num_threads": 1}, embed_batch_size=2)
    assert embedding.get_text_embedding_batch(SENTENCES) == documents
    assert embedding.get_text_embedding(SENTENCES[1]) == documents[1]
    assert embedding.get_query_embedding("a cat") == query
    assert asyncio.run(embedding.aget_query_embedding("a cat")) == query
    assert asyncio.run(embedding.aget_text_embedding_batch(SENTENCES)) == documents
    assert [node.embedding for node in embedding([TextNode(text=text) for text in SENTENCES])] == documents
    assert FilbertEmbedding(folder).to_dict()["model_name"] == str(folder)
    again = FilbertEmbedding.from_dict(embedding.to_dict())
    assert again.options == {"num_threads": 1}
    assert again.get_query_embedding("a cat") == query


CHROMA = """
from pathlib import Path
import chromadb
from filbert.integrations.chroma import FilbertEmbeddingFunction
client = chromadb.PersistentClient(sys.argv[1])
function = FilbertEmbeddingFunction(Path(sys.argv[2]), num_threads=1)
collection = client.create_collection("texts", embedding_function=function)
collection.add(ids=["0", "1", "2"], documents=sys.argv[3:])
result = collection.get(include=["embeddings"])["embeddings"].tolist()
"""

REOPENED = """
import chromadb
{imported}
collection = chromadb.PersistentClient(sys.argv[1]).get_collection("texts")
try:
    found = collection.query(query_texts=["a cat"], n_results=3)
    result = [found["ids"][0], found["distances"][0], collection.configuration["hnsw"]["space"]]
except Exception as error:
    result = str(error)
"""


def test_chroma(folder, encoder, documents, query, tmp_path):
    need("chromadb")
    np.testing.assert_allclose(run(CHROMA, tmp_path / "database", folder, *SENTENCES), documents, rtol=SCALED_AGAIN)
    reopened = REOPENED.format(imported="import filbert.integrations.chroma")
    ids, distances, space = run(reopened, tmp_path / "database")
    cosines = encoder.similarity(query, documents)[0]
    assert space == "cosine"
    assert ids == [str(index) for index in np.argsort(-cosines)]
    assert distances == pytest.approx(sorted(1 - cosines), abs=1e-6)
    # Chroma does not know the function of a process that did not import it, and says its name.
    assert "filbert" in run(REOPENED.format(imported=""), tmp_path / "database")


def test_haystack(folder, documents, query):
    pytest.importorskip("haystack")
    from haystack import Document, Pipeline
    from haystack.components.retrievers.in_memory import InMemoryEmbeddingRetriever
    from haystack.document_stores.in_memory import InMemoryDocumentStore

    from filbert.integrations.haystack import FilbertDocumentEmbedder, FilbertTextEmbedder

    embedder = FilbertDocumentEmbedder(str(folder), options={"num_threads": 1})
    given = [Document(content=text) for text in SENTENCES]
    embedded = embedder.run(given)["documents"]
    assert [document.embedding for document in embedded] == documents
    assert [document.id for document in embedded] == [document.id for document in given]
    assert [document.embedding for document in given] == [None] * 3
    store = InMemoryDocumentStore(embedding_similarity_function="cosine")
    store.write_documents(embedded)
    pipeline = Pipeline()
    pipeline.add_component("embedder", FilbertTextEmbedder(folder))
    pipeline.add_component("retriever", InMemoryEmbeddingRetriever(store, top_k=3))
    pipeline.connect("embedder.embedding", "retriever.query_embedding")
    pipeline = Pipeline.loads(pipeline.dumps(), allowed_modules=["filbert.integrations.haystack"])
    found = pipeline.run({"embedder": {"text": "a cat"}})["retriever"]["documents"]
    cosines = filbert.util.cos_sim(query, documents)[0]
    assert [document.score for document in found] == pytest.approx(sorted(cosines.tolist())[::-1], abs=1e-5)


def test_haystack_documents_with_fields(folder, encoder):
    pytest.importorskip("haystack")
    from haystack import Document
    from haystack.core.serialization import component_from_dict, component_to_dict

    from filbert.integrations.haystack import FilbertDocumentEmbedder

    stored = component_to_dict(FilbertDocumentEmbedder(folder, meta_fields_to_embed=["title", "missing"]), "it")
    embedder = component_from_dict(FilbertDocumentEmbedder, stored, "it")
    documents = [Document(content="a cat", meta={"title": "the dog"}), Document(content=None)]
    vectors = [document.embedding for document in embedder.run(documents)["documents"]]
    assert vectors == encoder.encode_document(["the dog\na cat", ""]).tolist()


def test_haystack_refuses_what_the_other_embedder_takes(folder):
    pytest.importorskip("haystack")
    from filbert.integrations.haystack import FilbertDocumentEmbedder, FilbertTextEmbedder

    with pytest.raises(TypeError, match="FilbertTextEmbedder expects a string"):
        FilbertTextEmbedder(folder).run(SENTENCES)
    for documents in ("abc", SENTENCES):
        with pytest.raises(TypeError, match="FilbertDocumentEmbedder expects a list of Documents"):
            FilbertDocumentEmbedder(folder).run(documents)


def test_milvus(folder, encoder, documents, query):
    from filbert.integrations.milvus import FilbertEmbeddingFunction

    function = FilbertEmbeddingFunction(folder)
    assert function.dim == 32
    assert [vector.tolist() for vector in function.encode_documents(SENTENCES)] == documents
    assert [vector.tolist() for vector in function(SENTENCES)] == documents
    for queries in (["a cat"], "a cat"):
        assert [vector.tolist() for vector in function.encode_queries(queries)] == [query]
    assert [vector.tolist() for vector in function.encode_documents(SENTENCES[1])] == documents[1:2]
    assert FilbertEmbeddingFunction(encoder).encode_queries(["a cat"])[0].dtype == np.float32


def test_a_collection_of_milvus(folder, encoder, documents, query, tmp_path):
    need("pymilvus", "milvus_lite")
    result = run(
        """
from pymilvus import MilvusClient
from filbert.integrations.milvus import FilbertEmbeddingFunction
function = FilbertEmbeddingFunction(sys.argv[2])
client = MilvusClient(sys.argv[1])
client.create_collection("texts", dimension=function.dim, metric_type="COSINE")
vectors = function.encode_documents(sys.argv[3:])
client.insert("texts", [{"id": index, "vector": vector} for index, vector in enumerate(vectors)])
found = client.search("texts", data=function.encode_queries(["a cat"]), limit=3)[0]
result = [[hit["id"], hit["distance"]] for hit in found]
""",
        tmp_path / "milvus.db",
        folder,
        *SENTENCES,
    )
    cosines = encoder.similarity(query, documents)[0]
    assert [index for index, _ in result] == np.argsort(-cosines).tolist()
    assert [cosine for _, cosine in result] == pytest.approx(sorted(cosines.tolist())[::-1], abs=1e-5)


def test_qdrant_takes_vectors_as_they_are(encoder, documents, query):
    client_library = pytest.importorskip("qdrant_client")
    from qdrant_client.models import Distance, VectorParams

    client = client_library.QdrantClient(":memory:")
    size = encoder.get_embedding_dimension()
    client.create_collection("texts", vectors_config=VectorParams(size=size, distance=Distance.COSINE))
    client.upload_collection("texts", vectors=encoder.encode_document(SENTENCES), ids=range(3))
    found = client.query_points("texts", query=encoder.encode_query("a cat"), limit=3).points
    cosines = filbert.util.cos_sim(query, documents)[0]
    assert [point.score for point in found] == pytest.approx(sorted(cosines.tolist())[::-1], abs=1e-6)


BACKEND = """
import filbert
from filbert.integrations.{host} import FilbertBackend
from {host}.backend._utils import select_backend
model = filbert.SentenceEncoder(sys.argv[1])
backend = FilbertBackend(model)
result = [select_backend(backend) is backend, backend.embed(sys.argv[2:]).tolist(),
          FilbertBackend(sys.argv[1], num_threads=1).embed(sys.argv[2:]).tolist()]
"""


@pytest.mark.parametrize("host", ["keybert", "bertopic"])
def test_topics_and_keywords(folder, encoder, host):
    need(host, *(["hdbscan", "umap"] if host == "bertopic" else ["sklearn"]))
    vectors = encoder.encode(SENTENCES).tolist()
    assert run(BACKEND.format(host=host), folder, *SENTENCES) == [True, vectors, vectors]


@pytest.mark.parametrize("host", ["langchain", "llama_index", "haystack", "chroma", "sklearn", "bertopic", "keybert"])
def test_a_missing_library_is_named(monkeypatch, host):
    for name in ("langchain_core", "llama_index", "haystack", "chromadb", "sklearn", "bertopic", "keybert"):
        for loaded in [module for module in sys.modules if module.split(".")[0] == name]:
            monkeypatch.delitem(sys.modules, loaded)
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, f"filbert.integrations.{host}", raising=False)
    with pytest.raises(ImportError, match=rf"filbert\.integrations\.{host} needs .*: pip install \S+$"):
        importlib.import_module(f"filbert.integrations.{host}")
