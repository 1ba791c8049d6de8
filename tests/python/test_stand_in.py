"""filbert.install_as_sentence_transformers(): what programs find then, each in a process of its own."""

import copy
import pickle
import sys

import numpy as np
import pytest
from hosts import need, run
from late_interaction import own_folder
from test_static import WIDTH, WORDS, module, write
from text_models import SENTENCES, sentence_folder

import filbert
from filbert.errors import ConfigError, InputError
from filbert.stand_in import sentence_transformers as classes
from filbert.stand_in.names import MODULES, PACKAGE
from filbert.stand_in.organizations import full_name

INSTALL = "import filbert\nfilbert.install_as_sentence_transformers()\n"


@pytest.fixture
def folder(tmp_path):
    return sentence_folder(tmp_path / "model")


@pytest.mark.parametrize("name", MODULES)
def test_every_name_is_where_it_is_said_to_be(name):
    result = run(
        INSTALL
        + f"""
import importlib
module = importlib.import_module({name!r})
result = {{name: str(getattr(module, name)) for name in module.__all__}}
namespace = {{}}
exec("from {name} import *", namespace)
assert set(result) <= set(namespace)
assert set(result) <= set(dir(module))
"""
    )
    assert set(result) == set(MODULES[name])


def test_the_names_are_those_of_the_library():
    need("sentence_transformers")
    result = run(
        f"""
import importlib, warnings
warnings.simplefilter("ignore")
result = [f"{{module}}.{{name}}" for module, names in {MODULES!r}.items() for name in names
          if not hasattr(importlib.import_module(module), name)]
"""
    )
    assert result == []


def test_encoding_as_programs_write_it(folder):
    result = run(
        INSTALL
        + """
import importlib.metadata, importlib.util, sentence_transformers
from sentence_transformers import SentenceTransformer, SimilarityFunction, quantize_embeddings, util
from sentence_transformers.SentenceTransformer import SentenceTransformer as Older
from sentence_transformers.util import cos_sim
import sentence_transformers.SentenceTransformer
filbert.install_as_sentence_transformers()
model = SentenceTransformer(sys.argv[1], similarity_fn_name=SimilarityFunction.DOT_PRODUCT)
vectors = model.encode(sys.argv[2:], normalize_embeddings=True)
result = {
    "vectors": vectors.tolist(),
    "cosines": util.cos_sim(vectors, vectors).tolist(),
    "similarity": model.similarity(vectors, vectors).tolist(),
    "bits": quantize_embeddings(vectors, "ubinary").tolist(),
    "type": str(type(model)),
    "is_one": Older is SentenceTransformer is sentence_transformers.SentenceTransformer and isinstance(model, Older),
    "is_encoder": isinstance(model, filbert.SentenceEncoder),
    "version": [sentence_transformers.__version__, importlib.metadata.version("sentence-transformers")],
    "spec": importlib.util.find_spec("sentence_transformers").name,
    "torch": "torch" in sys.modules,
}
""",
        folder,
        *SENTENCES,
    )
    vectors = filbert.SentenceEncoder(folder).encode(SENTENCES, normalize_embeddings=True)
    cosines = filbert.util.cos_sim(vectors, vectors)
    assert result.pop("cosines") == cosines.tolist()
    assert np.array(result.pop("similarity")) == pytest.approx(cosines, abs=1e-6)
    assert "sentence_transformers" in result.pop("type")
    assert result == {
        "vectors": vectors.tolist(),
        "bits": np.packbits(vectors > 0, axis=-1).tolist(),
        "is_one": True,
        "is_encoder": True,
        "version": ["6.2.0+filbert"] * 2,
        "spec": PACKAGE,
        "torch": False,
    }


def test_what_is_pickled_there_is_read_without_it(folder, tmp_path):
    run(
        INSTALL
        + """
import pickle
from sentence_transformers import SentenceTransformer
model = SentenceTransformer(sys.argv[1])
assert type(pickle.loads(pickle.dumps(model))) is SentenceTransformer
result = open(sys.argv[2], "wb").write(pickle.dumps(model))
""",
        folder,
        tmp_path / "model.pickle",
    )
    model = pickle.loads((tmp_path / "model.pickle").read_bytes())
    assert PACKAGE not in sys.modules or sys.modules[PACKAGE].__spec__.origin != "filbert"
    np.testing.assert_array_equal(model.encode(SENTENCES), filbert.SentenceEncoder(folder).encode(SENTENCES))


