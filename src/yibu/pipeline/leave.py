"""From a measured adapter to what leaves the house, gate by gate."""

from __future__ import annotations

from collections.abc import Sequence

from yibu import adapters
from yibu.compress import MODEL, CompressConfig, CompressSettings, PruneConfig, checks_of, compress, prune
from yibu.core.store import Artifact, Store
from yibu.evaluate.gates import require, said
from yibu.export import ExportConfig, export
from yibu.parity import Check, gate
from yibu.pipeline.bases import licence_of, resolve_base
from yibu.pipeline.proof import answers_of, make_report, report_of
from yibu.pipeline.recipe import Recipe
from yibu.pipeline.rows import named, task_of
from yibu.train import BaseSettings, Config, train

DEFAULT_LR = 2e-4  # of a recovery, where that of the training is looked for


def make_small(
    recipe: Recipe, store: Store, data: Artifact, model: Artifact, base: BaseSettings | None = None
) -> Artifact:
    """One plain model of base and adapter, smaller where the recipe asks for it, and what was proven of it."""
    base, settings = base or resolve_base(recipe, store), recipe.evaluate
    config = CompressConfig(
        base=base.name,
        base_path=base.path,
        base_digest=base.digest,
        task=task_of(data),
        compress=recipe.compress or CompressSettings(),
        batch_size=settings.batch_size,
        device=settings.device,
        threads=settings.threads,
    )
    # In fp32, where two answers differ only if the models do.
    asked = recipe.model_copy(update={"evaluate": settings.model_copy(update={"dtype": "fp32"})})
    before = answers_of(asked, store, base, data, split="valid")
    after = answers_of(asked, store, base, data, model, split="valid")
    less = make_pruned(recipe, store, data, model, base)
    made = store.run(compress, config, data=data, model=model, base_answers=before, answers=after, **less)
    return named(store, recipe, "small", made)


def make_pruned(
    recipe: Recipe, store: Store, data: Artifact, model: Artifact, base: BaseSettings | None = None
) -> dict[str, Artifact]:
    """What is left of the merged model, and what was trained on that; nothing where the recipe does not prune."""
    settings = recipe.compress
    if settings is None or settings.prune is None:
        return {}
    base = base or resolve_base(recipe, store)
    config = PruneConfig(
        base_path=base.path,
        base_digest=base.digest,
        task=task_of(data),
        prune=settings.prune,
        calibration_rows=settings.calibration_rows,
        threads=recipe.evaluate.threads,
    )
    less = store.run(prune, config, data=data, model=model)
    again = settings.recover
    if again is None:
        return {"pruned": less}
    lr = again.lr or (DEFAULT_LR if recipe.train.lr == "auto" else recipe.train.lr) / 5
    trained = Config(
        base=BaseSettings(name=f"{base.name}, pruned", path=str(less.path / MODEL), digest=less.id),
        task=task_of(data),
        adapter=adapters.FAMILY.load("lora").Settings(r=again.r, alpha=2 * again.r),
        train=recipe.train.model_copy(update={"epochs": again.epochs, "lr": lr}),
    )
    return {"pruned": less, "recovered": store.run(train, trained, data=data)}


def pass_gates(recipe: Recipe, store: Store, report: Artifact, force: bool = False) -> None:
    """Let ``<recipe>/passed`` point at a report whose gates are all passed; what leaves the house asks for this ref.

    Args:
        force: let it point there all the same; the ledger then says which gates were missed.

    Raises:
        GateRefused: a gate is missed.
    """
    outcomes = report.read_json("metrics.json")["gates"]
    if not force:
        require(outcomes)
    if recipe.evaluate.gates:
        missed = [said(outcome) for outcome in outcomes if not outcome["passed"]]
        _point(store, f"{recipe.name}/passed", report, "all gates passed", "forced past missed gates", missed)


def pass_parity(recipe: Recipe, store: Store, small: Artifact, force: bool = False) -> None:
    """Let ``<recipe>/proven`` point at a compressed model that is still the tuned one.

    Args:
        force: let it point there all the same; the ledger then says which checks failed.

    Raises:
        GateRefused: a check failed.
    """
    checks = [Check(**check) for check in checks_of(small)]
    if not force:
        gate(checks, "The stage compress")
    failed = [check.says() for check in checks if check.ok is False]
    _point(store, f"{recipe.name}/proven", small, "all checks passed", "forced past failed checks", failed)


def _point(store: Store, ref: str, artifact: Artifact, passed: str, forced: str, missed: Sequence[str]) -> None:
    """Move a ref to what was let through, and say why."""
    if store.refs().get(ref) != artifact.id:
        store.set_ref(ref, artifact, why=f"{forced}: {'; '.join(missed)}" if missed else passed)


def make_bundles(
    recipe: Recipe,
    store: Store,
    data: Artifact,
    model: Artifact,
    small: Artifact,
    base: BaseSettings | None = None,
    report: Artifact | None = None,
    force: bool = False,
) -> tuple[Artifact, ...]:
    """Every form that the recipe asks for, each proven in its own engine; nothing leaves behind a gate that was missed.

    Args:
        report: of this model; made if the recipe has gates, else the one that was made last, if any.
        force: go on past missed gates; the ledger and the bundle's manifest then say which.

    Raises:
        GateRefused: a gate of the evaluation, of the compression, or of the export itself (which no force passes).
    """
    base, forced = base or resolve_base(recipe, store), ""
    if recipe.evaluate.gates:
        report = report or make_report(recipe, store, data, model, base)
        pass_gates(recipe, store, report, force)
        missed = [outcome for outcome in report.read_json("metrics.json")["gates"] if not outcome["passed"]]
        forced = "; ".join(said(outcome) for outcome in missed)
    pass_parity(recipe, store, small, force)
    failed = [Check(**check).says() for check in checks_of(small) if check["ok"] is False]
    forced = "; ".join(part for part in (forced, *failed) if part)
    report = report or report_of(recipe, store, model)
    given = {} if report is None else {"report": report}
    bundles = []
    for exporter in recipe.export:
        config = ExportConfig(
            recipe=recipe.name,
            base=base.name,
            base_path=base.path,
            base_digest=base.digest,
            licence=licence_of(recipe, store),
            task=task_of(data),
            exporter=exporter,
            forced=forced,
            device=recipe.evaluate.device,
            threads=recipe.evaluate.threads,
        )
        made = store.run(export, config, data=data, model=model, small=small, **given)
        bundles.append(named(store, recipe, str(exporter.kind), made))  # type: ignore[attr-defined]
    return tuple(bundles)
