"""Models of late interaction that filbert saves: loaded by filbert and by sentence-transformers, the same vectors."""

import json
import string

import numpy as np
import pytest
import test_multi_vector_parity
from failing_saves import check_failing_save
from late_interaction import FORMATS, WIDTH, own_folder, pylate_folder, random_texts, stanford_folder, write_dense
from test_multi_vector_parity import FIXED, METHODS, TOLERANCE, assert_equal
from text_models import write_json

from filbert import DeviceError, MultiVectorEncoder

reference = test_multi_vector_parity.reference  # the fixture
TEXTS = random_texts(120)
SETTINGS = ("prompts", "default_prompt_name", "similarity_fn_name", "max_seq_length", "query_length", "document_length")


def saved(encoder, folder):
    """The model once more, from what it writes."""
    encoder.save_pretrained(folder)
    return MultiVectorEncoder.from_pretrained(folder)


def same(ours, twin):
    for method in METHODS:
        pairs = zip(getattr(ours, method)(TEXTS), getattr(twin, method)(TEXTS), strict=True)
        assert all(rows.tobytes() == other.tobytes() for rows, other in pairs)
    for name in SETTINGS:
        assert getattr(ours, name) == getattr(twin, name)


def beside(folder, ours, reference):
    theirs = reference(folder)
    for method in METHODS:
        assert_equal(getattr(ours, method)(TEXTS), getattr(theirs, method)(TEXTS, convert_to_numpy=True))
    for name in ("prompts", "default_prompt_name", "similarity_fn_name"):
        assert getattr(ours, name) == getattr(theirs, name)
    return theirs


def kinds(folder):
    return [module["type"].rsplit(".", 1)[1] for module in json.loads((folder / "modules.json").read_text())]


@pytest.mark.parametrize("attend", [True, False], ids=["attended", "unattended"])
@pytest.mark.parametrize("into", ["its own folder", "another"])
@pytest.mark.parametrize("name", FORMATS)
def test_formats(tmp_path, reference, name, into, attend):
    """All become that of sentence-transformers 6."""
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
    ours = MultiVectorEncoder(folder)
    place = folder if into == "its own folder" else tmp_path / "saved"
    twin = saved(ours, place)
    same(ours, twin)
    beside(place, ours, reference)
    assert kinds(place) == ["Transformer", "Dense", "MultiVectorMask", "Normalize"]
    assert not list(place.rglob(".*"))
    same(ours, saved(twin, tmp_path / "again"))
    beside(tmp_path / "again", ours, reference)


def test_a_prefix_that_is_no_token(tmp_path, reference):
    ours = MultiVectorEncoder(pylate_folder(tmp_path / "model", {"skiplist_words": ...}, markers=False))
    same(ours, saved(ours, tmp_path / "saved"))
    beside(tmp_path / "saved", ours, reference)


@pytest.mark.parametrize("name", test_multi_vector_parity.SETTINGS)
def test_settings_of_files(tmp_path, reference, name):
    ours = MultiVectorEncoder(own_folder(tmp_path / "model", *test_multi_vector_parity.SETTINGS[name]))
    same(ours, saved(ours, tmp_path / "saved"))
    beside(tmp_path / "saved", ours, reference)


@pytest.mark.parametrize("modules", [(), ("Normalize",), ("Dense",), ("Dense", "Normalize"), ("Normalize", "Dense")])
def test_modules(tmp_path, reference, modules):
    settings = {"query_expansion": FIXED | {"attend": False}}
    ours = MultiVectorEncoder(own_folder(tmp_path / "model", settings, modules=modules))
    same(ours, saved(ours, tmp_path / "saved"))
    beside(tmp_path / "saved", ours, reference)
    assert kinds(tmp_path / "saved") == ["Transformer", *modules]


def test_a_projection_with_everything(tmp_path, reference):
    folder = own_folder(tmp_path / "model", modules=("Dense", "Dense", "Normalize"))
    names = {"module_input_name": "token_embeddings", "module_output_name": "token_embeddings"}
    rng = np.random.default_rng(0)
    tensors = {"linear.weight": (12, WIDTH), "linear.bias": (12,), "residual.weight": (12, WIDTH)}
    tensors = {key: rng.standard_normal(shape).astype(np.float32) for key, shape in tensors.items()}
    tanh = "torch.nn.modules.activation.Tanh"
    write_dense(folder / "2_Dense", tensors, activation_function=tanh, use_residual=True, **names)
    ours = MultiVectorEncoder(folder)
    assert ours.get_embedding_dimension() == 12
    same(ours, saved(ours, tmp_path / "saved"))
    beside(tmp_path / "saved", ours, reference)


def test_settings_that_were_changed(tmp_path, reference):
    folder = stanford_folder(tmp_path / "model")
    ours = MultiVectorEncoder(folder)
    ours.prompts["more"] = "The cat "
    ours.default_prompt_name = "more"
    ours.similarity_fn_name = "meanmaxsim"
    ours.max_seq_length = 13
    same(ours, saved(ours, folder))
    theirs = beside(folder, ours, reference)
    assert theirs.max_seq_length == 13


