"""A mixture with fewer experts: those stay that the domain's rows are sent to most.

Legend: E experts of a layer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from yibu.core.architecture import Facts
from yibu.core.errors import InputError

_COUNTS = ("n_routed_experts", "num_local_experts", "num_experts")  # names of E in configs
_GROUPS = ("n_group", "num_group")
_OF_EXPERTS = ("experts", "router")


def drop_experts(model: Any, facts: Facts, shares: Mapping[int, Sequence[float]], keep: int) -> dict[int, list[int]]:
    """Keep `keep` routed experts of every layer, in the model and in its config; the numbers of those that stay.

    Where the router chooses groups of experts first, every group keeps equally many.

    Raises:
        InputError: no mixture, or a number that the router cannot work with.
    """
    config = model.config.get_text_config()
    keys = [key for key in _COUNTS if isinstance(config.to_dict().get(key), int)]
    if not shares or not keys:
        raise InputError(
            "There are no routed experts that could be dropped.",
            got=f"{type(model).__name__}, architecture {facts.name}",
            do="leave compress.prune.experts out",
        )
    total = int(getattr(config, keys[0]))
    groups = max(1, *(int(getattr(config, key, None) or 1) for key in _GROUPS))
    least = max(int(config.num_experts_per_tok), groups)
    if not least <= keep < total or keep % groups:
        raise InputError(
            "So many experts cannot stay.",
            got=f"experts: {keep}",
            allowed=f"{least} to {total - 1}" + (f", a multiple of the router's {groups} groups" if groups > 1 else ""),
        )
    kept = {layer: _most_used(values, keep, groups) for layer, values in shares.items()}
    for layer, module, owner in _parts(model, facts):
        if layer not in kept:
            raise InputError(
                "The experts of this layer are not chosen by a router that was listened to (a table of tokens may "
                "choose them), so none can be dropped.",
                got=f"layer {layer}",
                do="leave compress.prune.experts out",
            )
        _take(module, kept[layer], total, owner)
    for key in keys:
        setattr(config, key, keep)
    return kept


def _most_used(shares: Sequence[float], keep: int, groups: int) -> list[int]:
    size = len(shares) // groups
    chosen: list[int] = []
    for group in range(groups):
        members = range(group * size, (group + 1) * size)
        chosen += sorted(members, key=lambda expert: -shares[expert])[: keep // groups]
    return sorted(chosen)


def _parts(model: Any, facts: Facts) -> list[tuple[int, Any, str]]:
    """Layer, module and role of all that has one entry for each routed expert."""
    found: dict[tuple[int, str], tuple[int, Any, str]] = {}
    names = [name for name, _ in model.named_modules()] + [name for name, _ in model.named_parameters()]
    for name in names:
        role, number = facts.role_of(name), re.search(r"\.layers\.(\d+)\.", name)
        if role is None or role.kind not in _OF_EXPERTS or number is None:
            continue
        owner = name if role.kind == "router" else name.rpartition(".")[0]
        if owner.endswith(".weight"):
            continue
        found[int(number.group(1)), owner] = (int(number.group(1)), model.get_submodule(owner), role.kind)
    return [found[key] for key in sorted(found)]


def _take(module: Any, kept: Sequence[int], total: int, owner: str) -> None:
    """The rows of these experts, of every weight and buffer that has one for each."""
    import torch
    from torch import nn

    places = torch.tensor(list(kept))
    for name, parameter in list(module.named_parameters(recurse=False)):
        if parameter.shape[0] == total:
            setattr(module, name, nn.Parameter(parameter.detach()[places].clone(), requires_grad=False))
    for name, buffer in list(module.named_buffers(recurse=False)):
        if buffer.shape and buffer.shape[0] == total:
            setattr(module, name, buffer[places].clone())
        elif not buffer.is_floating_point():
            raise InputError("A table names experts by their number, so none can be dropped.", got=f"{owner}, {name}")
    for name in _COUNTS:
        if getattr(module, name, None) == total:
            setattr(module, name, len(kept))
