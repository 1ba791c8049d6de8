"""Libraries that import sentence_transformers, as they are, on the stand-in. They need no torch."""

import checkpoints
import numpy as np
import pytest
import test_static
from hosts import SCALED_AGAIN, need, run
from text_models import SENTENCES, sentence_folder, vocabulary_folder

import filbert

INSTALL = "import filbert\nfilbert.install_as_sentence_transformers()\n"


@pytest.fixture
def folder(tmp_path):
    return sentence_folder(tmp_path / "model", settings={"prompts": {"query": "hello ", "document": ""}})


@pytest.fixture
def vectors(folder):
    return filbert.SentenceEncoder(folder).encode(SENTENCES).tolist()


def test_langchain(folder, vectors):
    need("langchain_huggingface")
    result = run(
        INSTALL
        + """
from langchain_huggingface import HuggingFaceEmbeddings
embeddings = HuggingFaceEmbeddings(model_name=sys.argv[1], model_kwargs={"device": "cpu"},
                                   query_encode_kwargs={"prompt_name": "query"})
result = {"documents": embeddings.embed_documents(sys.argv[2:]), "query": embeddings.embed_query(sys.argv[2])}
both = HuggingFaceEmbeddings(model_name=sys.argv[1], multi_process=True)
import warnings
warnings.simplefilter("ignore")
result["processes"] = both.embed_documents(sys.argv[2:])
""",
        folder,
        *SENTENCES,
    )
    query = filbert.SentenceEncoder(folder).encode_query(SENTENCES[0]).tolist()
    assert result == {"documents": vectors, "query": query, "processes": vectors}


def test_langchain_community(folder, vectors):
    need("langchain_community")
    assert (
        run(
            INSTALL
            + """
import warnings
warnings.simplefilter("ignore")
from langchain_community.embeddings import HuggingFaceEmbeddings
result = HuggingFaceEmbeddings(model_name=sys.argv[1]).embed_documents(sys.argv[2:])
""",
            folder,
            *SENTENCES,
        )
        == vectors
    )


def test_llama_index(folder, vectors):
    need("llama_index.embeddings.huggingface")
    result = run(
        INSTALL
        + """
import warnings
warnings.simplefilter("ignore")
from llama_index.embeddings.huggingface import HuggingFaceEmbedding
embedding = HuggingFaceEmbedding(sys.argv[1], device="cpu", normalize=False, query_instruction="hello ")
result = {"texts": embedding.get_text_embedding_batch(sys.argv[2:]),
          "query": embedding.get_query_embedding(sys.argv[2])}
""",
        folder,
        *SENTENCES,
    )
    query = filbert.SentenceEncoder(folder).encode(SENTENCES[0], prompt="hello ").tolist()
    assert result == {"texts": vectors, "query": query}


def test_chroma(folder, vectors, tmp_path):
    need("chromadb")
    result = run(
        INSTALL
        + """
import chromadb
from chromadb.utils.embedding_functions import SentenceTransformerEmbeddingFunction
client = chromadb.PersistentClient(sys.argv[1])
function = SentenceTransformerEmbeddingFunction(model_name=sys.argv[2])
collection = client.create_collection("texts", embedding_function=function)
collection.add(ids=["0", "1", "2"], documents=sys.argv[3:])
again = chromadb.PersistentClient(sys.argv[1]).get_collection("texts")
result = {"ids": again.query(query_texts=sys.argv[4:5], n_results=1)["ids"],
          "vectors": again.get(ids=["0", "1", "2"], include=["embeddings"])["embeddings"].tolist()}
""",
        tmp_path / "database",
        folder,
        *SENTENCES,
    )
    assert result["ids"] == [["1"]]
    np.testing.assert_allclose(result["vectors"], vectors, rtol=SCALED_AGAIN)


KEYWORDS = """
from keybert import KeyBERT
model = KeyBERT({model})
result = model.extract_keywords(sys.argv[2], top_n=30, stop_words=None)
"""


@pytest.mark.parametrize("model", ["SentenceTransformer(sys.argv[1])", "sys.argv[1]"])
def test_keybert(folder, model):
    need("keybert", "sklearn")
    text = "the cat is running . hello sunny world , a long day"
    result = run(INSTALL + "from sentence_transformers import SentenceTransformer\n" + KEYWORDS.format(model=model),
                 folder, text)  # fmt: skip
    encoder = filbert.SentenceEncoder(folder)
    words = ["cat", "day", "hello", "is", "long", "running", "sunny", "the", "world"]
    cosines = filbert.util.cos_sim(encoder.encode(text), encoder.encode(words))[0]
    # KeyBERT rounds to four places.
    assert dict(result) == pytest.approx(dict(zip(words, cosines.tolist(), strict=True)), abs=5.1e-5)


