"""A classifier for OpenVINO: of a request only what is new is computed, and of the labels only those that could win.

Proven in OpenVINO itself, in a Python that has no yibu loaded. bf16 about halves the time of fp32; the
labels of 99 % of the rows must be the model's all the same, or nothing is published.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Literal

from pydantic import Field

from yibu.core.errors import InputError, YibuError
from yibu.core.recipe import Settings as BaseSettings
from yibu.exporters import Bounds, Questions, Replies, Source
from yibu.exporters._openvino import save_network
from yibu.exporters._task import task_table

PROGRAMS = {"_openvino_model.py": "classify.py", "_labels.py": "labels.py", "_asking.py": "asking.py"}
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "special_tokens_map.json")


class Settings(BaseSettings):
    """How OpenVINO shall compute."""

    kind: Literal["openvino"] = "openvino"
    precision: Literal["bf16", "f32"] = Field(
        "f32", description="bf16 takes about half the time and the disk, and is refused where it chooses other labels"
    )
    threads: int = Field(1, ge=1, description="of the processor; more than its idle cores make it slower")


def write(source: Source, folder: Path, settings: Settings) -> None:
    """``network.xml`` and ``.bin``, ``tokenizer/``, ``task.json`` and the programs.

    Raises:
        InputError: the task has no closed set of labels or no prompt, or OpenVINO cannot express the architecture.
    """
    if not source.labels:
        raise InputError(
            "Only a closed set of labels is exported to OpenVINO.",
            got=f"the task {source.task.get('kind')!r}",
            allowed="task: {kind: classify, ...}",
            do="export what is written to gguf or vllm",
        )
    table = task_table(source)
    table |= {"precision": settings.precision, "threads": settings.threads}
    table |= save_network(source.model, folder, half=settings.precision != "f32")
    (folder / "task.json").write_text(json.dumps(table, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    for own, name in PROGRAMS.items():
        shutil.copyfile(Path(__file__).with_name(own), folder / name)
    (folder / "tokenizer").mkdir()
    # The configuration says which tokenizer it is where the tokenizer's own file does not.
    for name in (*_TOKENIZER, "config.json"):
        if (source.model / name).is_file():
            shutil.copyfile(source.model / name, folder / "tokenizer" / name)
    (folder / "README.md").write_text(_USAGE, encoding="utf-8")


def ask(source: Source, folder: Path, settings: Settings, questions: Questions) -> dict[str, Replies]:
    """The replies of OpenVINO, in a process of its own.

    Raises:
        YibuError: the program cannot run; the end of what it printed is in the error.
    """
    import numpy as np
    import torch

    with tempfile.TemporaryDirectory(prefix="yibu-ask-") as place:
        asked, out = Path(place, "questions.json"), Path(place, "replies")
        asked.write_text(json.dumps(asdict(questions)), encoding="utf-8")
        program = [sys.executable, "-I", "-B", str(folder / "classify.py"), str(asked), str(out)]
        done = subprocess.run(program, capture_output=True, text=True)
        if done.returncode != 0:
            raise YibuError(
                "OpenVINO cannot run what was exported.", got=done.stderr.strip().rpartition("\n")[2] or "nothing said"
            )
        table = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))
        (logits,) = np.load(out.with_suffix(".npz"), allow_pickle=False).values()
    rows = [torch.from_numpy(row) for row in logits]
    return {"labels": Replies(table["rendered"], rows, table["written"], table["engine"], table["chosen"])}


def bounds(settings: Settings) -> Bounds:
    """By the type that it computes in; the labels, which are what is used, must be the model's in both."""
    if settings.precision == "f32":
        return Bounds(probability=1e-3, first_choices=0.99, missing=0.05, answers=0.99)
    return Bounds(probability=0.1, first_choices=0.9, missing=0.3, answers=0.7)


_USAGE = """## Use

`python classify.py < texts` (one text, or a JSON object of the prompt's fields, a line; the answers are JSON objects
with `answer` and `probabilities`), or in a program:

```python
from classify import Classifier

classifier = Classifier()
print(classifier.answer(["first text", "second text"]))
```

It needs `openvino`, `numpy` and `transformers` (for its tokenizer; torch is not needed). Give it the requests that you
have together. The label is the likeliest of all; a label whose beginning is less than 1/20 as likely as the best
label shares the probability of that beginning with the other labels that begin so. Texts are taken as they are: what
`data.clean` of the recipe does to rows, do to requests, too.
"""
