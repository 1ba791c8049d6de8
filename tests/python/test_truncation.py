"""Truncation of texts of any length, to any number of limits: the ids are those of the tokenizers package."""

import copy
import random
from concurrent.futures import ThreadPoolExecutor

import pytest
import tokenizers
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, processors, trainers

from filbert.tokenization import Tokenizer
from filbert.tokenizer_files import TokenizerFiles
from filbert.truncation import Truncation

ALPHABETS = [
    "the cat sat on a mat and jumps over lazy dogs running unbelievable words 12345678901 3,000.5 don't".split(),  # noqa: SIM905
    "naïve café CAFÉ cafe\u0301 ﬁne Ⅷ straße İstanbul œuvre".split(),  # noqa: SIM905
    list("北京東京は日本한국어ภาษาไทยمرحبا"),
    [
        "\u200b",
        "\t",
        "\n",
        "\r\n",
        "  ",
        "   ",
        "\u00a0",
        "\u3000",
        "\u2028",
        "é\u0302\u0303",
        "👩‍👩‍👧‍👦",
        "\U0010ffff",
    ],
    ["[SEP]", "<e1>", "add me whole", "add me", "...", "--", "!?", "''", "(", "$"],
]


def text(random_source: random.Random, words: int) -> str:
    parts = []
    while len(parts) < words:
        alphabet = random_source.choice(ALPHABETS[:1] * 6 + ALPHABETS)
        parts += random_source.choices(alphabet, k=random_source.randint(1, 12))
    glue = random_source.choice([" ", " ", " ", "", "  "])
    return glue.join(parts)


def trained(kind: str) -> tokenizers.Tokenizer:
    """A tokenizer that splits as those of BERT, GPT-2, XLM-R, Llama 3 or Gemma do."""
    corpus = [text(random.Random(seed), 60) for seed in range(40)]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    if kind == "wordpiece":
        backend = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
        backend.normalizer = normalizers.BertNormalizer(lowercase=True)
        backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(vocab_size=300, special_tokens=special)
    elif kind == "unigram":
        backend = tokenizers.Tokenizer(models.Unigram())
        backend.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC()])
        backend.pre_tokenizer = pre_tokenizers.Metaspace()
        backend.decoder = decoders.Metaspace()
        trainer = trainers.UnigramTrainer(vocab_size=300, special_tokens=special, unk_token="[UNK]")
    else:
        backend = tokenizers.Tokenizer(models.BPE())
        if kind == "bytes":
            backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        elif kind == "regex":
            pattern = (
                r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
                r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
            )
            backend.normalizer = normalizers.NFC()
            backend.pre_tokenizer = pre_tokenizers.Sequence(
                [
                    pre_tokenizers.Split(tokenizers.Regex(pattern), "isolated"),
                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
                ]
            )
        elif kind == "unsplit":
            backend.normalizer = normalizers.Replace(" ", "▁")
        trainer = trainers.BpeTrainer(
            vocab_size=400, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
        )
    backend.train_from_iterator(corpus, trainer)
    backend.add_tokens([AddedToken("<e1>", lstrip=True, normalized=False), "add me whole", AddedToken("add me")])
    cls, sep = (backend.token_to_id(token) for token in ("[CLS]", "[SEP]"))
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", cls), ("[SEP]", sep)]
    )
    return backend


KINDS = ("wordpiece", "bytes", "regex", "unigram", "unsplit")


@pytest.fixture(scope="module", params=KINDS)
def backend(request):
    return trained(request.param)


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_long_text_keeps_its_truncated_ids(backend, side):
    source = random.Random(f"single {side}")
    plain = copy.deepcopy(backend)
    truncation = Truncation(backend)
    cut = 0
    for _ in range(60):
        limit = source.choice([4, 9, 16, 33, 64])
        given = text(source, source.randint(500, 3000))
        (short,) = truncation.shorten([given], "longest_first", limit, side)
        plain.enable_truncation(limit, direction=side)
        assert plain.encode(short).ids == plain.encode(given).ids, (limit, given)
        cut += len(short) < len(given)
    assert cut > 20 or backend.pre_tokenizer is None, "few texts were cut, so little was tested"


