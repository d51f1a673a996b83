"""A model of ours in a process of its own, asked over the loopback like any endpoint.

What it is, and what it is not: transformers' own ``generate``, one request at a time, first come first served, with a
cache for the request that is being answered and none beyond. Nothing is batched and no prefix is kept, so a server made
for the purpose (vLLM, SGLang, TensorRT-LLM) answers many times as many requests. What it shows is the model, the
adapter and the machine; it is no serving engine. It listens on 127.0.0.1 alone.
"""

from __future__ import annotations

import json
import multiprocessing
import queue
import signal
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

from yibu.core.errors import InputError, YibuError
from yibu.core.recipe import Settings
from yibu.engines import openai

_START_SECONDS = 600.0  # a large base is read from disk
_LONGEST_BODY = 16 * 2**20


class OwnSettings(Settings):
    """What the process loads: see `yibu.model.assemble.for_answers`."""

    base_path: str
    adapter_path: str | None = None
    adapter_kind: str = "lora"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    threads: int | None = None


class OwnEngine:
    """The process, while the block runs.

    Attributes:
        settings: how clients reach it.
        facts: what it said when it was ready: ``device``, ``dtype``, ``threads``, ``load_seconds``.
    """

    settings: openai.Settings
    facts: dict[str, Any]

    def __init__(self, settings: OwnSettings, ignore_eos: bool = False) -> None:
        self._wanted, self._ignore_eos = settings, ignore_eos

    def __enter__(self) -> OwnEngine:
        if not Path(self._wanted.base_path).is_dir():
            raise InputError("The base is no longer where it was.", got=self._wanted.base_path)
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        self._process = context.Process(target=_process, args=(theirs, self._wanted), daemon=True)
        self._process.start()
        theirs.close()
        self._pipe = ours
        try:
            if not ours.poll(_START_SECONDS):
                raise EOFError
            port, self.facts = ours.recv()
        except (EOFError, OSError) as error:
            self.__exit__()
            raise YibuError(
                "The process that is to run the model did not start.",
                got=f"exit code {self._process.exitcode}",
                do="run again with --verbose; what it printed is above",
            ) from error
        self.settings = openai.Settings(endpoint=f"http://127.0.0.1:{port}/v1", ignore_eos=self._ignore_eos)
        return self

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return bool(self._process.is_alive())

    def __exit__(self, *_: object) -> None:
        self._pipe.close()
        self._process.terminate()
        self._process.join(10)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


@dataclass
class _Asked:
    """A request that waits for its turn, and what was said so far: pieces, then None."""

    ids: list[int]
    max_new_tokens: int
    ignore_eos: bool
    said: queue.SimpleQueue[tuple[str, int] | None] = field(default_factory=queue.SimpleQueue)
    gone: bool = False
    stopped: bool = False
    num_tokens: int = 0
    failed: bool = False


def _process(pipe: Connection, settings: OwnSettings) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; the parent decides what it means
    serve(pipe, settings)


