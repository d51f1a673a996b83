"""Bottleneck adapters: a small MLP beside or behind each attention and each MLP of the base.

peft has none, and the package ``adapters`` cannot live with transformers 5, so they are yibu's own.

===========================  ===============================================================================
``form: serial``             behind a block, with a residual of its own (Houlsby et al. 2019, arXiv 1902.00751)
``places: [mlp]``, serial    behind the MLP alone (Pfeiffer et al. 2020, arXiv 2005.00247)
``form: parallel``           beside a block, reading its input, scaled (He et al. 2021, arXiv 2110.04366)
===========================  ===============================================================================
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from yibu.adapters import Plan, PlannedClass, check_attached
from yibu.adapters._layers import Layers, chosen_layers, depth_of, is_chosen
from yibu.adapters._origin import check_mark, mark_of, write_tensors
from yibu.adapters._targets import modules_by_role
from yibu.adapters.lora import GATE
from yibu.core.architecture import Facts
from yibu.core.errors import BaseModelError, InputError, RecipeError
from yibu.core.recipe import Settings as BaseSettings

CONFIG = "bottleneck_config.json"
WEIGHTS = "bottleneck.safetensors"
Place = Literal["attention", "mlp"]


class Settings(BaseSettings):
    """A bottleneck of ``2 * width * hidden`` numbers at each place of each layer."""

    kind: Literal["bottleneck"] = "bottleneck"
    form: Literal["parallel", "serial"] = Field("parallel", description="beside a block, or behind it")
    places: tuple[Place, ...] = Field(("attention", "mlp"), description="attention, mlp, or both")
    width: int = Field(32, ge=1, description="features between the two matrices")
    scale: float = Field(1.0, gt=0, description="constant factor (He et al. take 4 for parallel)")
    activation: Literal["relu", "gelu", "silu"] = "relu"
    dropout: float = Field(0.0, ge=0, lt=1, description="share of the inner features that training drops")
    layers: Layers = "all"

    @field_validator("places")
    @classmethod
    def _each_once(cls, places: tuple[Place, ...]) -> tuple[Place, ...]:
        if not places or len(set(places)) < len(places):
            raise ValueError("name attention, mlp or both, each once")
        return places


def plan(model: Any, facts: Facts, settings: Settings) -> Plan:
    """Which blocks would get a bottleneck.

    A block is a child of a layer that holds linear layers or experts: attention by its name, any other an MLP (dense,
    or a mixture as a whole, whose bottleneck every token passes whatever the router does).

    Raises:
        RecipeError: layers beyond the depth, or a place that the base does not have.
    """
    blocks = _blocks(model, facts)
    chosen = chosen_layers(settings.layers, depth_of(model))
    classes = tuple(_planned(model, place, blocks, chosen, settings) for place in settings.places)
    return Plan(classes, sum(parameter.numel() for parameter in model.parameters()))


def attach(model: Any, plan: Plan, settings: Settings, linear_class: type | None = None) -> Any:
    """The model with fresh bottlenecks, fp32, which change nothing yet; the model is changed in place.

    Raises:
        TrainingError: something else was adapted than planned.
    """
    from yibu.adapters._adapted import Adapted

    mark = mark_of(model)
    model.requires_grad_(False)
    add(model, plan, settings)
    tuned = Adapted(model, {"base": mark, "settings": settings.as_config()}, _switches(model))
    check_attached(tuned, plan)
    return tuned


def add(model: Any, plan: Plan, settings: Settings, gated: bool = False) -> None:
    """Hang the planned bottlenecks into a transformers model."""
    from yibu.adapters._bottleneck import Bottleneck, hang

    for planned in plan.classes:
        for name in planned.names if planned.kind == "bottleneck" else ():
            block = model.get_submodule(name)
            made = Bottleneck(
                model.config.get_text_config().hidden_size,
                settings.width,
                settings.scale,
                settings.activation,
                settings.dropout,
                gated,
            )
            hang(block, made.to(next(block.parameters()).device).train(model.training), settings.form)


def save(model: Any, folder: Path, base: str | None = None) -> None:
    """Write ``bottleneck.safetensors`` and ``bottleneck_config.json`` (settings, blocks, and the mark of the base)."""
    from yibu.adapters._bottleneck import bottlenecks

    names = sorted(bottlenecks(model.get_base_model()))
    record = {**model.record, "base_model_name_or_path": base, "blocks": names}
    write(model, folder, record)


def write(model: Any, folder: Path, record: dict[str, Any]) -> None:
    """Write a record, and every tensor that peft does not save: bottlenecks and gates."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = _own_tensors(model.get_base_model())
    write_tensors({name: tensors[name] for name in sorted(tensors)}, folder / WEIGHTS, {})
    text = json.dumps(record, indent=2, sort_keys=True, ensure_ascii=False)
    (folder / CONFIG).write_text(text + "\n", encoding="utf-8")


def load(model: Any, folder: Path, linear_class: type | None = None, trainable: bool = False) -> Any:
    """The model with saved bottlenecks; the model is changed in place.

    Raises:
        BaseModelError: no bottleneck adapter lies there, or one of another base.
        TrainingError: its tensors do not fit this base.
    """
    from yibu.adapters._adapted import Adapted

    record = read(folder)
    check_mark(model, record["base"])
    settings = Settings.model_validate(record["settings"])
    model.requires_grad_(False)
    hang_saved(model, record["blocks"], settings)
    fill(model, folder, trainable)
    return Adapted(model, {key: record[key] for key in ("base", "settings")}, _switches(model)).eval()


