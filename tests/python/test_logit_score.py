"""Rerankers that are language models: chat templates beside Jinja, and scores beside sentence-transformers."""

import json
import random
import shutil

import numpy as np
import pytest
import test_cross_encoder
from test_cross_encoder import edit, random_pairs
from text_models import ODD_TEXTS, vocabulary_folder, write_json

from filbert import ConfigError, CrossEncoder
from filbert.sentence.chat_template import ChatTemplate

reference = test_cross_encoder.reference  # the fixture


def content(role):
    return f'messages | selectattr("role", "eq", "{role}") | map(attribute="content") | first'


# As Qwen3-Reranker's is written.
TEMPLATE = (
    f'{{%- set instruction = {content("system")} | default("Given a search query") -%}}\n'
    f"{{%- set query_text = {content('query')} -%}}\n"
    f"{{%- set document_text = {content('document')} -%}}\n"
    "<|im_start|>system\nThe answer is yes or no.<|im_end|>\n<|im_start|>user\n<Instruct>: {{ instruction }}\n"
    "<Query>: {{ query_text }}\n<Document>: {{ document_text }}<|im_end|>\n<|im_start|>assistant\n<think>\n\n"
    "</think>\n\n\n"
)
QUERY = f"{{{{ {content('query')} }}}}"
DOCUMENT = '{{ (messages | selectattr("role", "eq", "document") | first).content }}'
STRUCTURED = (
    '<Query>: {{ (messages | selectattr("role", "eq", "query") | first).content[0].text }}\n'
    '<Document>: {{ (messages | selectattr("role", "eq", "document") | first).content[0].text }}\nAnswer:'
)
LOOP = (
    "{% for m in messages %}{% if m.role == 'system' %}{% continue %}{% endif %}"
    "[{{ m.role | upper }}] {{ m.content }}\n{% generation %}{% set a = 1 %}{{ loop.index }}{% endgeneration %}{{ a }}"
    "{% endfor %}{% set ns = namespace(self=1, b=2) %}{% set ns.c = 3 %}{{ ns.self + ns.b + ns.c }}"
)
PIECES = [
    *(QUERY, f"{{{{-{QUERY[2:]}", f"{QUERY[:-2]}-}}}}", f"{{{{-{DOCUMENT[2:-2]}-}}}}"),
    *("\n", "\n\n", "\r\n", "  ", "\t", " x ", "text", "{ x", "}}"),
    *("{# c #}", "{#- c -#}", "{#+ c +#}", "{%- set a = 'z\\n' -%}", '{% set a = "\\u00e9\'" %}', "{%+ set b = a +%}"),
    *("{{ a }}", "{{ missing }}", "{{ missing|default('dd') }}", "{{ ''|default('ee', true) }}", "{{ ''|d('f') }}"),
    *("{{ messages[0]['content'] }}", "{{ messages|map(attribute='content')|first|trim }}", "{{ bos_token }}"),
    *("{{ 'x' }}", "{{ missing|first }}", "{{ (messages|first).role }}", "{{ (a) | trim }}", "{{ messages[0].no }}"),
    *(
        "{{ messages | tojson(true, 2) }}",
        "{{ messages | tojson }}",
        "{{ {'é<': [1]} | tojson(indent=2) }}",
        "{% if tools is none %}t{% endif %}",
    ),
    *("{{ add_generation_prompt }}", "{{ documents }}", "{{ dict(a=1).a }}", "{{ '%s' % 3 ~ 'x' }}"),
]


def test_templates_beside_transformers():
    utils = pytest.importorskip("transformers.utils.chat_template_utils", reason="the reference extra is not installed")
    rng = random.Random(0)
    templates = [TEMPLATE, TEMPLATE.strip(), QUERY + DOCUMENT, LOOP]
    for _ in range(200):
        before, between, after = ("".join(rng.choices(PIECES, k=rng.randint(0, 6))) for _ in range(3))
        templates.append(f"{before}{QUERY}{between}{DOCUMENT}{after}")
    for template in templates:
        ours = ChatTemplate("x", template, False, {"bos_token": "<s>"})
        for prompt, *pair in (("", "q", "d"), ("be brief ", " a {{ b }}\n", "<|im_end|>{% if %}"), ("", "", "é\u2028")):
            roles = [*([("system", prompt)] if prompt else []), *zip(("query", "document"), pair, strict=True)]
            messages = [{"role": role, "content": text} for role, text in roles]
            theirs, _ = utils.render_jinja_template([messages], chat_template=template, bos_token="<s>")
            assert ours.render(*pair, prompt) == theirs[0], repr(template)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (QUERY, r"the document of a pair does not appear in what it makes: expected .*processor_kwargs"),
        (DOCUMENT, "the query of a pair does not appear"),
        ("{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}", "the query of a pair does not"),
        (f"a\n{{% iff x %}}{QUERY}", "line 2: Encountered unknown tag 'iff'"),
        (f"{QUERY}{DOCUMENT}{{{{ x", "line 1: unexpected end of template"),
        ("{{ raise_exception('roles must alternate') }}", "it fails for a pair: roles must alternate: expected a"),
        (f"{QUERY}{DOCUMENT}{{{{ messages[7].content }}}}", "it fails for a pair: list object has no element 7"),
        (f"{QUERY}{DOCUMENT}{{{{ 1 // 0 }}}}", "it fails for a pair: .*by zero"),
        (f"{QUERY}{DOCUMENT}{{{{ messages.__class__.__mro__ }}}}", "it fails for a pair: .*unsafe"),
        (f"{QUERY}{DOCUMENT}{{{{ namespace(__class__=1) }}}}", "it fails for a pair: .*'__class__'"),
        (f"{QUERY}{DOCUMENT}{{% set n = namespace() %}}{{% set n._a = 1 %}}", "it fails for a pair: .*'_a'"),
        (f"{QUERY}{DOCUMENT}{{{{ 1 | tojson(default=dict) }}}}", "it fails for a pair: .*'default'"),
        (f"{QUERY}{DOCUMENT}{{{{ messages.append(1) }}}}", "it fails for a pair: .*'append'.* is unsafe"),
    ],
)
def test_templates_that_are_refused(template, message):
    with pytest.raises(ConfigError, match=f"^file: {message}"):
        ChatTemplate("file", template, False, {})


