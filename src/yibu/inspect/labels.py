"""Rows whose label is probably wrong: confident learning (Northcutt, Jiang and Chuang 2021, JAIR 70) by cleanlab.

A model that learned a wrong label would vouch for it, so each row is judged by a model that never saw it: k folds keep
rows of one group, and rows of one text, together, and `check_out_of_fold` asserts it. The model is TF-IDF with logistic
regression (words, pairs of words and character n-grams; character n-grams alone for Chinese), or a tuned model of ours
whose probabilities over folds are handed in. Confident learning says how many labels are wrong; those rows are listed
whose own label gets the least probability and another one gets more. They are a list for people: nothing is deleted.

What cannot be judged is said by name: a class with fewer rows than folds would be missing from some fold's training
rows, where its probability is 0 and every row of it looks wrong (cleanlab does not notice).
"""

from __future__ import annotations

import heapq
import itertools
import re
import unicodedata
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic import Field

from yibu.core.chance import uniform
from yibu.core.errors import DataError, MissingExtra
from yibu.core.recipe import Settings
from yibu.core.record import Row, Split
from yibu.tasks import Task

Rows = Callable[[], Iterator[tuple[Split, Row]]]

_WIDE = re.compile("[\uff01-\uff5e]")
_ROW_CHARACTERS = 4000  # of a text that the features see
_ALL_CHARACTERS = 10_000_000  # over all rows: their n-grams take about 8 bytes a character
_CELLS = 5_000_000  # of the matrix of probabilities: 40 MB
_FLOOR = 4  # times the number of folds: rows that a rare class keeps when rows are too many
_BUCKETS = 2**16  # n-grams are hashed, so that nothing of a row is kept in a vocabulary; fits uint16
_COLUMNS = 12_000  # the n-grams that most rows have, of each kind
_PROJECTED = 3000  # rows from which the projection is learned
_BLOCK = 500  # rows counted or projected at once


class LabelSettings(Settings):
    """How label errors are looked for."""

    folds: int = Field(default=5, ge=3, le=20, description="a class with fewer rows than folds cannot be judged")
    max_rows: int = Field(default=50_000, ge=100, description="rows that are looked at, drawn by hash")
    max_classes: int = Field(default=300, ge=2, description="the most frequent classes are looked at")
    max_suspects: int = Field(default=1000, ge=1, description="longest list for people; the true number is counted")
    strength: float = Field(default=10.0, gt=0, description="C of the logistic regression")
    dimensions: int = Field(default=300, ge=2, description="of the projected TF-IDF vectors")
    test: bool = Field(default=False, description="list suspects of the test split too, apart; nothing is chosen by it")
    seed: int = 0


@dataclass(frozen=True)
class FoldProbabilities:
    """What models of our own said about rows that they were not trained on.

    Attributes:
        labels: the classes, in the order of the numbers of a row.
        rows: row id -> (fold, one probability per class). The model of a fold was trained on rows of other folds only.
    """

    labels: Sequence[str]
    rows: Mapping[str, tuple[int, Sequence[float]]]


class _Picked(NamedTuple):
    """A row that is looked at."""

    draw: float
    id: str
    split: Split
    label: str
    group: str | None
    text: str


class _Judged(NamedTuple):
    """Rows with a probability for each class, all of them out of fold."""

    rows: list[_Picked]
    classes: list[str]
    shares: Any  # [N, K]


