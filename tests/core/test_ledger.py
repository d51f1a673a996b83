"""The ledger: every kind of tampering is found and named, every crash is healed, a full disk leaves no half record."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from yibu.core.disk import digest_json
from yibu.core.errors import Damaged, NoSpace
from yibu.core.ledger import GENESIS, Ledger

_NUM = 4


class Target:
    """What a move moves, in place of the refs: one file a ref, so that it outlives a killed process."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __call__(self, ref: str, artifact: str | None) -> None:
        (self.root / f"ref-{ref}").write_text(artifact or "")

    def get(self, ref: str = "r") -> str | None:
        path = self.root / f"ref-{ref}"
        return (path.read_text() or None) if path.exists() else None


def _move(root: Path, after: str, ref: str = "r", why: str = "") -> None:
    target = Target(root)
    before = target.get(ref)
    Ledger(root).append("move" if before else "create", ref, before, after, "ab" * 32, why, target)


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    for number in range(1, _NUM + 1):
        _move(tmp_path, f"model-{number}", why=f"because {number}")
    return tmp_path


def _lines(root: Path) -> list[str]:
    return (root / "ledger.jsonl").read_text().splitlines()


def _write(root: Path, lines: list[str]) -> None:
    (root / "ledger.jsonl").write_text("".join(line + "\n" for line in lines))


def test_an_empty_ledger_is_whole(tmp_path: Path) -> None:
    assert Ledger(tmp_path).entries() == []
    assert Ledger(tmp_path).check() == ([], [])


