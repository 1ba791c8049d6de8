"""How people judge pairs of texts and of words: three sets that the gensim package carries, read from where it lies."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

Encode = Callable[[list[str]], np.ndarray]
Pairs = tuple[list[str], list[str], np.ndarray]


def agreement(encode: Encode) -> dict[str, float]:
    """By set, the correlation of cosines with people's judgements: Pearson's for texts, Spearman's for words."""
    from scipy.stats import pearsonr, spearmanr

    found = {}
    for name, (left, right, scores) in {
        "Lee50": lee(),
        "WordSim353": words("wordsim353.tsv"),
        "SimLex999": words("simlex999.txt"),
    }.items():
        correlation = pearsonr if name == "Lee50" else spearmanr
        found[name] = float(correlation(cosines(encode(left), encode(right)), scores).statistic)
    return found


def lee() -> Pairs:
    """All pairs of 50 news items of 50 to 130 words, with the mean of some ten judgements each (Lee et al., 2005)."""
    texts = (folder() / "lee.cor").read_text(encoding="utf-8", errors="replace").splitlines()
    scores = np.loadtxt(folder() / "similarities0-1.txt")
    rows, columns = np.triu_indices(len(texts), 1)
    return [texts[row] for row in rows], [texts[column] for column in columns], scores[rows, columns]


def words(name: str) -> Pairs:
    """Pairs of words with their judgements: similar or related (WordSim353), similar only (SimLex999)."""
    lines = (folder() / name).read_text(encoding="utf-8").splitlines()
    rows = [line.split() for line in lines if line.strip() and not line.startswith("#")]
    return [row[0] for row in rows], [row[1] for row in rows], np.array([float(row[2]) for row in rows])


def folder() -> Path:
    import gensim

    return Path(gensim.__file__).parent / "test" / "test_data"


def cosines(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    return np.einsum("ij,ij->i", left, right) / np.maximum(lengths, 1e-12)
