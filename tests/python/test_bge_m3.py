"""BGEM3Encoder: by formulas in NumPy, and beside transformers where that is installed."""

import json
import pickle
import random
import subprocess
import sys

import numpy as np
import pytest
import test_hub
import torch_files
from late_interaction import random_texts
from text_models import ODD_TEXTS, write_json
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from filbert import BGEM3Encoder, InputError, SentenceEncoder, WeightsError, XLMRobertaConfig, XLMRobertaModel
from filbert.sentence.dense import Dense

hub = test_hub.hub  # the fixture
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
PIECES = sorted({character for text in ODD_TEXTS for character in f"\u2581{text}" if character.isprintable()})
WORDS = ["\u2581the", "\u2581cat", "\u2581word", "ing", "un", "able", "\u2581hello", "day", "\u2581"]
VOCABULARY = [*SPECIAL, *dict.fromkeys([*WORDS, *PIECES]), "<mask>"]
HIDDEN, WIDTH = 32, 20
TEXTS = random_texts(240)
# Vectors of length 1 in float32, and weights of about 1.
TOLERANCE = 1e-5


def drawn(seed, *shape):
    return (np.random.default_rng(seed).standard_normal(shape) * 0.3).astype(np.float32)


SPARSE = {"weight": drawn(1, 1, HIDDEN), "bias": drawn(2, 1)}
COLBERT = {"weight": drawn(3, WIDTH, HIDDEN), "bias": drawn(4, WIDTH)}


def write_linear(path, tensors):
    """As torch.save does, without torch."""
    path.write_bytes(torch_files.zip_bytes(*torch_files.dense(tensors)))


def write_tokenizer(folder):
    """XLM-R's, with fewer pieces."""
    scores = [(token, 0.0 if token in SPECIAL else -1.0 - len(token) % 3) for token in VOCABULARY]
    backend = Tokenizer(models.Unigram(scores, unk_id=3))
    backend.normalizer = normalizers.NFKC()
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    backend.add_special_tokens([*SPECIAL, "<mask>"])
    backend.save(str(folder / "tokenizer.json"))
    roles = {"bos_token": "<s>", "cls_token": "<s>", "eos_token": "</s>", "sep_token": "</s>", "unk_token": "<unk>"}
    roles |= {"pad_token": "<pad>", "mask_token": "<mask>"}
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 60, **roles}
    write_json(folder / "tokenizer_config.json", settings)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """As BAAI/bge-m3 has it: a sentence-transformers model with two files beside it."""
    folder = tmp_path_factory.mktemp("bge") / "m3"
    sizes = {"vocab_size": len(VOCABULARY), "hidden_size": HIDDEN, "num_hidden_layers": 2, "num_attention_heads": 4}
    more = {"intermediate_size": 48, "max_position_embeddings": 80, "type_vocab_size": 1, "initializer_range": 0.2}
    XLMRobertaModel(XLMRobertaConfig(**sizes, **more), seed=0).save_pretrained(folder)
    write_tokenizer(folder)
    write_linear(folder / "sparse_linear.pt", SPARSE)
    write_linear(folder / "colbert_linear.pt", COLBERT)
    kinds = {"": "Transformer", "1_Pooling": "Pooling", "2_Normalize": "Normalize"}
    modules = [
        {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for index, (path, kind) in enumerate(kinds.items())
    ]
    write_json(folder / "modules.json", modules)
    write_json(folder / "1_Pooling" / "config.json", {"embedding_dimension": HIDDEN, "pooling_mode": "cls"})
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 60, "do_lower_case": False})
    return folder


@pytest.fixture(scope="module")
def encoder(folder):
    return BGEM3Encoder.from_pretrained(folder)


@pytest.fixture(scope="module")
def everything(encoder):
    return encoder.encode(TEXTS, return_dense=True, return_sparse=True, return_colbert_vecs=True)


def unit(rows):
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)


def assert_weights(found, expected):
    """The same words, but for weights so small that rounding decides about them."""
    for key in {*found, *expected}:
        assert found.get(key, 0) == pytest.approx(expected.get(key, 0), abs=TOLERANCE)
        assert key in expected or found[key] < TOLERANCE