def test_records_say_who_moved_what_when_why_and_are_chained(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YIBU_ACTOR", "李雷")
    _move(filled, "model-5", why="更好\n两行 \ud83d")
    entries = Ledger(filled).entries()
    assert [entry.seq for entry in entries] == [1, 2, 3, 4, 5]
    assert [entry.prev for entry in entries] == [GENESIS, *(entry.hash for entry in entries[:-1])]
    last = entries[-1]
    assert (last.actor, last.action, last.ref) == ("李雷", "move", "r")
    assert (last.before, last.after, last.why) == ("model-4", "model-5", "更好\n两行 ?")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", last.time)
    assert entries[0].action == "create"
    assert entries[0].before is None
    assert entries[0].actor != "李雷"
    written = json.loads(_lines(filled)[-1])
    assert set(written) == {
        "seq", "time", "actor", "action", "ref", "from", "to", "manifest", "why", "prev", "hash",
    }  # fmt: skip
    assert written["hash"] == digest_json({key: value for key, value in written.items() if key != "hash"})
    assert json.loads((filled / "ledger.head.json").read_text()) == {"seq": 5, "hash": last.hash, "pending": None}
    assert Target(filled).get() == "model-5"


def _change(key: str, value: object, rehash: bool = False) -> Callable[[list[str], int], list[str]]:
    def apply(lines: list[str], index: int) -> list[str]:
        record = json.loads(lines[index - 1])
        record[key] = value
        if rehash:
            record["hash"] = digest_json({key: value for key, value in record.items() if key != "hash"})
        return [*lines[: index - 1], json.dumps(record), *lines[index:]]

    return apply


def _swap(lines: list[str], index: int) -> list[str]:
    other = index % len(lines)  # the next one, the first after the last
    lines[index - 1], lines[other] = lines[other], lines[index - 1]
    return lines


def _respace(lines: list[str], index: int) -> list[str]:
    lines[index - 1] = lines[index - 1].replace(": ", ":")
    return lines


# What is done to record `index`, and the offset of the first record that must be named.
_TAMPERING: dict[str, tuple[Callable[[list[str], int], list[str]], int]] = {
    "changed": (_change("to", "model-0"), 0),
    "changed reason": (_change("why", ""), 0),
    "changed and rehashed": (_change("to", "model-0", rehash=True), 1),
    "exchanged hash": (_change("hash", "00" * 32), 0),
    "number": (_change("seq", 7, rehash=True), 0),
    "one key more": (_change("note", "x", rehash=True), 0),
    "deleted": (lambda lines, index: lines[: index - 1] + lines[index:], 0),
    "doubled": (lambda lines, index: lines[:index] + lines[index - 1 :], 1),
    "inserted": (lambda lines, index: [*lines[: index - 1], lines[0], *lines[index - 1 :]], 0),
    "emptied": (lambda lines, index: [*lines[: index - 1], "", *lines[index:]], 0),
    "other spacing": (_respace, 0),
}  # fmt: skip


@pytest.mark.parametrize("index", range(1, _NUM + 1))
@pytest.mark.parametrize("name", _TAMPERING)
def test_tampering_is_found_at_its_record(filled: Path, name: str, index: int) -> None:
    tamper, offset = _TAMPERING[name]
    lines = tamper(_lines(filled), index)
    if name == "inserted" and index == 1:
        offset = 1  # the first record twice: the second of the two is the wrong one
    if name == "changed and rehashed" and index == _NUM:
        offset = 0  # nothing follows that could contradict it, but the head does
    _write(filled, lines)
    found = Ledger(filled).check()[1]
    assert len(found) == 1
    assert re.search(rf"ledger record {index + offset}\b", found[0]), found
    with pytest.raises(Damaged, match=f"record {index + offset}"):
        Ledger(filled).entries()


@pytest.mark.parametrize("index", range(1, _NUM))
def test_reordered_records_are_found(filled: Path, index: int) -> None:
    _write(filled, _swap(_lines(filled), index))
    assert f"ledger record {index} " in Ledger(filled).check()[1][0]


@pytest.mark.parametrize("kept", range(_NUM))
def test_a_cut_end_is_found(filled: Path, kept: int) -> None:
    _write(filled, _lines(filled)[:kept])
    (problem,) = Ledger(filled).check()[1]
    assert problem == f"ledger record {kept + 1} is missing: the end was cut off, {_NUM} records were written"


def test_a_deleted_ledger_is_found(filled: Path) -> None:
    (filled / "ledger.jsonl").unlink()
    assert "ledger record 1 is missing" in Ledger(filled).check()[1][0]


def test_a_record_cut_in_its_middle_is_found_by_number(filled: Path) -> None:
    raw = (filled / "ledger.jsonl").read_bytes()
    for length in range(1, 40):
        (filled / "ledger.jsonl").write_bytes(raw[:-length])
        assert f"ledger record {_NUM} is missing" in Ledger(filled).check()[1][0]
    (filled / "ledger.jsonl").write_bytes(raw + b'{"seq"')
    assert f"ledger record {_NUM + 1} is cut short" in Ledger(filled).check()[1][0]


def test_a_forged_record_at_the_end_is_found_though_its_hashes_are_right(filled: Path) -> None:
    lines = _lines(filled)
    forged = {**json.loads(lines[-1]), "seq": _NUM + 1, "to": "model-evil", "prev": json.loads(lines[-1])["hash"]}
    del forged["hash"]
    forged["hash"] = digest_json(forged)
    _write(filled, [*lines, json.dumps(forged)])
    assert f"ledger record {_NUM + 1} was added" in Ledger(filled).check()[1][0]


def test_a_ledger_rewritten_from_one_record_on_contradicts_the_head(filled: Path) -> None:
    for path in filled.iterdir():
        if path.name != "ledger.head.json":
            path.unlink()
    head = (filled / "ledger.head.json").read_bytes()
    (filled / "ledger.head.json").unlink()
    for number in range(1, _NUM + 1):
        _move(filled, f"other-{number}")
    (filled / "ledger.head.json").write_bytes(head)
    assert f"ledger record {_NUM} is not the one that ledger.head.json names" in Ledger(filled).check()[1][0]


def test_a_missing_or_broken_head_is_found(filled: Path) -> None:
    (filled / "ledger.head.json").write_text('{"seq": 4}')
    assert "exchanged" in Ledger(filled).check()[1][0]
    (filled / "ledger.head.json").write_text("{")
    assert "ledger.head.json cannot be read" in Ledger(filled).check()[1][0]
    (filled / "ledger.head.json").unlink()
    assert "ledger.head.json is missing" in Ledger(filled).check()[1][0]


def test_no_flipped_bit_goes_unseen_and_the_right_record_is_named(filled: Path) -> None:
    path = filled / "ledger.jsonl"
    good = path.read_bytes()
    ends = [place for place, byte in enumerate(good) if byte == ord("\n")]
    for place in sorted({*range(0, len(good), 4), *ends}):
        bad = bytearray(good)
        bad[place] ^= 1 << (place % 7)
        path.write_bytes(bytes(bad))
        index = good[:place].count(b"\n") + 1
        found = Ledger(filled).check()[1]
        assert found, place
        # A destroyed line end joins the record with the next one, or cuts it off.
        assert re.search(rf"record {index}\b", found[0]), (place, found)


def test_nothing_is_added_to_a_damaged_ledger(filled: Path) -> None:
    _write(filled, _change("to", "model-0")(_lines(filled), 2))
    before = {path.name: path.read_bytes() for path in filled.iterdir()}
    with pytest.raises(Damaged, match="record 2"):
        _move(filled, "model-9")
    assert {path.name: path.read_bytes() for path in filled.iterdir()} == before


class _Killed(Exception):
    pass


def _crash_at(root: Path, number: int, kill: bool) -> bool:
    """Move ``r`` to model-new, and die (or fail) at the n-th durable step. False where the move has fewer steps."""
    child = os.fork()
    if child == 0:
        calls = 0
        real_sync, real_call = os.fsync, Target.__call__

        def step() -> None:
            nonlocal calls
            calls += 1
            if calls == number:
                if kill:
                    os.kill(os.getpid(), 9)
                raise _Killed

        def sync(descriptor: int) -> None:
            step()
            real_sync(descriptor)
            step()

        def call(self: Target, ref: str, artifact: str | None) -> None:
            step()
            real_call(self, ref, artifact)
            step()

        os.fsync, Target.__call__ = sync, call  # type: ignore[method-assign]
        code = 1
        try:
            _move(root, "model-new")
            code = 0
        except _Killed:
            code = 2
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1] != 0


