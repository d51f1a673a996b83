"""Cheap systems that a tuned model must beat to be worth its cost.

They are meant to win where they can: the SVM chooses its features' strength on the train split, the copy comes in the
length of a target, the retrieval answers with a real target. None of them sees a truth of the split that it answers.
"""

from __future__ import annotations

import statistics
import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Any

from yibu.core import log
from yibu.core.errors import DataError
from yibu.metrics.resample import Groups, group_codes
from yibu.metrics.scores import token_ends

LOGGER = log.get("evaluate.baselines")

SVM_STRENGTHS = (0.1, 0.3, 1.0, 3.0, 10.0)
NUM_FOLDS = 3
_BLOCK = 256  # test rows whose similarities to all train rows are in memory at once


def majority(train_labels: Sequence[str]) -> str:
    """The most frequent label, the alphabetically first among equals: the answer to every row.

    Raises:
        DataError: no labels.
    """
    _check_train(train_labels)
    return min(Counter(train_labels).items(), key=lambda item: (-item[1], item[0]))[0]


def tfidf_svm(
    train_texts: Sequence[str],
    train_labels: Sequence[str],
    test_texts: Sequence[str],
    language: str,
    groups: Groups = None,
    seed: int = 0,
) -> list[str]:
    """Labels for the test texts by a linear SVM on TF-IDF (Joachims 1998; Wang and Manning 2012 on its strength).

    Features: words and pairs of words with character 2- to 5-grams within words; for Chinese character 1- to 4-grams.
    C is chosen by accuracy in cross-validation on the train rows, which keeps a group in one fold: sister rows on both
    sides would favour a C that memorises.

    Args:
        language: ``"en"`` or ``"zh"``.
        groups: a group per train row; None, for all or for a row, where it stands alone.

    Returns:
        one label per test text. One class in train, or texts without a letter or digit: the majority label.

    Raises:
        DataError: no train rows, texts and labels not equally long, or an unknown language.
    """
    _check_train(train_labels)
    _check_lengths(train_texts, train_labels, "labels")
    if not test_texts:
        return []
    if len(set(train_labels)) == 1 or not _have_words(train_texts):
        return [majority(train_labels)] * len(test_texts)
    vectors = _vectoriser(language)
    # The vectors see all train texts also in cross-validation: document frequencies carry no label.
    train_vectors = vectors.fit_transform(train_texts)
    strength = _choose_strength(train_vectors, list(train_labels), groups, seed)
    model = _svm(strength, seed).fit(train_vectors, list(train_labels))
    return [str(label) for label in model.predict(vectors.transform(test_texts))]


def copy_input(inputs: Sequence[str], lead: int | None = None) -> list[str]:
    """The input as the answer: whole, or its first ``lead`` words (a CJK character counts as one).

    The lead is the strong baseline of summarisation (Nallapati et al. 2017); its length comes from `lead_length`.
    """
    if lead is None:
        return [text.strip() for text in inputs]
    return [_lead(text, lead) for text in inputs]


def lead_length(train_targets: Sequence[str]) -> int:
    """Median length of the train targets in words (a CJK character counts as one), at least 1.

    Raises:
        DataError: no targets.
    """
    _check_train(train_targets)
    return max(1, round(statistics.median(len(token_ends(target)) for target in train_targets)))


def nearest_target(
    train_inputs: Sequence[str], train_targets: Sequence[str], test_inputs: Sequence[str], language: str
) -> list[str]:
    """The target of the train row whose input is most similar: cosine of the TF-IDF vectors of `tfidf_svm`.

    The first train row among equals. Train inputs without a letter or digit: the most frequent target.

    Raises:
        DataError: no train rows, inputs and targets not equally long, or an unknown language.
    """
    _check_train(train_targets)
    _check_lengths(train_inputs, train_targets, "targets")
    if not test_inputs:
        return []
    if not _have_words(train_inputs):
        return [majority(train_targets)] * len(test_inputs)
    vectors = _vectoriser(language)
    train_vectors = vectors.fit_transform(train_inputs).T.tocsr()
    test_vectors = vectors.transform(test_inputs)
    nearest: list[int] = []
    for start in range(0, len(test_inputs), _BLOCK):
        similarities = (test_vectors[start : start + _BLOCK] @ train_vectors).toarray()
        nearest.extend(similarities.argmax(axis=1))
    return [train_targets[row] for row in nearest]


def _vectoriser(language: str) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_union

    if language == "zh":
        return TfidfVectorizer(analyzer="char", ngram_range=(1, 4), sublinear_tf=True)
    if language != "en":
        raise DataError("There are no TF-IDF features for that language.", got=language, allowed=["en", "zh"])
    # sklearn's own pattern drops words of one character, among them every digit.
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\b\w+\b")
    return make_union(words, TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True))


def _svm(strength: float, seed: int) -> Any:
    from sklearn.svm import LinearSVC

    return LinearSVC(C=strength, random_state=seed)


def _choose_strength(vectors: Any, labels: list[str], groups: Groups, seed: int) -> float:
    """The smallest C among those with the most hits in cross-validation; 1 where there is nothing to choose by."""
    hits = dict.fromkeys(SVM_STRENGTHS, 0)
    for inside, outside in _folds(labels, groups, seed):
        seen = [labels[row] for row in inside]
        if len(set(seen)) == 1:  # no SVM of one class; every C would answer the same
            continue
        held_out = [labels[row] for row in outside]
        for strength in SVM_STRENGTHS:
            answers = _svm(strength, seed).fit(vectors[inside], seen).predict(vectors[outside])
            hits[strength] += sum(one == other for one, other in zip(answers, held_out, strict=True))
    if not any(hits.values()):
        return 1.0
    best = max(SVM_STRENGTHS, key=lambda strength: (hits[strength], -strength))
    LOGGER.info("TF-IDF + SVM: C = %g, cross-validated accuracy in train %.3f", best, hits[best] / len(labels))
    return best


def _folds(labels: list[str], groups: Groups, seed: int) -> list[tuple[Any, Any]]:
    """Row numbers (inside, outside) of each fold; none where all rows are one group."""
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    members, num_groups = group_codes(groups, len(labels))
    if num_groups < 2:
        return []
    num_folds = min(NUM_FOLDS, num_groups)
    # Stratifying wants one class with a row for every fold; the others may be as small as they are.
    if max(Counter(labels).values()) >= num_folds:
        splitter = StratifiedGroupKFold(num_folds, shuffle=True, random_state=seed)
    else:
        splitter = GroupKFold(num_folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        folds = list(splitter.split(labels, labels, members))
    return [(inside, outside) for inside, outside in folds if len(inside) and len(outside)]


def _lead(text: str, lead: int) -> str:
    ends = token_ends(text)
    return (text if len(ends) <= lead else text[: ends[lead - 1]]).strip()


def _have_words(texts: Sequence[str]) -> bool:
    return any(token_ends(text) for text in texts)


def _check_train(values: Sequence[str]) -> None:
    if not values:
        raise DataError("A baseline learns from the train split, and it is empty.", got="0 train rows")


def _check_lengths(texts: Sequence[Any], answers: Sequence[str], what: str) -> None:
    if len(texts) != len(answers):
        raise DataError(f"Each train row needs one text and one of the {what}.", got=f"{len(texts)} and {len(answers)}")
