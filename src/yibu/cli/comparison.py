"""The table of `yibu compare`: a metric a block, a run a line, each with its difference to the first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text as Line

from yibu.evaluate.report.results import metric_name
from yibu.evaluate.report.text import Text
from yibu.pages.figures import count, figure, limits, p_value

SIGNIFICANT = 0.05


def comparison_view(found: Mapping[str, Any], lang: str) -> RenderableType:
    """The whole view.

    Args:
        found: what `yibu.evaluate.leaderboard.leaderboard` returned.
        lang: "en" or "zh".
    """
    text = Text(lang)
    first = found["systems"][0]
    head = Line(text("compare.title", n=count(found["n"])), style="bold")
    parts: list[RenderableType] = [head]
    if found["left_out"]:
        parts.append(Line(text("compare.left_out", n=count(found["left_out"])), style="yellow"))
    for metric in found["metrics"]:
        direction = text("results.higher" if metric["higher_is_better"] else "results.lower")
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left", title_style="")
        table.title = Line.assemble((metric_name(metric, text), "bold"), (f"  {direction}", "dim"))
        table.add_column("")
        for name in ("results.value", "compare.difference", "compare.p"):
            table.add_column(text(name, first=first), justify="right")
        tests = {test["b"]: test for test in metric["tests"]}
        unit = str(metric["unit"])
        for name in found["systems"]:
            value = metric["values"].get(name)
            if value is None:
                continue
            cell = Line(f"{figure(value['value'], unit)} ")
            cell.append(limits(value["low"], value["high"], unit), style="dim")
            table.add_row(name, cell, *_against(tests.get(name), unit, bool(metric["higher_is_better"])))
        parts += [Line(""), table]
    parts.append(Line(text("compare.note", first=first), style="dim"))
    return Padding(Group(*parts), (1, 0))


def _against(test: Mapping[str, Any] | None, unit: str, higher_is_better: bool) -> tuple[Line, Line]:
    """This run less the first one, and its p; coloured where it is proven."""
    if test is None:
        return Line(""), Line("")
    p = test.get("p_adjusted", test["p"])
    difference = -test["difference"]
    proven = p < SIGNIFICANT and (test["low"] > 0 or test["high"] < 0)
    style = ("green" if (difference > 0) == higher_is_better else "red") if proven else ""
    cell = Line(f"{difference * 100:+.1f} pp " if unit == "share" else f"{difference:+.3f} ", style=style)
    low, high = -test["high"], -test["low"]
    between = f"[{low * 100:.1f}, {high * 100:.1f}]" if unit == "share" else f"[{low:.3f}, {high:.3f}]"
    cell.append(between, style="dim")
    return cell, Line(p_value(p), style=style)
