"""Exporters: the forms in which a tuned model leaves the house, each for an engine that knows nothing of yibu.

One file is one form. A plug defines

- ``Settings``: its table in the recipe, with a literal ``kind``;
- ``write(source, folder, settings)``: the files; an `InputError` where this form cannot carry the model;
- ``ask(source, folder, settings, questions) -> dict[str, Replies]``: the same questions put to each part of the files
  in its real engine, in a process of its own that has no yibu; `Unasked` where that engine cannot run here and the
  form may leave all the same;
- ``bounds(settings) -> Bounds``: how near the replies must come to those of the model that was exported.

A form is published only if its replies are the model's (`yibu.export`).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from yibu.core.errors import YibuError
from yibu.core.plugs import Family

FAMILY = Family(__name__, requires=("Settings", "write", "ask", "bounds"))


@dataclass(frozen=True)
class Source:
    """What is exported.

    Attributes:
        name: of the model, letters, digits, ``-``, ``_`` and ``.``.
        model: Hugging Face folder with the adapter in the weights, tokenizer and chat template included.
        quantised: what a compressor did to its weights, None where they are whole.
        adapter: plain PEFT folder; None where peft does not have the kind.
        base: folder of the untouched base.
        base_name: as the recipe has it.
        task: settings of the task, plain JSON values.
        labels: the closed set that the model chooses from; None where it writes.
        label_ids: token ids of each label as an answer, the end of its turn included.
        correction: ``temperature`` and ``offsets`` of the labels, under which their scores become the probabilities of
            the model's report: ``softmax(log p / temperature + offsets)``; None where it corrected nothing.
        prompt, system: the task's template of the user's turn with ``{field}`` in it, and its system turn; None where
            it has none.
        max_new_tokens: longest answer.
        stop_ids: token ids that end an answer.
    """

    name: str
    model: Path
    quantised: str | None
    adapter: Path | None
    base: Path
    base_name: str
    task: dict[str, Any]
    labels: tuple[str, ...] | None
    label_ids: tuple[tuple[int, ...], ...]
    correction: dict[str, Any] | None
    prompt: str | None
    system: str | None
    max_new_tokens: int
    stop_ids: tuple[int, ...]


@dataclass(frozen=True)
class Questions:
    """What an engine is asked.

    Attributes:
        conversations: messages that it shall put into token ids.
        prompts: token ids; asked for are the logits behind the last one, and the greedy answer.
        max_new_tokens: longest answer.
        stop_ids: token ids that end an answer.
        choices: token ids of prompts, too; asked for is the label, where the form chooses from a closed set.
    """

    conversations: Sequence[Sequence[dict[str, Any]]]
    prompts: Sequence[Sequence[int]]
    max_new_tokens: int
    stop_ids: Sequence[int]
    choices: Sequence[Sequence[int]] = ()


@dataclass(frozen=True)
class Replies:
    """What an engine replied, in the order of the questions.

    Attributes:
        rendered: token ids of each conversation; None for one that it refused.
        logits: of the next token behind each prompt, fp32 ``[V]``, up to a constant of each.
        written: token ids of each answer, the stop token included.
        engine: its name and version.
        chosen: the label of each of the choices, where the form chooses from a closed set.
    """

    rendered: list[list[int] | None]
    logits: list[Any]
    written: list[list[int]]
    engine: str
    chosen: list[str] | None = None


@dataclass(frozen=True)
class Bounds:
    """How near the replies must come.

    Attributes:
        probability: largest difference of a probability of the next token.
        first_choices: least share of prompts with the same likeliest next token.
        missing: largest share of the adapter's effect that may be missing.
        answers: least share of equal answers.
        gain: least share of the adapter's gain on the task that is left; None where the weights are whole.
        labels: least share of equal labels of a closed set.
        label_rows: validation rows whose labels are compared, at most.
    """

    probability: float
    first_choices: float
    missing: float
    answers: float
    gain: float | None = None
    labels: float = 0.99
    label_rows: int = 100


class Unasked(YibuError):
    """The real engine cannot be asked here, for a reason that the manifest then states in place of its replies."""


def ask_plain(questions: Questions, model: Path, adapter: Path | None = None) -> Replies:
    """Ask a Hugging Face folder, or a PEFT folder on it, in a fresh Python that has transformers and no yibu.

    Raises:
        YibuError: the folder cannot be loaded there; the end of what was printed is in the error.
    """
    from safetensors.torch import load_file

    with tempfile.TemporaryDirectory(prefix="yibu-ask-") as place:
        asked, out = Path(place, "questions.json"), Path(place, "replies")
        asked.write_text(json.dumps(asdict(questions)), encoding="utf-8")
        program = [sys.executable, "-I", str(Path(__file__).with_name("_plain.py"))]
        paths = [asked, out, model, *([] if adapter is None else [adapter])]
        environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
        done = subprocess.run([*program, *map(str, paths)], capture_output=True, text=True, env=environment)
        if done.returncode != 0:
            raise YibuError(
                "Plain transformers cannot run what was exported.",
                got=done.stderr.strip().rpartition("\n")[2],
                do="load the folder yourself with AutoModelForCausalLM.from_pretrained, and report what it says",
            )
        table = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))
        tensors = load_file(out.with_suffix(".safetensors"))
    logits = [tensors[f"logits.{number}"] for number in range(len(tensors))]
    return Replies(table["rendered"], logits, table["written"], table["engine"])
