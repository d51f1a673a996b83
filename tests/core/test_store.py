"""The store's promises: made once, whole or absent, found when damaged, untouched by a kill, a full disk or Ctrl-C."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from yibu.core.errors import Damaged, InputError, NoSpace, StoreError
from yibu.core.recipe import Settings
from yibu.core.store import Artifact, Stage, Store, Work, stage


class Inner(Settings):
    seed: int = 0
    num_workers: int = 1


class Options(Settings):
    text: str = "hello"
    device: str = "cpu"
    inner: Inner = Inner()


@stage(neutral=("device", "inner.num_workers"))
def prepare(settings: Options, work: Work) -> None:
    work.write_text("rows.txt", settings.text)
    work.write_json("deep/summary.json", {"length": len(settings.text)})
    work.notes["device"] = settings.device


@stage()
def train(settings: Options, work: Work, data: Artifact) -> None:
    work.write_text("model.txt", data.file("rows.txt").read_text() + settings.text)


def _stage(function: Any, **options: Any) -> Stage:
    return Stage("made", function, **options)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def _left_in(store: Store, folder: str) -> list[str]:
    place = store.root / folder
    return sorted(path.relative_to(place).as_posix() for path in place.rglob("*")) if place.exists() else []


# ---- made once


def test_a_stage_is_run_once_and_its_artifact_returned_ever_after(
    store: Store, messages: pytest.LogCaptureFixture
) -> None:
    first = store.run(prepare, Options())
    assert first.path == store.root / "artifacts" / first.id
    assert first.id == store.artifact_id(prepare, Options())
    assert first.file("rows.txt").read_text() == "hello"
    assert first.read_json("deep/summary.json") == {"length": 5}
    assert first.manifest.config == Options().as_config()
    assert first.manifest.notes == {"device": "cpu"}
    assert first.manifest.neutral == ("device", "inner.num_workers")
    assert f"made {first.id}" in messages.text
    inode = first.file("rows.txt").stat().st_ino
    again = Store(store.root).run(prepare, Options())
    assert again == first
    assert again.file("rows.txt").stat().st_ino == inode
    assert f"already done: {first.id}" in messages.text
    assert _left_in(store, "work") == []


def test_what_cannot_change_the_output_does_not_make_it_again(store: Store) -> None:
    first = store.run(prepare, Options())
    assert store.run(prepare, Options(device="cuda", inner=Inner(num_workers=8))) == first
    assert store.run(prepare, Options(inner=Inner(seed=1))) != first
    assert store.run(prepare, Options(text="other")) != first
    newer = Stage("prepare", prepare.function, version=2, neutral=prepare.neutral)
    assert store.run(newer, Options()) != first
    assert len(store.artifacts()) == 4


def test_a_neutral_key_that_is_no_setting_is_our_own_bug(store: Store) -> None:
    with pytest.raises(AssertionError, match="devise"):
        store.run(_stage(prepare.function, neutral=("devise",)), Options())


def test_inputs_are_handed_over_by_name_and_are_part_of_the_id(store: Store) -> None:
    data = store.run(prepare, Options())
    other = store.run(prepare, Options(text="bye"))
    model = store.run(train, Options(), data=data)
    assert model.file("model.txt").read_text() == "hellohello"
    assert model.manifest.inputs == {"data": data.id}
    assert store.run(train, Options(), data=other).id != model.id


def test_files_are_read_only_once_published(store: Store) -> None:
    made = store.run(prepare, Options())
    modes = {path.stat().st_mode & 0o222 for path in made.path.rglob("*") if path.is_file()}
    assert modes == {0}


def test_a_source_outside_the_store_goes_into_the_id(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "source.txt"
    source.write_text("1")
    read = _stage(
        lambda settings, work: work.write_text("copy", source.read_text()),
        external=lambda settings: {"source.txt": source.read_text()},
    )
    first = store.run(read, Options())
    assert first.manifest.external == {"source.txt": "1"}
    assert store.run(read, Options()) == first
    source.write_text("2")
    second = store.run(read, Options())
    assert second.file("copy").read_text() == "2"
    assert second != first


def test_a_source_that_changes_while_it_is_read_is_refused(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "source.txt"
    source.write_text("1")

    def read(settings: Options, work: Work) -> None:
        work.write_text("copy", source.read_text())
        source.write_text("2")

    with pytest.raises(StoreError, match="changed while it was reading"):
        store.run(_stage(read, external=lambda settings: {"s": source.read_text()}), Options())
    assert store.artifacts() == []
    assert _left_in(store, "work") == []


def test_the_default_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("YIBU_STORE", raising=False)
    store = Store()
    assert store.root == tmp_path / ".yibu"
    monkeypatch.setenv("YIBU_STORE", str(tmp_path / "elsewhere"))
    assert Store().root == tmp_path / "elsewhere"
    assert Store(tmp_path / "given").root == tmp_path / "given"
    assert (Store().artifacts(), Store().refs(), Store().ledger(), Store().verify()) == ([], {}, [], [])
    assert list(tmp_path.iterdir()) == [], "looking creates nothing"


def test_a_place_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for root in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StoreError, match="folder cannot be made") as caught:
            Store(root).run(prepare, Options())
        assert "YIBU_STORE" in (caught.value.do or "")


# ---- whole or absent


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError("no"), StoreError("no")])
@pytest.mark.parametrize("resumable", [False, True])
def test_an_exception_or_ctrl_c_publishes_nothing_and_frees_the_lock(store: Store, error: Any, resumable: bool) -> None:
    seen: list[tuple[bool, list[str]]] = []

    def function(settings: Options, work: Work) -> None:
        seen.append((work.fresh, [path.name for path in work.path.iterdir()]))
        work.write_text("half.txt", "half")
        if len(seen) == 1:
            raise error

    made = _stage(function, resumable=resumable)
    id = store.artifact_id(made, Options())
    with pytest.raises(error if isinstance(error, type) else type(error)):
        store.run(made, Options())
    assert store.artifacts() == []
    assert _left_in(store, f"work/{id}") == (["half.txt"] if resumable else [])
    artifact = store.run(made, Options())
    assert seen[1] == ((False, ["half.txt"]) if resumable else (True, []))
    assert artifact.manifest.notes == ({"resumed": True} if resumable else {})
    assert _left_in(store, "work") == []
    assert store.verify() == []


def test_ctrl_c_while_files_are_being_sealed_or_published(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    for name in ("fsync", "rename"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, interrupt)
            made = _stage(lambda settings, work: (work.path / "x").write_text("x"))
            with pytest.raises(KeyboardInterrupt):
                store.run(made, Options())
        assert store.artifacts() == []
        assert _left_in(store, "work") == []
    assert store.run(made, Options()).file("x").read_text() == "x"


def test_scratch_survives_a_failure_and_is_no_part_of_the_artifact(store: Store) -> None:
    starts: list[list[str]] = []

    def function(settings: Options, work: Work) -> None:
        starts.append([path.name for path in work.scratch.iterdir()])
        (work.scratch / "checkpoint-1").write_text("state")
        work.write_text("model", "m")
        if len(starts) == 1:
            raise RuntimeError

    made = _stage(function, resumable=True)
    with pytest.raises(RuntimeError):
        store.run(made, Options())
    artifact = store.run(made, Options())
    assert starts == [[], ["checkpoint-1"]]
    assert sorted(artifact.manifest.files) == ["model"]
    assert not (artifact.path / "scratch").exists()
    assert store.verify() == []


def test_what_a_killed_atomic_write_left_is_swept_before_resuming(store: Store) -> None:
    def function(settings: Options, work: Work) -> None:
        if work.fresh:
            (work.path / ".0123456789ab.yibu-tmp").write_text("half")
            raise RuntimeError
        work.write_text("a", "b")

    made = _stage(function, resumable=True)
    with pytest.raises(RuntimeError):
        store.run(made, Options())
    (store.root / "work" / store.artifact_id(made, Options()) / "checkpoint").touch()
    assert sorted(store.run(made, Options()).manifest.files) == ["a", "checkpoint"]


@pytest.mark.parametrize("name", ["link", "manifest.json"])
def test_a_stage_that_leaves_something_odd_is_refused(store: Store, name: str) -> None:
    made = _stage(lambda settings, work: (work.path / name).symlink_to("/etc/hostname"))
    with pytest.raises(StoreError, match="cannot be kept"):
        store.run(made, Options())
    assert store.artifacts() == []
    assert _left_in(store, "work") == []


def test_a_folder_without_a_manifest_is_not_an_artifact_and_not_overwritten(store: Store) -> None:
    made = store.run(prepare, Options())
    (made.path / "manifest.json").unlink()
    assert store.find(made.id) is None
    assert store.artifacts() == []
    with pytest.raises(StoreError, match="no artifact or ref"):
        store.get(made.id)
    with pytest.raises(Damaged, match=r"has no manifest\.json"):
        store.run(prepare, Options())
    assert made.file("rows.txt").exists()
    assert store.verify() == [f"{made.id}: it has no manifest.json, so it is not a finished artifact"]


def test_a_damaged_artifact_is_not_reused_in_silence(store: Store, messages: pytest.LogCaptureFixture) -> None:
    made = store.run(prepare, Options())
    made.file("rows.txt").unlink()
    for look in (lambda: store.run(prepare, Options()), lambda: store.get(made.id), lambda: store.find(made.id)):
        with pytest.raises(Damaged, match=r"rows\.txt is missing"):
            look()
    assert store.artifacts() == []
    assert made.id in messages.text


# ---- several processes, kill -9

_SCRIPT = """
import logging, os, sys, time
from pathlib import Path
from yibu.core.recipe import Settings
from yibu.core.store import Stage, Store

logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
root, marks, mode = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]


class Options(Settings):
    text: str = "x"


def function(settings, work):
    with (marks / "starts").open("a") as file:
        file.write(f"{os.getpid()} {work.fresh} {sorted(path.name for path in work.path.iterdir())}\\n")
    (marks / "started").touch()
    work.write_text("first.txt", "first")
    (work.path / "half.txt").write_text("ha")
    if mode == "hang":
        (marks / "hanging").touch()
        time.sleep(120)
    while mode == "race" and not (marks / "finish").exists():
        time.sleep(0.002)
    (work.path / "half.txt").write_text("half")


(marks / f"ready-{os.getpid()}").touch()
while mode == "race" and not (marks / "go").exists():
    time.sleep(0.002)
made = Store(root).run(Stage("made", function, resumable="resumable" in sys.argv), Options())
print(made.id, flush=True)
"""


def _script(store: Store, marks: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _SCRIPT, str(store.root), str(marks), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_three_racing_processes_make_one_artifact(store: Store, tmp_path: Path) -> None:
    racers = [_script(store, tmp_path, "race") for _ in range(3)]
    for racer in racers:
        _wait_for(tmp_path / f"ready-{racer.pid}", racer)
    (tmp_path / "go").touch()
    _wait_for(tmp_path / "started", racers[0])
    pid = (tmp_path / "starts").read_text().split()[0]
    losers = [racer for racer in racers if str(racer.pid) != pid]
    # Their first line comes before the winner, who waits for `finish`, could end.
    waiting = [loser.stderr.readline() for loser in losers if loser.stderr is not None]
    (tmp_path / "finish").touch()
    outputs = [racer.communicate(timeout=60) for racer in racers]
    assert [racer.returncode for racer in racers] == [0, 0, 0], outputs
    assert len((tmp_path / "starts").read_text().splitlines()) == 1
    (made,) = store.artifacts()
    assert [output for output, _ in outputs] == [f"{made.id}\n"] * 3
    assert len(losers) == 2
    assert all(f"waiting for {made.id}, held by process {pid} on" in line for line in waiting), waiting
    done = [f"already done: {made.id}" in errors for _, errors in outputs]
    assert [racer for racer, later in zip(racers, done, strict=True) if later] == losers
    assert store.verify() == []
    assert _left_in(store, "work") == []


@pytest.mark.parametrize("resumable", [False, True])
def test_kill_9_in_the_middle_of_a_stage_then_again(store: Store, tmp_path: Path, resumable: bool) -> None:
    mode = ["resumable"] if resumable else []
    process = _script(store, tmp_path, "hang", *mode)
    _wait_for(tmp_path / "hanging", process)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert store.artifacts() == []
    assert store.verify() == []
    (id,) = os.listdir(store.root / "work")
    assert _left_in(store, f"work/{id}") == ["first.txt", "half.txt"]

    output, errors = _script(store, tmp_path, "run", *mode).communicate(timeout=60)
    assert output == f"{id}\n", errors
    first, second = (line.split(" ", 1)[1] for line in (tmp_path / "starts").read_text().splitlines())
    assert first == "True []"
    assert second == ("False ['first.txt', 'half.txt']" if resumable else "True []")
    assert store.get(id).file("half.txt").read_text() == "half"
    assert store.verify() == []


def test_at_every_step_a_kill_leaves_no_artifact_or_a_whole_one(tmp_path: Path) -> None:
    """Every fsync, rename and manifest of the publishing is a moment to die at."""
    runs: list[int] = []

    def function(settings: Options, work: Work) -> None:
        (work.scratch / "checkpoint").write_text("state")
        work.write_text("a/b.txt", "b")
        (work.path / "c.txt").write_text("c")
        (tmp_path / "runs").open("a").write("x")

    for resumable in (False, True):
        made = _stage(function, resumable=resumable)
        for number in range(1, 100):
            store = Store(tmp_path / f"{resumable}{number}")
            (tmp_path / "runs").write_text("")
            if not _killed_at(store, made, number):
                break
            assert all(not problem for problem in [store.verify()]), f"step {number}"
            artifact = store.run(made, Options())
            assert sorted(artifact.manifest.files) == ["a/b.txt", "c.txt"]
            assert store.verify() == [], f"step {number}"
            assert os.listdir(store.root / "artifacts") == [artifact.id]
            assert _left_in(store, "work") == []
            runs.append(len((tmp_path / "runs").read_text()))
        else:
            pytest.fail("the stage has no end")
    assert set(runs) == {1, 2}, "some were redone; those killed after the manifest was written were only published"


@pytest.mark.parametrize("resumable", [False, True])
def test_what_was_sealed_before_the_kill_is_published_and_not_redone(
    store: Store, messages: pytest.LogCaptureFixture, resumable: bool
) -> None:
    made = _stage(lambda settings, work: (work.scratch, work.write_text("a", "b")), resumable=resumable)
    child = os.fork()
    if child == 0:
        os.rename = lambda *arguments: os.kill(os.getpid(), signal.SIGKILL)
        store.run(made, Options())
        os._exit(0)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert store.artifacts() == []

    def never(settings: Options, work: Work) -> None:
        pytest.fail("it was done already")

    artifact = store.run(_stage(never, resumable=resumable), Options())
    assert sorted(artifact.manifest.files) == ["a"]
    assert f"{artifact.id} was finished by a run that was killed" in messages.text
    assert store.verify() == []


def test_a_sealed_folder_that_was_damaged_before_it_was_published_is_made_again(store: Store) -> None:
    made = _stage(lambda settings, work: work.write_text("a", "b"), resumable=True)
    finished = store.run(made, Options())
    (store.root / "work").mkdir(exist_ok=True)
    left = finished.path.rename(store.root / "work" / finished.id)
    (left / "a").chmod(0o644)
    (left / "a").write_text("B")
    assert store.run(made, Options()).file("a").read_text() == "b"
    assert store.verify() == []


def _killed_at(store: Store, made: Stage, number: int) -> bool:
    child = os.fork()
    if child == 0:
        calls = 0

        def before_and_after(real: Any) -> Any:
            def call(*arguments: Any, **options: Any) -> Any:
                for action in (None, real, None):
                    nonlocal calls
                    if action is not None:
                        result = action(*arguments, **options)
                        continue
                    calls += 1
                    if calls == number:
                        os.kill(os.getpid(), signal.SIGKILL)
                return result

            return call

        os.fsync, os.rename, os.replace = (before_and_after(call) for call in (os.fsync, os.rename, os.replace))
        shutil.rmtree = before_and_after(shutil.rmtree)
        try:
            store.run(made, Options())
        finally:
            os._exit(0)
    return os.waitpid(child, 0)[1] == signal.SIGKILL


# ---- a full disk


def test_a_full_disk_during_a_stage(small_disk: Any, messages: pytest.LogCaptureFixture) -> None:
    store = Store(small_disk.path / "store")
    before = store.run(prepare, Options())
    store.set_ref("production", before)

    def function(settings: Options, work: Work) -> None:
        with work.file("weights.bin").open("wb") as file:
            for _ in range(512):
                file.write(b"x" * 4096)

    made = _stage(function)
    if not small_disk.mounted:
        small_disk.fill()
    with pytest.raises(NoSpace) as caught:
        store.run(made, Options())
    assert "stage 'made'" in caught.value.what
    assert "weights.bin" in caught.value.what
    assert "bytes free" in str(caught.value.got)
    assert store.artifacts() == [before]
    assert _left_in(store, "work") == []
    small_disk.free()
    assert store.verify() == []
    assert store.get("production") == before


def test_a_full_disk_from_a_library_with_its_own_errors(store: Store) -> None:
    def function(settings: Options, work: Work) -> None:
        work.write_text("adapter/config.json", "{}")
        raise RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")

    with pytest.raises(NoSpace, match=r"last written: adapter/config\.json"):
        store.run(_stage(function), Options())


@pytest.mark.parametrize("leave", [0, 4096, 8192, 16384, 24576, 28672, 65536])
@pytest.mark.parametrize("resumable", [False, True])
def test_a_full_disk_at_any_moment_publishes_nothing_half(small_disk: Any, leave: int, resumable: bool) -> None:
    """The less is left, the earlier it ends: at the lock, the work folder, a file, the manifest."""
    store = Store(small_disk.path / "store")
    before = store.run(prepare, Options())
    store.set_ref("production", before)
    made = _stage(
        lambda settings, work: [work.write_text(f"{n}.txt", "x" * 5000) for n in range(3)], resumable=resumable
    )
    small_disk.fill(leave)
    if leave == 65536 and small_disk.mounted:
        store.run(made, Options())
    else:
        with pytest.raises(NoSpace, match="The disk is full: no space left to write"):
            store.run(made, Options())
        assert store.artifacts() == [before]
        assert resumable or _left_in(store, "work") == []
    assert store.verify() == [], "also while the disk is full"
    small_disk.free()
    assert sorted(store.run(made, Options()).manifest.files) == ["0.txt", "1.txt", "2.txt"]
    assert store.verify() == []


@pytest.mark.parametrize("leave", [0, 4096, 8192])
def test_a_full_disk_moves_no_ref(small_disk: Any, leave: int) -> None:
    store = Store(small_disk.path / "store")
    first, second = store.run(prepare, Options()), store.run(prepare, Options(text="2"))
    store.set_ref("production", first)
    small_disk.fill(leave)
    with pytest.raises(NoSpace):
        store.set_ref("production", second, why="x" * 9000)
    assert store.ref("production") == first
    assert store.verify() == []
    small_disk.free()
    assert store.verify() == []
    store.set_ref("production", second)
    assert store.ref("production") == second
    assert [entry.after for entry in store.ledger()] == [first.id, second.id]


def test_a_lock_that_cannot_be_made_is_a_full_disk_too(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def full(path: Any, flags: int, *more: Any, **options: Any) -> int:
        if str(path).endswith(".lock"):
            raise OSError(errno.ENOSPC, "full")
        return real(path, flags, *more, **options)

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(NoSpace, match=r"\.lock"):
        store.run(prepare, Options())


# ---- names


def test_an_artifact_is_got_by_id_by_ref_and_by_the_beginning_of_its_id(store: Store) -> None:
    data = store.run(prepare, Options())
    model = store.run(train, Options(), data=data)
    store.set_ref("quickstart/model", model)
    for name in (model.id, "quickstart/model", model.id[:-3], "train"):
        assert store.get(name) == model
    store.set_ref("train", data)
    assert store.get("train") == data, "a ref goes before a beginning"


def test_a_wrong_name_is_answered_with_the_nearest(store: Store) -> None:
    with pytest.raises(StoreError, match="is empty"):
        store.get("x")
    data = store.run(prepare, Options())
    store.run(prepare, Options(text="2"))
    store.set_ref("production", data)
    with pytest.raises(StoreError, match="did you mean 'production'"):
        store.get("producton")
    with pytest.raises(StoreError, match=f"did you mean '{data.id}'"):
        store.get(data.id[:-4] + "zzzz")
    with pytest.raises(StoreError, match="no artifact or ref"):
        store.get("")
    with pytest.raises(StoreError, match="More than one") as caught:
        store.get("prepare-")
    assert data.id in str(caught.value)
    for name in ("../..", "/etc", "prepare/../x"):
        with pytest.raises(StoreError):
            store.get(name)


def test_refs_move_and_the_ledger_says_why(store: Store) -> None:
    first, second = store.run(prepare, Options()), store.run(prepare, Options(text="2"))
    assert store.ref("production") is None
    store.set_ref("production", first, why="the first")
    store.set_ref("production", first, why="nothing moves")
    store.set_ref("production", second, why="better")
    assert store.refs() == {"production": second.id}
    assert store.ref("production") == second
    assert [(entry.before, entry.after, entry.why) for entry in store.ledger()] == [
        (None, first.id, "the first"),
        (first.id, second.id, "better"),
    ]
    with pytest.raises(InputError):
        store.set_ref("../production", first)
    assert store.verify() == []


def test_a_ref_names_artifacts_of_its_own_store_only(store: Store, tmp_path: Path) -> None:
    foreign = Store(tmp_path / "other").run(prepare, Options())
    with pytest.raises(StoreError, match="same store"):
        store.set_ref("production", foreign)
    assert store.refs() == {}


def test_moves_by_racing_processes_are_all_recorded(store: Store) -> None:
    ids = [store.run(prepare, Options(text=str(number))) for number in range(4)]
    children = []
    for number in range(4):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                mine = Store(store.root)
                for step in range(4):
                    mine.set_ref(f"ref-{number}", ids[(number + step) % 4])
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    assert len(store.ledger()) == 16
    assert store.verify() == []


# ---- verify


def test_verify_finds_and_names_damage_to_artifacts(store: Store) -> None:
    data = store.run(prepare, Options())
    model = store.run(train, Options(), data=data)
    other = store.run(prepare, Options(text="other"))
    assert store.verify() == store.verify(model.id) == store.verify("train") == []
    file = data.file("rows.txt")
    file.chmod(0o644)
    file.write_text("HELLO")
    (model.path / "added").touch()
    assert store.verify() == sorted(
        [
            f"{data.id}: rows.txt was changed: its SHA-256 is not the recorded one",
            f"{model.id}: added was added",
        ]
    )
    assert len(store.verify(model.id)) == 2, "an artifact is checked with all that it was made from"
    assert len(store.verify(data.id)) == 1
    assert store.verify(other.id) == []
    with pytest.raises(StoreError, match="no artifact or ref"):
        store.verify("nothing")


def test_verify_finds_a_missing_input_and_strangers(store: Store) -> None:
    data = store.run(prepare, Options())
    model = store.run(train, Options(), data=data)
    store.set_ref("m", model)
    shutil.rmtree(data.path)
    (store.root / "artifacts" / "notes.txt").touch()
    assert store.verify("m") == [f"{data.id}: the input data of {model.id} is not in the store"]
    found = store.verify()
    assert f"{model.id}: its input data is gone: {data.id}" in found
    assert any(problem.startswith("notes.txt: ") for problem in found)
    assert len(found) == 2


def test_verify_finds_a_dangling_ref(store: Store) -> None:
    data = store.run(prepare, Options())
    store.set_ref("production", data)
    shutil.rmtree(data.path)
    assert store.verify() == [f"ref production is dangling: {data.id} is not in the store"]
    assert store.verify("production") == [f"{data.id}: it is not in the store"]
    for look in (lambda: store.get("production"), lambda: store.ref("production")):
        with pytest.raises(Damaged, match=f"names {data.id}, which is not in the store"):
            look()


def test_verify_finds_a_ref_that_was_moved_by_hand(store: Store) -> None:
    first, second = store.run(prepare, Options()), store.run(prepare, Options(text="2"))
    store.set_ref("production", first)
    path = store.root / "refs" / "production.json"
    path.write_text(path.read_text().replace(first.id, second.id))
    assert store.verify() == [f"ref production names {second.id}, but the ledger says {first.id}"]


def test_verify_finds_a_broken_ledger_and_does_not_add_to_it(store: Store) -> None:
    first, second = store.run(prepare, Options()), store.run(prepare, Options(text="2"))
    for artifact in (first, second, first):
        store.set_ref("production", artifact)
    path = store.root / "ledger.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(lines[0] + lines[2])
    (problem,) = store.verify()
    assert "ledger record 2 is missing" in problem
    with pytest.raises(Damaged, match="record 2"):
        store.ledger()
    with pytest.raises(Damaged, match="record 2"):
        store.set_ref("production", second)
    assert store.get("production") == first, "what was promoted can still be used"


def test_verify_finds_a_promoted_artifact_that_was_exchanged_for_a_consistent_other_one(
    store: Store, tmp_path: Path
) -> None:
    """Same id, all digests right, other bytes: only the ledger knows which one was promoted."""
    settings = Options()
    made = store.run(_stage(lambda s, work: work.write_text("m", "good")), settings)
    store.set_ref("production", made)
    evil = Store(tmp_path / "evil").run(_stage(lambda s, work: work.write_text("m", "evil")), settings)
    assert evil.id == made.id
    shutil.rmtree(made.path)
    shutil.copytree(evil.path, made.path)
    assert store.verify() == [f"{made.id}: manifest.json is not the one to which production was moved"]


def _interrupt_a_move(store: Store, ref: str, to: Artifact) -> None:
    """Leave the store as a process leaves it that dies after the record and before the ref is written."""
    old_ref = (store.root / "refs" / f"{ref}.json").read_bytes()
    old_head = json.loads((store.root / "ledger.head.json").read_text())
    store.set_ref(ref, to)
    (store.root / "refs" / f"{ref}.json").write_bytes(old_ref)
    pending = {**old_head, "pending": store.ledger()[-1].hash}
    (store.root / "ledger.head.json").write_text(json.dumps(pending))


def test_a_move_that_a_crash_interrupted_is_finished_when_the_store_is_opened(store: Store) -> None:
    first, second = store.run(prepare, Options()), store.run(prepare, Options(text="2"))
    store.set_ref("production", first)
    _interrupt_a_move(store, "production", second)
    assert store.ref("production") == first
    assert Store(store.root).ref("production") == second
    assert store.verify() == []


def test_a_store_that_was_open_before_the_crash_finishes_the_move_before_its_own(store: Store) -> None:
    first, second = store.run(prepare, Options()), store.run(prepare, Options(text="2"))
    store.set_ref("production", first)
    _interrupt_a_move(store, "production", second)
    store.set_ref("shadow", first)
    assert store.refs() == {"production": second.id, "shadow": first.id}
    assert store.verify() == []


def test_verify_works_where_nothing_may_be_written(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    data = store.run(prepare, Options())
    store.set_ref("production", data)
    real = os.open

    def read_only(path: Any, flags: int, *more: Any, **options: Any) -> int:
        if flags & (os.O_RDWR | os.O_WRONLY | os.O_CREAT):
            raise OSError(errno.EROFS, "Read-only file system", str(path))
        return real(path, flags, *more, **options)

    monkeypatch.setattr(os, "open", read_only)
    assert store.verify() == []
    assert store.get("production") == data
