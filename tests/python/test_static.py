"""Models without a transformer: StaticEmbedding of sentence-transformers, and the files of model2vec."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from filbert import AutoModel, InputError, SentenceEncoder, WeightsError

WORDS = ["[UNK]", "[CLS]", "[SEP]", "the", "quick", "brown", "fox", "jumps"]
WORDS += ["over", "a", "lazy", "dog", "and", "rains", "in", "spain"]
TEXTS = ["the quick brown fox", "", "a dog", "in spain it rains and rains", "the " * 3000]
WIDTH = 12
# Sums of 128 numbers below 3, and then of 24 such sums: at most 152 roundings, of which half go each way or so.
TOLERANCE = 3 * 152 / 2 * 2.0**-24


def tokenizer() -> Tokenizer:
    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    specials = [("[CLS]", 1), ("[SEP]", 2)]
    made.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=specials)
    return made


def table(rows: int = len(WORDS)) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((rows, WIDTH)).astype(np.float32)


def expected(rows: np.ndarray, normalize: bool = False) -> np.ndarray:
    """The mean of the rows of a text's tokens, in float64; nothing gives zeros."""
    made, vectors = tokenizer(), []
    for text in TEXTS:
        ids = made.encode(text, add_special_tokens=False).ids
        vector = rows[ids].astype(float).mean(0) if ids else np.zeros(WIDTH)
        vectors.append(vector / max(np.linalg.norm(vector), 1e-12) if normalize else vector)
    return np.array(vectors)


def write(folder, tensors, config=None, modules=None, inner=""):
    place = folder / inner
    place.mkdir(parents=True, exist_ok=True)
    save_file(tensors, place / "model.safetensors")
    tokenizer().save(str(place / "tokenizer.json"))
    if config is not None:
        (place / "config.json").write_text(json.dumps(config))
    if modules is not None:
        (folder / "modules.json").write_text(json.dumps(modules))
    return folder


