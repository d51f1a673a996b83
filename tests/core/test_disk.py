"""Digests, whole-or-absent writes, a full disk."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yibu.core.disk import (
    digest_file,
    digest_folder,
    digest_json,
    is_full_disk,
    remove_temporary,
    space_for,
    write_atomically,
)
from yibu.core.errors import InputError, NoSpace, YibuError


def test_digest_file_is_sha256_of_the_bytes(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"abc")
    assert digest_file(file) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert digest_file(str(file)) == hashlib.sha256(b"abc").hexdigest()


def test_digest_of_what_is_not_there_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file"):
        digest_file(tmp_path / "nothing")
    with pytest.raises(InputError, match="no file"):
        digest_file(tmp_path)
    with pytest.raises(InputError, match="no folder"):
        digest_folder(tmp_path / "nothing")


def _folder(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_digest_folder_sees_names_and_bytes_and_not_the_place(tmp_path: Path) -> None:
    files = {"a.txt": "1", "b/c.txt": "2", "b/.hidden": "3"}
    first = digest_folder(_folder(tmp_path / "one", files))
    assert digest_folder(_folder(tmp_path / "two", dict(reversed(files.items())))) == first
    others = [
        {**files, "a.txt": "2"},
        {"a.txt": "1", "b/c.txt": "2"},
        {"a2.txt": "1", "b/c.txt": "2", "b/.hidden": "3"},
        {"a.txt": "1", "b/c.txt": "3", "b/.hidden": "2"},
        {"a.txt": "1", "c.txt": "2", "b/.hidden": "3"},
    ]
    digests = {digest_folder(_folder(tmp_path / f"other{i}", other)) for i, other in enumerate(others)}
    assert len(digests | {first}) == len(others) + 1


def test_digest_folder_reads_through_links(tmp_path: Path) -> None:
    """The hub's cache holds a model as links to blobs: the digest must be that of what is read."""
    plain = _folder(tmp_path / "plain", {"model/config.json": "{}", "model/w": "weights"})
    blobs = _folder(tmp_path / "blobs", {"1": "{}", "2": "weights"})
    linked = tmp_path / "linked"
    (linked / "model").mkdir(parents=True)
    (linked / "model" / "config.json").symlink_to(blobs / "1")
    (linked / "model" / "w").symlink_to(blobs / "2")
    assert digest_folder(linked) == digest_folder(plain)
    (blobs / "2").write_text("others")
    assert digest_folder(linked) != digest_folder(plain)


def test_digest_folder_enters_a_linked_folder_and_ends_in_a_loop(tmp_path: Path) -> None:
    outside = _folder(tmp_path / "outside", {"x": "1"})
    inside = _folder(tmp_path / "inside", {"y": "1"})
    (inside / "link").symlink_to(outside)
    (outside / "back").symlink_to(inside)
    before = digest_folder(inside)
    (outside / "x").write_text("2")
    assert digest_folder(inside) != before


def test_digest_folder_does_not_depend_on_the_order_in_which_the_disk_lists_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = _folder(tmp_path / "outside", {"x": "1"})
    inside = _folder(tmp_path / "inside", {"y": "1", "p/z": "2", "q/z": "3"})
    for name in ("p/link", "q/link"):
        (inside / name).symlink_to(outside)

    class Listing(list):
        def __enter__(self) -> Listing:
            return self

        def __exit__(self, *error: object) -> None: ...

        def __next__(self) -> os.DirEntry[str]:
            if self:
                return self.pop()
            raise StopIteration

    digests = set()
    real = os.scandir
    for reverse in (False, True):
        monkeypatch.setattr(
            os, "scandir", lambda top, r=reverse: Listing(sorted(real(top), key=lambda entry: entry.name, reverse=r))
        )
        digests.add(digest_folder(inside))
    assert len(digests) == 1


def test_digest_folder_refuses_a_link_that_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "dead").symlink_to(tmp_path / "gone")
    with pytest.raises(InputError, match="no file"):
        digest_folder(tmp_path)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=4,
)


@given(st.dictionaries(st.text(), _json, max_size=3))
def test_digest_json_does_not_depend_on_the_order_of_keys(value: dict[str, object]) -> None:
    assert digest_json(value) == digest_json(dict(reversed(value.items())))


