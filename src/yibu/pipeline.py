"""The whole product on one screen: a recipe, a store, and the chain of artifacts between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator

from yibu import tasks
from yibu.augment import AugmentSettings, augment
from yibu.core import log
from yibu.core.errors import InputError, RecipeError
from yibu.core.recipe import PlugSettings, Settings, apply_overrides, dump_yaml, load_yaml, parse
from yibu.core.store import Artifact, Store
from yibu.evaluate import AnswerConfig, EvaluateSettings, ReportConfig, answer, evaluate
from yibu.inspect import InspectConfig, InspectSettings, can_judge_labels, inspect
from yibu.prepare import DataSettings, PrepareConfig, prepare
from yibu.train import BaseSettings, Config, TrainSettings, train

_logger = log.get("pipeline")

DEFAULT_BASE = "packaged:smollm2-135m"


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
    return Built(data, data_report, model, report)


def make_data(recipe: Recipe, store: Store) -> Artifact:
    """Clean, deduplicated, split rows; with copies of those of train, if the recipe asks for such."""
    return _name(store, recipe, "data", prepared(recipe, store))


def prepared(recipe: Recipe, store: Store) -> Artifact:
    """The rows, without giving them a name."""
    data = store.run(prepare, PrepareConfig(data=recipe.data, task=recipe.task))
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
    """A trained adapter. A base that was not resolved yet is, and must be here."""
    base = base or resolve_base(recipe, store)
    config = Config(base=base, task=task_of(data), adapter=recipe.adapter, train=recipe.train)
    return _name(store, recipe, "model", store.run(train, config, data=data))


def make_report(
    recipe: Recipe, store: Store, data: Artifact, model: Artifact, base: BaseSettings | None = None
) -> Artifact:
    """Base, tuned model and baselines on the untouched test split."""
    base, settings, task = base or resolve_base(recipe, store), recipe.evaluate, task_of(data)
    config = AnswerConfig(
        base_path=base.path,
        base_digest=base.digest,
        task=task,
        split=settings.split,
        batch_size=settings.batch_size,
        dtype=settings.dtype,
        device=settings.device,
        threads=settings.threads,
    )
    before = store.run(answer, config, data=data)
    after = store.run(answer, config, data=data, model=model)
    on_valid: dict[str, Artifact] = {}
    if settings.recalibrate != "none" and settings.split == "test" and tasks.build(task).closed_set:
        held_out = config.model_copy(update={"split": "valid"})  # what probabilities are fitted on, never on test
        on_valid["valid_base_answers"] = store.run(answer, held_out, data=data)
        on_valid["valid_answers"] = store.run(answer, held_out, data=data, model=model)
    report_config = ReportConfig(recipe=recipe.name, base=recipe.base, task=task, evaluate=settings)
    report = store.run(evaluate, report_config, data=data, model=model, base_answers=before, answers=after, **on_valid)
    return _name(store, recipe, "report", report)


def resolve_base(recipe: Recipe, store: Store) -> BaseSettings:
    """The base's files on this machine."""
    from yibu.model.resolve import resolve

    base = resolve(recipe.base, store)
    return BaseSettings(name=base.name, path=str(base.path), digest=base.digest)


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
