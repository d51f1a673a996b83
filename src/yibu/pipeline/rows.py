"""Rows: clean, split, with copies where the recipe asks for such, and the report about them."""

from __future__ import annotations

from typing import Literal

from yibu import meters, tasks
from yibu.augment import augment
from yibu.core.recipe import Settings, dump_yaml
from yibu.core.store import Artifact, Store
from yibu.evaluate import (
    check_gates,
)
from yibu.evaluate.beside import Beside
from yibu.inspect import InspectConfig, can_judge_labels, inspect
from yibu.pipeline.bases import tokenizer_if_here
from yibu.pipeline.recipe import Recipe
from yibu.prepare import PrepareConfig, prepare


def make_data(recipe: Recipe, store: Store) -> Artifact:
    """Clean, deduplicated, split rows; with copies of those of train, if the recipe asks for such."""
    data = named(store, recipe, "data", prepared(recipe, store))
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
    return grown(recipe, store, rows_of(recipe, store))


def rows_of(recipe: Recipe, store: Store) -> Artifact:
    """The rows themselves, without copies; numbered for as many folds as the evaluation asks for."""
    data = recipe.data
    if recipe.evaluate.folds is not None:
        split = data.split.model_copy(update={"folds": recipe.evaluate.folds})
        data = data.model_copy(update={"split": split})
    return store.run(prepare, PrepareConfig(data=data, task=recipe.task))


def grown(recipe: Recipe, store: Store, data: Artifact) -> Artifact:
    """The rows with the copies of train that the recipe asks for, if any."""
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
    return named(store, recipe, "data_report", store.run(inspect, config, data=data))


def task_of(data: Artifact) -> Settings:
    """The task that the rows were prepared for, defaults by shape included."""
    return tasks.settings_of(data.read_json("summary.json")["task"])


def named(store: Store, recipe: Recipe, part: str, artifact: Artifact) -> Artifact:
    """Let ``<recipe>/<part>`` point at the artifact, and keep the resolved recipe beside the store's refs."""
    ref = f"{recipe.name}/{part}"
    current = store.refs().get(ref)
    if current != artifact.id:
        store.set_ref(ref, artifact, why="made by its recipe")
    folder = store.root / "recipes"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{recipe.name}.yaml").write_text(dump_yaml(recipe), encoding="utf-8")
    return artifact
