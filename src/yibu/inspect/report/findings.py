"""What people should look at: labels that are probably wrong, inputs with two answers, several spellings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from yibu.inspect.report.plots import Bar, bars
from yibu.inspect.report.shapes import DataFigures
from yibu.pages.figures import count, number, percent
from yibu.pages.layout import Pairs, Plot
from yibu.pages.text import Text

MOST_SUSPECTS = 20
MOST_PAIRS = 10
MOST_LISTED = 12
REVIEW_COLUMNS = ("problem", "given", "suggested", "action", "new_label", "comment")


@dataclass(frozen=True)
class Suspect:
    """One row whose label is probably wrong: its id, both labels, and what the model gives to each (0 to 1)."""

    id: str
    given: str
    suggested: str
    score: str
    confidence: float
    percent: str


@dataclass(frozen=True)
class Suspects:
    """The worst of them, which label is taken for which, and what could not be judged."""

    line: str
    pairs: Plot | None
    rows: list[Suspect]
    more: int
    notes: list[str]


def suspects(data: DataFigures, t: Text) -> Suspects | None:
    """Label suspects; None where nobody looked (the task has no classes)."""
    found = data.suspects
    listed = list(found.get("suspects") or ())
    if not found.get("n"):
        return None
    total = int(found.get("found") or len(listed))
    line = t(
        "suspects.line",
        n=count(total),
        read=count(found["n"]),
        share=percent(total / found["n"]),
        folds=count(found.get("folds") or 0),
        model=t.known("suspects.model", str(found.get("model", "tfidf_logistic"))),
    )
    taken = Counter((str(item["given"]), str(item["suggested"])) for item in listed)
    order = sorted(taken, key=lambda pair: (-taken[pair], pair))[:MOST_PAIRS]
    pairs = [Bar(f"{given} → {suggested}", taken[given, suggested], count(taken[given, suggested]), "bar warn")
             for given, suggested in order]  # fmt: skip
    rows = [_suspect(item) for item in listed[:MOST_SUSPECTS]]
    return Suspects(line, bars(pairs, t("plot.pairs")), rows, total - len(rows), _skipped(found, t))


def _suspect(item: Mapping[str, Any]) -> Suspect:
    confidence = number(item.get("confidence"))
    return Suspect(
        id=str(item["id"]),
        given=str(item["given"]),
        suggested=str(item["suggested"]),
        score=percent(number(item.get("score")) or 0.0),
        confidence=confidence or 0.0,
        percent="" if confidence is None else percent(confidence),
    )


def _skipped(found: Mapping[str, Any], t: Text) -> list[str]:
    """What was not judged, in words."""
    skipped: Mapping[str, Any] = found.get("skipped") or {}
    said = []
    for key, value in skipped.items():
        if isinstance(value, Mapping) and value:
            said.append(t("skipped.classes", why=t.known("skipped", key), n=len(value), labels=t.some(sorted(value))))
        elif isinstance(value, int) and value:
            said.append(t("skipped.rows", why=t.known("skipped", key), n=count(value)))
        elif isinstance(value, str) and value:
            said.append(value)
    return said


# --- consistency ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    """One finding: what, the forms or labels in which it stands, and rows to look at."""

    name: str
    forms: str
    ids: str
    n: str


@dataclass(frozen=True)
class Consistency:
    """The three lists, each with how many more there are."""

    conflicts: list[Line]
    more_conflicts: int
    spellings: list[Line]
    more_spellings: int
    typos: list[Line]
    more_typos: int


def consistency(data: DataFigures, t: Text) -> Consistency | None:
    """What stands in the rows in more than one way; None where nothing was found."""
    found = data.consistency
    lists = {key: list(found.get(key) or ()) for key in ("conflicts", "spellings", "label_typos")}
    if not any(lists.values()):
        return None
    counts: Mapping[str, int] = found.get("counts") or {}
    more = {key: int(counts.get(key, len(items))) - min(len(items), MOST_LISTED) for key, items in lists.items()}
    return Consistency(
        [_conflict(item, t) for item in lists["conflicts"][:MOST_LISTED]],
        more["conflicts"],
        [_spelling(item, t) for item in lists["spellings"][:MOST_LISTED]],
        more["spellings"],
        [_typo(item, t) for item in lists["label_typos"][:MOST_LISTED]],
        more["label_typos"],
    )


def _conflict(item: Mapping[str, Any], t: Text) -> Line:
    named = [str(label) for label in item.get("labels") or ()]
    forms = t.some(named) if named else t("conflict.targets", n=count(item.get("targets") or 0))
    ids = [str(name) for name in item.get("ids") or ()]
    return Line("", forms, t.some(ids, 4), count(item.get("n") or len(ids)))


def _spelling(item: Mapping[str, Any], t: Text) -> Line:
    forms: Mapping[str, int] = item.get("forms") or {}
    named = [t("kind.times", kind=form, n=count(n)) for form, n in forms.items() if form != item.get("preferred")]
    code = f" ({item['code']})" if item.get("code") else ""
    return Line(f"{item.get('preferred', '')}{code}", t.some(named), "", count(sum(forms.values())))


def _typo(item: Mapping[str, Any], t: Text) -> Line:
    like = t("kind.times", kind=item.get("like", ""), n=count(item.get("of") or 0))
    return Line(str(item.get("label", "")), like, "", count(item.get("n") or 0))


# --- the list for people ----------------------------------------------------------------------------------------------


def how_to_review(data: DataFigures, t: Text) -> Pairs:
    """The columns of ``review.csv`` and what to write into them; empty where there is nothing to look at."""
    if not data.review.get("rows"):
        return []
    return [(column, t(f"review.{column}")) for column in REVIEW_COLUMNS]


def review_line(data: DataFigures, t: Text) -> str:
    """How many lines of each problem ``review.csv`` has."""
    problems = [
        t("kind.times", kind=t.known("problem", problem), n=count(n))
        for problem, n in data.review.items()
        if n and problem != "rows"
    ]
    return t("review.line", n=count(data.review.get("rows", 0)), problems=t("list.comma").join(problems))
