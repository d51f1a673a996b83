"""What the rows do not cover, and what to collect: labels by lengths by terms of the dictionary.

A model is asked about what it was never shown: a class with three rows, notes longer than any in train, a diagnosis
that no row mentions. The table counts all three, and `suggestions` says in numbers what is missing. They are keys with
values, so that the page can say them in English and in Chinese (`say`).
"""

from __future__ import annotations

import itertools
import re
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

from pydantic import Field, field_validator

from yibu.core.recipe import Settings
from yibu.core.record import SPLITS, Row, Split
from yibu.tasks import Task

Rows = Callable[[], Iterator[tuple[Split, Row]]]

# Upper borders of the buckets, in characters. A Chinese character says about what three of English say.
EDGES: dict[str, tuple[int, ...]] = {
    "en": (50, 100, 200, 500, 1000, 2000, 5000, 10_000),
    "zh": (20, 50, 100, 200, 500, 1000, 2000, 5000),
}
_CJK = re.compile("[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_LOOK = 1000  # rows by which the language is told
_MIN_SHARE = 0.2  # of Chinese among letters: as prepare decides it

# Chapters of ICD-10 by the first category of each (WHO 2019), so that 70,000 codes are 22 lines.
_CHAPTERS = (
    "A00-B99", "C00-D48", "D50-D89", "E00-E90", "F00-F99", "G00-G99", "H00-H59", "H60-H95", "I00-I99", "J00-J99",
    "K00-K93", "L00-L99", "M00-M99", "N00-N99", "O00-O99", "P00-P96", "Q00-Q99", "R00-R99", "S00-T98", "U00-U99",
    "V01-Y98", "Z00-Z99",
)  # fmt: skip
_ICD = re.compile(r"[A-Z][0-9][0-9A-Z](?:\.?[0-9A-Zx+*]{0,6})?")

# key: (English, Chinese). Placeholders are the same in both.
TEXTS: dict[str, tuple[str, str]] = {
    "label": (
        "Collect {missing} more train rows of “{label}”: there are {train}, and {minimum} are wanted.",
        "请为“{label}”再收集 {missing} 条训练数据：现有 {train} 条，至少需要 {minimum} 条。",
    ),
    "labels_more": (
        "{labels} more labels have fewer than {minimum} train rows; {missing} rows are missing in all.",
        "另有 {labels} 个标签的训练数据不足 {minimum} 条，共缺 {missing} 条。",
    ),
    "label_absent": (
        "Collect train rows of “{label}”: there are none, but {test} in test.",
        "请收集“{label}”的训练数据：训练集中没有，而测试集中有 {test} 条。",
    ),
    "length": (
        "Collect train rows of {low} to {high} characters: {test} test rows are that long and {train} train rows.",
        "请收集长度为 {low} 至 {high} 个字符的训练数据：测试集中有 {test} 条，训练集中只有 {train} 条。",
    ),
    "longer": (
        "Collect longer train rows: {rows} test rows are longer than the longest one in train ({train} characters; "
        "test has up to {test}).",
        "请收集更长的训练数据：有 {rows} 条测试数据比训练集中最长的（{train} 个字符）还长，最长达 {test} 个字符。",
    ),
    "cells": (
        "{cells} pairs of label and length occur in test ({test} rows) but not in train; the largest is “{label}” with "
        "{low} to {high} characters.",
        "有 {cells} 种“标签 × 长度”组合只出现在测试集（{test} 条）而训练集没有，"
        "其中最多的是“{label}”（{low} 至 {high} 个字符）。",
    ),
    "terms": (
        "Collect rows that mention terms of {group}: no train row mentions {missing} of its {total} terms.",
        "请收集提到“{group}”类术语的数据：其 {total} 个术语中有 {missing} 个从未在训练集中出现。",
    ),
    "terms_more": (
        "In {groups} more groups of the dictionary {missing} of {total} terms are mentioned by no train row.",
        "词典的另外 {groups} 组中，{total} 个术语有 {missing} 个从未在训练集中出现。",
    ),
    "nothing": (
        "No gap was found among the labels, lengths and terms that were looked at.",
        "在所检查的标签、长度和术语中没有发现缺口。",
    ),
}


class CoverageSettings(Settings):
    """What counts as too little, and how much is listed."""

    min_rows: int = Field(default=20, ge=1, description="train rows that each label should have")
    min_length_rows: int = Field(default=10, ge=1, description="train rows that a length found in test should have")
    edges: tuple[int, ...] | None = Field(
        default=None, description="borders of the lengths in characters; default: by language"
    )
    max_labels: int = Field(default=200, ge=1, description="labels that are listed")
    max_terms: int = Field(default=20, ge=0, description="terms without a row that are listed for each group")
    max_groups: int = Field(default=50, ge=1, description="groups of terms that are listed")
    max_suggestions: int = Field(default=5, ge=1, description="suggestions of each kind")

    @field_validator("edges")
    @classmethod
    def _rising(cls, edges: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if edges is not None and (not edges or edges[0] < 1 or list(edges) != sorted(set(edges))):
            raise ValueError("edges must be positive and rise, e.g. [100, 500, 2000]")
        return edges


def table(rows: Rows, task: Task, dictionary: Any | None, settings: CoverageSettings) -> dict[str, Any]:
    """The coverage report.

    Args:
        rows: gives a fresh iterator each time.
        task: says what the input, the answer and the class of a row are.
        dictionary: a `yibu.terms.Dictionary`, or None.
        settings: limits.

    Returns:
        ``language``; ``edges`` of the buckets; ``splits`` (rows); ``labels`` (most frequent first: rows by split,
        train and test by bucket, ``missing`` to the minimum); ``rare`` (fewest first); ``lengths`` by split and
        bucket, the ``longest`` text of each split, ``gaps``, and what is ``longer`` than train; ``cells`` (label and
        bucket) that test has and train lacks; ``terms`` by group, None without a dictionary; ``suggestions``
        (``key``, ``values``; see `say`);
        ``counts``, the true totals of what is cut.
    """
    language = _language(rows, task)
    edges = settings.edges or EDGES[language]
    num_buckets = len(edges) + 1
    splits: Counter[Split] = Counter()
    lengths: dict[Split, list[int]] = {split: [0] * num_buckets for split in SPLITS}
    cells: dict[tuple[str, Split], list[int]] = {}
    longest = dict.fromkeys(SPLITS, 0)
    mentions: Counter[tuple[str, str]] = Counter()
    for split, row in rows():
        splits[split] += 1
        prompt = task.prompt_text(row)
        bucket = bisect_right(edges, len(prompt) - 1)
        lengths[split][bucket] += 1
        longest[split] = max(longest[split], len(prompt))
        label = task.label(row)
        if label is not None:
            cells.setdefault((label, split), [0] * num_buckets)[bucket] += 1
        if dictionary is not None and split == "train":
            mentions.update(_mentioned(prompt, row, task, dictionary))
    longer = _longer(rows, task, longest)
    result: dict[str, Any] = {
        "language": language,
        "edges": list(edges),
        "splits": {split: splits[split] for split in SPLITS},
        "lengths": lengths,
        "longest": longest,
        "gaps": _gaps(lengths, edges, settings.min_length_rows),
        "longer": longer,
        **_labels(cells, task.labels or [], edges, num_buckets, settings),
        "terms": None if dictionary is None else _terms(dictionary, mentions, settings),
    }
    result["suggestions"] = _suggestions(result, settings)
    if result["terms"] is not None:
        result["terms"]["groups"] = result["terms"]["groups"][: settings.max_groups]
    result["labels"] = result["labels"][: settings.max_labels]
    result["rare"] = result["rare"][: settings.max_labels]
    result["cells"] = result["cells"][: settings.max_labels]
    return result


def say(suggestion: Mapping[str, Any], lang: Literal["en", "zh"]) -> str:
    """A suggestion as a sentence."""
    text = TEXTS[suggestion["key"]][0 if lang == "en" else 1]
    values = suggestion["values"]
    return text.format(**{name: f"{value:,}" if isinstance(value, int) else value for name, value in values.items()})


def chapter(code: str) -> str | None:
    """The chapter of ICD-10 that a code lies in, as its range of categories; None for what is no such code."""
    if not _ICD.fullmatch(code):
        return None
    category = code[:3]
    return next((name for name in reversed(_CHAPTERS) if category >= name[:3]), None)


def _language(rows: Rows, task: Task) -> Literal["en", "zh"]:
    letters = chinese = 0
    for _, row in itertools.islice(rows(), _LOOK):
        text = task.prompt_text(row)[:1000]
        letters += sum(map(str.isalpha, text))
        chinese += len(_CJK.findall(text))
    return "zh" if chinese > _MIN_SHARE * letters else "en"


def _mentioned(prompt: str, row: Row, task: Task, dictionary: Any) -> set[tuple[str, str]]:
    """The terms that a row mentions, each once: in its prompt, and in its answer where that is no class."""
    target = "" if task.closed_set else task.target(row)
    texts = [prompt] if target in ("", prompt) else [prompt, target]
    return {_name(match.entry) for text in texts for match in dictionary.find(text)}


def _name(entry: Any) -> tuple[str, str]:
    return entry.code or "", entry.preferred


def _longer(rows: Rows, task: Task, longest: dict[Split, int]) -> dict[str, int] | None:
    """How many test rows are longer than each row of train; None where there are none."""
    if longest["test"] <= longest["train"]:
        return None
    beyond = sum(1 for split, row in rows() if split == "test" and len(task.prompt_text(row)) > longest["train"])
    return {"rows": beyond, "train": longest["train"], "test": longest["test"]}


def _border(edges: tuple[int, ...], bucket: int) -> dict[str, int | None]:
    """The characters of a bucket, both included; ``high`` is None for the last one."""
    low = edges[bucket - 1] + 1 if bucket else 0
    return {"low": low, "high": edges[bucket] if bucket < len(edges) else None}


def _gaps(lengths: dict[Split, list[int]], edges: tuple[int, ...], minimum: int) -> list[dict[str, Any]]:
    """Lengths that test has and train lacks, or has in few rows, though test has a larger share of them."""
    sizes = {split: max(1, sum(buckets)) for split, buckets in lengths.items()}
    return [
        {**_border(edges, bucket), "train": train, "test": test}
        for bucket, (train, test) in enumerate(zip(lengths["train"], lengths["test"], strict=True))
        if test and train < minimum and train * sizes["test"] < test * sizes["train"]
    ]


def _labels(
    cells: dict[tuple[str, Split], list[int]],
    known: list[str],
    edges: tuple[int, ...],
    num_buckets: int,
    settings: CoverageSettings,
) -> dict[str, Any]:
    """Rows of each label by split and length, labels with too few, and pairs that only test has."""
    none = [0] * num_buckets
    labels: list[dict[str, Any]] = []
    gaps: list[dict[str, Any]] = []
    for label in sorted({label for label, _ in cells} | set(known)):
        counts: dict[str, int] = {split: sum(cells.get((label, split), none)) for split in SPLITS}
        train, test = cells.get((label, "train"), none), cells.get((label, "test"), none)
        labels.append(
            {
                "label": label,
                **counts,
                "missing": max(0, settings.min_rows - counts["train"]),
                "train_lengths": train,
                "test_lengths": test,
            }
        )
        gaps += [
            {"label": label, **_border(edges, bucket), "test": test[bucket]}
            for bucket in range(num_buckets)
            if test[bucket] and not train[bucket]
        ]
    labels.sort(key=lambda row: (-row["train"], row["label"]))
    keys = ("label", *SPLITS, "missing")
    rare = [{key: row[key] for key in keys} for row in labels if row["missing"]]
    rare.sort(key=lambda row: (row["train"], -row["test"], row["label"]))
    gaps.sort(key=lambda gap: (-gap["test"], gap["label"], gap["low"]))
    counted = {"labels": len(labels), "rare": len(rare), "cells": len(gaps)}
    return {"labels": labels, "rare": rare, "cells": gaps, "counts": counted}


def _terms(dictionary: Any, mentions: Counter[tuple[str, str]], settings: CoverageSettings) -> dict[str, Any]:
    """Terms that no train row mentions, by kind, and within ICD-10 by chapter."""
    groups: dict[str, dict[tuple[str, str], None]] = defaultdict(dict)
    for entry in dictionary.entries:
        groups[_group(entry)][_name(entry)] = None
    listed: list[dict[str, Any]] = []
    for group, names in groups.items():
        missing = sorted(name for name in names if name not in mentions)
        first = [{"code": code or None, "preferred": preferred} for code, preferred in missing[: settings.max_terms]]
        listed.append({"group": group, "total": len(names), "missing": len(missing), "first": first})
    listed.sort(key=lambda one: (-one["missing"], one["group"]))
    total, num_missing = (sum(one[key] for one in listed) for key in ("total", "missing"))
    top = sorted(mentions.items(), key=lambda item: (-item[1], item[0]))[: settings.max_terms]
    return {
        "total": total,
        "mentioned": total - num_missing,
        "missing": num_missing,
        "num_groups": len(listed),
        "groups": listed,
        "frequent": [{"code": code or None, "preferred": preferred, "rows": n} for (code, preferred), n in top],
    }


def _group(entry: Any) -> str:
    """Kind, with the chapter of ICD-10, or with the first character of any other code where there is no kind."""
    kind, code = entry.kind or "", entry.code or ""
    within = chapter(code) or ("" if kind else code[:1])
    return " ".join(part for part in (kind, within) if part) or "-"


def _suggestions(result: dict[str, Any], settings: CoverageSettings) -> list[dict[str, Any]]:
    """What to collect, the most missed first of each kind."""
    told: list[tuple[str, dict[str, Any]]] = []
    shown = settings.max_suggestions
    rare = result["rare"]
    for row in rare[:shown]:
        if row["train"] == 0 and row["test"]:
            told.append(("label_absent", {"label": row["label"], "test": row["test"]}))
        else:
            told.append(
                ("label", {key: row[key] for key in ("label", "missing", "train")} | {"minimum": settings.min_rows})
            )
    if rare[shown:]:
        missing = sum(row["missing"] for row in rare[shown:])
        told.append(("labels_more", {"labels": len(rare) - shown, "minimum": settings.min_rows, "missing": missing}))
    for gap in sorted(result["gaps"], key=lambda gap: (-gap["test"], gap["low"]))[:shown]:
        high = gap["high"] if gap["high"] is not None else max(gap["low"], result["longest"]["test"])
        told.append(("length", {**gap, "high": high}))
    if result["longer"]:
        told.append(("longer", result["longer"]))
    if result["cells"]:
        told.append(("cells", _worst_cell(result)))
    groups = [] if result["terms"] is None else [group for group in result["terms"]["groups"] if group["missing"]]
    for group in groups[:shown]:
        told.append(("terms", {key: group[key] for key in ("group", "missing", "total")}))
    if groups[shown:]:
        rest = groups[shown:]
        sums = {key: sum(group[key] for group in rest) for key in ("missing", "total")}
        told.append(("terms_more", {"groups": len(rest), **sums}))
    return [{"key": key, "values": values} for key, values in told or [("nothing", {})]]


def _worst_cell(result: dict[str, Any]) -> dict[str, Any]:
    cells = result["cells"]
    first = cells[0]
    high = first["high"] if first["high"] is not None else max(first["low"], result["longest"]["test"])
    rows = sum(cell["test"] for cell in cells)
    return {"cells": len(cells), "test": rows, "label": first["label"], "low": first["low"], "high": high}