def weights_by_formula(ids, hidden):
    values = np.maximum(hidden @ SPARSE["weight"][0] + SPARSE["bias"][0], 0)
    largest = {}
    for index, value in zip(ids, values, strict=True):
        if index not in (0, 1, 2, 3) and value > 0:
            largest[str(index)] = max(largest.get(str(index), 0), float(value))
    return largest


def test_by_name_and_from_parts(folder, encoder):
    texts = TEXTS[:20]
    expected = encoder.encode(texts)["dense_vecs"].tobytes()
    for name in (folder, str(folder)):
        found = BGEM3Encoder(name, num_threads=1)
        assert found.encode(texts)["dense_vecs"].tobytes() == expected
        assert (found.device, found.model.num_threads) == ("cpu", 1)
    assert pickle.loads(pickle.dumps(found)).encode(texts)["dense_vecs"].tobytes() == expected
    model, tokenizer = encoder.model, encoder.tokenizer
    parts = Dense(**SPARSE), Dense(**COLBERT)
    found = BGEM3Encoder(model, tokenizer, *parts).encode(texts, return_sparse=True)
    assert found["dense_vecs"].tobytes() == expected
    assert found["lexical_weights"] == encoder.encode(texts, return_sparse=True)["lexical_weights"]
    for arguments, options in (
        ((folder, tokenizer), {}),
        ((model, tokenizer, parts[0]), {}),
        ((model, tokenizer, *parts), {"device": "cpu"}),
    ):
        with pytest.raises(TypeError, match="expected a name and keywords for it, or a model and its parts"):
            BGEM3Encoder(*arguments, **options)


def test_by_formula(encoder, everything):
    for number in (0, 4, 7, 60, 150, 239):
        ids = encoder.tokenizer(TEXTS[number], truncation=True)["input_ids"]
        hidden = encoder.model([ids]).last_hidden_state[0]
        assert everything["dense_vecs"][number] == pytest.approx(unit(hidden[0]), abs=1e-6)
        assert_weights(everything["lexical_weights"][number], weights_by_formula(ids, hidden))
        expected = unit(hidden[1:] @ COLBERT["weight"].T + COLBERT["bias"])
        assert everything["colbert_vecs"][number] == pytest.approx(expected, abs=1e-6)


def test_beside_transformers(folder, tmp_path, torch, transformers):
    """By the formulas of FlagEmbedding's BGEM3FlagModel, in PyTorch on padded batches, of files that it wrote."""
    folder = copied(folder, tmp_path / "m3")
    sparse, colbert = (
        {key: torch.from_numpy(tensor) for key, tensor in tensors.items()} for tensors in (SPARSE, COLBERT)
    )
    torch.save(sparse, folder / "sparse_linear.pt")
    torch.save(colbert, folder / "colbert_linear.pt")
    everything = BGEM3Encoder.from_pretrained(folder).encode(TEXTS, return_sparse=True, return_colbert_vecs=True)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    linear = torch.nn.functional.linear
    unused = {tokenizer.cls_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.unk_token_id}
    assert unused == {0, 1, 2, 3}
    words = 0
    for start in range(0, len(TEXTS), 32):
        batch = tokenizer(TEXTS[start : start + 32], padding=True, truncation=True, max_length=60, return_tensors="pt")
        with torch.no_grad():
            hidden = model(**batch).last_hidden_state
            dense = torch.nn.functional.normalize(hidden[:, 0], dim=-1)
            weights = torch.relu(linear(hidden, sparse["weight"], sparse["bias"])).squeeze(-1)
            vectors = linear(hidden[:, 1:], colbert["weight"], colbert["bias"])
            vectors = torch.nn.functional.normalize(vectors * batch["attention_mask"][:, 1:, None], dim=-1)
        for row, ids in enumerate(batch["input_ids"].tolist()):
            number, length = start + row, int(batch["attention_mask"][row].sum())
            assert everything["dense_vecs"][number] == pytest.approx(dense[row].numpy(), abs=TOLERANCE)
            expected = {}
            for index, weight in zip(ids, weights[row].tolist(), strict=True):
                if index not in unused and weight > expected.get(str(index), 0):
                    expected[str(index)] = weight
            assert_weights(everything["lexical_weights"][number], expected)
            words += len(expected)
            found = everything["colbert_vecs"][number]
            assert found.shape == (length - 1, WIDTH)
            assert found == pytest.approx(vectors[row, : length - 1].numpy(), abs=TOLERANCE)
    assert words > 1000


