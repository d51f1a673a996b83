"""Fifty conversations that templates and servers have been seen to disagree on; always the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Message = dict[str, Any]


@dataclass(frozen=True)
class Conversation:
    """What is asked and the answer that would be trained.

    Attributes:
        name: kind and number.
        messages: up to the answer.
        target: the answer.
    """

    name: str
    messages: tuple[Message, ...]
    target: str


_ASKED = (
    ("Which chapter does pneumonia belong to?", "Diseases of the respiratory system."),
    ("Summarise: BP 120/80, no pain.", "Normal blood pressure, no pain."),
    ("Is a fee of 1,234.50 USD due on 2024-02-29?", "Yes."),
    ("List two fruits.", "- apple\n- pear"),
    ("def f(x):\n    return x  # what is this?", "```python\nlambda x: x\n```"),
)
_CHINESE = (
    ("肺炎属于哪一章？", "呼吸系统疾病。"),
    ("请概括：患者咳嗽三天，体温３８．５℃。", "咳嗽伴发热三天。"),
    ("这笔转账（¥1,000）到账了吗？", "已到账。"),
    ("“合同”与「協議」有何不同？", "前者为简体，后者为繁体写法。"),
    ("mRNA疫苗在2021年可用吗🙂？", "可以。"),
)
_EDGES = (" leading", "trailing ", "\n\nlines\n\n", "tab\tand  two spaces", "a" * 300)
_CITIES = ("Oslo", "北京", "São Paulo", "", "O'Fallon")


def _user(text: str) -> Message:
    return {"role": "user", "content": text}


def _system(text: str) -> Message:
    return {"role": "system", "content": text}


def _assistant(text: str) -> Message:
    return {"role": "assistant", "content": text}


def _tool(number: int, city: str) -> tuple[Message, ...]:
    call = {"type": "function", "id": f"call{number:05d}", "function": {"name": "weather", "arguments": {"city": city}}}
    result = {"role": "tool", "name": "weather", "tool_call_id": call["id"], "content": f'{{"celsius": {number}}}'}
    return (_user("Weather?"), {"role": "assistant", "content": "", "tool_calls": [call]}, result)


def _fifty() -> tuple[Conversation, ...]:
    kinds: dict[str, list[tuple[tuple[Message, ...], str]]] = {
        "plain": [((_user(ask),), answer) for ask, answer in _ASKED],
        "system": [((_system("You are a careful clerk."), _user(ask)), answer) for ask, answer in _ASKED],
        "empty system": [((_system(""), _user(ask)), answer) for ask, answer in _ASKED],
        "chinese": [((_user(ask),), answer) for ask, answer in _CHINESE],
        "chinese system": [((_system("你是一名严谨的助手。"), _user(ask)), answer) for ask, answer in _CHINESE],
        "empty turn": [
            ((_user(""),), "Please ask something."),
            ((_user(" "),), "Please ask something."),
            ((_user("Hello"), _assistant(""), _user("Still there?")), "Yes."),
            ((_user("Hello"), _assistant("Hi."), _user("")), "Go on."),
            ((_user("Hello"),), ""),
        ],
        "turns": [
            ((_user(ask), _assistant(answer), _user("And why?"), _assistant("By rule."), _user("Sure?")), "Yes.")
            for ask, answer in _ASKED
        ],
        "tool": [(_tool(number, city), f"{number} degrees.") for number, city in enumerate(_CITIES)],
        "thought": [
            ((_user(ask),), f"<think>\nThe question is number {number}.\n</think>\n\n{answer}")
            for number, (ask, answer) in enumerate(_CHINESE[:2] + _ASKED[:2])
        ]
        + [((_user("2 + 2?"), _assistant("<think>\nSum.\n</think>\n\n4"), _user("Twice that?")), "8")],
        "edges": [((_user(text),), text.strip() or "nothing") for text in _EDGES],
    }
    return tuple(
        Conversation(f"{kind} {number}", messages, target)
        for kind, made in kinds.items()
        for number, (messages, target) in enumerate(made, start=1)
    )


CONVERSATIONS = _fifty()