@pytest.fixture(scope="module")
def tokenizer():
    """A small tokenizer of a language model."""
    from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
    from tokenizers.models import BPE

    transformers = pytest.importorskip("transformers", reason="the reference extra is not installed")
    backend = Tokenizer(BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=["<pad>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator([*ODD_TEXTS, *["yes", "no"] * 50, *[TEMPLATE] * 3], trainer)
    return lambda **options: transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        eos_token="<|im_end|>",
        model_max_length=120,
        model_input_names=["input_ids", "attention_mask"],
        **options,
    )


@pytest.fixture(scope="module", params=[True, False], ids=["tied", "untied"])
def language_model(request, tmp_path_factory, tokenizer):
    """A folder with a small Qwen3 as a language model."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("qwen3")
    config = transformers.Qwen3Config(
        vocab_size=600,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=200,
        initializer_range=0.3,
        tie_word_embeddings=request.param,
        pad_token_id=0,
    )
    torch.manual_seed(0)
    transformers.Qwen3ForCausalLM(config).save_pretrained(folder)
    tokenizer(chat_template=TEMPLATE).save_pretrained(folder)
    return folder


@pytest.fixture
def folder(language_model, tmp_path):
    return shutil.copytree(language_model, tmp_path / "model")


def scores_of(encoder, pairs, **options):
    """Without a sigmoid, which would hide differences."""
    torch = pytest.importorskip("torch")
    return encoder.predict(pairs, activation_fn=torch.nn.Identity(), **options)


def test_scores_beside_sentence_transformers(folder, reference, tmp_path):
    pairs = random_pairs(200)
    theirs = reference(folder)
    theirs.save_pretrained(str(tmp_path / "saved"))
    for place in (folder, tmp_path / "saved"):
        ours = CrossEncoder(place)
        assert (ours.num_labels, ours.max_seq_length) == (1, 120)
        scores, expected = scores_of(ours, pairs), scores_of(theirs, pairs)
        assert (scores.shape, scores.dtype) == (expected.shape, expected.dtype)
        assert np.abs(expected).max() > 1
        # Differences of two logits.
        assert np.abs(scores - expected).max() < 2e-5
        assert ours.predict(pairs) == pytest.approx(theirs.predict(pairs), abs=1e-5)
    for options in ({"prompt": "Find the dog. "}, {"prompt": ""}):
        assert scores_of(ours, pairs[:50], **options) == pytest.approx(
            scores_of(theirs, pairs[:50], **options), abs=2e-5
        )
    documents = [second for _, second in pairs[:20]]
    ranked, expected = ours.rank("the cat", documents), theirs.rank("the cat", documents)
    assert [each["score"] for each in ranked] == pytest.approx([each["score"] for each in expected], abs=1e-5)


@pytest.mark.parametrize("labels", [1, 3])
def test_a_classifier_of_chats(folder, reference, labels):
    transformers = pytest.importorskip("transformers")
    config = transformers.Qwen3Config.from_pretrained(folder, num_labels=labels)
    transformers.Qwen3ForSequenceClassification(config).save_pretrained(folder)
    pairs = random_pairs(40, seed=9)
    ours, theirs = CrossEncoder(folder), reference(folder)
    assert ours.num_labels == labels
    assert scores_of(ours, pairs) == pytest.approx(scores_of(theirs, pairs), abs=1e-5)
    assert scores_of(ours, pairs, prompt="a") == pytest.approx(scores_of(theirs, pairs, prompt="a"), abs=1e-5)


@pytest.mark.parametrize("length", [8, 40, 77, 120])
def test_what_is_cut_is_not_the_end(folder, reference, length):
    ours, theirs = CrossEncoder(folder, max_length=length), reference(folder, max_length=length)
    pairs = random_pairs(60, seed=4)
    assert scores_of(ours, pairs) == pytest.approx(scores_of(theirs, pairs), abs=2e-5)
    assert scores_of(ours, pairs, prompt="x " * 60) == pytest.approx(
        scores_of(theirs, pairs, prompt="x " * 60), abs=2e-5
    )


def test_a_score_does_not_depend_on_its_company(folder):
    encoder = CrossEncoder(folder)
    pairs = random_pairs(80, seed=5)
    scores = encoder.predict(pairs)
    for pair, score in zip(pairs, scores, strict=True):
        assert encoder.predict(pair).tobytes() == score.tobytes()
    assert encoder.predict(pairs[::-1], batch_size=3)[::-1].tobytes() == scores.tobytes()


def test_one_token_and_plain_pairs(folder, reference, tmp_path):
    reference(folder).save_pretrained(str(tmp_path / "saved"))
    pairs = random_pairs(60, seed=6)
    edit(tmp_path / "saved" / "1_LogitScore" / "config.json", false_token_id=None)
    ours, theirs = CrossEncoder(tmp_path / "saved"), reference(tmp_path / "saved")
    one = scores_of(ours, pairs)
    assert one == pytest.approx(scores_of(theirs, pairs), abs=2e-5)
    # As pairs, and not as chats.
    settings = json.loads((tmp_path / "saved" / "sentence_bert_config.json").read_text())
    del settings["modality_config"]["message"]
    write_json(tmp_path / "saved" / "sentence_bert_config.json", settings)
    ours, theirs = CrossEncoder(tmp_path / "saved"), reference(tmp_path / "saved")
    pairs = [(f"a{first}", second) for first, second in pairs]  # of nothing, there is no last token
    plain = scores_of(ours, pairs)
    assert plain == pytest.approx(scores_of(theirs, pairs), abs=2e-5)
    assert plain != pytest.approx(one, abs=0.1)


@pytest.mark.parametrize("template", [STRUCTURED, QUERY + " " + DOCUMENT])
@pytest.mark.parametrize("place", ["chat_template.jinja", "tokenizer_config.json"])
def test_where_a_template_is_and_what_it_takes(folder, reference, template, place):
    (folder / "chat_template.jinja").unlink()
    if place == "chat_template.jinja":
        (folder / place).write_text(template)
    else:
        edit(folder / place, chat_template=template)
    pairs = random_pairs(40, seed=7)
    assert scores_of(CrossEncoder(folder), pairs) == pytest.approx(scores_of(reference(folder), pairs), abs=2e-5)


def test_a_template_of_the_caller(folder, reference):
    options = {"processor_kwargs": {"chat_template": STRUCTURED}}
    pairs = random_pairs(20, seed=8)
    ours, theirs = CrossEncoder(folder, **options), reference(folder, **options)
    assert scores_of(ours, pairs) == pytest.approx(scores_of(theirs, pairs), abs=2e-5)


def test_what_cannot_be_honoured(folder, reference, tmp_path):
    saved = tmp_path / "saved"
    reference(folder).save_pretrained(str(saved))

    def refused(message, file=None, **values):
        old = None if file is None else (saved / file).read_text()
        if file is not None:
            edit(saved / file, **values)
        with pytest.raises(ConfigError, match=message):
            CrossEncoder(saved)
        if file is not None:
            (saved / file).write_text(old)

    score = "1_LogitScore/config.json"
    refused("found None as a token's id, expected an integer from 0", score, true_token_id=None)
    refused("found -1 as a token's id", score, false_token_id=-1)
    refused("module_input_name: found 'x', supported: 'causal_logits'", score, module_input_name="x")
    settings = "sentence_bert_config.json"
    refused('transformer_task: found .* supported: "text-generation"', settings, transformer_task="any-to-any")
    refused("module_output_name: found 'x'", settings, module_output_name="x")
    refused("processing_kwargs", settings, processing_kwargs={"chat_template": {"add_generation_prompt": True}})
    (saved / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }}")
    refused(r"chat_template\.jinja: line 1: Unexpected end of template.")
    (saved / "chat_template.jinja").write_text(QUERY)
    refused("the document of a pair does not appear in what it makes")
    (saved / "chat_template.jinja").unlink()
    refused("its pairs are chats, and it has no chat template")
    edit(saved / "tokenizer_config.json", chat_template=[{"name": "default", "template": QUERY + DOCUMENT}])
    assert CrossEncoder(saved).predict(("a", "b")).shape == ()
    edit(saved / "tokenizer_config.json", chat_template=[{"name": "rag", "template": QUERY}, {"name": "tool"}])
    refused("chat_template: found rag, tool, expected one named 'default'")
    edit(saved / "tokenizer_config.json", chat_template=7)
    refused("chat_template: found 7, expected a string")
    assert CrossEncoder(folder, max_length=201).max_seq_length == 201


def test_a_tokenizer_without_the_two_words(folder):
    for name in ("tokenizer.json", "chat_template.jinja"):
        (folder / name).unlink()
    vocabulary_folder(folder)
    with pytest.raises(ConfigError, match="its tokenizer has none for 'yes' and 'no'"):
        CrossEncoder(folder)
