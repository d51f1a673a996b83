"""`yibu serve` as a process of its own, on real tiny models: what the tests and the benchmark of serving begin with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from tiny import tiny_base
from yibu import pipeline
from yibu.core.store import Artifact, Store
from yibu.engines import Adapter

CLASSIFY = {"kind": "classify", "prompt": "Which kind?\n{text}", "label": "{label}"}
ECHO = {"kind": "generate", "prompt": "Say it.\n{text}", "target": "{text}", "max_new_tokens": 8}
WRITE = {"kind": "generate", "prompt": "Answer.\n{text}", "target": "{label}", "max_new_tokens": 8}


def trained(root: Path, tasks: dict[str, dict[str, Any]], **changes: Any) -> tuple[Store, dict[str, Artifact]]:
    """A model for each task on one tiny base; each with an effect that can be seen.

    Args:
        changes: of the base's config.
    """
    base, store = tiny_base(root / "base", **changes), Store(root / "store")
    rows = [{"text": f"cough {n}", "label": "lung" if n % 2 else "hand"} for n in range(80)]
    (root / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    models = {}
    for place, (name, task) in enumerate(tasks.items()):
        path = root / f"{name}.yaml"
        table = {
            "base": str(base),
            "task": task,
            "data": {"source": str(root / "rows.jsonl")},
            "train": {"max_steps": 16, "lr": 1e-2, "batch": 4, "threads": 1, "seed": place, "dtype": "fp32"},
        }
        path.write_text(json.dumps(table))
        recipe = pipeline.load(path)
        models[name] = pipeline.make_model(recipe, store, pipeline.make_data(recipe, store))
    return store, models


class Served:
    """The verb, while the block runs.

    Attributes:
        address: without ``/v1``. told: what it said when it was ready.
    """

    def __init__(self, store: Store, *words: str) -> None:
        command = [sys.executable, "-m", "yibu", "serve", *words, "serve.port=0", "--json", "--store", str(store.root)]
        # A pipe that nobody reads is full after 64 KiB, and the server then waits at its next line.
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  (closed by `__exit__`)
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self._stderr, text=True)

    def __enter__(self) -> Served:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.process.wait(60)
            raise AssertionError(self.log())
        self.told = json.loads(line)
        self.address = self.told["address"]
        return self

    def engines(self) -> list[int]:
        """Ids of the engine's processes, the children that multiply; one that is replaced ends a bit later."""
        threads = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        children = [child for thread in threads for child in thread.read_text().split()]
        return [int(child) for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]

    def engine(self) -> int:
        """Id of the one that there is."""
        (found,) = self.engines()
        return found

    def llama(self) -> int:
        """Id of the llama-server that the engine's process watches."""
        watcher = self.engine()
        (child,) = Path(f"/proc/{watcher}/task/{watcher}/children").read_text().split()
        assert b"llama-server" in Path(f"/proc/{child}/cmdline").read_bytes()
        return int(child)

    def log(self) -> str:
        """What it has written on stderr."""
        file = self._stderr.fileno()
        return os.pread(file, os.fstat(file).st_size, 0).decode()  # the place to write at is the server's too

    def end(self) -> tuple[int, str]:
        """SIGTERM; the exit code and what it wrote on stderr."""
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=60)
        return self.process.returncode, self.log()

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.communicate(timeout=60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.communicate()
        self._stderr.close()


def alone(base: Path, adapters: dict[str, Adapter], prompt: list[dict[str, str]], num_tokens: int) -> dict[str, str]:
    """What each adapter says to a prompt, asked alone and without any engine."""
    from yibu.model.assemble import for_answers, use_generating_attention
    from yibu.model.generate import generate

    said = {}
    for name, adapter in adapters.items():
        system = for_answers(base, adapter.path, adapter.kind, "cpu", "fp32")
        use_generating_attention(system.model, system.facts)
        with torch.no_grad():
            ids = system.renderer.prompt(prompt)
            said[name] = generate(system.model, system.renderer, [ids], num_tokens)[0].text
    return said


def adapters_of(models: dict[str, Artifact]) -> dict[str, Adapter]:
    """Of trained models, each under the id of its artifact."""
    return {name: Adapter(model.id, model.path / "adapter") for name, model in models.items()}


def scores_alone(base: Path, adapter: Adapter, prompt: list[dict[str, str]], words: list[str]) -> list[float]:
    """Log-likelihoods of answers by the model itself, in fp32 and one pass."""
    from yibu.model.assemble import for_answers
    from yibu.model.score import score_answers

    system = for_answers(base, adapter.path, "lora", "cpu", "fp32")
    answers = [system.renderer.answer(word, prompt) for word in words]
    found: list[float] = score_answers(system.model, [system.renderer.prompt(prompt)], answers)[0].tolist()
    return found


def is_running(pid: int) -> bool:
    """Whether a process is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
