"""Names of refs, their files, and their agreement with the ledger."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yibu.core.errors import Damaged, InputError
from yibu.core.refs import Refs, check_name

_A, _B = "model-" + "a" * 16, "model-" + "b" * 16
_DIGEST = "cd" * 32


@pytest.mark.parametrize(
    "name", ["production", "quickstart/model", "a/b/c", "v1.2_x-3", "门诊/模型", "9", "a" * 63, "prepare-0123"]
)
def test_good_names(name: str, tmp_path: Path) -> None:
    assert check_name(name) == name
    refs = Refs(tmp_path)
    refs.move(name, _A, _DIGEST, "")
    assert refs.read(name) == _A
    assert refs.names() == [name]


@pytest.mark.parametrize(
    "name",
    [
        "", "/", "/etc/passwd", "a/", "/a", "a//b", "..", "../a", "a/../b", "a/..", ".", ".hidden", "a/.b", "a.", "-rf",
        "a b", "a\n", "a\0b", "a:b", "a*", "a\\b", "~", "$HOME", "a;b", "a'b", "‮a", "a\u0301", "a.json", "a.json/b",
        "a" * 64, "/".join(["a" * 60] * 4), _A, "c:\\a", "a\u200bb", "ａ／ｂ", "\ud83d",
    ],
)  # fmt: skip
def test_bad_names_are_refused_and_nothing_is_written(name: str, tmp_path: Path) -> None:
    refs = Refs(tmp_path / "store")
    with pytest.raises(InputError, match="cannot be the name of a ref"):
        refs.move(name, _A, _DIGEST, "")
    with pytest.raises(InputError):
        refs.read(name)
    assert list(tmp_path.iterdir()) == []


@given(st.text(alphabet="ab./\\-_ \0中é", max_size=12))
def test_no_accepted_name_leaves_the_folder_or_hides_another_ref(name: str) -> None:
    try:
        check_name(name)
    except InputError:
        return
    path = Path("/store/refs") / f"{name}.json"
    assert path.resolve() == path
    assert path.relative_to("/store/refs").as_posix() == f"{name}.json"
    assert not any(part.endswith(".json") for part in path.parts[:-1]), "a folder of this name could be a ref's file"


def test_a_move_is_recorded_and_standing_still_is_not(tmp_path: Path) -> None:
    refs = Refs(tmp_path)
    assert refs.read("a/b") is None
    assert refs.all() == {}
    refs.move("a/b", _A, _DIGEST, "first")
    refs.move("a/b", _A, _DIGEST, "again")
    refs.move("a/b", _B, _DIGEST, "better")
    refs.move("a", _A, _DIGEST, "")
    assert refs.all() == {"a": _A, "a/b": _B}
    moves = [(entry.action, entry.ref, entry.before, entry.after, entry.why) for entry in refs.ledger.entries()]
    assert moves == [
        ("create", "a/b", None, _A, "first"),
        ("move", "a/b", _A, _B, "better"),
        ("create", "a", None, _A, ""),
    ]
    assert json.loads((tmp_path / "refs" / "a" / "b.json").read_text()) == {"ref": "a/b", "artifact": _B}
    assert refs.problems() == []


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"ref": "x", "artifact": 1}', '{"ref": "x", "artifact": "../../etc"}']
)
def test_a_broken_file_is_damage(tmp_path: Path, content: str) -> None:
    refs = Refs(tmp_path)
    refs.move("x", _A, _DIGEST, "")
    refs.move("y", _A, _DIGEST, "")
    (tmp_path / "refs" / "x.json").write_text(content)
    with pytest.raises(Damaged, match="'x'"):
        refs.read("x")
    assert refs.read("y") == _A
    (problem,) = refs.problems()
    assert problem.startswith("ref x: ")


def test_a_file_under_another_name_is_damage(tmp_path: Path) -> None:
    """Copying the file of one ref over that of another would promote without a record."""
    refs = Refs(tmp_path)
    refs.move("shadow", _B, _DIGEST, "")
    refs.move("production", _A, _DIGEST, "")
    (tmp_path / "refs" / "production.json").write_bytes((tmp_path / "refs" / "shadow.json").read_bytes())
    with pytest.raises(Damaged, match="'production'"):
        refs.read("production")


def test_files_that_contradict_the_ledger_are_found(tmp_path: Path) -> None:
    refs = Refs(tmp_path)
    for name in ("moved", "lost", "fine"):
        refs.move(name, _A, _DIGEST, "")
    (tmp_path / "refs" / "moved.json").write_text(json.dumps({"ref": "moved", "artifact": _B}))
    (tmp_path / "refs" / "lost.json").unlink()
    (tmp_path / "refs" / "new.json").write_text(json.dumps({"ref": "new", "artifact": _B}))
    assert refs.problems() == [
        f"ref moved names {_B}, but the ledger says {_A}",
        f"ref new names {_B}, but the ledger has no record of it",
        f"ref lost is missing; the ledger says {_A}",
    ]
