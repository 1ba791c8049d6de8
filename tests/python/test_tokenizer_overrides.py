"""What tokenizer_config.json, keywords and the class change of a tokenizer.json; beside transformers where it is."""

import json

import pytest
from pipeline_models import byte_pairs
from text_models import write_json
from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE, Unigram, WordPiece

from filbert import AutoTokenizer, ConfigError

BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
LETTERS = "abcdefghijklmnopqrstuvwxyzT\u0301\u2581"
TEXTS = ["The cafe\u0301", "a,b", " two  words", "b", "a</s> a<s>a", " ", ""]


def pieces(special):
    return [(token, 0.0) for token in special] + [(piece, -3.0) for piece in LETTERS] + [("▁The", -1.0), ("▁the", -1.0)]


def metaspace(backend, special, *first):
    backend.pre_tokenizer = pre_tokenizers.Sequence([*first, pre_tokenizers.Metaspace()])
    backend.decoder = decoders.Metaspace()
    backend.add_special_tokens(special)
    return backend


def deberta(folder):
    special = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
    backend = Tokenizer(Unigram(pieces(special), 3))
    backend.normalizer = normalizers.Sequence(
        [normalizers.Replace(Regex(r"\s{2,}|[\n\r\t]"), " "), normalizers.NFC(), normalizers.Strip(left=False)]
    )
    return write(folder, metaspace(backend, special), "DebertaV2Tokenizer", "deberta-v2", unk_id=3)


def albert(folder):
    special = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"]
    backend = Tokenizer(Unigram(pieces(special), 1))
    steps = [normalizers.Replace("``", '"'), normalizers.Replace("''", '"'), normalizers.NFKD()]
    backend.normalizer = normalizers.Sequence([*steps, normalizers.StripAccents(), normalizers.Lowercase()])
    return write(folder, metaspace(backend, special, pre_tokenizers.WhitespaceSplit()), "AlbertTokenizer", "albert")


def rembert(folder):
    """Its class takes the third token for the unknown one, so here it is that."""
    special = ["<pad>", "[MASK]", "<unk>", "[CLS]", "[SEP]"]
    backend = Tokenizer(Unigram(pieces(special), 2))
    steps = [normalizers.Replace("``", '"'), normalizers.Replace("''", '"'), normalizers.Replace(Regex(" {2,}"), " ")]
    backend.normalizer = normalizers.Sequence(steps)
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 3), ("[SEP]", 4)]
    )
    return write(folder, metaspace(backend, special), "RemBertTokenizer", "rembert")


def xlm_roberta(folder):
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    backend = metaspace(Tokenizer(Unigram(pieces(special), 3)), special, pre_tokenizers.WhitespaceSplit())
    return write(folder, backend, "XLMRobertaTokenizer", "xlm-roberta")


def xlm_roberta_xl(folder):
    """Models of this type take tokenizer.json as it is."""
    folder = xlm_roberta(folder)
    named = {"tokenizer_class": "XLMRobertaTokenizer", "pad_token": "<pad>"}
    write_json(folder / "tokenizer_config.json", {"model_max_length": 64, **named})
    write_json(folder / "config.json", {"model_type": "xlm-roberta-xl"})
    return folder


def mpnet(folder):
    vocabulary = ["<s>", "<pad>", "</s>", "<unk>", "[UNK]", "<mask>", "The", "the", "cafe", "a", "b", ","]
    backend = Tokenizer(WordPiece({token: index for index, token in enumerate(vocabulary)}, unk_token="[UNK]"))
    backend.normalizer, backend.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    backend.add_special_tokens(["<s>", "<pad>", "</s>", "[UNK]", "<mask>"])
    return write(folder, backend, "MPNetTokenizer", "mpnet")


def modernbert(folder):
    """Models of this type take tokenizer.json as it is, whatever class the files name."""
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    backend = metaspace(Tokenizer(Unigram(pieces(special), 3)), special)
    return write(folder, backend, "XLMRobertaTokenizer", "modernbert", pad_token="<pad>")


def unknown(folder):
    special = ["<unk>", "<pad>"]
    backend = metaspace(Tokenizer(Unigram(pieces(special), 0)), special)
    names = ["input_ids", "attention_mask"]
    return write(folder, backend, None, "of_no_type", pad_token="<pad>", model_input_names=names)


