"""From a plain model to a bundle: write, ask the real engine, compare, sign."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import shutil
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import torch

from yibu import exporters, tasks
from yibu.core.errors import DataError
from yibu.core.log import get
from yibu.core.record import Row, read_rows
from yibu.core.store import Artifact, Work, digest_file
from yibu.export import BUNDLE, MANIFEST, ExportConfig
from yibu.exporters import Bounds, Questions, Replies, Source, Unasked
from yibu.metrics.calibration import Correction, corrections_of
from yibu.model.assemble import Assembled, for_answers, use_generating_attention
from yibu.model.generate import generate
from yibu.model.render import Renderer
from yibu.model.resolve import TERMS
from yibu.parity import Check, gate
from yibu.parity.asking import answers_of, fields_of, row_scores
from yibu.parity.conversations import CONVERSATIONS
from yibu.parity.gain import gain_kept
from yibu.parity.ids import same_ids
from yibu.parity.outputs import logits_of, same_answers, same_logits

log = get("export")
MODEL = "model"  # folder of the plain model in what `yibu.compress.compress` makes
_ASKED = ({"role": "user", "content": "?"},)
LONGEST = 48  # tokens of an answer to a golden prompt: enough to tell two models apart


def run(
    config: ExportConfig, work: Work, data: Artifact, model: Artifact, small: Artifact, report: Artifact | None
) -> None:
    """The body of the stage `yibu.export.export`."""
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    plug: Any = exporters.FAMILY.load(config.exporter.kind)  # type: ignore[attr-defined]
    summary = data.read_json("summary.json")
    task = tasks.build(config.task, summary["labels"])
    bounds: Bounds = plug.bounds(config.exporter)
    folder = work.path / BUNDLE
    folder.mkdir()
    count = config.golden if bounds.gain is None else max(config.golden, config.gain_rows)
    rows = _rows(data, count)
    labelled = _rows(data, max(config.golden, bounds.label_rows)) if task.closed_set else []
    system = for_answers(small.path / MODEL, None, "lora", config.device, "fp32")
    correction = None
    if report is not None and task.closed_set:
        correction = corrections_of(report.read_json("metrics.json"), task.labels or ()).get("tuned")
    # Before the attention that knows no trees.
    chosen = answers_of(system, task, labelled, correction=correction) if labelled else None
    use_generating_attention(system.model, system.facts)
    source = _source(config, model, small, task, system.renderer, correction)
    plug.write(source, folder, config.exporter)
    questions = _questions(system, task, rows, labelled, bounds)
    mine = dataclasses.replace(_own(system, questions), chosen=chosen)
    renderer = system.renderer
    del system
    checks: list[Check] = []
    try:
        theirs = plug.ask(source, folder, config.exporter, questions)
    except Unasked as reason:
        log.warning("%s", reason.render())
        engine = f"not asked: {reason.what}"
    else:
        plain = for_answers(Path(config.base_path), None, "lora", config.device, "fp32")
        use_generating_attention(plain.model, plain.facts)
        before = _own(plain, questions, bounds.gain is not None)
        del plain
        language = "zh" if summary["language"] == "zh" else "en"
        for part, replies in theirs.items():
            checks += _compare(part, renderer, questions, mine, replies, before, bounds, task, rows, language)
        engine = "; ".join(dict.fromkeys(replies.engine for replies in theirs.values()))
    for check in checks:
        log.info("%s", check.says())
    gate(checks, f"The export to {config.exporter.kind}")  # type: ignore[attr-defined]
    _copy_terms(Path(config.base_path), folder)
    parity = {"engine": engine, "checks": [check.as_dict() for check in checks]}
    work.write_json("parity.json", parity)
    _sign(config, folder, data, model, small, report, parity, questions)
    work.notes["engine"] = engine


def _source(
    config: ExportConfig,
    model: Artifact,
    small: Artifact,
    task: tasks.Task,
    renderer: Renderer,
    correction: Correction | None,
) -> Source:
    adapter = model.path / "adapter"
    peft = adapter / "adapter_config.json"
    is_plain = peft.is_file() and "peft_type" in json.loads(peft.read_text(encoding="utf-8"))
    quantised: Any = small.read_json("summary.json")["compress"]["quantise"]
    labels = tuple(task.labels) if task.closed_set and task.labels else None
    return Source(
        name=config.recipe,
        model=small.path / MODEL,
        quantised=None if quantised is None else str(quantised["scheme"]),
        adapter=adapter if is_plain else None,
        base=Path(config.base_path),
        base_name=config.base,
        task=config.task.as_config(),
        labels=labels,
        label_ids=tuple(tuple(renderer.answer(task.answer_text(label), _ASKED)) for label in labels or ()),
        correction=None if correction is None else correction.in_one_step(),
        prompt=getattr(config.task, "prompt", None),
        system=getattr(config.task, "system", None),
        max_new_tokens=task.max_new_tokens,
        stop_ids=tuple(renderer.stop_ids),
    )


def _rows(data: Artifact, count: int) -> list[Row]:
    """Validation rows whose prompts are asked: spread over the split, never of test."""
    rows = list(read_rows(data.file("valid.jsonl")))
    if not rows:
        raise DataError(
            "There are no validation rows, so the export cannot be proven.",
            got="0 rows",
            do="let data.split keep some: split: {train: 0.8, valid: 0.1, test: 0.1}",
        )
    return rows[:: max(1, len(rows) // count)][:count]


def _questions(
    system: Assembled, task: tasks.Task, rows: Sequence[Row], labelled: Sequence[Row], bounds: Bounds
) -> Questions:
    renderer = system.renderer
    longest = _longest_answer(renderer, task, rows)
    return Questions(
        conversations=[list(one.messages) for one in CONVERSATIONS],
        prompts=[renderer.prompt(task.messages(row)) for row in rows],
        max_new_tokens=longest if bounds.gain is not None else min(longest, LONGEST),
        stop_ids=renderer.stop_ids,
        choices=[renderer.prompt(task.messages(row)) for row in labelled],
    )


def _longest_answer(renderer: Renderer, task: tasks.Task, rows: Sequence[Row]) -> int:
    """What the task allows; of a closed set, whose labels are chosen elsewhere and written here, its longest label."""
    if task.closed_set and task.labels:
        return max(len(renderer.answer(task.answer_text(label), task.messages(rows[0]))) for label in task.labels)
    return task.max_new_tokens


@torch.no_grad()
def _own(system: Assembled, questions: Questions, write: bool = True) -> Replies:
    """What a model of ours replies."""
    ask = logits_of(system.model)
    logits = [ask(prompt)[-1] for prompt in questions.prompts]
    written: list[list[int]] = []
    if write:
        answers = generate(system.model, system.renderer, questions.prompts, questions.max_new_tokens)
        written = [list(answer.ids) for answer in answers]
    return Replies([], logits, written, "yibu")


def _compare(
    part: str,
    renderer: Renderer,
    questions: Questions,
    mine: Replies,
    theirs: Replies,
    before: Replies,
    bounds: Bounds,
    task: tasks.Task,
    rows: Sequence[Row],
    language: str,
) -> list[Check]:
    name = f"tuned = {part}"
    rendered = dict(zip(map(_key, questions.conversations), theirs.rendered, strict=True))

    def serve(messages: Sequence[Any]) -> Sequence[int]:
        ids = rendered[_key(messages)]
        if ids is None:
            raise DataError("The engine refuses this conversation.")
        return ids

    sides = [
        {tuple(prompt): logits for prompt, logits in zip(questions.prompts, side.logits, strict=True)}
        for side in (mine, theirs, before)
    ]
    size = min(len(next(iter(side.values()))) for side in sides)  # engines pad the vocabulary, or cut the padding off
    one, other, base = ((lambda ids, side=side: side[tuple(ids)][:size].unsqueeze(0)) for side in sides)
    checks = [
        dataclasses.replace(c, name=f"{part}: {c.name}") for c in same_ids(renderer, serve, stops=questions.stop_ids)
    ]
    checks += same_logits(
        name,
        one,
        other,
        questions.prompts,
        bound=bounds.probability,
        first_choices=bounds.first_choices,
        base=base,
        lost=bounds.missing,
    )
    texts = [[renderer.decode(ids) for ids in side.written] for side in (before, mine, theirs)]
    checks.append(same_answers(name, texts[1], texts[2], bound=bounds.answers))
    if mine.chosen is not None and theirs.chosen is not None:
        checks.append(same_answers(f"{name}: labels", mine.chosen, theirs.chosen, bound=bounds.labels))
    if bounds.gain is not None:
        worth = [row_scores(task, rows, fields_of(task, said), language) for said in texts]
        checks.append(gain_kept(*worth, bound=bounds.gain, name=f"{part}: gain kept by what is written"))
    return checks


def _key(messages: Sequence[Any]) -> str:
    return json.dumps(list(messages), sort_keys=True, ensure_ascii=False)


def _copy_terms(base: Path, folder: Path) -> None:
    """The licence and terms of the base, which bind whoever gets what was made of it."""
    for path in sorted(base.iterdir()):
        if path.is_file() and path.name != "README.md" and any(fnmatch(path.name, pattern) for pattern in TERMS):
            shutil.copyfile(path, folder / f"BASE_{path.name}")


def _sign(
    config: ExportConfig,
    folder: Path,
    data: Artifact,
    model: Artifact,
    small: Artifact,
    report: Artifact | None,
    parity: dict[str, Any],
    questions: Questions,
) -> None:
    """``README.md`` and, over all files, ``MANIFEST.json``."""
    table = {
        "format": config.exporter.as_config(),
        "recipe": config.recipe,
        "task": config.task.as_config(),
        "base": {"name": config.base, "digest": config.base_digest, "licence": config.licence},
        "made_from": {
            "data": data.id,
            "model": model.id,
            "small": small.id,
            **({} if report is None else {"report": report.id}),
        },
        "manifests": {one.id: digest_file(one.path / "manifest.json") for one in (data, model, small)},
        "versions": small.manifest.versions,
        "gates_forced": config.forced or None,
        "compress": small.read_json("summary.json"),
        "parity": {
            "compress": small.read_json("parity.json")["checks"],
            "export": parity,
            "golden_prompts": hashlib.sha256(json.dumps(list(questions.prompts)).encode()).hexdigest(),
        },
    }
    (folder / "README.md").write_text(_readme(config, table, folder), encoding="utf-8")
    files = {
        path.relative_to(folder).as_posix(): {"sha256": digest_file(path), "bytes": path.stat().st_size}
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    text = json.dumps({**table, "files": files}, ensure_ascii=False, indent=1, allow_nan=False)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def _readme(config: ExportConfig, table: dict[str, Any], folder: Path) -> str:
    own = folder / "README.md"
    usage = own.read_text(encoding="utf-8") if own.is_file() else ""
    lines = [f"- {check['name']}: {_said(check)}" for check in table["parity"]["export"]["checks"]]
    forced = f"\nGates that were missed, and gone past by decision: {config.forced}\n" if config.forced else ""
    return (
        f"# {config.recipe}\n\n"
        f"Made by yibu from the base `{config.base}` (licence: {config.licence}) "
        f"and the rows `{table['made_from']['data']}`."
        f" `{MANIFEST}` has the SHA-256 of every file and where each part comes from.\n{forced}\n"
        f"{usage}\n## Proof\n\nAsked in {table['parity']['export']['engine']}:\n\n" + "\n".join(lines) + "\n"
    )


def _said(check: dict[str, Any]) -> str:
    value = check["measured"]
    shown = "not judged" if value is None or not math.isfinite(value) else f"{value:.4g}"
    wanted = "at least" if check["at_least"] else "at most"
    return f"{shown} ({wanted} {check['bound']:g}, n = {check['n']})"
