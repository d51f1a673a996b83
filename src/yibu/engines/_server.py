"""The OpenAI protocol over the loopback, for a process of ours: streams only, since only our own clients ask.

Beside it: ``/v1/embeddings``, ``/v1/score``, and ``/v1/load_lora_adapter`` and ``/v1/unload_lora_adapter`` as vLLM has
them.
"""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from yibu.core.errors import YibuError
from yibu.core.log import get
from yibu.engines import Adapter, Sampling
from yibu.engines._job import Desk, Job, ScoreJob

log = get("engines")

BASE = "base"
"""Name under which the base is asked without an adapter."""

_LONGEST_BODY = 16 * 2**20


class _Refused(Exception):
    """A request that gets another status than 200."""

    def __init__(self, status: int, why: str = "") -> None:
        self.status, self.why = status, why
        super().__init__(status)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is no error, and the rest was answered."""


def listen(desk: Desk, renderer: Any, config: Any, default: str | None) -> ThreadingHTTPServer:
    """A server on a free port, which the caller runs.

    Args:
        desk: who answers.
        renderer: of the model. config: of transformers, for how long a row may be.
        default: adapter that answers where the model's name is none of an adapter; None: the base.
    """
    server = _Server(
        ("127.0.0.1", 0), _handler(desk, _Reader(desk, renderer, config, default)), bind_and_activate=False
    )
    server.server_bind()
    server.server_activate()
    return server


def _handler(desk: Desk, reader: _Reader) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """One connection."""

        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            if self.path == "/v1/models":
                return self._table(200, {"object": "list", "data": [{"id": name} for name in [*desk.names, BASE]]})
            self._table(404, {"error": {"message": "no such address"}})

        def do_POST(self) -> None:
            try:
                length = int(self.headers.get("Content-Length") or -1)
                if not 0 <= length <= _LONGEST_BODY:
                    self.close_connection = True
                    raise _Refused(413)
                self._route(json.loads(self.rfile.read(length)))
            except _Refused as refused:
                self._table(refused.status, {"error": {"message": refused.why}})
            except (ValueError, KeyError, TypeError, YibuError) as error:  # the sender's mistake
                why = error.what if isinstance(error, YibuError) else type(error).__name__
                self._table(400, {"error": {"message": why}})
            except OSError:  # the client hung up
                self.close_connection = True

        def _route(self, body: Any) -> None:
            if self.path in ("/v1/chat/completions", "/v1/completions"):
                job = reader.job(body)
                desk.put(job)
                try:
                    self._stream(job, self.path == "/v1/chat/completions")
                except OSError:
                    job.gone = True
                    raise
            elif self.path == "/v1/score":
                wanted = reader.score(body)
                desk.put(wanted)
                wanted.done.wait()
                if wanted.error is not None:
                    raise _Refused(500, "the model could not score")
                self._table(200, {"scores": wanted.result})
            elif self.path == "/v1/embeddings":
                texts, name = reader.texts(body)
                vectors = desk.embed(texts, name)
                rows = [{"index": place, "embedding": vector} for place, vector in enumerate(vectors)]
                self._table(200, {"data": rows, "usage": {"prompt_tokens": sum(map(len, texts))}})
            elif self.path == "/v1/load_lora_adapter":
                adapter = Adapter(str(body["lora_name"]), Path(body["lora_path"]), str(body.get("kind", "lora")))
                desk.load(adapter)
                self._table(200, {})
            elif self.path == "/v1/unload_lora_adapter":
                desk.forget(str(body["lora_name"]))
                self._table(200, {})
            else:
                raise _Refused(404, "no such address")

        def _stream(self, job: Job, chat: bool) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            while (piece := job.said.get()) is not None:
                self._event({"choices": [_choice(chat, piece[0], None)]})
            if job.failed:
                self._event({"error": {"message": "the model could not answer"}})
            else:
                self._event({"choices": [_choice(chat, "", job.finish)]})
                usage = {"completion_tokens": job.num_tokens, "prompt_tokens": len(job.ids)}
                self._event({"choices": [], "usage": usage})
            self._chunk(b"data: [DONE]\n\n")
            self._chunk(b"")

        def _event(self, table: dict[str, Any]) -> None:
            self._chunk(f"data: {json.dumps(table)}\n\n".encode())

        def _chunk(self, data: bytes) -> None:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))

        def _table(self, status: int, table: dict[str, Any]) -> None:
            data = json.dumps(table).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            if self.close_connection:
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            """Requests are not logged."""

    return Handler


class _Reader:
    """Bodies become jobs; tokenisation happens here, in the thread of the connection."""

    def __init__(self, desk: Desk, renderer: Any, config: Any, default: str | None) -> None:
        self._desk, self._renderer, self._default = desk, renderer, default
        self._longest = int(getattr(config.get_text_config(), "max_position_embeddings", 0) or 2**31)

    def job(self, body: dict[str, Any]) -> Job:
        ids, wanted = self._ids(body), int(body.get("max_tokens", 16))
        if wanted < 1:
            raise _Refused(400, "max_tokens must be at least 1")
        if len(ids) >= self._longest:
            raise _Refused(413, f"the prompt has {len(ids)} tokens; the model reads up to {self._longest - 1}")
        sampling = Sampling(
            float(body.get("temperature") or 0.0),
            float(body.get("top_p") or 1.0),
            body.get("seed"),
            tuple(body.get("stop") or ()),
        )
        longest = min(wanted, self._longest - len(ids))
        return Job(ids, longest, self._adapter(body), sampling, bool(body.get("ignore_eos", False)))

    def score(self, body: dict[str, Any]) -> ScoreJob:
        messages = body.get("messages") or ()
        answers = tuple(tuple(self._renderer.answer(str(text), messages)) for text in body["answers"])
        if not answers or not all(answers):
            raise _Refused(400, "there is nothing to score")
        ids = self._ids(body)
        if len(ids) + max(map(len, answers)) > self._longest:
            raise _Refused(413, f"the prompt has {len(ids)} tokens; the model reads up to {self._longest}")
        return ScoreJob(ids, answers, self._adapter(body))

    def texts(self, body: dict[str, Any]) -> tuple[list[list[int]], str | None]:
        """Token ids of the texts that shall become vectors, and the adapter."""
        encode = self._renderer.tokenizer
        found = [list(encode(str(text), add_special_tokens=True)["input_ids"]) for text in body["input"]]
        if not found or not all(found):
            raise _Refused(400, "there is nothing to embed")
        longest = max(map(len, found))
        if longest > self._longest:
            raise _Refused(413, f"a text has {longest} tokens; the model reads up to {self._longest}")
        return found, self._adapter(body)

    def _ids(self, body: dict[str, Any]) -> list[int]:
        if "messages" in body:
            messages = [{"role": str(item["role"]), "content": str(item["content"])} for item in body["messages"]]
            ids: list[int] = self._renderer.prompt(messages)
        else:
            ids = list(self._renderer.tokenizer(str(body["prompt"]), add_special_tokens=True)["input_ids"])
        if not ids:
            raise _Refused(400, "the prompt is empty")
        return ids

    def _adapter(self, body: dict[str, Any]) -> str | None:
        name = body.get("model", "default")
        if name == BASE:
            return None
        if name in self._desk.names:
            return str(name)
        if name in ("default", None):
            return self._default
        raise _Refused(404, "no adapter of this name is loaded")


def _choice(chat: bool, text: str, reason: str | None) -> dict[str, Any]:
    said = {"delta": {"content": text}} if chat else {"text": text}
    return {"index": 0, **said, "finish_reason": reason}