def test_bertopic(folder, vectors):
    need("bertopic", "hdbscan", "umap")
    result = run(
        INSTALL
        + """
from bertopic.backend._utils import select_backend
from sentence_transformers import SentenceTransformer
backend = select_backend(SentenceTransformer(sys.argv[1]))
result = [type(backend).__name__, backend.embed(sys.argv[2:]).tolist()]
""",
        folder,
        *SENTENCES,
    )
    assert result == ["SentenceTransformerBackend", vectors]


def test_a_reranker_of_llama_index(tmp_path):
    need("llama_index.core")
    folder = vocabulary_folder(tmp_path / "reranker")
    # LlamaIndex asks for pairs of 512 tokens of every model, and this has fewer positions.
    config = filbert.BertConfig(**{**checkpoints.TINY, "num_labels": 1, "max_position_embeddings": 64})
    filbert.BertForSequenceClassification(config, seed=1).save_pretrained(folder)
    result = run(
        INSTALL
        + """
from llama_index.core.postprocessor import SentenceTransformerRerank
from llama_index.core.schema import NodeWithScore, TextNode
nodes = [NodeWithScore(node=TextNode(text=text, id_=str(index))) for index, text in enumerate(sys.argv[2:])]
found = SentenceTransformerRerank(model=sys.argv[1], top_n=3, device="cpu").postprocess_nodes(nodes, query_str="a cat")
result = [[node.node.node_id, float(node.score)] for node in found]
""",
        folder,
        *SENTENCES,
    )
    scores = filbert.CrossEncoder(folder).predict([("a cat", text) for text in SENTENCES])
    order = np.argsort(-scores)
    assert result == [[str(index), float(scores[index])] for index in order]


def test_haystack(folder, vectors):
    need("haystack_integrations.components.embedders.sentence_transformers")
    result = run(
        INSTALL
        + """
from haystack import Document
from haystack.utils import ComponentDevice
from haystack_integrations.components.embedders.sentence_transformers import SentenceTransformersDocumentEmbedder
embedder = SentenceTransformersDocumentEmbedder(model=sys.argv[1], device=ComponentDevice.from_str("cpu"),
                                                progress_bar=False)
embedder.warm_up()
documents = embedder.run([Document(content=text) for text in sys.argv[2:]])["documents"]
result = [document.embedding for document in documents]
""",
        folder,
        *SENTENCES,
    )
    assert result == vectors


def test_lancedb(folder):
    need("lancedb")
    result = run(
        INSTALL
        + """
from lancedb.embeddings import get_registry
model = get_registry().get("sentence-transformers").create(name=sys.argv[1], device="cpu")
result = [vector if isinstance(vector, list) else vector.tolist() for vector in model.generate_embeddings(sys.argv[2:])]
""",
        folder,
        *SENTENCES,
    )
    assert result == filbert.SentenceEncoder(folder).encode(SENTENCES, normalize_embeddings=True).tolist()


def test_a_static_model_in_bertopic(tmp_path):
    need("bertopic", "hdbscan", "umap")
    folder = test_static.write(tmp_path / "static", {"embeddings": test_static.table()}, {"model_type": "model2vec"})
    texts = [" ".join(test_static.WORDS[5:7]), test_static.WORDS[8]]
    result = run(
        INSTALL
        + """
from bertopic.backend._sentencetransformers import SentenceTransformerBackend
result = SentenceTransformerBackend(sys.argv[1], model2vec=True).embed(sys.argv[2:]).tolist()
""",
        folder,
        *texts,
    )
    assert result == filbert.SentenceEncoder(folder).encode(texts).tolist()


def test_chonkie(folder):
    need("chonkie")
    result = run(
        INSTALL
        + """
from chonkie import LateChunker, SemanticChunker
from chonkie.embeddings import SentenceTransformerEmbeddings
from sentence_transformers import SentenceTransformer
model = SentenceTransformer(sys.argv[1])
chunkers = [kind(embedding_model=SentenceTransformerEmbeddings(model), chunk_size=16)
            for kind in (SemanticChunker, LateChunker)]
result = [[["".join(chunk.text for chunk in chunks), chunks[0].token_count > 1]
           for chunks in [chunker.chunk(sys.argv[2])]] for chunker in chunkers]
""",
        folder,
        "hello sunny world. the cat is running. a long day.",
    )
    assert result == [[["hello sunny world. the cat is running. a long day.", True]]] * 2