@pytest.mark.parametrize("kill", [True, False], ids=["kill -9", "exception"])
@pytest.mark.parametrize("num_before", [0, 2])
def test_at_every_step_a_crash_leaves_the_move_done_or_not_done(tmp_path: Path, kill: bool, num_before: int) -> None:
    outcomes: list[bool] = []
    for number in range(1, 100):
        root = tmp_path / str(number)
        root.mkdir()
        for before in range(num_before):
            _move(root, f"model-{before}")
        if not _crash_at(root, number, kill):
            break
        ledger, target = Ledger(root), Target(root)
        ledger.recover(target)
        assert not ledger.interrupted()
        assert ledger.check()[1] == [], f"step {number}"
        entries = ledger.entries()
        done = len(entries) == num_before + 1
        assert len(entries) == num_before + done
        assert target.get() == (entries[-1].after if entries else None), f"step {number}"
        outcomes.append(done)
        _move(root, "model-next")
        expected = "model-new" if done else (f"model-{num_before - 1}" if num_before else None)
        assert Ledger(root).entries()[-1].before == expected
    else:
        pytest.fail("the move has no end")
    assert len(outcomes) > 8
    assert True in outcomes
    assert False in outcomes
    assert outcomes == sorted(outcomes), "once done, it stays done"


@pytest.mark.parametrize("length", [1, 100, -1])
def test_a_record_that_a_crash_tore_is_cut_off(filled: Path, length: int) -> None:
    """The disk may have kept the announcement and a part of the line."""
    before = (filled / "ledger.jsonl").read_bytes()
    head = json.loads((filled / "ledger.head.json").read_text())
    _move(filled, "model-5")
    after = (filled / "ledger.jsonl").read_bytes()
    pending = {**head, "pending": Ledger(filled).entries()[-1].hash}
    (filled / "ledger.jsonl").write_bytes(before + after[len(before) :][:length])
    (filled / "ledger.head.json").write_text(json.dumps(pending))
    Target(filled)("r", f"model-{_NUM}")
    assert Ledger(filled).check()[1] == [], "a move under way is no damage"
    Ledger(filled).recover(Target(filled))
    assert (filled / "ledger.jsonl").read_bytes() == before
    assert json.loads((filled / "ledger.head.json").read_text()) == head
    _move(filled, "model-6")
    assert [entry.after for entry in Ledger(filled).entries()][-2:] == [f"model-{_NUM}", "model-6"]


def test_recovery_does_not_believe_a_record_that_was_not_announced(filled: Path) -> None:
    head = json.loads((filled / "ledger.head.json").read_text())
    (filled / "ledger.head.json").write_text(json.dumps({**head, "pending": "cd" * 32}))
    lines = _lines(filled)
    forged = {**json.loads(lines[-1]), "seq": _NUM + 1, "to": "model-evil", "prev": json.loads(lines[-1])["hash"]}
    del forged["hash"]
    forged["hash"] = digest_json(forged)
    _write(filled, [*lines, json.dumps(forged)])
    Ledger(filled).recover(Target(filled))
    assert Target(filled).get() == f"model-{_NUM}"
    assert Ledger(filled).check()[1] != []


def test_a_full_disk_leaves_the_ledger_as_it_was(small_disk: Any) -> None:
    root = small_disk.path / "store"
    root.mkdir()
    _move(root, "model-1")
    for leave in (0, 4096, 8192):
        small_disk.fill(leave)
        try:
            with pytest.raises(NoSpace):
                _move(root, "model-2", why="x" * 20_000)
        finally:
            assert Ledger(root).check()[1] == []
            assert [entry.after for entry in Ledger(root).entries()] == ["model-1"]
            assert Target(root).get() == "model-1"
            small_disk.free()
    _move(root, "model-2", why="x" * 20_000)
    assert [entry.after for entry in Ledger(root).entries()] == ["model-1", "model-2"]
    assert Ledger(root).check()[1] == []
