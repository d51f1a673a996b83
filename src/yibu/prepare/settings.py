"""The recipe's section ``data``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from yibu.core.errors import nearest
from yibu.core.recipe import PlugSettings, Settings
from yibu.core.record import SPLITS, Split
from yibu.prepare.clean import CleanSettings
from yibu.prepare.contamination import ContaminationSettings
from yibu.prepare.near import DuplicateSettings
from yibu.prepare.privacy import PrivacySettings
from yibu.terms import TermsSettings, UnitSettings

Files = str | list[str]


class SplitSettings(Settings):
    """How rows are divided. Shares are of the rows whose split the source does not fix."""

    train: float = Field(default=0.8, gt=0, le=1)
    valid: float = Field(default=0.1, ge=0, lt=1)
    test: float = Field(default=0.1, ge=0, lt=1)
    stratify: str | None = Field(
        default=None, description="a column, or 'label' for the task's class: keep its shares equal"
    )
    group: str | None = Field(default=None, description="column; rows of one group never lie in two splits")
    by: Literal["hash", "time"] = Field(
        default="hash", description="time: train is older than valid, and valid than test; needs data.time"
    )
    folds: int | None = Field(default=None, ge=2, le=20, description="also number the rows for a cross-validation")
    seed: int = 0
    on_missing_label: Literal["refuse", "warn"] = Field(
        default="refuse", description="a label that train or test lacks; a class with fewer rows than folds"
    )

    @model_validator(mode="after")
    def _shares_add_up(self) -> SplitSettings:
        total = self.train + self.valid + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"train + valid + test must be 1; they are {total:g}")
        return self


class LimitSettings(Settings):
    """At most so many rows of each split; which ones is fixed by a hash, so that a larger limit only adds rows."""

    train: int | None = Field(default=None, ge=1)
    valid: int | None = Field(default=None, ge=1)
    test: int | None = Field(default=None, ge=1)


class DataSettings(Settings):
    """Which rows, and what happens to them before training."""

    source: Files | dict[str, Files] = Field(
        description="file, folder, glob, hub id, package:<name>; a list of these; or {train: ..., test: ...}"
    )
    shape: str = Field(default="auto", description="how a row is laid out; auto: found by looking at the rows")
    id: str | None = Field(default=None, description="column that names a row; default: a hash of its fields")
    label: str | None = Field(default=None, description="column of the class, where the task does not name it")
    group: str | None = Field(default=None, description="same as split.group")
    time: str | None = Field(default=None, description="column of the row's time, ISO 8601")
    clean: CleanSettings = CleanSettings()
    units: UnitSettings | None = Field(default=None, description="one way of writing each unit; {} for the defaults")
    terms: TermsSettings | None = Field(default=None, description="a dictionary: one word per thing")
    privacy: PrivacySettings | None = Field(default=None, description="what becomes of personal data")
    review: str | None = Field(default=None, description="a review.csv in which people decided about rows")
    duplicates: DuplicateSettings = DuplicateSettings()
    contamination: ContaminationSettings = ContaminationSettings()
    reject_share: float = Field(
        default=0.01, ge=0, le=1, description="stop if a larger share of the rows cannot be used"
    )
    split: SplitSettings = SplitSettings()
    limit: LimitSettings = LimitSettings()
    workers: int | None = Field(default=None, ge=1, description="processes; default: one per core")
    engine: Literal["local", "ray"] = Field(default="local", description="ray: over a cluster, the same rows come out")

    @field_validator("source", mode="before")
    @classmethod
    def _known_splits(cls, source: Any) -> Any:
        if isinstance(source, dict):
            for name in source:
                if name not in SPLITS:
                    close = nearest(str(name), SPLITS)
                    hint = f"did you mean {close!r}?" if close else f"known: {', '.join(SPLITS)}"
                    raise ValueError(f"{name!r} is no split; {hint}")
            if "train" not in source:
                raise ValueError("a source by split needs train: there is nothing to learn from otherwise")
        if not source:
            raise ValueError("no data source was given")
        return source

    @field_validator("limit", mode="before")
    @classmethod
    def _no_limit(cls, limit: Any) -> Any:
        return LimitSettings() if limit is None else limit

    @model_validator(mode="after")
    def _one_group(self) -> DataSettings:
        if self.group and self.split.group and self.group != self.split.group:
            raise ValueError(f"group ({self.group!r}) and split.group ({self.split.group!r}) name different columns")
        return self

    @model_validator(mode="after")
    def _time_is_known(self) -> DataSettings:
        if self.split.by == "time" and self.time is None:
            raise ValueError("split.by: time needs data.time, the column that holds the time of a row (ISO 8601)")
        if self.split.by == "time" and self.split.stratify is not None:
            raise ValueError("split.by: time and split.stratify contradict each other: only one can decide")
        return self

    @property
    def group_column(self) -> str | None:
        return self.split.group or self.group

    def sources(self) -> dict[Split | None, Files]:
        """Sources by the split that they fix; None where yibu is to assign it."""
        if not isinstance(self.source, dict):
            return {None: self.source}
        if set(self.source) == {"train"}:
            return {None: self.source["train"]}
        return {split: self.source[split] for split in SPLITS if split in self.source}


class PrepareConfig(Settings):
    """Everything that decides which rows come out."""

    data: DataSettings
    task: Annotated[Settings, PlugSettings("yibu.tasks", default="generate")] | None = Field(
        default=None, description="default: by the shape of the rows"
    )
