"""Settings in the files of a model: honoured, harmless, refused, or named in one warning; never silent."""

import json
import warnings

import checkpoints
import numpy as np
import pytest
from text_models import VOCABULARY, sentence_folder, vocabulary_folder, write_json

from filbert import (
    AutoConfig,
    AutoModel,
    AutoTokenizer,
    BertConfig,
    BertModel,
    ConfigError,
    Qwen3Config,
    SentenceEncoder,
)
from filbert.auto import AutoModelForNextToken

LONG = "the cat runs . " * 12


def edit(path, **changes):
    value = json.loads(path.read_text()) if path.exists() else {}
    write_json(path, {**value, **changes})
    return path


@pytest.fixture
def folder(tmp_path):
    return sentence_folder(tmp_path / "model")


def warned(load):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = load()
    return result, [str(warning.message) for warning in caught]


FILES = [
    "config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "sentence_bert_config.json",
    "1_Pooling/config.json",
    "2_Normalize/config.json",
    "config_sentence_transformers.json",
]


@pytest.mark.parametrize("file", FILES)
def test_a_key_that_nobody_knows_gives_one_warning(folder, file):
    edit(folder / file, shiny_new_setting=3, another=None)
    encoder, messages = warned(lambda: SentenceEncoder.from_pretrained(folder))
    assert encoder.encode("a cat").shape == (32,)
    assert len(messages) == 1
    assert "shiny_new_setting=3" in messages[0]
    assert "another" not in messages[0], "null is nothing"


def test_a_key_of_modules_json_that_nobody_knows(folder):
    modules = json.loads((folder / "modules.json").read_text())
    modules[1]["weight"] = 2
    write_json(folder / "modules.json", modules)
    _, messages = warned(lambda: SentenceEncoder.from_pretrained(folder))
    assert len(messages) == 1
    assert "weight=2" in messages[0]


# Keys that files of well-known models have, and that change nothing here.
USUAL = {
    "config.json": {
        "_name_or_path": "x", "architectures": ["BertForMaskedLM"], "torch_dtype": "float32", "use_cache": True,
        "transformers_version": "4.8.2", "gradient_checkpointing": False, "position_embedding_type": "absolute",
        "directionality": "bidi", "pooler_fc_size": 768, "pooler_type": "first_token_transform", "output_past": True,
        "classifier_dropout": None, "id2label": {"0": "A", "1": "B"}, "label2id": {"A": 0, "B": 1}, "_num_labels": 2,
        "task_specific_params": {}, "sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity",
        "auto_map": {"AutoModelForSequenceClassification": "modeling.X"}, "pruned_heads": {},
    },
    "tokenizer_config.json": {
        "name_or_path": "x", "special_tokens_map_file": "y", "do_basic_tokenize": True, "never_split": None,
        "tokenizer_file": "/root/.cache/x", "clean_up_tokenization_spaces": True, "stride": 0, "max_length": 128,
        "truncation_strategy": "longest_first", "pad_to_multiple_of": None, "padding_side": "right", "use_fast": True,
        "model_input_names": ["input_ids", "attention_mask"], "chat_template": "{{ x }}", "backend": "tokenizers",
        "auto_map": {"AutoTokenizer": ["a.B", None]}, "extra_special_tokens": {}, "boi_token": "[MASK]",
    },
    "sentence_bert_config.json": {
        "transformer_task": "feature-extraction", "module_output_name": "token_embeddings", "unpad_inputs": None,
        "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
        "model_args": {"torch_dtype": "float16", "attn_implementation": "sdpa", "trust_remote_code": True},
    },
    "config_sentence_transformers.json": {
        "__version__": {"pytorch": "2.0"}, "model_type": "SentenceTransformer", "similarity_fn_name": None
    },
}  # fmt: skip


def test_usual_keys_change_nothing_and_warn_of_nothing(folder):
    expected = SentenceEncoder.from_pretrained(folder).encode(LONG)
    for file, keys in USUAL.items():
        edit(folder / file, **keys)
    encoder, messages = warned(lambda: SentenceEncoder.from_pretrained(folder))
    assert messages == []
    assert encoder.encode(LONG).tobytes() == expected.tobytes()


