"""A finished folder and the manifest that makes it one.

An artifact is a folder with a ``manifest.json``; a folder without is not an artifact. The manifest is written last,
after every other file has reached the disk, so its presence means "done". It holds the digest of each file, all that
went into the id, and a seal (the digest of the manifest itself), so that a changed byte anywhere is found.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from yibu.core.disk import digest_file, digest_json, sync_folder, write_atomically
from yibu.core.errors import Damaged, StoreError, nearest

MANIFEST = "manifest.json"
_DISTRIBUTIONS = (
    "yibu torch transformers peft safetensors tokenizers accelerate numpy scikit-learn scipy rouge-score pydantic "
    "pyarrow datasets gguf simple-icd-10-cm"
)


class FileRecord(BaseModel):
    """One file of an artifact: its SHA-256 and its length in bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str
    bytes: int


class Manifest(BaseModel):
    """What an artifact is made of and from.

    Attributes:
        schema_version: layout of this file, ``schema`` in the JSON.
        id: stage name and 16 hex digits, see `artifact_id`.
        config: the stage's settings, every default spelled out.
        neutral: dotted keys of ``config`` that are not in the id, because they cannot change the output.
        inputs: id of each input artifact by the name of the stage's argument.
        external: digests of what lies outside the store (source files), by a name that the stage chose.
        files: every file but the manifest, by its path inside the folder.
        versions: of Python and of the packages that matter, as installed.
        started: UTC time, ISO 8601.
        seconds: wall time of the stage; of its last start only, where ``notes`` says ``"resumed": true``.
        notes: facts that the stage wrote down (device, threads, counts).
        seal: SHA-256 of the canonical JSON of all the above.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    schema_version: Literal[1] = Field(validation_alias="schema", serialization_alias="schema")
    id: str
    stage: str
    version: int
    config: dict[str, Any]
    neutral: tuple[str, ...]
    inputs: dict[str, str]
    external: dict[str, str]
    files: dict[str, FileRecord]
    versions: dict[str, str]
    platform: str
    started: str
    seconds: float
    notes: dict[str, Any]
    seal: str


@dataclass(frozen=True)
class Artifact:
    """A finished, immutable folder of the store."""

    id: str
    path: Path
    manifest: Manifest = field(compare=False, repr=False)

    def file(self, name: str) -> Path:
        """Path of one of its files.

        Raises:
            StoreError: the manifest knows no such file.
        """
        if name not in self.manifest.files:
            close = nearest(name, self.manifest.files)
            raise StoreError(
                f"The artifact {self.id} has no such file.",
                got=name,
                allowed=sorted(self.manifest.files),
                do=f"did you mean {close!r}?" if close else None,
            )
        return self.path / name

    def read_json(self, name: str) -> Any:
        """The value in one of its JSON files.

        Raises:
            StoreError: no such file. Damaged: it is not JSON.
        """
        try:
            return json.loads(self.file(name).read_bytes())
        except ValueError as error:
            raise Damaged(f"{name} of the artifact {self.id} is not JSON.", got=error) from error


@dataclass(frozen=True)
class Origin:
    """All that goes into an artifact's id, and the keys of the config that stay out of it."""

    stage: str
    version: int
    config: Mapping[str, Any]
    neutral: tuple[str, ...]
    inputs: Mapping[str, str]
    external: Mapping[str, str]

    @property
    def id(self) -> str:
        """``<stage>-<16 hex digits>``: equal origins have equal ids on every machine."""
        config = json.loads(json.dumps(self.config))
        for key in self.neutral:
            _remove(config, key.split("."))
        parts = [self.stage, self.version, config, dict(self.inputs), dict(self.external)]
        return f"{self.stage}-{digest_json(parts)[:16]}"


def open_artifact(folder: Path) -> Artifact:
    """The artifact in a folder. Its manifest is checked in full, its files by name and length (`inspect` hashes them).

    Raises:
        Damaged: no manifest, an edited one, or files that are missing, added or of another length.
    """
    manifest, found = _read_manifest(folder)
    if manifest is not None and not found:
        found = list(_compare_files(folder, manifest, hashes=False))
    if manifest is None or found:
        raise Damaged(
            f"The artifact {folder.name} is damaged: {found[0]}.",
            got=f"{len(found)} problem(s) in {folder}",
            do=f"`yibu verify {folder.name}` lists them; if you can spare it, remove that folder and run again",
        )
    return Artifact(manifest.id, folder, manifest)


def inspect(folder: Path) -> tuple[Manifest | None, list[str]]:
    """The manifest in a folder, None where it cannot be read, and what is not as it was sealed. Hashes every file."""
    manifest, found = _read_manifest(folder)
    if manifest is not None:
        found += _compare_files(folder, manifest, hashes=True)
    return manifest, found


