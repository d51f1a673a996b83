"""What the rows say in more than one way: one input with two labels, one term in several spellings, mistyped labels.

Nothing is changed here; it is a report and a list for people. The rows are read several times and never held: what
stays in memory is a number per distinct input and a bounded table of words.

Spellings are those of `yibu.inspect.spellings`. Mistyped labels are rare ones that look like a frequent one, unless the
edit carries meaning (`yibu.inspect.alike`).
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from pydantic import Field

from yibu.core.chance import exact_key
from yibu.core.recipe import Settings
from yibu.core.record import Row, Split
from yibu.inspect.alike import Near, carries_meaning
from yibu.inspect.labels import same_text
from yibu.inspect.spellings import Spellings, spellings
from yibu.tasks import Task

Rows = Callable[[], Iterator[tuple[Split, Row]]]

_MAX_IDS = 50  # of one conflict
_CJK_RUN = re.compile("[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+")
_WIDE = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}


class ConsistencySettings(Settings):
    """What is listed, and what counts as rare."""

    max_conflicts: int = Field(default=200, ge=1, description="inputs with several labels that are listed")
    max_spellings: int = Field(default=200, ge=1, description="terms in several spellings that are listed")
    max_typos: int = Field(default=100, ge=1, description="mistyped labels that are listed")
    min_frequent: int = Field(default=20, ge=2, description="times that a word stands in the rows to have variants")
    ratio: float = Field(default=50.0, ge=1, description="a word is a variant of one this many times as frequent")
    label_ratio: float = Field(default=10.0, ge=1, description="a label is a typo of one this many times as frequent")
    seed: int = 0

    def spellings(self, rows: Rows, task: Task, dictionary: Any | None) -> Spellings:
        """See `yibu.inspect.spellings.spellings`."""
        return spellings(rows, task, dictionary, min_frequent=self.min_frequent, ratio=self.ratio, seed=self.seed)


def find(rows: Rows, task: Task, dictionary: Any | None, settings: ConsistencySettings) -> dict[str, Any]:
    """The consistency report.

    Args:
        rows: gives a fresh iterator each time.
        task: says what the input, the answer and the class of a row are.
        dictionary: a `yibu.terms.Dictionary`, or None.
        settings: limits.

    Returns:
        ``conflicts``: ``{"ids", "labels", "n", "targets"}`` (most rows first; ``labels`` with the most frequent
        first, empty where the task has no classes, and then ``targets`` counts the different answers);
        ``spellings``: ``{"preferred", "code", "kind", "forms": {form: n}}``; ``label_typos``: ``{"label", "n", "like",
        "of", "kind"}``; ``counts``: the true totals, rows seen, and whether Chinese words could be looked at.
    """
    return report(answers(rows, task), settings.spellings(rows, task, dictionary), settings)


def report(answered: Answers, spelled: Spellings, settings: ConsistencySettings) -> dict[str, Any]:
    """What `find` returns, of its two halves."""
    typos = label_typos(answered.labels, settings.label_ratio)
    counts: dict[str, Any] = {
        "rows": answered.num_rows,
        "conflicts": len(answered.conflicts),
        "conflict_rows": sum(conflict["n"] for conflict in answered.conflicts),
    }
    if spelled.chinese_words is not None:
        counts["chinese_words"] = spelled.chinese_words
    counts |= {"spellings": len(spelled.found), "label_typos": len(typos), "labels": len(answered.labels)}
    return {
        "conflicts": answered.conflicts[: settings.max_conflicts],
        "spellings": spelled.found[: settings.max_spellings],
        "label_typos": typos[: settings.max_typos],
        "counts": counts,
    }


class Answers(NamedTuple):
    """What is answered to equal inputs.

    Attributes:
        conflicts: as `find` returns them, all of them.
        num_rows: seen.
        labels: label -> rows.
    """

    conflicts: list[dict[str, Any]]
    num_rows: int
    labels: dict[str, int]


def answers(rows: Rows, task: Task) -> Answers:
    """Inputs that stand with different labels (or answers)."""
    inputs = _Inputs(task)
    for _, row in rows():
        inputs.see(row)
    conflicts = _Conflicts(task, inputs.in_conflict)
    num_rows, labels = inputs.num_rows, inputs.labels
    del inputs  # a number per distinct input
    if conflicts.is_needed:
        for _, row in rows():
            conflicts.see(row)
    return Answers(conflicts.listed(), num_rows, labels)


def label_typos(counts: dict[str, int], ratio: float) -> list[dict[str, Any]]:
    """Labels that look like another one mistyped, the one with the most rows first.

    Equal but for case, width, punctuation or white space: the rarer is a typo of the more frequent, however often it
    stands. Else one or two edits (one where the label is shorter than eight characters or Chinese; none where it is
    shorter than six, or four in Chinese) from a label that is ``ratio`` times as frequent.
    """
    order = sorted(counts, key=lambda label: (-counts[label], label))
    found: list[dict[str, Any]] = []
    first: dict[str, str] = {}
    distinct: list[str] = []
    for label in order:
        like = first.setdefault(bare_label(label), label)
        if like == label:
            distinct.append(label)
        else:
            found.append({"label": label, "n": counts[label], "like": like, "of": counts[like], "kind": "form"})
    most = max(counts.values(), default=0)
    near = Near([label for label in distinct if counts[label] >= ratio], 2)
    for label in distinct:
        if counts[label] * ratio > most:
            continue
        best: tuple[int, int, str] | None = None
        for like, distance in near.of(label):
            short = min(len(label), len(like))
            chinese = _CJK_RUN.search(label) is not None
            allowed = 0 if short < (4 if chinese else 6) else 1 if short < 8 or chinese else 2
            if distance <= allowed and counts[label] * ratio <= counts[like] and not carries_meaning(label, like):
                candidate = (distance, -counts[like], like)
                best = candidate if best is None else min(best, candidate)
        if best is not None:
            found.append({"label": label, "n": counts[label], "like": best[2], "of": -best[1], "kind": "edit"})
    return sorted(found, key=lambda typo: (-typo["n"], -typo["of"], typo["label"]))


def bare_label(label: str) -> str:
    """A label without case, width, punctuation and white space; what may be a value stays: A+ is not A-, 1.5 is not 15,
    Rh- is not Rh."""
    folded = unicodedata.normalize("NFC", label).translate(_WIDE).casefold().replace("_", " ")
    folded = re.sub(r"(?<!\d)\s+|\s+(?!\d)", "", folded)
    folded = re.sub(r"(?<=[^\W\d])[-‐‑‒–—](?=[^\W\d])", "", folded)
    return re.sub(r"(?<!\d)[.,;:!?'\"’()\[\]{}/\\、。·《》「」“”]+(?!\d)", "", folded) or folded


class _Inputs:
    """Which inputs stand with different labels (or answers), and how often each label.

    Attributes:
        num_rows: seen.
        labels: label -> rows.
        in_conflict: keys of those inputs.
    """

    def __init__(self, task: Task) -> None:
        self.num_rows = 0
        self.labels: Counter[str] = Counter()
        self.in_conflict: set[int] = set()
        self._task = task
        self._first: dict[int, int] = {}

    def see(self, row: Row) -> None:
        self.num_rows += 1
        label = self._task.label(row)
        if label is not None:
            self.labels[label] += 1
        prompt, answer = _key(self._task.prompt_text(row)), _key(_answer(row, self._task))
        if self._first.setdefault(prompt, answer) != answer:
            self.in_conflict.add(prompt)


class _Conflicts:
    """The rows of inputs that stand with different labels (or answers)."""

    def __init__(self, task: Task, inputs: set[int]) -> None:
        self.is_needed = bool(inputs)
        self._task = task
        self._inputs = inputs
        self._ids: dict[int, list[str]] = defaultdict(list)
        self._labels: dict[int, Counter[str]] = defaultdict(Counter)
        self._answers: dict[int, set[int]] = defaultdict(set)
        self._sizes: Counter[int] = Counter()

    def see(self, row: Row) -> None:
        prompt = _key(self._task.prompt_text(row))
        if prompt not in self._inputs:
            return
        self._sizes[prompt] += 1
        self._answers[prompt].add(_key(_answer(row, self._task)))
        if len(self._ids[prompt]) < _MAX_IDS:
            self._ids[prompt].append(row.id)
        label = self._task.label(row)
        if label is not None:
            self._labels[prompt][label] += 1

    def listed(self) -> list[dict[str, Any]]:
        """Those with the most rows first."""
        found: list[dict[str, Any]] = []
        for prompt, size in self._sizes.items():
            labels = self._labels[prompt]
            told = sorted(labels, key=lambda label: (-labels[label], label))
            found.append({"ids": self._ids[prompt], "labels": told, "n": size, "targets": len(self._answers[prompt])})
        found.sort(key=lambda conflict: (-conflict["n"], -conflict["targets"], conflict["ids"]))
        return found


def _answer(row: Row, task: Task) -> str:
    """What must not differ for one input: the class, or the whole answer where there is none. Raw text has no input."""
    label = task.label(row)
    if label is not None:
        return label
    prompt = task.prompt_text(row)
    target = task.target(row)
    return "" if target == prompt else same_text(target)


def _key(text: str) -> int:
    """64 bits that stand for the text as it is compared."""
    return exact_key(same_text(text))
