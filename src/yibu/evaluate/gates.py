"""Gates: bounds on figures of the matrix. A missed one stops what would come after, and says what would decide it.

A gate names a figure (``accuracy``, ``rouge1.note``, ``trainable_ratio``) or the bound of its interval
(``accuracy.low``, ``ece.high``), and a comparison with a number: ``">= 0.85"``. What was not measured never passes.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from yibu.core.errors import GateRefused, RecipeError, nearest

_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_GATE = re.compile(r"\s*(>=|<=|>|<)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*")
_BOUNDS = ("low", "high")


@dataclass(frozen=True, slots=True)
class Gate:
    """``figure`` [``.bound``] ``comparison`` ``limit``."""

    figure: str
    bound: str | None
    comparison: str
    limit: float

    def holds(self, value: float) -> bool:
        """Whether a measured value is on the right side; a value that is no number is not."""
        return _COMPARISONS[self.comparison](value, self.limit)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one gate found.

    Attributes:
        gate, limit: as the recipe has them.
        measured: what was compared: the figure, or the bound of its interval; None where it was not measured.
        passed: whether it holds.
        n: items that the figure was measured on; None where it is no sample.
        rows_to_decide: about so many items in all would put the whole interval on one side of the limit, if the figure
            stays what it is; None where it already is, or where no number of items would.
        why: why it was not measured, where that is known.
    """

    gate: str
    limit: str
    measured: float | None
    passed: bool
    n: int | None = None
    rows_to_decide: int | None = None
    why: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """For ``metrics.json``."""
        return asdict(self)


def parse_gate(name: str, text: str) -> Gate:
    """A gate as the recipe has it.

    Raises:
        ValueError: it cannot be read; says what a gate looks like.
    """
    found = _GATE.fullmatch(text)
    if found is None:
        raise ValueError(f"gate {name}: {text!r} is no comparison with a number, such as '>= 0.85' or '<= 100'")
    figure, _, bound = name.rpartition(".")
    if bound in _BOUNDS and figure:
        return Gate(figure, bound, found[1], float(found[2]))
    return Gate(name, None, found[1], float(found[2]))


def check_names(
    gates: Iterable[str], known: Sequence[str], to_add: Callable[[str], str | None] = lambda figure: None
) -> None:
    """Refuse gates on figures that there will not be, before anything is trained.

    Args:
        known: the figures that there will be.
        to_add: what a recipe lacks for a figure, for those that it could measure.

    Raises:
        RecipeError: names the figures that there will be.
    """
    for name in gates:
        gate = parse_gate(name, ">= 0")
        if gate.figure not in known:
            near = nearest(gate.figure, known)
            raise RecipeError(
                "A gate asks for a figure that this run does not measure.",
                got=name,
                allowed=[*known, "each of them also with .low or .high"],
                do=to_add(gate.figure) or (f"did you mean {near}?" if near else "take the gate out"),
            )


def ask(gates: Mapping[str, str], figures: Mapping[str, Mapping[str, Any]]) -> list[Outcome]:
    """Compare every gate with what was measured.

    Args:
        gates: name -> comparison, of the recipe.
        figures: name -> ``value``, ``low``, ``high``, ``n``.
    """
    return [_ask(parse_gate(name, text), name, text, figures) for name, text in gates.items()]


def _ask(gate: Gate, name: str, text: str, figures: Mapping[str, Mapping[str, Any]]) -> Outcome:
    figure = figures.get(gate.figure, {})
    measured = figure.get(gate.bound or "value")
    if measured is None or not math.isfinite(measured):
        return Outcome(name, text, None, False, why=figure.get("why"))
    return Outcome(name, text, measured, gate.holds(measured), figure.get("n"), rows_to_decide(gate.limit, figure))


def rows_to_decide(limit: float, figure: Mapping[str, Any]) -> int | None:
    """Items at which the interval would end at the limit: its width falls with the root of their number."""
    if any(figure.get(key) is None for key in ("value", "low", "high", "n")):
        return None
    value, low, high = (float(figure[key]) for key in ("value", "low", "high"))
    if value == limit or not low <= limit <= high:
        return None
    reach = value - low if limit < value else high - value
    return math.ceil(int(figure["n"]) * (reach / (value - limit)) ** 2 - 1e-6)  # rounding asks for no further row


def require(outcomes: Sequence[Mapping[str, Any]]) -> None:
    """Refuse to go on behind a gate that was missed.

    Raises:
        GateRefused: names every gate that was missed, what was measured, and what would decide it.
    """
    missed = [outcome for outcome in outcomes if not outcome["passed"]]
    if missed:
        raise GateRefused(
            f"{len(missed)} of {len(outcomes)} gates are not passed.",
            got="; ".join(said(outcome) for outcome in missed),
            allowed=", ".join(f"{outcome['gate']} {outcome['limit']}" for outcome in missed),
            do="look at the report; more rows, other settings, or --force, which is written into the ledger",
        )


def said(outcome: Mapping[str, Any]) -> str:
    """One outcome in words."""
    if outcome["measured"] is None:
        why = outcome.get("why")
        return f"{outcome['gate']} was not measured" + (f" ({why})" if why else "")
    text = f"{outcome['gate']} is {outcome['measured']:.4g}"
    if outcome["n"] is not None:
        text += f" (n = {outcome['n']})"
    if outcome["rows_to_decide"] is not None:
        text += f", and about {outcome['rows_to_decide']} rows would decide it"
    return text
