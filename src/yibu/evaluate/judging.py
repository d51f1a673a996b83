"""A language model as judge of notes: what in them has no support in the source, and what they leave out.

Rules (`yibu.metrics.notes`) see numbers, terms, denials and sides; a judge also sees a wrong cause or a wrong subject.
But a judge has a taste of its own, first of all for the note that it reads first (Wang et al. 2023, arXiv 2305.17926;
Zheng et al. 2023, arXiv 2306.05685). So each pair of notes is judged twice, in both orders. A note's figure is the mean
of both, and how far the two agree is said beside it: with little agreement the figure means little.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from yibu import tasks
from yibu.core.chance import uniform
from yibu.core.endpoint import Endpoint, Said
from yibu.core.log import get
from yibu.core.progress import track
from yibu.core.record import Row, read_rows
from yibu.core.store import Artifact, Work
from yibu.core.strict_json import read_json
from yibu.evaluate import JudgeConfig
from yibu.metrics.agreement import agreement

log = get("judge")

ORDERS = (("base", "tuned"), ("tuned", "base"))
MEASURES = ("unsupported", "omitted")

_ENGLISH = (
    "You check notes against their source. For each of the two notes, A and B, count (1) unsupported: statements of "
    "the note that the source does not support or that contradict it, and (2) omitted: facts of the reference that "
    "matter and that the note lacks. Other words for the same fact are no error. Judge each note by itself; their "
    "order and length mean nothing. Answer with JSON alone, with whole numbers: "
    '{"A": {"unsupported": 0, "omitted": 0}, "B": {"unsupported": 0, "omitted": 0}}'
)
_CHINESE = (
    "请对照原文核查两份记录 A 和 B。对每一份分别计数：(1) unsupported：记录中原文不支持或与原文矛盾的陈述数；"
    "(2) omitted：参考记录中重要而该记录缺少的事实数。换一种说法表达同一事实不算错误。两份记录各自独立判断，"
    "先后顺序和长短没有意义。只输出 JSON，数值为整数："
    '{"A": {"unsupported": 0, "omitted": 0}, "B": {"unsupported": 0, "omitted": 0}}'
)


def run(config: JudgeConfig, work: Work, data: Artifact, base_answers: Artifact, answers: Artifact) -> None:
    """The body of the stage `yibu.evaluate.judge`."""
    settings = config.judge
    summary = data.read_json("summary.json")
    task = tasks.build(config.task, summary["labels"])
    rows = {row.id: row for row in read_rows(data.file(f"{config.split}.jsonl"))}
    said = {"base": _written(base_answers), "tuned": _written(answers)}
    chosen = sorted(rows, key=lambda id: uniform(0, id, "judge"))[: settings.max_rows]
    endpoint = Endpoint(settings.endpoint, settings.model, settings.key_env, config.calls, use="judging notes")
    kept = _Kept(work.scratch / "judgements.jsonl")
    system = _CHINESE if summary["language"] == "zh" else _ENGLISH

    def ask(id: str, order: tuple[str, str]) -> dict[str, Any]:
        known = kept.get(id, order)
        if known is None:
            notes = [said[name][id] for name in order]
            messages = [
                {"role": "system", "content": system},
                {"role": "user", "content": _asked(task, rows[id], notes)},
            ]
            answer = endpoint.chat(messages, temperature=0.0, max_tokens=settings.max_tokens, seed=0)
            known = {"id": id, "order": list(order), **_read(answer, order)}
            kept.put(known)
        return known

    calls = [(id, order) for id in chosen for order in ORDERS]
    lines = []
    try:
        with ThreadPoolExecutor(config.calls.workers) as pool, track("judge", total=len(calls)) as bar:
            for line in pool.map(lambda call: ask(*call), calls):
                lines.append(line)
                bar.advance()
    finally:
        endpoint.close()
        kept.close()
    with work.file("judgements.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    found = {"model": settings.model, "rows": len(rows), **agreements(lines)}
    work.write_json("summary.json", found)
    both = found["preference"]
    log.info(
        "the judge read %d rows in both orders (%d answers could not be used); in %s of them both orders agree on "
        "which note is better",
        found["n"],
        found["refused"],
        "none" if both is None else f"{both['share']:.0%}",
    )


def scores_of(judgements: Artifact, ids: Sequence[str]) -> dict[str, dict[str, list[float | None]]]:
    """System -> measure -> statements in each row, the mean of both orders; None where the judge was not asked."""
    lines = judgements.file("judgements.jsonl").read_text(encoding="utf-8").splitlines()
    pairs = _pairs([json.loads(line) for line in lines])
    return {
        system: {
            measure: [
                sum(line[system][measure] for line in pairs[id]) / len(pairs[id]) if id in pairs else None for id in ids
            ]
            for measure in MEASURES
        }
        for system in ORDERS[0]
    }


def agreements(lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How far the two orders agree.

    Returns:
        ``n`` rows judged in both orders, ``refused`` (reason of answers that could not be used -> how often is in
        ``reasons``), and, as share, kappa and n: ``unsupported`` and ``omitted`` (whether a note has any), and
        ``preference`` (which note has fewer of both); ``first_is_better`` (share of the preferences that went to the
        note that was read first, 0.5 without a bias). None where nothing was judged.
    """
    pairs = list(_pairs(lines).values())
    reasons = Counter(str(line["refused"]) for line in lines if line["refused"])
    found: dict[str, Any] = {"n": len(pairs), "refused": reasons.total(), "reasons": dict(reasons)}
    for measure in MEASURES:
        judged = [[one[system][measure] > 0 for one in pair] for pair in pairs for system in ORDERS[0]]
        found[measure] = asdict(agreement(*zip(*judged, strict=True))) if judged else None
    preferred = [[_preferred(one) for one in pair] for pair in pairs]
    found["preference"] = asdict(agreement(*zip(*preferred, strict=True))) if preferred else None
    places = [line["order"].index(better) for pair in pairs for line in pair if (better := _preferred(line)) != "tie"]
    found["first_is_better"] = places.count(0) / len(places) if places else None
    return found


