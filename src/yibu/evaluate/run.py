"""Compare what the systems said, and write the figures and the page."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from yibu.core.record import read_rows
from yibu.core.store import Artifact, Work
from yibu.evaluate import ReportConfig, dictionary_of
from yibu.evaluate.beside import beside as beside_task
from yibu.evaluate.compare import compare, figures_of
from yibu.evaluate.gates import ask
from yibu.evaluate.judging import scores_of
from yibu.evaluate.leaderboard import Run, leaderboard, read_predictions
from yibu.evaluate.matrix import CHAMPION, TUNED, matrix
from yibu.evaluate.report import Lineage, ReportData, TestRow, render
from yibu.evaluate.report.text import Lang
from yibu.evaluate.scoring import Context
from yibu.evaluate.slices import parts_of, slices
from yibu.evaluate.systems import Systems, prediction_lines, read_systems
from yibu.evaluate.versions import figures as figures_of_versions
from yibu.evaluate.versions import read_answers


def run(
    config: ReportConfig,
    work: Work,
    data: Artifact,
    model: Artifact,
    base_answers: Artifact,
    answers: Artifact,
    valid_answers: Artifact | None = None,
    valid_base_answers: Artifact | None = None,
    folds: Artifact | None = None,
    champion: Artifact | None = None,
    champion_data: Artifact | None = None,
    judgements: Artifact | None = None,
    load: Artifact | None = None,
    kept: Artifact | None = None,
    changed: Artifact | None = None,
    changed_answers: Artifact | None = None,
) -> None:
    """The body of the stage `yibu.evaluate.evaluate`."""
    settings = config.evaluate
    summary = data.read_json("summary.json")
    language: Lang = "zh" if summary["language"] == "zh" else "en"
    systems = read_systems(config, data, model, base_answers, answers, valid_answers, valid_base_answers)
    rows, truth = systems.rows, systems.truth
    judged = {} if judgements is None else scores_of(judgements, [row.id for row in rows])
    found = compare(
        truth,
        [replace(one, judged=judged.get(one.system)) for one in systems.answers],
        systems.task.measures,
        language=language,
        sources=systems.sources,
        dictionary=dictionary_of(config),
        groups=systems.groups,
        flags=[row.flags for row in rows],
        seed=settings.seed,
        num_resamples=settings.num_resamples,
    )
    metrics = {
        "n": len(rows),
        "split": settings.split,
        "task": config.task.as_config()["kind"],
        "language": language,
        "systems": [system.system for system in systems.answers],
        "metrics": found.metrics,
        "notes": found.notes,
        "calibration": systems.calibration,
        "slices": _slices(config, systems, language),
        "judge": None if judgements is None else judgements.read_json("summary.json"),
    }
    if changed is not None and changed_answers is not None:
        metrics["robustness"] = figures_of_versions(
            systems.task,
            rows,
            read_answers(answers),
            list(read_rows(changed.file("test.jsonl"))),
            read_answers(changed_answers),
            language=language,
            seed=settings.seed,
            num_resamples=settings.num_resamples,
        )
    pooled = None if folds is None else folds.read_json("folds.json")
    model_summary = model.read_json("summary.json")
    predictions = prediction_lines(rows, truth, systems.said, systems.cheap)
    beside = None
    if champion is not None and champion_data is not None:
        own = Run(data, predictions)
        beside = leaderboard(config, {TUNED: own, CHAMPION: Run(champion_data, read_predictions(champion))})
    figures, drawn = beside_task(model, load, kept)
    metrics |= drawn
    metrics["matrix"] = matrix(metrics, model_summary, pooled, beside, figures)
    asked = {name: limit for name, limit in settings.gates.items() if beside is not None or CHAMPION not in name}
    metrics["gates"] = [outcome.as_dict() for outcome in ask(asked, metrics["matrix"])]
    metrics["gates_without_champion"] = sorted(set(settings.gates) - set(asked))
    work.write_json("metrics.json", metrics)
    with work.file("predictions.jsonl").open("w", encoding="utf-8") as lines:
        for prediction in predictions:
            lines.write(json.dumps(prediction, ensure_ascii=False) + "\n")
    report = ReportData(
        recipe=config.recipe,
        base=config.base,
        task=config.task.as_config()["kind"],
        language=language,
        metrics=metrics,
        data=summary,
        model=model_summary,
        folds=pooled,
        plan=model.read_json("plan.json"),
        history=[json.loads(line) for line in model.file("history.jsonl").read_text(encoding="utf-8").splitlines()],
        predictions=predictions,
        rows={row.id: TestRow(systems.task.prompt_text(row), wanted) for row, wanted in zip(rows, truth, strict=True)},
        lineage=_lineage(
            config.recipe,
            data,
            model,
            {
                "answer (base)": base_answers,
                "answer (tuned)": answers,
                "answer (base, valid)": valid_base_answers,
                "answer (tuned, valid)": valid_answers,
                "pool (folds)": folds,
                "evaluate (champion)": champion,
                "judge": judgements,
                "bench": load,
                "kept": kept,
                "versions": changed,
                "answer (versions)": changed_answers,
            },
        ),
    )
    lang = language if settings.lang == "auto" else settings.lang
    pages: dict[Lang, str] = {"en": render(report, "en"), "zh": render(report, "zh")}
    for name, page in pages.items():  # both cost nothing; `yibu report --lang` opens the other
        work.write_text(f"report.{name}.html", page)
    work.write_text("report.html", pages[lang])


def _slices(config: ReportConfig, systems: Systems, language: Lang) -> list[dict[str, Any]]:
    """The tuned model on parts of the rows."""
    settings, dictionary = config.evaluate, dictionary_of(config)
    tuned = [one for one in systems.answers if one.system == TUNED]
    measures, context = systems.task.measures, Context(language, systems.sources, dictionary)
    return slices(
        figures_of(systems.truth, tuned, measures, context),
        parts_of(systems.rows, systems.sources, systems.truth, dictionary),
        measures,
        systems.groups,
        seed=settings.seed,
        num_resamples=settings.num_resamples,
    )


def _lineage(recipe: str, data: Artifact, model: Artifact, answers: Mapping[str, Artifact | None]) -> Lineage:
    given = {name: artifact for name, artifact in answers.items() if artifact is not None}
    made = {"prepare": data, "train": model, **given}
    return Lineage(
        artifacts={name: artifact.id for name, artifact in made.items()},
        versions=model.manifest.versions,
        seconds={name: artifact.manifest.seconds for name, artifact in made.items()},
        date=datetime.now(UTC).strftime("%Y-%m-%d"),
        platform=str(model.manifest.platform),
        command=f"yibu run {os.path.relpath(data.path.parent.parent / 'recipes' / recipe)}.yaml",
    )
