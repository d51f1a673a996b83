"""The table that a run ends with: base, tuned model and baselines, in the words and with the claims of the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text as Line

from yibu.evaluate.report.claims import adjusted
from yibu.evaluate.report.proof import gate_lines
from yibu.evaluate.report.results import ResultRow, methods, remarks, result_groups, verdicts
from yibu.evaluate.report.shapes import ReportData
from yibu.evaluate.report.text import Text

_TONES = {"good": "bold green", "mixed": "bold yellow", "bad": "bold red", "none": "yellow"}
_OUTCOMES = {"better": "green", "worse": "red", "unproven": "yellow"}


def results_view(metrics: Mapping[str, Any], recipe: str, base: str, lang: str) -> RenderableType:
    """The whole view.

    Args:
        metrics: ``metrics.json`` of a report artifact.
        recipe, base: names, for the title.
        lang: "en" or "zh".
    """
    text = Text(lang)
    data = ReportData(recipe, base, str(metrics["task"]), str(metrics["language"]), metrics)
    # Metrics of a label and of a text have other baselines; each set of systems gets a table that fits the screen.
    tables: dict[tuple[str, ...], Table] = {}
    for group in result_groups(data, text):
        systems = tuple(row.system for row in group.rows)
        table = tables.setdefault(systems, _table(systems))
        head = Line(group.name)
        head.append("".join(f"\n{part}" for part in (group.direction, group.n) if part), style="dim")
        table.add_row(head, *(_cell(row) for row in group.rows), end_section=True)
    parts: list[RenderableType] = [Line(f"{recipe} · {base}", style="bold"), *tables.values()]
    parts += [Line(f"{found.about} · {found.sentence}", style=_TONES[found.tone]) for found in verdicts(data, text)]
    parts += [Line(remark, style="yellow") for remark in remarks(data, text)]
    parts += [
        Line(f"{'✓' if passed else '✗'} {said}", style="green" if passed else "bold red")
        for passed, said in gate_lines(metrics.get("gates") or (), text)
    ]
    how = "results.adjusted_p" if adjusted(metrics) else "results.raw_p"
    parts.append(Line(f"{text('results.notes')} {text(how)} {methods(data, text)}", style="dim"))
    return Padding(Group(*parts), (1, 0))


def _table(systems: tuple[str, ...]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("", min_width=12)
    for name in systems:
        table.add_column(Line(name, overflow="fold"), justify="right", no_wrap=True)
    return table


def _cell(row: ResultRow) -> Line:
    """Value, its interval, and the p of tuned against this system."""
    cell = Line(row.value, style="bold green" if row.best else "")
    for part in (row.interval, row.n):
        if part:
            cell.append(f"\n{part}", style="not bold dim default")
    if row.p:
        p = row.p if row.p.startswith("<") else f"= {row.p}"
        cell.append(f"\np {p}", style=f"not bold {_OUTCOMES.get(row.outcome, 'dim')}")
    return cell
