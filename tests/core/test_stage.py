"""The decorator, and the folder that a stage writes into."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from yibu.core.errors import StoreError
from yibu.core.stage import Stage, Work, stage


def test_the_decorator_names_the_stage_after_its_function() -> None:
    @stage(version=3, neutral=("device",), resumable=True)
    def train(settings: object, work: Work) -> None: ...

    assert isinstance(train, Stage)
    assert (train.name, train.version, train.neutral, train.resumable) == ("train", 3, ("device",), True)
    assert train.external is None

    @stage(name="other", external=lambda settings: {"a": "b"})
    def something(settings: object, work: Work) -> None: ...

    assert (something.name, something.version, something.neutral, something.resumable) == ("other", 1, (), False)
    assert something.external is not None


@pytest.mark.parametrize("name", ["", "Prepare", "pre-pare", "../x", "1a", "a/b"])
def test_a_name_that_could_not_begin_an_id_is_our_own_bug(name: str) -> None:
    with pytest.raises(AssertionError):
        Stage(name, lambda settings, work: None)


def test_files_lie_inside_the_folder(tmp_path: Path) -> None:
    work = Work(tmp_path, fresh=True)
    path = work.file("a/b/c.txt")
    assert path == tmp_path / "a" / "b" / "c.txt"
    assert path.parent.is_dir()
    assert not path.exists()
    work.file("sub/manifest.json")
    work.file("a..b/…")
    for name in ("", ".", "..", "../x", "a/../../x", "/etc/x", "manifest.json", "./manifest.json", "scratch"):
        with pytest.raises(StoreError, match="may not write a file of this name"):
            work.file(name)


def test_json_and_text(tmp_path: Path) -> None:
    work = Work(tmp_path, fresh=True)
    work.write_json("a/x.json", {"值": [1, 2.5, None]})
    assert json.loads((tmp_path / "a" / "x.json").read_text(encoding="utf-8")) == {"值": [1, 2.5, None]}
    assert "值" in (tmp_path / "a" / "x.json").read_text(encoding="utf-8")
    work.write_text("t.txt", "中\n")
    assert (tmp_path / "t.txt").read_bytes() == "中\n".encode()


@pytest.mark.parametrize("value", [float("nan"), {"a": float("-inf")}, object(), {1, 2}])
def test_what_is_not_json_is_refused_by_name_and_not_written(tmp_path: Path, value: object) -> None:
    with pytest.raises(StoreError, match=r"metrics\.json cannot be written as JSON"):
        Work(tmp_path, fresh=True).write_json("metrics.json", value)
    assert list(tmp_path.iterdir()) == []


def test_scratch_is_made_when_asked_for(tmp_path: Path) -> None:
    work = Work(tmp_path, fresh=True)
    assert list(tmp_path.iterdir()) == []
    assert work.scratch == work.scratch == tmp_path / "scratch"
    assert work.scratch.is_dir()
    work.file("scratch/checkpoint-1/x")