def _pairs(lines: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Both judgements of each row that has both, in the order of `ORDERS`."""
    by_row: dict[str, list[Mapping[str, Any]]] = {}
    for line in lines:
        if line["refused"] is None:
            by_row.setdefault(line["id"], []).append(line)
    return {
        id: sorted(found, key=lambda line: ORDERS.index(tuple(line["order"])))
        for id, found in by_row.items()
        if len(found) == len(ORDERS)
    }


def _preferred(line: Mapping[str, Any]) -> str:
    base, tuned = (sum(line[system][measure] for measure in MEASURES) for system in ORDERS[0])
    return "tie" if base == tuned else "base" if base < tuned else "tuned"


def _asked(task: Any, row: Row, notes: Sequence[str]) -> str:
    parts = {"SOURCE": task.prompt_text(row), "REFERENCE": task.target(row), "NOTE A": notes[0], "NOTE B": notes[1]}
    return "\n\n".join(f"### {name}\n{text or '-'}" for name, text in parts.items())


def _read(answer: Said, order: tuple[str, str]) -> dict[str, Any]:
    """The counts by system, or why there are none. The JSON may stand in a sentence or a fence: it is not on trial."""
    if answer.text is None:
        return {"refused": answer.refused}
    start, end = answer.text.rfind('{"A"'), answer.text.rfind("}")
    if start < 0:
        start = answer.text.find("{")
    try:
        table = read_json(answer.text[start : end + 1])
        counts = {
            system: {measure: _count(table[letter][measure]) for measure in MEASURES}
            for letter, system in zip("AB", order, strict=True)
        }
    except (ValueError, LookupError, TypeError):
        return {"refused": "not_read"}
    return {"refused": None, **counts}


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError("no count")
    return value


def _written(answers: Artifact) -> dict[str, str]:
    lines = answers.file("answers.jsonl").read_text(encoding="utf-8").splitlines()
    return {line["id"]: line["answer"] for line in map(json.loads, lines)}


class _Kept:
    """Judgements that are paid for: one line each, so that a run that stops half-way asks only for the rest."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._found: dict[tuple[str, tuple[str, ...]], dict[str, Any]] = {}
        whole = 0
        for line in path.read_bytes().splitlines(keepends=True) if path.is_file() else ():
            try:
                known = json.loads(line)
                self._found[known["id"], tuple(known["order"])] = known
            except (ValueError, LookupError, TypeError):
                break  # a killed process left half a line
            whole += len(line)
        self._file = path.open("ab")
        self._file.truncate(whole)

    def get(self, id: str, order: tuple[str, str]) -> dict[str, Any] | None:
        return self._found.get((id, order))

    def put(self, line: dict[str, Any]) -> None:
        with self._lock:
            self._found[line["id"], tuple(line["order"])] = line
            self._file.write(json.dumps(line).encode() + b"\n")
            self._file.flush()

    def close(self) -> None:
        self._file.close()
