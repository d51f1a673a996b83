"""Puts requests into token ids as the model was trained. Needs ``task.json`` and a tokenizer of transformers, no yibu.

A request is a text: the field of the prompt, or a JSON object of its fields, or ``{"messages": [...]}``, or
``{"ids": [...]}``.
"""

from __future__ import annotations

import json
from typing import Any

_FILLERS = ("a", "Zw 7", "…", "0x")


class Asking:
    """The prompts of one task.

    Args:
        task: what the exporter wrote.
        tokenizer: of transformers.
    """

    def __init__(self, task: dict[str, Any], tokenizer: Any) -> None:
        self.task, self.tokenizer = task, tokenizer

    def read(self, text: str) -> dict[str, Any]:
        """A request as a table with the token ids of its prompt.

        Raises:
            ValueError: it lacks a field.
        """
        try:
            table = json.loads(text)
        except ValueError:
            table = None
        if not isinstance(table, dict):
            table = {"fields": {name: text for name in self.task["fields"]}}
        if "ids" not in table:
            table["ids"] = self.ids(table.get("messages") or self.messages(table.get("fields", table)))
        return table

    def ids(self, messages: list[dict[str, str]]) -> list[int]:
        """Token ids of a conversation that waits for its answer."""
        return list(
            self.tokenizer.apply_chat_template(messages, tokenize=True, add_generation_prompt=True, return_dict=False)
        )

    def messages(self, fields: dict[str, Any]) -> list[dict[str, str]]:
        """The prompt of the task for these fields, as it was trained."""
        missing = [name for name in self.task["fields"] if name not in fields]
        if missing:
            raise ValueError(f"the request lacks the fields {missing}")
        text = self.task["literals"][0]
        for name, literal in zip(self.task["names"], self.task["literals"][1:], strict=True):
            text += str(fields[name]) + literal
        turn = {"role": "user", "content": text.strip()}
        system = self.task["system"]
        return [turn] if system is None else [{"role": "system", "content": system}, turn]

    def examples(self) -> list[list[int]]:
        """Prompts that have nothing in common but what all prompts of the task have."""
        return [self.ids(self.messages({name: filler for name in self.task["fields"]})) for filler in _FILLERS]