@pytest.mark.parametrize("layout", ["tokenizer.json", "vocab.txt"])
def test_the_limit_under_its_old_name(tmp_path, layout):
    folder = vocabulary_folder(tmp_path / "tokenizer")
    if layout == "tokenizer.json":
        AutoTokenizer.from_pretrained(folder).save_pretrained(folder)
    for config, limit in (
        ({"max_len": 7}, 7),
        ({"max_len": 7, "model_max_length": 9}, 9),
        ({"max_len": 7, "model_max_length": None}, int(1e30)),
    ):
        write_json(folder / "tokenizer_config.json", {"tokenizer_class": "BertTokenizer", **config})
        tokenizer = AutoTokenizer.from_pretrained(folder)
        assert tokenizer.model_max_length == limit
        ids = tokenizer(LONG, truncation=True, verbose=False)["input_ids"]
        assert len(ids) == min(limit, 62)
    write_json(folder / "tokenizer_config.json", {"max_len": "long"})
    with pytest.raises(ConfigError, match="max_len: found 'long'"):
        AutoTokenizer.from_pretrained(folder)


def test_split_special_tokens(tmp_path):
    folder = vocabulary_folder(tmp_path / "tokenizer", [*VOCABULARY, "[", "]", "mask"])
    plain, split = (
        AutoTokenizer.from_pretrained(folder, split_special_tokens=value, clean_up_tokenization_spaces=False)
        for value in (False, True)
    )
    assert plain.tokenize("a [MASK]") == ["a", "[MASK]"]
    assert split.tokenize("a [MASK]") == ["a", "[", "mask", "]"]
    assert split("a [MASK]", truncation=True, max_length=5)["input_ids"] == [2, 6, 40, 42, 3]


def test_added_tokens_of_a_file_of_their_own(tmp_path):
    for layout in ("vocab.txt", "tokenizer.json"):
        folder = vocabulary_folder(tmp_path / layout)
        if layout == "tokenizer.json":
            AutoTokenizer.from_pretrained(folder).save_pretrained(folder)
            write_json(folder / "tokenizer_config.json", {"tokenizer_class": "BertTokenizer", "new_token": "[NEW]"})
        write_json(folder / "added_tokens.json", {"<b>": 41, "Added Word": 40})
        tokenizer = AutoTokenizer.from_pretrained(folder)
        assert tokenizer("a added word <b>", add_special_tokens=False)["input_ids"] == [6, 40, 41]
        assert tokenizer.convert_tokens_to_ids(["Added Word", "<b>"]) == [40, 41]
        if layout == "tokenizer.json":
            assert tokenizer.tokenize("a [NEW]") == ["a", "[NEW]"]


@pytest.mark.parametrize("where", ["config.json", "tokenizer_config.json"])
def test_a_tokenizer_of_another_class_is_not_read_as_bert(folder, where):
    edit(folder / "tokenizer_config.json", tokenizer_class=None)
    edit(folder / where, tokenizer_class="BertJapaneseTokenizer")
    for face in (AutoTokenizer, SentenceEncoder):
        with pytest.raises(ConfigError, match=r"BertJapaneseTokenizer needs a tokenizer\.json"):
            face.from_pretrained(folder)


def test_a_vocabulary_of_a_model_of_another_type_is_not_read_as_bert(folder):
    edit(folder / "tokenizer_config.json", tokenizer_class=None)
    edit(folder / "config.json", model_type="flaubert")
    with pytest.raises(ConfigError, match=r"a model of type 'flaubert' needs a tokenizer\.json"):
        AutoTokenizer.from_pretrained(folder)
    edit(folder / "tokenizer_config.json", tokenizer_class="BertTokenizerFast")
    assert AutoTokenizer.from_pretrained(folder).tokenize("a cat") == ["a", "cat"]


