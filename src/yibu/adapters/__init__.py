"""Adapters: small trained parts around a frozen base.

One file is one kind. A plug defines

- ``Settings``: its table in the recipe, with a literal ``kind``;
- ``plan(model, facts, settings) -> Plan``: what would be adapted, read off the model itself;
- ``attach(model, plan, settings, linear_class=None)``: the model with a fresh adapter that changes nothing yet;
- ``save(model, folder, base=None)``: a plain PEFT folder, in safetensors;
- ``load(model, folder, linear_class=None, trainable=False)``: the model with a saved adapter;
- ``merge(model)``: the base with the adapter added into its weights, in fp32.

A plan is written down before the first step and compared with what is really there (`check_attached`), because peft
may adapt other modules than it was asked for without a word.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from yibu.core.errors import TrainingError
from yibu.core.plugs import Family

FAMILY = Family(__name__, requires=("Settings", "plan", "attach", "save", "load", "merge"))


class Role(Protocol):
    """What an adapter needs of `yibu.bases.Role`; families do not import each other."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def adapt(self) -> bool: ...
    @property
    def optional(self) -> bool: ...


class Facts(Protocol):
    """What an adapter needs of `yibu.bases.Facts`."""

    @property
    def name(self) -> str: ...
    @property
    def roles(self) -> Sequence[Role]: ...
    def role_of(self, name: str) -> Role | None: ...


@dataclass(frozen=True)
class PlannedClass:
    """All modules of one role.

    Attributes:
        role: name of the role in the base's facts.
        kind: ``linear``, ``grouped`` or ``experts``.
        names: whole names of the modules, or of the parameters for experts.
        shapes: the different weight shapes among them.
        rank: rank of the update of one matrix (of one expert, for experts).
        base_parameters: frozen numbers in these modules.
        parameters: numbers that the adapter trains.
    """

    role: str
    kind: str
    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    rank: int
    base_parameters: int
    parameters: int


@dataclass(frozen=True)
class Plan:
    """What will be adapted, before anything is.

    Attributes:
        classes: one entry per role.
        total_parameters: numbers in the base.
    """

    classes: tuple[PlannedClass, ...]
    total_parameters: int

    @property
    def parameters(self) -> int:
        """Numbers that the adapter trains."""
        return sum(planned.parameters for planned in self.classes)

    @property
    def names(self) -> frozenset[str]:
        """Whole names of every module and parameter that is adapted."""
        return frozenset(name for planned in self.classes for name in planned.names)

    def table(self) -> list[dict[str, Any]]:
        """One row per class, for ``plan.json``; `share` is of the base's parameters."""
        return [
            {
                "role": planned.role,
                "kind": planned.kind,
                "num_modules": len(planned.names),
                "example": planned.names[0],
                "shapes": [list(shape) for shape in planned.shapes],
                "rank": planned.rank,
                "base_parameters": planned.base_parameters,
                "parameters": planned.parameters,
                "share": planned.parameters / self.total_parameters,
            }
            for planned in self.classes
        ]

    def role_of(self, parameter: str) -> str:
        """Role that a trained parameter belongs to.

        Args:
            parameter: its name in the adapted model.

        Raises:
            TrainingError: it belongs to no planned class.
        """
        role = self._roles.get(adapted_name(parameter))
        if role is None:
            raise TrainingError("A parameter would be trained that no planned class holds.", got=parameter)
        return role

    @cached_property
    def _roles(self) -> dict[str, str]:
        roles: dict[str, str] = {}
        for planned in self.classes:
            for name in planned.names:
                # peft hangs the adapter of an expert's parameter on the module that owns the parameter.
                roles[name.rpartition(".")[0] if planned.kind == "experts" else name] = planned.role
        return roles


def adapted_name(parameter: str) -> str:
    """Name in the base of the module that carries a peft parameter.

    ``base_model.model.model.layers.0.mlp.experts.base_layer.lora_A.default.weight`` becomes
    ``model.layers.0.mlp.experts``.
    """
    return parameter.removeprefix("base_model.model.").partition(".lora_")[0].replace(".base_layer", "")


def adapted_targets(model: Any) -> list[str]:
    """Whole base names of all modules and parameters that carry an adapter, read off a peft model."""
    from peft.tuners.lora import ParamWrapper
    from peft.tuners.tuners_utils import BaseTunerLayer
    from torch import nn

    targets = []
    for name, module in model.named_modules():
        if not isinstance(module, BaseTunerLayer):
            continue
        target = name.removeprefix("base_model.model.").replace(".base_layer", "")
        if isinstance(module, ParamWrapper) and not isinstance(module.get_base_layer(), nn.Linear):
            target = f"{target}.{module.parameter_name}"
        targets.append(target)
    return sorted(targets)


def check_attached(model: Any, plan: Plan) -> None:
    """Compare what is adapted with the plan: the same modules, the same number of trained parameters, nothing else.

    Raises:
        TrainingError: names what is missing and what is there too much.
    """
    found = Counter(adapted_targets(model))
    missing = sorted(plan.names - set(found))
    extra = sorted(set(found) - plan.names) + sorted(name for name, count in found.items() if count > 1)
    if missing or extra:
        raise TrainingError(
            "The modules that carry an adapter are not those of the plan."
            f"\n  planned, without adapter: {_some(missing)}\n  adapted, not planned (or twice): {_some(extra)}",
            got=f"{len(found)} adapted modules",
            allowed=f"the {len(plan.names)} of the plan",
            do="report the architecture and the versions of peft and transformers (`yibu doctor`)",
        )
    trained: Counter[str] = Counter()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            trained[plan.role_of(name)] += parameter.numel()
    wrong = {
        planned.role: f"{trained[planned.role]:,} in place of {planned.parameters:,}"
        for planned in plan.classes
        if trained[planned.role] != planned.parameters
    }
    if wrong:
        raise TrainingError(
            "The adapter has another size than planned.",
            got="; ".join(f"{role}: {sizes} parameters" for role, sizes in wrong.items()),
        )


def _some(names: Sequence[str], limit: int = 6) -> str:
    if not names:
        return "none"
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
