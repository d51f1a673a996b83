"""The id, the seal, and everything that can happen to a finished folder."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from yibu.core.artifact import MANIFEST, Artifact, Origin, inspect, open_artifact, seal
from yibu.core.disk import digest_json
from yibu.core.errors import Damaged, StoreError

_ORIGIN = Origin(
    stage="prepare",
    version=1,
    config={"source": "x.csv", "device": "cpu", "split": {"train": 0.8, "workers": 2}},
    neutral=("device", "split.workers"),
    inputs={"data": "data-0123456789abcdef"},
    external={"x.csv": "ab" * 32},
)


def _problems(folder: Path) -> list[str]:
    return inspect(folder)[1]


def _sealed(root: Path, **notes: object) -> Path:
    folder = root / _ORIGIN.id
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "rows.jsonl").write_text('{"id": "1"}\n{"id": "2"}\n')
    (folder / "summary.json").write_text('{"n": 2}')
    (folder / "deep" / "er" / "表.txt").write_text("值")
    (folder / "empty.txt").touch()
    seal(folder, _ORIGIN, "2026-01-02T03:04:05.678+00:00", 1.23456, notes, leave_out="scratch")
    return folder


def test_the_id_is_the_stage_and_a_hash_that_every_machine_agrees_on() -> None:
    # The digits are those of `printf '["a",1,{"x":1.0,"y":[1,null]},{},{}]' | sha256sum`. If they change, everybody's
    # artifacts are silently made again.
    assert Origin("a", 1, {"y": [1, None], "x": 1.0}, (), {}, {}).id == "a-424c2a1d86a52911"


def test_the_id_depends_on_each_part_and_not_on_order_or_neutral_keys() -> None:
    config = dict(_ORIGIN.config)
    same = [
        replace(_ORIGIN, config=dict(reversed(config.items()))),
        replace(_ORIGIN, config={**config, "device": "cuda"}),
        replace(_ORIGIN, config={**config, "split": {"train": 0.8, "workers": 64}}),
        replace(_ORIGIN, config={key: value for key, value in config.items() if key != "device"}),
        replace(_ORIGIN, neutral=(*_ORIGIN.neutral, "split.absent", "source.below.a.text")),
    ]
    assert {origin.id for origin in same} == {_ORIGIN.id}
    other = [
        replace(_ORIGIN, stage="prepare2"),
        replace(_ORIGIN, version=2),
        replace(_ORIGIN, config={**config, "source": "y.csv"}),
        replace(_ORIGIN, config={**config, "split": {"train": 0.7, "workers": 2}}),
        replace(_ORIGIN, neutral=("device",)),
        replace(_ORIGIN, inputs={"data": "data-0123456789abcdee"}),
        replace(_ORIGIN, inputs={"rows": "data-0123456789abcdef"}),
        replace(_ORIGIN, inputs={}),
        replace(_ORIGIN, external={"x.csv": "ac" * 32}),
    ]
    assert len({origin.id for origin in other} | {_ORIGIN.id}) == len(other) + 1
    assert config["device"] == "cpu", "the config itself keeps its neutral keys"


def test_a_sealed_folder_opens_and_says_what_it_is(tmp_path: Path) -> None:
    made = open_artifact(_sealed(tmp_path, device="cpu", threads=2))
    manifest = made.manifest
    assert made.id == manifest.id == _ORIGIN.id
    assert set(manifest.files) == {"rows.jsonl", "summary.json", "deep/er/表.txt", "empty.txt"}
    assert manifest.files["summary.json"].bytes == 8
    assert manifest.files["empty.txt"].sha256.startswith("e3b0c44298fc1c14")
    assert manifest.config == _ORIGIN.config
    assert manifest.inputs == _ORIGIN.inputs
    assert manifest.external == _ORIGIN.external
    assert manifest.notes == {"device": "cpu", "threads": 2}
    assert (manifest.started, manifest.seconds) == ("2026-01-02T03:04:05.678+00:00", 1.235)
    assert manifest.versions["python"] == sys.version.split()[0]
    assert manifest.versions["yibu"]
    assert json.loads((made.path / MANIFEST).read_text())["schema"] == 1
    assert _problems(made.path) == []


def test_versions_are_read_without_importing_the_packages(tmp_path: Path) -> None:
    before = "torch" in sys.modules
    versions = open_artifact(_sealed(tmp_path)).manifest.versions
    assert {"pydantic"} <= set(versions)
    assert ("torch" in sys.modules) == before


def test_files_are_found_by_name_only_if_the_manifest_knows_them(tmp_path: Path) -> None:
    made = open_artifact(_sealed(tmp_path))
    assert made.file("deep/er/表.txt").read_text() == "值"
    assert made.read_json("summary.json") == {"n": 2}
    for name in ("sumary.json", MANIFEST, "../x", "deep", ""):
        with pytest.raises(StoreError, match="no such file"):
            made.file(name)
    with pytest.raises(StoreError, match=r"did you mean 'summary\.json'"):
        made.file("sumary.json")
    with pytest.raises(Damaged, match="is not JSON"):
        made.read_json("rows.jsonl")


def _edit(change: Callable[[dict], object]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        record = json.loads((folder / MANIFEST).read_text())
        change(record)
        (folder / MANIFEST).write_text(json.dumps(record))

    return apply


def _forge(record: dict) -> None:
    """Exchange a setting and recompute the seal, but not the id."""
    record["config"]["source"] = "y.csv"
    del record["seal"]
    record["seal"] = digest_json(record)


def _link(file: Path) -> None:
    file.rename(file.parent.parent / "elsewhere")
    file.symlink_to(file.parent.parent / "elsewhere")


_DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "changed byte": (lambda f: (f / "rows.jsonl").write_text('{"id": "1"}\n{"id": "3"}\n'), "rows.jsonl was changed"),
    "longer file": (lambda f: (f / "rows.jsonl").write_text("x" * 99), "rows.jsonl has 99 bytes, 24 were recorded"),
    "emptied file": (lambda f: (f / "rows.jsonl").write_text(""), "rows.jsonl has 0 bytes"),
    "missing file": (lambda f: (f / "deep/er/表.txt").unlink(), "deep/er/表.txt is missing"),
    "added file": (lambda f: (f / "deep" / "new").write_text("x"), "deep/new was added"),
    "renamed file": (lambda f: (f / "rows.jsonl").rename(f / "deep/r"), "rows.jsonl was renamed to deep/r"),
    "link": (lambda f: (f / "l").symlink_to("rows.jsonl"), "l (a link or device) does not belong"),
    "linked folder": (lambda f: (f / "l").symlink_to("deep"), "l (a link or device) does not belong"),
    "file became a link": (lambda f: _link(f / "rows.jsonl"), "rows.jsonl is missing"),
    "no manifest": (lambda f: (f / MANIFEST).unlink(), "not a finished artifact"),
    "manifest no JSON": (lambda f: (f / MANIFEST).write_text("{"), "manifest.json cannot be read"),
    "manifest no table": (lambda f: (f / MANIFEST).write_text("[1]"), "not one that this version"),
    "manifest with NaN": (lambda f: (f / MANIFEST).write_text('{"schema": NaN}'), "manifest.json cannot be read"),
    "manifest lacks a key": (_edit(lambda r: r.pop("config")), "this version of yibu wrote (wrong: config)"),
    "later schema": (_edit(lambda r: r.update(schema=2)), "wrong: schema"),
    "edited config": (_edit(lambda r: r["config"].update(source="y")), "the inputs that it names give the id"),
    "edited inputs": (_edit(lambda r: r["inputs"].clear()), "the inputs that it names give the id"),
    "edited, resealed": (_edit(_forge), "the inputs that it names give the id"),
    "edited notes": (_edit(lambda r: r["notes"].update(a=1)), "its seal does not match"),
    "edited time": (_edit(lambda r: r.update(seconds=0.1)), "its seal does not match"),
    "edited neutral setting": (_edit(lambda r: r["config"].update(device="cuda")), "its seal does not match"),
    "file struck off": (_edit(lambda r: r["files"].pop("summary.json")), "summary.json was added"),
}  # fmt: skip


@pytest.mark.parametrize("name", _DAMAGE)
def test_damage_is_found_and_named(tmp_path: Path, name: str) -> None:
    folder = _sealed(tmp_path)
    damage, expected = _DAMAGE[name]
    damage(folder)
    found = _problems(folder)
    assert any(expected in problem for problem in found), found


@pytest.mark.parametrize("name", sorted(set(_DAMAGE) - {"changed byte"}))
def test_opening_finds_everything_but_a_changed_byte_of_equal_length(tmp_path: Path, name: str) -> None:
    folder = _sealed(tmp_path)
    _DAMAGE[name][0](folder)
    with pytest.raises(Damaged, match=folder.name) as caught:
        open_artifact(folder)
    assert "yibu verify" in (caught.value.do or "")


def test_a_renamed_artifact_is_found(tmp_path: Path) -> None:
    folder = _sealed(tmp_path).rename(tmp_path / "prepare-0000000000000000")
    assert any("it was renamed" in problem for problem in _problems(folder))


def test_two_renamed_files_with_equal_bytes_and_a_lost_one_are_told_apart(tmp_path: Path) -> None:
    folder = _sealed(tmp_path)
    (folder / "rows.jsonl").rename(folder / "a.jsonl")
    (folder / "empty.txt").unlink()
    assert sorted(_problems(folder)) == ["empty.txt is missing", "rows.jsonl was renamed to a.jsonl"]


def test_no_flipped_bit_of_any_file_goes_unseen(tmp_path: Path) -> None:
    folder = _sealed(tmp_path)
    for path in [folder / MANIFEST, folder / "rows.jsonl", folder / "deep" / "er" / "表.txt"]:
        good = path.read_bytes()
        for place in range(0, len(good), 3):
            bad = bytearray(good)
            bad[place] ^= 1 << (place % 7)
            path.write_bytes(bytes(bad))
            assert _problems(folder), f"{path.name}: byte {place}, {good[place : place + 1]!r}"
        path.write_bytes(good)
    assert _problems(folder) == []


def _odd_link(folder: Path) -> None:
    (folder / "link").symlink_to("/etc/hostname")


def _odd_pipe(folder: Path) -> None:
    os.mkfifo(folder / "pipe")


def _odd_name(folder: Path) -> None:
    (folder / "a\nb").touch()


def _odd_bytes(folder: Path) -> None:
    (Path(os.fsdecode(bytes(folder) + b"/\xff"))).touch()


def _odd_manifest(folder: Path) -> None:
    (folder / MANIFEST).write_text("{}")


@pytest.mark.parametrize("odd", [_odd_link, _odd_pipe, _odd_name, _odd_bytes, _odd_manifest])
def test_what_cannot_be_kept_is_refused_at_the_seal(tmp_path: Path, odd: Callable[[Path], None]) -> None:
    odd(tmp_path)
    with pytest.raises(StoreError, match="cannot be kept"):
        seal(tmp_path, _ORIGIN, "", 0.0, {}, leave_out="scratch")


@pytest.mark.parametrize("value", [object(), float("nan"), float("inf"), {1, 2}, Path("x")])
def test_notes_must_be_json(tmp_path: Path, value: object) -> None:
    with pytest.raises(StoreError, match="notes of the stage 'prepare' are not JSON"):
        seal(tmp_path, _ORIGIN, "", 0.0, {"a": value}, leave_out="scratch")
    assert not (tmp_path / MANIFEST).exists()


def test_every_file_is_on_the_disk_before_the_manifest_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    real = os.fsync

    def note(descriptor: int) -> None:
        name = os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}"))
        synced.append("manifest" if name.endswith(".yibu-tmp") else name)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    folder = _sealed(tmp_path)
    before = synced[: synced.index("manifest")]
    assert {"rows.jsonl", "summary.json", "表.txt", "empty.txt", "er", "deep", folder.name} <= set(before)
    assert synced[-1] == folder.name, "the manifest's own name is made durable last"


def test_artifacts_with_one_id_are_equal_and_can_be_members_of_a_set(tmp_path: Path) -> None:
    folder = _sealed(tmp_path)
    assert open_artifact(folder) == open_artifact(folder)
    assert len({open_artifact(folder), open_artifact(folder)}) == 1
    assert isinstance(open_artifact(folder), Artifact)
