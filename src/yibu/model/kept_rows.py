"""Rows' states in the safetensors files of one folder: named by their tokens, memory-mapped, whole or not there.

A tensor's name is the SHA-256 of its row's tokens, so another template or tokenizer gives other rows. A file is named
only when it is whole; a run that is killed loses the file it was writing.

Legend: T tokens of a row; what lies behind it is the shape of what is kept per token, ``[H]`` for most.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from yibu.core.disk import whole_file
from yibu.core.log import get
from yibu.model.render import Example

log = get("lower")

_FILE_BYTES, _FILE_ROWS = 2**30, 20_000  # of one file; what a killed run can lose
DTYPES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16", torch.float64: "F64"}


class Rows:
    """Tensors by name in the safetensors files of one folder, memory-mapped."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[Path, Any] = {}
        self._where: dict[str, Any] = {}
        self.refresh()

    def __contains__(self, key: str) -> bool:
        return key in self._where

    def refresh(self) -> None:
        """Open files that were not there before; one that is not whole is left out, its rows are computed anew."""
        for path in sorted(self._folder.glob("rows-*.safetensors")):
            if path not in self._files:
                try:
                    self._open(path)
                except (SafetensorError, OSError) as error:
                    log.warning("%s is damaged and left out: %s", path, error)

    def read(self, key: str) -> Tensor:
        """``[T, ...]``, mapped: not to be written to."""
        tensor: Tensor = self._where[key].get_tensor(key)
        return tensor

    def write(
        self, entries: Mapping[str, Sequence[int]], shape: Sequence[int], dtype: torch.dtype, states: Iterator[Tensor]
    ) -> None:
        """One file of these entries, streamed from `states` in their order; its name appears when it is whole."""
        header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
        end, width = 0, dtype.itemsize * torch.Size(shape).numel()
        for key, ids in entries.items():
            begin, end = end, end + width * len(ids)
            header[key] = {"dtype": DTYPES[dtype], "shape": [len(ids), *shape], "data_offsets": [begin, end]}
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        path = self._folder / f"rows-{hashlib.sha256(text).hexdigest()[:32]}.safetensors"
        with whole_file(path, end, private=True) as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for ids, state in zip(entries.values(), states, strict=True):
                assert (state.shape, state.dtype) == ((len(ids), *shape), dtype)
                file.write(state.contiguous().view(torch.uint8).numpy().data)
        self._open(path)

    def _open(self, path: Path) -> None:
        file: Any = safe_open(path, framework="pt")
        self._files[path] = file
        self._where |= dict.fromkeys(file.keys(), file)


def bytes_used(root: Path) -> int:
    """Bytes on disk of all kept rows below a folder."""
    return sum(path.stat().st_size for path in root.rglob("rows-*.safetensors"))


def remove(root: Path) -> int:
    """Remove all kept rows below a folder, as the erasure of a person needs it; the next run computes them again.

    Returns:
        Bytes that were freed.
    """
    freed = bytes_used(root)
    shutil.rmtree(root, ignore_errors=False) if root.is_dir() else None
    return freed


def entries_of(rows: Sequence[Example], prefix: int) -> dict[str, tuple[int, ...]]:
    """Key -> tokens whose states are kept under it: the common beginning, and what each row has behind it."""
    entries: dict[str, tuple[int, ...]] = {}
    if rows and prefix:
        entries[key_of(rows[0].ids[:prefix], prefix)] = rows[0].ids[:prefix]
    for example in rows:
        entries[key_of(example.ids, prefix)] = example.ids[prefix:]
    return entries


def key_of(ids: Sequence[int], prefix: int) -> str:
    """SHA-256 of a row's tokens and of how many of them are the common beginning, which is kept once."""
    return hashlib.sha256(f"{prefix}:{','.join(map(str, ids))}".encode()).hexdigest()


def files_of(entries: Mapping[str, tuple[int, ...]], token_bytes: int) -> Iterator[dict[str, tuple[int, ...]]]:
    """The entries cut into files of a bounded size."""
    part: dict[str, tuple[int, ...]] = {}
    size = 0
    for key, ids in entries.items():
        if part and (size + token_bytes * len(ids) > _FILE_BYTES or len(part) == _FILE_ROWS):
            yield part
            part, size = {}, 0
        part[key] = ids
        size += token_bytes * len(ids)
    if part:
        yield part
