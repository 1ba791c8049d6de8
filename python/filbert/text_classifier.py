"""A classifier of texts, fitted in seconds: sentence vectors and a logistic regression, with no backward pass."""

import os
from typing import Any

import numpy as np

from .classifier_files import read_labels, remove_labels, write_classifier
from .errors import InputError
from .hub import Source, hub_keywords
from .labels import as_labels, encoded
from .logistic import check_installed, fit_logistic
from .scores import Floats, softmax
from .sentence.dense import Dense
from .sentence.encoder import SentenceEncoder
from .sentence.given import encoder_of
from .texts import as_texts

# The best or nearly so for 30 to 2,000 texts of five labels, by the chances of other texts (bench/classify.py --sweep).
_DEFAULT_C = 3.0


class TextClassifier:
    """Texts to labels, with the methods of scikit-learn's classifiers.

        classifier = TextClassifier("sentence-transformers/all-MiniLM-L6-v2").fit(texts, labels)
        classifier.predict(["how do I get my money back?"])
        classifier.save_pretrained("topics")
        classifier = TextClassifier.from_pretrained("topics")

    encoder: the sentence encoder; of a classifier that was loaded, with the classifier's layer at its end. classes_:
    the labels [classes], sorted. C: what was asked for. C_: what `fit` used.
    """

    def __init__(
        self,
        model: SentenceEncoder | str | os.PathLike[str],
        *,
        C: float | str = _DEFAULT_C,  # noqa: N803 (scikit-learn's name)
        **options: Any,
    ) -> None:
        """
        Args:
            model: a sentence encoder, or its folder or id on the hub. Its `default_prompt_name`, if it has one, is
                the prompt that texts get, here and after saving.
            C: the inverse of the strength of the L2 penalty, for vectors whose mean square of lengths is 1: larger
                values follow the texts more closely. "auto" chooses by cross-validation.
            options: keywords of `SentenceEncoder.from_pretrained`, where `model` is none; a truncate_dim is not taken,
                and that of the files is not followed.

        Raises:
            InputError: a C that is not above 0, a truncate_dim, or options beside an encoder.
            ConfigError, WeightsError, DeviceError, OSError, MemoryError: see `SentenceEncoder.from_pretrained`.
        """
        if C != "auto" and not (isinstance(C, int | float) and not isinstance(C, bool) and 0 < C < np.inf):
            raise InputError(f"C: found {C!r:.100}, expected a number above 0, or 'auto'")
        if options.get("truncate_dim") is not None:
            raise InputError(
                f"truncate_dim: found {options['truncate_dim']!r:.100}, expected None: what it would cut is what comes "
                "out last, and that is the classifier's"
            )
        self.C = C
        self.encoder = encoder_of(model, options)
        if self.encoder is not model:
            self.encoder.truncate_dim = None  # the files' own, of vectors that come out; what comes out are the classes
        self._head: Dense | None = None
        self._is_loaded = False

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike[str], **options: Any) -> "TextClassifier":
        """A classifier that `save_pretrained` wrote, from a folder or the hub. It needs no scikit-learn.

        Args:
            options: keywords of `SentenceEncoder.from_pretrained`, such as device, dtype and revision; no truncate_dim.

        Raises:
            ConfigError: there are no labels, or not as many as the model has outputs.
            WeightsError, InputError, DeviceError, OSError, MemoryError: see `SentenceEncoder.from_pretrained`.
        """
        classifier = cls(pretrained_model_name_or_path, **options)
        classifier.classes_ = read_labels(
            Source(pretrained_model_name_or_path, **hub_keywords(options)),
            classifier.encoder.get_embedding_dimension(),
        )
        classifier._is_loaded = True
        return classifier

    def fit(self, texts: Any, labels: Any, show_progress_bar: bool | None = None) -> "TextClassifier":
        """Fits it to some texts and their labels, and returns it. The same texts give the same classifier.

        Args:
            texts: a list, an iterator, a Series or an array of strings.
            labels: one for each: strings, integers or booleans, all of one kind.
            show_progress_bar: None shows one on a terminal if it takes over a second.

        Raises:
            InputError: naming the number of a text or label that is none; if there are fewer than two labels; if the
                encoder keeps a part of its vectors (truncate_dim); or if this was loaded: the vectors of its encoder
                are the logits of what was fitted before.
            ImportError: there is no scikit-learn. MemoryError.
        """
        check_installed()
        if self._is_loaded:
            raise InputError("fit: this classifier was loaded; fit a new one, TextClassifier(model).fit(...)")
        single, found = as_texts("text", texts)
        if single:
            raise InputError(f"texts: found {texts!r:.100} (str), expected a list of strings")
        classes, codes = encoded(as_labels(labels, len(found)))
        if self.encoder.truncate_dim is not None:
            raise InputError(
                f"fit: the encoder keeps {self.encoder.truncate_dim} numbers of what its last module gives, which will "
                "be the classifier: set encoder.truncate_dim to None"
            )
        vectors = self.encoder.encode(found, show_progress_bar=show_progress_bar)
        weight, bias, strength = fit_logistic(vectors, codes, None if isinstance(self.C, str) else float(self.C))
        self.C_, self.classes_, self._head = strength, classes, Dense(weight, bias)
        return self

    def predict(self, texts: Any, show_progress_bar: bool | None = None) -> Any:
        """The label of each text: an array [n] as `classes_` is, or of a single string its label. Raises InputError."""
        single, found = as_texts("text", texts)
        best = self._logits(found, show_progress_bar).argmax(axis=1)
        labels = self.classes_[best]
        return labels.tolist()[0] if single else labels

    def predict_proba(self, texts: Any, show_progress_bar: bool | None = None) -> Floats:
        """The chance of each label: float32 [n, classes], or of a single string [classes]. Raises InputError."""
        single, found = as_texts("text", texts)
        chances = softmax(self._logits(found, show_progress_bar))
        return chances[0] if single else chances

    def save_pretrained(self, save_directory: str | os.PathLike[str]) -> None:
        """Writes the encoder with the layer after it, and the labels, into a folder.

        sentence-transformers loads it too; its `encode` then gives the logits, whose softmax `predict_proba` is.
        Raises InputError if nothing was fitted, and OSError; no file is left half-written. What a save that was cut
        short leaves is refused by `from_pretrained`.
        """
        self._check_fitted()
        folder = os.fspath(save_directory)
        remove_labels(folder)
        self.encoder.save_pretrained(folder)
        write_classifier(folder, self.classes_.tolist(), self._head)

    def __repr__(self) -> str:
        labels = f"{len(self.classes_)} labels" if hasattr(self, "classes_") else "not fitted"
        return f"TextClassifier({self.encoder!r}, {labels})"

    def _logits(self, texts: list[str], show_progress_bar: bool | None) -> Floats:
        self._check_fitted()
        vectors: Floats = self.encoder.encode(texts, show_progress_bar=show_progress_bar)
        return vectors if self._head is None else self._head(vectors, self.encoder.model.num_threads)

    def _check_fitted(self) -> None:
        if not hasattr(self, "classes_"):
            raise InputError("this classifier was not fitted: call fit(texts, labels) first")