def test_digest_json_tells_values_apart_and_refuses_what_json_lacks() -> None:
    values = [1, 1.5, "1", True, None, [], {}, [1], ["1"], {"a": 1}, {"a": [1]}, "中", "\ud83d"]
    assert len({digest_json(value) for value in values}) == len(values)
    with pytest.raises(ValueError, match="JSON"):
        digest_json(float("nan"))
    with pytest.raises(TypeError):
        digest_json({"a": object()})


def test_write_atomically_writes_texts_and_bytes_and_makes_folders(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a" / "b.txt", "值")
    assert (tmp_path / "a" / "b.txt").read_bytes() == "值".encode()
    write_atomically(str(tmp_path / "a" / "b.txt"), b"\xff")
    assert (tmp_path / "a" / "b.txt").read_bytes() == b"\xff"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.txt"]


def test_write_atomically_keeps_the_longest_name_that_a_folder_takes(tmp_path: Path) -> None:
    write_atomically(tmp_path / ("n" * 255), "x")
    assert (tmp_path / ("n" * 255)).read_text() == "x"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.EIO, "broken disk")])
def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    file = tmp_path / "a.txt"
    file.write_text("old")

    def interrupt(descriptor: int) -> None:
        raise error

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(type(error)):
        write_atomically(file, "new")
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_reader_sees_the_old_bytes_or_the_new_ones_at_every_kill(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    for number in range(1, 4):
        file.write_text("old")
        child = os.fork()
        if child == 0:
            calls = 0
            real = os.fsync

            def kill_at(descriptor: int, number: int = number, real: object = real) -> None:
                nonlocal calls
                calls += 1
                if calls == number:
                    os.kill(os.getpid(), 9)

            os.fsync = kill_at
            write_atomically(file, "new" * 1000)
            os._exit(0)
        os.waitpid(child, 0)
        assert file.read_text() in ("old", "new" * 1000)
        remove_temporary(tmp_path)
        assert list(tmp_path.iterdir()) == [file]


def test_a_full_disk_is_told_as_such_and_the_old_file_stays(small_disk: Any) -> None:
    file = small_disk.path / "a.json"
    write_atomically(file, "old")
    small_disk.fill()
    with pytest.raises(NoSpace) as caught:
        write_atomically(file, b"x" * 50_000)
    assert "a.json" in caught.value.what
    assert "50,000 bytes" in caught.value.what
    assert "bytes free" in str(caught.value.got)
    assert str(small_disk.path) in str(caught.value.got)
    assert "YIBU_STORE" in (caught.value.do or "")
    assert file.read_text() == "old"
    assert sorted(path.name for path in small_disk.path.iterdir()) in (["a.json"], ["a.json", "filler"])
    small_disk.free()
    write_atomically(file, "new")
    assert file.read_text() == "new"


def _write_many(folder: Path) -> None:
    for number in range(20):
        write_atomically(folder / str(number), "x")


def test_a_disk_without_inodes_is_told_as_such(small_disk: Any) -> None:
    if not small_disk.mounted:
        with pytest.raises(NoSpace), space_for("a", small_disk.path):
            raise OSError(errno.ENOSPC, "injected")
        return
    subprocess.run(["mount", "-o", "remount,nr_inodes=8", str(small_disk.path)], check=True, timeout=30)
    with pytest.raises(NoSpace, match="no inode free"):
        _write_many(small_disk.path)


def test_full_disks_are_known_by_number_by_text_and_by_cause() -> None:
    assert is_full_disk(OSError(errno.ENOSPC, "x"))
    assert is_full_disk(OSError(errno.EDQUOT, "x"))
    # The text of safetensors' own error class, which is no OSError.
    assert is_full_disk(RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"))
    wrapped = RuntimeError("could not save")
    wrapped.__cause__ = OSError(errno.ENOSPC, "x")
    assert is_full_disk(wrapped)
    assert not is_full_disk(OSError(errno.EIO, "broken disk"))
    assert not is_full_disk(ValueError("space"))
    assert not is_full_disk(None)


def test_space_for_lets_other_errors_and_our_own_pass(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), space_for("x", tmp_path):
        raise PermissionError(errno.EACCES, "no")
    with pytest.raises(KeyboardInterrupt), space_for("x", tmp_path):
        raise KeyboardInterrupt
    ours = YibuError("told already")
    ours.__cause__ = OSError(errno.ENOSPC, "x")
    with pytest.raises(YibuError) as caught, space_for("x", tmp_path):
        raise ours
    assert caught.value is ours
