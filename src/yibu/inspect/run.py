"""Look at the rows, and write the findings, the page and the card."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from yibu import tasks
from yibu.core import log
from yibu.core.progress import track
from yibu.core.record import SPLITS, Row, Split, read_rows
from yibu.core.store import Artifact, Work
from yibu.inspect import InspectConfig, card, consistency, coverage, labels, review
from yibu.inspect.measure import lengths
from yibu.inspect.report import DataFigures, Lineage, Loss, render
from yibu.inspect.report.shapes import funnel_of
from yibu.inspect.report.text import Lang
from yibu.inspect.spellings import Spellings
from yibu.terms import Dictionary

_logger = log.get("inspect")

# Copies carry this flag. They say nothing of their own: a mistake is that of the row that they come from, and a list
# for people could not be applied to rows that the next run of prepare does not read.
AUGMENTED = "augmented"

_ASIDE = 10_000  # rows from which on a process of its own pays

Result = TypeVar("Result")

# Reasons in dropped.jsonl -> the step and the reason of the funnel.
_LEAKS = {"leak": ("leak", "equal prompt"), "group_leak": ("leak", "equal group")}


def run(config: InspectConfig, work: Work, data: Artifact) -> None:
    """The body of the stage `yibu.inspect.inspect`."""
    settings = config.inspect
    summary = data.read_json("summary.json")
    task = tasks.build(config.task, summary.get("labels"))
    language: Lang = "zh" if summary.get("language") == "zh" else "en"
    dictionary = None if config.terms is None else Dictionary.load(config.terms)
    rows = _Rows({split: data.file(f"{split}.jsonl") for split in SPLITS})
    suspects: dict[str, Any] = {}
    is_long = sum(summary["splits"].values()) >= _ASIDE
    # The longest look of all, and one that asks for nothing of the others.
    with _aside(is_long, _spellings, rows, config, summary.get("labels")) as spelled:
        if settings.labels is not None and config.judge_labels:
            with track("label errors"):
                suspects = labels.suspects(rows, task, language, settings.labels)
        with track("coverage"):
            table = coverage.table(rows, task, dictionary, settings.coverage)
        with track("lengths"):
            measured = lengths(rows, task, config.tokenizer, settings.max_measured)
        with track("consistency"):
            found = consistency.report(consistency.answers(rows, task), spelled(), settings.consistency)
    of_test = (suspects.get("test") or {}).get("suspects") or ()
    counts = review.write(
        work.file("review.csv"),
        [*(suspects.get("suspects") or ()), *of_test],
        found["conflicts"] if summary.get("classes") else (),
        found["label_typos"],
        rows,
        task,
    )
    for name, value in (("consistency", found), ("labels", suspects), ("coverage", table)):
        work.write_json(f"{name}.json", value)
    figures = DataFigures(
        recipe=config.recipe,
        task=config.task.as_config()["kind"],
        language=language,
        summary=summary,
        losses=losses(data, summary, settings.max_places),
        lengths=measured,
        examples=examples(data, settings.max_examples),
        consistency=found,
        suspects=suspects,
        coverage=table,
        review=counts,
        lineage=lineage(config.recipe, data),
    )
    _write_pages(figures, work, data, language if settings.lang == "auto" else settings.lang)
    totals = {
        "language": language,
        "conflicts": found["counts"]["conflicts"],
        "suspects": suspects.get("found", 0),
        "review": counts,
    }
    work.write_json("summary.json", totals)
    work.notes["review"] = counts
    _logger.info("%d rows are in review.csv for people to look at", counts["rows"])


@dataclass(frozen=True)
class _Rows:
    """Reads the rows from the beginning, each time that it is called; can be sent to another process."""

    paths: dict[Split, Path]

    def __call__(self) -> Iterator[tuple[Split, Row]]:
        for split, path in self.paths.items():
            for row in read_rows(path):
                if AUGMENTED not in row.flags:
                    yield split, row


def _spellings(rows: _Rows, config: InspectConfig, known_labels: list[str] | None) -> Spellings:
    task = tasks.build(config.task, known_labels)
    dictionary = None if config.terms is None else Dictionary.load(config.terms)
    return config.inspect.consistency.spellings(rows, task, dictionary)


@contextmanager
def _aside(is_long: bool, function: Callable[..., Result], *given: Any) -> Iterator[Callable[[], Result]]:
    """Yields what waits for a function's result; long work is done in a process of its own meanwhile."""
    if not is_long or len(os.sched_getaffinity(0)) == 1:
        yield partial(function, *given)
        return
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        waiting = pool.submit(function, *given)

        def result() -> Result:
            try:
                return waiting.result()
            except BrokenProcessPool:  # no memory for two, or a script that calls yibu has no main guard
                return function(*given)

        yield result


def _write_pages(figures: DataFigures, work: Work, data: Artifact, lang: Lang) -> None:
    pages: dict[Lang, str] = {"en": render(figures, "en"), "zh": render(figures, "zh")}
    for name, page in pages.items():  # both cost nothing; `yibu report --data --lang` opens the other
        work.write_text(f"data.{name}.html", page)
    work.write_text("data.html", pages[lang])
    work.write_text("DATACARD.md", card.write(figures, card.facts(data), "en"))
    work.write_text("DATACARD.zh.md", card.write(figures, card.facts(data), "zh"))


