"""The calls that programs make on a SentenceTransformer: beside sentence-transformers, and against stored values."""

import inspect
import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from habitual_calls import CALLS, NEED_TORCH, PROMPTS, TEXTS
from late_interaction import own_folder
from sparse_models import splade_folder
from text_models import minilm_folder, sentence_folder, vocabulary_folder, write_json

from filbert import InputError, MultiVectorEncoder, SentenceEncoder, SparseEncoder

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
STORED = json.loads((GOLDEN / "habits.json").read_text())
# Of vectors of length 1; torch itself is some 2e-7 off. Those of tokens are some 5 long.
TOLERANCE = 1e-6
OF_TOKENS = 5e-6


def flattened(value):
    sys.path.insert(0, str(GOLDEN))
    from make_habits import flattened

    return flattened(value)


def tolerance(name):
    return OF_TOKENS if "token" in name else TOLERANCE


@pytest.fixture
def encoder():
    return SentenceEncoder(minilm_folder(), prompts=PROMPTS)


@pytest.fixture(scope="module")
def library():
    return pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CALLS)
def test_stored_values(encoder, name):
    if name in NEED_TORCH:
        pytest.importorskip("torch", reason="torch is not installed")
    shapes, numbers = flattened(CALLS[name](encoder))
    assert shapes == STORED[name][0]
    np.testing.assert_allclose(numbers, STORED[name][1], rtol=1e-6, atol=tolerance(name))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CALLS)
def test_beside_sentence_transformers(encoder, library, name):
    theirs = library.SentenceTransformer(str(minilm_folder()), device="cpu", prompts=dict(PROMPTS))
    found, expected = CALLS[name](encoder), CALLS[name](theirs)
    for ours, other in zip(*(each if isinstance(each, list) else [each] for each in (found, expected)), strict=True):
        np.testing.assert_allclose(np.asarray(ours), np.asarray(other), rtol=1e-6, atol=tolerance(name))
        assert np.asarray(ours).shape == np.asarray(other).shape
    # The types are theirs too, but for tensors that nobody asked for.
    if name in NEED_TORCH[:4] or not type(expected).__module__.startswith("torch"):
        assert type(found) is type(expected)


def test_the_signature(library):
    classes = (SentenceEncoder, library.SentenceTransformer)
    ours, theirs = (inspect.signature(each.encode).parameters for each in classes)
    assert inspect.signature(SentenceEncoder.encode_query).parameters == ours
    for name, parameter in theirs.items():
        if name != "kwargs":
            assert (ours[name].default, ours[name].kind) == (parameter.default, parameter.kind), name
    assert [name for name in ours if name in theirs] == [name for name in theirs if name != "kwargs"]
    ours, theirs = (inspect.signature(each.__init__).parameters for each in classes)
    assert set(theirs) - set(ours) == {"modules", "use_auth_token"}


def test_a_similarity_function(library, tmp_path):
    encoder = SentenceEncoder(sentence_folder(tmp_path), similarity_fn_name=library.SimilarityFunction.DOT_PRODUCT)
    sparse = SparseEncoder(splade_folder(tmp_path / "sparse"))
    several = MultiVectorEncoder.from_pretrained(own_folder(tmp_path / "several"))
    sparse.similarity_fn_name = library.SimilarityFunction.COSINE
    several.similarity_fn_name = library.SimilarityFunction.MAXSIM
    names = [each.similarity_fn_name for each in (encoder, sparse, several)]
    assert names == ["dot", "cosine", "maxsim"]


def test_an_evaluator(encoder, library):
    """It passes precision=None and leaves its results in model_card_data."""
    evaluation = pytest.importorskip("sentence_transformers.evaluation")
    evaluator = evaluation.EmbeddingSimilarityEvaluator(TEXTS[:3], TEXTS[1:], [0.1, 0.5, 0.2], write_csv=False)
    theirs = library.SentenceTransformer(str(minilm_folder()), device="cpu")
    found, expected = evaluator(SentenceEncoder(minilm_folder())), evaluator(theirs)
    assert found == pytest.approx(expected, abs=1e-5)
    assert evaluator(encoder)
    assert encoder.model_card_data.evaluations[0][1].keys() == found.keys()


def test_what_mteb_reads(encoder):
    card = encoder.model_card_data
    assert (card.model_name, card.base_model, card.base_model_revision) == (None, None, None)


def test_an_evaluator_of_retrieval(library):
    """It takes the largest of `similarity` with PyTorch."""
    evaluation = pytest.importorskip("sentence_transformers.evaluation")
    evaluator = evaluation.InformationRetrievalEvaluator(
        {"q": TEXTS[0]}, dict(zip("abc", TEXTS[1:], strict=True)), {"q": {"b"}}, write_csv=False
    )
    theirs = library.SentenceTransformer(str(minilm_folder()), device="cpu")
    assert evaluator(SentenceEncoder(minilm_folder())) == pytest.approx(evaluator(theirs), abs=1e-5)