@pytest.mark.parametrize(
    ("statement", "kind", "missing"),
    [
        ("from sentence_transformers import losses", "ModuleNotFoundError", "sentence_transformers.losses"),
        ("from sentence_transformers import InputExample", "ModuleNotFoundError", "sentence_transformers.InputExample"),
        ("import sentence_transformers.evaluation", "ModuleNotFoundError", "sentence_transformers.evaluation"),
        (
            "from sentence_transformers.util import mine_hard_negatives",
            "ModuleNotFoundError",
            "sentence_transformers.util.mine_hard_negatives",
        ),
        ("import sentence_transformers as s; s.SentenceTransformerTrainer", "AttributeError", "SentenceTransformerTr"),
    ],
)
def test_a_name_that_is_missing_says_what_to_do(statement, kind, missing):
    kind_found, message = run(
        INSTALL
        + f"""
try:
    exec({statement!r})
except Exception as error:
    result = [type(error).__name__, str(error)]
"""
    )
    assert kind_found == kind
    assert f"has no '{missing}" in message
    assert "pip install sentence-transformers" in message


def test_what_goes_wrong_in_an_import_is_told():
    kind, message, cause = run(
        INSTALL
        + """
import types
sys.modules |= {name: types.ModuleType(name) for name in ("numpy", "numpy.typing")}
try:
    from sentence_transformers import SentenceTransformer
    result = str(type(SentenceTransformer))
except ImportError as error:
    result = [type(error).__name__, str(error), type(error.__cause__).__name__]
"""
    )
    assert (kind, cause) == ("ImportError", "AttributeError")
    assert message.startswith("sentence_transformers.SentenceTransformer: module 'numpy")


