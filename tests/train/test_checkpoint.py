"""Checkpoints: what is damaged is found and the one before it is used."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from yibu.core.errors import NoSpace
from yibu.train.checkpoint import KEEP, load_checkpoint, save_checkpoint


def write(folder: Path, *steps: int) -> None:
    for step in steps:
        save_checkpoint(folder, step, {"w": torch.full((4,), float(step))}, {"step": step})


def test_the_newest_comes_back_bit_for_bit(tmp_path: Path) -> None:
    write(tmp_path, 3, 6)
    step, tensors, state = load_checkpoint(tmp_path) or pytest.fail("no checkpoint")
    assert (step, state["step"]) == (6, 6)
    assert torch.equal(tensors["w"], torch.full((4,), 6.0))


def test_no_checkpoint_is_none(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path / "absent") is None


def test_old_ones_are_removed(tmp_path: Path) -> None:
    write(tmp_path, 1, 2, 3, 4)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["step-00000003", "step-00000004"][-KEEP:]


@pytest.mark.parametrize("harm", ["flip", "zero page", "truncate", "missing", "swapped", "half digests", "state"])
def test_a_damaged_newest_checkpoint_gives_way_to_the_one_before(
    tmp_path: Path, harm: str, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, 1, 2)
    newest = tmp_path / "step-00000002"
    tensors = newest / "tensors.safetensors"
    data = bytearray(tensors.read_bytes())
    if harm == "flip":
        data[-1] ^= 1
        tensors.write_bytes(data)
    elif harm == "zero page":
        tensors.write_bytes(bytes(len(data)))
    elif harm == "truncate":
        tensors.write_bytes(data[:-3])
    elif harm == "missing":
        tensors.unlink()
    elif harm == "swapped":
        tensors.write_bytes((tmp_path / "step-00000001" / "tensors.safetensors").read_bytes())
    elif harm == "half digests":
        (newest / "digests.json").write_text('{"tensors')
    else:
        (newest / "state.json").write_text("{}")
    with caplog.at_level("WARNING", logger="yibu"):
        step, _, state = load_checkpoint(tmp_path) or pytest.fail("no checkpoint")
    assert (step, state["step"]) == (1, 1)
    assert "step-00000002 is damaged" in caplog.text


def test_a_folder_that_was_being_written_is_no_checkpoint(tmp_path: Path) -> None:
    write(tmp_path, 1)
    (tmp_path / ".writing-00000002").mkdir()
    (tmp_path / ".writing-00000002" / "tensors.safetensors").write_bytes(b"half")
    assert (load_checkpoint(tmp_path) or pytest.fail("no checkpoint"))[0] == 1
    write(tmp_path, 2)
    assert (load_checkpoint(tmp_path) or pytest.fail("no checkpoint"))[0] == 2


def test_a_full_disk_is_told_and_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, 1)

    def full(tensors: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("yibu.train.checkpoint.save_file", full)
    with pytest.raises(NoSpace, match="checkpoint of step 2, 16 bytes"):
        write(tmp_path, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]
    assert (load_checkpoint(tmp_path) or pytest.fail("no checkpoint"))[0] == 1
