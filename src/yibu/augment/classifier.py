"""The classifier that attacks are tried on: TF-IDF of characters and a logistic regression, learned from train rows.

Small, quick, deterministic and right for Chinese and English alike; an attack asks it thousands of times. What flips it
often flips a larger model too, which is why its adversarial rows are worth keeping as a test set.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from yibu.core.errors import DataError, MissingExtra

MAX_ROWS = 20_000
"""Train rows that it learns from at most."""


class Classifier:
    """Probabilities of classes for texts.

    Attributes:
        classes: labels, in the order of the columns.

    Raises:
        MissingExtra: scikit-learn is not installed.
        DataError: fewer than two classes.
    """

    def __init__(self, texts: Sequence[str], labels: Sequence[str], seed: int = 0) -> None:
        try:
            from sklearn.feature_extraction.text import TfidfVectorizer
            from sklearn.linear_model import LogisticRegression
        except ImportError as error:
            raise MissingExtra("scikit-learn", extra="train", use="the classifier that attacks are tried on") from error
        self.classes = sorted(set(labels))
        if len(self.classes) < 2:
            raise DataError(
                "An attack flips a class, and the train rows have fewer than two.",
                got=self.classes,
                do="remove augment.attack, or name the label (data.label, task.label)",
            )
        self._vectors = TfidfVectorizer(analyzer="char", ngram_range=(1, 4), sublinear_tf=True, max_features=200_000)
        self._model = LogisticRegression(C=10.0, max_iter=300, random_state=seed)
        self._model.fit(self._vectors.fit_transform(texts), labels)

    def __call__(self, texts: list[str]) -> Any:
        """Array of one row per text and one column per class."""
        return self._model.predict_proba(self._vectors.transform(texts))
