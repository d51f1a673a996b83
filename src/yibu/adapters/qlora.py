"""QLoRA (Dettmers et al. 2023, arXiv 2305.14314): a frozen base in 4 bits (NF4), LoRA on top.

A 7B base takes 4 GB in place of 14. What is saved is a plain PEFT folder; it belongs to the 4-bit base it was trained
on, so answers are given with the same 4-bit base. It is merged into the base as it is on disk, not quantised, in fp32:
added to 4-bit weights and rounded again, an update would largely vanish (measured by others: 0.1 to 0.4 of the gain
kept). The merged model therefore does not answer exactly as the 4-bit one did.

Every linear layer but the output layer is quantised, and the fused experts of a mixture, which hold most of its
weights; embedding, norms, router, indexer and layers that compute by group keep their type.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from yibu.adapters import Plan, check_attached, lora
from yibu.adapters._origin import read_header
from yibu.adapters._targets import modules_by_role
from yibu.core.architecture import Facts
from yibu.core.errors import BaseModelError, InputError, MissingExtra, RecipeError

SHRINKS = True
BLOCK = 64  # numbers that share a scale


class Settings(lora.Settings):
    """LoRA's settings, on a base in 4 bits."""

    kind: Literal["qlora"] = "qlora"  # type: ignore[assignment]
    double_quant: bool = Field(True, description="the scales are quantised too: 0.37 bits a weight less")

    @model_validator(mode="after")
    def _fits_four_bits(self) -> Self:
        if self.experts:
            raise ValueError("the routed experts of a 4-bit base cannot be adapted (peft has no layer for them)")
        if self.init == "pissa":
            raise ValueError("init: pissa changes the base's weights, which 4 bits cannot hold; take zero or eva")
        return self


@dataclass(frozen=True)
class QuantisedPlan(Plan):
    """A plan that knows what of the base goes into 4 bits.

    Attributes:
        quantised: whole names of linear modules and of fused experts' parameters.
    """

    quantised: tuple[str, ...] = ()


def plan(model: Any, facts: Facts, settings: Settings) -> QuantisedPlan:
    """LoRA's plan, and what is quantised, from the model before it is.

    Raises:
        RecipeError: as LoRA's; and a part that a 4-bit base cannot adapt.
    """
    planned = lora.plan(model, facts, settings)
    wrapped = [p.role for p in planned.classes if p.kind != "linear"]
    if wrapped:
        raise RecipeError(
            "A 4-bit base cannot adapt these parts.",
            got=wrapped,
            allowed="linear layers",
            do="leave them out of adapter.targets",
        )
    kinds = {role.name: role.kind for role in facts.roles}
    names = [
        name
        for role, found in modules_by_role(model, facts).items()
        for name in found
        if kinds[role] in ("linear", "experts")
    ]
    return QuantisedPlan(planned.classes, planned.total_parameters, tuple(sorted(names)))


def attach(model: Any, plan: QuantisedPlan, settings: Settings, linear_class: type | None = None) -> Any:
    """The model, quantised in place, with a fresh LoRA; its answers are those of the 4-bit base.

    Raises:
        MissingExtra: bitsandbytes is not installed.
        TrainingError: peft adapted something else than planned.
    """
    how = {"double_quant": settings.double_quant, "names": list(plan.quantised)}
    quantise(model, how)
    tuned = lora.inject(model, plan, settings, linear_class, _layers())
    tuned.yibu_quantised = how
    check_attached(tuned, plan)
    return tuned


def initialise(model: Any, settings: Settings, run_sample: Callable[[], None]) -> None:
    """That of LoRA."""
    lora.initialise(model, settings, run_sample)


def save(model: Any, folder: Path, base: str | None = None) -> None:
    """Write a plain PEFT folder; the header of its tensors says how the base was quantised."""
    lora.write(model, folder, base, {"quantised": model.yibu_quantised})


def load(model: Any, folder: Path, linear_class: type | None = None, trainable: bool = False) -> Any:
    """The base, quantised in place as it was in training, with its saved LoRA.

    Raises:
        BaseModelError: no QLoRA lies there, or one of another base.
        TrainingError: it does not fit this base.
        MissingExtra: bitsandbytes is not installed.
    """
    path = folder / lora.WEIGHTS
    how = read_header(path).get("quantised") if path.is_file() else None
    if how is None:
        raise BaseModelError(
            "This folder does not say how its base was quantised.", got=folder, do="load it as kind: lora"
        )
    quantise(model, how)
    tuned = lora.restore(model, folder, linear_class, trainable, _layers())
    tuned.yibu_quantised = how
    return tuned


def merge(model: Any) -> Any:
    """Merge a LoRA that lies on an unquantised base (`yibu.adapters.lora.load` of the same folder).

    Raises:
        InputError: the base is in 4 bits.
    """
    if hasattr(model, "yibu_quantised"):
        raise InputError(
            "A QLoRA is merged into the base as it is on disk, not into its 4-bit copy, which would round it away.",
            do="load the base in fp32 and this folder as kind: lora, then merge (model.assemble.merged does it)",
        )
    return lora.merge(model)


def require() -> None:
    """Say early that bitsandbytes is missing.

    Raises:
        MissingExtra: it is.
    """
    if importlib.util.find_spec("bitsandbytes") is None:
        raise MissingExtra("bitsandbytes", extra="qlora", use="A base in 4 bits (adapter.kind: qlora)")


def quantise(model: Any, how: dict[str, Any]) -> None:
    """Put the named parts of a transformers model into 4 bits, in place, one after another.

    Args:
        how: ``names`` of linear modules and experts' parameters, and ``double_quant``.

    Raises:
        MissingExtra: bitsandbytes is not installed.
        BaseModelError: the base lacks one of the parts.
    """
    require()
    # It warns on a CPU that a faster kernel is to be had from the hub, which nobody asked for.
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
    from yibu.adapters._four_bits import quantise_linear, quantise_parameter

    parameters = {name for name, _ in model.named_parameters()}
    for name in how["names"]:
        if name in parameters:
            quantise_parameter(model, name, how["double_quant"], BLOCK)
        elif f"{name}.weight" in parameters:
            quantise_linear(model, name, how["double_quant"], BLOCK)
        else:
            raise BaseModelError(
                "The adapter was trained on a base of another kind.",
                got=f"no {name}",
                allowed="a base that has every part that was put into 4 bits",
                do="load it on its own base",
            )


def _layers() -> dict[type, Callable[..., Any]]:
    from yibu.adapters._four_bits import layer_classes

    return layer_classes()
