"""Numbers that only depend on what they are for."""

from __future__ import annotations

import hashlib

from yibu.core.chance import digest, exact_key, uniform


def test_uniform_is_what_the_digest_says_and_below_one() -> None:
    assert uniform(3, "row", "x") == int.from_bytes(digest(3, "row", "x")[:8]) / 2**64
    assert all(0 <= uniform(0, str(i), "x") < 1 for i in range(1000))
    assert len({uniform(seed, unit, purpose) for seed in (0, 1) for unit in "ab" for purpose in "xy"}) == 8


def test_a_key_is_the_beginning_of_the_sha256_and_takes_half_an_emoji() -> None:
    assert exact_key("病") == int.from_bytes(hashlib.sha256("病".encode()).digest()[:8])
    assert exact_key("\ud83d") != exact_key("")