def serve(pipe: Connection, settings: OwnSettings) -> None:
    """Body of the process: load, say the port and what is there, answer until the other end of the pipe is closed."""
    import torch

    from yibu.model.assemble import for_answers, use_generating_attention

    begun = time.monotonic()
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    adapter = None if settings.adapter_path is None else Path(settings.adapter_path)
    system = for_answers(Path(settings.base_path), adapter, settings.adapter_kind, settings.device, settings.dtype)
    use_generating_attention(system.model, system.facts)
    waiting: queue.SimpleQueue[_Asked] = queue.SimpleQueue()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(system.renderer, waiting), bind_and_activate=False)
    server.daemon_threads, server.request_queue_size = True, 1024
    server.server_bind()
    server.server_activate()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    facts = {
        "engine": "transformers, one request at a time",
        "device": str(system.device),
        "dtype": str(system.dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "load_seconds": round(time.monotonic() - begun, 3),
    }
    pipe.send((server.server_address[1], facts))
    threading.Thread(target=_answer_all, args=(system, waiting), daemon=True).start()
    # The parent says nothing more; its end of the pipe closes when it is through, or dead.
    try:
        pipe.recv()
    except (EOFError, OSError):
        return


def _answer_all(system: Any, waiting: queue.SimpleQueue[_Asked]) -> None:
    """First come, first served."""
    while True:
        asked = waiting.get()
        try:
            if not asked.gone:
                _answer(system, asked)
        except Exception as error:  # one bad request must not end the others
            asked.failed = True
            print(f"a request failed: {type(error).__name__}: {error}", flush=True)
        asked.said.put(None)


def _answer(system: Any, asked: _Asked) -> None:
    import torch

    stops = system.renderer.stop_ids
    ids = torch.tensor([asked.ids], device=system.device)
    written: list[int] = []

    class Streamer:
        """Each token when it is known; the first call of transformers brings the prompt."""

        begun = False

        def put(self, value: Any) -> None:
            if not self.begun:
                self.begun = True
                return
            token = int(value.reshape(-1)[-1])
            written.append(token)
            asked.num_tokens = len(written)
            if token not in stops or asked.ignore_eos:
                asked.said.put((system.renderer.tokenizer.decode([token]), 1))

        def end(self) -> None:
            pass

    class Leave:
        """A client that hung up is not worked for any longer."""

        def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
            return torch.full((input_ids.shape[0],), asked.gone, dtype=torch.bool, device=input_ids.device)

    with torch.no_grad():
        system.model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=asked.max_new_tokens,
            min_new_tokens=asked.max_new_tokens if asked.ignore_eos else None,
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            eos_token_id=stops,
            pad_token_id=stops[0],
            streamer=Streamer(),
            stopping_criteria=[Leave()],
        )
    asked.stopped = bool(written) and written[-1] in stops


def _handler(renderer: Any, waiting: queue.SimpleQueue[_Asked]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """``/v1/chat/completions`` and ``/v1/completions``, streaming only."""

        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            chat = self.path == "/v1/chat/completions"
            if not chat and self.path != "/v1/completions":
                return self._refuse(404)
            try:
                length = int(self.headers.get("Content-Length", "0"))
                if length > _LONGEST_BODY:
                    return self._refuse(413)
                body = json.loads(self.rfile.read(length))
                asked = _read(body, chat, renderer)
            except Exception:  # whatever is wrong with a body is the sender's mistake
                return self._refuse(400)
            waiting.put(asked)
            try:
                self._stream(asked, chat)
            except OSError:
                asked.gone = True

        def _stream(self, asked: _Asked, chat: bool) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            self.close_connection = True
            while (piece := asked.said.get()) is not None:
                self._event({"choices": [_choice(chat, piece[0], None)]})
            if asked.failed:
                return self._event({"error": {"message": "the model could not answer"}})
            reason = "stop" if asked.stopped else "length"
            self._event({"choices": [_choice(chat, "", reason)]})
            self._event(
                {
                    "choices": [],
                    "usage": {"completion_tokens": asked.num_tokens, "prompt_tokens": len(asked.ids)},
                }
            )
            self.wfile.write(b"data: [DONE]\n\n")

        def _event(self, table: dict[str, Any]) -> None:
            self.wfile.write(f"data: {json.dumps(table)}\n\n".encode())
            self.wfile.flush()

        def _refuse(self, status: int) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.send_header("Connection", "close")
            self.end_headers()
            self.close_connection = True

        def log_message(self, *_: Any) -> None:
            """Requests are not logged."""

    return Handler


def _choice(chat: bool, text: str, reason: str | None) -> dict[str, Any]:
    said = {"delta": {"content": text}} if chat else {"text": text}
    return {"index": 0, **said, "finish_reason": reason}


def _read(body: dict[str, Any], chat: bool, renderer: Any) -> _Asked:
    from yibu.tasks import Message

    if chat:
        messages = [Message(role=item["role"], content=item["content"]) for item in body["messages"]]
        ids = renderer.prompt(messages)
    else:
        ids = list(renderer.tokenizer(str(body["prompt"]), add_special_tokens=True)["input_ids"])
    wanted = int(body.get("max_tokens", 16))
    if not ids or wanted < 1:
        raise ValueError("nothing to do")
    return _Asked(ids, wanted, bool(body.get("ignore_eos", False)))