def seal(folder: Path, origin: Origin, started: str, seconds: float, notes: Mapping[str, Any], leave_out: str) -> None:
    """Make a folder an artifact: all files to the disk, then the manifest.

    Args:
        folder: holds what the stage wrote.
        origin: what it was made from.
        started: UTC time, ISO 8601.
        seconds: wall time.
        notes: JSON values.
        leave_out: name of a folder in it that is not part of the artifact.

    Raises:
        StoreError: something in the folder cannot be part of an artifact (a link, an unprintable name), or a value in
            the notes is not JSON.
        NoSpace: the disk is full.
    """
    files, odd = _scan(folder, leave_out)
    if MANIFEST in files:
        odd.append(f"{MANIFEST} (a name that the store keeps for itself)")
    if odd:
        what = "An artifact holds plain files with printable names only; remove or copy the others."
        raise StoreError(f"The stage {origin.stage!r} left something that cannot be kept. {what}", got=odd)
    records = {name: _record_and_sync(path) for name, path in files.items()}
    folders = {parent for path in files.values() for parent in path.parents if parent.is_relative_to(folder)}
    for place in folders:
        sync_folder(place)
    manifest: dict[str, Any] = {
        "schema": 1,
        "id": origin.id,
        "stage": origin.stage,
        "version": origin.version,
        "config": dict(origin.config),
        "neutral": list(origin.neutral),
        "inputs": dict(origin.inputs),
        "external": dict(origin.external),
        "files": records,
        "versions": _versions(),
        "platform": platform.platform(),
        "started": started,
        "seconds": round(seconds, 3),
        "notes": dict(notes),
    }
    try:
        manifest["seal"] = digest_json(manifest)
    except (TypeError, ValueError) as error:
        raise StoreError(f"The notes of the stage {origin.stage!r} are not JSON.", got=error) from error
    write_atomically(folder / MANIFEST, json.dumps(manifest, indent=1))


def _read_manifest(folder: Path) -> tuple[Manifest | None, list[str]]:
    try:
        raw = json.loads((folder / MANIFEST).read_bytes(), parse_constant=_refuse_constant)
    except FileNotFoundError:
        return None, [f"it has no {MANIFEST}, so it is not a finished artifact"]
    except (OSError, ValueError) as error:
        return None, [f"{MANIFEST} cannot be read ({type(error).__name__})"]
    try:
        manifest = Manifest.model_validate(raw)
    except ValidationError as error:
        where = ", ".join(sorted({str(item["loc"][0]) if item["loc"] else "all of it" for item in error.errors()}))
        return None, [f"{MANIFEST} is not one that this version of yibu wrote (wrong: {where})"]
    found = []
    sealed = digest_json({key: value for key, value in raw.items() if key != "seal"})
    if sealed != manifest.seal:
        found.append(f"{MANIFEST} was edited: its seal does not match what it says")
    made_from = Origin(
        manifest.stage, manifest.version, manifest.config, manifest.neutral, manifest.inputs, manifest.external
    ).id
    if made_from != manifest.id:
        found.append(f"{MANIFEST} was edited: the inputs that it names give the id {made_from}, not {manifest.id}")
    if folder.name != manifest.id:
        found.append(f"it was renamed: {MANIFEST} is that of {manifest.id}")
    return manifest, found


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


def _compare_files(folder: Path, manifest: Manifest, hashes: bool) -> Iterator[str]:
    files, odd = _scan(folder)
    files.pop(MANIFEST, None)
    yield from (f"{item} does not belong in an artifact" for item in odd)
    for name in sorted(files.keys() & manifest.files.keys()):
        recorded = manifest.files[name]
        size = files[name].stat().st_size
        if size != recorded.bytes:
            yield f"{name} has {size} bytes, {recorded.bytes} were recorded"
        elif hashes and digest_file(files[name]) != recorded.sha256:
            yield f"{name} was changed: its SHA-256 is not the recorded one"
    missing, added = manifest.files.keys() - files.keys(), files.keys() - manifest.files.keys()
    moved: dict[str, str] = {}
    if missing and added and hashes:
        digests = {digest_file(files[name]): name for name in sorted(added, reverse=True)}
        moved = {name: digests[sha] for name in missing if (sha := manifest.files[name].sha256) in digests}
    yield from (f"{name} was renamed to {moved[name]}" for name in sorted(moved))
    yield from (f"{name} is missing" for name in sorted(missing - moved.keys()))
    yield from (f"{name} was added" for name in sorted(added - set(moved.values())))


def _scan(folder: Path, leave_out: str | None = None) -> tuple[dict[str, Path], list[str]]:
    """Plain files below a folder by their path in it, and what else lies there."""
    files: dict[str, Path] = {}
    odd: list[str] = []
    for place, below, names in os.walk(folder):
        if Path(place) == folder and leave_out in below:
            below.remove(leave_out)
        for name in sorted(below + names):
            path = Path(place, name)
            inside = path.relative_to(folder).as_posix()
            mode = path.lstat().st_mode
            if not inside.isprintable():
                odd.append(f"{inside!r} (unprintable name)")
            elif stat.S_ISREG(mode):
                files[inside] = path
            elif not stat.S_ISDIR(mode):
                odd.append(f"{inside} (a link or device)")
    return dict(sorted(files.items())), odd


def _record_and_sync(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        os.fsync(file.fileno())
        return {"sha256": sha256, "bytes": os.fstat(file.fileno()).st_size}


def _versions() -> dict[str, str]:
    """Versions as installed, read from the package metadata: importing torch to ask it would take seconds."""
    found = {"python": platform.python_version()}
    for name in _DISTRIBUTIONS.split():
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _remove(config: dict[str, Any], keys: list[str]) -> None:
    for key in keys[:-1]:
        below = config.get(key)
        if not isinstance(below, dict):
            return
        config = below
    config.pop(keys[-1], None)
