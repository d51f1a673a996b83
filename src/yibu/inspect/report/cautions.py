"""What must be said before anybody trains on the rows. No words of any language here: see `text`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from yibu.inspect.report.shapes import DataFigures
from yibu.pages.figures import number

FEW_TEST = 100
FEW_OF_A_CLASS = 10  # train rows; below it a class is hardly learned
MUCH_REJECTED = 0.01
MUCH_NEAR = 0.05
MUCH_NOISE = 0.02
UNEVEN = 20.0  # rows of the most frequent class over those of the rarest
UNEQUAL_SPLITS = 0.02  # the project's own bound: class shares within two points in every split
MANY_FLAGGED = 0.01
KEPT_OPEN = ("keep", "off", "report", "none")  # modes that leave personal data in the rows


@dataclass(frozen=True)
class Caution:
    """Something to know first; ``key`` and ``values`` make its sentence."""

    key: str
    values: Mapping[str, Any]
    serious: bool = True


def cautions(data: DataFigures) -> list[Caution]:
    """All that is off, the serious first."""
    found = [*_of_rows(data), *_of_classes(data), *_of_repeats(data), *_of_labels(data), *_of_texts(data)]
    return sorted(found, key=lambda caution: not caution.serious)


def _of_rows(data: DataFigures) -> Iterable[Caution]:
    read = int(data.summary.get("rows_read") or 0)
    if data.unaccounted:
        yield Caution("unaccounted", {"n": abs(data.unaccounted)})
    rejected = int(data.summary.get("rejected") or 0)
    if read and rejected / read > MUCH_REJECTED:
        yield Caution("rejected", {"n": rejected, "share": rejected / read})
    num_test = data.sizes.get("test")
    if num_test is not None and num_test < FEW_TEST:
        yield Caution("few_test", {"n": num_test})
    flags: Mapping[str, int] = data.summary.get("flags") or {}
    many = {name: n for name, n in flags.items() if data.num_kept and n / data.num_kept >= MANY_FLAGGED}
    for name, n in sorted(many.items(), key=lambda item: (-item[1], item[0])):
        yield Caution("flagged", {"n": n, "share": n / data.num_kept, "flag": name}, serious=False)


def _of_classes(data: DataFigures) -> Iterable[Caution]:
    missing = data.summary.get("missing_labels") or {}
    for split in ("train", "test"):
        if missing.get(split):
            yield Caution(f"missing_{split}", {"n": len(missing[split]), "labels": list(missing[split])})
    classes: Mapping[str, Mapping[str, int]] = data.summary.get("classes") or {}
    learned = {label: row.get("train", 0) for label, row in classes.items() if row.get("train", 0)}
    rare = sorted((n, label) for label, n in learned.items() if n < FEW_OF_A_CLASS)
    if rare:
        yield Caution("rare", {"n": len(rare), "least": FEW_OF_A_CLASS, "labels": [label for _, label in rare]})
    if len(learned) > 1 and max(learned.values()) >= UNEVEN * min(learned.values()):
        yield Caution("uneven", {"ratio": max(learned.values()) / min(learned.values())})
    deviation = number((data.summary.get("balance") or {}).get("largest_deviation"))
    if deviation is not None and deviation > UNEQUAL_SPLITS:
        yield Caution("deviation", {"points": deviation})
    folds = data.summary.get("folds") or {}
    if folds.get("groups_shared"):
        yield Caution("folds_share", {"n": folds["groups_shared"]})
    if (number(folds.get("largest_deviation")) or 0.0) > UNEQUAL_SPLITS:
        yield Caution("folds_deviation", {"points": folds["largest_deviation"]})


def _of_repeats(data: DataFigures) -> Iterable[Caution]:
    near = data.summary.get("near") or {}
    rows = int(near.get("rows") or 0)
    if rows and data.num_kept and near.get("mode") != "drop":
        share = rows / data.num_kept
        values = {"n": rows, "share": share, "clusters": near.get("clusters", 0)}
        yield Caution("near", values, serious=share >= MUCH_NEAR)
    for name, found in (data.summary.get("contamination") or {}).items():
        if found.get("hits"):
            yield Caution(
                "contaminated", {"n": found["hits"], "items": found.get("items", 0), "name": name}, serious=False
            )
    leaks = sum(int(step["n"]) for step in data.funnel if step["step"] == "leak")
    if leaks:
        yield Caution("leak", {"n": leaks}, serious=False)
    if data.summary.get("target_in_train"):
        yield Caution("target_in_train", {"n": data.summary["target_in_train"]})


def _of_labels(data: DataFigures) -> Iterable[Caution]:
    counts = data.consistency.get("counts") or {}
    conflicts = int(counts.get("conflicts", len(data.consistency.get("conflicts") or ())))
    if conflicts:
        # Two texts for one question are two ways to say it; two labels for one text cannot both be learned.
        yield (
            Caution("conflicts", {"n": conflicts})
            if data.summary.get("classes")
            else Caution("answers", {"n": conflicts}, serious=False)
        )
    judged = int(data.suspects.get("n") or 0)
    suspects = int(data.suspects.get("found") or len(data.suspects.get("suspects") or ()))
    if suspects and judged:
        values = {"n": suspects, "share": suspects / judged, "read": judged}
        yield Caution("suspects", values, serious=suspects / judged >= MUCH_NOISE)
    if data.summary.get("classes") and not data.suspects:
        yield Caution("unjudged", {}, serious=False)
    typos = counts.get("label_typos") or len(data.consistency.get("label_typos") or ())
    if typos:
        yield Caution("typos", {"n": typos})
    spellings = counts.get("spellings") or len(data.consistency.get("spellings") or ())
    if spellings:
        yield Caution("spellings", {"n": spellings}, serious=False)


def _of_texts(data: DataFigures) -> Iterable[Caution]:
    found = {kind: item for kind, item in data.privacy.items() if item.get("found")}
    left = sum(int(item["found"]) for item in found.values() if item.get("mode") in KEPT_OPEN)
    treated = sum(int(item["found"]) for item in found.values() if item.get("mode") not in KEPT_OPEN)
    if left:
        yield Caution("private_left", {"n": left})
    if treated:
        yield Caution("private_treated", {"n": treated}, serious=False)
    if data.summary.get("privacy") is None:
        yield Caution("private_unknown", {}, serious=False)
    missing = (data.coverage.get("terms") or {}).get("missing")
    if missing:
        yield Caution("unmentioned", {"n": missing}, serious=False)
