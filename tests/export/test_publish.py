"""A bundle is copied whole or not at all."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from typing import Any

import pytest

from yibu.core.errors import Damaged, InputError, NoSpace
from yibu.core.recipe import Settings
from yibu.core.store import Artifact, Store, stage
from yibu.export import publish as module
from yibu.export.publish import publish


class Words(Settings):
    """One text."""

    text: str


@stage()
def bundle_of(settings: Words, work: Any) -> None:
    """Three files to be published, one that stays."""
    for name in ("bundle/a.txt", "bundle/model/b.txt", "bundle/z.txt", "parity.json"):
        work.write_text(name, settings.text)


@pytest.fixture
def bundle(tmp_path: Path) -> Artifact:
    return Store(tmp_path / "store").run(bundle_of, Words(text="one"))


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def full_at(name: str) -> Any:
    real = shutil.copyfile

    def copy(source: Path, target: Path) -> Any:
        if Path(target).name == name:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(source, target)

    return copy


def test_a_bundle_is_copied_and_nothing_else(tmp_path: Path, bundle: Artifact) -> None:
    out = publish(bundle, tmp_path / "out")
    assert files(out) == ["a.txt", "model/b.txt", "z.txt"]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    (out / "a.txt").write_text("a copy is one's own")
    assert bundle.file("bundle/a.txt").read_text() == "one"


def test_what_is_there_is_not_overwritten_unless_asked(tmp_path: Path, bundle: Artifact) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="already"):
        publish(bundle, out)
    assert files(out) == ["mine.txt"]
    publish(bundle, out, replace=True)
    assert files(out) == ["a.txt", "model/b.txt", "z.txt"]
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(out)
    for name in ("file", "link"):
        with pytest.raises(InputError, match="already"):
            publish(bundle, tmp_path / name, replace=True)
    with pytest.raises(InputError, match="folder above"):
        publish(bundle, tmp_path / "no" / "such")


@pytest.mark.parametrize("last", ["a.txt", "b.txt", "z.txt"])
def test_a_full_disk_leaves_nothing(
    tmp_path: Path, bundle: Artifact, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    monkeypatch.setattr(module.shutil, "copyfile", full_at(last))
    with pytest.raises(NoSpace, match="the export out"):
        publish(bundle, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_a_full_disk_leaves_the_old_one(tmp_path: Path, bundle: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "old.txt").write_text("old")
    monkeypatch.setattr(module.shutil, "copyfile", full_at("z.txt"))
    with pytest.raises(NoSpace):
        publish(bundle, out, replace=True)
    assert files(out) == ["old.txt"]


@pytest.mark.parametrize("renames", [0, 1])
def test_a_kill_leaves_the_old_or_the_new_one(
    tmp_path: Path, bundle: Artifact, monkeypatch: pytest.MonkeyPatch, renames: int
) -> None:
    """Killed before the first rename, or between the two; the next try ends well."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "old.txt").write_text("old")
    real, done = module.os.rename, []

    def rename(source: Any, target: Any) -> None:
        if len(done) == renames:
            raise KeyboardInterrupt
        done.append(target)
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(module.os, "rename", rename)
        with pytest.raises(KeyboardInterrupt):
            publish(bundle, out, replace=True)
    if out.exists():
        assert files(out) == ["old.txt"]
    publish(bundle, out, replace=True)
    assert files(out) == ["a.txt", "model/b.txt", "z.txt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "store"]


def test_bytes_that_changed_on_the_way_are_found(
    tmp_path: Path, bundle: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.shutil, "copyfile", lambda source, target: Path(target).write_text("two"))
    with pytest.raises(Damaged, match="not the one that was recorded"):
        publish(bundle, tmp_path / "out")
    assert not (tmp_path / "out").exists()
