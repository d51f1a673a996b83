"""What the template is given: words and plots that need no more than to be put in their places."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from yibu.inspect.report import changes, coverage, findings, flow, plots, splits
from yibu.inspect.report.cautions import Caution, cautions
from yibu.inspect.report.shapes import DataFigures
from yibu.pages import lineage
from yibu.pages.figures import count, number, percent
from yibu.pages.layout import Pairs, Tile
from yibu.pages.svg import bar
from yibu.pages.text import Text

_SHARES = ("share",)
_POINTS = ("points",)


@dataclass(frozen=True)
class Verdict:
    """What stands at the top: a sentence, a second one, and the tone of both."""

    tone: str
    sentence: str
    about: str


def context(data: DataFigures, t: Text) -> dict[str, Any]:
    """All variables of ``page.html.j2``."""
    found = cautions(data)
    terms_plot, terms_line = changes.terms(data, t)
    parts = {
        "flow": plots.funnel(data.funnel, t),
        "losses": flow.losses(data, t),
        "classes": splits.classes(data, t),
        "lengths": splits.lengths(data, t),
        "flags": splits.flags(data, t),
        "folds": splits.folds(data, t),
        "repeats": flow.repeats(data, t),
        "steps": changes.steps(data, t),
        "examples": changes.examples(data, t),
        "boilerplate": [str(line) for line in data.summary.get("boilerplate") or ()],
        "terms_plot": terms_plot,
        "terms_line": terms_line,
        "private": changes.private(data, t),
        "suspects": findings.suspects(data, t),
        "consistency": findings.consistency(data, t),
        "review": findings.how_to_review(data, t),
        "review_line": findings.review_line(data, t),
        "coverage": coverage.coverage(data, t),
        "augmented": coverage.augmented(data, t),
    }
    return {
        "t": t,
        "bar": bar,
        "data": data,
        "title": t("title", recipe=data.recipe),
        "headline": data.recipe,
        "meta": _meta(data, t),
        "verdict": _verdict(data, found, t),
        "tiles": _tiles(data, t),
        "cautions": [(caution.serious, caution_text(caution, t)) for caution in found],
        "sections": _sections(data, parts),
        "looked_for_private": data.summary.get("privacy") is not None,
        "is_private": any(item.get("found") for item in data.privacy.values()),
        "more": lambda n, file: t("list.rest", n=count(n), file=file) if n > 0 else "",
        "stages": lineage.stages(data.lineage, t),
        "machine": lineage.machine(data.lineage, t),
        "command": data.lineage.command,
        **parts,
    }


def _sections(data: DataFigures, parts: dict[str, Any]) -> list[str]:
    """The sections that have something to show, in their order."""
    needs = {
        "flow": ("flow",),
        "splits": ("classes", "lengths", "flags", "folds"),
        "repeats": ("repeats",),
        "texts": ("steps", "examples", "boilerplate", "terms_line"),
        "private": ("private",),
        "labels": ("suspects", "consistency", "review"),
        "coverage": ("coverage", "augmented"),
    }
    shown = [key for key, names in needs.items() if any(parts[name] for name in names)]
    if data.summary.get("privacy") is not None and "private" not in shown:  # nothing found is worth a line
        shown.insert(sum(key in ("flow", "splits", "repeats", "texts") for key in shown), "private")
    return [*shown, "provenance"]


def _meta(data: DataFigures, t: Text) -> Pairs:
    pairs = [
        (t("meta.task"), t.known("task", data.task)),
        (t("meta.shape"), str(data.summary.get("shape") or "").replace("_", " ")),
        (t("meta.rows"), t.known("language", data.language)),
        (t("meta.date"), data.lineage.date),
    ]
    return [(name, value) for name, value in pairs if value]


def _verdict(data: DataFigures, found: list[Caution], t: Text) -> Verdict:
    classes = data.summary.get("classes") or {}
    read = data.summary.get("rows_read")
    values = {
        "kept": count(data.num_kept),
        "read": count(read if read is not None else data.num_kept),
        **{split: count(data.sizes.get(split, 0)) for split in ("train", "valid", "test")},
    }
    sentence = t("verdict.classes", classes=count(len(classes)), **values) if classes else t("verdict.rows", **values)
    serious = sum(caution.serious for caution in found)
    if any(caution.key in ("unaccounted", "private_left", "folds_share") for caution in found):
        tone = "bad"
    else:
        tone = "mixed" if serious else "good"
    about = [t("verdict.look", n=count(serious)) if serious else t("verdict.good")]
    if data.num_added:
        about.insert(0, t("verdict.added", n=count(data.num_added)))
    return Verdict(tone, sentence, t("sentences").join(about))


def _tiles(data: DataFigures, t: Text) -> list[Tile]:
    """Up to six figures, those that were looked for."""
    summary = data.summary
    read = int(summary.get("rows_read") or 0)
    note = t("tile.of_read", share=percent(data.num_kept / read)) if read else ""
    tiles = [Tile(count(data.num_kept), t("tile.kept"), note)]
    classes = summary.get("classes") or {}
    if classes:
        rarest = min(row.get("train", 0) for row in classes.values())
        tiles.append(Tile(count(len(classes)), t("tile.classes"), t("tile.rarest", n=count(rarest))))
    taken = {str(step["step"]): int(step["n"]) for step in data.funnel[1:-1]}
    near = summary.get("near") or {}
    repeated = sum(taken.get(step, 0) for step in ("duplicate", "near_duplicate", "leak"))
    repeated += int(near.get("rows") or 0) if near.get("mode") != "drop" else 0
    tiles.append(Tile(count(repeated), t("tile.repeated"), t("tile.repeated_note")))
    if data.suspects.get("n"):
        total = int(data.suspects.get("found") or len(data.suspects.get("suspects") or ()))
        note = t("tile.of_judged", share=percent(total / data.suspects["n"]))
        tiles.append(Tile(count(total), t("tile.suspects"), note))
    if summary.get("privacy") is not None:
        pieces = sum(int(item.get("found") or 0) for item in data.privacy.values())
        tiles.append(Tile(count(pieces), t("tile.private"), t("tile.kinds", n=count(len(data.privacy)))))
    done = summary.get("changes") or {}
    if done:
        total = sum(sum((step.get("what") or {}).values()) for step in done.values())
        tiles.append(Tile(count(total), t("tile.changed"), t("tile.steps", n=count(len(done)))))
    return tiles


def caution_text(caution: Caution, t: Text) -> str:
    """A caution as a sentence."""
    shown: dict[str, Any] = {}
    for key, value in caution.values.items():
        if key == "labels":
            shown[key] = t.some([str(label) for label in value])
        elif key in _SHARES:
            shown[key] = percent(number(value) or 0.0)
        elif key in _POINTS:
            shown[key] = f"{100 * (number(value) or 0.0):.1f}"
        elif key == "ratio":
            shown[key] = f"{value:.0f}"
        elif key == "name":
            shown[key] = flow.benchmark(str(value), t)
        elif key == "flag":
            shown[key] = t.known("flag", value)
        else:
            shown[key] = count(value) if isinstance(value, int) else value
    return t(f"caution.{caution.key}", **shown)
