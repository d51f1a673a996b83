"""Triton's Python back end for a tuned classifier in OpenVINO; ``task.json`` and the network lie beside it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any


class TritonPythonModel:
    """What the back end calls."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the network onto the processor."""
        folder = os.path.join(args["model_repository"], args["model_version"])
        sys.path.insert(0, folder)
        from classify import Classifier

        self.classifier = Classifier(Path(folder))
        self.read = self.classifier.asking.read

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response for each request."""
        from batches import execute

        responses: list[Any] = execute(self, requests)
        return responses

    def answer(self, asked: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The label for each request; for one with ``write``, what the network writes, and what lies behind it."""
        chosen = [one for one in asked if not one.get("write")]
        labels = iter(self.classifier.choose([one["ids"] for one in chosen]))
        found: list[dict[str, Any]] = []
        for one in asked:
            if not one.get("write"):
                found.append(next(labels))
                continue
            logits, ids = self.classifier.write(one["ids"], int(one["write"]))
            said = {
                "ids": ids,
                "answer": self.classifier.asking.tokenizer.decode(ids, skip_special_tokens=True).strip(),
            }
            found.append({**said, "logits": logits.tolist()} if one.get("logits") else said)
        for one, answer in zip(asked, found, strict=True):
            if one.get("prompt_ids"):
                answer["prompt_ids"] = list(one["ids"])
        return found
