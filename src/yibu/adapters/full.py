"""Full fine-tuning: the base's own weights are trained. The reference that every adapter is measured against.

Memory, in bytes for each trained number: 4 for its fp32 master, 4 for its gradient, 8 for AdamW's two averages, and in
16 bits 2 more for the copy that a layer computes with; LoRA needs 2 for a frozen number and 16 only for its own few. A
7B base wants 110 to 130 GB, more than one card. What is saved is every trained weight whole, in fp32 (4 bytes each): a
difference would be as large and would not give the same bits back.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from yibu.adapters import Plan, PlannedClass, check_attached
from yibu.adapters._layers import Layers, chosen_layers, depth_of, is_chosen
from yibu.adapters._origin import check_mark, mark_of, write_tensors
from yibu.core.architecture import Facts, Role
from yibu.core.errors import BaseModelError, RecipeError, TrainingError, nearest
from yibu.core.recipe import Settings as BaseSettings

MASTERS = True
CONFIG = "full_config.json"
WEIGHTS = "full.safetensors"
_ENDS = ("embedding", "head")


class Settings(BaseSettings):
    """Which weights of the base are trained.

    ``targets: all`` leaves out what no gradient reaches (the indexer of sparse attention), and parts that the facts of
    the architecture call optional and leave alone (V4's compressor, which short rows never reach; Gemma 3's eyes).
    """

    kind: Literal["full"] = "full"
    embeddings: bool = Field(True, description="train the embedding and the output layer too")
    targets: Literal["all"] | tuple[str, ...] = Field("all", description="all, or names of roles from the base's facts")
    layers: Layers = "all"


def plan(model: Any, facts: Facts, settings: Settings) -> Plan:
    """What would be trained: whole parameters by role.

    Raises:
        RecipeError: a role or layer that this base does not have.
        TrainingError: a parameter that no role names.
    """
    found = _parameters_by_role(model, facts)
    wanted = _wanted(facts, found, settings)
    chosen = chosen_layers(settings.layers, depth_of(model))
    classes = []
    for role, names in found.items():
        if role not in wanted:
            continue
        # With some layers only, what lies outside of them (last norm, embedding, output layer) stays as it is.
        kept = names if settings.layers == "all" else [name for name in names if is_chosen(name, chosen)]
        if kept:
            classes.append(_planned(model, role, kept))
    if not classes:
        raise RecipeError("Nothing would be trained.", got=settings.as_config(), allowed=sorted(found))
    return Plan(tuple(classes), sum(parameter.numel() for parameter in model.parameters()))


def attach(model: Any, plan: Plan, settings: Settings, linear_class: type | None = None) -> Any:
    """The model with its planned weights thawed and all others frozen.

    Raises:
        TrainingError: something else is trained than planned.
    """
    from yibu.adapters._adapted import Adapted

    mark = mark_of(model)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in plan.names)
    tuned = Adapted(model, {"base": mark, "settings": settings.as_config()}, None)
    check_attached(tuned, plan)
    return tuned


def save(model: Any, folder: Path, base: str | None = None) -> None:
    """Write ``full.safetensors`` (every trained weight, fp32) and ``full_config.json``."""
    from yibu.adapters import adapted_name

    folder.mkdir(parents=True, exist_ok=True)
    names = model.record.get("names")
    tensors = {
        adapted_name(name): parameter.detach().float()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad or (names is not None and adapted_name(name) in names)
    }
    write_tensors({name: tensors[name] for name in sorted(tensors)}, folder / WEIGHTS, {})
    record = {key: model.record[key] for key in ("base", "settings")} | {"base_model_name_or_path": base}
    text = json.dumps(record, indent=2, sort_keys=True, ensure_ascii=False)
    (folder / CONFIG).write_text(text + "\n", encoding="utf-8")


def load(model: Any, folder: Path, linear_class: type | None = None, trainable: bool = False) -> Any:
    """The base with its trained weights put in, in the type of the base; the model is changed in place.

    Raises:
        BaseModelError: no trained weights lie there, or those of another base.
        TrainingError: they do not fit this base.
    """
    import torch
    from safetensors.torch import load_file

    from yibu.adapters._adapted import Adapted

    record = _read(folder)
    check_mark(model, record["base"])
    stored, places = load_file(folder / WEIGHTS), dict(model.named_parameters())
    wrong = sorted(n for n, value in stored.items() if n not in places or places[n].shape != value.shape)
    if wrong or not stored:
        raise BaseModelError(
            "The trained weights do not fit this base: its answers would be wrong without an error.",
            got=f"{len(wrong)} tensors, among them {', '.join(wrong[:3])}" if wrong else f"an empty {WEIGHTS}",
            allowed=f"every tensor of {WEIGHTS} in its place",
            do="load them on the base they were trained on",
        )
    model.requires_grad_(False)
    with torch.no_grad():
        for name, value in stored.items():
            places[name].copy_(value)
            places[name].requires_grad_(trainable)
    kept = {key: record[key] for key in ("base", "settings")}
    return Adapted(model, {**kept, "names": frozenset(stored)}, None).eval()


def merge(model: Any) -> Any:
    """The tuned model as a plain transformers model, in fp32."""
    from yibu.adapters._adapted import fold_masters

    fold_masters(model)
    return model.get_base_model().float().requires_grad_(False)


def _parameters_by_role(model: Any, facts: Facts) -> dict[str, list[str]]:
    """Role -> whole names of its parameters; a parameter has the role of its own name, or that of its module."""
    found: dict[str, list[str]] = {}
    unknown = []
    for name, _ in model.named_parameters():
        role = facts.role_of(name) or facts.role_of(name.rpartition(".")[0])
        if role is None:
            unknown.append(name)
        else:
            found.setdefault(role.name, []).append(name)
    if unknown:
        raise TrainingError(
            f"Weights of this base have no role in the facts of {facts.name}, so they would not be trained.",
            got=unknown[:6],
            do="add the role to the architecture's file in yibu/bases, or report it with `yibu doctor`",
        )
    return found


def _wanted(facts: Facts, found: dict[str, list[str]], settings: Settings) -> set[str]:
    roles = {role.name: role for role in facts.roles if role.name in found}
    if settings.targets != "all":
        for target in settings.targets:
            if target not in roles:
                close = nearest(target, roles)
                raise RecipeError(
                    f"adapter.targets names a role that this base ({facts.name}) does not have.",
                    got=target,
                    allowed=["all", *roles],
                    do=f"did you mean {close!r}?" if close else "name some of the allowed ones, or set targets: all",
                )
        return set(settings.targets)
    return {name for name, role in roles.items() if _by_default(role, settings)}


def _by_default(role: Role, settings: Settings) -> bool:
    if role.kind in _ENDS:
        return settings.embeddings
    if role.kind == "indexer":
        return False
    return role.adapt or role.kind == "experts" or not role.optional


def _planned(model: Any, role: str, names: list[str]) -> PlannedClass:
    weights = [model.get_parameter(name) for name in names]
    total = sum(weight.numel() for weight in weights)
    shapes = tuple(sorted({tuple(weight.shape) for weight in weights}))
    return PlannedClass(role, "whole", tuple(names), shapes, 0, total, total)


def _read(folder: Path) -> dict[str, Any]:
    if not (folder / CONFIG).is_file() or not (folder / WEIGHTS).is_file():
        raise BaseModelError(
            "There are no trained weights in this folder.", got=folder, allowed=f"{CONFIG} and {WEIGHTS}"
        )
    try:
        record = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except ValueError as error:
        raise BaseModelError("The record of the trained weights is not JSON.", got=folder / CONFIG) from error
    if not isinstance(record, dict) or not {"base", "settings"} <= set(record):
        raise BaseModelError("The record of the trained weights is not whole.", got=folder / CONFIG)
    return record