@pytest.mark.parametrize("side", ["right", "left"])
def test_white_space_that_a_normalizer_strips_at_the_ends(side):
    vocabulary = {"<unk>": 0, "▁a": 1, "▁": 2, "a": 3}
    plain = tokenizers.Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    plain.normalizer = normalizers.Strip(left=side == "left", right=side == "right")
    plain.pre_tokenizer = pre_tokenizers.Metaspace()
    given = ("a" + " " * 30) * 100 if side == "right" else (" " * 30 + "a") * 100
    truncation = Truncation(copy.deepcopy(plain))
    for limit in range(1, 40):
        (short,) = truncation.shorten([given], "longest_first", limit, side)
        plain.enable_truncation(limit, direction=side)
        assert plain.encode(short).ids == plain.encode(given).ids, limit
        assert len(short) < len(given)


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("strategy", ["longest_first", "only_first", "only_second"])
def test_a_long_pair_keeps_its_truncated_ids(backend, side, strategy):
    source = random.Random(f"pair {side} {strategy}")
    plain = copy.deepcopy(backend)
    truncation = Truncation(backend)
    for _ in range(12):
        limit = source.choice([32, 33, 64])
        lengths = {"longest_first": [3, 600, 900], "only_first": [900, 1200], "only_second": [900]}[strategy]
        long, other = text(source, source.choice(lengths) + 900), text(source, source.choice([4, *lengths]) // 4 + 1)
        if strategy != "longest_first":
            other = "the cat sat"
        pair = (long, other) if strategy == "only_first" or source.random() < 0.5 else (other, long)
        if strategy == "only_second":
            pair = (other, long)
        (short,) = truncation.shorten([pair], strategy, limit, side)
        plain.enable_truncation(limit, strategy=strategy, direction=side)
        assert plain.encode(*short).ids == plain.encode(*pair).ids, (limit, pair)


@pytest.mark.parametrize("extra", [-3, -1, 0, 1, 40])
def test_the_longer_text_of_a_pair_gets_the_odd_token(extra):
    backend = trained("wordpiece")
    plain = copy.deepcopy(backend)
    plain.enable_truncation(24)  # 21 tokens for the two: 10 and 11
    pair = ("cat " * 900, "sat " * (900 + extra))
    (short,) = Truncation(backend).shorten([pair], "longest_first", 24, "right")
    assert max(map(len, short)) < 200
    assert plain.encode(*short).ids == plain.encode(*pair).ids


def test_pairs_of_very_long_texts_are_cut_before_they_are_tokenised():
    tokenizer = Tokenizer(TokenizerFiles(trained("wordpiece"), {}, {}))
    long = "the cat sat on a mat " * 50_000  # every piece beside every piece would be 100 GB
    ids = tokenizer(long, long, truncation=True, max_length=64)["input_ids"]
    assert len(ids) == 64
    assert ids == tokenizer(long[:2000], long[:2000], truncation=True, max_length=64)["input_ids"]


def test_limits_share_the_model_and_change_nothing(backend):
    truncation = Truncation(backend)
    before = backend.to_str()
    texts = [text(random.Random(seed), 40) for seed in range(6)]
    for limit in range(3, 120):
        twin = truncation.backend("longest_first", limit, "right")
        plain = copy.deepcopy(backend)
        plain.enable_truncation(limit)
        assert [tokens.ids for tokens in twin.encode_batch(texts)] == [plain.encode(each).ids for each in texts]
        assert twin is truncation.backend("longest_first", limit, "right")
    assert backend.to_str() == before
    assert backend.truncation is None


def test_added_tokens_with_gaps_between_their_ids_keep_them(tmp_path):
    backend = trained("wordpiece")
    file = backend.to_str().replace(
        f'"id": {backend.token_to_id("add me")}', f'"id": {backend.token_to_id("add me") + 50}'
    )
    with_gap = tokenizers.Tokenizer.from_str(file)
    twin = Truncation(with_gap).backend("longest_first", 5, "right")
    assert twin.encode("add me whole add me").ids == with_gap.encode("add me whole add me").ids


def test_threads_with_limits_of_their_own(tmp_path):
    tokenizer = Tokenizer(TokenizerFiles(trained("wordpiece"), {}, {}))
    words = "the cat sat on a mat and jumps over lazy dogs running " * 20

    def lengths(start: int) -> list[int]:
        limits = [3 + (start * 7 + step * 13) % 150 for step in range(200)]
        found = [len(tokenizer(words, truncation=True, max_length=limit)["input_ids"]) for limit in limits]
        return [limit for limit, length in zip(limits, found, strict=True) if limit != length]

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(lengths, range(12))) == [[]] * 12


@pytest.mark.parametrize("limit", [10**20, 1e20, 10**25, 1e30, float("inf"), 2**63, 10**12])
def test_a_huge_limit_is_none(limit, tmp_path):
    tokenizer = Tokenizer(TokenizerFiles(trained("wordpiece"), {"pad_token": "[PAD]"}, {"model_max_length": limit}))
    plain = tokenizer("the cat sat")["input_ids"]
    assert tokenizer("the cat sat", truncation=True, verbose=False)["input_ids"] == plain
    assert tokenizer("the cat sat", truncation=True, max_length=int(min(limit, 1e30)))["input_ids"] == plain
    if limit >= 10**20:
        assert tokenizer("the cat sat", padding="max_length", verbose=False)["input_ids"] == plain
    else:
        with pytest.raises(ValueError, match="expected at most 2147483647 to pad to"):
            tokenizer("the cat sat", padding="max_length")
