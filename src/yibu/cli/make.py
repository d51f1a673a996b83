"""The verbs that make artifacts: run, prepare, train, evaluate."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from rich.text import Text

from yibu import pipeline
from yibu.cli.find import language_of, page_of
from yibu.cli.history import duration
from yibu.cli.leave import tell_bundles, tell_small
from yibu.cli.results import results_view
from yibu.cli.session import Session, command
from yibu.core.store import Artifact, Store
from yibu.train import launch

Last = Literal["data", "model", "report", "small", "all"]


def build(
    here: Session,
    source: Path,
    overrides: Sequence[str],
    lang: str | None,
    root: Path | None,
    last: Last,
    force: bool = False,
) -> None:
    """Make the chain up to one part; then say what was made, how good it is, and what to type next.

    Args:
        source: recipe, or file or folder of rows.
        overrides: ``section.key=value``.
        lang: language to show the results in; None leaves it to the recipe.
        root: folder of the store; None is the default.
        last: the part to stop after.
        force: go on past missed gates, and write it into the ledger.

    Raises:
        GateRefused: a gate is missed; all was made and told before.
    """
    with launch.joined() as followed:
        if not followed:
            _build(here, source, overrides, lang, root, last, force)


def _build(
    here: Session,
    source: Path,
    overrides: Sequence[str],
    lang: str | None,
    root: Path | None,
    last: Last,
    force: bool,
) -> None:
    began = time.monotonic()
    recipe = pipeline.load(source, overrides)
    store = Store(root)
    known = {artifact.id for artifact in store.artifacts()}
    parts: dict[str, Artifact] = {"data": pipeline.make_data(recipe, store)}
    parts["data_report"] = pipeline.make_data_report(recipe, store, parts["data"])
    if last != "data":
        base = pipeline.resolve_base(recipe, store)
        parts["model"] = pipeline.make_model(recipe, store, parts["data"], base)
        if last in ("report", "all"):
            parts["report"] = pipeline.make_report(recipe, store, parts["data"], parts["model"], base)
        if last == "small":
            parts["small"] = pipeline.make_small(recipe, store, parts["data"], parts["model"], base)
    leaves = last == "all" and (recipe.compress is not None or recipe.export != ())
    last = "report" if last == "all" else last
    made = [name for name, artifact in parts.items() if artifact.id not in known]
    seconds = time.monotonic() - began

    if last == "report":
        language = language_of(parts["report"], lang)
        _tell_results(here, recipe.name, parts["report"], language)
        _tell_path(here, "Report", page_of(parts["report"], language))
    elif last == "small":
        tell_small(here, parts["small"])
    else:
        _tell_path(here, last.capitalize(), parts[last].path)
    found = parts["data_report"]
    _tell_path(here, "Data report", page_of(found, language_of(found, lang)))
    if last == "data":
        _tell_path(here, "Data card", found.file("DATACARD.md"))
        _tell_path(here, "For people to review", found.file("review.csv"))
    ids = {name: artifact.id for name, artifact in parts.items()}
    took = duration(seconds)
    view = Text(
        f"Made {', '.join(made).replace('_', ' ')} in {took}."
        if made
        else f"Nothing was redone: all was done before ({took})."
    )
    here.tell("done", view, name=recipe.name, made=made, seconds=round(seconds, 3), **ids)
    if last == "report":
        pipeline.pass_gates(recipe, store, parts["report"], force)
    if leaves:
        parts["small"] = pipeline.make_small(recipe, store, parts["data"], parts["model"])
        tell_small(here, parts["small"])
        data, model, small = (parts[name] for name in ("data", "model", "small"))
        bundles = pipeline.make_bundles(recipe, store, data, model, small, report=parts["report"], force=force)
        tell_bundles(here, bundles)
    if last == "small":
        pipeline.pass_parity(recipe, store, parts["small"], force)
    again = [str(source), *overrides]
    following = {
        "data": ["train", *again],
        "model": ["evaluate", *again],
        "report": ["chat", recipe.name],
        "small": ["export", *again[:1], "--to", "safetensors", "--out", recipe.name],
    }[last]
    where = [] if root is None else ["--store", str(root)]
    here.say(Text.assemble(("Next: ", "bold"), command(*following, *where)))


def _tell_results(here: Session, name: str, report: Artifact, lang: str) -> None:
    metrics, config = report.read_json("metrics.json"), report.manifest.config
    view = results_view(metrics, name, str(config["base"]), lang)
    here.tell("results", view, **metrics)


def _tell_path(here: Session, what: str, path: Path) -> None:
    shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    here.tell(what.lower().replace(" ", "_"), Text.assemble((f"{what}: ", "bold"), str(shown)), path=str(path))
