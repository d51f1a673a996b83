"""Rewriting by a language model, through any endpoint that speaks the OpenAI protocol (vLLM, llama.cpp, Ollama, ...).

The answer is only taken when what matters is still in it: every number, as many negations, every annotated entity,
every term of the dictionary, and each of those still denied where it was denied and affirmed where it was affirmed.
Else it is refused, and counted under the reason. Nothing is sent anywhere unless a recipe names this plug with an
endpoint; neither prompts nor answers nor the key are ever logged.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import Literal

from pydantic import Field, field_validator

from yibu.augmenters import CallSettings, CopySettings, Level, Rewritten
from yibu.augmenters._meaning import is_negated, negations, values
from yibu.augmenters._noise import dictionary_of
from yibu.core.endpoint import Endpoint, check_endpoint

_ENGLISH = (
    "Rewrite the text that the user sends in other words, in the same language and with the same meaning. Keep every "
    "number, unit, date, name, code and technical term exactly as it is written, and keep every negation. Add nothing, "
    "leave nothing out. Answer with the rewritten text alone."
)
_CHINESE = (
    "请用不同的措辞改写用户发来的文本，语言和含义保持不变。所有数字、单位、日期、姓名、代码和专业术语必须原样保留，"
    "所有否定表述必须保留。不增加、不遗漏任何内容。只输出改写后的文本。"
)
_THOUGHT = re.compile(r"<think>.*?</think>", re.DOTALL)
_FENCE = re.compile(r"\A```[a-z]*\n(.*)\n```\Z", re.DOTALL)


class Settings(CopySettings):
    """Table ``{kind: rewrite, endpoint: http://host:port/v1, model: name, ...}``."""

    kind: Literal["rewrite"] = "rewrite"
    endpoint: str = Field(description="address up to and with /v1, e.g. http://localhost:8000/v1")
    model: str = Field(min_length=1, description="name of the model, as the endpoint knows it")
    key_env: str | None = Field(default=None, description="environment variable that holds the key; never the key")
    prompt: str | None = Field(default=None, min_length=1, description="system prompt; default: by the text's language")
    temperature: float = Field(default=0.8, ge=0, le=2)
    max_tokens: int = Field(default=1024, ge=16)
    dictionary: str | list[str] | None = Field(
        default=None, description="terms that must survive: icd10cm, or files as in data.terms.dictionary"
    )
    shortest: float = Field(default=0.4, gt=0, le=1, description="an answer shorter than this share is refused")
    longest: float = Field(default=2.5, ge=1, description="an answer longer than this multiple is refused")

    @field_validator("endpoint")
    @classmethod
    def _check_endpoint(cls, endpoint: str) -> str:
        return check_endpoint(endpoint)


class Augmenter:
    """See `yibu.augmenters`. One client, whose connections are kept, for any number of threads."""

    level: Level = "texts"

    def __init__(self, settings: Settings, calls: CallSettings | None = None) -> None:
        """
        Raises:
            MissingExtra: httpx is not installed.
            InputError: the environment variable of the key is empty; a dictionary cannot be read.
        """
        self.settings = settings
        self._terms = dictionary_of(settings.dictionary)
        self._endpoint = Endpoint(
            settings.endpoint, settings.model, settings.key_env, calls or CallSettings(), use="rewriting"
        )

    def rewrite(self, text: str, rng: random.Random, needed: Sequence[str] = ()) -> Rewritten:
        """The text in other words, checked.

        Raises:
            YibuError: the endpoint does not answer, or refuses us, after all tries.
        """
        seed = int(rng.random() * 2**31)
        answer = self._endpoint.chat(
            self._messages(text), temperature=self.settings.temperature, max_tokens=self.settings.max_tokens, seed=seed
        )
        if answer.text is None:
            return Rewritten(None, answer.refused)
        said = _bare(answer.text)
        reason = self._refusal(text, said, needed)
        return Rewritten(None, reason) if reason else Rewritten(said)

    def close(self) -> None:
        """Close the connections."""
        self._endpoint.close()

    def _refusal(self, text: str, said: str, needed: Sequence[str]) -> str | None:
        if not said:
            return "empty"
        if said == text:
            return "unchanged"
        if not self.settings.shortest <= len(said) / max(1, len(text)) <= self.settings.longest:
            return "length"
        terms = [] if self._terms is None else [text[match.start : match.end] for match in self._terms.find(text)]
        return lost(text, said, [*needed, *terms])

    def _messages(self, text: str) -> list[dict[str, str]]:
        chinese = sum("\u4e00" <= character <= "\u9fff" for character in text)
        system = self.settings.prompt or (_CHINESE if 4 * chinese > len(text) else _ENGLISH)
        return [{"role": "system", "content": system}, {"role": "user", "content": text}]


def lost(before: str, after: str, needed: Sequence[str] = ()) -> str | None:
    """What a rewrite has lost: ``numbers``, ``negations``, ``entities`` or ``polarity``; None where all survives.

    Args:
        before: the text.
        after: the rewrite.
        needed: texts (entities, terms) that must be found again as often as before, and be negated as before.
    """
    if values(before) != values(after):
        return "numbers"
    if len(negations(before)) != len(negations(after)):
        return "negations"
    for words in dict.fromkeys(needed):
        had, has = _places(before, words), _places(after, words)
        if len(had) != len(has):
            return "entities"
        if sorted(is_negated(before, *span) for span in had) != sorted(is_negated(after, *span) for span in has):
            return "polarity"
    return None


def _places(text: str, words: str) -> list[tuple[int, int]]:
    return [found.span() for found in re.finditer(re.escape(words), text)]


def _bare(answer: str) -> str:
    """The answer without what models put around it: thoughts, a fence, one pair of quotes."""
    text = _THOUGHT.sub("", answer).strip()
    fenced = _FENCE.match(text)
    text = fenced.group(1).strip() if fenced else text
    for left, right in (('"', '"'), ("“", "”"), ("「", "」")):
        if (
            len(text) > 1
            and text[0] == left
            and text[-1] == right
            and left not in text[1:-1]
            and right not in text[1:-1]
        ):
            return text[1:-1].strip()
    return text