def test_a_tokenizer_json_of_bert_without_its_special_tokens_gets_them(folder):
    expected = AutoTokenizer.from_pretrained(folder)("a cat", "a dog")
    AutoTokenizer.from_pretrained(folder).save_pretrained(folder)
    edit(folder / "tokenizer.json", post_processor=None)
    assert AutoTokenizer.from_pretrained(folder)("a cat", "a dog") == expected
    edit(folder / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
    assert len(AutoTokenizer.from_pretrained(folder)("a cat")["input_ids"]) == 2


@pytest.mark.parametrize("names", [("processor_kwargs", "config_kwargs"), ("tokenizer_args", "config_args")])
def test_keywords_of_the_transformer_module(folder, names):
    base = SentenceEncoder.from_pretrained(folder)
    processor, config = names
    settings = folder / "sentence_bert_config.json"
    edit(settings, **{processor: {"do_lower_case": False, "model_max_length": 9, "use_fast": True}})
    cased = SentenceEncoder.from_pretrained(folder)
    assert cased.max_seq_length == 9
    assert cased.tokenizer.tokenize("Caf\u00e9")[0] == "Caf"
    edit(settings, **{processor: {}, config: {"hidden_act": "relu"}})
    relu = SentenceEncoder.from_pretrained(folder)
    assert relu.model.config.hidden_act == "relu"
    edit(folder / "config.json", hidden_act="relu")
    edit(settings, **{config: {}})
    expected = SentenceEncoder.from_pretrained(folder).encode(LONG)
    assert relu.encode(LONG).tobytes() == expected.tobytes()
    assert np.abs(relu.encode(LONG) - base.encode(LONG)).max() > 1e-3


@pytest.mark.parametrize(
    ("file", "keys", "message"),
    [
        ("sentence_bert_config.json", {"model_args": {"file_name": "x.onnx"}}, "model_kwargs: found .*x.onnx"),
        ("sentence_bert_config.json", {"model_kwargs": {"default_task": "x"}}, "model_kwargs: found .*default_task"),
        ("sentence_bert_config.json", {"config_kwargs": {"nonsense": 1}}, "found nonsense, which BertConfig does not"),
        ("sentence_bert_config.json", {"processor_kwargs": {"subfolder": "x"}}, "processor_kwargs: subfolder: found"),
        ("sentence_bert_config.json", {"processor_kwargs": [1]}, "processor_kwargs: found .*expected an object"),
        ("sentence_bert_config.json", {"modality_config": {"text": {"method": "encode"}}}, "modality_config: found"),
        ("sentence_bert_config.json", {"tokenizer_name_or_path": "x"}, "tokenizer_name_or_path: found 'x'"),
        ("config_sentence_transformers.json", {"model_type": "SparseEncoder"}, "model_type: found 'SparseEncoder'"),
        ("adapter_config.json", {"peft_type": "LORA"}, "adapter_config.json: the folder holds an adapter"),
        ("config.json", {"quantization_config": {"bits": 4}}, "quantization_config"),
        ("config.json", {"pruned_heads": {"0": [1]}}, "pruned_heads"),
        ("config.json", {"feed_forward_type": "geglu"}, "feed_forward_type"),
        (
            "config.json",
            {"hidden_act": "x", "auto_map": {"AutoModel": "a.B"}},
            "hidden_act: .*auto_map names code .*a.B",
        ),
        ("tokenizer_config.json", {"split_special_tokens": "yes"}, "split_special_tokens: found 'yes'"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(folder, file, keys, message):
    edit(folder / file, **keys)
    with pytest.raises(ConfigError, match=message):
        SentenceEncoder.from_pretrained(folder)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"auto_map": {"AutoModel": "modeling.JinaBertModel"}}, "auto_map names code .*JinaBertModel.* never run"),
        ({"architectures": ["JinaBertModel"]}, "architectures names JinaBertModel"),
        ({"architectures": ["NomicBertModel", "X"]}, "architectures names NomicBertModel, X"),
    ],
)
def test_an_architecture_of_another_name_is_told(tmp_path, keys, message):
    folder = checkpoints.write_folder(tmp_path / "model", {**checkpoints.TINY, **keys})
    for face in (AutoModel, BertModel):
        with pytest.warns(UserWarning, match=message) as caught:
            face.from_pretrained(folder)
        assert len(caught) == 1
        assert caught[0].filename == __file__


