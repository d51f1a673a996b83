"""The recipe's section ``augment``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from yibu import augmenters
from yibu.augmenters import CallSettings
from yibu.core.recipe import PlugSettings, Settings
from yibu.terms import digest

Step = Annotated[Settings, PlugSettings("yibu.augmenters", default="homophones")]


def _kind(table: Settings) -> str:
    return str(getattr(table, "kind", ""))


class RobustnessSettings(Settings):
    """Noisy versions of rows that are kept for evaluation only."""

    split: Literal["test", "valid"] = Field(
        default="test", description="valid, where the figures are used to choose between settings of this section"
    )
    noise: tuple[Step, ...] = Field(
        default=({"kind": "homophones"}, {"kind": "glyphs"}, {"kind": "keyboard"}, {"kind": "ocr"}),
        validate_default=True,
        description="kinds of noise; their own rate, share and copies are not used",
    )
    rates: tuple[float, ...] = Field(default=(0.05, 0.1), description="shares of the characters that are changed")
    limit: int | None = Field(default=1000, ge=1, description="rows of the split at most; chosen by a hash of their id")

    @field_validator("rates")
    @classmethod
    def _check_rates(cls, rates: tuple[float, ...]) -> tuple[float, ...]:
        if not rates or not all(0 < rate <= 1 for rate in rates) or len(set(rates)) < len(rates):
            raise ValueError("must be different shares above 0 and up to 1")
        return rates

    @field_validator("noise")
    @classmethod
    def _check_noise(cls, noise: tuple[Settings, ...]) -> tuple[Settings, ...]:
        for table in noise:
            if not isinstance(table, augmenters.NoiseSettings):
                raise ValueError(f"{_kind(table)!r} is no noise: it has no rate of characters")
        if len({_kind(table) for table in noise}) < len(noise):
            raise ValueError("names one kind twice")
        return noise


class AugmentSettings(Settings):
    """How the train split grows, and what the model is to be tried on."""

    steps: tuple[Step, ...] = Field(
        default=(), description="augmenters, in order; each makes copies of the original train rows"
    )
    robustness: RobustnessSettings | None = Field(
        default=RobustnessSettings(), description="noisy versions of test rows, for evaluation; null: none"
    )
    attack: Annotated[Settings, PlugSettings("yibu.attacks", default="characters")] | None = Field(
        default=None, description="search for small changes that flip a classifier trained on the train split"
    )
    attack_limit: int = Field(default=200, ge=1, description="rows of a split that are attacked at most")
    add_attacks_to_train: bool = Field(
        default=False, description="attack train rows too, and add what was found to train, with the right label"
    )
    fields: tuple[str, ...] | None = Field(
        default=None, description="fields whose text is changed; default: those that only the prompt shows"
    )
    limit: int | None = Field(default=None, ge=1, description="train rows that get copies in one step at most")
    seed: int = Field(default=0, description="of every draw")
    calls: CallSettings = Field(default=CallSettings(), description="how an endpoint is called; not part of the id")

    @model_validator(mode="after")
    def _attack_is_named(self) -> AugmentSettings:
        if self.add_attacks_to_train and self.attack is None:
            raise ValueError("add_attacks_to_train needs an attack, e.g. attack: {kind: characters}")
        return self


def digests(config: AugmentSettings) -> dict[str, str]:
    """Digests of all dictionaries, so that a changed file makes another artifact."""
    tables = [*config.steps, config.attack, *(config.robustness.noise if config.robustness else ())]
    found: dict[str, str] = {}
    for table in tables:
        sources: Any = getattr(table, "dictionary", None)
        found.update(digest([sources] if isinstance(sources, str) else sources or []))
    return found
