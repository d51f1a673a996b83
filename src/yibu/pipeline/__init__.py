"""The whole product on one screen: a recipe, a store, and the chain of artifacts between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from yibu.core.errors import RecipeError
from yibu.core.recipe import apply_overrides, load_yaml, parse
from yibu.core.store import Artifact, Store
from yibu.pipeline.bases import licence_of, locate_base, resolve_base, tokenizer_if_here
from yibu.pipeline.leave import make_bundles, make_pruned, make_small, pass_gates, pass_parity
from yibu.pipeline.proof import make_folds, make_model, make_report, measure
from yibu.pipeline.recipe import DEFAULT_BASE, Recipe, load
from yibu.pipeline.rows import make_data, make_data_report, prepared, task_of
from yibu.serve import ServeSettings

__all__ = [
    "DEFAULT_BASE",
    "Built",
    "Recipe",
    "build",
    "licence_of",
    "load",
    "locate_base",
    "make_bundles",
    "make_data",
    "make_data_report",
    "make_folds",
    "make_model",
    "make_pruned",
    "make_report",
    "make_small",
    "measure",
    "pass_gates",
    "pass_parity",
    "prepared",
    "resolve_base",
    "serve_settings",
    "task_of",
    "tokenizer_if_here",
]


@dataclass(frozen=True)
class Built:
    """The artifacts of one run."""

    data: Artifact
    data_report: Artifact
    model: Artifact
    report: Artifact
    small: Artifact | None = None
    bundles: tuple[Artifact, ...] = ()


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
