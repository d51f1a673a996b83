"""What peft is told, and what it makes of it: roles become names of modules, names become peft's targets.

peft rewrites some targets in silence: on every architecture whose experts transformers fuses, a target named
``gate_proj``, ``up_proj`` or ``down_proj`` becomes "the routed experts", and the shared expert or dense layer that was
meant gets nothing. Such layers are therefore named by their weight (``target_parameters``), which peft leaves alone;
the folder that is saved says the same, so that plain peft loads it to the same weights.

By its weight, peft would adapt a layer as ``(W + BA) x``, which costs a full weight gradient and knows no dropout.
Here every `nn.Linear` gets a real LoRA layer, ``W x + B A x``, through peft's registry of custom layers: equal weights,
equal file. Only parameters that no linear layer owns (experts ``[num_experts, out, in]``) keep peft's wrapper.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from yibu.adapters import Plan
from yibu.core.architecture import Facts
from yibu.core.errors import TrainingError


def modules_by_role(model: Any, facts: Facts) -> dict[str, list[str]]:
    """Role -> whole names of its linear modules and expert parameters."""
    from torch import nn

    head = model.get_output_embeddings()
    found: dict[str, list[str]] = {}
    unknown = []
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and module is not head:
            role = facts.role_of(name)
            if role is None:
                unknown.append(name)
            else:
                found.setdefault(role.name, []).append(name)
    for name, parameter in model.named_parameters():
        if parameter.ndim == 3 and (role := facts.role_of(name)) is not None and role.kind == "experts":
            found.setdefault(role.name, []).append(name)
    if unknown:
        raise TrainingError(
            f"Linear layers of this base have no role in the facts of {facts.name}, so they would not be trained.",
            got=unknown[:6],
            do="add the role to the architecture's file in yibu/bases, or report it with `yibu doctor`",
        )
    return found


def peft_targets(model: Any, plan: Plan) -> tuple[list[str], list[str]]:
    """The plan as peft's ``target_modules`` and ``target_parameters``, each name as short as it can be."""
    modules: set[str] = set()
    parameters: set[str] = set()
    linear = [name for planned in plan.classes if planned.kind == "linear" for name in planned.names]
    rewritten = rewritten_by_peft(model, {name.rpartition(".")[2] for name in linear})
    for planned in plan.classes:
        for name in planned.names:
            if planned.kind == "experts":
                parameters.add(name)
            elif planned.kind == "grouped" or name.rpartition(".")[2] in rewritten:
                parameters.add(f"{name}.weight")
            else:
                modules.add(name)
    return (
        _shortest(modules, [name for name, _ in model.named_modules()], least=1),
        _shortest(parameters, [name for name, _ in model.named_parameters()], least=2),
    )


def rewritten_by_peft(model: Any, leaves: Collection[str]) -> set[str]:
    """Which of these module names peft would turn into other targets for this model.

    Asked of peft itself, so that a version that no longer does it, or does it to more, is followed.
    """
    from peft import LoraConfig
    from peft.utils.transformers_weight_conversion import convert_peft_config_for_transformers

    rewritten = set()
    for leaf in leaves:
        probe = LoraConfig(target_modules=[leaf])
        try:
            convert_peft_config_for_transformers(probe, model=model, conversions=None)
        except ValueError:  # it would, and asks for a companion that is fused with this one
            rewritten.add(leaf)
        else:
            if leaf not in probe.target_modules:
                rewritten.add(leaf)
    return rewritten


def _shortest(wanted: set[str], names: list[str], least: int) -> list[str]:
    """Shortest dotted endings, of `least` parts or more, that match the wanted names and no other as peft matches."""
    endings: set[str] = set()
    for name in sorted(wanted):
        parts = name.split(".")
        ends = [".".join(parts[-length:]) for length in range(least, len(parts) + 1)]
        if endings.isdisjoint(ends):
            endings.add(next(end for end in ends if {n for n in names if f".{n}".endswith(f".{end}")} <= wanted))
    return sorted(endings)


def without_layer(name: str) -> str:
    """The part of a name behind the number of its layer."""
    return re.sub(r".*\.\d+\.", "", name)


def layer_classes(
    model: Any,
    grouped: Collection[str],
    linear_class: type | None,
    own: Mapping[type, Callable[..., Any]],
) -> dict[type, Callable[..., Any]]:
    """Module class -> class of its LoRA layer; layers that compute by group keep peft's wrapper of a parameter.

    Args:
        grouped: names of modules that compute by group.
        linear_class: for `nn.Linear`; None is peft's.
        own: what is asked before all others. (peft takes the first class that a module is an instance of.)
    """
    from peft.tuners.lora import Linear, ParamWrapper
    from torch import nn

    classes: dict[type, Callable[..., Any]] = {type(model.get_submodule(name)): ParamWrapper for name in grouped}
    return {
        **own,
        **{kind: layer for kind, layer in classes.items() if kind not in own},
        nn.Linear: linear_class or Linear,
    }


def grouped_targets(model: Any, config: Any) -> list[str]:
    """Modules that an adapter's config names by their weight and that are more than an `nn.Linear`."""
    from torch import nn

    endings = tuple(f".{target}" for target in config.target_parameters or ())
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and type(module) is not nn.Linear and f".{name}.weight".endswith(endings)
    ]


@contextmanager
def quiet_peft() -> Iterator[None]:
    """Without two warnings that are not the user's: of a rank pattern that matched no module (peft looks at modules
    only, ours name parameters), and of a name that peft still uses and transformers has changed."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning, message="`is_gradient_checkpointing`")
        warnings.filterwarnings("ignore", message=r"The following (rank|alpha)_pattern keys did not match")
        yield
