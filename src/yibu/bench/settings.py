"""What is measured, and how hard the model is asked."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, field_validator, model_validator

from yibu.core.recipe import PlugSettings, Settings


class BenchSettings(Settings):
    """Table ``bench`` of a recipe."""

    rates: list[PositiveFloat] | None = Field(
        None, min_length=1, description="requests a second, one measurement each; default: doubled up to saturation"
    )
    at: PositiveFloat | None = Field(
        None,
        description="the rate whose figures the matrix and its gates are about; default: the highest of rates, or, "
        "where those are found by doubling, the highest that the model keeps up with",
    )
    num_requests: int = Field(400, ge=2, description="of one rate, warm-up aside; p99 has an upper limit from 299 on")
    seconds: float = Field(120.0, gt=0, description="no request of a rate is sent later than this")
    warmup: int = Field(10, ge=0, description="first requests of each rate, sent like the others and left out")
    max_new_tokens: int | None = Field(None, ge=1, description="longest answer; default: the task's, else 64")
    prompt_words: int = Field(64, ge=1, description="length of made-up prompts, where there are no rows")
    split: Literal["train", "valid", "test"] = Field("test", description="whose rows are asked")
    timeout: float = Field(60.0, gt=0, description="seconds that a request is waited for")
    stall_seconds: float = Field(1.0, gt=0, description="a longer silence inside of an answer is counted as a stall")
    token_budget: int | None = Field(None, ge=1, description="stop after so many generated tokens in all")
    max_rates: int = Field(8, ge=1, description="where rates are found by doubling")
    clients: int = Field(1, ge=1, le=64, description="processes that send; more where one is too busy")
    ignore_eos: bool = Field(False, description="let our own process write answers of full length")
    seed: int = Field(0, ge=0, description="of arrivals and of the order of prompts")
    engine: Annotated[Settings, PlugSettings("yibu.engines", default="openai")] | None = Field(
        None, description="endpoint that is asked; default: the model in a process of its own"
    )
    meter: Annotated[Settings, PlugSettings("yibu.meters", default="modelled")] | None = Field(
        None, description="what measures joules; default: nvml, else rapl, else nothing"
    )

    @field_validator("rates")
    @classmethod
    def _in_order(cls, rates: list[float] | None) -> list[float] | None:
        if rates is not None and sorted(set(rates)) != rates:
            raise ValueError("must rise: a server that a higher rate has filled is not the same for a lower one")
        return rates

    @model_validator(mode="after")
    def _at_is_measured(self) -> BenchSettings:
        if self.at is not None and (self.rates is None or self.at not in self.rates):
            raise ValueError(f"bench.at is {self.at:g}, which bench.rates does not have; add it there")
        return self


class BenchConfig(Settings):
    """What the stage needs.

    Attributes:
        moment: when it was asked for. A measurement is an event and no function of its settings, so that it is part of
            the artifact's id: the same command measures again. A recipe's run has ``try <n>`` in its place, for it
            measures again only where the last try was cut short.
        base_path, base_digest: the base's files, where the model runs in a process of ours; None for an endpoint.
        task: how rows become prompts; None where there are none.
        device, dtype, threads: of our own process.
    """

    moment: str
    bench: BenchSettings = BenchSettings()
    base_path: str | None = None
    base_digest: str = ""
    task: Annotated[Settings, PlugSettings("yibu.tasks", default="generate")] | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    threads: int | None = Field(None, ge=1)