def test_code_that_computes_what_filbert_does_is_not_told(tmp_path):
    code = {"AutoConfig": "org/code--configuration_bert.JinaBertConfig", "AutoModel": "org/code--bert.JinaBertModel"}
    keys = {"auto_map": code, "architectures": ["JinaBertModel"]}
    folder = checkpoints.write_folder(tmp_path / "model", {**checkpoints.TINY, **keys})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        BertModel.from_pretrained(folder)
    for other in ({"AutoConfig": "org/code--c.OtherConfig"}, {"AutoModel": "org/other--m.OtherModel"}):
        edit(folder / "config.json", auto_map={**code, **other})
        with pytest.warns(UserWarning, match="never run"):
            BertModel.from_pretrained(folder)


def test_a_configuration_that_is_given_is_told_of_too(tmp_path):
    keys = {"logit_soft_clamp": 3.0, "auto_map": {"AutoModel": "modeling_x.XModel"}}
    folder = checkpoints.write_folder(tmp_path / "model", {**checkpoints.TINY, **keys})
    config = AutoConfig.from_pretrained(folder)
    for face in (AutoModel, BertModel):
        for keywords in ({}, {"config": config}):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                face.from_pretrained(folder, **keywords)
            unknown, code = (str(warning.message) for warning in caught)
            assert unknown.startswith(f"{folder}/config.json: filbert does not know logit_soft_clamp=3.0, and")
            assert "auto_map names code of the repository for AutoModel" in code
            assert {warning.filename for warning in caught} == {__file__}


def test_a_configuration_of_the_program_is_not_the_file(tmp_path):
    keys = {"logit_soft_clamp": 3.0, "auto_map": {"AutoModel": "modeling_x.XModel"}, "architectures": ["XModel"]}
    folder = checkpoints.write_folder(tmp_path / "model", {**checkpoints.TINY, **keys})
    own = {key: value for key, value in checkpoints.TINY.items() if key != "architectures"}
    for face in (AutoModel, BertModel):
        assert warned(lambda face=face: face.from_pretrained(folder, config=BertConfig(**own)))[1] == []
    (message,) = warned(lambda: BertModel.from_pretrained(folder, config=BertConfig(**own, colour="red")))[1]
    assert message.startswith("BertConfig: filbert does not know colour='red'")


def test_a_configuration_is_told_of_once_where_a_module_changes_it(folder):
    edit(folder / "config.json", shiny_new_setting=3)
    edit(folder / "sentence_bert_config.json", config_kwargs={"hidden_act": "relu"})
    (message,) = warned(lambda: SentenceEncoder.from_pretrained(folder))[1]
    assert "shiny_new_setting=3" in message


def test_code_that_predicts_tokens_is_told_of_by_its_name(tmp_path):
    sizes = {"vocab_size": 40, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 16}
    config = Qwen3Config(**sizes, **heads, next_token_ids=[1, 2], auto_map={"AutoModelForCausalLM": "a.B"})
    AutoModelForNextToken.from_config(config, seed=0).save_pretrained(tmp_path)
    for keywords in ({}, {"config": AutoConfig.from_pretrained(tmp_path)}):
        (message,) = warned(lambda: AutoModelForNextToken.from_pretrained(tmp_path, next_token_ids=[1], **keywords))[1]  # noqa: B023
        assert "auto_map names code of the repository for AutoModelForCausalLM, a.py: 'a.B'" in message


def test_a_copy_instead_of_a_map_for_sentences_too(folder):
    encoder = SentenceEncoder.from_pretrained(folder, mmap=False)
    before = encoder.encode("a cat")
    with (folder / "model.safetensors").open("r+b") as file:
        file.truncate(100)
    assert encoder.encode("a cat").tobytes() == before.tobytes()
