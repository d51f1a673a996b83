"""What the verbs compress and export say and do beyond the pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from yibu import pipeline
from yibu.cli.session import Session
from yibu.core.errors import InputError, StoreError, nearest
from yibu.core.recipe import apply_overrides, load_yaml, parse
from yibu.core.store import Artifact, Store
from yibu.export import BUNDLE
from yibu.export.publish import check_target, publish
from yibu.parity import Check


def recipe_of(store: Store, name: str, overrides: Sequence[str] = ()) -> pipeline.Recipe:
    """The recipe that a person means: a file, or the name of one whose run is in the store.

    Raises:
        StoreError: the store has no run of this name.
    """
    if name.endswith((".yaml", ".yml")) or Path(name).exists():
        return pipeline.load(Path(name), overrides)
    kept = store.root / "recipes" / f"{name}.yaml"
    known = sorted(path.stem for path in (store.root / "recipes").glob("*.yaml"))
    if name not in known:
        close = nearest(name, known)
        raise StoreError(
            "There is no recipe or run of this name.",
            got=name,
            allowed=known or "a recipe.yaml; the store has no run yet",
            do=f"did you mean {close!r}?" if close else "yibu export recipe.yaml --to gguf --out DIR",
        )
    return parse(pipeline.Recipe, apply_overrides(load_yaml(kept), overrides))


def export(
    here: Session,
    name: str,
    overrides: Sequence[str],
    forms: Sequence[str],
    out: Path | None,
    force: bool,
    replace: bool,
    root: Path | None,
) -> None:
    """Make every form, prove it, and copy it out; what is wrong with the target is said before anything is made.

    Raises:
        InputError: no form is named, or the target cannot be written. GateRefused: a gate or a parity check failed.
    """
    store = Store(root)
    recipe = recipe_of(store, name, overrides)
    if forms:
        asked = [f"export=[{', '.join(forms)}]"]
        given = {str(one.kind): one for one in recipe.export}  # type: ignore[attr-defined]
        plain = recipe_of(store, name, [*overrides, *asked])
        chosen = tuple(given.get(form, one) for form, one in zip(forms, plain.export, strict=True))
        recipe = recipe.model_copy(update={"export": chosen})
    if not recipe.export:
        from yibu import exporters

        raise InputError(
            "The recipe does not say in which form the model shall leave.",
            allowed=exporters.FAMILY.names(),
            do="name one: --to safetensors, or export: [safetensors] in the recipe",
        )
    several = len(recipe.export) > 1
    targets = [None if out is None else out / str(one.kind) if several else out for one in recipe.export]  # type: ignore[attr-defined]
    for target in targets:
        if target is not None:
            check_target(target, replace, make=several)
    data = pipeline.make_data(recipe, store)
    base = pipeline.resolve_base(recipe, store)
    model = pipeline.make_model(recipe, store, data, base)
    small = pipeline.make_small(recipe, store, data, model, base)
    tell_small(here, small)
    bundles = pipeline.make_bundles(recipe, store, data, model, small, base, force=force)
    tell_bundles(here, bundles, targets, replace)


def tell_bundles(
    here: Session, bundles: Sequence[Artifact], targets: Sequence[Path | None] = (), replace: bool = False
) -> None:
    """Copy each bundle to its target, where it has one, and say what was proven of it."""
    for bundle, target in zip(bundles, targets or [None] * len(bundles), strict=True):
        form = str(bundle.manifest.config["exporter"]["kind"])
        parity = bundle.read_json("parity.json")
        path = bundle.path / BUNDLE if target is None else publish(bundle, target, replace)
        here.say(checks_view(parity["checks"], f"{form}, asked in {parity['engine']}"))
        view = Text.assemble((f"{form}: ", "bold"), str(path))
        here.tell("exported", view, form=form, id=bundle.id, path=str(path), parity=parity)


def tell_small(here: Session, small: Artifact) -> None:
    """Size and proof of a compressed model."""
    summary, checks = small.read_json("summary.json"), small.read_json("parity.json")["checks"]
    share = summary["bytes"] / summary["bytes_of_fp32"]
    here.say(checks_view(checks, "merged" if not summary["steps"] else "compressed"))
    view = Text(f"{summary['bytes'] / 1e6:,.1f} MB on disk, {share:.3f} of 4 bytes a parameter: {small.path / 'model'}")
    here.tell("small", view, id=small.id, path=str(small.path / "model"), checks=checks, **summary)


def checks_view(checks: Sequence[Mapping[str, Any]], title: str) -> Table:
    """The checks of a hand-over as a table."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in ("check", "measured", "wanted", "n", ""):
        table.add_column(column, justify="left" if column in ("check", "") else "right")
    marks = {True: Text("ok", "green"), False: Text("FAILED", "bold red"), None: Text("not judged", "yellow")}
    for one in (Check(**check) for check in checks):
        value = "-" if one.measured is None else f"{one.measured:.4g}"
        table.add_row(one.name, value, f"{'≥' if one.at_least else '≤'} {one.bound:g}", str(one.n), marks[one.ok])
    return table