def test_its_dense_vectors_are_those_of_sentence_encoder(folder, everything):
    vectors = SentenceEncoder.from_pretrained(folder).encode(TEXTS)
    assert everything["dense_vecs"] == pytest.approx(vectors, abs=1e-6)


def bits(found):
    """Of each text everything, down to the bits."""
    return [
        (dense.tobytes(), repr(weights), vectors.shape, vectors.tobytes())
        for dense, weights, vectors in zip(*found.values(), strict=True)
    ]


def test_nothing_depends_on_its_company(encoder, everything):
    expected = bits(everything)
    wanted = {"return_dense": True, "return_sparse": True, "return_colbert_vecs": True}
    singles = [encoder.encode([text], **wanted) for text in TEXTS]
    assert [bits(found)[0] for found in singles] == expected
    order = random.Random(1).sample(range(len(TEXTS)), len(TEXTS))
    found = encoder.encode([TEXTS[index] for index in order], batch_size=7, **wanted)
    assert bits(found) == [expected[index] for index in order]


def test_what_is_asked_for(encoder, everything):
    found = encoder.encode(TEXTS[:3])
    assert [*found] == ["dense_vecs", "lexical_weights", "colbert_vecs"]
    assert found["dense_vecs"].tobytes() == everything["dense_vecs"][:3].tobytes()
    assert found["lexical_weights"] is found["colbert_vecs"] is None
    found = encoder.encode(TEXTS[:3], return_dense=False, return_sparse=True)
    assert found["dense_vecs"] is found["colbert_vecs"] is None
    assert found["lexical_weights"] == everything["lexical_weights"][:3]
    json.dumps(found["lexical_weights"])


def test_a_single_text(encoder, everything):
    found = encoder.encode(TEXTS[4], return_sparse=True, return_colbert_vecs=True)
    assert found["dense_vecs"].shape == (HIDDEN,)
    assert found["lexical_weights"] == everything["lexical_weights"][4]
    assert found["colbert_vecs"].tobytes() == everything["colbert_vecs"][4].tobytes()


def test_no_texts(encoder):
    found = encoder.encode([], return_sparse=True, return_colbert_vecs=True)
    assert found["dense_vecs"].shape == (0, HIDDEN)
    assert found["lexical_weights"] == found["colbert_vecs"] == []


def test_texts_without_words(encoder):
    found = encoder.encode(["", " ", "\U0010fffe"], return_sparse=True, return_colbert_vecs=True)
    assert found["lexical_weights"][0] == {}
    assert len(found["colbert_vecs"][0]) == 1


def test_max_length(encoder):
    found = encoder.encode("the cat " * 60, max_length=9, return_colbert_vecs=True)
    assert found["colbert_vecs"].shape == (8, WIDTH)
    for longest in (None, 1000):
        found = encoder.encode("the cat " * 60, max_length=longest, return_colbert_vecs=True)
        assert found["colbert_vecs"].shape == (59, WIDTH)


def test_scores_of_words(encoder):
    one, other = {"5": 0.5, "6": 2.0, "7": 1.0}, {"6": 0.25, "5": 3.0, "9": 4.0}
    assert encoder.compute_lexical_matching_score(one, other) == 2.0
    scores = encoder.compute_lexical_matching_score([one, {}], [other, one, {}])
    assert scores.tolist() == [[2.0, 5.25, 0.0], [0.0, 0.0, 0.0]]
    assert encoder.compute_lexical_matching_score([], [one]).shape == (0, 1)
    with pytest.raises(InputError, match="found those of one text and of several"):
        encoder.compute_lexical_matching_score(one, [other])


def test_scores_of_token_vectors(encoder, everything):
    for first, second in ((0, 1), (5, 60), (150, 7)):
        query, passage = everything["colbert_vecs"][first], everything["colbert_vecs"][second]
        expected = (query @ passage.T).max(axis=1).mean()
        assert encoder.colbert_score(query, passage) == pytest.approx(expected, abs=TOLERANCE)
    with pytest.raises(InputError, match="found vectors of 3 and 4 numbers"):
        encoder.colbert_score(np.zeros((1, 3)), np.zeros((1, 4)))


