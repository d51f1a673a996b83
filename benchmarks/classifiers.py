"""What the benchmarks of classification share: bank messages, the tuned model as files, clients of Triton.

The model is ``banking77/model`` of a store; its adapter is merged here, and the proof that an export demands
(`yibu.export`) is the export's, not repeated by a benchmark.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from http_load import Answer, Client

REF = "banking77/model"


@dataclass(frozen=True)
class Tuned:
    """A tuned classifier.

    Attributes:
        folder: merged, plain Hugging Face.
        source: what exporters ask for.
        texts, labels: of the test rows.
        prompts: their token ids.
    """

    folder: Path
    source: Any
    texts: list[str]
    labels: list[str]
    prompts: list[list[int]]


def tuned(store_path: Path, place: Path, shortest: int = 32, longest: int = 64) -> Tuned:
    """The tuned model of a store, and its test rows whose prompts have so many tokens.

    Raises:
        SystemExit: the store has no such model.
    """
    from yibu import tasks
    from yibu.core.record import read_rows
    from yibu.core.store import Store
    from yibu.exporters import Source
    from yibu.model.assemble import for_answers, merged
    from yibu.train import Config

    store = Store(store_path)
    model = store.ref(REF)
    if model is None:
        raise SystemExit(f"{store_path} has no {REF}: yibu train recipes/banking77.yaml")
    data = store.get(model.manifest.inputs["data"])
    config: Any = Config.model_validate(model.manifest.config)
    task = tasks.build(config.task, data.read_json("summary.json")["labels"])
    base, folder = Path(config.base.path), place / "model"
    if not (folder / "config.json").is_file():
        merged(base, model.path / "adapter", config.adapter.kind).save_pretrained(folder)
        for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
            shutil.copyfile(model.path / "adapter" / name, folder / name)
    renderer = for_answers(folder, None, config.adapter.kind, "cpu", "fp32").renderer
    asked = ({"role": "user", "content": "?"},)
    labels = tuple(task.labels or ())
    source = Source(
        name="banking77",
        model=folder,
        quantised=None,
        adapter=model.path / "adapter",
        base=base,
        base_name=config.base.name,
        task=config.task.as_config(),
        labels=labels,
        label_ids=tuple(tuple(renderer.answer(task.answer_text(label), asked)) for label in labels),
        correction=None,
        prompt=config.task.prompt,
        system=config.task.system,
        max_new_tokens=task.max_new_tokens,
        stop_ids=tuple(renderer.stop_ids),
    )
    rows = [(row, renderer.prompt(task.messages(row))) for row in read_rows(data.file("test.jsonl"))]
    rows = [(row, ids) for row, ids in rows if shortest <= len(ids) <= longest]
    texts = [str(row.fields["text"]) for row, _ in rows]
    return Tuned(folder, source, texts, [str(row.label) for row, _ in rows], [list(ids) for _, ids in rows])


def repository(source: Any, place: Path, settings: Any, batched: bool = True) -> Path:
    """A model repository; without batching Triton gives its back end one request at a time. What is there is used."""
    from yibu.exporters import triton

    made = place / "repository"
    if made.is_dir():
        return made
    triton.write(source, place, settings)
    config = made / source.name / "config.pbtxt"
    text = config.read_text(encoding="utf-8")
    if not batched:
        begin = text.index("dynamic_batching {")
        config.write_text(text[:begin] + text[text.index("}\n", begin) + 2 :], encoding="utf-8")
    return made


def request_of(name: str, text: str) -> bytes:
    """One request by HTTP in Triton's binary form, which costs the client little."""
    data = text.encode()
    raw = struct.pack("<I", len(data)) + data
    head = {
        "inputs": [
            {"name": "REQUEST", "shape": [1, 1], "datatype": "BYTES", "parameters": {"binary_data_size": len(raw)}}
        ]
    }
    table = json.dumps(head).encode()
    return (
        (
            f"POST /v2/models/{name}/infer HTTP/1.1\r\nhost: triton\r\n"
            f"inference-header-content-length: {len(table)}\r\n"
            f"content-type: application/octet-stream\r\ncontent-length: {len(table) + len(raw)}\r\n\r\n"
        ).encode()
        + table
        + raw
    )


def label_of(answer: Answer) -> str:
    """The label in an answer of Triton."""
    assert answer.status == 200, answer.body[:300]
    table = json.loads(answer.body)
    return str(json.loads(table["outputs"][0]["data"][0])["answer"])


async def together(server: Any, texts: Sequence[str], count: int, at_once: int) -> tuple[float, list[str]]:
    """So many requests by so many clients: requests a second, and the labels."""
    client = Client(int(server.address.rpartition(":")[2]))
    loop, answers = asyncio.get_running_loop(), [""] * count
    numbers = iter(range(count))
    begun = loop.time()

    async def one() -> None:
        for number in numbers:
            answers[number] = label_of(await client.ask(request_of(server.name, texts[number % len(texts)])))

    await asyncio.gather(*(one() for _ in range(at_once)))
    seconds = loop.time() - begun
    client.close()
    return count / seconds, answers


def load() -> str:
    """Processes that wait for a processor: a figure that was measured beside others says so."""
    return f"load of the last minute {os.getloadavg()[0]:.1f}"
