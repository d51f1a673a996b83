"""From what a person types to the artifact that is meant."""

from __future__ import annotations

from pathlib import Path

from yibu import pipeline
from yibu.core.errors import Damaged, StoreError, nearest
from yibu.core.store import Artifact, Store

STAGES = {
    "data": ("prepare", "augment"),
    "data_report": ("inspect",),
    "model": ("train",),
    "report": ("evaluate",),
    "small": ("compress",),
}
"""Which stages make a part."""


def find(store: Store, name: str | None, part: str) -> Artifact:
    """The artifact that a person means: a recipe's newest part, or anything that the store knows by this name.

    Args:
        store: where to look.
        name: a recipe's name or file, a ref, an id or its beginning; None where there is only one recipe.
        part: ``data``, ``data_report``, ``model`` or ``report``.

    Raises:
        StoreError: nothing has this name, or it is no such part.
    """
    refs = store.refs()
    choices = sorted(ref.removesuffix(f"/{part}") for ref in refs if ref.endswith(f"/{part}"))
    if not choices and name is None:
        raise StoreError(f"There is no {part} in the store yet.", got=store.root, do="yibu run recipe.yaml")
    if name is None:
        if len(choices) > 1:
            raise StoreError(f"There is more than one {part}; which one is meant?", allowed=choices)
        name = choices[0]
    if name.endswith((".yaml", ".yml")):
        name = pipeline.load(Path(name)).name
    if name in choices:
        return store.get(f"{name}/{part}")
    try:
        found = store.get(name)
    except Damaged:
        raise
    except StoreError as error:
        close = nearest(name, choices)
        do = f"did you mean {close!r}?" if close else f"yibu run makes one; `yibu show` lists what is in {store.root}"
        raise StoreError(f"There is no {part} of this name.", got=name, allowed=choices or None, do=do) from error
    if found.manifest.stage not in STAGES[part]:
        raise StoreError(f"This is not a {part}.", got=found.id, allowed=choices or None)
    return found


def language_of(report: Artifact, wanted: str | None = None) -> str:
    """Language to show a report in: the one asked for, else the one that its recipe sets, else that of its rows."""
    of_data = report.manifest.stage == "inspect"
    setting = wanted or str(report.manifest.config["inspect" if of_data else "evaluate"]["lang"])
    figures = report.read_json("summary.json" if of_data else "metrics.json")
    return str(figures["language"]) if setting == "auto" else setting


def page_of(report: Artifact, lang: str) -> Path:
    """The page in a language; the artifact holds it in both."""
    return report.file(f"{'data' if report.manifest.stage == 'inspect' else 'report'}.{lang}.html")