def test_a_sentence_model_with_a_projection(tmp_path, reference):
    """Its Dense is for vectors of texts, until filbert or sentence-transformers takes it for those of tokens."""
    folder = own_folder(tmp_path / "model", modules=("Dense",))
    write_dense(folder / "1_Dense")
    write_json(folder / "config_sentence_transformers.json", {"model_type": "SentenceTransformer"})
    ours = MultiVectorEncoder(folder)
    same(ours, saved(ours, tmp_path / "saved"))
    beside(tmp_path / "saved", ours, reference)


def test_parts(tmp_path, reference):
    encoder = MultiVectorEncoder(own_folder(tmp_path / "model"))
    plain = MultiVectorEncoder(encoder.model, encoder.tokenizer)
    same(plain, saved(plain, tmp_path / "saved"))
    beside(tmp_path / "saved", plain, reference)


@pytest.mark.parametrize("failing", range(1, 11))
def test_a_failing_save_leaves_the_old_files(tmp_path, monkeypatch, failing):
    """Those of Stanford, where a new file of the encoder without the others would be a loss."""
    folder = stanford_folder(tmp_path / "model")
    encoder = MultiVectorEncoder(folder)
    check_failing_save(monkeypatch, encoder, folder, failing)


def test_keywords_of_saving(tmp_path):
    encoder = MultiVectorEncoder(own_folder(tmp_path / "model"))
    encoder.save(tmp_path / "saved", "name", create_model_card=False, train_datasets=["a"], safe_serialization=True)
    same(encoder, MultiVectorEncoder(tmp_path / "saved"))
    with pytest.raises(TypeError, match="push"):
        encoder.save_pretrained(tmp_path / "saved", push=True)


def test_moving(tmp_path):
    encoder = MultiVectorEncoder(own_folder(tmp_path / "model"))
    before = encoder.encode_query(TEXTS[8])
    assert encoder.to("cpu").to(dtype="bfloat16").eval() is encoder
    assert encoder.model.dtype == "bfloat16"
    assert encoder.encode_query(TEXTS[8]).tobytes() != before.tobytes()
    assert encoder.float().encode_query(TEXTS[8], device="cpu").tobytes() == before.tobytes()
    with pytest.raises(DeviceError):
        encoder.to(device="cuda:7")


def evaluators():
    from sentence_transformers.multi_vector_encoder import evaluation

    texts = [text for text in TEXTS if text.strip()]
    queries, documents = texts[:8], texts[8:40]
    named = [
        {f"{kind}{index}": text for index, text in enumerate(part)} for kind, part in (("q", queries), ("d", texts))
    ]
    relevant = {f"q{index}": {f"d{index + 8}", f"d{2 * index}"} for index in range(8)}
    samples = [{"query": query, "positive": documents[:3], "negative": documents[3:12]} for query in queries]
    quiet = {"write_csv": False}
    yield evaluation.MultiVectorInformationRetrievalEvaluator(*named, relevant, corpus_chunk_size=9, **quiet)
    for batched in (True, False):
        yield evaluation.MultiVectorRerankingEvaluator(samples, use_batched_encoding=batched, **quiet)
    nested, teacher = [documents[index : index + 4] for index in range(8)], [[3.0, 1.0, 2.0, 0.0]] * 8
    yield evaluation.MultiVectorDistillationEvaluator(queries, nested, teacher, **quiet)
    yield evaluation.MultiVectorDistillationEvaluator(queries, documents[:8], [float(i) for i in range(8)], **quiet)
    yield evaluation.MultiVectorTripletEvaluator(queries, documents[:8], documents[8:16], **quiet)


def test_evaluators_of_sentence_transformers(tmp_path, reference):
    folder = own_folder(tmp_path / "model", {"query_expansion": FIXED})
    ours, theirs = MultiVectorEncoder(folder), reference(folder)
    ours.convert_to_tensor = True
    found = [(evaluator(ours), evaluator(theirs)) for evaluator in evaluators()]
    assert len(found) == 6
    for metrics, expected in found:
        assert metrics.keys() == expected.keys()
        assert [*metrics.values()] == pytest.approx([*expected.values()], abs=TOLERANCE)
    assert len(ours.model_card_data.evaluations) == 6


def test_tensors_where_a_call_does_not_say(tmp_path, torch):
    encoder = MultiVectorEncoder(own_folder(tmp_path / "model"))
    assert type(encoder.encode("a")) is np.ndarray
    encoder.convert_to_tensor = True
    assert torch.is_tensor(encoder.encode("a"))
    for options in ({"convert_to_numpy": True}, {"convert_to_tensor": False}):
        assert type(encoder.encode_query(["a"], **options)[0]) is np.ndarray
