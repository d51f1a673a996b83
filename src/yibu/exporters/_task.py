"""What the program of an exported model knows of its task: ``task.json``."""

from __future__ import annotations

from string import Formatter
from typing import Any

from yibu.core.errors import InputError
from yibu.exporters import Source


def task_table(source: Source) -> dict[str, Any]:
    """Prompt, labels and lengths, as plain JSON values.

    Raises:
        InputError: the task has no prompt of its own that a request could fill.
    """
    if source.prompt is None:
        raise InputError(
            "This task has no prompt that a request could fill: its rows are conversations or raw text.",
            allowed="task: {kind: generate, prompt: ..., target: ...}",
            do="export it as gguf, vllm or {kind: triton, back_end: vllm}",
        )
    literals, names, literal = [], [], ""
    for before, name, _, _ in Formatter().parse(source.prompt):
        literal += before
        if name is not None:
            literals.append(literal)
            names.append(name)
            literal = ""
    return {
        "literals": [*literals, literal],
        "names": names,
        "fields": list(dict.fromkeys(names)),
        "system": source.system,
        "labels": list(source.labels or ()),
        "label_ids": [list(ids) for ids in source.label_ids],
        "correction": source.correction,
        "max_new_tokens": source.max_new_tokens,
        "stop_ids": list(source.stop_ids),
    }