def gemma(folder, name="GemmaTokenizer"):
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    vocabulary = {token: index for index, token in enumerate([*special, *LETTERS])}
    backend = Tokenizer(BPE(vocabulary, [], fuse_unk=True, unk_token="<unk>", byte_fallback=True))
    backend.normalizer = normalizers.Replace(" ", "▁")
    backend.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    backend.add_special_tokens(special)
    backend.post_processor = processors.TemplateProcessing(
        single="<bos> $A", pair="<bos> $A <bos>:1 $B:1", special_tokens=[("<bos>", 2)]
    )
    named = {f"{role}_token": f"<{role}>" for role in ("bos", "eos", "pad", "unk", "mask")}
    return write(folder, backend, name, "gemma3_text", **named)


def llama(folder, model_type="llama"):
    """As Llama's files have it: the normalizer puts a space before every piece of text."""
    special = ["<unk>", "<s>", "</s>"]
    vocabulary = {token: index for index, token in enumerate([*special, *BYTES, *LETTERS, "▁a", "▁▁"])}
    backend = Tokenizer(BPE(vocabulary, [("▁", "a"), ("▁", "▁")], fuse_unk=True, unk_token="<unk>", byte_fallback=True))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    backend.decoder = decoders.Sequence(steps)
    backend.add_special_tokens(special)
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> <s>:1 $B:1", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    named = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "</s>"}
    return write(folder, backend, "LlamaTokenizer", model_type, **named)


def mistral(folder):
    """Models of this type take tokenizer.json as it is."""
    return llama(folder, "mistral")


def llama_3(folder):
    """Bytes, under the name of Llama's class."""
    byte_pairs(folder)
    write_json(folder / "config.json", {"model_type": "llama"})
    named = {"eos_token": "</s>", "pad_token": "<pad>", "tokenizer_class": "LlamaTokenizerFast"}
    write_json(folder / "tokenizer_config.json", {"model_max_length": 64, **named})
    return folder


def generic(folder):
    return gemma(folder, "PreTrainedTokenizerFast")


def write(folder, backend, name, model_type, **config):
    folder.mkdir()
    backend.save(str(folder / "tokenizer.json"))
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": name, "model_max_length": 64, **config})
    write_json(folder / "config.json", {"model_type": model_type})
    return folder


CASES = [
    *((deberta, {"do_lower_case": value, "add_prefix_space": value}) for value in (True, False)),
    *((deberta, {"split_by_punct": value}) for value in (True, False)),
    *((albert, {"do_lower_case": value, "keep_accents": not value}) for value in (True, False)),
    (albert, {"keep_accents": True}),
    (albert, {"add_prefix_space": False}),
    *((rembert, {"do_lower_case": value, "keep_accents": not value}) for value in (True, False)),
    *((rembert, {"add_prefix_space": value}) for value in (True, False)),
    *((xlm_roberta, {"add_prefix_space": value}) for value in (True, False)),
    *((make, {"add_prefix_space": value}) for make in (modernbert, unknown) for value in (True, False)),
    *((make, {"add_prefix_space": value}) for make in (llama, mistral) for value in (True, False)),
    *((llama, {"legacy": value}) for value in (True, False)),
    (llama_3, {"add_prefix_space": True}),
    (llama, {}),
    (mistral, {}),
    (llama_3, {}),
    (mpnet, {"do_lower_case": False}),
    (deberta, {}),
    (albert, {}),
    (rembert, {}),
    (xlm_roberta, {}),
    (xlm_roberta_xl, {}),
    (xlm_roberta_xl, {"add_prefix_space": False}),
    (mpnet, {}),
]


@pytest.mark.parametrize("is_keyword", [True, False])
@pytest.mark.parametrize(("make", "settings"), CASES)
def test_settings_of_classes(tmp_path, make, settings, is_keyword):
    """None of these files but RemBERT's has a post-processor: the class adds its special tokens."""
    transformers = pytest.importorskip("transformers", reason="the reference extra is not installed")
    folder = make(tmp_path / "model")
    if not is_keyword:
        config = json.loads((folder / "tokenizer_config.json").read_text())
        write_json(folder / "tokenizer_config.json", {**config, **settings})
        settings = {}
    ours = AutoTokenizer.from_pretrained(folder, **settings)
    theirs = transformers.AutoTokenizer.from_pretrained(folder, **settings)
    for given in (TEXTS, [("The b", "a"), ("a", "b a")]):
        found, expected = (dict(tokenizer(given, padding=True)) for tokenizer in (ours, theirs))
        assert found == expected
        decoded = [[tokenizer.decode(row) for row in found["input_ids"]] for tokenizer in (ours, theirs)]
        assert decoded[0] == decoded[1]


