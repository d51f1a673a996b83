"""One logger for the whole package. Ids, counts and paths may be logged; row text, prompts and secrets may not."""

from __future__ import annotations

import logging
import os
import sys

from rich.console import Console
from rich.logging import RichHandler

from yibu.core.errors import InputError

LOGGER = logging.getLogger("yibu")
console = Console(stderr=True)


def get(name: str) -> logging.Logger:
    """Logger ``yibu.<name>``."""
    return LOGGER.getChild(name)


def configure(verbose: bool = False, json_lines: bool = False) -> None:
    """Set up the handler once, from the command line; a program that imports yibu keeps its own logging.

    Raises:
        InputError: the environment variable ``YIBU_LOG`` names no level.
    """
    level = "DEBUG" if verbose else os.environ.get("YIBU_LOG", "INFO").upper()
    levels = logging.getLevelNamesMapping()
    if level not in levels:
        raise InputError("YIBU_LOG is not a level of logging.", got=level, allowed=sorted(levels))
    LOGGER.setLevel(level)
    LOGGER.handlers.clear()
    LOGGER.propagate = False
    if json_lines or not sys.stderr.isatty():
        handler: logging.Handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    else:
        handler = RichHandler(console=console, show_path=False, show_time=False, markup=False)
    LOGGER.addHandler(handler)
    hush()


def hush() -> None:
    """Keep from users what libraries say at every start; a process that is spawned needs it anew."""
    # That kernels of a hub are missing, which no base but a 4-bit one would use.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