def test_tokens_of_ids(encoder):
    weights = encoder.encode(["hello cat", "the"], return_sparse=True)["lexical_weights"]
    named = encoder.convert_id_to_token(weights)
    assert [[*words.values()] for words in named] == [[*words.values()] for words in weights]
    assert encoder.convert_id_to_token({str(VOCABULARY.index("\u2581cat")): 1.5}) == {"\u2581cat": 1.5}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (["a", None], "text 1: found None"),
        (["a", "b", b"c"], r"text 2: found b'c' \(bytes\), expected a string"),
        ([float("nan")], "text 0: found nan"),
        (["a", "b\ud800"], "text 1: character 1 is a lone surrogate"),
        (b"a", "text: found b'a'"),
    ],
)
def test_what_is_no_text(encoder, value, message):
    with pytest.raises(InputError, match=message):
        encoder.encode(value)


@pytest.mark.parametrize("options", [{"max_length": 0}, {"max_length": 1.5}, {"batch_size": 0}, {"max_length": 1}])
def test_counts(encoder, options):
    with pytest.raises(InputError, match=f"{next(iter(options))}: found"):
        encoder.encode(["a"], **options)


def copied(folder, target):
    target.mkdir()
    for path in folder.iterdir():
        if path.is_file():
            (target / path.name).write_bytes(path.read_bytes())
    return target


@pytest.mark.parametrize("name", ["sparse_linear.pt", "colbert_linear.pt"])
def test_a_file_is_missing(folder, tmp_path, name):
    folder = copied(folder, tmp_path / "m3")
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"the folder has no {name}: BGEM3Encoder needs it beside the encoder"):
        BGEM3Encoder.from_pretrained(folder)


@pytest.mark.parametrize(
    ("name", "tensors", "message"),
    [
        ("sparse_linear.pt", COLBERT, "sparse_linear.pt: gives 20 numbers, expected 1"),
        ("sparse_linear.pt", {"weight": drawn(1, 1, 8), "bias": drawn(1, 1)}, r"a weight \[1, 8\] and a bias \[1\]"),
        ("colbert_linear.pt", {"weight": drawn(1, 4, HIDDEN), "bias": drawn(1, 3)}, r"expected \[n, 32\] and \[n\]"),
        ("colbert_linear.pt", {"weight": drawn(1, 4, HIDDEN)}, "found tensors weight, expected bias"),
    ],
)
def test_a_file_does_not_fit(folder, tmp_path, name, tensors, message):
    folder = copied(folder, tmp_path / "m3")
    write_linear(folder / name, tensors)
    with pytest.raises(WeightsError, match=message):
        BGEM3Encoder.from_pretrained(folder)


def test_half_precision_as_on_the_hub(folder, tmp_path, everything):
    folder = copied(folder, tmp_path / "m3")
    for name, tensors in (("sparse", SPARSE), ("colbert", COLBERT)):
        half = {key: tensor.astype(np.float16) for key, tensor in tensors.items()}
        write_linear(folder / f"{name}_linear.pt", half)
    found = BGEM3Encoder.from_pretrained(folder).encode(TEXTS[:50], return_colbert_vecs=True)
    for rows, expected in zip(found["colbert_vecs"], everything["colbert_vecs"], strict=False):
        assert rows == pytest.approx(expected, abs=5e-3)  # float16 keeps 11 bits of the weights


def test_from_the_hub(hub, folder, encoder):
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    hub.add("org/m3", {**files, "README.md": b"#", "onnx/model.onnx": b"x"})
    wanted = {"return_dense": True, "return_sparse": True, "return_colbert_vecs": True}
    found = BGEM3Encoder.from_pretrained("org/m3").encode(TEXTS[:20], **wanted)
    assert bits(found) == bits(encoder.encode(TEXTS[:20], **wanted))
    del files["colbert_linear.pt"]
    hub.add("org/m3", files)
    with pytest.raises(FileNotFoundError, match=r"org/m3: no colbert_linear\.pt in that repository"):
        BGEM3Encoder.from_pretrained("org/m3")


def test_it_does_not_need_torch(folder):
    code = (
        "import sys, filbert; encoder = filbert.BGEM3Encoder.from_pretrained(sys.argv[1]); "
        "print(encoder, encoder.encode(['the cat'], return_sparse=True)['dense_vecs'].shape); "
        "assert not {'torch', 'transformers', 'sentence_transformers'} & {*sys.modules}"
    )
    result = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("BGEM3Encoder(XLMRobertaModel(")
    assert result.stdout.endswith("max_length=60) (1, 32)\n")
