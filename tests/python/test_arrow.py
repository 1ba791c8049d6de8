"""filbert.arrow.encode: columns of texts to columns of vectors."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from bulk_jobs import texts

import filbert.arrow
from filbert import InputError, SentenceEncoder

pyarrow = pytest.importorskip("pyarrow", reason="the arrow extra is not installed")


@pytest.fixture(scope="module")
def encoder(folder):
    return SentenceEncoder.from_pretrained(folder)


def test_a_column_of_texts(folder, encoder):
    expected = encoder.encode(texts(20))
    for array in (
        pyarrow.array(texts(20)),
        pyarrow.array(texts(20), pyarrow.large_string()),
        pyarrow.array(texts(20), pyarrow.string_view()),
        pyarrow.array(texts(20)).dictionary_encode(),
        pyarrow.array(["x", *texts(20), "y"]).slice(1, 20),
        pyarrow.chunked_array([texts(20)[:7], [], texts(20)[7:]]),
    ):
        found = filbert.arrow.encode(encoder, array)
        assert isinstance(found, pyarrow.FixedSizeListArray)
        assert found.type == pyarrow.list_(pyarrow.float32(), 32)
        assert found.flatten().to_numpy().tobytes() == expected.tobytes()
    by_name = filbert.arrow.encode(folder, pyarrow.array(texts(20)))
    assert by_name.flatten().to_numpy().tobytes() == expected.tobytes()


def test_nulls_stay_nulls(encoder):
    found = filbert.arrow.encode(encoder, pyarrow.array([None, "a", None, "b", None]).slice(1))
    assert found.is_null().to_pylist() == [False, True, False, True]
    assert np.array(found.drop_null().to_pylist(), np.float32).tobytes() == encoder.encode(["a", "b"]).tobytes()
    assert found.validate(full=True) is None
    chunked = pyarrow.chunked_array([["a", None], pyarrow.array([None], pyarrow.string())])
    assert filbert.arrow.encode(encoder, chunked).is_null().to_pylist() == [False, True, True]


def test_nulls_among_the_values_of_a_dictionary(encoder):
    for kind in (pyarrow.string(), pyarrow.large_string(), pyarrow.string_view()):
        values = pyarrow.array(["a", None, "b"], kind)
        one = pyarrow.DictionaryArray.from_arrays(pyarrow.array([1, 0, None, 2]), values)
        other = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0, 1]), values.slice(1))
        found = filbert.arrow.encode(encoder, pyarrow.chunked_array([one, other]))
        assert found.is_null().to_pylist() == [True, False, True, False, True, False]
        expected = encoder.encode(["a", "b", "b"])
        assert found.drop_null().flatten().to_numpy().tobytes() == expected.tobytes()


def test_a_name_is_loaded_once(folder, monkeypatch):
    """By threads that ask at once, and by a name from the folder above too."""
    loads = []
    real = SentenceEncoder._load.__func__

    def load(kind, name, **keywords):
        loads.append(name)
        return real(kind, name, **keywords)

    monkeypatch.setattr(SentenceEncoder, "_load", classmethod(load))
    copy = folder.with_name("once")
    shutil.copytree(folder, copy)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: filbert.arrow.encode(copy, pyarrow.array(["a"])), range(8)))
    monkeypatch.chdir(copy.parent)
    filbert.arrow.encode("once", pyarrow.array(["a"]))
    assert loads == [str(copy)]


def test_columns_without_texts(encoder):
    for array in (
        pyarrow.array([], pyarrow.string()),
        pyarrow.chunked_array([], pyarrow.string()),
        pyarrow.nulls(3),
        pyarrow.array([None, None], pyarrow.string()),
    ):
        found = filbert.arrow.encode(encoder, array)
        assert found.type == pyarrow.list_(pyarrow.float32(), 32)
        assert (len(found), found.null_count) == (len(array), len(array))


def test_options_of_encode(encoder):
    array = pyarrow.array(["a", None, "b"])
    options = {"prompt": "the ", "normalize_embeddings": True, "truncate_dim": 8}
    expected = encoder.encode(["a", "b"], **options)
    for precision, values in (
        ("float16", expected.astype(np.float16)),
        ("binary", encoder.encode(["a", "b"], precision="binary", **options)),
        ("ubinary", encoder.encode(["a", "b"], precision="ubinary", **options)),
    ):
        found = filbert.arrow.encode(encoder, array, precision=precision, **options)
        assert found.type == pyarrow.list_(pyarrow.from_numpy_dtype(values.dtype), values.shape[1])
        assert found.drop_null().flatten().to_numpy().tobytes() == values.tobytes()


def test_what_is_no_column_of_texts(encoder):
    for value, message in (
        (pyarrow.array([1, 2]), "array: found type int64, expected strings"),
        (pyarrow.array([b"a"]), "array: found type binary, expected strings"),
        (["a"], "array: found list, expected pyarrow.Array or pyarrow.ChunkedArray"),
    ):
        with pytest.raises(InputError, match=message):
            filbert.arrow.encode(encoder, value)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"precision": "int8"}, InputError, "precision: found 'int8', whose steps depend on all vectors at once"),
        ({"precision": "int4"}, InputError, "precision: found 'int4', expected one of float32, float16, binary"),
        (
            {"output_value": None},
            TypeError,
            r"arrow.encode\(\) got unexpected keyword arguments: output_value;",
        ),
        (
            {"show_progress_bar": True},
            TypeError,
            "show_progress_bar; of those of SentenceEncoder.encode it takes",
        ),
        ({"truncate_dim": 0}, InputError, "truncate_dim: found 0"),
    ],
)
def test_options_that_are_none(encoder, options, error, message):
    for values in (["a", "b"], []):
        with pytest.raises(error, match=message):
            filbert.arrow.encode(encoder, pyarrow.array(values, pyarrow.string()), **options)
