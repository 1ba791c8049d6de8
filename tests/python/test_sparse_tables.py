"""SparseStaticEmbedding: weights of tokens, from tensors and from JSON."""

import numpy as np
import pytest
from safetensors.numpy import save_file
from sparse_models import table_folder, table_weights, write_modules
from text_models import VOCABULARY, write_json

from filbert import ConfigError, InputError, SparseEncoder, WeightsError


def test_a_table_weighs_each_token_once(tmp_path):
    weights = table_weights()
    write_modules(table_folder(tmp_path), ("SparseStaticEmbedding", ""))
    encoder = SparseEncoder(tmp_path)
    the, cat, day = (VOCABULARY.index(word) for word in ("the", "cat", "day"))
    expected = np.zeros(40, np.float32)
    expected[[the, cat, day]] = weights[[the, cat, day]]
    vector = encoder.encode("the cat the cat the day")
    assert vector.toarray().tobytes() == expected.tobytes(), "without special tokens"
    assert vector.nnz == np.count_nonzero(expected), "of the weights none is zero"
    assert encoder.encode("").nnz == 0
    assert encoder.device == "cpu"
    assert encoder.max_seq_length == 24
    encoder.max_seq_length = 1000
    assert encoder.encode("the " * 300 + "cat").toarray()[cat] == weights[cat]


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_tables_of_other_dtypes(tmp_path, dtype):
    write_modules(table_folder(tmp_path, table_weights().astype(dtype)), ("SparseStaticEmbedding", ""))
    the = VOCABULARY.index("the")
    assert SparseEncoder(tmp_path).encode("the").data.tolist() == [table_weights().astype(dtype).astype("f4")[the]]


def test_tables_that_make_no_sense(tmp_path):
    write_modules(table_folder(tmp_path), ("SparseStaticEmbedding", ""))
    for tensors in ({"other": table_weights()}, {"weight": table_weights().reshape(8, 5)}):
        save_file(tensors, tmp_path / "model.safetensors")
        with pytest.raises(WeightsError, match=r"found .* expected a tensor weight, one number a token"):
            SparseEncoder(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"random")
    with pytest.raises(WeightsError, match=r"model\.safetensors"):
        SparseEncoder(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(OSError, match=r"no model\.safetensors"):
        SparseEncoder(tmp_path)


@pytest.mark.parametrize(
    ("idf", "message"),
    [
        ({"the": 1.0, "unheard": 2.0}, r"idf\.json: found 'unheard': 2\.0, expected numbers of known tokens"),
        ({"the": "1"}, "found 'the': '1'"),
        ({"the": True}, "found 'the': True"),
        ({"the": None}, "found 'the': None"),
        ({"the": float("nan")}, "found 'the': nan"),
        ({"the": 10**400}, "found 'the': 1000"),
        ({"the": 1e39}, r"found 'the': 1e\+39"),
        ([1], "found list, expected an object"),
    ],
)
def test_weights_of_words_that_make_no_sense(tmp_path, idf, message):
    write_modules(table_folder(tmp_path), ("SparseStaticEmbedding", ""))
    write_json(tmp_path / "config.json", {"path": "idf.json"})
    with pytest.raises(OSError, match=r"no idf\.json"):
        SparseEncoder(tmp_path)
    write_json(tmp_path / "idf.json", idf)
    with pytest.raises(ConfigError, match=message):
        SparseEncoder(tmp_path)
    write_json(tmp_path / "config.json", {"path": "../idf.json"})
    with pytest.raises(InputError, match=r"\.\./idf\.json"):
        SparseEncoder(tmp_path)
