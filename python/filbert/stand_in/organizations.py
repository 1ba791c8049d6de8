"""Names of models without an organisation, as sentence-transformers reads them."""

import os

# Of the models that the hub has without one, those that filbert runs.
_ON_THEIR_OWN = frozenset(
    """
    albert-base-v1 albert-base-v2 albert-large-v1 albert-large-v2 albert-xlarge-v1 albert-xlarge-v2 albert-xxlarge-v1
    albert-xxlarge-v2 bert-base-cased bert-base-cased-finetuned-mrpc bert-base-chinese bert-base-german-cased
    bert-base-german-dbmdz-cased bert-base-german-dbmdz-uncased bert-base-multilingual-cased
    bert-base-multilingual-uncased bert-base-uncased bert-large-cased bert-large-cased-whole-word-masking
    bert-large-cased-whole-word-masking-finetuned-squad bert-large-uncased bert-large-uncased-whole-word-masking
    bert-large-uncased-whole-word-masking-finetuned-squad camembert-base distilbert-base-cased
    distilbert-base-cased-distilled-squad distilbert-base-german-cased distilbert-base-multilingual-cased
    distilbert-base-uncased distilbert-base-uncased-distilled-squad distilbert-base-uncased-finetuned-sst-2-english
    distilroberta-base roberta-base roberta-base-openai-detector roberta-large roberta-large-mnli
    roberta-large-openai-detector xlm-roberta-base xlm-roberta-large xlm-roberta-large-finetuned-conll02-dutch
    xlm-roberta-large-finetuned-conll02-spanish xlm-roberta-large-finetuned-conll03-english
    xlm-roberta-large-finetuned-conll03-german
    """.split()  # noqa: SIM905
)


def full_name(name_or_path: str | os.PathLike[str], organization: str) -> str | os.PathLike[str]:
    """The name with that organisation, if it is no folder, has none, and is none of a model that has none."""
    name = os.fspath(name_or_path)
    if "/" in name or "\\" in name or name.lower() in _ON_THEIR_OWN or os.path.exists(name) or not name:
        return name_or_path
    return f"{organization}/{name}"