def module(index, kind, path):
    return {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{kind}"}


STATIC = [module(0, "StaticEmbedding", "0_StaticEmbedding")]
NORMALIZED = [*STATIC, module(1, "Normalize", "1_Normalize")]


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("dtype", [None, "bfloat16", "int8"])
def test_a_folder_of_sentence_transformers(tmp_path, normalize, dtype):
    modules = NORMALIZED if normalize else STATIC
    write(tmp_path, {"embedding.weight": table()}, modules=modules, inner="0_StaticEmbedding")
    encoder = SentenceEncoder.from_pretrained(tmp_path, dtype=dtype)
    found = encoder.encode(TEXTS)
    assert np.abs(found - expected(table(), normalize)).max() < TOLERANCE, "nothing is multiplied, whatever the dtype"
    for text, vector in zip(TEXTS, found, strict=True):
        assert encoder.encode(text).tobytes() == vector.tobytes()
    assert (found[1] == 0).all()
    assert encoder.max_seq_length > 10**9
    assert encoder.get_embedding_dimension() == WIDTH


def test_beside_sentence_transformers(torch, tmp_path):
    library = pytest.importorskip("sentence_transformers")
    from sentence_transformers.sentence_transformer import modules

    static = modules.StaticEmbedding(tokenizer(), embedding_weights=table())
    theirs = library.SentenceTransformer(modules=[static, modules.Normalize()], device="cpu")
    theirs.prompts = {"query": "the dog "}
    theirs.save_pretrained(str(tmp_path))
    ours = SentenceEncoder.from_pretrained(tmp_path)
    for name in (None, "query"):
        difference = ours.encode(TEXTS, prompt_name=name) - theirs.encode(TEXTS, prompt_name=name)
        assert np.abs(difference).max() < TOLERANCE


def test_tokenizer_json_is_all_there_is_of_a_tokenizer(tmp_path):
    """It cuts texts, no other file is read, and "[MASK]" and "<s>" are no tokens by their names alone."""
    words = [*WORDS, "[PAD]", "[MASK]", "<s>", "The", "[", "]", "<", "s", ">"]
    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.normalizer = normalizers.BertNormalizer(lowercase=False)
    made.enable_truncation(6, direction="left")
    write(tmp_path, {"embedding.weight": table(len(words))}, modules=[module(0, "StaticEmbedding", "")])
    made.save(str(tmp_path / "tokenizer.json"))
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": 4}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    texts = ["The <s> fox", "a [MASK]", "over the lazy dog in spain it rains and rains", "the quick brown fox jumps in"]
    ids = [made.encode(text, add_special_tokens=False).ids for text in texts]
    assert [len(row) for row in ids] == [5, 4, 6, 6]
    means = [table(len(words))[row].mean(0) for row in ids]

    ours = SentenceEncoder(tmp_path)
    with pytest.warns(UserWarning, match="1 of 4 texts have more than 6 tokens"):
        vectors = ours.encode(texts)
    assert vectors == pytest.approx(np.array(means), abs=TOLERANCE)
    assert ours(ours.tokenize(texts))["sentence_embedding"].tobytes() == vectors.tobytes()
    ours.save_pretrained(tmp_path / "saved")
    assert SentenceEncoder(tmp_path / "saved").encode(texts).tobytes() == vectors.tobytes()
    library = pytest.importorskip("sentence_transformers")
    for folder in (tmp_path, tmp_path / "saved"):
        theirs = library.SentenceTransformer(str(folder), device="cpu")
        assert vectors == pytest.approx(theirs.encode(texts), abs=TOLERANCE)


def test_no_limit_is_none_to_transformers(tmp_path):
    SentenceEncoder(write(tmp_path / "model", {"embeddings": table()}, {"model_type": "model2vec"})).save_pretrained(
        tmp_path / "saved"
    )
    settings = json.loads((tmp_path / "saved" / "tokenizer_config.json").read_text())
    assert settings["model_max_length"] > 10**20
    assert json.loads((tmp_path / "saved" / "tokenizer.json").read_text())["truncation"] is None


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_a_folder_of_model2vec(tmp_path, normalize, dtype):
    config = {"model_type": "model2vec", "architectures": ["StaticModel"], "hidden_dim": WIDTH, "apply_pca": 256}
    write(tmp_path, {"embeddings": table().astype(dtype)}, {**config, "normalize": normalize})
    found = SentenceEncoder.from_pretrained(tmp_path).encode(TEXTS)
    assert np.abs(found - expected(table().astype(dtype), normalize)).max() < TOLERANCE


@pytest.mark.parametrize("integers", [np.int64, np.int32, np.uint64, np.uint32, np.uint16, np.uint8])
@pytest.mark.parametrize("parts", ["mapping", "weights", "both"])
def test_rows_that_are_shared_and_weighted(tmp_path, parts, integers):
    rng = np.random.default_rng(1)
    mapping, weights = rng.integers(0, 5, len(WORDS)), rng.random(len(WORDS))
    tensors, rows = {"embeddings": table()}, table()
    if parts != "weights":
        tensors |= {"embeddings": table(5), "mapping": mapping.astype(integers)}
        rows = table(5)[mapping]
    if parts != "mapping":
        tensors["weights"] = weights
        rows = rows * weights[:, None]
    write(tmp_path, tensors, {"model_type": "model2vec"})
    assert np.abs(SentenceEncoder.from_pretrained(tmp_path).encode(TEXTS) - expected(rows)).max() < TOLERANCE
    model = AutoModel.from_pretrained(tmp_path)
    assert np.abs(model([[3, 4]]).last_hidden_state[0] - rows[[3, 4]]).max() < TOLERANCE
    assert model.vocabulary == len(WORDS)
    model.save_pretrained(tmp_path / "again")
    again = AutoModel.from_pretrained(tmp_path / "again")
    assert again([[3, 4]]).last_hidden_state.tobytes() == model([[3, 4]]).last_hidden_state.tobytes()


def test_files_that_are_wrong(tmp_path):
    config = {"model_type": "model2vec"}
    mapping = np.zeros(len(WORDS), np.int64)
    mapping[7] = 5
    write(tmp_path, {"embeddings": table(5), "mapping": mapping}, config)
    with pytest.raises(WeightsError, match=r"mapping\[7\]: found 5, expected a row of embeddings \(5\)"):
        AutoModel.from_pretrained(tmp_path)
    write(tmp_path, {"embeddings": table(5), "mapping": mapping.astype(np.float32)}, config)
    with pytest.raises(WeightsError, match=r"mapping: found dtype F32, expected integers"):
        AutoModel.from_pretrained(tmp_path)
    write(tmp_path, {"embeddings": table(5), "mapping": mapping.reshape(1, -1)}, config)
    with pytest.raises(WeightsError, match=r"mapping"):
        AutoModel.from_pretrained(tmp_path)
    write(tmp_path, {"embeddings": table()}, {**config, "hidden_dim": 7})
    with pytest.raises(WeightsError, match=r"embeddings: found \[16, 12\], expected \[16, 7\]"):
        AutoModel.from_pretrained(tmp_path)
    write(tmp_path, {"embeddings": table().astype(np.int8)}, config)
    with pytest.raises(WeightsError, match=r"embeddings: found dtype I8, expected F32"):
        AutoModel.from_pretrained(tmp_path)
    write(tmp_path, {"embeddings": table(), "weights": np.zeros(12, np.float32)}, config)
    with pytest.raises(WeightsError, match=r"weights: found \[12\], expected \[16\]"):
        AutoModel.from_pretrained(tmp_path)
    write(tmp_path, {"other": table()}, config)
    with pytest.raises(WeightsError, match=r"embeddings: missing"):
        AutoModel.from_pretrained(tmp_path)
    write(tmp_path, {"embeddings": table(9)}, config)
    with pytest.raises(InputError, match="has id 15, and the model has vectors for ids from 0 to 8"):
        SentenceEncoder.from_pretrained(tmp_path).encode("spain")
