"""What must be equal for a run to end in the same bits, beside the log of its batches.

Sums of floating-point numbers depend on their order, and the order on versions, threads, the processor and how rows are
cut into passes. All of that is written down (``fingerprint.json``) and compared before a replay begins, since a replay
that could not end in the same bits proves nothing.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from yibu.core.errors import InputError
from yibu.core.machine import cpu_name
from yibu.model.render import Example
from yibu.train.shard import whole

FINGERPRINT = "fingerprint.json"
PACKAGES = ("torch", "transformers", "peft", "safetensors", "tokenizers")
# How to make them equal again, by the beginning of the key.
_REMEDIES = {
    "processes": "train with train.processes: 1 what is to be replayed (several sum in an order of their own)",
    "threads": "set OMP_NUM_THREADS, or train.threads in the recipe before training",
    "data": "hand over the data artifact that the run was trained on",
    "rows": "hand over the data artifact that the run was trained on",
    "base": "use the base that the run was trained on",
    "device": "use a machine of the same kind",
    "cpu": "use a machine of the same kind",
    "start": "use the same base, adapter settings and versions",
}


def machine(device: torch.device) -> dict[str, Any]:
    """Versions, threads and device, as they are now."""
    versions = {package: metadata.version(package) for package in PACKAGES}
    if device.type == "cuda":
        versions["cuda"] = str(torch.version.cuda)
    return {
        "threads": torch.get_num_threads(),
        "device": str(device),
        "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name(),
        "cpu": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
        "python": platform.python_version(),
        **versions,
    }


def differences(recorded: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Keys of either that are not equal in both, each with (recorded, found)."""
    keys = sorted(set(recorded) | set(found))
    return {key: (recorded.get(key), found.get(key)) for key in keys if recorded.get(key) != found.get(key)}


def require_same(recorded: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Refuse to replay under other conditions.

    Raises:
        InputError: names every difference.
    """
    changed = differences(recorded, found)
    if not changed:
        return
    lines = "".join(f"\n  {key}: {_short(old)} then, {_short(new)} now" for key, (old, new) in changed.items())
    remedies = dict.fromkeys(
        next((text for begin, text in _REMEDIES.items() if key.startswith(begin)), f"install the {key} of that time")
        for key in changed
    )
    raise InputError(
        f"This run cannot be replayed to the bit: the fingerprint differs in {len(changed)} points.{lines}",
        got=", ".join(changed),
        allowed="the same versions, threads, device, base and rows as when it was trained",
        do="; ".join(remedies),
    )


def digest_examples(examples: Iterable[Example]) -> str:
    """SHA-256 over the token ids, loss masks, weights and names of rows, in their order."""
    digest = hashlib.sha256()
    for example in examples:
        marks = "" if example.label_tokens is None else "".join("01"[mark] for mark in example.label_tokens)
        trained = "".join("01"[mark] for mark in example.trained)
        line = f"{example.name!r}\0{example.ids}\0{trained}\0{marks}\0{example.weight!r}\n"
        digest.update(line.encode("utf-8", "backslashreplace"))
    return digest.hexdigest()


def sample_files(folder: Path) -> str:
    """SHA-256 over name, size and last bytes of each file of weights: tells in a moment whether two bases are alike."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        size = path.stat().st_size
        digest.update(f"{path.name}\0{size}\0".encode())
        with path.open("rb") as file:
            file.seek(max(0, size - 2**16))
            digest.update(file.read())
    return digest.hexdigest()


def digest_tensors(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes of tensors, sorted by name."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = whole(tensors[name].detach()).cpu().contiguous()
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _short(value: Any) -> str:
    text = "absent" if value is None else str(value)
    return text if len(text) <= 60 else text[:57] + "..."
