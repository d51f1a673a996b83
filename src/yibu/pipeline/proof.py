"""A trained adapter, and all that is measured about it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from itertools import count
from typing import Any, Literal

from yibu import tasks
from yibu.bench import BenchConfig, BenchSettings, bench
from yibu.core import log
from yibu.core.cluster import Share, side_by_side
from yibu.core.recipe import Settings, parse
from yibu.core.store import Artifact, Store
from yibu.evaluate import (
    AnswerConfig,
    EvaluateSettings,
    JudgeConfig,
    ReportConfig,
    VersionsConfig,
    answer,
    evaluate,
    judge,
    pool,
    versions,
)
from yibu.evaluate.matrix import CHAMPION
from yibu.pipeline.bases import resolve_base
from yibu.pipeline.recipe import Recipe
from yibu.pipeline.rows import grown, named, rows_of, task_of
from yibu.pipeline.trials import trials_of
from yibu.prepare import FoldConfig, fold
from yibu.retain import KeptConfig, RetainConfig, RetainSettings, kept, retain
from yibu.train import BaseSettings, Config, train

_logger = log.get("pipeline")


def make_model(recipe: Recipe, store: Store, data: Artifact, base: BaseSettings | None = None) -> Artifact:
    """A trained adapter. A base that was not looked for yet must be here."""
    base = base or resolve_base(recipe, store)
    config = Config(base=base, task=task_of(data), adapter=recipe.adapter, train=recipe.train)
    return named(store, recipe, "model", store.run(train, config, data=data, **trials_of(config, store, data)))


def make_report(
    recipe: Recipe, store: Store, data: Artifact, model: Artifact, base: BaseSettings | None = None
) -> Artifact:
    """Base, tuned model and baselines on the untouched test split; and on all folds, where the recipe asks for such."""
    base, settings, task = base or resolve_base(recipe, store), recipe.evaluate, task_of(data)
    parts = {
        "base_answers": answers_of(recipe, store, base, data),
        "answers": answers_of(recipe, store, base, data, model),
    }
    if _is_recalibrated(settings, task):
        parts["valid_base_answers"] = answers_of(recipe, store, base, data, split="valid")
        parts["valid_answers"] = answers_of(recipe, store, base, data, model, split="valid")
    with_terms = settings if settings.terms else settings.model_copy(update={"terms": recipe.data.terms})
    config = ReportConfig(recipe=recipe.name, base=recipe.base, task=task, evaluate=with_terms)
    if settings.folds is not None:
        parts["folds"] = store.run(pool, config, **make_folds(recipe, store, base))
    if settings.judge is not None:
        written = {name: parts[name] for name in ("base_answers", "answers")}
        asked = JudgeConfig(task=task, split=settings.split, judge=settings.judge, calls=settings.calls)
        parts["judgements"] = store.run(judge, asked, data=data, **written)
    if recipe.bench is not None:
        parts["load"] = _load(recipe.bench, store, model, data)
    if recipe.retain is not None:
        parts["kept"] = _kept(recipe.retain, settings, store, base, model)
    parts |= _changed(recipe, store, base, data, model)
    champion = _champion(recipe, store, model)
    if champion is not None:
        parts |= {"champion": champion, "champion_data": store.get(champion.manifest.inputs["data"])}
    report = store.run(evaluate, config, data=data, model=model, **parts)
    return named(store, recipe, "report", report)


def _changed(recipe: Recipe, store: Store, base: BaseSettings, data: Artifact, model: Artifact) -> dict[str, Artifact]:
    """Changed test rows and what the tuned model says to them; nothing where the recipe makes none."""
    settings = recipe.evaluate
    noisy = recipe.augment is not None and (recipe.augment.robustness or recipe.augment.attack)
    if not noisy and not settings.swaps:
        return {}
    config = VersionsConfig(task=task_of(data), split=settings.split, swaps=settings.swaps)
    changed = store.run(versions, config, data=data)
    if not changed.manifest.notes.get("rows"):
        return {}
    return {"changed": changed, "changed_answers": answers_of(recipe, store, base, changed, model, split="test")}


def _load(settings: BenchSettings, store: Store, model: Artifact, data: Artifact) -> Artifact:
    """The recipe's measurement under load: one, and another one in a later run where it was cut short.

    Raises:
        KeyboardInterrupt: the user stopped it; what was measured is kept.
    """
    for attempt in count(1):
        config = _bench_config(f"try {attempt}", settings, store, model, data)
        old = store.find(store.artifact_id(bench, config, model=model, data=data))
        made = old or store.run(bench, config, model=model, data=data)
        ended = made.read_json("latency.json")["ended"]
        if ended == "interrupted" and old is None:
            raise KeyboardInterrupt
        if old is None or ended in (None, "token_budget"):
            return made
    raise AssertionError


def _kept(
    settings: RetainSettings, measured: EvaluateSettings, store: Store, base: BaseSettings, model: Artifact
) -> Artifact:
    """General abilities before and after; those of the base are measured once."""
    config = RetainConfig(base_path=base.path, base_digest=base.digest, retain=settings)
    compared = KeptConfig(num_resamples=measured.num_resamples, seed=measured.seed)
    return store.run(kept, compared, base=store.run(retain, config), tuned=store.run(retain, config, model=model))


def make_folds(recipe: Recipe, store: Store, base: BaseSettings) -> dict[str, Artifact]:
    """A model for every fold and seed, and what it says to the rows of its fold: what `pool` asks for.

    Everything is an artifact of its own, so that an interrupted cross-validation loses one fold at most. With
    ``train.engine: ray`` the folds are tasks of a Ray cluster, unless each needs several processes itself.
    """
    settings = recipe.evaluate
    assert settings.folds is not None
    jobs = [(number, seed) for number in range(settings.folds) for seed in range(settings.fold_seeds)]
    told, began = "fold %d of %d is measured; about %.0f minutes left", time.monotonic()

    def say(done: int) -> None:
        _logger.info(told, done, len(jobs), (time.monotonic() - began) / done * (len(jobs) - done) / 60)

    rows = rows_of(recipe, store)
    spread = recipe.train.engine == "ray" and recipe.train.processes == 1
    if spread:
        table = {"recipe": recipe.as_config(), "base": base.as_config(), "root": str(store.root)}
        share = Share(recipe.train.threads, on_gpu=recipe.train.device != "cpu")
        calls = [{**table, "number": number, "seed": seed} for number, seed in jobs]
        for done, _ in enumerate(side_by_side(_fold_elsewhere, calls, share, "train.engine: ray"), start=1):
            say(done)
    parts: dict[str, Artifact] = {}
    for done, (number, seed) in enumerate(jobs, start=1):
        parts |= _fold(recipe, store, base, rows, number, seed)
        if not spread:
            say(done)
    return parts


def _fold_elsewhere(
    recipe: dict[str, Any], base: dict[str, Any], root: str, number: int, seed: int, threads: int
) -> None:
    """In a worker of a cluster: a fold into the store."""
    given = parse(Recipe, recipe)
    local = given.train.model_copy(update={"engine": "local", "threads": threads})
    measured = given.evaluate.model_copy(update={"threads": threads})
    here = given.model_copy(update={"train": local, "evaluate": measured})
    store = Store(root)
    _fold(here, store, parse(BaseSettings, base), rows_of(here, store), number, seed)


def _fold(
    recipe: Recipe, store: Store, base: BaseSettings, rows: Artifact, number: int, seed: int
) -> dict[str, Artifact]:
    """One fold by one seed: rows, model and answers."""
    data = grown(recipe, store, store.run(fold, FoldConfig(number=number), data=rows))
    again = recipe.train.model_copy(update={"seed": recipe.train.seed + seed})
    config = Config(base=base, task=task_of(data), adapter=recipe.adapter, train=again)
    model = store.run(train, config, data=data)
    of_fold, of_seed = f"fold{number}", f"fold{number}_seed{seed}"
    parts = {
        f"{of_fold}_data": data,
        f"{of_fold}_base_answers": answers_of(recipe, store, base, data, split="test"),
        f"{of_seed}_model": model,
        f"{of_seed}_answers": answers_of(recipe, store, base, data, model, split="test"),
    }
    if _is_recalibrated(recipe.evaluate, task_of(data)):
        parts[f"{of_fold}_valid_base_answers"] = answers_of(recipe, store, base, data, split="valid")
        parts[f"{of_seed}_valid_answers"] = answers_of(recipe, store, base, data, model, split="valid")
    return parts


def answers_of(
    recipe: Recipe,
    store: Store,
    base: BaseSettings,
    data: Artifact,
    model: Artifact | None = None,
    split: Literal["test", "valid"] | None = None,
) -> Artifact:
    """What the base, or a model, says to the rows of a split; of that which the recipe measures on by default."""
    settings = recipe.evaluate
    config = AnswerConfig(
        base_path=base.path,
        base_digest=base.digest,
        task=task_of(data),
        split=split or settings.split,
        batch_size=settings.batch_size,
        dtype=settings.dtype,
        device=settings.device,
        threads=settings.threads,
    )
    return store.run(answer, config, data=data, **({} if model is None else {"model": model}))


def _champion(recipe: Recipe, store: Store, model: Artifact) -> Artifact | None:
    """The report of another model whose gates were passed last, where a gate asks for one."""
    if not any(CHAMPION in name for name in recipe.evaluate.gates):
        return None
    found = store.ref(f"{recipe.name}/passed")
    while found is not None and found.manifest.inputs["model"] == model.id:  # the champion of its own time
        before = found.manifest.inputs.get("champion")
        found = None if before is None else store.get(before)
    return found


def _is_recalibrated(settings: EvaluateSettings, task: Settings) -> bool:
    """Whether probabilities are fitted; on validation rows, never on test."""
    return settings.recalibrate != "none" and settings.split == "test" and tasks.build(task).closed_set


def measure(
    settings: BenchSettings, store: Store, model: Artifact | None = None, data: Artifact | None = None
) -> Artifact:
    """Latency and cost of a trained model, or of the endpoint that the settings name. Each call measures again.

    Args:
        data: whose prompts are sent; those of the model's own rows, for a fair picture.
    """
    moment = datetime.now(UTC).isoformat(timespec="milliseconds")
    given = {"model": model, "data": data}
    config = _bench_config(moment, settings, store, model, data)
    return store.run(bench, config, **{name: artifact for name, artifact in given.items() if artifact is not None})


def _bench_config(
    moment: str, settings: BenchSettings, store: Store, model: Artifact | None, data: Artifact | None
) -> BenchConfig:
    """How a model of ours runs is as it was trained: device, number format, threads."""
    config = BenchConfig(moment=moment, bench=settings, task=None if data is None else task_of(data))
    if model is not None and settings.engine is None:
        from yibu.train.replay import base_of

        base, trained = base_of(model, store), parse(Config, model.manifest.config).train
        own = {"base_path": base.path, "base_digest": base.digest}
        config = config.model_copy(
            update={**own, "device": trained.device, "dtype": trained.dtype, "threads": trained.threads}
        )
    return config


def report_of(recipe: Recipe, store: Store, model: Artifact) -> Artifact | None:
    """The report that this recipe's ref names, if it is about this very model."""
    report = store.ref(f"{recipe.name}/report")
    return report if report is not None and report.manifest.inputs.get("model") == model.id else None
