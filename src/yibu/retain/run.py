"""Measure one system on every set and write down what was seen."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from yibu.core.errors import DataError
from yibu.core.log import get
from yibu.core.store import Artifact, Work
from yibu.model.assemble import for_answers
from yibu.retain import RetainConfig
from yibu.retain.measure import measure
from yibu.retain.sets import read

log = get("retain")


def run(config: RetainConfig, work: Work, model: Artifact | None) -> None:
    """The body of the stage `yibu.retain.retain`."""
    settings = config.retain
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    sets = [(one, read(one)) for one in settings.sets]  # before the model: a mistake in a file shows at once
    for one, items in sets:
        if one.kind == "problems" and len(items) <= one.shots:
            raise DataError(
                f"The retention set {one.name!r} has no problems left behind those that are shown solved.",
                got=f"{len(items)} problems, {one.shots} shots",
                do="give it fewer shots or a larger limit",
            )
    kind = "lora" if model is None else model.read_json("summary.json")["adapter"]["kind"]
    adapter = None if model is None else model.path / "adapter"
    system = for_answers(Path(config.base_path), adapter, kind, settings.device, settings.dtype)
    found = []
    for one, items in sets:
        log.info("%s on %d items of %s", "base" if model is None else "tuned", len(items), one.name)
        measured = measure(system, one, items, settings.batch_size)
        with work.file(f"items-{one.name}.jsonl").open("w", encoding="utf-8") as lines:
            for record in measured.items:
                lines.write(json.dumps(record, ensure_ascii=False) + "\n")
        found.append(
            {
                "name": one.name,
                "kind": one.kind,
                "metric": measured.metric,
                "better": measured.better,
                "value": measured.value,
                "n": len(measured.items),
                "more": measured.more,
            }
        )
    work.write_json("retention.json", {"system": "base" if model is None else "tuned", "sets": found})
    work.notes["device"] = str(system.device)
    work.notes["dtype"] = str(system.dtype)