def suspects(
    rows: Rows, task: Task, language: str, settings: LabelSettings, probabilities: FoldProbabilities | None = None
) -> dict[str, Any]:
    """The rows of train and valid whose label is probably wrong, worst first.

    Args:
        rows: gives a fresh iterator each time.
        task: says what the class of a row is and which text it is judged by.
        language: ``"en"`` or ``"zh"``: which features.
        settings: folds and limits.
        probabilities: of our own tuned folds, instead of those of TF-IDF with logistic regression.

    Returns:
        ``n`` rows judged; ``folds``; ``model``; ``found``, the number of suspects, and ``noise_rate``, their share;
        ``suspects``: ``id``, ``split``, ``given``, ``suggested``, ``score`` (the probability of the given label, 0 is
        worst) and ``confidence`` (that of the suggested one); ``skipped``: what was not judged and why, classes by
        name; ``test`` where it was asked for: its own ``n``, ``found`` and ``suspects``.

    Raises:
        DataError: an unknown language; probabilities that are none, or whose folds share a group.
        MissingExtra: cleanlab or scikit-learn is not installed.
    """
    if language not in ("en", "zh"):
        raise DataError("There are no TF-IDF features for that language.", got=language, allowed=["en", "zh"])
    picked, skipped = _pick(rows, task, settings)
    result: dict[str, Any] = {
        "n": 0,
        "folds": settings.folds,
        "model": "tfidf_logistic" if probabilities is None else "tuned_folds",
        "found": 0,
        "noise_rate": None,
        "suspects": [],
        "skipped": skipped,
    }
    if len({row.label for row in picked}) < 2:
        skipped["too_few_classes"] = len(picked)
        return result
    try:
        import cleanlab  # noqa: F401
        import sklearn  # noqa: F401
    except ImportError as error:
        raise MissingExtra(str(error.name), extra="data", use="The search for label errors") from None
    if probabilities is None:
        judged = _by_folds(picked, language, settings, skipped)
    else:
        result["folds"] = len({fold for fold, _ in probabilities.rows.values()})
        judged = _given(picked, probabilities, skipped)
    found = _worst(judged)
    result |= {"n": len(judged.rows), "found": len(found), "suspects": found[: settings.max_suspects]}
    if judged.rows:
        result["noise_rate"] = round(len(found) / len(judged.rows), 4)
    if settings.test and probabilities is None:
        result["test"] = _of_test(rows, task, picked, language, settings)
    return result


def same_text(text: str) -> str:
    """The text as it is compared with others: without regard to case, full width, white space and a final stop.

    Nothing inside is folded that could carry a value: 37.5 is not 375, 10⁹ is not 109.
    """
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
        for sign in set(_WIDE.findall(text)):  # few different ones: much faster than to translate
            text = text.replace(sign, chr(ord(sign) - 0xFEE0))
    folded = " ".join(text.casefold().split())
    return folded.rstrip(" .!?。！？") or folded


def check_out_of_fold(
    fold_of_row: Sequence[int], trained_on: Mapping[int, Sequence[int]], units: Sequence[Hashable]
) -> None:
    """Assert that the model which judged a row saw neither the row nor another one of its unit (group or text).

    Args:
        fold_of_row: which fold's model judged each row.
        trained_on: the rows (numbers) that each fold's model was fitted on, as they were handed to it.
        units: of each row.

    Raises:
        AssertionError: a row was judged by a model that knew it; also under ``python -O``.
    """
    seen = {fold: {units[row] for row in inside} for fold, inside in trained_on.items()}
    for row, fold in enumerate(fold_of_row):
        if units[row] in seen[fold]:
            raise AssertionError(f"row number {row} was judged by fold {fold}, which was trained on it or its group")


