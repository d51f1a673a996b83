"""The stage that turns a plain model into the files of one engine, lets that engine run them, and signs what leaves.

An artifact of this stage has ``bundle/`` (what is published, with ``MANIFEST.json`` and ``README.md`` in it) and
``parity.json``. Where the engine's replies are not the model's, there is no artifact. `publish` copies a bundle out.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from yibu.core.recipe import PlugSettings, Settings
from yibu.core.store import Artifact, Work, stage

BUNDLE = "bundle"
MANIFEST = "MANIFEST.json"


def _table(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else value


Exporter = Annotated[
    Annotated[Settings, PlugSettings("yibu.exporters", default="safetensors")], BeforeValidator(_table)
]
"""``gguf``, or ``{kind: gguf, quantise: Q8_0}``."""


class ExportConfig(Settings):
    """Everything that decides what leaves."""

    recipe: str
    base: str
    base_path: str
    base_digest: str
    licence: str
    task: Annotated[Settings, PlugSettings("yibu.tasks", default="generate")]
    exporter: Exporter
    golden: int = Field(8, ge=1, description="prompts of validation rows that both sides answer")
    gain_rows: int = Field(64, ge=1, description="where weights are rounded: rows on which the gain is measured")
    forced: str = Field("", description="gates that were missed, where somebody went on past them")
    device: str = "auto"
    threads: int | None = None


@stage(version=3, neutral=("base_path", "device", "threads"))
def export(
    config: ExportConfig,
    work: Work,
    *,
    data: Artifact,
    model: Artifact,
    small: Artifact,
    report: Artifact | None = None,
) -> None:
    """One form of a model, proven in its own engine: ``bundle/``, ``parity.json``.

    Args:
        small: what `yibu.compress.compress` made of `model`.
        report: of this model, where it was measured; a form that chooses labels corrects their scores as it did.

    Raises:
        InputError: the form cannot carry this model.
        GateRefused: the engine's replies are not those of the model.
        MissingExtra, YibuError: the engine is not here, or cannot run the files.
    """
    from yibu.export.run import run

    run(config, work, data, model, small, report)
