"""Keys: only hashes are kept, guesses take as long as each other, and who guesses is locked out."""

from __future__ import annotations

import stat
import statistics
import time
from pathlib import Path

import pytest

from yibu.core.errors import Damaged, InputError
from yibu.serve.keys import Guesses, Keys


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path / "serve" / "keys.json")


def test_what_is_kept_is_no_key(keys: Keys, tmp_path: Path) -> None:
    key = keys.add("clinic", ["generate"])
    path = tmp_path / "serve" / "keys.json"
    assert key not in path.read_text()
    assert key.rpartition("-")[2] not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found = keys.check(key)
    assert found is not None
    assert (found.name, found.scopes) == ("clinic", ("generate",))


@pytest.mark.parametrize("wrong", ["", "yibu-", "x" * 5000, "yibu-000000000000-secret", "ключ", "\udcff", "\x00"])
def test_nothing_else_is_a_key(keys: Keys, wrong: str) -> None:
    right = keys.add("clinic")
    assert keys.check(wrong) is None
    assert keys.check(right[:-1]) is None
    assert keys.check(right + "x") is None
    assert keys.check(right[:18] + "A" * 43) is None
    assert keys.check(right) is not None


def test_a_rotated_key_goes_on_for_a_while(keys: Keys) -> None:
    old = keys.add("clinic", ["classify"])
    new = keys.rotate("clinic", overlap_hours=1)
    assert keys.check(old) is not None
    found = keys.check(new)
    assert found is not None
    assert found.scopes == ("classify",)
    newest = keys.rotate("clinic", overlap_hours=0)
    assert [keys.check(key) is not None for key in (old, new, newest)] == [False, False, True]


def test_a_revoked_key_is_refused_by_a_gateway_that_runs(keys: Keys, tmp_path: Path) -> None:
    key = keys.add("clinic")
    running = Keys(tmp_path / "serve" / "keys.json")
    assert running.check(key) is not None
    assert keys.revoke("clinic") == 1
    running.reload()
    assert running.check(key) is None
    with pytest.raises(InputError, match="no key of this name"):
        keys.revoke("clinic")


def test_a_key_may_end(keys: Keys) -> None:
    assert keys.check(keys.add("old", days=0)) is None
    assert keys.check(keys.add("new", days=1)) is not None
    with pytest.raises(InputError, match="scopes"):
        keys.add("x", ["everything"])  # type: ignore[list-item]


def test_a_damaged_file_is_an_error(keys: Keys, tmp_path: Path) -> None:
    keys.add("clinic")
    (tmp_path / "serve" / "keys.json").write_text("{}nonsense")
    with pytest.raises(Damaged):
        Keys(tmp_path / "serve" / "keys.json")


def test_a_wrong_secret_takes_as_long_as_an_unknown_key(keys: Keys) -> None:
    """Medians of interleaved calls; a comparison that stopped at the first wrong byte, or an unknown id that is
    refused without a hash, would differ by the time of a hash, which is most of a call."""
    right = keys.add("clinic")
    guesses = {"unknown": "yibu-000000000000-" + "A" * 43, "first": right[:18] + "!" * 43, "last": right[:-1] + "!"}
    seconds: dict[str, list[float]] = {name: [] for name in guesses}
    for _ in range(4000):
        for name, guess in guesses.items():
            begun = time.perf_counter()
            keys.check(guess)
            seconds[name].append(time.perf_counter() - begun)
    medians = [statistics.median(found) for found in seconds.values()]
    assert max(medians) < 1.5 * min(medians)


def test_who_guesses_is_locked_out_for_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    guesses, now = Guesses(3, 10.0), [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    for _ in range(2):
        guesses.wrong("a")
    assert guesses.locked_for("a") == 0
    guesses.wrong("a")
    assert guesses.locked_for("a") == 10
    assert guesses.locked_for("b") == 0
    now[0] += 10
    assert guesses.locked_for("a") == 0


def test_guessers_do_not_fill_the_memory() -> None:
    guesses = Guesses(3, 1000.0)
    for number in range(guesses._MOST + 500):
        guesses.wrong(str(number))
    assert len(guesses._wrong) == guesses._MOST
