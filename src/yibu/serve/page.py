"""A page on which one or two models are asked at once, side by side; it speaks the same protocol as any client."""

from __future__ import annotations

import functools
from importlib.resources import files

POLICY = (
    "default-src 'none'; connect-src 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'"
)
"""The page loads nothing and talks to nobody but the gateway that sent it."""


@functools.cache
def page_text() -> str:
    """The page, which stands in one file."""
    return files("yibu.serve").joinpath("page.html").read_text(encoding="utf-8")
