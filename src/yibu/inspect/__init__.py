"""Looks at prepared rows before anybody trains on them: what is inconsistent, what looks wrong, what is missing.

The stage `inspect` reads a data artifact and changes nothing in it. It writes the data report (a page with plots, in
English and Chinese), the data card, a list for people (``review.csv``), and the findings as JSON.
"""

from __future__ import annotations

import importlib.util
from typing import Annotated, Literal

from pydantic import Field

from yibu.core.recipe import PlugSettings, Settings
from yibu.core.store import Artifact, Work, stage
from yibu.inspect.consistency import ConsistencySettings
from yibu.inspect.coverage import CoverageSettings
from yibu.inspect.labels import LabelSettings
from yibu.terms import TermsSettings, digest

__all__ = ["InspectConfig", "InspectSettings", "can_judge_labels", "inspect"]


class InspectSettings(Settings):
    """The recipe's section ``inspect``: what is looked for, and how much of it is shown."""

    consistency: ConsistencySettings = ConsistencySettings()
    labels: LabelSettings | None = Field(LabelSettings(), description="null: nobody looks for wrong labels")
    coverage: CoverageSettings = CoverageSettings()
    lang: Literal["auto", "en", "zh"] = Field("auto", description="language of data.html; auto: of the rows")
    max_examples: int = Field(12, ge=0, description="rows shown before and after a step; 0 shows no text of any row")
    max_places: int = Field(3, ge=0, description="files and lines shown for each reason to take a row out")
    max_measured: int = Field(5_000, ge=100, description="rows of a split whose length is measured, drawn by hash")


class InspectConfig(Settings):
    """Everything that decides what the data report says.

    Attributes:
        recipe: name of the recipe.
        task: what the rows were prepared for.
        terms: the dictionary, where the recipe has one.
        inspect: what is looked for.
        tokenizer: folder of a tokenizer, for lengths in tokens; None: lengths in characters. Not in the artifact's id.
        tokenizer_digest: digest of its files, which is in the id.
        judge_labels: False where the packages for it are not installed (see `can_judge_labels`); the report says so.
    """

    recipe: str
    task: Annotated[Settings, PlugSettings("yibu.tasks", default="generate")]
    terms: TermsSettings | None = None
    inspect: InspectSettings = InspectSettings()
    tokenizer: str | None = None
    tokenizer_digest: str = ""
    judge_labels: bool = True


def can_judge_labels() -> bool:
    """Whether the packages that look for wrong labels are installed (``pip install yibu[data]``)."""
    return all(importlib.util.find_spec(package) is not None for package in ("cleanlab", "sklearn"))


def _digests(config: InspectConfig) -> dict[str, str]:
    """Digests of the dictionaries, which lie outside the store."""
    return {} if config.terms is None else digest(config.terms.sources())


@stage(version=2, neutral=("tokenizer",), external=_digests)
def inspect(config: InspectConfig, work: Work, *, data: Artifact) -> None:
    """Look at the rows of a data artifact, and write what was found.

    Writes ``consistency.json``, ``labels.json``, ``coverage.json``, ``review.csv`` (to be edited and named in
    ``data.review``), ``data.html`` with ``data.en.html`` and ``data.zh.html``, ``DATACARD.md`` with ``DATACARD.zh.md``,
    and ``summary.json`` (counts only).

    Raises:
        MissingExtra: a package for the search of label errors, for the dictionary or for the tokenizer.
        BaseModelError: the tokenizer cannot be read.
    """
    from yibu.inspect.run import run

    run(config, work, data)
