"""Folders that cannot be opened: an error of a line that says what is there, what would have to be, and what helps."""

import json
import os
import re
import shutil

import checkpoints
import pytest
from text_models import sentence_folder, write_json

from filbert import AutoConfig, AutoModel, SentenceEncoder
from filbert.cli import main
from filbert.models import FAMILIES

TRANSFORMER = {"idx": 0, "path": "0_Transformer", "type": "sentence_transformers.models.Transformer"}
POOLING = {"idx": 1, "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}
STATIC = {"idx": 0, "path": "", "type": "sentence_transformers.models.StaticEmbedding"}

NO_CONFIG = "the folder has no config.json; "
NO_WEIGHTS = (
    "the folder has no model.safetensors or model.safetensors.index.json or pytorch_model.bin or "
    "pytorch_model.bin.index.json; "
)
NOT_READ = "which filbert does not read: open the model that it was made from"
CONVERTED = "transformers 4 converts it: AutoModel.from_pretrained(folder, {}=True).save_pretrained(folder)"
QUANTISED = (
    "config.json: quantization_config: found an object, expected none: the weights must be F32, F16, BF16 or F64 "
    "(filbert quantises them itself) (the weights are quantised{}: load the model that they were made from, and "
    "dtype='int8' or 'bfloat16' makes it small)"
)
TYPES = ", ".join(sorted([*FAMILIES, "embedding_gemma2"]))  # of which the texts are a family


def quantised(**settings):
    return {
        "config.json": checkpoints.TINY | {"quantization_config": {"bits": 4, **settings}},
        "model.safetensors": b"x",
    }


def with_weights(name):
    return {"config.json": checkpoints.TINY, name: b"x"}


CASES = {
    "empty": ({}, NO_CONFIG + "it is empty: was it downloaded, or saved, to the end?"),
    "hidden": ({".gitattributes": b"x", ".git/config": b"x"}, NO_CONFIG + "it is empty: was it downloaded, or saved"),
    "notes": ({"b.md": b"", "a.md": b""}, NO_CONFIG + "it has a.md, b.md"),
    "no weights": ({"config.json": checkpoints.TINY}, NO_WEIGHTS + "it has no weights of any kind"),
    "other weights": (with_weights("consolidated.00.pth"), NO_WEIGHTS + "it has consolidated.00.pth"),
    "variant": (
        with_weights("model.fp16.safetensors"),
        NO_WEIGHTS + "it has model.fp16.safetensors, which variant='fp16' opens",
    ),
    "variant in shards": (
        with_weights("model.fp16-00001-of-00015.safetensors"),
        NO_WEIGHTS + "it has model.fp16-00001-of-00015.safetensors, which variant='fp16' opens",
    ),
    "onnx": (with_weights("model.onnx"), NO_WEIGHTS + f"it has model.onnx (ONNX), {NOT_READ}"),
    "onnx inside": (with_weights("onnx/model_O4.onnx"), NO_WEIGHTS + f"it has onnx/model_O4.onnx (ONNX), {NOT_READ}"),
    "gguf": ({"tiny-q4_0.gguf": b"GGUF"}, NO_CONFIG + f"it has tiny-q4_0.gguf (GGUF), {NOT_READ}"),
    "openvino": (
        with_weights("openvino/openvino_model.xml"),
        NO_WEIGHTS + f"it has openvino/openvino_model.xml (OpenVINO), {NOT_READ}",
    ),
    "tensorflow": (
        with_weights("tf_model.h5"),
        NO_WEIGHTS + "it has tf_model.h5 (TensorFlow), which filbert does not read: " + CONVERTED.format("from_tf"),
    ),
    "flax": (
        with_weights("flax_model.msgpack"),
        NO_WEIGHTS + "it has flax_model.msgpack (Flax), which filbert does not read: " + CONVERTED.format("from_flax"),
    ),
    "adapter": (
        {
            "adapter_config.json": {"peft_type": "LORA", "base_model_name_or_path": "org/base"},
            "adapter_model.safetensors": b"x",
        },
        "adapter_config.json: the folder holds an adapter (LORA of 'org/base'), which filbert does not apply; merge it "
        "into the weights (peft: model.merge_and_unload()), save the model and load that",
    ),
    "checkpoints": (
        {"checkpoint-500/config.json": checkpoints.TINY},
        NO_CONFIG + "checkpoint-500 in it has one: open that, or pass subfolder='checkpoint-500'",
    ),
    **{
        method: (quantised(quant_method=method), QUANTISED.format(f" by '{method}'"))
        for method in ("bitsandbytes", "gptq", "awq", "fp8", "compressed-tensors")
    },
    "quantised": (quantised(load_in_8bit=True), QUANTISED.format("")),
    "unknown type": (
        {"config.json": {"model_type": "gpt2"}},
        f'config.json: model_type: found "gpt2" (string), expected one of the supported: {TYPES}',
    ),
    "code": (
        {
            "config.json": {
                "model_type": "neobert",
                "auto_map": {"AutoConfig": "org/code--config_x.Config", "AutoModel": "org/code--modeling_x.Model"},
            },
            "modeling_x.py": b"raise SystemExit('it was run')",
        },
        f'config.json: model_type: found "neobert" (string), expected one of the supported: {TYPES} (auto_map names '
        "code of the repository for AutoModel, modeling_x.py: 'org/code--modeling_x.Model', which is never run)",
    ),
    "code of another task": (
        {"config.json": {"model_type": "x", "auto_map": {"AutoModelForMaskedLM": "modeling_x.ForMaskedLM"}}},
        "(auto_map names code of the repository for AutoModelForMaskedLM, modeling_x.py: 'modeling_x.ForMaskedLM', "
        "which is never run)",
    ),
    "no type": ({"config.json": {}}, f"config.json: model_type is missing; expected one of: {TYPES}"),
}


def make(folder, files):
    folder.mkdir()
    for name, contents in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(contents if isinstance(contents, bytes) else json.dumps(contents).encode())
    return folder


def told(open_it, folder):
    with pytest.raises((OSError, ValueError)) as caught:
        open_it(folder)
    return str(caught.value)


def info(capsys, folder):
    """What `info` prints, and its error of one line."""
    code = main(["info", str(folder)])
    captured = capsys.readouterr()
    errors = [line for line in captured.err.splitlines() if not line.startswith("filbert: warning: ")]
    assert (code, len(errors)) == (2, 1)
    return captured.out, errors[0].removeprefix("filbert: ")


@pytest.mark.filterwarnings("ignore:.* has no modules.json")
@pytest.mark.parametrize("case", CASES)
def test_a_folder_that_is_no_model(tmp_path, capsys, case):
    """AutoModel, SentenceEncoder and `info` say the same."""
    files, message = CASES[case]
    folder = make(tmp_path / "folder", files)
    found = told(AutoModel.from_pretrained, folder)
    assert found.startswith(str(folder))
    assert message in found
    assert "\n" not in found
    assert told(SentenceEncoder.from_pretrained, folder) == found
    out, error = info(capsys, folder)
    assert error == found
    assert out.splitlines()[0] == f"model             {folder}"
    if files.get("config.json"):
        assert f"architecture      {files['config.json']['model_type']}" in out


def test_nothing_is_said_of_tokenizers(tmp_path):
    """Weights of another format are not why a tokenizer is missing."""
    folder = checkpoints.write_folder(tmp_path / "model")
    (folder / "model.onnx").write_bytes(b"x")
    with pytest.warns(UserWarning, match=r"has no modules\.json"):
        found = told(SentenceEncoder.from_pretrained, folder)
    assert found.endswith("the folder has no tokenizer.json or vocab.txt or vocab.json")


def test_the_variant_that_is_named_opens(tmp_path):
    folder = checkpoints.write_folder(tmp_path / "model")
    os.rename(folder / "model.safetensors", folder / "model.fp16.safetensors")
    found = told(AutoModel.from_pretrained, folder)
    variant = re.search(r"variant='(\w+)'", found)[1]
    assert AutoModel.from_pretrained(folder, variant=variant).hidden_size == 32
    assert "it has model.fp16.safetensors, which variant='fp16'" in told(
        lambda path: AutoModel.from_pretrained(path, variant="fp32"), folder
    )


def outer_folder(folder):
    """A sentence-transformers model with its encoder in a folder of its own."""
    sentence_folder(folder)
    (folder / "0_Transformer").mkdir()
    for name in ("config.json", "model.safetensors", "vocab.txt", "tokenizer_config.json", "sentence_bert_config.json"):
        shutil.move(folder / name, folder / "0_Transformer" / name)
    write_json(folder / "modules.json", [TRANSFORMER, POOLING])
    return folder


def test_an_outer_folder(tmp_path, capsys):
    folder = outer_folder(tmp_path / "outer")
    assert main(["info", str(folder)]) == 0
    assert f"weights           {folder}/0_Transformer/model.safetensors" in capsys.readouterr().out
    assert SentenceEncoder.from_pretrained(folder).encode("a cat").shape == (32,)
    for open_it in (AutoModel.from_pretrained, AutoConfig.from_pretrained):
        assert told(open_it, folder) == (
            f"{folder}: {NO_CONFIG}modules.json has the encoder in '0_Transformer': SentenceEncoder finds it, "
            "AutoModel takes subfolder='0_Transformer'"
        )
    assert AutoModel.from_pretrained(folder, subfolder="0_Transformer").hidden_size == 32


def test_an_outer_folder_without_weights(tmp_path, capsys):
    folder = outer_folder(tmp_path / "outer")
    (folder / "0_Transformer" / "model.safetensors").unlink()
    found = told(SentenceEncoder.from_pretrained, folder)
    assert found.startswith(f"{folder}: the folder has no 0_Transformer/model.safetensors or 0_Transformer/model.")
    assert found.endswith("; it has no weights of any kind: was it downloaded, or saved, to the end?")
    assert info(capsys, folder)[1] == found
    shutil.rmtree(folder / "0_Transformer")
    found = told(SentenceEncoder.from_pretrained, folder)
    assert found == (
        f"{folder}: the folder has no 0_Transformer/config.json; that subfolder is empty or not there: was it "
        "downloaded, or saved, to the end?"
    )
    out, error = info(capsys, folder)
    assert error == found
    assert "modules           Transformer -> Pooling" in out
    assert told(AutoModel.from_pretrained, folder).endswith(
        "modules.json has the encoder in '0_Transformer', and there is none: was the model saved to the end?"
    )


def test_static_embeddings(tmp_path, capsys):
    folder = make(tmp_path / "static", {"modules.json": [STATIC], "model.safetensors": b"x"})
    found = told(SentenceEncoder.from_pretrained, folder)
    assert found.startswith(f"{folder}/model.safetensors: ")
    out, error = info(capsys, folder)
    assert error == found
    assert "modules           StaticEmbedding\n" in out
    assert told(AutoModel.from_pretrained, folder) == (
        f"{folder}: {NO_CONFIG}modules.json begins with 'StaticEmbedding', which SentenceEncoder opens"
    )


@pytest.mark.parametrize("text", ["{", "[]", "[3]", '{"type": 1}', "\xff", "[[]]", '[{"type": {}, "path": []}]'])
def test_a_modules_json_that_says_nothing(tmp_path, capsys, text):
    folder = make(tmp_path / "odd", {"modules.json": text.encode("latin-1")})
    assert str(folder / "modules.json") in info(capsys, folder)[1]
    assert NO_CONFIG in told(AutoModel.from_pretrained, folder)


def test_json_that_cannot_be_read(tmp_path, capsys):
    folder = make(tmp_path / "broken", {"config.json": b'{"model_type": bert}'})
    found = told(AutoModel.from_pretrained, folder)
    assert found.startswith(f"{folder}/config.json: line 1, column 16: ")
    assert told(SentenceEncoder.from_pretrained, folder).startswith(f"{folder}/config.json: line 1, column 16: ")
    assert info(capsys, folder)[1] == found