@pytest.mark.parametrize("make", [gemma, generic, albert, rembert])
@pytest.mark.parametrize("bos", [None, True, False])
@pytest.mark.parametrize("eos", [None, True, False])
def test_keywords_put_tokens_around_texts(tmp_path, make, bos, eos):
    transformers = pytest.importorskip("transformers", reason="the reference extra is not installed")
    settings = {"add_bos_token": bos, "add_eos_token": eos}
    settings = {key: value for key, value in settings.items() if value is not None}
    folder = make(tmp_path / "model")
    ours = AutoTokenizer.from_pretrained(folder, **settings)
    theirs = transformers.AutoTokenizer.from_pretrained(folder, **settings)
    for given in (["a b", "a"], [("a", "b a")]):
        assert dict(ours(given, padding=True)) == dict(theirs(given, padding=True))


def test_settings_by_hand(tmp_path):
    def tokens(folder, text, **settings):
        return AutoTokenizer.from_pretrained(folder, **settings).tokenize(text, add_special_tokens=True)

    folder = deberta(tmp_path / "deberta")
    assert tokens(folder, "The b", add_prefix_space=True) == ["[CLS]", "▁The", "▁", "b", "[SEP]"]
    assert tokens(folder, "The b", do_lower_case=True) == ["[CLS]", "▁the", "▁", "b", "[SEP]"]
    assert tokens(folder, "a,b", split_by_punct=True) == ["[CLS]", "▁", "a", "▁", ",", "▁", "b", "[SEP]"]
    folder = xlm_roberta(tmp_path / "xlm")
    assert tokens(folder, "The b", add_prefix_space=False) == ["<s>", "T", "h", "e", "b", "</s>"]
    folder = albert(tmp_path / "albert")
    assert tokens(folder, "The", do_lower_case=False) == ["[CLS]", "▁The", "[SEP]"]
    folder = gemma(tmp_path / "gemma")
    assert tokens(folder, "a", add_bos_token=True, add_eos_token=True) == ["<bos>", "a", "<eos>"]
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "GemmaTokenizer", "add_eos_token": True})
    assert tokens(folder, "a") == ["<bos>", "a"]  # the file is out of date where there is a tokenizer.json
    assert AutoTokenizer.from_pretrained(folder).padding_side == "left"
    assert tokens(folder, "a", add_eos_token=True) == ["a", "<eos>"]  # which the class has where no file does
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast"})
    with pytest.raises(ConfigError, match="add_eos_token: found True, but the tokenizer has no eos_token"):
        AutoTokenizer.from_pretrained(folder, add_eos_token=True)
    with pytest.raises(ConfigError, match="add_bos_token: found 'yes', expected true or false"):
        AutoTokenizer.from_pretrained(folder, add_bos_token="yes")


@pytest.mark.parametrize("space", [True, False])
def test_a_space_before_the_text_for_bytes_in_a_sequence(tmp_path, space):
    byte_pairs(tmp_path / "model")
    backend = Tokenizer.from_file(str(tmp_path / "model" / "tokenizer.json"))
    split = pre_tokenizers.Split(Regex(r"\s+|\w+"), "isolated")
    backend.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=not space)])
    backend.save(str(tmp_path / "model" / "tokenizer.json"))
    write_json(tmp_path / "model" / "tokenizer_config.json", {"tokenizer_class": "Qwen2Tokenizer"})
    found = AutoTokenizer.from_pretrained(tmp_path / "model", add_prefix_space=space).tokenize("the")
    assert "".join(found) == ("Ġthe" if space else "the")


def test_a_class_that_no_file_names_is_not_saved(tmp_path):
    """With it, transformers would lower the case of what it opens."""
    byte_pairs(tmp_path / "model")
    write_json(tmp_path / "model" / "tokenizer_config.json", {"model_max_length": 24})
    write_json(tmp_path / "model" / "config.json", {"model_type": "bert"})
    AutoTokenizer.from_pretrained(tmp_path / "model").save_pretrained(tmp_path / "saved")
    saved = json.loads((tmp_path / "saved" / "tokenizer_config.json").read_text())
    assert saved["tokenizer_class"] == "PreTrainedTokenizerFast"


