"""What this machine has: cores, memory, disk, instruction sets. Read from the system, without torch.

In a container the host's figures are wrong: a memory limit or a set of allowed cores is what counts, so both are asked.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import shutil
import signal
import sys
from pathlib import Path

_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_NVIDIA = Path("/proc/driver/nvidia/version")
_CGROUP_USED = ("/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory/memory.usage_in_bytes")


def num_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_bytes() -> tuple[int, int]:
    """Memory of the machine or the container: all of it, and what a new program can have without swapping."""
    pages = {"total": os.sysconf("SC_PHYS_PAGES"), "free": os.sysconf("SC_AVPHYS_PAGES")}
    size = os.sysconf("SC_PAGE_SIZE")
    total, available = pages["total"] * size, pages["free"] * size
    for line in _lines("/proc/meminfo"):
        name, _, rest = line.partition(":")
        if name == "MemAvailable":  # unlike "free" it counts the caches that the kernel gives back
            available = int(rest.split()[0]) * 1024
    limit, used = _first_number(_CGROUP_LIMITS), _first_number(_CGROUP_USED)
    if limit is not None and limit < total:
        total, available = limit, min(available, max(0, limit - (used or 0)))
    return total, available


def resident_bytes() -> int:
    """Memory that this process holds now."""
    for line in _lines("/proc/self/status"):
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def give_back_memory(above: int = 2**30) -> None:
    """Return to the system what the C library keeps of memory that was freed, where it can (glibc).

    Args:
        above: bytes that the process may hold without it.
    """
    if resident_bytes() > above:
        gc.collect()
        with contextlib.suppress(AttributeError, OSError):
            ctypes.CDLL(None).malloc_trim(0)


def end_with_parent(by: int = signal.SIGKILL) -> None:
    """Let the kernel end this process with the one that started it: an orphan would go on (prctl(2), Linux alone).

    Args:
        by: signal that it gets; another one for a program that has processes of its own to end.
    """
    if sys.platform != "linux":
        return
    parent = os.getppid()
    ctypes.CDLL(None).prctl(1, int(by))  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os.kill(os.getpid(), by)


def has_nvidia_gpu() -> bool:
    """Whether a driver of NVIDIA's is loaded and no variable hides its GPUs; asks no library."""
    return _NVIDIA.exists() and os.environ.get("CUDA_VISIBLE_DEVICES", "all") not in ("", "-1")


def disk_bytes(place: Path) -> tuple[int, int]:
    """Size of the file system that a path lies on (or will lie on), and what is free there."""
    place = place.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    usage = shutil.disk_usage(place)
    return usage.total, usage.free


def cpu_name() -> str:
    """The processor's own name, "" where the system does not tell it."""
    return _cpuinfo("model name")


def cpu_flags() -> frozenset[str]:
    """Instruction sets such as ``avx512_bf16``; empty where the system does not tell them."""
    return frozenset(_cpuinfo("flags").split()) | frozenset(_cpuinfo("Features").split())


def _cpuinfo(key: str) -> str:
    for line in _lines("/proc/cpuinfo"):
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""


def _first_number(paths: tuple[str, ...]) -> int | None:
    for path in paths:
        for line in _lines(path):
            return int(line) if line.strip().isdigit() else None  # "max" is no limit
    return None


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
