"""Names that point at artifacts (``quickstart/model``, ``production``); every move is in the ledger.

One small JSON file per ref, so that a program without yibu can follow it. The ledger has the last word: `Refs.problems`
finds a file that says something else.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from yibu.core.disk import write_atomically
from yibu.core.errors import Damaged, InputError
from yibu.core.ledger import Entry, Ledger

_PART = re.compile(r"\w[\w.-]{0,62}")
_LONGEST = 200
_ARTIFACT_ID = re.compile(r"[a-z][a-z0-9_]*-[0-9a-f]{16}")


def check_name(ref: str) -> str:
    """The name, if it is one that a ref may have: words of letters (of any script), digits, ``_ . -``, joined by ``/``.

    Raises:
        InputError: it could leave the folder of the refs, be taken for an artifact, or puzzle a shell.
    """
    parts = ref.split("/")
    good = all(_PART.fullmatch(part) and not part.endswith((".", ".json")) for part in parts) and len(ref) <= _LONGEST
    if not good or _ARTIFACT_ID.fullmatch(ref):
        raise InputError(
            "This cannot be the name of a ref.",
            got=repr(ref),
            allowed="words of letters, digits, '_', '.' and '-', joined by '/', such as quickstart/model; "
            "not '..', not an absolute path, not ending in '.json', not the id of an artifact",
        )
    return ref


class Refs:
    """The refs of a store. Its callers hold the store's ledger lock for `move` and `recover`.

    Args:
        root: the store's folder.
    """

    def __init__(self, root: Path) -> None:
        self.ledger = Ledger(root)
        self._folder = root / "refs"

    def read(self, ref: str) -> str | None:
        """Id of the artifact that a ref names, None where there is no such ref.

        Raises:
            InputError: no possible name. Damaged: the ref's file cannot be read.
        """
        path = self._path(check_name(ref))
        try:
            record = json.loads(path.read_bytes())
            named, artifact = record["ref"], record["artifact"]
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, KeyError, TypeError, IsADirectoryError) as error:
            raise Damaged(f"The file of the ref {ref!r} cannot be read.", got=path, do="`yibu verify`") from error
        if named != ref or not isinstance(artifact, str) or not _ARTIFACT_ID.fullmatch(artifact):
            raise Damaged(f"The file of the ref {ref!r} was changed or renamed.", got=path, do="`yibu verify`")
        return artifact

    def all(self) -> dict[str, str]:
        """Every ref and the id that it names, sorted by name.

        Raises:
            Damaged: the file of one cannot be read.
        """
        found = {name: self.read(name) for name in self.names()}
        return {name: artifact for name, artifact in found.items() if artifact is not None}

    def names(self) -> list[str]:
        """Every ref, sorted."""
        files = self._folder.rglob("*.json")
        return sorted(file.relative_to(self._folder).as_posix().removesuffix(".json") for file in files)

    def move(self, ref: str, after: str, manifest: str, why: str) -> None:
        """Point a ref at an artifact, and record it; nothing happens where it points there already.

        Args:
            ref: name.
            after: id of the artifact.
            manifest: SHA-256 of the artifact's manifest.
            why: the reason, for the ledger.

        Raises:
            InputError, Damaged, NoSpace: see `check_name`, `Ledger.append`.
        """
        before = self.read(ref)
        if before != after:
            action = "create" if before is None else "move"
            self.ledger.append(action, ref, before, after, manifest, why, self._write)

    def recover(self) -> None:
        """Finish what a crash interrupted; see `Ledger.recover`."""
        self.ledger.recover(self._write)

    def last_words(self) -> dict[str, Entry]:
        """The last good record of the ledger about each ref."""
        entries, _ = self.ledger.check()
        return {entry.ref: entry for entry in entries}

    def problems(self) -> list[str]:
        """Refs that do not say what the ledger says; [] where all is well."""
        words = self.last_words()
        found: list[str] = []
        for name in self.names():
            try:
                artifact = self.read(name)
            except (Damaged, InputError) as error:
                found.append(f"ref {name}: {error.what}")
                continue
            if name not in words:
                found.append(f"ref {name} names {artifact}, but the ledger has no record of it")
            elif artifact != words[name].after:
                found.append(f"ref {name} names {artifact}, but the ledger says {words[name].after}")
        lost = sorted(words.keys() - set(self.names()))
        return found + [f"ref {name} is missing; the ledger says {words[name].after}" for name in lost]

    def _path(self, ref: str) -> Path:
        return self._folder / f"{ref}.json"

    def _write(self, ref: str, artifact: str | None) -> None:
        if artifact is None:
            self._path(ref).unlink(missing_ok=True)
        else:
            write_atomically(self._path(ref), json.dumps({"ref": ref, "artifact": artifact}, ensure_ascii=False) + "\n")
