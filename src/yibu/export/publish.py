"""Copy a bundle to where a person wants it: all of it, or nothing under that name."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from yibu.core.disk import digest_file, space_for, sync_folder
from yibu.core.errors import Damaged, InputError
from yibu.core.store import Artifact
from yibu.export import BUNDLE

_COMING, _GOING = ".yibu-coming", ".yibu-going"


def publish(bundle: Artifact, out: Path, replace: bool = False) -> Path:
    """Copy the bundle of an export beside its target, check every byte against the store's record, then rename.

    A process that is killed, or a full disk, leaves nothing of that name; what it had copied is removed by the next
    try. With `replace` the old folder stays in its place until the new one is whole.

    Args:
        bundle: artifact of `yibu.export.export`.
        out: folder that will hold the files.
        replace: an existing folder may be replaced.

    Raises:
        InputError: something is there already, or the folder above is missing.
        NoSpace: the disk is full; the target is as it was.
        Damaged: a copied file is not the recorded one.
    """
    target = check_target(out, replace)
    coming, going = (target.with_name(f".{target.name}{mark}") for mark in (_COMING, _GOING))
    if (
        going.exists() and not target.exists()
    ):  # killed between the two renames: the old one is still the last whole one
        os.rename(going, target)
    for rest in (coming, going):
        shutil.rmtree(rest, ignore_errors=True)
    try:
        with space_for(f"the export {target.name}", target.parent):
            _copy(bundle, coming)
    except BaseException:
        shutil.rmtree(coming, ignore_errors=True)
        raise
    if target.exists():
        os.rename(target, going)
    os.rename(coming, target)
    sync_folder(target.parent)
    shutil.rmtree(going, ignore_errors=True)
    return target


def check_target(out: Path, replace: bool = False, make: bool = False) -> Path:
    """Refuse a target that could not be written, before hours of work.

    Args:
        make: the folder above may be made.

    Raises:
        InputError: something is there already and may not be replaced, or the folder above is missing.
    """
    target = out.absolute()
    if target.is_symlink() or (target.exists() and (not replace or not target.is_dir())):
        raise InputError(
            "There is something at this path already.",
            got=out,
            do="choose another one: --out DIR, or let it be replaced: --replace",
        )
    if make and target.parent.parent.is_dir():
        target.parent.mkdir(exist_ok=True)
    if not target.parent.is_dir():
        raise InputError("The folder above does not exist.", got=target.parent, do="make it, or choose another --out")
    return target


def _copy(bundle: Artifact, folder: Path) -> None:
    folder.mkdir()
    inside = f"{BUNDLE}/"
    for name, record in bundle.manifest.files.items():
        if not name.startswith(inside):
            continue
        copy = folder / name.removeprefix(inside)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(bundle.path / name, copy)
        copy.chmod(stat.S_IRUSR | stat.S_IWUSR | stat.S_IRGRP | stat.S_IROTH)
        with copy.open("rb") as file:
            os.fsync(file.fileno())
        if digest_file(copy) != record.sha256:
            raise Damaged("A file of the export is not the one that was recorded.", got=name, do="`yibu verify`")
    for place in {path.parent for path in folder.rglob("*")} | {folder}:
        sync_folder(place)
