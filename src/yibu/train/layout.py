"""How the rows of a step are cut into forward passes, and how the cuts become smaller where memory ends.

A step keeps its rows whatever happens: only the passes that they are cut into shrink, so the gradient stays the same
up to the order of a sum. That order is part of the bits, so every change is written down at once, before the step is
tried again: a run that is killed and goes on cuts each step as it was cut, and so does a replay.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from yibu.core.disk import write_atomically
from yibu.core.errors import TrainingError
from yibu.core.log import get
from yibu.model.render import Example

log = get("train")

# What torch says where memory ends, and has no class of its own for.
_WORDS = ("can't allocate memory", "cannot allocate memory", "out of memory", "std::bad_alloc")


class PassTooLarge(Exception):
    """Memory ended in a forward or backward pass; caught where the pass can be cut.

    Attributes:
        lengths: tokens of each of its rows.
    """

    def __init__(self, lengths: Sequence[int]) -> None:
        super().__init__(f"{len(lengths)} rows, {sum(lengths)} tokens")
        self.lengths = list(lengths)


@dataclass(frozen=True)
class Cut:
    """Bounds of one forward pass, from a step on.

    Attributes:
        from_step: index of the first step that is cut so, from 0.
        rows: most rows of one pass.
        tokens: most tokens of one pass; a longer row goes alone.
    """

    from_step: int
    rows: int
    tokens: int


class Layout:
    """The cuts of a run, the newest last.

    Args:
        rows: rows of a micro-batch (``train.batch``).
        tokens: ``train.pack_tokens``.
        path: keeps the cuts for a run that goes on; None keeps them in memory alone.
    """

    def __init__(self, rows: int, tokens: int, path: Path | None = None) -> None:
        self.cuts = [Cut(0, rows, tokens)]
        self._path = path
        if path is not None and path.is_file():
            self.cuts = read_cuts(json.loads(path.read_text(encoding="utf-8")))

    @staticmethod
    def of(cuts: Sequence[Cut]) -> Layout:
        """With these cuts, as a run wrote them down."""
        layout = Layout(cuts[0].rows, cuts[0].tokens)
        layout.cuts = list(cuts)
        return layout

    def at(self, step: int) -> Cut:
        """The cut of the step with this index, and of a validation that stands before it."""
        return [cut for cut in self.cuts if cut.from_step <= step][-1]

    def halve(self, step: int, lengths: Sequence[int]) -> Cut:
        """Half the cut from this step on.

        Args:
            lengths: tokens of the rows that did not fit together: where they already went alone, nothing is left.

        Raises:
            TrainingError: a pass of one row does not fit.
        """
        before = self.at(step)
        rows, tokens = max(1, min(before.rows, len(lengths)) // 2), max(1, min(before.tokens, sum(lengths)) // 2)
        if len(lengths) <= 1:
            raise TrainingError(
                "Memory does not suffice for a forward pass of a single row.",
                got=f"a row of {max(lengths, default=0)} tokens",
                do="set train.recompute: true, shorten the rows (train.max_length with train.too_long: split), train "
                "in bf16 (train.dtype), or take a smaller base",
            )
        if before.from_step == step:
            self.cuts.remove(before)
        # What was cut smaller later on would only have been found out again.
        self.cuts = [*(cut for cut in self.cuts if cut.from_step < step), Cut(step, rows, tokens)]
        self._keep()
        log.warning(
            "out of memory: from step %d on a pass has at most %d rows and %d tokens, not %d and %d; "
            "a step keeps all its rows",
            step + 1,
            rows,
            tokens,
            before.rows,
            before.tokens,
        )
        return self.cuts[-1]

    def _keep(self) -> None:
        if self._path is not None:
            write_atomically(self._path, json.dumps(self.as_list()))

    def agree(self, said: Sequence[Sequence[dict[str, int]]]) -> None:
        """Take the smallest cuts that any rank came to by itself; the ranks began alike and halved alike."""
        smallest = min((read_cuts(cuts) for cuts in said), key=lambda cuts: (cuts[-1].tokens, cuts[-1].rows))
        if smallest != self.cuts:
            self.cuts = smallest
            self._keep()

    def as_list(self) -> list[dict[str, int]]:
        """JSON values, for ``fingerprint.json`` and ``summary.json``."""
        return [asdict(cut) for cut in self.cuts]


def sharded_too_large() -> TrainingError:
    """Memory ended in a pass of a sharded base: the others wait in the middle of the same layers."""
    return TrainingError(
        "Memory does not suffice for a pass, and passes of a sharded base cannot be cut while they run.",
        do="halve train.pack_tokens and train.batch (and double train.accumulate), or set train.recompute: true; the "
        "same command then goes on from the last checkpoint",
    )


def read_cuts(table: Sequence[dict[str, Any]]) -> list[Cut]:
    """What `Layout.as_list` wrote."""
    return [Cut(int(cut["from_step"]), int(cut["rows"]), int(cut["tokens"])) for cut in table]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ended: on a GPU, in Python, or in torch's allocator on the CPU."""
    if isinstance(error, torch.cuda.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in _WORDS)


def free_memory(device: torch.device) -> None:
    """Give back what a failed pass held."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def lengths_of(examples: Sequence[Example]) -> list[int]:
    """Tokens of each row."""
    return [len(example.ids) for example in examples]
