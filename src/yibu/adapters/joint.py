"""LoRA and bottlenecks in one model, trained together in one run (``kind: lora+bottleneck``).

UniPELT (Mao et al. 2022, arXiv 2110.07577) found such mixtures ahead of the best single method by 1 to 4 % on 100 to
1,000 rows, with gates that learn how much of each a token gets. No such gain is known for large decoders: it has to win
against each alone at an equal number of trained parameters.

What is saved is a plain PEFT folder for the LoRA, and ``bottleneck.safetensors`` with its record for the rest.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from yibu.adapters import Plan, bottleneck, check_attached, lora
from yibu.adapters.bottleneck import Settings as BottleneckSettings
from yibu.adapters.lora import Settings as LoraSettings
from yibu.core.architecture import Facts
from yibu.core.errors import BaseModelError, InputError, RecipeError
from yibu.core.recipe import Settings as BaseSettings


class Settings(BaseSettings):
    """Both parts with settings of their own; `gates` multiplies each by a learnt factor in 0 to 1, token by token.

    A gate begins at 0.5, since its input matrix is zero, so the scale of both parts is halved at first.
    """

    kind: Literal["lora+bottleneck"] = "lora+bottleneck"
    lora: LoraSettings = LoraSettings()
    bottleneck: BottleneckSettings = BottleneckSettings()
    gates: bool = Field(False, description="a learnt gate on each LoRA layer and each bottleneck (UniPELT)")

    @model_validator(mode="after")
    def _gates_fit(self) -> Self:
        if self.gates and (self.lora.dora or self.lora.experts or self.lora.init == "pissa"):
            raise ValueError("gates are for plain LoRA layers: without dora, experts and init: pissa")
        return self

    @property
    def r(self) -> int:
        """Rank of the LoRA, for whoever foresees memory."""
        return self.lora.r

    @property
    def lr_ratio(self) -> float:
        """LoRA+ ratio of the LoRA."""
        return self.lora.lr_ratio


def plan(model: Any, facts: Facts, settings: Settings) -> Plan:
    """The classes of both plans, the LoRA's first.

    Raises:
        RecipeError: as either; and gates on parts that cannot have them.
    """
    low_rank = lora.plan(model, facts, settings.lora)
    beside = bottleneck.plan(model, facts, settings.bottleneck)
    if not settings.gates:
        return Plan(low_rank.classes + beside.classes, low_rank.total_parameters)
    if wrapped := [planned.role for planned in low_rank.classes if planned.kind != "linear"]:
        raise RecipeError("These parts cannot have a gate.", got=wrapped, do="leave them out of adapter.lora.targets")
    gated = [
        replace(p, parameters=p.parameters + sum(model.get_submodule(name).in_features for name in p.names))
        for p in low_rank.classes
    ]
    hidden = int(model.config.get_text_config().hidden_size)
    gated += [replace(p, parameters=p.parameters + len(p.names) * hidden) for p in beside.classes]
    return Plan(tuple(gated), low_rank.total_parameters)


def attach(model: Any, plan: Plan, settings: Settings, linear_class: type | None = None) -> Any:
    """The model with both adapters, which change nothing yet; the model is changed in place.

    Raises:
        TrainingError: something else was adapted than planned.
    """
    from yibu.adapters._bottleneck import GatedLoraLinear

    low_rank = Plan(tuple(p for p in plan.classes if p.kind != "bottleneck"), plan.total_parameters)
    tuned = lora.inject(model, low_rank, settings.lora, GatedLoraLinear if settings.gates else linear_class)
    for name, parameter in tuned.named_parameters():
        if lora.GATE in name:
            parameter.requires_grad_(True)
    bottleneck.add(tuned.get_base_model(), plan, settings.bottleneck, settings.gates)
    made = _adapted(tuned, settings)
    check_attached(made, plan)
    return made


def initialise(model: Any, settings: Settings, run_sample: Any) -> None:
    """That of the LoRA."""
    lora.initialise(model.network, settings.lora, run_sample)


def save(model: Any, folder: Path, base: str | None = None) -> None:
    """Write a plain PEFT folder, ``bottleneck.safetensors`` and ``bottleneck_config.json``."""
    from yibu.adapters._bottleneck import bottlenecks

    lora.save(model.network, folder, base)
    names = sorted(bottlenecks(model.get_base_model()))
    bottleneck.write(model, folder, {**model.record, "base_model_name_or_path": base, "blocks": names})


def load(model: Any, folder: Path, linear_class: type | None = None, trainable: bool = False) -> Any:
    """The model with both saved adapters; the model is changed in place.

    Raises:
        BaseModelError: one of both is not there, or they are of another base.
        TrainingError: they do not fit this base.
    """
    from yibu.adapters._bottleneck import GatedLoraLinear

    record = bottleneck.read(folder)
    if record["settings"].get("kind") != "lora+bottleneck":
        raise BaseModelError("This is a bottleneck alone, without LoRA.", got=folder, do="load it as kind: bottleneck")
    settings = Settings.model_validate(record["settings"])
    linear = GatedLoraLinear if settings.gates else linear_class
    tuned = lora.load(model, folder, linear, trainable)
    bottleneck.hang_saved(tuned.get_base_model(), record["blocks"], settings.bottleneck, settings.gates)
    bottleneck.fill(tuned.get_base_model(), folder, trainable)
    return _adapted(tuned, settings).eval()


def merge(model: Any) -> Any:
    """Always refused.

    Raises:
        InputError: the bottlenecks cannot be merged, and the LoRA was trained beside them and is nothing without them.
    """
    raise InputError(
        "LoRA and bottlenecks that were trained together cannot be merged: a bottleneck is not linear, and the LoRA "
        "alone would answer as nobody has measured.",
        do="serve the base with both beside it, or train kind: lora, which can be merged",
    )


def _adapted(tuned: Any, settings: Settings) -> Any:
    from yibu.adapters._adapted import Adapted
    from yibu.adapters._bottleneck import bottlenecks

    record = {"base": tuned.yibu_mark, "settings": settings.as_config()}
    return Adapted(tuned, record, list(bottlenecks(tuned.get_base_model()).values()))
