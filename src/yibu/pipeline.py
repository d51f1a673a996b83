"""The whole product on one screen: a recipe, a store, and the chain of artifacts between them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from yibu import adapters, meters, tasks
from yibu.augment import AugmentSettings, augment
from yibu.bench import BenchConfig, BenchSettings, bench
from yibu.compress import MODEL, CompressConfig, CompressSettings, PruneConfig, checks_of, compress, prune
from yibu.core import log
from yibu.core.cluster import Share, side_by_side
from yibu.core.errors import InputError, RecipeError
from yibu.core.recipe import PlugSettings, Settings, apply_overrides, dump_yaml, load_yaml, parse
from yibu.core.store import Artifact, Store
from yibu.evaluate import (
    AnswerConfig,
    EvaluateSettings,
    JudgeConfig,
    ReportConfig,
    VersionsConfig,
    answer,
    check_gates,
    evaluate,
    judge,
    pool,
    versions,
)
from yibu.evaluate.beside import Beside
from yibu.evaluate.gates import require, said
from yibu.evaluate.matrix import CHAMPION
from yibu.export import ExportConfig, Exporter, export
from yibu.inspect import InspectConfig, InspectSettings, can_judge_labels, inspect
from yibu.parity import Check, gate
from yibu.prepare import DataSettings, FoldConfig, PrepareConfig, fold, prepare
from yibu.retain import KeptConfig, RetainConfig, RetainSettings, kept, retain
from yibu.serve import ServeSettings
from yibu.train import BaseSettings, Config, TrainSettings, train

_logger = log.get("pipeline")

DEFAULT_BASE = "packaged:smollm2-135m"
DEFAULT_LR = 2e-4  # of a recovery, where that of the training is looked for


class Recipe(Settings):
    """One YAML file: everything that makes one model."""

    name: str = Field(
        description="names the refs of this recipe in the store: <name>/data, <name>/data_report, <name>/model, ..."
    )
    base: str = Field(DEFAULT_BASE, description="hub id | local folder | .gguf file | packaged:<name>")
    task: Annotated[Settings, PlugSettings("yibu.tasks", default="generate")] | None = Field(
        None, description="what is asked and answered; default: by the shape of the rows"
    )
    data: DataSettings
    augment: AugmentSettings | None = Field(
        None, description="copies of train rows with noise or other words, and hard versions of test rows"
    )
    inspect: InspectSettings = InspectSettings()
    adapter: Annotated[Settings, PlugSettings("yibu.adapters", default="lora")] = Field(
        default={"kind": "lora"}, validate_default=True, description="what is trained"
    )
    train: TrainSettings = TrainSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    bench: BenchSettings | None = Field(
        None, description="requests sent to the tuned model, for latency and cost; `yibu bench` needs no table"
    )
    retain: RetainSettings | None = Field(
        None, description="general abilities of the tuned model beside those of its base"
    )
    compress: CompressSettings | None = Field(
        None, description="merge the adapter into the base, and make the result smaller; left out: only for an export"
    )
    export: tuple[Exporter, ...] = Field((), description="forms in which the model leaves: safetensors, gguf, ...")
    serve: ServeSettings = ServeSettings()

    @model_validator(mode="after")
    def _one_number_of_folds(self) -> Recipe:
        wanted, given = self.evaluate.folds, self.data.split.folds
        if wanted is not None and given is not None and wanted != given:
            raise ValueError(f"evaluate.folds is {wanted} and data.split.folds is {given}; leave one of them out")
        return self

    @model_validator(mode="after")
    def _judged_is_what_is_written(self) -> Recipe:
        if self.evaluate.judge is not None and self.task is not None and tasks.build(self.task).closed_set:
            raise ValueError("evaluate.judge judges written answers, and this task chooses labels; leave it out")
        return self

    @model_validator(mode="after")
    def _concepts_are_those_of_a_dictionary(self) -> Recipe:
        wanted = [name for name, kind in getattr(self.task, "score", {}).items() if kind == "concepts"]
        if wanted and self.evaluate.terms is None and self.data.terms is None:
            raise ValueError(f"task.score asks for concepts in {wanted[0]!r}; name a dictionary in evaluate.terms")
        return self

    @field_validator("name")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        if not name.replace("-", "").replace("_", "").replace(".", "").isalnum():
            raise ValueError("a name holds letters, digits, '-', '_' and '.' only")
        return name


@dataclass(frozen=True)
class Built:
    """The artifacts of one run."""

    data: Artifact
    data_report: Artifact
    model: Artifact
    report: Artifact
    small: Artifact | None = None
    bundles: tuple[Artifact, ...] = ()


def load(source: Path, overrides: Sequence[str] = ()) -> Recipe:
    """A recipe from a YAML file; or, from a folder or file of rows, the recipe that has every default.

    Raises:
        RecipeError: what is wrong with it, all mistakes at once.
    """
    if source.suffix in {".yaml", ".yml"}:
        table = load_yaml(source)
        table.setdefault("name", source.stem)
    elif source.exists():
        table = {"name": source.stem.replace(" ", "-") or "data", "data": {"source": str(source)}}
    else:
        raise RecipeError(
            "There is neither a recipe nor a folder of rows at this path.",
            got=source,
            allowed="a .yaml file, or a file or folder of rows",
        )
    return parse(Recipe, apply_overrides(table, overrides))


def build(recipe: Recipe, store: Store) -> Built:
    """From raw rows to a measured model. What exists is not made again."""
    data = make_data(recipe, store)
    data_report = make_data_report(recipe, store, data)
    base = resolve_base(recipe, store)
    model = make_model(recipe, store, data, base)
    report = make_report(recipe, store, data, model, base)
    if recipe.compress is None and not recipe.export:
        return Built(data, data_report, model, report)
    small = make_small(recipe, store, data, model, base)
    bundles = make_bundles(recipe, store, data, model, small, base, report) if recipe.export else ()
    return Built(data, data_report, model, report, small, bundles)


def make_data(recipe: Recipe, store: Store) -> Artifact:
    """Clean, deduplicated, split rows; with copies of those of train, if the recipe asks for such."""
    data = _name(store, recipe, "data", prepared(recipe, store))
    if recipe.evaluate.gates:  # before anything is trained
        measures = tasks.build(task_of(data), data.read_json("summary.json")["labels"]).measures
        check_gates(recipe.evaluate, measures, _beside(recipe))
    return data


def _beside(recipe: Recipe) -> Beside:
    """What the recipe measures beside the task; whether joules are measured depends on this machine."""
    load, sets = recipe.bench, () if recipe.retain is None else recipe.retain.sets
    energy: Literal["measured", "modelled"] | None = None
    if load is not None and load.engine is None:
        meter = meters.choose(load.meter)
        energy = None if meter is None else "modelled" if meter.modelled else "measured"
    return Beside(load is not None, energy, tuple(one.name for one in sets))


def prepared(recipe: Recipe, store: Store) -> Artifact:
    """The rows, without giving them a name."""
    return _grown(recipe, store, _rows(recipe, store))


def _rows(recipe: Recipe, store: Store) -> Artifact:
    """The rows themselves, without copies; numbered for as many folds as the evaluation asks for."""
    data = recipe.data
    if recipe.evaluate.folds is not None:
        split = data.split.model_copy(update={"folds": recipe.evaluate.folds})
        data = data.model_copy(update={"split": split})
    return store.run(prepare, PrepareConfig(data=data, task=recipe.task))


def _grown(recipe: Recipe, store: Store, data: Artifact) -> Artifact:
    return data if recipe.augment is None else store.run(augment, recipe.augment, data=data)


def make_data_report(recipe: Recipe, store: Store, data: Artifact) -> Artifact:
    """What is inconsistent, wrong or missing in the rows: a page, a card, a list for people.

    Lengths are in tokens of the base; where it is not here, in characters.
    """
    tokenizer = tokenizer_if_here(recipe, store)
    config = InspectConfig(
        recipe=recipe.name,
        task=task_of(data),
        terms=recipe.data.terms,
        inspect=recipe.inspect,
        tokenizer=None if tokenizer is None else str(tokenizer[0]),
        tokenizer_digest="" if tokenizer is None else tokenizer[1],
        judge_labels=can_judge_labels(),
    )
    return _name(store, recipe, "data_report", store.run(inspect, config, data=data))


def make_model(recipe: Recipe, store: Store, data: Artifact, base: BaseSettings | None = None) -> Artifact:
    """A trained adapter. A base that was not looked for yet must be here."""
    base = base or resolve_base(recipe, store)
    config = Config(base=base, task=task_of(data), adapter=recipe.adapter, train=recipe.train)
    return _name(store, recipe, "model", store.run(train, config, data=data))


def make_report(
    recipe: Recipe, store: Store, data: Artifact, model: Artifact, base: BaseSettings | None = None
) -> Artifact:
    """Base, tuned model and baselines on the untouched test split; and on all folds, where the recipe asks for such."""
    base, settings, task = base or resolve_base(recipe, store), recipe.evaluate, task_of(data)
    parts = {"base_answers": _answers(recipe, store, base, data), "answers": _answers(recipe, store, base, data, model)}
    if _is_recalibrated(settings, task):
        parts["valid_base_answers"] = _answers(recipe, store, base, data, split="valid")
        parts["valid_answers"] = _answers(recipe, store, base, data, model, split="valid")
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
    return _name(store, recipe, "report", report)


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
    return {"changed": changed, "changed_answers": _answers(recipe, store, base, changed, model, split="test")}


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


def pass_gates(recipe: Recipe, store: Store, report: Artifact, force: bool = False) -> None:
    """Let ``<recipe>/passed`` point at a report whose gates are all passed; what leaves the house asks for this ref.

    Args:
        force: let it point there all the same; the ledger then says which gates were missed.

    Raises:
        GateRefused: a gate is missed.
    """
    outcomes = report.read_json("metrics.json")["gates"]
    missed = "; ".join(said(outcome) for outcome in outcomes if not outcome["passed"])
    if not force:
        require(outcomes)
    ref = f"{recipe.name}/passed"
    if recipe.evaluate.gates and store.refs().get(ref) != report.id:
        store.set_ref(ref, report, why=f"forced past missed gates: {missed}" if missed else "all gates passed")


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
    before = _answers(asked, store, base, data, split="valid")
    after = _answers(asked, store, base, data, model, split="valid")
    less = make_pruned(recipe, store, data, model, base)
    made = store.run(compress, config, data=data, model=model, base_answers=before, answers=after, **less)
    return _name(store, recipe, "small", made)


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


def pass_parity(recipe: Recipe, store: Store, small: Artifact, force: bool = False) -> None:
    """Let ``<recipe>/proven`` point at a compressed model that is still the tuned one.

    Args:
        force: let it point there all the same; the ledger then says which checks failed.

    Raises:
        GateRefused: a check failed.
    """
    checks = [Check(**check) for check in checks_of(small)]
    failed = "; ".join(check.says() for check in checks if check.ok is False)
    if not force:
        gate(checks, "The stage compress")
    ref = f"{recipe.name}/proven"
    if store.refs().get(ref) != small.id:
        store.set_ref(ref, small, why=f"forced past failed checks: {failed}" if failed else "all checks passed")


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
    report = report or _report_of(recipe, store, model)
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
        bundles.append(_name(store, recipe, str(exporter.kind), made))  # type: ignore[attr-defined]
    return tuple(bundles)


def _report_of(recipe: Recipe, store: Store, model: Artifact) -> Artifact | None:
    """The report that this recipe's ref names, if it is about this very model."""
    report = store.ref(f"{recipe.name}/report")
    return report if report is not None and report.manifest.inputs.get("model") == model.id else None


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

    rows = _rows(recipe, store)
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
    _fold(here, store, parse(BaseSettings, base), _rows(here, store), number, seed)


