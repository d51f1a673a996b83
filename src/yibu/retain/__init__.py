"""What a model still knows after tuning: general text, grammar, common sense, arithmetic, refusals.

A stage measures one system on the same local files: the base (no `model`) once, a tuned model after each training. The
figures of two systems are then compared item by item (`yibu.retain.compare`). What is asked and counted is what
lm-evaluation-harness 0.4.13 asks and counts, so that the figures can be checked against it, item by item
(``benchmarks/retention.py``); likelihoods come from `yibu.model.likelihood`, which needs a fraction of the time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from yibu.core.recipe import Settings
from yibu.core.store import Artifact, Work, digest_file, stage

Kind = Literal["corpus", "pairs", "choices", "cloze", "problems", "refusals"]


class SetSettings(Settings):
    """One set of items in a local file."""

    kind: Kind = Field(
        description="corpus: loss per token of a text; pairs: the better sentence of each is likelier (BLiMP); "
        "choices: the right answer is the likeliest (ARC, PIQA, WinoGrande, CMMLU); cloze: the last word is the first "
        "choice (LAMBADA); problems: the number behind #### is right (GSM8K); refusals: share of requests that are "
        "refused"
    )
    path: str = Field(description=".jsonl, .json, .csv; for a corpus also a text file")
    name: str = Field("", description="default: the name of the file without its ending")
    limit: int | None = Field(None, ge=1, description="at most so many items, evenly from the whole file")
    between: str | None = Field(
        None,
        description="choices: what stands between question and choice; default: as lm-evaluation-harness has it, "
        "'\\nAnswer: ' behind a 'Question:', else a space",
    )
    window: int = Field(1024, ge=2, description="corpus: tokens of a window, or the base's context if that is shorter")
    shots: int = Field(5, ge=0, description="problems: the file's first rows that are shown solved, and not counted")
    max_new_tokens: int = Field(256, ge=1, description="problems and refusals: of an answer")

    @model_validator(mode="before")
    @classmethod
    def _named(cls, values: object) -> object:
        if isinstance(values, dict) and not values.get("name") and isinstance(values.get("path"), str):
            return {**values, "name": Path(values["path"]).name.partition(".")[0]}
        return values


class RetainSettings(Settings):
    """Which sets, and how they are measured."""

    sets: tuple[SetSettings, ...] = Field((), description="general abilities to be kept, by path")
    batch_size: int = Field(16, ge=1, description="prompts generated at once")
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _distinct(self) -> RetainSettings:
        names = [one.name for one in self.sets]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two sets have one name: {', '.join(twice)}; give them different ones with `name`")
        if odd := [name for name in names if not name or not name.replace("-", "").replace("_", "").isalnum()]:
            raise ValueError(f"a set's name holds letters, digits, '-' and '_': {', '.join(odd)}")
        return self


class RetainConfig(Settings):
    """Everything that decides what one system retains."""

    base_path: str
    base_digest: str
    retain: RetainSettings


def _digests(config: RetainConfig) -> dict[str, str]:
    from yibu.retain.sets import existing

    return {one.name: digest_file(existing(one)) for one in config.retain.sets}


@stage(
    version=1,
    neutral=("base_path", "retain.batch_size", "retain.device", "retain.threads"),
    external=_digests,
)
def retain(config: RetainConfig, work: Work, *, model: Artifact | None = None) -> None:
    """Measure a base (no `model`) or a tuned model: ``retention.json`` and an ``items-<set>.jsonl`` of each set.

    ``retention.json``: ``{"system": "base" | "tuned", "sets": [{"name", "kind", "metric", "better", "value", "n",
    "more"}]}``. A line of items: ``{"id", "group", "value", "weight", ...}``; the figure is the mean of the values by
    their weights (a corpus weighs by tokens), so that two systems can be paired.
    """
    from yibu.retain.run import run

    run(config, work, model)


class KeptConfig(Settings):
    """Everything that decides what is said about two systems."""

    num_resamples: int = 2000
    seed: int = 0


@stage(version=1)
def kept(config: KeptConfig, work: Work, *, base: Artifact, tuned: Artifact) -> None:
    """Compare what `retain` made of a base and of a tuned model: ``kept.json``.

    ``{"sets": [...], "retention": {"value", "low", "high", "n", "num_sets"} | None}``: every set as
    `yibu.retain.compare.Retained` has it, with ``retained``; see `yibu.retain.kept`.
    """
    from yibu.retain.kept import run

    run(config, work, base, tuned)