def test_the_model_type_names_the_class(tmp_path):
    byte_pairs(tmp_path / "model")
    write_json(tmp_path / "model" / "tokenizer_config.json", {"model_max_length": 24})
    for model_type, typed in (("roberta", False), ("ultrabert", False), ("distilbert", True)):
        write_json(tmp_path / "model" / "config.json", {"model_type": model_type})
        assert ("token_type_ids" in AutoTokenizer.from_pretrained(tmp_path / "model")("the")) == typed


@pytest.mark.parametrize(
    "name", [None, "BertTokenizer", "DistilBertTokenizerFast", "ElectraTokenizer", "LxmertTokenizer", "MPNetTokenizer"]
)
def test_classes_of_word_pieces_say_what_no_file_says(tmp_path, name):
    """The class's own settings hold, not those of tokenizer.json; a generic or unknown class has none."""
    folder = mpnet(tmp_path / "model")
    backend = Tokenizer.from_file(str(folder / "tokenizer.json"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False, handle_chinese_chars=False)
    backend.save(str(folder / "tokenizer.json"))

    def normalizer(**config):
        write_json(folder / "tokenizer_config.json", config)
        ours = AutoTokenizer.from_pretrained(folder).backend_tokenizer.normalizer
        return [getattr(ours, part) for part in ("lowercase", "strip_accents", "handle_chinese_chars")]

    named = {} if name is None else {"tokenizer_class": name}
    assert normalizer(**named) == [True, None, True]
    assert normalizer(**named, do_lower_case=False, strip_accents=True) == [False, True, True]
    for other in ("PreTrainedTokenizerFast", "TokenizersBackend", "CustomTokenizer"):
        assert normalizer(tokenizer_class=other) == [False, False, False]
    (folder / "tokenizer_config.json").unlink()
    model = AutoTokenizer.from_pretrained(folder)
    assert model.backend_tokenizer.normalizer.lowercase


@pytest.mark.parametrize(
    ("make", "config"),
    [
        *((make, {"add_prefix_space": None}) for make in (albert, deberta, xlm_roberta)),
        *((albert, {key: None}) for key in ("do_lower_case", "keep_accents")),
        *((deberta, {key: None}) for key in ("do_lower_case", "split_by_punct")),
        *((make, {"pad_token": None, "mask_token": None}) for make in (albert, deberta, xlm_roberta, mpnet)),
    ],
)
def test_null(tmp_path, make, config):
    transformers = pytest.importorskip("transformers", reason="the reference extra is not installed")
    folder = make(tmp_path / "model")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    write_json(folder / "tokenizer_config.json", {**settings, **config})
    ours, theirs = (auto.from_pretrained(folder) for auto in (AutoTokenizer, transformers.AutoTokenizer))
    assert dict(ours(TEXTS)) == dict(theirs(TEXTS))
    for role in ("pad_token", "mask_token"):
        assert getattr(ours, role) == getattr(theirs, role)


def test_null_by_hand(tmp_path):
    folder = xlm_roberta(tmp_path / "model")
    config = {"tokenizer_class": "XLMRobertaTokenizer", "add_prefix_space": None, "pad_token": None}
    write_json(folder / "tokenizer_config.json", config)
    found = AutoTokenizer.from_pretrained(folder)
    assert found.tokenize("The b") == ["T", "h", "e", "b"]
    assert (found.pad_token, found.mask_token) == (None, "<mask>")


@pytest.mark.parametrize(
    ("name", "typed"),
    [("BertTokenizer", True), ("ElectraTokenizerFast", True), ("DebertaTokenizer", True)]
    + [(name, False) for name in ("CustomTokenizerFast", "GPT2Tokenizer", "DistilBertTokenizer", "LlamaTokenizer")],
)
def test_token_types_are_of_the_class(tmp_path, name, typed):
    byte_pairs(tmp_path / "model")
    write_json(tmp_path / "model" / "tokenizer_config.json", {"tokenizer_class": name})
    write_json(tmp_path / "model" / "config.json", {"model_type": "bert"})
    assert ("token_type_ids" in AutoTokenizer.from_pretrained(tmp_path / "model")("the")) == typed
