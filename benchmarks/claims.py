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


# What the READMEs show, in plain words; ``docs/results.md`` has every claim.
HEADLINES: dict[str, tuple[str, str]] = {
    "spine.quickstart.accuracy.chapter.tuned": ("quickstart: accuracy, tuned", "快速上手：微调后准确率"),
    "spine.quickstart.accuracy.chapter.base": ("quickstart: accuracy, base", "快速上手：基座准确率"),
    "spine.quickstart.accuracy.chapter.tfidf_svm": (
        "quickstart: accuracy, TF-IDF + SVM",
        "快速上手：TF-IDF + SVM 准确率",
    ),
    "spine.quickstart.accuracy.chapter.p_tuned_over_tfidf_svm": (
        "quickstart: p that tuned beats the SVM",
        "快速上手：微调优于 SVM 的 p 值",
    ),
    "spine.quickstart.minutes": ("quickstart: minutes on two cores", "快速上手：双核用时（分钟）"),
    "spine.mts_dialog.accuracy.section_header.tuned": ("MTS-Dialog: header accuracy", "MTS-Dialog：标题准确率"),
    "spine.mts_dialog.accuracy.section_header.tfidf_svm": (
        "MTS-Dialog: header accuracy, TF-IDF + SVM",
        "MTS-Dialog：TF-IDF + SVM 标题准确率",
    ),
    "spine.mts_dialog.rouge1.section_text.tuned": ("MTS-Dialog: ROUGE-1 of the text", "MTS-Dialog：正文 ROUGE-1"),
    "adapt.train_speed.times_trl-default": ("training speed over TRL's default", "训练速度（相对 TRL 默认）"),
    "adapt.train_speed.memory_of_trl-default": ("peak memory over TRL's default", "峰值内存（相对 TRL 默认）"),
    "spine.kill_resume.same_bits": ("runs killed at random that end in the same bits", "随机中断后结果逐位一致的比例"),
    "adapt.esft_layers_equal": ("layers whose experts are DeepSeek's own choice", "专家选择与 DeepSeek 一致的层数"),
    "data.duplicates_near_recall": ("near duplicates found", "近似重复检出率"),
    "data.contamination_found": ("test items found inside of train, of 50", "训练集中查出的测试条目（共 50）"),
    "data.augmentation_loss_ratio_10.en_bank.smollm2": (
        "F1 lost to 10 % character noise, with noisy copies / without",
        "10% 字符噪声损失的 F1：有噪声副本 / 无",
    ),
    "data.privacy_recall_patterned": ("patterned personal data found", "有格式个人信息检出率"),
    "data.privacy_recall_names_addresses": ("names and addresses found", "姓名与地址检出率"),
}


def headlines(language: int) -> str:
    """The table of a README (0: English, 1: Chinese), and under it how many goals are reached and which are not."""
    rows = newest()
    heads = ("| | value | 95 % | n | goal | |", "| | 数值 | 95 % | n | 目标 | |")
    lines = [heads[language], "|---|---|---|---|---|---|"]
    for claim, names in HEADLINES.items():
        if claim in rows:
            row = rows[claim]
            between = "" if row["low"] is None else f"{number(row['low'])} – {number(row['high'])}"
            cells = (names[language], number(row["value"]), between, row["n"], row["goal"] or "", mark(row))
            lines.append("| " + " | ".join(map(str, cells)) + " |")
    goals = {claim: reached(row) for claim, row in rows.items() if row["goal"]}
    missed = ", ".join(f"`{claim}`" for claim, met in goals.items() if not met)
    told = (
        f"{sum(map(bool, goals.values()))} of {len(goals)} goals are reached; missed: {missed or 'none'}. "
        "[docs/results.md](docs/results.md) has every figure.",
        f"{len(goals)} 个目标中达到 {sum(map(bool, goals.values()))} 个；未达到：{missed or '无'}。"
        "全部数据见 [docs/results.md](docs/results.md)。",
    )
    return "\n".join([*lines, "", told[language]])


def mark(row: dict[str, Any]) -> str:
    """Whether the goal is reached, as a table says it."""
    return {True: "✓", False: "**missed**", None: ""}[reached(row)]


def table(rows: Iterable[dict[str, Any]]) -> str:
    """A Markdown table."""
    lines = ["| claim | value | 95 % | n | unit | goal | |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        between = "" if row["low"] is None else f"{number(row['low'])} to {number(row['high'])}"
        lines.append(
            f"| {row['claim']} | {number(row['value'])} | {between} | {row['n']} | {row['unit']} "
            f"| {row['goal'] or ''} | {mark(row)} |"
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
    for language, path in enumerate(READMES):
        made = f"<!-- results -->\n{headlines(language)}\n<!-- /results -->"
        text = path.read_text(encoding="utf-8")
        text = re.sub(r"<!-- results -->.*<!-- /results -->", lambda _, made=made: made, text, flags=re.DOTALL)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readme", action="store_true", help="write the table into the READMEs")
    if parser.parse_args().readme:
        write_readmes()
    else:
        print(table(newest().values()))