# --- what was taken out -----------------------------------------------------------------------------------------------


def losses(data: Artifact, summary: Mapping[str, Any], most: int) -> list[Loss]:
    """Rows taken out by step and reason, in the order of the funnel, with places of a few: never a text.

    Args:
        data: its ``rejected.jsonl`` and ``dropped.jsonl`` are read; either may be missing.
        summary: of the artifact.
        most: places of each reason.
    """
    steps = funnel_of(summary)[1:-1]
    step_of = {reason: str(step["step"]) for step in steps for reason in step.get("reasons") or {}}
    places: dict[tuple[str, str], list[tuple[str, str]]] = {}
    seen: Counter[tuple[str, str]] = Counter()
    for file in ("rejected", "dropped"):
        for line in _lines(data, f"{file}.jsonl"):
            reason = str(line.get("reason", ""))
            key = _LEAKS.get(reason) or (
                ("rejected", reason) if file == "rejected" else (step_of.get(reason, reason), _said(reason, step_of))
            )
            seen[key] += 1
            if len(places.setdefault(key, [])) < most:
                places[key].append((_place(line), str(line.get("other") or "")))
    listed = []
    for step in steps:
        name, reasons = str(step["step"]), dict(step.get("reasons") or {})
        rest = int(step["n"]) - sum(reasons.values())
        if rest > 0:
            reasons[""] = rest
        for reason, n in reasons.items():
            known = places.get((name, reason)) or []
            if not known and not reason:  # an older summary, which does not tell the reasons of a step apart
                known = [place for (step_name, _), found in places.items() if step_name == name for place in found][
                    :most
                ]
            others = [other for _, other in known]
            listed.append(Loss(name, reason, n, [place for place, _ in known], others if any(others) else ()))
    return listed


def _said(reason: str, step_of: Mapping[str, str]) -> str:
    """A reason that is a step of its own (duplicate) needs no words beside the step's name."""
    return reason if reason in step_of else ""


def _place(line: Mapping[str, Any]) -> str:
    source = str(line.get("source") or "")
    name = source.replace("\\", "/").rpartition("/")[2]
    return f"{name}:{line.get('line', '?')}" if name else str(line.get("id", "?"))


def _lines(data: Artifact, name: str) -> Iterator[dict[str, Any]]:
    if name in data.manifest.files:
        with data.file(name).open(encoding="utf-8") as lines:
            for line in lines:
                yield json.loads(line)


# --- before and after -------------------------------------------------------------------------------------------------


def examples(data: Artifact, most: int) -> list[dict[str, Any]]:
    """Rows before and after, of every step by turns. Where personal data was found, the text before is not shown.

    Not even by a step that came before: what a detector finds in a cleaned text it may not find in the raw one.
    """
    if not most or "examples.json" not in data.manifest.files:
        return []
    by_step: dict[str, list[dict[str, Any]]] = {}
    items = data.read_json("examples.json")
    first = {(item.get("step"), item.get("id")): place for place, item in reversed(list(enumerate(items)))}
    is_first = [first[item.get("step"), item.get("id")] == place for place, item in enumerate(items)]
    for wanted in (True, False):  # one field of each row, before further fields of the same rows
        for item, found in zip(items, is_first, strict=True):
            if found == wanted:
                by_step.setdefault(str(item.get("step", "")), []).append(item)
    turns = max((len(items) for items in by_step.values()), default=0)
    chosen = [items[turn] for turn in range(turns) for items in by_step.values() if turn < len(items)][:most]
    private = _with_personal_data(data, {str(item.get("id")) for item in chosen})
    order = list(by_step)
    shown = [{**item, "before": ""} if str(item.get("id")) in private else dict(item) for item in chosen]
    return sorted(shown, key=lambda item: order.index(str(item.get("step", ""))))


def _with_personal_data(data: Artifact, ids: set[str]) -> set[str]:
    """Those of the rows in which the step ``privacy`` found something."""
    return {
        str(line.get("id"))
        for line in _lines(data, "changes.jsonl")
        if line.get("step") == "privacy" and str(line.get("id")) in ids
    }


def lineage(recipe: str, data: Artifact) -> Lineage:
    """The artifacts behind the rows. The date is that of the rows, so that equal rows give equal pages."""
    manifest = data.manifest
    made_from = {_stage_of(id): id for id in manifest.inputs.values()}
    return Lineage(
        artifacts={**made_from, manifest.stage: data.id},
        versions=manifest.versions,
        seconds={manifest.stage: manifest.seconds},
        date=manifest.started[:10],
        platform=manifest.platform,
        # Beside the store's folder, so that equal artifacts give equal pages wherever they are made from.
        command=f"yibu prepare {data.path.parent.parent.name}/recipes/{recipe}.yaml",
    )


def _stage_of(id: str) -> str:
    return id.rpartition("-")[0]