def test_tokenizers_have_a_name_that_programs_know(folder):
    model = classes.SentenceTransformer(folder)
    for each in (model, pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert "transformers" in str(type(each.tokenizer))
        assert each.tokenizer("a cat") == model.tokenizer("a cat")


def test_what_programs_ask_a_module_about():
    assert run(
        INSTALL
        + """
import inspect, sentence_transformers
result = [hasattr(sentence_transformers, "no_such_name"), getattr(sentence_transformers, "__file__", None),
          inspect.getmodule(json.dumps).__name__, filbert.util.cos_sim is sentence_transformers.util.cos_sim]
"""
    ) == [False, None, "json", True]


def test_the_library_is_not_replaced_once_it_is_there():
    message = run(
        """
import types, filbert
sys.modules["sentence_transformers"] = there = types.ModuleType("sentence_transformers")
there.__file__ = "/somewhere/__init__.py"
try:
    filbert.install_as_sentence_transformers()
except RuntimeError as error:
    result = str(error)
assert sys.modules["sentence_transformers"] is there and len(sys.meta_path) < 9
"""
    )
    assert "has been imported already, from /somewhere/__init__.py: call" in message


def test_installing_loads_nothing_heavy():
    assert run(f"{INSTALL}result = [name for name in ('numpy', 'torch', 'tokenizers') if name in sys.modules]") == []


def test_names_without_an_organization(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    for name, expected in [
        ("all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"),
        ("bert-base-nli-mean-tokens", "sentence-transformers/bert-base-nli-mean-tokens"),
        ("bert-base-uncased", "bert-base-uncased"),
        ("BAAI/bge-small-en", "BAAI/bge-small-en"),
        ("mine", "mine"),
        (tmp_path, tmp_path),
        ("", ""),
    ]:
        assert full_name(name, "sentence-transformers") == expected


@pytest.mark.parametrize(
    ("kind", "organization"),
    [("SentenceTransformer", "sentence-transformers"), ("CrossEncoder", "cross-encoder"),
     ("SparseEncoder", "sparse-encoder")],
)  # fmt: skip
def test_each_class_has_its_organization(kind, organization):
    with pytest.raises(OSError, match=f"{organization}/nothing-of-this-name"):
        getattr(classes, kind)("nothing-of-this-name", local_files_only=True)


def test_modules_in_the_place_of_a_name(folder, tmp_path):
    table = np.random.default_rng(0).standard_normal((len(WORDS), WIDTH)).astype(np.float32)
    listed = [module(0, "StaticEmbedding", "."), module(1, "Normalize", "1_Normalize")]
    config = {"model_type": "model2vec", "hidden_dim": WIDTH, "normalize": True, "max_length": None}
    files = write(tmp_path / "static", {"embeddings": table}, config, listed)
    static = classes.StaticEmbedding.from_model2vec(files)
    model = classes.SentenceTransformer(modules=[static])
    vector = model.encode("a dog")
    np.testing.assert_allclose(vector, table[[WORDS.index("a"), WORDS.index("dog")]].mean(0), atol=1e-6)
    assert pickle.loads(pickle.dumps(model)).encode("a dog").tobytes() == vector.tobytes()
    model.save_pretrained(tmp_path / "saved")
    assert classes.SentenceTransformer(tmp_path / "saved").encode("a dog").tobytes() == vector.tobytes()
    assert np.linalg.norm(classes.SentenceTransformer(files).encode("a dog")) == pytest.approx(1, abs=1e-6)
    with pytest.raises(ConfigError, match="found Transformer, expected a table of vectors"):
        classes.SentenceTransformer(modules=[classes.StaticEmbedding.from_model2vec(folder)])
    for arguments in ({}, {"modules": []}, {"modules": [static, static]}, {"modules": [object()]}):
        with pytest.raises(InputError, match="expected a folder or a hub id"):
            classes.SentenceTransformer(**arguments)


LATE = """
import pickle
from sentence_transformers import MultiVectorEncoder, SimilarityFunction
model = MultiVectorEncoder(sys.argv[1], device="cpu", model_kwargs={"torch_dtype": "float32", "num_threads": 1},
                           prompts={"query": "a "}, similarity_fn_name=SimilarityFunction.MEAN_MAXSIM)
again = pickle.loads(pickle.dumps(model))
assert type(again) is type(model) is MultiVectorEncoder and again.model.num_threads == 1
open(sys.argv[2], "wb").write(pickle.dumps(model))
queries, documents = again.encode_query(sys.argv[3:]), again.encode_document(sys.argv[3:])
result = [[rows.tolist() for rows in queries], again.similarity(queries, documents).tolist()]
"""


def test_late_interaction_by_name_and_pickled(tmp_path):
    folder = own_folder(tmp_path / "model")
    queries, scores = run(INSTALL + LATE, folder, tmp_path / "pickle", *SENTENCES)
    encoder = filbert.MultiVectorEncoder.from_pretrained(folder)
    encoder.prompts["query"], encoder.similarity_fn_name = "a ", "meanmaxsim"
    expected = encoder.encode_query(SENTENCES)
    assert queries == [rows.tolist() for rows in expected]
    assert scores == encoder.similarity(expected, encoder.encode_document(SENTENCES)).tolist()
    again = pickle.loads((tmp_path / "pickle").read_bytes())
    assert [rows.tolist() for rows in again.encode_query(SENTENCES)] == queries


def test_a_table_beside_sentence_transformers(tmp_path):
    need("sentence_transformers", "model2vec")
    table = np.random.default_rng(0).standard_normal((len(WORDS), WIDTH)).astype(np.float32)
    files = write(tmp_path, {"embeddings": table}, {"model_type": "model2vec", "hidden_dim": WIDTH, "normalize": True})
    expected = run(
        """
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import StaticEmbedding
model = SentenceTransformer(modules=[StaticEmbedding.from_model2vec(sys.argv[1])], device="cpu")
result = model.encode(sys.argv[2:]).tolist()
""",
        files,
        "a dog",
        "in spain it rains",
    )
    model = classes.SentenceTransformer(modules=[classes.StaticEmbedding.from_model2vec(files)])
    assert model.encode(["a dog", "in spain it rains"]) == pytest.approx(np.array(expected), abs=1e-6)


def test_late_interaction_takes_the_files_as_they_are(tmp_path):
    folder = own_folder(tmp_path / "model")
    model = classes.MultiVectorEncoder(folder, default_prompt_name="document", config_kwargs={})
    assert (model.default_prompt_name, model.similarity_fn_name, model.device) == ("document", "maxsim", "cpu")
    prompted = own_folder(tmp_path / "prompted", settings={"prompts": {"query": "a ", "document": "the "}})
    given = classes.MultiVectorEncoder(prompted, prompts={"query": None, "document": ""}).prompts
    assert given == {"query": "a ", "document": ""}, "None is no prompt to put in the place of one"
    for options, error, message in (
        ({"processor_kwargs": {"model_max_length": 9}}, InputError, "processor_kwargs: found model_max_length: of"),
        ({"config_kwargs": {"num_hidden_layers": 1}}, InputError, "config_kwargs: found num_hidden_layers: of"),
        ({"backend": "onnx"}, InputError, "backend: found 'onnx', expected 'torch'"),
        ({"default_prompt_name": "x"}, ConfigError, "default_prompt_name: found 'x', which is none of the prompts"),
        ({"similarity_fn_name": "cosine"}, InputError, "similarity_fn_name: found 'cosine', expected one of"),
    ):
        with pytest.raises(error, match=message):
            classes.MultiVectorEncoder(folder, **options)
    with pytest.raises(OSError, match="nothing-of-this-name") as raised:
        classes.MultiVectorEncoder("nothing-of-this-name", local_files_only=True)
    assert "/nothing-of-this-name" not in str(raised.value)
