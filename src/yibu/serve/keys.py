"""API keys: only their hashes are kept, they are compared in constant time, and who guesses is locked out.

A key is ``yibu-<id>-<secret>``. The id is public: it finds the record and stands in logs. The secret has 256 random
bits, so that a plain SHA-256 is as good as a slow hash, which would only help who floods the gateway. An unknown id is
compared, too, with a hash that nothing has, so that it takes as long as a wrong secret.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import time
from collections import OrderedDict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from yibu.core.disk import write_atomically
from yibu.core.errors import Damaged, InputError
from yibu.core.store import Store

Scope = Literal["generate", "embed", "classify", "extract", "metrics"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

_PREFIX = "yibu-"
_ID_CHARS = 12


class Key(BaseModel):
    """What is kept of a key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    name: str
    sha256: str
    scopes: tuple[Scope, ...]
    created: str
    expires: str | None = None


class _Book(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    keys: tuple[Key, ...] = ()


_NOBODY = Key(id="", name="", sha256="0" * 64, scopes=(), created="")


def keys_path(store: Store) -> Path:
    """Where the keys of a store lie."""
    return store.root / "serve" / "keys.json"


class Keys:
    """The keys in one file, which only its owner may read.

    Args:
        path: of the file; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None
        self._by_id: dict[str, Key] = {}
        self.reload()

    def __len__(self) -> int:
        return len(self._by_id)

    def all(self) -> list[Key]:
        """All keys, the oldest first."""
        return sorted(self._by_id.values(), key=lambda key: (key.created, key.id))

    def reload(self) -> None:
        """Read the file again, if it is another one: a key that was revoked stops within a second.

        Raises:
            Damaged: it cannot be read.
        """
        try:
            state = self._path.stat()
        except FileNotFoundError:
            self._by_id, self._seen = {}, None
            return
        if (state.st_mtime_ns, state.st_ino) == self._seen:
            return
        try:
            book = _Book.model_validate_json(self._path.read_bytes())
        except (ValidationError, OSError) as error:
            raise Damaged("The file of the API keys cannot be read.", got=self._path) from error
        self._by_id = {key.id: key for key in book.keys}
        self._seen = (state.st_mtime_ns, state.st_ino)

    def check(self, presented: str) -> Key | None:
        """The key that was presented, None where there is no such key (any more)."""
        id = presented[len(_PREFIX) : len(_PREFIX) + _ID_CHARS]
        record = self._by_id.get(id, _NOBODY)
        right = hmac.compare_digest(_digest(presented), record.sha256)
        return record if right and not _is_over(record) else None

    def add(self, name: str, scopes: Iterable[Scope] = SCOPES, days: float | None = None) -> str:
        """A new key, which cannot be shown again.

        Args:
            name: of whom it is for; others may have the same.
            days: until it ends.

        Raises:
            InputError: a scope that there is none of.
        """
        wanted = tuple(dict.fromkeys(scopes))
        unknown = [scope for scope in wanted if scope not in SCOPES]
        if unknown or not wanted:
            raise InputError("A key needs scopes that there are.", got=unknown or "none", allowed=SCOPES)
        id = secrets.token_hex(_ID_CHARS // 2)
        key = f"{_PREFIX}{id}-{secrets.token_urlsafe(32)}"
        expires = None if days is None else (datetime.now(UTC) + timedelta(days=days)).isoformat()
        made = Key(id=id, name=name, sha256=_digest(key), scopes=wanted, created=_now(), expires=expires)
        self._write([*self.all(), made])
        return key

    def rotate(self, name: str, overlap_hours: float = 24.0) -> str:
        """A new key in place of those of a name, which go on for a while.

        Raises:
            InputError: there is none of this name.
        """
        old = self._of(name)
        end = (datetime.now(UTC) + timedelta(hours=overlap_hours)).isoformat()
        ids = {key.id for key in old}
        self._write(
            [
                key.model_copy(update={"expires": min(end, key.expires or end)}) if key.id in ids else key
                for key in self.all()
            ]
        )
        return self.add(name, old[-1].scopes)

    def revoke(self, name: str) -> int:
        """Forget all keys of a name (or the one of an id); how many there were.

        Raises:
            InputError: there is none.
        """
        gone = {key.id for key in self._of(name)}
        self._write([key for key in self.all() if key.id not in gone])
        return len(gone)

    def _of(self, name: str) -> list[Key]:
        found = [key for key in self.all() if name in (key.name, key.id)]
        if not found:
            raise InputError("There is no key of this name.", got=name, allowed=sorted({k.name for k in self.all()}))
        return found

    def _write(self, keys: Iterable[Key]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        table = _Book(keys=tuple(keys)).model_dump(mode="json")
        write_atomically(self._path, json.dumps(table, indent=1, ensure_ascii=False) + "\n")
        os.chmod(self._path, 0o600)
        self._seen = None
        self.reload()


class Guesses:
    """How often each address was wrong, for a bounded number of addresses.

    Args:
        limit: wrong keys until an address is locked out.
        seconds: for how long; also how long a wrong key is remembered.
    """

    _MOST = 10_000

    def __init__(self, limit: int, seconds: float) -> None:
        self._limit, self._seconds = limit, seconds
        self._wrong: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def locked_for(self, address: str) -> float:
        """Seconds until an address may try again; 0 where it may now."""
        count, until = self._wrong.get(address, (0, 0.0))
        left = until - time.monotonic()
        if left <= 0:
            self._wrong.pop(address, None)
            return 0.0
        return left if count >= self._limit else 0.0

    def wrong(self, address: str) -> None:
        """One more wrong key."""
        count = self._wrong.pop(address, (0, 0.0))[0] + 1
        self._wrong[address] = (count, time.monotonic() + self._seconds)
        if len(self._wrong) > self._MOST:
            self._wrong.popitem(last=False)


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _is_over(key: Key) -> bool:
    return key.expires is not None and datetime.fromisoformat(key.expires) <= datetime.now(UTC)
