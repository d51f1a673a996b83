"""Where the figures of a page come from: artifacts, versions, seconds, and what to type to get the same result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from yibu.pages.layout import Pairs
from yibu.pages.text import Text


@dataclass(frozen=True)
class Lineage:
    """Where the figures come from.

    Attributes:
        artifacts: stage -> artifact id, in the order of the run.
        versions: package -> version.
        seconds: stage -> seconds.
        date: day or moment on which the page was made, ISO 8601; the page has no clock of its own.
        platform: operating system and processor.
        command: what to type to get the same result.
    """

    artifacts: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    date: str = ""
    platform: str = ""
    command: str = ""


def stages(lineage: Lineage, t: Text) -> list[tuple[str, str, str]]:
    """(stage, artifact id, time) in the order of the run; empty where one of them is not known."""
    names = list(dict.fromkeys([*lineage.artifacts, *lineage.seconds]))
    rows = []
    for name in names:
        seconds = lineage.seconds.get(name)
        took = "" if seconds is None else t.seconds(seconds)
        rows.append((t.known("stage", name), lineage.artifacts.get(name, ""), took))
    return rows


def machine(lineage: Lineage, t: Text) -> Pairs:
    """Platform and versions, by name."""
    pairs = [(t("provenance.platform"), lineage.platform)] if lineage.platform else []
    return pairs + [(name, str(version)) for name, version in sorted(lineage.versions.items())]
