"""Static models made of encoders: what is in them, who opens them, and what is refused."""

import json
import os
import warnings

import numpy as np
import pytest
import text_models
from safetensors.numpy import save_file
from text_models import VOCABULARY, write_json

from filbert import AutoModel, AutoTokenizer, ConfigError, InputError, SentenceEncoder, distill
from filbert.atomic import Output
from filbert.cli import main
from filbert.distillation import principal_components, zipf_weights

TEXTS = ["the cat runs", "hello world, a sunny day.", "", "[UNK] [CLS]", "zzz the dog", "the dog", "word " * 700]
# A coordinate of a unit vector is a sum of at most 1,400 float32 numbers, over its length. Each rounding is off by at
# most half an ulp, 2^-24, of a partial sum; that many in a row, all one way.
TOLERANCE = 1400 * 2.0**-24


@pytest.fixture
def source(tmp_path):
    return text_models.sentence_folder(tmp_path / "encoder")


def expected_table(folder, dims, pooling="mean", coefficient=1e-4, weight=None):
    """By the formulas, in float64, one token at a time. weight: of a Dense module."""
    model = AutoModel.from_pretrained(folder, add_pooling_layer=False)
    tokens = [i for i, token in enumerate(VOCABULARY) if not token.startswith("[")]
    states = [model([[2, token, 3]]).last_hidden_state[0].astype(float) for token in tokens]
    vectors = np.array([state.mean(0) if pooling == "mean" else state[0] for state in states])
    if weight is not None:
        vectors = vectors @ weight.T.astype(float)
    centred = vectors - vectors.mean(0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    chances = np.array([1 / (rank + 2) for rank in range(len(tokens))])
    chances /= chances.sum()
    weights = np.ones(len(tokens)) if coefficient is None else coefficient / (coefficient + chances)
    table = np.zeros((len(VOCABULARY), dims))
    table[tokens] = centred @ axes[:dims].T * weights[:, None]
    return table


def rows(folder):
    return AutoModel.from_pretrained(folder)([list(range(len(VOCABULARY)))]).last_hidden_state[0]


def assert_alike(found, expected):
    """The encoder's error in float32 on vectors of 32 numbers; the ends of axes are either one's to choose."""
    signs = np.sign((found * expected).sum(0))
    assert np.abs(found * signs - expected).max() < 1e-5 * np.abs(expected).max()


def test_modules_after_the_encoder(source, tmp_path):
    """A token's vector is what they make of it, but not scaled to length 1."""
    weight = np.random.default_rng(0).standard_normal((12, 32)).astype(np.float32)
    modules = json.loads((source / "modules.json").read_text())
    modules.insert(2, {**modules[2], "path": "2_Dense", "type": "sentence_transformers.models.Dense"})
    write_json(source / "modules.json", modules)
    identity = "torch.nn.modules.linear.Identity"
    settings = {"in_features": 32, "out_features": 12, "bias": False, "activation_function": identity}
    write_json(source / "2_Dense" / "config.json", settings)
    save_file({"linear.weight": weight}, source / "2_Dense" / "model.safetensors")
    assert distill(source, tmp_path / "static").get_embedding_dimension() == 12
    assert_alike(rows(tmp_path / "static"), expected_table(source, 12, weight=weight))


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("coefficient", [1e-4, None])
def test_the_table(tmp_path, pooling, coefficient):
    settings = {"word_embedding_dimension": 32, "pooling_mode": pooling}
    folder = text_models.sentence_folder(tmp_path / "encoder", pooling=settings)
    distill(folder, tmp_path / "static", dims=8, sif_coefficient=coefficient)
    found, expected = rows(tmp_path / "static"), expected_table(folder, 8, pooling, coefficient)
    assert_alike(found, expected)
    assert (found[:5] == 0).all(), "special tokens count for nothing"


def test_a_text_is_the_mean_of_its_tokens_and_unknown_ones_do_not_count(source, tmp_path):
    encoder = distill(source, tmp_path / "static", dims=8)
    table = rows(tmp_path / "static")
    ids = [VOCABULARY.index(token) for token in ("the", "cat", "run", "##s")]
    mean = table[ids].astype(float).mean(0)
    found = encoder.encode(TEXTS)
    assert np.abs(found[0] - mean / np.linalg.norm(mean)).max() < TOLERANCE
    assert (found[2:4] == 0).all(), "no text, and special tokens alone"
    assert np.abs(found[4] - found[5]).max() < TOLERANCE
    assert np.abs(np.linalg.norm(found[6]) - 1) < TOLERANCE
    assert encoder.get_embedding_dimension() == 8
    assert found.tobytes() == SentenceEncoder.from_pretrained(tmp_path / "static").encode(TEXTS).tobytes()


def test_as_many_numbers_as_there_are(source, tmp_path):
    assert distill(source, tmp_path / "default").get_embedding_dimension() == 32
    assert distill(source, tmp_path / "all", dims=None).get_embedding_dimension() == 32
    assert rows(tmp_path / "default").tobytes() == rows(tmp_path / "all").tobytes()


def test_beside_model2vec(source, tmp_path):
    library = pytest.importorskip("model2vec")
    ours = distill(source, tmp_path / "static", dims=8)
    theirs = library.StaticModel.from_pretrained(str(tmp_path / "static"))
    assert np.abs(ours.encode(TEXTS) - theirs.encode(TEXTS)).max() < TOLERANCE


def test_beside_sentence_transformers(torch, source, tmp_path):
    library = pytest.importorskip("sentence_transformers")
    ours = distill(source, tmp_path / "static", dims=8)
    theirs = library.SentenceTransformer(str(tmp_path / "static"), device="cpu")
    assert np.abs(ours.encode(TEXTS) - theirs.encode(TEXTS)).max() < TOLERANCE


def test_ids_that_no_token_has(tmp_path):
    """model2vec takes as many rows as there are tokens, so those that are used are named."""
    folder = text_models.sentence_folder(tmp_path / "encoder")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    values = json.loads(tokenizer.backend_tokenizer.to_str())
    gone = values["model"]["vocab"].pop("long")
    (folder / "vocab.txt").unlink()
    write_json(folder / "tokenizer.json", values)
    ours = distill(folder, tmp_path / "static", dims=8)
    assert (rows(tmp_path / "static")[gone] == 0).all()
    found = ours.encode(TEXTS)
    table = rows(tmp_path / "static")[[VOCABULARY.index("the"), VOCABULARY.index("dog")]].astype(float).mean(0)
    assert np.abs(found[5] - table / np.linalg.norm(table)).max() < TOLERANCE
    library = pytest.importorskip("model2vec")
    theirs = library.StaticModel.from_pretrained(str(tmp_path / "static"))
    assert np.abs(found - theirs.encode(TEXTS)).max() < TOLERANCE


def test_principal_components_are_those_of_a_singular_value_decomposition():
    vectors = np.random.default_rng(0).standard_normal((20_000, 6)).astype(np.float32) * np.array([9, 4, 3, 2, 1, 1])
    vectors = (vectors + 100).astype(np.float32)
    found = principal_components(vectors, 3)
    centred = vectors.astype(float) - vectors.mean(0, dtype=float)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    expected = centred @ axes[:3].T
    expected *= np.sign(axes[np.arange(3), np.abs(axes[:3]).argmax(1)])
    # Rounded to float32 once; axes of both are off by their condition, below 1e3, times 2^-52.
    assert np.abs(found - expected).max() <= 2.0**-24 * np.abs(expected).max() + 1e-9
    assert principal_components(vectors[:1], 4).tolist() == [[0, 0, 0, 0]]


def test_weights_by_rank():
    chances = np.array([1 / 2, 1 / 3, 1 / 4]) / (1 / 2 + 1 / 3 + 1 / 4)
    assert zipf_weights(3, 0.1) == pytest.approx(0.1 / (0.1 + chances), rel=1e-15)
    assert zipf_weights(3, None).tolist() == [1, 1, 1]


def test_what_opens_a_static_model_warns_of_nothing(source, tmp_path):
    distill(source, tmp_path / "static", dims=8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SentenceEncoder.from_pretrained(tmp_path / "static").encode(TEXTS)


def test_a_static_model_is_refused(source, tmp_path):
    distill(source, tmp_path / "static", dims=8)
    with pytest.raises(ConfigError, match=r"static: is a static model already, with no encoder to distil"):
        distill(tmp_path / "static", tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_what_makes_no_sense(source, tmp_path):
    with pytest.raises(InputError, match="dims: found 0, expected an integer above 0"):
        distill(source, tmp_path / "static", dims=0)
    for value in (0, -1, float("nan"), float("inf")):
        with pytest.raises(InputError, match=r"sif_coefficient: found .*, expected a number above 0, or None"):
            distill(source, tmp_path / "static", sif_coefficient=value)
    before = {path.name: path.stat().st_mtime_ns for path in source.iterdir()}
    (tmp_path / "link").symlink_to(source)
    for place in (source, tmp_path / "link"):
        with pytest.raises(InputError, match="encoder: is both the model and where the static model goes"):
            distill(source, place)
    assert {path.name: path.stat().st_mtime_ns for path in source.iterdir()} == before
    with pytest.raises(FileNotFoundError, match="nothing/here/: does not exist"):
        distill("nothing/here/", tmp_path / "static")
    (tmp_path / "empty").mkdir()
    with pytest.raises(OSError, match=r"config\.json"):
        distill(tmp_path / "empty", tmp_path / "static")
    values = json.loads((source / "config.json").read_text())
    write_json(source / "config.json", {**values, "model_type": "longformer"})
    with pytest.raises(ConfigError, match="longformer"):
        distill(source, tmp_path / "static")


def test_a_place_that_cannot_be_written_to_is_known_before_the_work(source, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FileExistsError):
        distill(source, tmp_path / "file")
    (tmp_path / "folder" / "modules.json").mkdir(parents=True)
    monkeypatch.setattr(AutoModel, "from_pretrained", None)
    with pytest.raises(IsADirectoryError, match=r"modules\.json"):
        distill(source, tmp_path / "folder")
    assert os.listdir(tmp_path / "folder") == ["modules.json"], "nothing is left beside it"


def test_what_was_there_survives_a_failure(source, tmp_path, monkeypatch):
    distill(source, tmp_path / "static", dims=8)
    before = {path.name: path.read_bytes() for path in (tmp_path / "static").iterdir()}

    def full(output):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Output, "_finish", full)
        with pytest.raises(OSError, match="No space left"):
            distill(source, tmp_path / "static", dims=4)
    assert {path.name: path.read_bytes() for path in (tmp_path / "static").iterdir()} == before


def test_the_command(source, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["distill", "encoder", "-o", "static", "--dims", "8", "--threads", "1"]) == 0
    assert capsys.readouterr().out == (
        "static: 40 tokens with vectors of 8 numbers; filbert.SentenceEncoder.from_pretrained('static') opens it\n"
    )
    expected = distill(source, tmp_path / "expected", dims=8)
    assert SentenceEncoder.from_pretrained("static").encode(TEXTS).tobytes() == expected.encode(TEXTS).tobytes()
    assert main(["distill", "static", "-o", "again"]) == 2
    assert capsys.readouterr().err == "filbert: static: is a static model already, with no encoder to distil\n"