def _pick(rows: Rows, task: Task, settings: LabelSettings) -> tuple[list[_Picked], dict[str, Any]]:
    """The rows that are looked at, in the order of their draw, so that the order of the source plays no part."""
    num_rows: Counter[str] = Counter()
    members: dict[str, set[str]] = defaultdict(set)  # distinct groups (or rows) of a class, up to the number of folds
    num_without = characters = 0
    for split, row in rows():
        label = task.label(row) if split != "test" else None
        if label is None:
            num_without += split != "test"
            continue
        num_rows[label] += 1
        if len(members[label]) < settings.folds:
            members[label].add(_group_key(row))
        characters += min(_ROW_CHARACTERS, len(task.prompt_text(row)))
    rare = sorted(label for label in num_rows if len(members[label]) < settings.folds)
    able = sorted((label for label in num_rows if label not in set(rare)), key=lambda label: (-num_rows[label], label))
    classes, beyond = able[: settings.max_classes], able[settings.max_classes :]
    skipped: dict[str, Any] = {
        "no_label": num_without,
        "rare_classes": {label: num_rows[label] for label in rare},
        "classes_beyond_limit": {label: num_rows[label] for label in beyond},
    }
    total = sum(num_rows[label] for label in classes)
    limit = min(settings.max_rows, _CELLS // max(1, len(classes)))
    limit = min(limit, round(total * min(1.0, _ALL_CHARACTERS / max(1, characters))))
    quotas = _quotas({label: num_rows[label] for label in classes}, limit, _FLOOR * settings.folds)
    heaps: dict[str, list[tuple[float, str, _Picked]]] = {label: [] for label in classes}
    for split, row in rows():
        label = task.label(row) if split != "test" else None
        if label is None or label not in heaps:
            continue
        draw = uniform(settings.seed, row.id, "labels")
        heap = heaps[label]
        if len(heap) == quotas[label] and (-draw, row.id) <= heap[0][:2]:
            continue
        one = _Picked(draw, row.id, split, label, row.group, task.prompt_text(row)[:_ROW_CHARACTERS])
        (heapq.heappush if len(heap) < quotas[label] else heapq.heapreplace)(heap, (-draw, row.id, one))
    picked = sorted((one for heap in heaps.values() for _, _, one in heap), key=lambda one: one[:2])
    skipped["beyond_limit"] = total - len(picked)
    return picked, skipped


def _quotas(num_rows: dict[str, int], limit: int, floor: int) -> dict[str, int]:
    """Rows of each class that are looked at: the same share of all classes, but no class is cut below the floor."""
    total = sum(num_rows.values())
    if total <= limit:
        return num_rows
    floor = max(1, min(floor, limit // max(1, len(num_rows))))
    low, high = 0.0, 1.0
    for _ in range(50):  # the largest share that the limit allows
        share = (low + high) / 2
        taken = sum(max(min(size, floor), int(size * share)) for size in num_rows.values())
        low, high = (share, high) if taken <= limit else (low, share)
    return {label: max(min(size, floor), int(size * low)) for label, size in num_rows.items()}


def _group_key(row: Row) -> str:
    return f"row\0{row.id}" if row.group is None else f"group\0{row.group}"


def _units(picked: Sequence[_Picked]) -> list[int]:
    """One number for rows that share a group or a text, also through others."""
    parent = list(range(len(picked)))

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    first: dict[tuple[str, str], int] = {}
    for place, one in enumerate(picked):
        keys = [("text", same_text(one.text))] + ([] if one.group is None else [("group", one.group)])
        for key in keys:
            other = root(first.setdefault(key, place))
            parent[max(other, root(place))] = min(other, root(place))
    return [root(place) for place in range(len(picked))]


def _by_folds(picked: list[_Picked], language: str, settings: LabelSettings, skipped: dict[str, Any]) -> _Judged:
    """Probabilities by TF-IDF and logistic regression; each from the fold that holds the row out."""
    import numpy as np
    from sklearn.model_selection import StratifiedGroupKFold

    units = _units(picked)
    # A class may be left with too few units: its rows were thinned out, or hold one text.
    members: dict[str, set[int]] = defaultdict(set)
    for one, unit in zip(picked, units, strict=True):
        members[one.label].add(unit)
    thin = sorted(label for label, found in members.items() if len(found) < settings.folds)
    if thin:
        sizes = Counter(one.label for one in picked)
        skipped["rare_classes"] = dict(sorted({**skipped["rare_classes"], **{c: sizes[c] for c in thin}}.items()))
        return _by_folds([one for one in picked if one.label not in set(thin)], language, settings, skipped)
    classes = sorted(members)
    if len(classes) < 2:
        skipped["too_few_classes"] = len(picked)
        return _Judged([], classes, np.zeros((0, len(classes))))
    number = {label: place for place, label in enumerate(classes)}
    labels_N = np.array([number[one.label] for one in picked])
    counts = _counts([one.text for one in picked], language)
    shares_NK = np.zeros((len(picked), len(classes)))
    fold_of_row = np.full(len(picked), -1)
    can_judge = np.zeros(len(picked), dtype=bool)
    trained_on: dict[int, Sequence[int]] = {}
    splitter = StratifiedGroupKFold(settings.folds, shuffle=True, random_state=settings.seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        folds = list(splitter.split(labels_N, labels_N, units))
    for fold, (inside, outside) in enumerate(folds):
        known = np.unique(labels_N[inside])
        fold_of_row[outside] = fold
        trained_on[fold] = inside
        can_judge[outside] = np.isin(labels_N[outside], known)
        if len(known) > 1:
            shares_NK[np.ix_(outside, known)] = _predict(counts, labels_N[inside], inside, outside, settings)
        else:
            can_judge[outside] = False
    check_out_of_fold(fold_of_row.tolist(), trained_on, units)
    unseen = Counter(picked[place].label for place in np.flatnonzero(~can_judge))
    if unseen:
        skipped["unseen_in_fold"] = dict(sorted(unseen.items()))
    kept = np.flatnonzero(can_judge)
    return _Judged([picked[place] for place in kept], classes, shares_NK[kept])


def _given(picked: list[_Picked], given: FoldProbabilities, skipped: dict[str, Any]) -> _Judged:
    """Probabilities of our own tuned folds, for the rows that have them."""
    import numpy as np

    number = {label: place for place, label in enumerate(given.labels)}
    known = [one for one in picked if one.id in given.rows and one.label in number]
    skipped["no_probability"] = len(picked) - len(known)
    folds = [given.rows[one.id][0] for one in known]
    fold_of_group: dict[str, int] = {}
    for one, fold in zip(known, folds, strict=True):
        if one.group is not None and fold_of_group.setdefault(one.group, fold) != fold:
            raise DataError(
                "Rows of one group lie in two folds, so a model judged rows of a group that it was trained on.",
                got=f"row {one.id}",
                do="make the folds with data.split.group set",
            )
    units = _units(known)
    spread: dict[int, set[int]] = defaultdict(set)
    for unit, fold in zip(units, folds, strict=True):
        spread[unit].add(fold)
    clean = [place for place, unit in enumerate(units) if len(spread[unit]) == 1]
    if len(clean) < len(known):  # the same text in another fold: that model knows the answer
        skipped["text_in_another_fold"] = len(known) - len(clean)
    every = set(folds)
    inside = {fold: [place for place in clean if folds[place] != fold] for fold in every}
    positions = {place: number for number, place in enumerate(clean)}
    check_out_of_fold(
        [folds[place] for place in clean],
        {fold: [positions[place] for place in places] for fold, places in inside.items()},
        [units[place] for place in clean],
    )
    rows = [known[place] for place in clean]
    shares_NK = np.array([given.rows[one.id][1] for one in rows], dtype=float).reshape(len(rows), -1)
    good = shares_NK.shape[1] == len(given.labels) or not rows
    if not good or not np.isfinite(shares_NK).all() or (shares_NK < 0).any() or (shares_NK.sum(axis=1) <= 0).any():
        raise DataError(
            "The probabilities of the folds are not one number from 0 to 1 per class.",
            got=f"{len(given.labels)} classes",
        )
    return _Judged(rows, list(given.labels), shares_NK)


def _worst(judged: _Judged) -> list[dict[str, Any]]:
    """The rows that confident learning counts as label errors, the least probable label first."""
    import numpy as np

    if not judged.rows:
        return []
    from cleanlab.filter import find_label_issues

    # A class without a judged row would shift cleanlab's thresholds, so its column goes.
    present = sorted({one.label for one in judged.rows})
    if len(present) < 2:
        return []
    columns = [judged.classes.index(label) for label in present]
    shares_NK = np.maximum(judged.shares[:, columns], 1e-12)
    shares_NK /= shares_NK.sum(axis=1, keepdims=True)
    number = {label: place for place, label in enumerate(present)}
    labels_N = np.array([number[one.label] for one in judged.rows])
    marked = find_label_issues(labels_N, shares_NK, filter_by="low_self_confidence", n_jobs=1)
    best_N = shares_NK.argmax(axis=1)
    found = [
        {
            "id": judged.rows[place].id,
            "split": judged.rows[place].split,
            "given": judged.rows[place].label,
            "suggested": present[best_N[place]],
            "score": round(float(shares_NK[place, labels_N[place]]), 4),
            "confidence": round(float(shares_NK[place, best_N[place]]), 4),
        }
        for place in np.flatnonzero(marked & (best_N != labels_N))
    ]
    return sorted(found, key=lambda suspect: (suspect["score"], -suspect["confidence"], suspect["id"]))


def _of_test(rows: Rows, task: Task, picked: list[_Picked], language: str, settings: LabelSettings) -> dict[str, Any]:
    """Suspects of test, judged by a model of the train and valid rows that were looked at."""
    import numpy as np

    classes = sorted({one.label for one in picked})
    groups = {one.group for one in picked} - {None}
    texts = {same_text(one.text) for one in picked}
    test: list[_Picked] = []
    num_seen = num_unknown = 0
    for split, row in rows():
        label = task.label(row) if split == "test" else None
        if label is None:
            continue
        text = task.prompt_text(row)[:_ROW_CHARACTERS]
        if label not in classes:
            num_unknown += 1
        elif row.group in groups or same_text(text) in texts:
            num_seen += 1
        else:
            draw = uniform(settings.seed, row.id, "labels")
            test.append(_Picked(draw, row.id, "test", label, row.group, text))
            if len(test) >= 2 * settings.max_rows:
                test = heapq.nsmallest(settings.max_rows, test)
    test = heapq.nsmallest(min(settings.max_rows, len(picked)), test)
    found: list[dict[str, Any]] = []
    if test:
        counts = _counts([one.text for one in itertools.chain(picked, test)], language)
        labels_N = np.array([classes.index(one.label) for one in picked])
        places = np.arange(len(picked) + len(test))
        shares_NK = _predict(counts, labels_N, places[: len(picked)], places[len(picked) :], settings)
        found = _worst(_Judged(test, classes, shares_NK))
    return {
        "n": len(test),
        "found": len(found),
        "suspects": found[: settings.max_suspects],
        "skipped": {"class_not_judged": num_unknown, "text_or_group_in_train": num_seen},
    }


def _counts(texts: Sequence[str], language: str) -> list[list[Any]]:
    """How often each hashed n-gram stands in each text: as blocks of rows (in the form of CSR).

    The features of `yibu.evaluate.baselines`, hashed. Counting needs no look at other rows, so it is done once.
    """
    import numpy as np
    from sklearn.feature_extraction.text import HashingVectorizer

    kinds: list[dict[str, Any]] = [{"analyzer": "char", "ngram_range": (1, 4)}]
    if language == "en":
        # sklearn's own pattern drops words of one character, among them every digit.
        words = {"analyzer": "word", "ngram_range": (1, 2), "token_pattern": r"\b\w+\b"}
        kinds = [words, {"analyzer": "char_wb", "ngram_range": (2, 5)}]
    made: list[list[Any]] = []
    for kind in kinds:
        hashing = HashingVectorizer(**kind, n_features=_BUCKETS, alternate_sign=False, norm=None, dtype=np.float32)
        blocks = []
        for start in range(0, len(texts), _BLOCK):  # the vectoriser holds every occurrence before it adds them up
            block = hashing.transform(texts[start : start + _BLOCK]).tocsr()
            # Three bytes a count instead of eight: with two matrices of 50,000 rows that decides about memory.
            small = np.minimum(block.data, 255).astype(np.uint8), block.indices.astype(np.uint16)
            blocks.append((*small, block.indptr.astype(np.int32)))
        made.append(blocks)
    return made


def _rows(blocks: list[Any], places: Any) -> Any:
    """The rows [places, buckets] of the blocks that `_counts` made; the places rise."""
    import numpy as np
    from scipy import sparse

    of_block = places // _BLOCK
    parts = []
    for number in np.unique(of_block):
        data, indices, indptr = blocks[number]
        shape = (len(indptr) - 1, _BUCKETS)
        block = sparse.csr_matrix((data.astype(np.float32), indices.astype(np.int32), indptr), shape=shape)
        parts.append(block[places[of_block == number] - number * _BLOCK])
    return sparse.vstack(parts, format="csr")


def _predict(counts: list[list[Any]], labels_I: Any, inside: Any, outside: Any, settings: LabelSettings) -> Any:
    """Probabilities [outside, classes of inside]; everything that is learned is learned from the rows inside.

    TF-IDF (logarithmic counts), projected by a truncated SVD (latent semantic analysis, Deerwester et al. 1990), which
    bounds memory whatever the number of n-grams, and multinomial logistic regression.
    """
    import numpy as np
    from scipy import sparse
    from sklearn.decomposition import TruncatedSVD
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.feature_extraction.text import TfidfTransformer
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    sample = inside[:_PROJECTED]  # rows are in the order of their draw
    learned = []
    for kind in counts:
        part = _rows(kind, sample)
        frequency = np.bincount(part.indices, minlength=part.shape[1])
        columns = np.flatnonzero(frequency >= min(2, len(sample)))
        columns = np.sort(columns[np.argsort(-frequency[columns], kind="stable")[:_COLUMNS]])
        if len(columns):
            learned.append((kind, columns, TfidfTransformer(sublinear_tf=True).fit(part[:, columns])))
        del part

    def vectors(places: Any) -> Any:
        parts = [weights.transform(_rows(kind, places)[:, columns]) for kind, columns, weights in learned]
        return sparse.hstack(parts).tocsr() if parts else sparse.csr_matrix((len(places), 1), dtype=np.float32)

    with threadpool_limits(1), warnings.catch_warnings():  # sums in one order, whatever the number of cores
        warnings.simplefilter("ignore", ConvergenceWarning)
        first = vectors(sample)
        dimensions = min(settings.dimensions, min(first.shape) - 1)
        svd = TruncatedSVD(dimensions, n_iter=2, random_state=settings.seed).fit(first) if dimensions > 1 else None
        del first

        def project(places: Any) -> Any:
            blocks = []
            for start in range(0, len(places), _BLOCK):
                block = vectors(places[start : start + _BLOCK])
                dense = block.toarray() if svd is None else svd.transform(block)
                blocks.append(dense / np.maximum(np.linalg.norm(dense, axis=1, keepdims=True), 1e-9))
            return np.concatenate(blocks).astype(np.float32)

        model = LogisticRegression(C=settings.strength, max_iter=200, tol=1e-3, random_state=settings.seed)
        model.fit(project(inside), labels_I)
        return model.predict_proba(project(outside))
