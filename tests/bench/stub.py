"""A small server that streams answers in the protocols of OpenAI and Triton; it can stall, fail and die."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Behaviour = Callable[[int], Any]
"""Called with the number of the request from 1; seconds to wait first, a status, ``"break"`` or ``"error"``."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512

    def handle_error(self, *_: Any) -> None:
        """A client that has seen enough is no fault."""


class Stub:
    """Serves on a free port of this machine while the block runs.

    Args:
        behave: see `Behaviour`.
        tokens: pieces of an answer.
        gap: seconds between two pieces.
        usage: whether the length of the answer is told, with one more than there were pieces.
        one_at_a_time: a stall holds up all requests behind it, as an engine with one queue does.
    """

    def __init__(
        self,
        behave: Behaviour = lambda number: 0.0,
        tokens: int = 3,
        gap: float = 0.0,
        usage: bool = True,
        one_at_a_time: bool = False,
    ) -> None:
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self._lock, self._turn = threading.Lock(), threading.Lock()
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with stub._lock:
                    stub.requests.append((self.path, body))
                    number = len(stub.requests)
                if one_at_a_time:
                    with stub._turn:
                        self.answer(behave(number))
                else:
                    self.answer(behave(number))

            def answer(self, said: Any) -> None:
                if isinstance(said, int):
                    self.send_response(said)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                if isinstance(said, float):
                    time.sleep(said)
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Connection", "close")
                self.end_headers()
                self.close_connection = True
                for place in range(tokens):
                    if place:
                        time.sleep(gap)
                    if place == 1 and said == "break":
                        return
                    if place == 1 and said == "error":
                        self.event({"error": "out of memory"})
                        return
                    self.event(self.piece("word "))
                self.end()

            def piece(self, text: str) -> dict[str, Any]:
                if self.path.endswith("generate_stream"):
                    return {"model_name": "m", "text_output": text}
                if self.path.endswith("/chat/completions"):
                    return {"choices": [{"delta": {"content": text}, "finish_reason": None}]}
                return {"choices": [{"text": text, "finish_reason": None}]}

            def end(self) -> None:
                if self.path.endswith("generate_stream"):
                    self.event(self.piece(""))
                    return
                self.event({"choices": [{"delta": {}, "finish_reason": "stop"}]})
                if usage:
                    self.event({"choices": [], "usage": {"completion_tokens": tokens + 1, "prompt_tokens": 7}})
                self.wfile.write(b"data: [DONE]\n\n")

            def event(self, table: dict[str, Any]) -> None:
                self.wfile.write(f"data: {json.dumps(table)}\n\n".encode())
                self.wfile.flush()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = _Server(("127.0.0.1", 0), Handler)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def die(self) -> None:
        """Close the door; connections that are open stay."""
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Stub:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.die()
