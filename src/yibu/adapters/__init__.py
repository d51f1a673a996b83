"""Adapters: small trained parts around a frozen base.

One file is one kind. A plug defines

- ``Settings``: its table in the recipe, with a literal ``kind``;
- ``plan(model, facts, settings) -> Plan``: what would be adapted, read off the model itself;
- ``attach(model, plan, settings, linear_class=None)``: the model with a fresh adapter that changes nothing yet;
- ``save(model, folder, base=None)``: a folder of JSON and safetensors; a plain PEFT folder wherever peft has the kind;
- ``load(model, folder, linear_class=None, trainable=False)``: the model with a saved adapter;
- ``merge(model)``: the base with the adapter added into its weights, in fp32; or an `InputError` that says why this
  kind cannot be merged.

and, where it has reason to,

- ``MASTERS = True``: weights of the base itself are trained, so they are read in fp32 and stay fp32 (`hold_masters`);
- ``SHRINKS = True``: `attach` and `load` make the base smaller, so it is read into main memory first and moved then;
- ``require()``: raises `MissingExtra` where a package is missing that the kind needs;
- ``adapted(model)``: whole names of what carries an adapter, where `adapted_targets` cannot see it;
- ``initialise(model, settings, run_sample)``: values that need data; called once before the first step.

A plan is written down before the first step and compared with what is really there (`check_attached`), because peft
may adapt other modules than it was asked for without a word.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from yibu.core.errors import TrainingError
from yibu.core.plugs import Family


class AdapterFamily(Family):
    """The family, with kinds whose name cannot be the name of a file."""

    FILES: ClassVar[Mapping[str, str]] = {"lora+bottleneck": "joint"}

    def names(self) -> list[str]:
        """All known kinds, sorted."""
        kinds = {file: kind for kind, file in self.FILES.items()}
        return sorted(kinds.get(name, name) for name in super().names())

    def _target(self, name: str) -> str:
        return super()._target(self.FILES.get(name, name))


FAMILY = AdapterFamily(__name__, requires=("Settings", "plan", "attach", "save", "load", "merge"))


@dataclass(frozen=True)
class PlannedClass:
    """All modules of one role.

    Attributes:
        role: name of the role in the base's facts.
        kind: ``linear``, ``grouped`` or ``experts`` for low-rank updates; ``bottleneck``; ``whole`` for weights of the
            base that are trained themselves.
        names: whole names of the modules, or of the parameters for experts and whole weights.
        shapes: the different weight shapes among them.
        rank: rank of the update of one matrix (of one expert, for experts), width of a bottleneck, 0 for whole weights.
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


_OWN = (".lora_", ".update_gate.", ".bottleneck.")


def adapted_name(parameter: str) -> str:
    """Name in the base of the module that carries a trained parameter; of the parameter, if it is the base's own.

    ``base_model.model.model.layers.0.mlp.experts.base_layer.lora_A.default.weight`` becomes
    ``model.layers.0.mlp.experts``.
    """
    name = parameter.removeprefix("network.").removeprefix("base_model.model.")
    for mark in _OWN:
        name = name.partition(mark)[0]
    name = re.sub(r"\.parametrizations\.(\w+)\.original$", r".\1", name)
    return name.replace(".base_layer", "")


def adapted_targets(model: Any) -> list[str]:
    """Whole base names of all modules and parameters that carry an adapter or are trained, read off a model."""
    from peft.tuners.lora import ParamWrapper
    from peft.tuners.tuners_utils import BaseTunerLayer
    from torch import nn

    targets = []
    for name, module in model.named_modules():
        if name.endswith(".bottleneck"):
            targets.append(adapted_name(f"{name}."))
        if not isinstance(module, BaseTunerLayer):
            continue
        target = adapted_name(name)
        if isinstance(module, ParamWrapper) and not isinstance(module.get_base_layer(), nn.Linear):
            target = f"{target}.{module.parameter_name}"
        targets.append(target)
    targets += [
        adapted_name(name)
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and not any(mark in name for mark in _OWN)
    ]
    return sorted(targets)


def parameter_groups(
    trainable: Mapping[str, Any], settings: Any, lr: float, weight_decay: float = 0.0
) -> list[dict[str, Any]]:
    """Groups for AdamW, in the order of `trainable` within each; one group where nothing differs.

    With LoRA+ (Hayou et al. 2024, arXiv 2402.12354) the matrices B learn ``lr_ratio`` times faster than the rest.
    Weight decay leaves out vectors (norms, biases, DoRA's magnitudes), which it would pull to 0 and not to where they
    were.

    Args:
        trainable: name -> parameter.
        settings: the adapter's; ``lr_ratio`` is asked of it.
        lr: learning rate of a group with the ratio 1.

    Returns:
        Tables with ``params``, ``lr``, ``weight_decay``, and ``ratio``, by which a schedule has to multiply its rate.
    """
    ratio = float(getattr(settings, "lr_ratio", 1.0))
    groups: dict[tuple[float, float], list[Any]] = {}
    for name, parameter in trainable.items():
        decay = 0.0 if parameter.ndim < 2 else weight_decay
        groups.setdefault((ratio if ".lora_B." in name else 1.0, decay), []).append(parameter)
    return [
        {"params": params, "lr": lr * factor, "weight_decay": decay, "ratio": factor}
        for (factor, decay), params in groups.items()
    ]


def hold_masters(model: Any, dtype: Any) -> None:
    """Let a model whose own weights are trained compute in `dtype`, the trained weights staying fp32."""
    from yibu.adapters._adapted import compute_in

    compute_in(model, dtype)


def check_attached(model: Any, plan: Plan, targets: Sequence[str] | None = None) -> None:
    """Compare what is adapted with the plan: the same modules, the same number of trained parameters, nothing else.

    Args:
        targets: names of what is adapted; None reads them off the model.

    Raises:
        TrainingError: names what is missing and what is there too much.
    """
    found = Counter(adapted_targets(model) if targets is None else targets)
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
