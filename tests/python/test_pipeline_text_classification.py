"""Text classification: beside transformers, and by itself."""

import itertools
import shutil

import numpy as np
import pytest
from pipeline_references import KINDS, assert_alike, fitting, model_folder, plain_folder, random_texts, reference
from text_models import ODD_TEXTS

from filbert import AutoModel, AutoModelForSequenceClassification, AutoTokenizer, ConfigError, InputError, pipeline
from filbert.pipelines.text_classification import TextClassificationPipeline
from filbert.scores import sigmoid, softmax

TASK = "text-classification"
TEXTS = [*ODD_TEXTS, *random_texts(200)]


def write(folder, kind="wordpiece", **config):
    return model_folder(folder, kind, "ForSequenceClassification", **config)


def plain(folder, labels=("bad", "fair", "good")):
    return plain_folder(folder, "ForSequenceClassification", labels)


@pytest.fixture(scope="module", params=KINDS)
def both(request, tmp_path_factory):
    """(filbert's pipeline, transformers') of a folder with four labels."""
    folder = write(tmp_path_factory.mktemp("texts") / request.param, request.param, num_labels=4)
    return pipeline(TASK, folder), reference(TASK, folder)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    return pipeline(TASK, plain(tmp_path_factory.mktemp("one") / "model"))


def test_random_texts(both):
    ours, theirs = both
    assert_alike(ours(TEXTS, truncation=True), theirs(TEXTS, truncation=True))
    assert_alike(ours(TEXTS, truncation=True, top_k=None), theirs(TEXTS, truncation=True, top_k=None))


def test_random_pairs(both):
    ours, theirs = both
    pairs = [{"text": text, "text_pair": pair} for text, pair in zip(TEXTS, TEXTS[7:] + TEXTS[:7], strict=True)]
    pairs += [{"text": text} for text in TEXTS[:20]] + [{"text": "a", "text_pair": None}]
    for arguments in ({"truncation": True}, {"truncation": "longest_first", "max_length": 12, "top_k": 2}):
        assert_alike(ours(pairs, **arguments), theirs(pairs, **arguments))


def test_texts_that_fit_are_not_cut(both):
    ours, theirs = both
    texts = fitting(theirs.model.name_or_path, random_texts(100, seed=1, longest=8), 20)
    assert len(texts) > 40
    assert_alike(ours(texts), theirs(texts))


@pytest.mark.parametrize("function", ["sigmoid", "softmax", "none", "Softmax", None])
@pytest.mark.parametrize("top_k", [1, 2, 99, None])
def test_functions_and_how_many(both, function, top_k):
    ours, theirs = both
    arguments = {"function_to_apply": function, "top_k": top_k, "truncation": True}
    # Logits go up to 3, and either side is some 5e-6 off what double precision gives.
    tolerance = 3e-5 if function == "none" else 1e-5
    assert_alike(ours(TEXTS[:20], **arguments), theirs(TEXTS[:20], **arguments), tolerance=tolerance)


@pytest.mark.parametrize(
    "inputs",
    [
        "the cat",
        "",
        ["the cat"],
        ["the cat", "a dog"],
        {"text": "the cat"},
        {"text": "the cat", "text_pair": "a dog"},
        {"text": "the cat", "text_pair": ""},
        [{"text": "the cat", "text_pair": "a dog"}, "hello"],
        [[["the cat", "a dog"]]],
    ],
)
def test_how_results_are_nested(classifier, inputs):
    theirs = reference(TASK, classifier.model.name_or_path)
    settings = [{}, {"top_k": 1}, {"top_k": 3}, {"top_k": None}]
    for early, late in itertools.product(settings, settings):
        mine = TextClassificationPipeline(classifier.model, classifier.tokenizer, **early)
        other = type(theirs)(model=theirs.model, tokenizer=theirs.tokenizer, device="cpu", **early)
        assert_alike(mine(inputs, **late), other(inputs, **late), f"{early} {late}: ")


@pytest.mark.parametrize("problem", ["regression", "single_label_classification", "multi_label_classification", None])
@pytest.mark.parametrize("labels", [1, 3])
def test_the_usual_function(tmp_path, problem, labels):
    if problem == "single_label_classification" and labels == 1:
        pytest.skip("transformers refuses it")
    folder = write(tmp_path / "model", num_labels=labels, problem_type=problem)
    ours, theirs = pipeline(TASK, folder), reference(TASK, folder)
    texts = TEXTS[:40]
    for arguments in ({"truncation": True}, {"truncation": True, "top_k": None}):
        assert_alike(ours(texts, **arguments), theirs(texts, **arguments))


def test_a_text_pair_for_all(both):
    ours, theirs = both
    for inputs in ("the cat", ["the cat", "a dog"], {"text": "hello"}):
        assert_alike(ours(inputs, text_pair="a dog"), theirs(inputs, text_pair="a dog"))