def _fold(
    recipe: Recipe, store: Store, base: BaseSettings, rows: Artifact, number: int, seed: int
) -> dict[str, Artifact]:
    """One fold by one seed: rows, model and answers."""
    data = _grown(recipe, store, store.run(fold, FoldConfig(number=number), data=rows))
    again = recipe.train.model_copy(update={"seed": recipe.train.seed + seed})
    config = Config(base=base, task=task_of(data), adapter=recipe.adapter, train=again)
    model = store.run(train, config, data=data)
    of_fold, of_seed = f"fold{number}", f"fold{number}_seed{seed}"
    parts = {
        f"{of_fold}_data": data,
        f"{of_fold}_base_answers": _answers(recipe, store, base, data, split="test"),
        f"{of_seed}_model": model,
        f"{of_seed}_answers": _answers(recipe, store, base, data, model, split="test"),
    }
    if _is_recalibrated(recipe.evaluate, task_of(data)):
        parts[f"{of_fold}_valid_base_answers"] = _answers(recipe, store, base, data, split="valid")
        parts[f"{of_seed}_valid_answers"] = _answers(recipe, store, base, data, model, split="valid")
    return parts


def _answers(
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


def serve_settings(refs: Sequence[str], store: Store, overrides: Sequence[str] = ()) -> ServeSettings:
    """How models are served: as the recipe says that made the first one, but for ``serve.key=value``.

    Raises:
        RecipeError: a setting is wrong, or is none of ``serve``.
    """
    kept = store.root / "recipes" / f"{refs[0].rpartition('/')[0]}.yaml"
    table = load_yaml(kept).get("serve", {}) if kept.is_file() else {}
    changed = apply_overrides({"serve": table}, overrides)
    foreign = sorted(changed.keys() - {"serve"})
    if foreign:
        raise RecipeError("Only settings of serve can differ here.", got=foreign, allowed="serve.key=value")
    return parse(ServeSettings, changed["serve"])


def locate_base(recipe: Recipe, store: Store) -> BaseSettings:
    """The base's files on this machine; one in FP8 as it lies there, see `resolve_base`."""
    from yibu.model.resolve import locate

    base = locate(recipe.base, store)
    return BaseSettings(name=base.name, path=str(base.path), digest=base.digest)


def resolve_base(recipe: Recipe, store: Store) -> BaseSettings:
    """The base that is trained and asked: its files on this machine; of one in block-wise FP8 its copy in bf16."""
    from yibu.model.resolve import plain

    base = locate_base(recipe, store)
    path, digest = plain(Path(base.path), base.digest, store)
    return base.model_copy(update={"path": str(path), "digest": digest})


def licence_of(recipe: Recipe, store: Store) -> str:
    """What the base's own files say of its licence."""
    from yibu.model.resolve import locate

    return locate(recipe.base, store).licence


def tokenizer_if_here(recipe: Recipe, store: Store) -> tuple[Path, str] | None:
    """Folder and digest of the base's tokenizer, or None where the base is not on this machine."""
    from yibu.model.resolve import resolve_tokenizer

    try:
        return resolve_tokenizer(recipe.base, store)
    except InputError as error:  # rows can be looked at before there is a base
        _logger.info("lengths are given in characters, for there is no tokenizer: %s", error.what)
        return None


def task_of(data: Artifact) -> Settings:
    """The task that the rows were prepared for, defaults by shape included."""
    return tasks.settings_of(data.read_json("summary.json")["task"])


def _name(store: Store, recipe: Recipe, part: str, artifact: Artifact) -> Artifact:
    """Let ``<recipe>/<part>`` point at the artifact, and keep the resolved recipe beside the store's refs."""
    ref = f"{recipe.name}/{part}"
    current = store.refs().get(ref)
    if current != artifact.id:
        store.set_ref(ref, artifact, why="made by its recipe")
    folder = store.root / "recipes"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{recipe.name}.yaml").write_text(dump_yaml(recipe), encoding="utf-8")
    return artifact
