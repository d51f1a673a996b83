"""What may be asked: the part of the OpenAI protocol that is done, closed, so that nothing is ignored in silence.

A field that changes the answer and that no engine of ours does (penalties, tools, several choices) may only have its
neutral value.
"""

from __future__ import annotations

import struct
from base64 import b64encode
from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from yibu.engines import Sampling
from yibu.serve.problems import Problem

Text = Annotated[str, Field(max_length=10_000_000)]
Stop = Annotated[str, Field(min_length=1, max_length=64)]
Zero = Annotated[float, Field(ge=0, le=0)]


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class TextPart(_Closed):
    """A part of a message."""

    type: Literal["text"]
    text: Text


class ChatMessage(_Closed):
    """One turn."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Text | list[TextPart]
    name: str | None = Field(None, max_length=64)

    def plain(self) -> dict[str, str]:
        """As chat templates read it."""
        text = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        return {"role": "system" if self.role == "developer" else self.role, "content": text}


class StreamOptions(_Closed):
    """Of a stream."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class TextFormat(_Closed):
    """The form of the answer."""

    type: Literal["text"]


class Written(_Closed):
    """What all requests have in common that are answered by a written text."""

    model: str = Field(min_length=1, max_length=200)
    max_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    seed: int | None = Field(None, ge=0, lt=2**63)
    stop: Stop | Annotated[list[Stop], Field(max_length=4)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Literal[1] | None = None
    frequency_penalty: Zero | None = None
    presence_penalty: Zero | None = None
    user: str | None = Field(None, max_length=200)

    @property
    def num_tokens(self) -> int | None:
        """The longest answer that is asked for."""
        return self.max_tokens

    @property
    def sampling(self) -> Sampling:
        """How tokens are chosen; without a temperature the likeliest, which is how the model was measured."""
        stop = () if self.stop is None else (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)
        return Sampling(self.temperature or 0.0, self.top_p or 1.0, self.seed, stop)

    @property
    def with_usage(self) -> bool:
        """Whether a stream ends with its counts."""
        return bool(self.stream_options and self.stream_options.include_usage)


class ChatRequest(Written):
    """Body of ``/v1/chat/completions``."""

    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=1000)]
    max_completion_tokens: int | None = Field(None, ge=1)
    logprobs: Literal[False] | None = None
    tools: Annotated[list[Any], Field(max_length=0)] | None = None
    response_format: TextFormat | None = None
    store: Literal[False] | None = None

    @property
    def num_tokens(self) -> int | None:
        """The longest answer that is asked for."""
        return self.max_completion_tokens or self.max_tokens


class CompletionRequest(Written):
    """Body of ``/v1/completions``."""

    prompt: Annotated[Text, Field(min_length=1)]
    echo: Literal[False] | None = None
    best_of: Literal[1] | None = None
    logprobs: Literal[0] | None = None


class EmbeddingRequest(_Closed):
    """Body of ``/v1/embeddings``: texts, no token ids, whose meaning is each tokenizer's own."""

    model: str = Field(min_length=1, max_length=200)
    input: (
        Annotated[Text, Field(min_length=1)]
        | Annotated[list[Annotated[Text, Field(min_length=1)]], Field(min_length=1, max_length=256)]
    )
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: None = None
    user: str | None = Field(None, max_length=200)

    @property
    def texts(self) -> list[str]:
        """One or many."""
        return [self.input] if isinstance(self.input, str) else list(self.input)


class Asked(_Closed):
    """Body of ``/v1/classify`` and ``/v1/extract``: the fields of the task's prompt, or its one field as a text."""

    model: str = Field(min_length=1, max_length=200)
    input: Annotated[Text, Field(min_length=1)] | Annotated[dict[str, Text], Field(min_length=1, max_length=100)]


Body = TypeVar("Body", bound=BaseModel)


def read(kind: type[Body], data: bytes) -> Body:
    """A checked body.

    Raises:
        Problem: 400, naming the first field that is wrong; what stood there is not repeated.
    """
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"] if not str(part).startswith(("constrained", "function")))
        if first["type"] == "extra_forbidden":
            place = ".".join(str(part)[:40] for part in first["loc"])
        message = f"{place or 'the body'}: {first['msg']}"
        raise Problem(400, message[:300], "invalid_body", param=place[:100] or None) from None


def as_base64(vector: Sequence[float]) -> str:
    """Numbers of 32 bits, little-endian, as the official client asks for them."""
    return b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