@pytest.mark.filterwarnings("ignore:`max_length` is ignored")
def test_a_maximum_length_cuts_unless_there_is_a_padding(both):
    ours, theirs = both
    texts = fitting(theirs.model.name_or_path, TEXTS, 20)[:60]
    for arguments in ({"max_length": 5}, {"max_length": 5, "padding": True}, {"truncation": True, "padding": True}):
        assert_alike(ours(texts, **arguments), theirs(texts, **arguments))


def test_aliases_and_ways_to_make_one(tmp_path):
    folder = plain(tmp_path / "model", ("no", "yes"))
    model, tokenizer = AutoModelForSequenceClassification.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    expected = pipeline("sentiment-analysis", folder)("the cat")
    assert expected[0]["label"] in ("no", "yes")
    assert pipeline(model=str(folder))("the cat") == expected
    assert pipeline(TASK, model)("the cat") == expected
    assert pipeline(model=model, tokenizer=tokenizer)("the cat") == expected
    assert pipeline(TASK, model, tokenizer=folder, top_k=1)(["the cat"]) == [expected]


def test_what_a_pipeline_is_not_made_of(tmp_path, classifier):
    folder = plain(tmp_path / "model")
    with pytest.warns(UserWarning, match="does not use these tensors"):
        base = AutoModel.from_pretrained(folder, add_pooling_layer=False)
    with pytest.raises(ConfigError, match="takes a model of AutoModelForSequenceClassification, found BertModel"):
        pipeline(TASK, base)
    with pytest.raises(ConfigError, match="task: found 'classify'"):
        pipeline("classify", folder)
    with pytest.raises(TypeError, match="unexpected keyword arguments: return_all_scores"):
        pipeline(TASK, folder, return_all_scores=True)
    with pytest.raises(TypeError, match="unexpected keyword arguments: topk"):
        classifier("a", topk=2)


def test_labels_that_are_missing(tmp_path):
    folder = plain(tmp_path / "model", {1: "one", 2: "two"})
    with pytest.raises(ConfigError, match="id2label: found no label 0, expected labels 0 to 1"):
        pipeline(TASK, folder)


@pytest.mark.parametrize("batch_size", [None, 1, 3, 64])
def test_results_do_not_depend_on_the_batch(both, batch_size):
    ours, _ = both
    whole = ours(TEXTS, truncation=True, top_k=None)
    assert ours(TEXTS, truncation=True, top_k=None, batch_size=batch_size) == whole
    assert list(ours(iter(TEXTS), truncation=True, top_k=None, batch_size=batch_size)) == whole


def test_one_by_one_gives_the_same_bits(both):
    ours, _ = both
    assert [ours(text, truncation=True)[0] for text in TEXTS] == ours(TEXTS, truncation=True)


@pytest.mark.parametrize("make", [iter, lambda texts: (text for text in texts), lambda texts: map(str, texts)])
def test_iterators_give_iterators(classifier, make):
    texts = [text for text in TEXTS if len(text) < 8]
    results = classifier(make(texts))
    assert iter(results) is results
    assert list(results) == classifier(texts)


def test_an_iterator_is_read_as_results_are_taken(classifier):
    read = []

    def texts():
        for number in itertools.count():
            read.append(number)
            yield "the cat"

    results = classifier(texts(), batch_size=4)
    assert not read
    first = next(results)
    assert len(read) == 4
    assert list(itertools.islice(results, 7)) == [first] * 7
    assert len(read) == 8


def test_other_lists(classifier):
    pandas = pytest.importorskip("pandas")
    expected = classifier(["the cat", "a dog"])
    for texts in (("the cat", "a dog"), np.array(["the cat", "a dog"]), pandas.Series(["the cat", "a dog"])):
        assert classifier(texts) == expected


def test_no_inputs(classifier):
    assert classifier([]) == []
    assert list(classifier(iter([]))) == []


BAD = [None, 3, float("nan"), b"text", "a\ud800b", ["a", "b"], ("a", "b"), {"text": None}, {"text": ["a"]}]


@pytest.mark.parametrize("bad", BAD, ids=repr)
def test_a_bad_input_is_named(classifier, bad):
    with pytest.raises(InputError, match="input 2: "):
        classifier(["the", "cat", bad])
    with pytest.raises(InputError, match="input 2: "):
        list(classifier(iter(["the", "cat", bad])))
    with pytest.raises(InputError, match="input 300: "):
        list(classifier(itertools.chain(["the"] * 300, [bad])))


@pytest.mark.parametrize("bad", [{}, {"text_pair": "a"}, {"text": "a", "pair": "b"}, {1: 2}], ids=repr)
def test_a_dict_of_other_keys(classifier, bad):
    with pytest.raises(InputError, match=r"input 0: found a dict of .*, expected 'text' and, for a pair, 'text_pair'"):
        classifier(bad)


