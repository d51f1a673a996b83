"""The store: a run is a chain of artifacts, each a finished folder named by the hash of what made it.

``store.run(stage, settings, **inputs)`` makes the id from the stage, its version, its settings, the digests of what
it reads from outside and the ids of its inputs. If that artifact exists, it is returned; else the stage's function
writes into a work folder, which becomes the artifact by one rename after all its bytes and its manifest are on the
disk. So a half-made artifact cannot be seen, and running again redoes nothing.

::

    <root>/artifacts/<id>/...      finished, files read-only       <root>/refs/<ref>.json
    <root>/work/<id>/              being made, or killed           <root>/ledger.jsonl, ledger.head.json
    <root>/locks/<id>.lock         flock, see `yibu.core.lock`
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from yibu.core import artifact as artifacts
from yibu.core import log
from yibu.core.artifact import MANIFEST, Artifact, Manifest, Origin, open_artifact
from yibu.core.disk import (
    digest_file,
    digest_folder,
    is_full_disk,
    remove_temporary,
    space_for,
    sync_folder,
    write_atomically,
)
from yibu.core.errors import Damaged, InputError, NoSpace, StoreError, YibuError, nearest
from yibu.core.ledger import Entry
from yibu.core.lock import hold
from yibu.core.machine import give_back_memory
from yibu.core.recipe import Settings
from yibu.core.refs import Refs
from yibu.core.stage import SCRATCH, Stage, Work, stage

__all__ = [
    "Artifact",
    "Entry",
    "Manifest",
    "Stage",
    "Store",
    "Work",
    "digest_file",
    "digest_folder",
    "stage",
    "write_atomically",
]

_logger = log.get("store")


class Store:
    """Artifacts, refs and the ledger below one folder. Nothing is created before something is written.

    Args:
        root: the folder; else ``$YIBU_STORE``, else ``.yibu`` in the working directory.
    """

    def __init__(self, root: Path | str | None = None) -> None:
        self.root = Path(root or os.environ.get("YIBU_STORE") or ".yibu").absolute()
        self._artifacts = self.root / "artifacts"
        self._refs = Refs(self.root)
        if self._refs.ledger.interrupted():
            self._heal()

    def run(self, stage: Stage, settings: Settings, /, **inputs: Artifact) -> Artifact:
        """The artifact of a stage, made now unless it exists.

        Any number of processes may ask for it at once: one makes it, the others wait and return what it made.

        Args:
            stage: what to do.
            settings: with which settings.
            inputs: artifacts, by the name of the function's argument.

        Raises:
            NoSpace: the disk is full; nothing half-made is left, but the work folder of a resumable stage.
            Damaged: the artifact exists and is not as it was made.
            StoreError: the function left something that cannot be kept, or its source changed while it was read.
        """
        origin = self._origin(stage, settings, inputs)
        found = self.find(origin.id)
        if found is None:
            self._make_root()
            with hold(self.root / "locks" / f"{origin.id}.lock", origin.id):
                found = self.find(origin.id)  # another process may have made it while this one waited
                if found is None:
                    return self._make(stage, settings, inputs, origin)
        _logger.info("already done: %s", origin.id)
        return found

    def artifact_id(self, stage: Stage, settings: Settings, /, **inputs: Artifact) -> str:
        """The id of what `run` would return for the same arguments."""
        return self._origin(stage, settings, inputs).id

    def find(self, id: str) -> Artifact | None:
        """The artifact with this id, None where it has not been made.

        Raises:
            Damaged: it is there and not as it was made.
        """
        folder = self._artifacts / id
        return open_artifact(folder) if (folder / MANIFEST).is_file() else None

    def get(self, name: str) -> Artifact:
        """The artifact with this id, of this ref, or whose id alone begins so.

        Raises:
            StoreError: nothing or more than one thing has this name; names the nearest.
            Damaged: what it names is missing or not as it was made.
        """
        id = self._resolve(name)
        found = self.find(id)
        if found is None:
            raise Damaged(f"The ref {name!r} names {id}, which is not in the store.", got=self.root, do="`yibu verify`")
        return found

    def artifacts(self) -> list[Artifact]:
        """All finished artifacts, the oldest first; a damaged one is left out with a warning."""
        found = []
        for id in self._ids():
            try:
                found.append(open_artifact(self._artifacts / id))
            except Damaged as error:
                _logger.warning("%s", error.what)
        return sorted(found, key=lambda item: (item.manifest.started, item.id))

    def set_ref(self, ref: str, artifact: Artifact, why: str = "") -> None:
        """Point a ref at an artifact of this store and record the move; no move, no record.

        Args:
            ref: a name such as ``production`` or ``quickstart/model``, see `yibu.core.refs.check_name`.
            artifact: of this store.
            why: the reason, for the ledger.

        Raises:
            InputError: no possible name. StoreError: the artifact is not in this store.
            Damaged: the artifact or the ledger is. NoSpace: the disk is full; neither record nor move remains.
        """
        if self.find(artifact.id) is None:
            raise StoreError("A ref can only name an artifact of the same store.", got=artifact.id, allowed=self.root)
        digest = digest_file(self._artifacts / artifact.id / MANIFEST)
        with self._ledger_lock():
            self._refs.recover()
            self._refs.move(ref, artifact.id, digest, why)

    def refs(self) -> dict[str, str]:
        """Id of the artifact that each ref names."""
        return self._refs.all()

    def named(self, ref: str) -> str | None:
        """Id of the artifact that a ref names, which need not be there; None where there is no such ref.

        Raises:
            InputError: no possible name. Damaged: the file of the ref is.
        """
        return self._refs.read(ref)

    def ref(self, name: str) -> Artifact | None:
        """The artifact that a ref names, None where there is no such ref.

        Raises:
            Damaged: the artifact is missing or not as it was made.
        """
        return None if self._refs.read(name) is None else self.get(name)

    def ledger(self) -> list[Entry]:
        """Every move of every ref, the oldest first.

        Raises:
            Damaged: the ledger's chain is broken; names the record.
        """
        return self._refs.ledger.entries()

    def verify(self, name: str | None = None) -> list[str]:
        """Everything that is not as it was recorded; [] where all is well. Hashes every file, so it takes a while.

        Args:
            name: an id, its beginning or a ref: check that artifact and all that it was made from. None: all
                artifacts, the ledger, and whether the refs agree with it.

        Raises:
            StoreError: nothing has this name.
        """
        if name is not None:
            return self._verify_lineage(self._resolve(name))
        if not self.root.exists():
            return []
        known = self._ids(finished=False)
        found: list[str] = []
        for id in known:
            manifest, problems = artifacts.inspect(self._artifacts / id)
            found += [f"{id}: {problem}" for problem in problems]
            inputs = manifest.inputs if manifest is not None else {}
            found += [f"{id}: its input {name} is gone: {gone}" for name, gone in inputs.items() if gone not in known]
        return found + self._verify_refs(known)

    def _origin(self, stage: Stage, settings: Settings, inputs: dict[str, Artifact]) -> Origin:
        config = settings.as_config()
        for key in stage.neutral:
            assert key.partition(".")[0] in config, f"{stage.name}: there is no setting {key!r} to be neutral"
        external = stage.external(settings) if stage.external is not None else {}
        ids = {name: item.id for name, item in inputs.items()}
        return Origin(stage.name, stage.version, config, stage.neutral, ids, external)

    def _make(self, stage: Stage, settings: Settings, inputs: dict[str, Artifact], origin: Origin) -> Artifact:
        if (self._artifacts / origin.id).exists():
            raise Damaged(
                f"{origin.id} has no {MANIFEST}, so it is not a finished artifact, but its folder is there.",
                got=self._artifacts / origin.id,
                do="if nothing in that folder is needed, remove it and run again",
            )
        folder = self.root / "work" / origin.id
        work = self._open_work(folder, stage)
        if work is None:
            _logger.info("%s was finished by a run that was killed before it could publish it", origin.id)
            return self._publish(folder)
        _logger.info("%s %s", "making" if work.fresh else "resuming", origin.id)
        started, clock = datetime.now(UTC).isoformat(timespec="milliseconds"), time.monotonic()
        try:
            with self._space_for(stage, folder):
                stage.function(settings, work, **inputs)
                if stage.external is not None and stage.external(settings) != origin.external:
                    raise StoreError(
                        f"What the stage {stage.name!r} reads changed while it was reading.",
                        got=sorted(origin.external),
                        do="run again when nothing writes to it any more",
                    )
                seconds = time.monotonic() - clock
                notes = work.notes if work.fresh else {**work.notes, "resumed": True}
                artifacts.seal(folder, origin, started, seconds, notes, leave_out=SCRATCH)
                made = self._publish(folder)
        except BaseException:
            if not stage.resumable:
                shutil.rmtree(folder, ignore_errors=True)
            raise
        finally:
            give_back_memory()  # or stages one after the other, as folds are, hold what the largest of each needed
        _logger.info("made %s in %.1f s", made.id, seconds)
        return made

    def _open_work(self, folder: Path, stage: Stage) -> Work | None:
        """The work folder for a stage; None where a killed run had sealed it and only the publishing is left."""
        if (folder / MANIFEST).is_file():
            shutil.rmtree(folder / SCRATCH, ignore_errors=True)
            if not artifacts.inspect(folder)[1]:
                return None
            shutil.rmtree(folder)
        if folder.exists() and not stage.resumable:
            shutil.rmtree(folder)
        with space_for(f"the work folder of the stage {stage.name!r}", self.root):
            folder.mkdir(parents=True, exist_ok=True)
        remove_temporary(folder)
        return Work(folder, fresh=not any(folder.iterdir()))

    def _publish(self, folder: Path) -> Artifact:
        shutil.rmtree(folder / SCRATCH, ignore_errors=True)
        for path in folder.rglob("*"):
            if path.is_file():
                path.chmod(stat.S_IMODE(path.stat().st_mode) & ~0o222)
        self._artifacts.mkdir(exist_ok=True)
        target = self._artifacts / folder.name
        os.rename(folder, target)
        sync_folder(self._artifacts)
        sync_folder(folder.parent)
        return open_artifact(target)

    @contextlib.contextmanager
    def _space_for(self, stage: Stage, folder: Path) -> Iterator[None]:
        """`space_for`, which names the file that was being written: the youngest in the work folder."""
        try:
            yield
        except Exception as error:
            if isinstance(error, YibuError) or not is_full_disk(error):
                raise
            files = [path for path in folder.rglob("*") if path.is_file()]
            youngest = max(files, key=lambda path: path.stat().st_mtime_ns, default=None)
            name = "its first file" if youngest is None else youngest.relative_to(folder).as_posix()
            with space_for(f"the output of the stage {stage.name!r} (last written: {name})", folder):
                raise error

    def _verify_refs(self, known: list[str]) -> list[str]:
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(self._ledger_lock())
                self._refs.recover()
            except (NoSpace, OSError) as error:  # full, or not ours to write: look at it as it is
                _logger.warning("the ledger is read without its lock: %s", error)
            found = self._refs.ledger.check()[1]
            if found:  # what a broken ledger says about refs proves nothing
                words = {}
            else:
                found, words = self._refs.problems(), self._refs.last_words()
        for ref in self._refs.names():
            with contextlib.suppress(Damaged, InputError):  # reported above
                if (named := self._refs.read(ref)) not in known:
                    found.append(f"ref {ref} is dangling: {named} is not in the store")
        for ref, entry in words.items():
            manifest = self._artifacts / entry.after / MANIFEST
            if manifest.is_file() and digest_file(manifest) != entry.manifest:
                found.append(f"{entry.after}: {MANIFEST} is not the one to which {ref} was moved")
        return found

    def _verify_lineage(self, id: str) -> list[str]:
        known = self._ids(finished=False)
        found: list[str] = []
        seen: set[str] = set()
        waiting = [(id, "it")]
        while waiting:
            id, role = waiting.pop()
            if id in seen:
                continue
            seen.add(id)
            if id not in known:
                found.append(f"{id}: {role} is not in the store")
                continue
            manifest, problems = artifacts.inspect(self._artifacts / id)
            found += [f"{id}: {problem}" for problem in problems]
            if manifest is not None:
                waiting += [(below, f"the input {name} of {id}") for name, below in manifest.inputs.items()]
        return found

    def _resolve(self, name: str) -> str:
        """The id that a name stands for; the artifact of a ref need not exist."""
        ids, refs = self._ids(), self._refs.names()
        if name in ids:
            return name
        if name in refs and (named := self._refs.read(name)) is not None:
            return named
        matches = [id for id in ids if name and id.startswith(name)]
        if len(matches) > 1:
            raise StoreError("More than one artifact begins with this name.", got=name, allowed=matches)
        if not matches:
            close = nearest(name, [*refs, *ids])
            raise StoreError(
                "There is no artifact or ref of this name in the store.",
                got=name,
                allowed=[*refs, *ids] or f"nothing: the store {self.root} is empty",
                do=f"did you mean {close!r}?" if close else None,
            )
        return matches[0]

    def _ids(self, finished: bool = True) -> list[str]:
        if not self._artifacts.is_dir():
            return []
        return sorted(p.name for p in self._artifacts.iterdir() if not finished or (p / MANIFEST).is_file())

    def _make_root(self) -> None:
        with space_for("the store", self.root):
            try:
                self.root.mkdir(parents=True, exist_ok=True)
            except (FileExistsError, NotADirectoryError, PermissionError) as error:
                raise StoreError(
                    "The store's folder cannot be made.", got=error, do="set YIBU_STORE to a folder that can be written"
                ) from error

    @contextlib.contextmanager
    def _ledger_lock(self) -> Iterator[None]:
        self._make_root()
        with hold(self.root / "locks" / "ledger.lock", "the ledger"):
            yield

    def _heal(self) -> None:
        """Finish a move that a crash interrupted, unless another process is in the middle of it."""
        try:
            with hold(self.root / "locks" / "ledger.lock", "the ledger", wait=False) as held:
                if held:
                    self._refs.recover()
        except (NoSpace, OSError) as error:
            _logger.warning("an interrupted move of a ref cannot be finished now: %s", error)
