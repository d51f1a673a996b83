"""Which layers an adapter sits in, and which layer a module belongs to."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from yibu.core.errors import RecipeError

_RANGE = re.compile(r"(\d+)-(\d+)")
_TOP = re.compile(r"top-(\d+)")


def _known_form(value: str | tuple[int, ...]) -> str | tuple[int, ...]:
    if isinstance(value, tuple):
        if not value or min(value) < 0 or len(set(value)) < len(value):
            raise ValueError("a list of layers holds at least one number, none twice, none below 0")
        return value
    found = _RANGE.fullmatch(value)
    if found and int(found[1]) > int(found[2]):
        raise ValueError("a range of layers begins with the lower number")
    if found or value == "all" or ((top := _TOP.fullmatch(value)) and int(top[1]) > 0):
        return value
    raise ValueError("must be all, top-N, a range such as 10-19 (both ends included), or a list of numbers")


Layers = Annotated[
    str | tuple[int, ...],
    AfterValidator(_known_form),
    Field(description="all, top-N (the last N), a range such as 10-19, or a list from 0"),
]


def depth_of(model: Any) -> int:
    """Number of layers of a base."""
    return int(model.config.get_text_config().num_hidden_layers)


def layer_of(name: str) -> int | None:
    """Number of the layer that a module or parameter lies in; None outside of the layers.

    The first number in a dotted name is the layer's; a second one would be an expert's.
    """
    return next((int(part) for part in name.split(".") if part.isdigit()), None)


def chosen_layers(layers: str | tuple[int, ...], depth: int) -> frozenset[int]:
    """Numbers of the layers that a setting means in a base of this depth.

    Raises:
        RecipeError: a layer beyond the depth.
    """
    if isinstance(layers, tuple):
        chosen = frozenset(layers)
    elif found := _RANGE.fullmatch(layers):
        chosen = frozenset(range(int(found[1]), int(found[2]) + 1))
    elif found := _TOP.fullmatch(layers):
        chosen = frozenset(range(depth - int(found[1]), depth))
    else:
        chosen = frozenset(range(depth))
    if min(chosen) < 0 or max(chosen) >= depth:
        raise RecipeError(
            "adapter.layers goes beyond the depth of this base.",
            got=layers if isinstance(layers, str) else list(layers),
            allowed=f"its {depth} layers, numbered 0 to {depth - 1}: top-1 to top-{depth}, ranges and lists within",
            do="lower adapter.layers, or set layers: all",
        )
    return chosen


def is_chosen(name: str, chosen: frozenset[int]) -> bool:
    """Whether a module lies in one of these layers."""
    return layer_of(name) in chosen
