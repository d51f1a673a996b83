"""Data artifacts for the tests of `augment`, made without `prepare`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from yibu import tasks
from yibu.core.recipe import Settings
from yibu.core.record import SPLITS, Row, read_rows
from yibu.core.store import Artifact, Store, Work, stage

Splits = dict[str, list[Row]]


class _Given(Settings):
    rows: str
    task: str


@stage(name="prepare")
def _data(config: _Given, work: Work) -> None:
    rows = [Row.from_json(line) for line in config.rows.splitlines()]
    for split in SPLITS:
        kept = [row for row in rows if row.split == split]
        work.write_text(f"{split}.jsonl", "".join(row.to_json() + "\n" for row in kept))
    work.write_text("dropped.jsonl", '{"id": "gone"}\n')
    work.write_text("changes.jsonl", '{"id": "r0", "step": "clean", "field": "text", "what": {"width": 1}}\n')
    labels = sorted({row.label for row in rows if row.split == "train" and row.label is not None})
    task = tasks.settings_of(json.loads(config.task))
    summary: dict[str, Any] = {
        "splits": {split: sum(row.split == split for row in rows) for split in SPLITS},
        "labels": labels or None,
        "task": task.as_config(),
        "rows_read": len(rows),
    }
    work.write_json("summary.json", summary)


def data(store: Store, rows: Iterable[Row], task: dict[str, Any] | None = None) -> Artifact:
    """An artifact as `prepare` makes them, from rows whose split is set."""
    lines = "\n".join(row.to_json() for row in rows)
    return store.run(_data, _Given(rows=lines, task=json.dumps(task or {"kind": "classify"})))


def rows_of(artifact: Artifact, name: str) -> list[Row]:
    return list(read_rows(artifact.file(f"{name}.jsonl")))


def lines_of(artifact: Artifact, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in artifact.file(name).read_text(encoding="utf-8").splitlines()]


_SAID = {
    "贷款": (
        "我想申请房屋贷款需要什么材料",
        "贷款利率是多少，每月还款压力大",
        "提前还清贷款要付违约金吗",
        "银行拒绝了我的贷款申请",
    ),
    "离婚": ("离婚以后孩子的抚养权归谁", "丈夫出轨了我要起诉离婚", "协议离婚需要哪些手续", "分居两年可以判决离婚吗"),
    "工伤": ("上班路上受伤算工伤吗", "工地摔伤老板不肯赔偿医药费", "工伤鉴定应该找哪个部门", "公司没有给我上工伤保险"),
}
_SPLIT = ("train", "train", "train", "test", "train", "valid")


def consultations(size: int = 60) -> list[Row]:
    """Short Chinese questions of three classes."""
    found = []
    for i in range(size):
        label = list(_SAID)[i % 3]
        text = f"{_SAID[label][i // 3 % 4]}，情况是第{i}号，请问应该怎么办"
        split: Any = _SPLIT[i % len(_SPLIT)]
        found.append(Row(f"r{i}", {"text": text, "label": label}, label=label, group=f"g{i // 2}", split=split, line=i))
    return found