@pytest.mark.parametrize("bad", [0, b"b", "\udc00", ["b"]], ids=repr)
def test_a_bad_second_text(classifier, bad):
    with pytest.raises(InputError, match="text_pair of input 1: "):
        classifier(["a", {"text": "a", "text_pair": bad}])
    with pytest.raises(InputError, match="text_pair 0: "):
        classifier("a", text_pair=bad)


def test_two_second_texts(classifier):
    with pytest.raises(InputError, match="input 0: has a text_pair of its own"):
        classifier({"text": "a", "text_pair": "b"}, text_pair="c")


@pytest.mark.parametrize("bad", [None, 3, b"text", {"a"}, np.zeros((2, 2)), str], ids=repr)
def test_what_is_no_list(classifier, bad):
    with pytest.raises(InputError, match="inputs: found "):
        classifier(bad)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"top_k": 0}, "top_k: found 0"),
        ({"top_k": -1}, "top_k: found -1"),
        ({"top_k": 1.5}, "top_k: found 1.5"),
        ({"top_k": "all"}, "top_k: found 'all'"),
        ({"function_to_apply": "tanh"}, "function_to_apply: found 'tanh', expected one of sigmoid, softmax, none"),
        ({"max_length": 0}, "max_length: found 0"),
        ({"truncation": "yes"}, "truncation: found 'yes'"),
        ({"batch_size": 0}, "batch_size: found 0"),
    ],
)
def test_bad_options(classifier, option, message):
    with pytest.raises(InputError, match=message):
        classifier(["the cat"], **option)


def test_texts_that_are_too_long(classifier):
    with pytest.raises(InputError, match="input 1: has 42 tokens, but the model has 24 positions; pass truncation"):
        classifier(["the", "cat " * 40, "dog"])
    assert len(classifier(["the", "cat " * 40], truncation=True)) == 2
    # More than the model takes is cut to what it takes.
    assert classifier("cat " * 40, truncation=True, max_length=30) == classifier("cat " * 40, truncation=True)


def test_a_tokenizer_without_a_limit_cuts_to_that_of_the_model(tmp_path):
    folder = plain(tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(folder, model_max_length=int(1e30))
    unlimited = pipeline(TASK, folder, tokenizer=tokenizer)
    assert unlimited("cat " * 40, truncation=True) == pipeline(TASK, folder)("cat " * 40, truncation=True)


def test_a_text_without_tokens(tmp_path):
    folder = plain(tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.backend_tokenizer.post_processor = None
    with pytest.raises(InputError, match="input 1: has no tokens"):
        pipeline(TASK, folder, tokenizer=tokenizer)(["the", ""])


def test_large_logits_overflow_nothing():
    with np.errstate(all="raise", under="ignore"):
        assert sigmoid(np.float32([-200, 0, 200])).tolist() == [0, 0.5, 1]
        assert softmax(np.float32([-200, 200])).tolist() == [0, 1]


def test_what_it_says_of_itself(classifier):
    assert repr(classifier).startswith("TextClassificationPipeline(BertForSequenceClassification(")


def test_none_in_a_call_leaves_the_function(tmp_path):
    folder = plain(tmp_path / "model")
    made = pipeline(TASK, folder, function_to_apply="none", top_k=2)
    assert made("the cat", function_to_apply=None, top_k=2) == made("the cat", top_k=2)
    assert made("the cat", top_k=2) != pipeline(TASK, folder)("the cat", top_k=2)
    assert len(made("the cat", top_k=None)) == 3  # where None has a meaning of its own


def test_where_files_are_holds_for_the_tokenizer_too(tmp_path):
    plain(tmp_path / "model" / "inner")
    shutil.copy(tmp_path / "model" / "inner" / "vocab.txt", tmp_path / "model")
    (tmp_path / "model" / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    found = pipeline(TASK, tmp_path / "model", model_kwargs={"subfolder": "inner", "local_files_only": True})
    assert found.tokenizer.model_max_length == 24
    assert found("the cat") == pipeline(TASK, tmp_path / "model" / "inner")("the cat")
    assert pipeline(model=tmp_path / "model", model_kwargs={"subfolder": "inner"}).task == TASK


def test_keywords_of_transformers_that_change_nothing(tmp_path):
    folder = plain(tmp_path / "model")
    usual = {"framework": "pt", "use_fast": True, "num_workers": 2, "device_map": None, "torch_dtype": "bfloat16"}
    classifier = pipeline(TASK, folder, **usual)
    assert classifier.model.dtype == "bfloat16"
    assert classifier.device == "cpu"
    with pytest.raises(InputError, match="device says where the model runs"):
        pipeline(TASK, folder, device_map="auto")
    with pytest.raises(InputError, match="framework: found 'tf'"):
        pipeline(TASK, folder, framework="tf")
    with pytest.raises(InputError, match="tokenizer: found a dict, expected a folder"):
        pipeline(TASK, folder, tokenizer={})
