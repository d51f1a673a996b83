"""Who moved which ref when, in a file that shows when it was tampered with.

``ledger.jsonl`` has one record a line. Each holds the hash of the one before it, so that a changed, deleted, inserted
or reordered record breaks the chain at its place. A cut tail breaks no chain: ``ledger.head.json`` therefore names the
number and the hash of the last record. (Both files can be forged together by someone who may write here. To find that
too, keep a copy of the head elsewhere.)

A move is four durable steps: the head announces the hash of the coming record (``pending``), the record is appended,
the change it speaks of is made, the head names it as the last. A crash in between is healed by `Ledger.recover` at the
next opening. **The ledger is the truth**: if the announced record is there, the change is made (again); if not, the
move never happened. Since only an announced record may lie beyond the head, one that someone else added is found.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from yibu.core import log
from yibu.core.disk import digest_json, space_for, sync_folder, write_atomically
from yibu.core.errors import Damaged, NoSpace

GENESIS = "0" * 64
_logger = log.get("ledger")


class Entry(BaseModel):
    """One record of the ledger.

    Attributes:
        seq: number of the record and of its line, from 1.
        time: UTC, ISO 8601.
        actor: who did it: ``$YIBU_ACTOR``, else the name of the operating system's user.
        action: ``create`` or ``move``.
        ref: the name that moved.
        before: id of the artifact it named, ``from`` in the JSON; None at its creation.
        after: id of the artifact it names now, ``to`` in the JSON.
        manifest: SHA-256 of the manifest of ``after``, so that what was promoted cannot be exchanged later.
        why: the reason given; may be empty.
        prev: hash of the record before, 64 zeros at the first.
        hash: SHA-256 of the canonical JSON of all the above.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    seq: int
    time: str
    actor: str
    action: str
    ref: str
    before: str | None = Field(validation_alias="from", serialization_alias="from")
    after: str = Field(validation_alias="to", serialization_alias="to")
    manifest: str
    why: str
    prev: str
    hash: str = ""

    def sealed(self) -> Entry:
        return self.model_copy(update={"hash": self.digest()})

    def digest(self) -> str:
        return digest_json(self.model_dump(by_alias=True, exclude={"hash"}))

    def line(self) -> bytes:
        return json.dumps(self.model_dump(by_alias=True)).encode() + b"\n"


