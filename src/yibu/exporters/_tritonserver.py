"""A real tritonserver on this machine: where it lies, how it starts, how it is asked.

It is in the wheel nvidia-pytriton, which needs numpy below 2 and so an environment of its own: ``make triton`` makes
one in ``~/.cache/yibu/triton``, ``$YIBU_TRITON`` names another. Models run in the Python of that environment (its
back end reads texts wrongly under numpy 2 and dies: measured), with torch and transformers from yibu's, which ``make
triton`` puts behind.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yibu.core.errors import InputError, YibuError
from yibu.exporters._program import ANSWER_SECONDS, free_ports, started


@dataclass(frozen=True)
class TritonServer:
    """An installation: the folder ``tritonserver`` of the wheel."""

    home: Path

    @staticmethod
    def find() -> TritonServer:
        """The one on this machine.

        Raises:
            InputError: there is none.
        """
        place = Path(os.environ.get("YIBU_TRITON") or Path.home() / ".cache" / "yibu" / "triton")
        found = sorted(place.glob("lib/python3.*/site-packages/pytriton/tritonserver"))
        if not found:
            raise InputError(
                "tritonserver is not on this machine, and a model repository is proven in it.",
                got=f"{place} without lib/python3.*/site-packages/pytriton/tritonserver",
                do="make triton (55 MB), or set YIBU_TRITON to an environment with nvidia-pytriton==0.7.0",
            )
        return TritonServer(found[0])

    @contextlib.contextmanager
    def serve(self, repository: Path, name: str) -> Iterator[Running]:
        """A server of this repository on 127.0.0.1, gone at the end of the block.

        Raises:
            YibuError: it does not start, or does not load the model; says why.
        """
        with tempfile.TemporaryDirectory(prefix="yibu-triton-") as place:
            ports = free_ports(3)
            running = Running(f"http://127.0.0.1:{ports[0]}", f"127.0.0.1:{ports[1]}", name)
            program = self._program(Path(place), repository, ports)
            with started(program, self._environment(), running.is_ready, _not_loaded, grace=40):
                yield running

    def _program(self, place: Path, repository: Path, ports: list[int]) -> list[str]:
        """The command; the stub of this Python lies in a copy of the back end, so nothing installed changes."""
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        back_end = place / "backends" / "python"
        shutil.copytree(self.home / "backends" / "python", back_end)
        stub = self.home / "python_backend_stubs" / version / "triton_python_backend_stub"
        if not stub.is_file():
            known = sorted(path.name for path in (self.home / "python_backend_stubs").iterdir())
            raise InputError("Triton's Python back end has no stub for this Python.", got=version, allowed=known)
        shutil.copyfile(stub, back_end / stub.name)
        server = place / "tritonserver"
        shutil.copyfile(self.home / "bin" / "tritonserver", server)
        for file in (back_end / stub.name, server):
            file.chmod(0o755)
        http, grpc, metrics = ports
        return [
            str(server),
            f"--model-repository={repository}",
            f"--backend-directory={place / 'backends'}",
            *(f"--{kind}-address=127.0.0.1" for kind in ("http", "grpc", "metrics")),
            f"--http-port={http}",
            f"--grpc-port={grpc}",
            f"--metrics-port={metrics}",
        ]

    def _environment(self) -> dict[str, str]:
        """The environment's Python first on the PATH (its packages are the model's), its own libpython first of all."""
        libraries = [Path(sys.base_prefix) / "lib", self.home.parents[1] / "nvidia_pytriton.libs"]
        return {
            **os.environ,
            "PATH": f"{self.home.parents[4] / 'bin'}:{os.environ.get('PATH', '')}",
            "LD_LIBRARY_PATH": ":".join(map(str, libraries)),
            "OMP_WAIT_POLICY": "PASSIVE",
            "HF_HUB_OFFLINE": "1",
        }


@dataclass(frozen=True)
class Running:
    """A server that answers.

    Attributes:
        address, grpc: of HTTP with its scheme, and of gRPC without.
        name: of the model.
    """

    address: str
    grpc: str
    name: str

    def is_ready(self) -> bool:
        """Whether the model is loaded."""
        try:
            self._get(f"/v2/models/{self.name}/ready")
        except (urllib.error.URLError, OSError):
            return False
        return True

    @property
    def engine(self) -> str:
        """Name and version."""
        return f"tritonserver {json.loads(self._get('/v2'))['version']}"

    def statistics(self) -> dict[str, Any]:
        """Triton's own counts of requests, executions and batches."""
        found: dict[str, Any] = json.loads(self._get(f"/v2/models/{self.name}/stats"))["model_stats"][0]
        return found

    def ask(self, request: dict[str, Any] | str) -> dict[str, Any]:
        """One request by HTTP.

        Raises:
            InputError: the model refuses it.
        """
        text = request if isinstance(request, str) else json.dumps(request)
        body = {"inputs": [{"name": "REQUEST", "shape": [1, 1], "datatype": "BYTES", "data": [text]}]}
        address = f"{self.address}/v2/models/{self.name}/infer"
        asked = urllib.request.Request(address, json.dumps(body).encode(), {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(asked, timeout=ANSWER_SECONDS) as answer:
                output = json.load(answer)["outputs"][0]
        except urllib.error.HTTPError as error:
            raise InputError("Triton refuses the request.", got=error.read().decode(errors="replace")) from error
        found: dict[str, Any] = json.loads(output["data"][0])
        return found

    def _get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.address + path, timeout=10) as answer:
            return bytes(answer.read())


def _not_loaded(said: list[str], exit_code: int | None) -> YibuError:
    lines = [line for line in said if re.match(r"E\d|.*failed to load", line)]
    return YibuError("tritonserver does not load this model.", got="; ".join(lines[-2:]) or "nothing said")
