"""The proof at a hand-over: what the next stage got is what the last one had.

Between training and an answer to a user lie a template, a merge, a quantisation, a file format and a server, and each
has been seen to lose a model in silence: a space in the template, a doubled beginning of text, a stop token that was
never trained, a merge without the adapter, four bits that round the adapter away. So every hand-over is measured:

- `yibu.parity.ids`: token ids of training are those of serving, the stop token is trained (``same_ids``);
- `yibu.parity.outputs`: logits and answers of two models are the same within a bound (``same_logits``,
  ``same_answers``);
- `yibu.parity.gain`: how much of what the adapter gained on the task is left (``gain_kept``).

Each returns `Check` records. `gate` refuses a hand-over where one of them failed. Whatever can be asked can be checked:
models and servers are functions from token ids to logits, or from messages to token ids.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from yibu.core.errors import GateRefused


@dataclass(frozen=True)
class Check:
    """One measured property of a hand-over.

    Attributes:
        name: what was compared, and how.
        ok: whether the measured value keeps within the bound; None where nothing could be judged.
        measured: the value; None where there is none.
        bound: the most or the least it may be.
        at_least: True if `bound` is the least, False if it is the most.
        n: conversations, positions or items that it was measured on.
        low, high: 95 % interval, where the measure has one.
        detail: what a person needs to find the fault; no text of a row.
    """

    name: str
    ok: bool | None
    measured: float | None
    bound: float
    at_least: bool
    n: int
    low: float | None = None
    high: float | None = None
    detail: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    def says(self) -> str:
        """One line for a person."""
        state = {True: "ok", False: "FAILED", None: "not judged"}[self.ok]
        value = "nothing" if self.measured is None else f"{self.measured:.4g}"
        wanted = f"{'at least' if self.at_least else 'at most'} {self.bound:g}"
        return f"{self.name}: {state}, {value} ({wanted}, n = {self.n})" + (f"; {self.detail}" if self.detail else "")


def judged(
    name: str,
    measured: float,
    bound: float,
    *,
    kind: Literal["at least", "at most"],
    n: int,
    detail: str = "",
    low: float | None = None,
    high: float | None = None,
) -> Check:
    """A check of one value against its bound; what is no number fails."""
    if not math.isfinite(measured):
        return Check(name, False, None, bound, kind == "at least", n, low, high, detail or "the value is no number")
    ok = measured >= bound if kind == "at least" else measured <= bound
    return Check(name, ok, measured, bound, kind == "at least", n, low, high, detail)


def gate(checks: Sequence[Check], what: str = "This hand-over") -> None:
    """Let a hand-over pass only if no check failed. What could not be judged does not stop it.

    Raises:
        GateRefused: says every check that failed.
    """
    if failed := [check for check in checks if check.ok is False]:
        # In the sentence itself, since what was got is cut for print and each of these is needed.
        lines = "".join(f"\n  - {check.says()}" for check in failed)
        raise GateRefused(
            f"{what} changes the model: {len(failed)} of {len(checks)} parity checks failed.{lines}",
            do="look at what lies between the two: template, tokenizer, merge, bits, file format, server",
        )
