"""Rows of ``results.jsonl``: every figure that the project claims, written by the benchmark that measured it.

``python benchmarks/claims.py`` prints the newest row of each claim; ``--readme`` puts them into the READMEs, between
the markers, so that no table is written by hand.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import shlex
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from yibu.core.machine import cpu_flags, cpu_name, memory_bytes, num_cores

HERE = Path(__file__).parent
RESULTS = HERE / "results.jsonl"
READMES = (HERE.parent / "README.md", HERE.parent / "README.zh.md")
PAGE = HERE.parent / "docs" / "results.md"
_GOAL = re.compile(r"(>=|<=|==|>|<) *(-?[0-9.e+-]+)")


def machine() -> str:
    """Processor, cores, memory and what the processor computes in hardware: a figure means little without them."""
    flags = cpu_flags()
    best = next((name for name in ("amx_bf16", "avx512_bf16", "avx512f", "avx2") if name in flags), "no avx2")
    cpu = cpu_name() or platform.machine()
    memory = memory_bytes()[0] / 2**30
    return f"{cpu}, {num_cores()} cores, {memory:.0f} GiB, {best}"


def record(
    claim: str,
    value: float,
    *,
    unit: str,
    n: int,
    goal: str | None = None,
    low: float | None = None,
    high: float | None = None,
) -> dict[str, Any]:
    """Append one row; a claim that misses its goal is written down with its true value like any other."""
    row = {
        "claim": claim,
        "value": value,
        "low": low,
        "high": high,
        "n": n,
        "unit": unit,
        "goal": goal,
        "command": "python " + shlex.join(sys.argv),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": machine(),
    }
    with RESULTS.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(row, ensure_ascii=False) + "\n")
    return row


def newest() -> dict[str, dict[str, Any]]:
    """The last row of each claim, in the order in which claims first appeared."""
    rows: dict[str, dict[str, Any]] = {}
    for line in RESULTS.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        rows[row["claim"]] = row
    return rows


def reached(row: dict[str, Any]) -> bool | None:
    """Whether a row reaches its goal; None where there is none."""
    found = _GOAL.fullmatch(row["goal"] or "")
    if found is None:
        return None
    value, wanted = row["value"], float(found.group(2))
    return {
        ">=": value >= wanted,
        "<=": value <= wanted,
        "==": value == wanted,
        ">": value > wanted,
        "<": value < wanted,
    }[found.group(1)]


def number(value: float | None) -> str:
    if value is None:
        return ""
    if value and abs(value) < 1e-3:
        return f"{value:.1e}"
    return f"{value:,.3f}".rstrip("0").rstrip(".")


def headlines() -> list[dict[str, Any]]:
    """What the READMEs show: the claims that have a goal, reached or missed; ``docs/results.md`` has all of them."""
    return [row for row in newest().values() if row["goal"]]


def table(rows: Iterable[dict[str, Any]]) -> str:
    """A Markdown table."""
    lines = ["| claim | value | 95 % | n | unit | goal | |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        between = "" if row["low"] is None else f"{number(row['low'])} to {number(row['high'])}"
        mark = {True: "✓", False: "**missed**", None: ""}[reached(row)]
        lines.append(
            f"| {row['claim']} | {number(row['value'])} | {between} | {row['n']} | {row['unit']} "
            f"| {row['goal'] or ''} | {mark} |"
        )
    return "\n".join(lines)


def page() -> str:
    """``docs/results.md``: every claim."""
    return (
        "# Results\n\nEvery figure that was claimed, as it was measured last; written by "
        "`python benchmarks/claims.py --readme`\nfrom `benchmarks/results.jsonl`, which also holds the command, the "
        f"day and the machine of each.\n\n{table(newest().values())}\n"
    )


def write_readmes() -> None:
    """Put the table between ``<!-- results -->`` and ``<!-- /results -->``, and all claims into their page."""
    PAGE.write_text(page(), encoding="utf-8")
    made = f"<!-- results -->\n{table(headlines())}\n<!-- /results -->"
    for path in READMES:
        text = path.read_text(encoding="utf-8")
        path.write_text(
            re.sub(r"<!-- results -->.*<!-- /results -->", lambda _: made, text, flags=re.DOTALL), encoding="utf-8"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readme", action="store_true", help="write the table into the READMEs")
    if parser.parse_args().readme:
        write_readmes()
    else:
        print(table(newest().values()))
