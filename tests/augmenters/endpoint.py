"""A small endpoint that speaks the OpenAI protocol, for tests; it can be told to fail, to hang and to die."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = Callable[[dict[str, Any], int], Any]
"""Called with the request and its number from 1; a text, a status, ``"hang"``, or the whole body."""


class Endpoint:
    """Serves on a free port of this machine while the block runs."""

    def __init__(self, reply: Reply, hang: float = 5.0) -> None:
        self.reply = reply
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with outer._lock:
                    outer.requests.append(body)
                    outer.headers.append(dict(self.headers))
                    number = len(outer.requests)
                said = outer.reply(body, number)
                if said == "hang":
                    time.sleep(hang)
                    return
                status = said if isinstance(said, int) else 200
                if isinstance(said, str):
                    said = {"choices": [{"message": {"content": said}, "finish_reason": "stop"}]}
                data = json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> Endpoint:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._server.shutdown()
        self._server.server_close()


def asked(body: dict[str, Any]) -> str:
    """The text that is to be rewritten."""
    text: str = body["messages"][-1]["content"]
    return text
