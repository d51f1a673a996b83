"""Scores of answers against a truth, one number per item, so that `stats` can pair and resample them.

Each function takes two equally long sequences of texts, the truth and the answers, and returns an array with one value
per item. Macro-F1, micro-F1 and the correlation of labels are no means of items; they come as an `Additive`, a function
of sums over items, which resamples just as well. Legend: N items, K labels.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from functools import cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from yibu.core.errors import DataError
from yibu.metrics.resample import Additive, FloatArray

ROUGE_KINDS = ("rouge1", "rouge2", "rougeL")

# Written one by one, without spaces between words: Han (all planes), kana, bopomofo.
_CJK = (
    "\u3005-\u3007\u3040-\u30ff\u3105-\u312f\u31a0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
)
_TOKEN_EN = re.compile(rf"[{_CJK}]|[^\W_{_CJK}]+")
_TOKEN_ZH = re.compile(rf"[{_CJK}]|[0-9]+(?:\.[0-9]+)?|[^\W_0-9{_CJK}]+")
_NUMBER = re.compile(r"(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?|(?<!\w)\.[0-9]+")
_RUN = {"en": 4, "zh": 8}
_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}


def normalise(text: str) -> str:
    """NFKC (Unicode Annex 15: full-width forms become ASCII), white space folded to single spaces, ends stripped."""
    return " ".join(unicodedata.normalize("NFKC", text).split())


def exact_match(truth: Sequence[str], answers: Sequence[str]) -> FloatArray:
    """1.0 where the normalised texts are equal, else 0.0; case counts. Its mean over labels is the accuracy.

    Returns:
        array [N].

    Raises:
        DataError: the two are not equally long.
    """
    _check_lengths(truth, answers)
    pairs = zip(truth, answers, strict=True)
    return np.array([normalise(one) == normalise(other) for one, other in pairs], dtype=float)


def macro_f1(truth: Sequence[str], answers: Sequence[str]) -> Additive:
    """Unweighted mean of the F1 of each label present in the truth; ``.value`` is the figure.

    An answer that is no label of the truth counts against the recall of its true label and against nothing else: it
    opens no class of its own (sklearn's ``f1_score`` with default ``labels`` would, and score it 0). It is the mean of
    F1s, not the F1 of the mean precision and recall (Opitz and Burst 2019, "Macro F1 and Macro F1", arXiv 1911.03347).
    In a resample, labels that it does not contain are left out likewise.

    Raises:
        DataError: nothing given, or the two are not equally long.
    """
    is_truth_NK, is_answer_NK = _labels(truth, answers)
    parts = np.concatenate([is_truth_NK & is_answer_NK, is_truth_NK, is_answer_NK], axis=1)
    return Additive(parts.astype(float), _macro_f1_of_counts, spread="jackknife")


def micro_f1(truth: Sequence[str], answers: Sequence[str]) -> Additive:
    """F1 of all labels of the truth counted together, as sklearn's ``f1_score(average="micro", labels=...)`` has it.

    Where every answer is one of these labels it is the accuracy; an answer outside of them costs recall alone.

    Raises:
        DataError: nothing given, or the two are not equally long.
    """
    is_truth_NK, is_answer_NK = _labels(truth, answers)
    hits_N = (is_truth_NK & is_answer_NK).any(axis=1)
    parts = np.stack([hits_N, is_truth_NK.any(axis=1), is_answer_NK.any(axis=1)], axis=1)
    return Additive(parts.astype(float), f1_of_counts)


def matthews(truth: Sequence[str], answers: Sequence[str]) -> Additive:
    """Correlation of truth and answer, MCC: 1 right throughout, 0 no better than chance, below 0 worse.

    Matthews 1975 for two labels, Gorodkin 2004 (Computational Biology and Chemistry 28) for more; sklearn's
    ``matthews_corrcoef``. Answers that are no label of the truth count as one label of their own. It is 0 where truth
    or answers are all of one label.

    Raises:
        DataError: nothing given, or the two are not equally long.
    """
    is_truth_NK, is_answer_NK = _labels(truth, answers)
    right_N: npt.NDArray[np.bool_] = np.greater((is_truth_NK & is_answer_NK).sum(axis=1), 0)
    outside_N: npt.NDArray[np.bool_] = np.equal(is_answer_NK.sum(axis=1), 0)
    columns = [right_N[:, None], is_truth_NK, np.zeros((len(truth), 1)), is_answer_NK, outside_N[:, None]]
    return Additive(np.concatenate(columns, axis=1).astype(float), _matthews_of_counts, spread="jackknife")


def f1_of_counts(sums: FloatArray) -> FloatArray:
    """Counts [..., 3] (hits, in truth, answered) to F1 [...]; 1 where there is nothing to find and nothing was said."""
    hits, in_truth, answered = sums[..., 0], sums[..., 1], sums[..., 2]
    total = in_truth + answered
    return np.asarray(np.where(total > 0, 2 * hits / np.maximum(total, 1), 1.0))


def _labels(truth: Sequence[str], answers: Sequence[str]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Whether each label of the truth is the true one, and whether it is the answer; both [N, K]."""
    _check_lengths(truth, answers)
    if not truth:
        raise DataError("A score of labels needs at least one item.", got="0 items")
    truth_labels = [normalise(label) for label in truth]
    codes = {label: code for code, label in enumerate(sorted(set(truth_labels)))}
    truth_N = np.array([codes[label] for label in truth_labels])
    answer_N = np.array([codes.get(normalise(label), -1) for label in answers])
    return np.equal.outer(truth_N, np.arange(len(codes))), np.equal.outer(answer_N, np.arange(len(codes)))


def _macro_f1_of_counts(sums: FloatArray) -> FloatArray:
    """Counts [..., 3K] (hits, in truth, answered) to macro-F1 [...]."""
    hits, in_truth, answered = np.split(sums, 3, axis=-1)
    present = in_truth > 0
    f1 = np.where(present, 2 * hits / np.maximum(in_truth + answered, 1), 0.0)
    return np.asarray(f1.sum(axis=-1) / present.sum(axis=-1))


def _matthews_of_counts(sums: FloatArray) -> FloatArray:
    """Counts [..., 1 + 2K] (right, truth by label, answers by label) to the correlation [...]."""
    right = sums[..., 0]
    in_truth, answered = np.split(sums[..., 1:], 2, axis=-1)
    n = in_truth.sum(axis=-1)
    # Products of counts, so that truths or answers of one label give exactly 0.
    spreads = (n**2 - (in_truth**2).sum(axis=-1)) * (n**2 - (answered**2).sum(axis=-1))
    together = right * n - (in_truth * answered).sum(axis=-1)
    return np.asarray(np.where(spreads > 0, together / np.sqrt(np.maximum(spreads, 1.0)), 0.0))


def rouge(truth: Sequence[str], answers: Sequence[str], language: str) -> dict[str, FloatArray]:
    """ROUGE-1, ROUGE-2 and ROUGE-L as F1 (Lin 2004), tokens as in `tokens`.

    On English in ASCII it equals the package rouge-score with its stemmer, whose words it uses. The rest of that
    package is not, because it drops every character outside a-z and 0-9 (two identical Chinese texts get 0.0) and its
    table for the longest common subsequence takes a quarter of a second for two texts of 1,000 tokens.

    A pair of texts with the same tokens scores 1.0 in every kind, also where it is too short to have a bigram (there
    rouge-score says 0.0), and so do two equal texts without any token: an answer that is the truth is right.

    Args:
        language: ``"en"`` or ``"zh"``.

    Returns:
        ``{"rouge1": [N], "rouge2": [N], "rougeL": [N]}``.

    Raises:
        DataError: the two are not equally long, or the language is neither.
    """
    _check_lengths(truth, answers)
    scored = np.zeros((len(truth), len(ROUGE_KINDS)))
    for item, (one, other) in enumerate(zip(truth, answers, strict=True)):
        one_tokens, other_tokens = tokens(one, language), tokens(other, language)
        if one_tokens == other_tokens and (one_tokens or normalise(one) == normalise(other)):
            scored[item] = 1.0
            continue
        scored[item, 0] = _overlap_f1(one_tokens, other_tokens)
        scored[item, 1] = _overlap_f1(_bigrams(one_tokens), _bigrams(other_tokens))
        common = _longest_common_subsequence(one_tokens, other_tokens)
        scored[item, 2] = _f1(common, len(one_tokens), len(other_tokens))
    return {kind: scored[:, column] for column, kind in enumerate(ROUGE_KINDS)}


def tokens(text: str, language: str) -> list[str]:
    """Lower-case tokens as ROUGE counts them.

    Both languages: a CJK character is a token, a run of other letters and digits is a token, the rest separates.
    ``"en"``: ASCII words of more than three letters are stemmed (Porter 1980), as rouge-score does. ``"zh"``: NFKC
    first; a number with its decimals is one token, apart from the unit that follows it, so that 37.5 is not near 5.37.

    Raises:
        DataError: the language is neither.
    """
    if language == "zh":
        return _TOKEN_ZH.findall(unicodedata.normalize("NFKC", text).lower())
    if language != "en":
        raise DataError("There is no tokenizer for that language.", got=language, allowed=["en", "zh"])
    stem = _stemmer()
    return [stem(word) if word.isascii() else word for word in _words(text)]


def token_ends(text: str) -> list[int]:
    """Offset in the text at which each of its words (a CJK character is one) ends."""
    return [match.end() for match in _TOKEN_EN.finditer(text)]


def repetition(answers: Sequence[str], language: str) -> FloatArray:
    """Share of the runs of four words of each answer that stood before in it; 0 for an answer shorter than that.

    "rep-4" of Welleck et al. 2020 (arXiv 1908.04319): near 0 in text that people write, near 1 in one that has fallen
    into a loop. Tokens as in `tokens`; in Chinese, where these are characters, a run has eight of them, for a word has
    about two.

    Returns:
        array [N].

    Raises:
        DataError: the language is neither ``"en"`` nor ``"zh"``.
    """
    size = _RUN.get(language, 1)
    shares = np.zeros(len(answers))
    for item, answer in enumerate(answers):
        words = tokens(answer, language)
        runs = [tuple(words[start : start + size]) for start in range(len(words) - size + 1)]
        if runs:
            shares[item] = (len(runs) - len(set(runs))) / len(runs)
    return shares


def numbers_kept(truth: Sequence[str], answers: Sequence[str]) -> FloatArray:
    """Share of the distinct numbers of the truth that the answer has too; NaN where the truth has none.

    Values are compared, not digits: 37.50 is 37.5, 1,200 is 1200, ３７ is 37, and 375 is not 37.5. Signs, units and
    numbers written in words or Chinese numerals are not looked at.

    Returns:
        array [N].

    Raises:
        DataError: the two are not equally long.
    """
    _check_lengths(truth, answers)
    kept = np.full(len(truth), np.nan)
    for item, (one, other) in enumerate(zip(truth, answers, strict=True)):
        wanted = set(numbers(one))
        if wanted:
            kept[item] = len(wanted & set(numbers(other))) / len(wanted)
    return kept


def numbers(text: str) -> Iterator[str]:
    """The numbers of a text in reading order, in one spelling each (``"1,200.50"`` gives ``"1200.5"``)."""
    # Not NFKC: it would make 10⁹ into 109.
    for match in _NUMBER.finditer(text.translate(_FULL_WIDTH)):
        whole, _, decimals = match.group().replace(",", "").partition(".")
        decimals = decimals.rstrip("0")
        yield (whole.lstrip("0") or "0") + ("." + decimals if decimals else "")


def _words(text: str) -> list[str]:
    # NFC, so that a letter and a combining accent are not two words.
    return _TOKEN_EN.findall(unicodedata.normalize("NFC", text).lower())


@cache
def _stemmer() -> Callable[[str], str]:
    """One lower-case ASCII word as rouge-score counts it."""
    from rouge_score.tokenizers import DefaultTokenizer  # brings nltk: over half a second, and Chinese needs none

    tokenizer = DefaultTokenizer(use_stemmer=True)

    @cache
    def stem(word: str) -> str:
        [token] = tokenizer.tokenize(word)
        return str(token)

    return stem


def _bigrams(words: list[str]) -> list[tuple[str, str]]:
    return list(pairwise(words))


def _overlap_f1(truth: Sequence[Hashable], answer: Sequence[Hashable]) -> float:
    return _f1((Counter(truth) & Counter(answer)).total(), len(truth), len(answer))


def _f1(common: int, num_truth: int, num_answer: int) -> float:
    return 2 * common / (num_truth + num_answer) if common else 0.0


def _longest_common_subsequence(one: list[str], other: list[str]) -> int:
    """Length of the longest common subsequence; a row of the table is one integer's bits (Hyyrö 2004)."""
    places: dict[str, int] = {}
    for place, token in enumerate(one):
        places[token] = places.get(token, 0) | 1 << place
    every = (1 << len(one)) - 1
    row = every
    for token in other:
        matches = row & places.get(token, 0)
        row = ((row + matches) | (row - matches)) & every
    return len(one) - row.bit_count()


def _check_lengths(truth: Sequence[str], answers: Sequence[str]) -> None:
    if len(truth) != len(answers):
        raise DataError("Truth and answers must be equally long.", got=f"{len(truth)} truths, {len(answers)} answers")
