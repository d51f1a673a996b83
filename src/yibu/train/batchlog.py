"""``batches.jsonl``: what every forward pass of a run saw, enough to run it again to the bit.

One line is one pass: ``{"step", "pass", "lr", "seed", "rows"}``. `seed` is set before the pass, so that a pass needs
nothing of those before it; rows are named by a salted hash, so that the log says who was in only to those who hold both
the salt (``batches.salt``, a file of its own, so that the log can be passed on without it) and an id. A row that was
trained in parts has the number of the part behind its hash.

A run that goes on from a checkpoint takes back the lines behind it and writes them again, byte for byte the same.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yibu.core.disk import write_atomically
from yibu.core.errors import Damaged

BATCHES = "batches.jsonl"
SALT = "batches.salt"
_HASH_BYTES = 12  # a million rows: two share a hash with a probability of 1e-17


@dataclass(frozen=True)
class Pass:
    """One forward and backward pass.

    Attributes:
        step: optimizer step, from 1.
        index: of the pass in its step, from 0.
        lr: learning rate of the step.
        seed: of the random numbers (dropout) of the pass.
        rows: hashes of the rows, in their order.
    """

    step: int
    index: int
    lr: float
    seed: int
    rows: tuple[str, ...]


def pass_seed(seed: int, step: int, index: int) -> int:
    """Seed of one forward pass, from the seed of the run, the step (from 1) and the number of the pass in it."""
    digest = hashlib.sha256(f"yibu pass {seed} {step} {index}".encode()).digest()
    return int.from_bytes(digest[:4], "big")  # torch's generator on the CPU takes 32 bits


class RowNames:
    """Salted hashes of the ids of rows: HMAC-SHA256 (RFC 2104), cut to 96 bits.

    Args:
        salt: hexadecimal.
    """

    def __init__(self, salt: str) -> None:
        self._salt = bytes.fromhex(salt)

    @staticmethod
    def make(path: Path) -> RowNames:
        """With the salt in this file, a fresh random one where there is none."""
        if not path.is_file():
            write_atomically(path, secrets.token_hex(16) + "\n")
        return RowNames.read(path)

    @staticmethod
    def read(path: Path) -> RowNames:
        """With the salt in this file.

        Raises:
            Damaged: it holds no salt.
        """
        try:
            return RowNames(path.read_text(encoding="utf-8").strip())
        except ValueError as error:
            raise Damaged("The salt of the batch log cannot be read.", got=path) from error

    def hash(self, row: str, part: str = "") -> str:
        """Of a row's id; the part of a split row stays readable."""
        digest = hmac.digest(self._salt, row.encode("utf-8", "surrogatepass"), hashlib.sha256)
        return digest[:_HASH_BYTES].hex() + (f"#{part}" if part else "")

    def of(self, name: str) -> str:
        """Of an example's name: the id of its row, and where that was split ``#`` and the part."""
        row, mark, part = name.rpartition("#")
        return self.hash(row, part) if mark and part.isdigit() else self.hash(name)


class LineLog:
    """JSON lines that survive ``kill -9``: what lies behind the checkpoint that a run goes on from is taken back.

    Args:
        path: of the file.
        step: last step that stays.
    """

    def __init__(self, path: Path, step: int) -> None:
        kept = []
        if path.is_file():
            for line in path.read_text(encoding="utf-8").splitlines():
                try:
                    entry = json.loads(line)
                except ValueError:
                    break  # the line that was being written when the process was killed
                if entry["step"] <= step:
                    kept.append(line)
        path.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
        self._file = path.open("a", encoding="utf-8")

    def add(self, entries: Iterable[Mapping[str, Any]]) -> None:
        """Write lines; each has a ``step``."""
        self._file.write("".join(json.dumps(entry, separators=(", ", ": ")) + "\n" for entry in entries))
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def as_lines(passes: Sequence[Pass]) -> Iterator[dict[str, Any]]:
    """Passes as they stand in the log."""
    for one in passes:
        yield {"step": one.step, "pass": one.index, "lr": one.lr, "seed": one.seed, "rows": list(one.rows)}


def read_batches(path: Path) -> list[list[Pass]]:
    """The passes of each step, in order.

    Raises:
        Damaged: a line that is none, or a step that is missing or stands elsewhere than it should.
    """
    steps: list[list[Pass]] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            entry = json.loads(line)
            one = Pass(entry["step"], entry["pass"], entry["lr"], entry["seed"], tuple(entry["rows"]))
        except (ValueError, KeyError, TypeError) as error:
            raise Damaged("A line of the batch log cannot be read.", got=f"{path.name}:{number}") from error
        if one.index == 0:
            steps.append([])
        if one.step != len(steps) or one.index != len(steps[-1]):
            raise Damaged(
                "The batch log is not in order.",
                got=f"{path.name}:{number}: step {one.step}, pass {one.index}",
                allowed="every step and every pass once, one behind the other",
            )
        steps[-1].append(one)
    return steps
