"""The process around a vLLM: starts it, makes token ids for it, watches it, and ends it with all that it started.

Token ids are made here by `yibu.model.render`, as in training, and vLLM is given ids: its own template, its special
tokens and the generation config of the base have no say. Whoever asks does so from another process, without torch.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import os
import re
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from pydantic import Field

from yibu.core.errors import YibuError
from yibu.core.log import get
from yibu.core.machine import end_with_parent, num_cores
from yibu.engines import ProcessSettings
from yibu.exporters._program import started

HOST = "http://vllm"
"""What stands for the Unix socket in addresses."""

log = get("engines")

IDS = "/ids"
"""Address below which token ids are made: ``{prompt | messages, answers}`` -> ``{ids, answers}``."""

_LONGEST_BODY = 16 * 2**20
_CAUSE = re.compile(r"(?:^|\s)((?:\w+\.)*\w*(?:Error|Exception): .+)")
_NO_CAUSE = ("Engine core initialization failed", "See root cause above", "EngineCore encountered an issue")
_OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    # An adapter is loaded by its path, so only whoever has the key may do it; see `Program.key`.
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1",
}


class Program(ProcessSettings):
    """What the process is told.

    Attributes:
        python: interpreter that has vLLM. version, is_cpu: of that vLLM.
        arguments: of its server, but for the address.
        key: whoever asks has it. It goes by the environment: everybody on a machine may read command lines. vLLM asks
            for it below ``/v1`` and leaves other addresses open (``/invocations``, ``/adapters``), so it also listens
            on a Unix socket in a folder that only this user may enter.
        cpu_cache_gib: memory for keys and values where it runs on a processor.
    """

    python: str
    version: str
    is_cpu: bool
    arguments: tuple[str, ...]
    key: str = Field(repr=False)
    cpu_cache_gib: int


def serve(pipe: Connection, program: Program) -> None:
    """Body of the process: start vLLM, say its port, and end with it or when the pipe is closed."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    begun = time.monotonic()
    try:
        renderer = _renderer(Path(program.base_path))
        ids = _ids_server(renderer, program.key)
        with tempfile.TemporaryDirectory(prefix="yibu-vllm-", dir=_short_folder()) as folder:
            socket = str(Path(folder, "socket"))
            command = [program.python, "-I", "-m", "vllm.entrypoints.openai.api_server", "--uds", socket]
            running = started(
                [*command, *program.arguments],
                _environment(program),
                lambda: _get(socket, "/health", program.key) is not None,
                _not_started,
                grace=5,
                seconds=program.start_seconds,
                before=_end_gently_with_parent,
                alone=True,
                ended=_ended,
            )
            with running as process:
                models = (_get(socket, "/v1/models", program.key) or {}).get("data") or [{}]
                facts = {
                    "engine": f"vllm {program.version}",
                    "device": "cpu" if program.is_cpu else "gpu",
                    "threads": _threads(program) if program.is_cpu else None,
                    "load_seconds": round(time.monotonic() - begun, 3),
                    "pid": process.pid,
                    "port": ids.server_address[1],
                    "socket": socket,
                    "stop_ids": renderer.stop_ids,
                    "longest": models[0].get("max_model_len"),
                }
                pipe.send((ids.server_address[1], facts))
                while process.poll() is None and not pipe.poll(0.1):
                    pass
    except YibuError as error:
        pipe.send((0, {"failed": str(error.got or error.what), "do": error.do}))
    except (EOFError, OSError):  # the parent is through, or dead
        pass


def _short_folder() -> str | None:
    """Where a folder for a Unix socket is made: the path of one may have 107 bytes."""
    return "/tmp" if len(tempfile.gettempdir()) > 60 else None


def _renderer(base: Path) -> Any:
    """
    Raises:
        TemplateError: the base has no template that carries an answer and its end.
    """
    from transformers import AutoConfig

    from yibu import bases
    from yibu.model.assemble import load_renderer

    return load_renderer(base, bases.facts_for(AutoConfig.from_pretrained(base)))


