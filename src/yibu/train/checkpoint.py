"""Checkpoints that survive ``kill -9``: safetensors and JSON, hashed, written aside and renamed into place.

safetensors has no checksum of its own (a flipped bit loads in silence), so each checkpoint carries the SHA-256 of its
files; a damaged one is reported and the one before it is used.

Tensors are written from where they lie. As bytes in memory first they would take twice their size there, and with full
fine-tuning that alone is more than the model.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from yibu.core.disk import space_for, sync_folder
from yibu.core.errors import InputError
from yibu.core.log import get
from yibu.core.store import digest_file, write_atomically

log = get("checkpoint")
KEEP = 2


def save_checkpoint(folder: Path, step: int, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    """Write one checkpoint; `KEEP` newest stay.

    Args:
        folder: holds all checkpoints of the run.
        step: optimizer steps done.
        tensors: everything that is a tensor (weights, optimizer, RNG).
        state: everything else, as JSON.

    Raises:
        NoSpace: the disk is full; earlier checkpoints are untouched.
    """
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / f".writing-{step:08d}"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    try:
        num_bytes = sum(tensor.nbytes for tensor in tensors.values())
        with space_for(f"the checkpoint of step {step}, {num_bytes:,} bytes", folder):
            _write_tensors(aside / "tensors.safetensors", tensors)
        write_atomically(aside / "state.json", json.dumps(state))
        digests = {name: digest_file(aside / name) for name in ("tensors.safetensors", "state.json")}
        write_atomically(aside / "digests.json", json.dumps(digests))
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    final = folder / f"step-{step:08d}"
    shutil.rmtree(final, ignore_errors=True)
    aside.rename(final)
    sync_folder(folder)
    for old in sorted(folder.glob("step-*"))[:-KEEP]:
        shutil.rmtree(old)


def _write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    with path.open("rb") as file:
        os.fsync(file.fileno())


def load_checkpoint(folder: Path) -> tuple[int, dict[str, Tensor], dict[str, Any]] | None:
    """The newest checkpoint whose bytes are those that were written, or None."""
    for path in sorted(folder.glob("step-*"), reverse=True):
        problem = _damage(path)
        if problem is None:
            return read_checkpoint(folder, int(path.name.removeprefix("step-")))
        log.warning("checkpoint %s is damaged (%s); going back to the one before it", path.name, problem)
        shutil.rmtree(path)
    return None


def read_checkpoint(folder: Path, step: int) -> tuple[int, dict[str, Tensor], dict[str, Any]]:
    """The checkpoint of this step, which was found to be whole.

    Raises:
        InputError: it cannot be seen from here.
    """
    path = folder / f"step-{step:08d}"
    if not path.is_dir():
        raise InputError(
            "The checkpoint that the run goes on from cannot be seen from this machine.",
            got=path,
            do="put the store on a folder that all machines of the run see at the same path (--store)",
        )
    state: dict[str, Any] = json.loads((path / "state.json").read_text(encoding="utf-8"))
    return step, load_file(path / "tensors.safetensors"), state


def newest_step(folder: Path) -> int:
    """Steps done by the newest checkpoint that is there, whole or not; 0 where there is none."""
    return max((int(path.name.removeprefix("step-")) for path in folder.glob("step-*")), default=0)


def _damage(path: Path) -> str | None:
    try:
        digests = json.loads((path / "digests.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "digests.json cannot be read"
    for name in ("tensors.safetensors", "state.json"):
        if not (path / name).is_file():
            return f"{name} is missing"
        if digest_file(path / name) != digests.get(name):
            return f"{name} has other bytes than were written"
    return None
