"""The keywords of transformers' from_pretrained: taken where they change nothing, else done or refused by name."""

import inspect
import json
import pickle
import warnings

import checkpoints
import numpy as np
import pytest
import torch_files

from filbert import AutoModel, AutoModelForSequenceClassification, AutoTokenizer, BertConfig, BertModel, InputError
from filbert.loading_keywords import HARMLESS, own_keywords

IDS = [[2, 5, 6, 3]]


@pytest.fixture
def both_formats(tiny_folder):
    """The tiny model in safetensors, and in pytorch_model.bin with weights of another seed."""
    weights = checkpoints.tensors(seed=1)
    (tiny_folder / "pytorch_model.bin").write_bytes(torch_files.zip_bytes(*torch_files.dense(weights)))
    return tiny_folder


@pytest.mark.parametrize(
    "keywords",
    [
        {"low_cpu_mem_usage": True, "attn_implementation": "sdpa", "torch_dtype": "auto", "trust_remote_code": True},
        {"ignore_mismatched_sizes": False, "proxies": None, "from_tf": False, "state_dict": None, "key_mapping": {}},
        {"resume_download": True, "weights_only": False, "use_auth_token": None, "tp_plan": None, "mirror": "x"},
        {"device_map": None, "offload_folder": "x", "max_memory": None, "quantization_config": None, "_fast_init": 0},
        {"local_files_only": True, "token": False, "variant": None, "output_loading_info": False},
    ],
)
def test_keywords_that_change_nothing(tiny_folder, keywords):
    expected = AutoModel.from_pretrained(tiny_folder)(IDS)[0]
    for chosen in (AutoModel, BertModel):
        model = chosen.from_pretrained(tiny_folder, **keywords)
        assert (model.dtype, model.device) == ("float32", "cpu")
        np.testing.assert_array_equal(model(IDS)[0], expected)
        assert not keywords.keys() & json.loads(model.config.to_json_string()).keys()


@pytest.mark.parametrize(
    ("keyword", "value", "reason"),
    [
        ("ignore_mismatched_sizes", True, "found True; a tensor of another size is an error: random numbers would"),
        ("state_dict", {"a": 1}, r"found {'a': 1}; weights come from files"),
        ("quantization_config", {"load_in_4bit": True}, "dtype='int8' or 'bfloat16' makes a model small"),
        ("load_in_8bit", True, "dtype='int8'"),
        ("from_tf", True, "read from safetensors files and from pytorch_model.bin"),
        ("gguf_file", "a.gguf", "found 'a.gguf'; weights are read from safetensors"),
        ("tp_plan", "auto", "a model is on one device, which device=... names"),
        ("max_memory", {0: "1GB"}, "a model is on one device"),
        ("key_mapping", {"a": "b"}, "rename them in the file"),
        ("proxies", {"https": "a:1"}, "set HTTPS_PROXY"),
        ("adapter_kwargs", {"revision": "x"}, "merge_and_unload"),
    ],
)
def test_keywords_that_would_change_results(tiny_folder, keyword, value, reason):
    for load in (AutoModel.from_pretrained, BertModel.from_pretrained):
        with pytest.raises(InputError, match=rf"^{keyword}: .*{reason}"):
            load(tiny_folder, **{keyword: value})
    with pytest.raises(InputError, match=rf"^{keyword}: "):
        AutoModel.from_config(BertConfig(**checkpoints.TINY), **{keyword: value})


def test_unknown_keywords(tiny_folder):
    with pytest.raises(TypeError, match="unexpected keyword arguments: low_cpu_memory, use_sdpa"):
        AutoModel.from_pretrained(tiny_folder, use_sdpa=True, low_cpu_memory=True, low_cpu_mem_usage=True)


def test_every_named_keyword_of_transformers_is_known(transformers):
    parameters = inspect.signature(transformers.PreTrainedModel.from_pretrained).parameters.values()
    theirs = {each.name for each in parameters if each.kind is inspect.Parameter.KEYWORD_ONLY}
    own = set(inspect.signature(BertModel.from_pretrained).parameters)
    unknown = {name for name in theirs - own - HARMLESS if name in own_keywords({name: None})}
    assert unknown == {"disable_mmap"}, "which is mmap=False here"


@pytest.mark.parametrize(
    ("device_map", "device"),
    [
        ("cpu", "cpu"),
        ("cuda:1", "cuda:1"),
        (1, "cuda:1"),
        ("auto", "auto"),
        ("balanced", "auto"),
        ({"": "cpu"}, "cpu"),
        ({"embeddings": 0, "encoder": "cuda:0"}, "cuda:0"),
    ],
)
def test_a_device_map_of_one_device(device_map, device):
    assert own_keywords({"device": None, "device_map": device_map}) == {"device": device}


def test_a_device_map_places_the_model(tiny_folder):
    assert AutoModel.from_pretrained(tiny_folder, device_map={"": "cpu"}).device == "cpu"
    with pytest.raises(InputError, match=r"device_map: found 'cuda:0' and 'cpu', expected one device"):
        AutoModel.from_pretrained(tiny_folder, device_map={"embeddings": 0, "encoder": "cpu", "pooler": "cpu"})
    with pytest.raises(InputError, match="device_map: found no device"):
        AutoModel.from_pretrained(tiny_folder, device_map={})
    with pytest.raises(InputError, match="device_map: found 'cpu' beside device='cpu', expected one"):
        AutoModel.from_pretrained(tiny_folder, device="cpu", device_map="cpu")