def _environment(program: Program) -> dict[str, str]:
    environment = {**os.environ, **_OFFLINE, "VLLM_API_KEY": program.key}
    environment.setdefault("VLLM_LOGGING_LEVEL", "WARNING")  # what it says is kept in a file while it runs
    if program.is_cpu:
        # Bound to cores of its own choice it would sit on those that others use, and threads that wait would spin.
        own = {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": str(_threads(program))}
        environment |= {**own, "OMP_WAIT_POLICY": "PASSIVE", "VLLM_CPU_KVCACHE_SPACE": str(program.cpu_cache_gib)}
    elif program.threads:
        environment["OMP_NUM_THREADS"] = str(program.threads)
    return environment


def _threads(program: Program) -> int:
    return program.threads or max(1, num_cores() - 1)


def _end_gently_with_parent() -> None:
    """vLLM has processes of its own, which it ends at a SIGTERM and would leave behind at a SIGKILL."""
    end_with_parent(by=signal.SIGTERM)


def _not_started(said: list[str], exit_code: int | None) -> YibuError:
    """The error of a vLLM that ended or was not ready in time."""
    cause, path = _told(said, exit_code, first=True)
    late = "not ready in time; " if exit_code is None else ""
    return YibuError("vLLM did not start.", got=f"{late}{cause}", do=f"read what it said: {path}")


def _ended(said: list[str], exit_code: int) -> None:
    log.error("vLLM ended: %s; what it said: %s", *_told(said, exit_code, first=False))


def _told(said: list[str], exit_code: int | None, first: bool) -> tuple[str, str]:
    """What it ended by, and the file in which all that it said is left.

    Args:
        first: the first error is the cause, as at its start; later on some are only of requests.
    """
    causes = [cause[1].strip() for line in said if (cause := _CAUSE.search(line))]
    telling = [cause for cause in causes if not any(words in cause for words in _NO_CAUSE)]
    last = [line.strip() for line in said if line.strip()]
    with tempfile.NamedTemporaryFile("w", prefix="yibu-vllm-", suffix=".log", delete=False) as file:
        file.write("\n".join(said) + "\n")
    if exit_code is not None and exit_code < 0:
        return f"killed by signal {-exit_code}", file.name
    found = telling or causes or last or [f"exit code {exit_code}"]
    return found[0 if first and (telling or causes) else -1], file.name


def _get(socket: str, path: str, key: str) -> dict[str, Any] | None:
    """The table of an answer with status 200, ``{}`` where it is none; None where there is no such answer."""
    import httpx

    try:
        with httpx.Client(transport=httpx.HTTPTransport(uds=socket), timeout=5) as client:
            answer = client.get(HOST + path, headers={"Authorization": f"Bearer {key}"})
    except httpx.HTTPError:
        return None
    if answer.status_code != 200:
        return None
    return dict(answer.json()) if answer.content else {}


class _IdsServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024

    def handle_error(self, *_: Any) -> None:
        """A client that hung up is no error."""


def _ids_server(renderer: Any, key: str) -> ThreadingHTTPServer:
    """Makes token ids on a free port of the loopback, in threads of its own."""
    lock = threading.Lock()  # a tokenizer is no friend of two threads

    class Handler(BaseHTTPRequestHandler):
        """One connection."""

        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or -1)
            known = hmac.compare_digest(self.headers.get("Authorization", "").encode(), f"Bearer {key}".encode())
            if not known or self.path != IDS or not 0 <= length <= _LONGEST_BODY:
                self.close_connection = True
                self.answer(401 if not known else 404 if self.path != IDS else 413, {})
                return
            try:
                body = json.loads(self.rfile.read(length))
                with lock:
                    found = token_ids(renderer, body.get("prompt"), body.get("messages"), body.get("answers") or ())
                self.answer(200, found)
            except (ValueError, KeyError, TypeError, YibuError) as error:  # the sender's mistake
                why = error.what if isinstance(error, YibuError) else type(error).__name__
                self.answer(400, {"error": {"message": why}})

        def answer(self, status: int, table: dict[str, Any]) -> None:
            data = json.dumps(table).encode()
            with contextlib.suppress(OSError):
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            """Requests are not logged."""

    server = _IdsServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def token_ids(
    renderer: Any, prompt: str | None, messages: Sequence[dict[str, str]] | None, answers: Sequence[str]
) -> dict[str, Any]:
    """Ids of a prompt, and of each answer with the end of its turn.

    Raises:
        ValueError: there is nothing in it. TemplateError: the template refuses this conversation.
    """
    if messages is not None:
        asked = [{"role": str(item["role"]), "content": str(item["content"])} for item in messages]
        ids = renderer.prompt(asked)
    else:
        asked, ids = [], list(renderer.tokenizer(str(prompt), add_special_tokens=True)["input_ids"])
    said = [renderer.answer(str(text), asked) for text in answers]
    if not ids or not all(said):
        raise ValueError("empty")
    return {"ids": ids, "answers": said}