def test_similarities_of_tensors(tmp_path):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    encoder = SentenceEncoder(sentence_folder(tmp_path / "dense"))
    sparse = SparseEncoder(splade_folder(tmp_path / "sparse"))
    several = MultiVectorEncoder.from_pretrained(own_folder(tmp_path / "several"))
    for model in (encoder, sparse, several):
        arrays, tensors = model.encode(TEXTS), model.encode(TEXTS, convert_to_tensor=True)
        for score in (model.similarity, model.similarity_pairwise):
            expected = score(arrays, arrays)
            assert type(expected) is np.ndarray
            for pair in ((tensors, tensors), (arrays, tensors), (list(tensors), arrays)):
                assert torch.equal(score(*pair), torch.from_numpy(expected))
    vector = encoder.encode(TEXTS[0], convert_to_tensor=True)
    assert encoder.similarity_pairwise(vector, vector).shape == torch.Size([])


def test_prompts(tmp_path):
    settings = {"prompts": {"passage": "the ", "query": "a "}}
    encoder = SentenceEncoder(sentence_folder(tmp_path, settings=settings), prompts={"passage": "dog ", "more": None})
    assert encoder.prompts == {"query": "a ", "document": "", "passage": "dog ", "more": ""}
    assert encoder.encode_query("cat").tobytes() == encoder.encode("a cat").tobytes()
    assert encoder.encode_query("cat", prompt="the ").tobytes() == encoder.encode("the cat").tobytes()
    assert encoder.encode_query("cat", "passage").tobytes() == encoder.encode("dog cat").tobytes()
    assert encoder.encode_document("cat").tobytes() == encoder.encode("cat").tobytes()
    encoder.default_prompt_name = "passage"
    assert encoder.encode("cat").tobytes() == encoder.encode("dog cat", prompt="").tobytes()
    assert encoder.encode_document("cat").tobytes() == encoder.encode("cat", prompt="").tobytes()
    kept = SentenceEncoder(tmp_path, prompts={"passage": "", "query": None})
    assert kept.prompts == {"query": "a ", "document": "", "passage": ""}, "None is no prompt in the place of one"
    del encoder.prompts["document"]
    assert encoder.encode_document(["cat"]).tobytes() == encoder.encode("dog cat", prompt="").tobytes()


@pytest.mark.parametrize(
    "opened",
    [
        lambda path: SentenceEncoder(sentence_folder(path)).encode,
        lambda path: SparseEncoder(splade_folder(path)).encode,
        lambda path: MultiVectorEncoder(own_folder(path)).encode,
    ],
)
@pytest.mark.parametrize("prompt", [3, ["a "]])
def test_a_prompt_that_is_no_text(tmp_path, opened, prompt):
    with pytest.raises(InputError, match=r"prompt 0: found .*, expected a string"):
        opened(tmp_path)(TEXTS, prompt=prompt)