def read(folder: Path) -> dict[str, Any]:
    """The record of a saved adapter.

    Raises:
        BaseModelError: there is none, or it is damaged.
    """
    if not (folder / CONFIG).is_file() or not (folder / WEIGHTS).is_file():
        raise BaseModelError(
            "There is no bottleneck adapter in this folder.", got=folder, allowed=f"{CONFIG} and {WEIGHTS}"
        )
    try:
        record = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except ValueError as error:
        raise BaseModelError("The record of the adapter is not JSON.", got=folder / CONFIG) from error
    if not isinstance(record, dict) or not {"base", "settings", "blocks"} <= set(record):
        raise BaseModelError("The record of the adapter is not whole.", got=folder / CONFIG)
    return record


def hang_saved(model: Any, names: list[str], settings: Settings, gated: bool = False) -> None:
    """Hang empty bottlenecks into the named blocks, to be filled.

    Raises:
        TrainingError: the base has no such block.
    """
    there = {name for name, _ in model.named_modules()}
    if missing := sorted(set(names) - there):
        raise BaseModelError(
            "The adapter does not fit this base.",
            got=f"blocks that it lacks: {', '.join(missing[:3])}",
            allowed="a base that has every block of the adapter",
            do="load it on the base it was trained on",
        )
    add(model, Plan((PlannedClass("block", "bottleneck", tuple(names), (), 0, 0, 0),), 0), settings, gated)


def fill(model: Any, folder: Path, trainable: bool) -> None:
    """Read the saved tensors into bottlenecks and gates.

    Raises:
        TrainingError: a tensor that finds no place, or a place that finds none.
    """
    import torch
    from safetensors.torch import load_file

    stored, places = load_file(folder / WEIGHTS), _own_tensors(model)
    wrong = sorted(set(stored) ^ set(places))
    wrong += sorted(name for name in set(stored) & set(places) if stored[name].shape != places[name].shape)
    if wrong:
        raise BaseModelError(
            "The adapter does not fit this base: its answers would be wrong without an error.",
            got=f"{len(wrong)} tensors, among them {', '.join(wrong[:3])}",
            allowed=f"every tensor of {WEIGHTS} in its place",
            do="load it on the base it was trained on",
        )
    with torch.no_grad():
        for name, parameter in places.items():
            parameter.copy_(stored[name])
            parameter.requires_grad_(trainable)


def merge(model: Any) -> Any:
    """Always refused.

    Raises:
        InputError: there is an activation between the two matrices, so no weight of the base could hold them.
    """
    raise InputError(
        "A bottleneck adapter cannot be merged: a function that is not linear lies between its two matrices.",
        do="serve the base with the adapter beside it, or train kind: lora, which can be merged",
    )


def _switches(model: Any) -> list[Any]:
    from yibu.adapters._bottleneck import bottlenecks

    return list(bottlenecks(model).values())


def _own_tensors(causal: Any) -> dict[str, Any]:
    """Parameters of bottlenecks and of LoRA's gates, by their name in the transformers model."""
    return {name: parameter for name, parameter in causal.named_parameters() if ".bottleneck." in name or GATE in name}


def _blocks(model: Any, facts: Facts) -> dict[str, list[str]]:
    """Place -> whole names of its blocks, in the order of the model."""
    found: dict[str, dict[str, None]] = {"attention": {}, "mlp": {}}
    for role, names in modules_by_role(model, facts).items():
        kinds = {r.kind for r in facts.roles if r.name == role}
        for name in names if kinds <= {"linear", "grouped", "experts"} else ():
            parts = name.split(".")
            number = next((place for place, part in enumerate(parts) if part.isdigit()), len(parts))
            if number + 2 < len(parts):  # layers.<number>.<block>.<module>
                place = "attention" if "att" in parts[number + 1] else "mlp"
                found[place][".".join(parts[: number + 2])] = None
    order = {name: place for place, (name, _) in enumerate(model.named_modules())}
    return {place: sorted(names, key=order.__getitem__) for place, names in found.items()}


def _planned(
    model: Any, place: Place, blocks: dict[str, list[str]], chosen: frozenset[int], settings: Settings
) -> PlannedClass:
    names = tuple(name for name in blocks[place] if is_chosen(name, chosen))
    if not names:
        raise RecipeError(
            f"This base has no {place} that a bottleneck could hang on.",
            got=type(model).__name__,
            allowed=[other for other, there in blocks.items() if there],
            do="name another of adapter.places",
        )
    hidden = int(model.config.get_text_config().hidden_size)
    each = 2 * settings.width * hidden + settings.width + hidden
    return PlannedClass(
        role=f"{place}_bottleneck",
        kind="bottleneck",
        names=names,
        shapes=((settings.width, hidden), (hidden, settings.width)),
        rank=settings.width,
        base_parameters=sum(p.numel() for name in names for p in model.get_submodule(name).parameters()),
        parameters=len(names) * each,
    )
