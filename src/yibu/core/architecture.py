"""What families that do not import each other need to know of a base's architecture; `yibu.bases.Facts` has it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Role(Protocol):
    """What modules of one kind are for, see `yibu.bases.Role`."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def adapt(self) -> bool: ...
    @property
    def optional(self) -> bool: ...


class Facts(Protocol):
    """The roles of an architecture, see `yibu.bases.Facts`."""

    @property
    def name(self) -> str: ...
    @property
    def roles(self) -> Sequence[Role]: ...
    def role_of(self, name: str) -> Role | None: ...
