"""One logger for the whole package. Ids, counts and paths may be logged; row text, prompts and secrets may not."""

from __future__ import annotations

import logging
import os
import sys

from rich.console import Console
from rich.logging import RichHandler

LOGGER = logging.getLogger("yibu")
console = Console(stderr=True)


def get(name: str) -> logging.Logger:
    """Logger ``yibu.<name>``."""
    return LOGGER.getChild(name)


def configure(verbose: bool = False, json_lines: bool = False) -> None:
    """Set up the handler once, from the command line; a program that imports yibu keeps its own logging."""
    level = logging.DEBUG if verbose else os.environ.get("YIBU_LOG", "INFO").upper()
    LOGGER.setLevel(level)
    LOGGER.handlers.clear()
    LOGGER.propagate = False
    if json_lines or not sys.stderr.isatty():
        handler: logging.Handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    else:
        handler = RichHandler(console=console, show_path=False, show_time=False, markup=False)
    LOGGER.addHandler(handler)