def test_a_device_of_torch(tiny_folder, torch):
    assert AutoModel.from_pretrained(tiny_folder, device_map=torch.device("cpu")).device == "cpu"
    assert own_keywords({"device_map": {"": torch.device("cuda", 1)}}) == {"device": "cuda:1"}
    assert AutoModel.from_pretrained(tiny_folder, torch_dtype=torch.bfloat16).dtype == "bfloat16"


def test_the_newer_name_of_a_keyword_counts():
    assert own_keywords({"torch_dtype": "float16", "dtype": None}) == {"dtype": "float16"}
    assert own_keywords({"torch_dtype": "float16", "dtype": "int8"}) == {"dtype": "int8"}
    assert own_keywords({"use_auth_token": "a"}) == {"token": "a"}


def test_use_safetensors(both_formats):
    def load(value):
        return AutoModel.from_pretrained(both_formats, use_safetensors=value)

    safe, pickled = (BertModel.from_pretrained(both_formats).state_dict(), checkpoints.tensors(seed=1))
    name = "embeddings.word_embeddings.weight"
    assert (safe[name] != pickled[name]).any()
    for value, expected in ((None, safe), (True, safe), (False, pickled)):
        np.testing.assert_array_equal(load(value).state_dict()[name], expected[name])
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(load(value))).state_dict()[name], expected[name])
    (both_formats / "model.safetensors").unlink()
    np.testing.assert_array_equal(load(None).state_dict()[name], pickled[name])
    with pytest.raises(OSError, match=r"has no model\.safetensors or model\.safetensors\.index\.json; ") as error:
        load(True)
    assert "has no pytorch_model" not in str(error.value)


def test_loading_info(tiny_folder):
    model, info = AutoModel.from_pretrained(tiny_folder, output_loading_info=True)
    assert type(model) is BertModel
    assert info == {"missing_keys": set(), "unexpected_keys": set(), "mismatched_keys": set(), "error_msgs": []}
    _, info = BertModel.from_pretrained(tiny_folder, add_pooling_layer=False, output_loading_info=True)
    assert info["unexpected_keys"] == {"pooler.dense.weight", "pooler.dense.bias"}


def test_loading_info_beside_transformers(tmp_path, torch, transformers):
    config = transformers.BertConfig(**checkpoints.TINY, num_labels=3)
    transformers.BertForSequenceClassification(config).save_pretrained(tmp_path)
    for ours, theirs in (
        (AutoModel, transformers.AutoModel),
        (AutoModelForSequenceClassification, transformers.AutoModelForSequenceClassification),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _, found = ours.from_pretrained(tmp_path, output_loading_info=True)
        _, expected = theirs.from_pretrained(tmp_path, output_loading_info=True)
        assert found == expected
        assert {key: type(value) for key, value in found.items()} == {k: type(v) for k, v in expected.items()}


def test_a_new_model_takes_them_too():
    config = BertConfig(**checkpoints.TINY)
    model = AutoModel.from_config(config, seed=0, attn_implementation="eager", torch_dtype="bfloat16", device_map="cpu")
    assert (model.dtype, model.device) == ("bfloat16", "cpu")


def test_keywords_of_saving(tiny_folder, tmp_path):
    model = AutoModel.from_pretrained(tiny_folder)
    usual = {"safe_serialization": True, "push_to_hub": False, "is_main_process": True, "state_dict": None}
    model.save_pretrained(tmp_path / "saved", **usual, variant=None, token="x", use_auth_token=None)
    np.testing.assert_array_equal(AutoModel.from_pretrained(tmp_path / "saved")(IDS)[0], model(IDS)[0])
    for keyword, value, reason in (
        ("safe_serialization", False, "found False; weights are written as safetensors"),
        ("push_to_hub", True, "found True; upload the folder with huggingface_hub"),
        ("is_main_process", False, "call it in one process"),
        ("state_dict", model.state_dict(), "the weights that are written are the model's"),
        ("variant", "fp16", "found 'fp16'; files have the usual names"),
    ):
        with pytest.raises(InputError, match=rf"^{keyword}: .*{reason}"):
            model.save_pretrained(tmp_path / "refused", **{keyword: value})
    with pytest.raises(TypeError, match=r"save_pretrained\(\) got unexpected keyword arguments: colour"):
        model.save_pretrained(tmp_path / "refused", colour=1)
    assert not (tmp_path / "refused").exists()


def test_moving_does_not_ask_whether_to_wait(tiny_folder):
    model = AutoModel.from_pretrained(tiny_folder)
    assert model.to("cpu", non_blocking=True) is model.to("cpu", "bfloat16", True) is model
    assert (model.dtype, model.device) == ("bfloat16", "cpu")


def test_a_token_is_no_setting_of_a_tokenizer(tmp_path):
    from text_models import vocabulary_folder

    tokenizer = AutoTokenizer.from_pretrained(
        vocabulary_folder(tmp_path), use_auth_token="secret", trust_remote_code=True, model_max_length=9
    )
    tokenizer.save_pretrained(tmp_path / "saved")
    saved = (tmp_path / "saved" / "tokenizer_config.json").read_text()
    assert "secret" not in saved
    assert not {"token", "use_auth_token", "trust_remote_code"} & json.loads(saved).keys()
    assert tokenizer.model_max_length == 9
