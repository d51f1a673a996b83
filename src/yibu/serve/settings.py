"""What the gateway is told: bounds, limits, and what marks its answers."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from yibu.core.recipe import PlugSettings, Settings


class MarkSettings(Settings):
    """Table ``serve.mark``: the mark of generated content that GB 45438-2025 asks for in China since September 2025.

    Attributes:
        text: what a reader sees, put behind each generated answer; the standard wants the words for artificial
            intelligence and for generated in it.
        producer: name or code of the provider, for the part that machines read.
    """

    text: str | None = Field("（本内容由人工智能生成）", min_length=2)
    producer: str = Field(min_length=1)


class LimitSettings(Settings):
    """Table ``serve.limits``: of each key, or of each address where the gateway is open; None is no limit."""

    requests_per_minute: int | None = Field(600, ge=1)
    tokens_per_minute: int | None = Field(200_000, ge=1)
    wrong_keys: int = Field(20, ge=1, description="guesses of one address, after which it is locked out")
    lockout_seconds: float = Field(300.0, gt=0)


class ServeSettings(Settings):
    """Table ``serve`` of a recipe."""

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535, description="0 takes a free one")
    engine: Annotated[Settings, PlugSettings("yibu.engines", default="transformers")] | None = Field(
        None, description="default: what can carry the artifact on this machine"
    )
    max_body_bytes: int = Field(2 * 2**20, ge=1024)
    max_prompt_chars: int = Field(200_000, ge=1, description="counted before anything is tokenised")
    max_new_tokens: int = Field(1024, ge=1, description="longest answer that may be asked for")
    default_new_tokens: int = Field(256, ge=1, description="where a request names no length and the task none either")
    running: int = Field(16, ge=1, description="requests that the engine has at once")
    waiting: int = Field(16, ge=0, description="requests that wait for it; further ones are refused")
    deadline_seconds: float = Field(120.0, gt=0, description="from the arrival of a request to its whole answer")
    drain_seconds: float = Field(30.0, ge=0, description="for requests under way, after SIGTERM")
    limits: LimitSettings = LimitSettings()
    mark: MarkSettings | None = None