class Head(BaseModel):
    """The last record, and the hash of the one that is being written; None where none is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seq: int = 0
    hash: str = GENESIS
    pending: str | None = None


class Ledger:
    """The ledger of a store. Its callers hold the store's ledger lock for `append` and `recover`.

    Args:
        root: the store's folder.
    """

    def __init__(self, root: Path) -> None:
        self.path = root / "ledger.jsonl"
        self.head_path = root / "ledger.head.json"

    def entries(self) -> list[Entry]:
        """All records, the oldest first.

        Raises:
            Damaged: the chain is broken; names the record.
        """
        entries, found = self.check()
        if found:
            raise Damaged(
                f"The ledger is damaged: {found[0]}.",
                got=self.path,
                do="restore ledger.jsonl and ledger.head.json from a copy; `yibu verify` checks them",
            )
        return entries

    def check(self) -> tuple[list[Entry], list[str]]:
        """The records up to the first that is wrong, and what is wrong; [] where all is well."""
        entries, torn, found = self._chain()
        if found:
            return entries, found
        try:
            head = self._head()
        except Damaged as error:
            return entries, [error.what]
        count = len(entries)
        last = entries[-1].hash if entries else GENESIS
        if (count, last) == (head.seq, head.hash):
            if torn and head.pending is None:
                return entries, [f"ledger record {count + 1} is cut short"]
        elif head.pending is None or (count, last) != (head.seq + 1, head.pending):
            return entries, [self._disagreement(entries, head)]
        return entries, []

    def append(
        self,
        action: str,
        ref: str,
        before: str | None,
        after: str,
        manifest: str,
        why: str,
        apply: Callable[[str, str | None], None],
    ) -> Entry:
        """Record a move and make it, both or neither.

        Args:
            action, ref, before, after, manifest, why: see `Entry`.
            apply: called as ``apply(ref, id)`` to make the move, and with ``before`` to take it back.

        Raises:
            Damaged: the chain is broken, so nothing may be added to it.
            NoSpace: the disk is full; neither the record nor the move remains.
        """
        entries = self.entries()
        head = Head(seq=len(entries), hash=entries[-1].hash if entries else GENESIS)
        entry = Entry(
            seq=head.seq + 1,
            time=datetime.now(UTC).isoformat(timespec="milliseconds"),
            actor=_actor(),
            action=action,
            ref=ref,
            before=before,
            after=after,
            manifest=manifest,
            why=why.encode(errors="replace").decode(),
            prev=head.hash,
        ).sealed()
        size = self.path.stat().st_size if self.path.exists() else 0
        self._write_head(head.model_copy(update={"pending": entry.hash}))
        try:
            self._append_line(entry.line())
            apply(ref, after)
        except BaseException:
            with contextlib.suppress(OSError, NoSpace):  # if this fails too, the next opening heals what is left
                apply(ref, before)
                self._cut(size)
                self._write_head(head)
            raise
        try:
            self._write_head(Head(seq=entry.seq, hash=entry.hash))
        except NoSpace:
            _logger.warning("the move of %s is recorded; its last step waits for space on the disk", ref)
        return entry

    def recover(self, apply: Callable[[str, str | None], None]) -> None:
        """Finish or take back the one move that a crash interrupted.

        Raises:
            NoSpace: the disk is too full to finish it now.
        """
        if not self.interrupted():
            return
        entries, torn, found = self._chain()
        head = self._head()
        last = entries[-1].hash if entries else GENESIS
        if found:
            return
        if (len(entries), last) == (head.seq + 1, head.pending):
            apply(entries[-1].ref, entries[-1].after)
            self._write_head(Head(seq=len(entries), hash=last))
            _logger.warning("finished the move of %s that a crash interrupted", entries[-1].ref)
        elif (len(entries), last) == (head.seq, head.hash):
            if torn:
                self._cut(self.path.stat().st_size - len(torn))
            self._write_head(Head(seq=head.seq, hash=head.hash))

    def interrupted(self) -> bool:
        """True where a crash left a move unfinished, or another process is in the middle of one."""
        try:
            return self._head().pending is not None
        except Damaged:
            return False

    def _chain(self) -> tuple[list[Entry], bytes, list[str]]:
        """Good records, what follows the last line end, and the first break of the chain."""
        raw = self.path.read_bytes() if self.path.exists() else b""
        *lines, torn = raw.split(b"\n")
        entries: list[Entry] = []
        previous = GENESIS
        for index, line in enumerate(lines, start=1):
            try:
                entry = Entry.model_validate_json(line)
            except ValidationError:
                return entries, torn, [f"ledger record {index} cannot be read: it was changed"]
            if entry.digest() != entry.hash or entry.line() != line + b"\n":
                return entries, torn, [f"ledger record {index} was changed: its hash does not match what it says"]
            if entry.seq != index:
                return (
                    entries,
                    torn,
                    [
                        f"ledger record {index} is missing: number {entry.seq} stands in its place "
                        "(a record was deleted, inserted or moved)"
                    ],
                )
            if entry.prev != previous:
                return (
                    entries,
                    torn,
                    [f"ledger record {index} does not follow from the one before it (one of the two was exchanged)"],
                )
            entries.append(entry)
            previous = entry.hash
        return entries, torn, []

    def _disagreement(self, entries: list[Entry], head: Head) -> str:
        count = len(entries)
        if count < head.seq:
            return f"ledger record {count + 1} is missing: the end was cut off, {head.seq} records were written"
        expected = head.seq + (head.pending is not None)
        if count > expected:
            return f"ledger record {expected + 1} was added by something other than yibu: the head does not know it"
        return f"ledger record {count} is not the one that ledger.head.json names (one of the two was exchanged)"

    def _head(self) -> Head:
        if not self.head_path.exists():
            if self.path.exists():
                raise Damaged("ledger.head.json is missing, so it cannot be known whether the ledger's end was cut off")
            return Head()
        try:
            return Head.model_validate_json(self.head_path.read_bytes())
        except ValidationError as error:
            raise Damaged("ledger.head.json cannot be read: it was changed") from error

    def _write_head(self, head: Head) -> None:
        write_atomically(self.head_path, head.model_dump_json())

    def _append_line(self, line: bytes) -> None:
        with space_for(f"a record of {len(line)} bytes to the ledger", self.path.parent):
            with self.path.open("ab", buffering=0) as file:
                written = file.write(line)
                if written != len(line):  # the disk filled up in the middle; the caller cuts the half record off
                    file.write(line[written:])
                os.fsync(file.fileno())
            sync_folder(self.path.parent)

    def _cut(self, size: int) -> None:
        if self.path.exists():
            with self.path.open("r+b") as file:
                file.truncate(size)
                os.fsync(file.fileno())


def _actor() -> str:
    if named := os.environ.get("YIBU_ACTOR"):
        return named
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container may run under a number without a name
        return f"uid {os.getuid()}"