def test_texts_that_are_cut_are_told_of_once(tmp_path):
    encoder = SentenceEncoder(sentence_folder(tmp_path))
    texts = ["hello", "hello " * 30, "hello " * 14, "cat " * 15]
    with pytest.warns(UserWarning, match="2 of 4 texts have more than 16 tokens and were cut.*num_truncated") as found:
        encoder.encode(texts)
    assert [Path(warning.filename).name for warning in found] == [Path(__file__).name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoder.encode(texts[1])
        encoder.encode(texts, on_truncate="ignore", output_value="token_embeddings")
        encoder.encode([("hello " * 8, "hello " * 5), ("hello " * 8, "hello " * 6)])
    assert encoder.num_truncated == 2 + 1 + 2 + 1
    with pytest.raises(InputError, match="text 1: has more than 16 tokens"):
        encoder.encode(texts, on_truncate="raise")
    assert encoder.encode(texts[0], on_truncate="raise").shape == (32,)
    with pytest.raises(InputError, match="on_truncate: found 'cut'"):
        encoder.encode(texts, on_truncate="cut")


def test_token_vectors_and_where_tokens_stand(tmp_path):
    encoder = SentenceEncoder(sentence_folder(tmp_path))
    texts = ["the cat", "running dogs!", "hello " * 20]
    vectors, offsets = encoder.encode(texts, output_value="token_embeddings", return_offsets_mapping=True)
    assert offsets[0].tolist() == [[0, 0], [0, 3], [4, 7], [0, 0]]
    for text, rows, places in zip(texts, vectors, offsets, strict=True):
        assert len(rows) == len(places) <= 16
        tokens = encoder.tokenizer.tokenize(text)
        for (begin, end), token in zip(places[1:-1], tokens, strict=False):
            assert text[begin:end] == token.removeprefix("##")
    prompted = encoder.encode("the cat", prompt="a dog ", output_value=None, return_offsets_mapping=True)
    assert prompted["offset_mapping"].tolist() == [[0, 0], [0, 0], [0, 0], [0, 3], [4, 7], [0, 0]]
    assert encoder.tokenizer.decode(prompted["input_ids"]) == "[CLS] a dog the cat [SEP]"
    with_offsets = encoder.encode("the cat", output_value="token_embeddings", return_offsets_mapping=True)
    assert with_offsets[0].tobytes() == vectors[0].tobytes()
    pair = encoder.encode(("the cat", "a dog"), output_value="token_embeddings", return_offsets_mapping=True)
    assert len(pair) == 2, "a tuple is two texts"
    _, (places,) = encoder.encode(
        [("the cat", "a dog")], None, "hello ", output_value="token_embeddings", return_offsets_mapping=True
    )
    assert places.tolist() == [[0, 0], [0, 0], [0, 3], [4, 7], [0, 0], [0, 1], [2, 5], [0, 0]]


def test_what_is_refused(tmp_path):
    folder = sentence_folder(tmp_path)
    encoder = SentenceEncoder(folder)
    for arguments, message in (
        ({"output_value": "logits"}, "output_value: found 'logits'"),
        ({"device": ["cpu", "cuda:1"]}, "device: found 'cuda:1', the model is on 'cpu'"),
        ({"task": "query"}, None),
    ):
        if message is None:
            encoder.encode("hello", **arguments)
            continue
        with pytest.raises(InputError, match=message):
            encoder.encode("hello", **arguments)
    with pytest.raises(InputError, match="similarity_fn_name: found 'maxsim'"):
        encoder.similarity_fn_name = "maxsim"
    with pytest.raises(InputError, match="backend: found 'onnx'"):
        SentenceEncoder(folder, backend="onnx")
    with pytest.raises(InputError, match="device_map: found 'auto'"):
        SentenceEncoder(folder, model_kwargs={"device_map": "auto"})
    with pytest.raises(InputError, match="device: found 'cuda:0'"):
        encoder.start_multi_process_pool(["cuda:0"])
    with pytest.raises(TypeError, match="got both 'inputs' and 'sentences'"):
        encoder.encode(inputs="a", sentences="b")
    with pytest.raises(AttributeError, match="the layers live in C"):
        encoder.parameters()
    with pytest.raises(InputError, match="found shapes"):
        encoder.similarity_pairwise(encoder.encode(["a", "b"]), encoder.encode(["a"]))


def test_model_kwargs(tmp_path):
    folder = sentence_folder(tmp_path)
    options = {"dtype": "bfloat16", "num_threads": 1, "attn_implementation": "sdpa", "low_cpu_mem_usage": True}
    encoder = SentenceEncoder(folder, model_kwargs=options, trust_remote_code=True)
    assert (encoder.dtype, encoder.model.num_threads) == ("bfloat16", 1)
    assert SentenceEncoder(folder, model_kwargs={"torch_dtype": "float32"}).dtype == "float32"
    assert SentenceEncoder(folder, tokenizer_kwargs={"model_max_length": 6}).max_seq_length == 6
    assert SentenceEncoder(folder, config_kwargs={"hidden_act": "relu"}).model.config.hidden_act == "relu"


def test_everything_is_cut_to_truncate_dim(tmp_path):
    encoder = SentenceEncoder(sentence_folder(tmp_path), truncate_dim=9)
    found = encoder.encode("the cat", output_value=None)["sentence_embedding"]
    assert found == pytest.approx(encoder.encode("the cat"), abs=1e-6)
    assert encoder.encode("the cat", output_value=None, truncate_dim=4)["sentence_embedding"].shape == (4,)


def test_older_arguments_by_place(tmp_path):
    encoder = SentenceEncoder(sentence_folder(tmp_path))
    pool = encoder.start_multi_process_pool()
    with pytest.warns(DeprecationWarning, match="older name"):
        found = encoder.encode_multi_process(TEXTS, pool, None, "a ", 8, 100, False, "float32", True, 5)
    expected = encoder.encode(TEXTS, prompt="a ", normalize_embeddings=True, truncate_dim=5)
    assert found.tobytes() == expected.tobytes()
    assert encoder.encode_query("a", task="document").shape == (32,)


def test_a_table_has_no_vectors_of_tokens(tmp_path):
    from safetensors.numpy import save_file

    folder = vocabulary_folder(tmp_path)
    whole = SentenceEncoder(sentence_folder(tmp_path / "whole"))
    whole.tokenizer.save_pretrained(folder)
    save_file({"embedding.weight": np.ones((40, 8), np.float32)}, folder / "model.safetensors")
    write_json(folder / "modules.json", [{"path": "", "type": "sentence_transformers.models.StaticEmbedding"}])
    encoder = SentenceEncoder(folder)
    with pytest.raises(InputError, match="a table of vectors has vectors of texts only"):
        encoder.encode("hello", output_value="token_embeddings")
    with pytest.raises(InputError, match="takes no pairs"):
        encoder.encode([("hello", "world")])
    assert encoder(encoder.tokenize(["hello world"]))["sentence_embedding"].tolist() == [[1.0] * 8]
