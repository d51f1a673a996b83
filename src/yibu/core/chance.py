"""Numbers that only depend on what they are for: a hash decides, so that adding rows changes nothing for the others."""

from __future__ import annotations

import hashlib


def uniform(seed: int, unit: str, purpose: str) -> float:
    """A number in [0, 1), uniform over units.

    Args:
        seed: of whatever draws.
        unit: what is drawn for: a row, a group.
        purpose: keeps draws for different purposes independent.
    """
    return int.from_bytes(digest(seed, unit, purpose)[:8]) / 2**64


def digest(seed: int, unit: str, purpose: str) -> bytes:
    """The 32 bytes behind `uniform`, for what needs more chance than one number holds."""
    return _sha256(f"{purpose}\0{seed}\0{unit}")


def exact_key(text: str) -> int:
    """64 bits of the text's SHA-256, nothing folded."""
    return int.from_bytes(_sha256(text)[:8])


def _sha256(text: str) -> bytes:
    # Half an emoji (a lone surrogate) is text too.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
