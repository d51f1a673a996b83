"""TextAttack in a process of its own: the protocol with a stand-in, the real one where it is installed."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from yibu.attacks import textattack
from yibu.attacks.textattack import PYTHON, Settings, attack
from yibu.core.errors import InputError, YibuError

STAND_IN = """
import json, sys
work = json.loads(sys.stdin.readline())
done = []
for text, label in zip(work["texts"], work["labels"]):
    print(json.dumps({"ask": [text, text.replace("good", "gold")]}), flush=True)
    said = json.loads(sys.stdin.readline())["probabilities"]
    best = [row.index(max(row)) for row in said]
    status = "wrong" if best[0] != label else "flipped" if best[1] != label else "held"
    done.append({"status": status, "text": text.replace("good", "gold") if status == "flipped" else text, "queries": 2})
print(json.dumps({"done": done, "seed": work["seed"], "most": work["most"]}), flush=True)
"""


def classify(texts: list[str]) -> Any:
    right = np.array([0.9 if "good" in text else 0.1 for text in texts])
    return np.stack([1 - right, right], axis=1)


@pytest.fixture(name="stand_in")
def _stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "process.py"
    path.write_text(STAND_IN, encoding="utf-8")
    monkeypatch.setattr(textattack, "_PROCESS", path)
    monkeypatch.setenv(PYTHON, sys.executable)
    return path


def test_the_process_asks_and_is_answered(stand_in: Path) -> None:
    found = attack(["a good bank", "a bank", "so good, so good"], [1, 1, 1], classify, Settings(), 7)
    assert [item.status for item in found] == ["flipped", "wrong", "flipped"]
    assert found[0].text == "a gold bank"
    assert [item.num_changes for item in found] == [1, 0, 2]
    assert [item.num_queries for item in found] == [2, 2, 2]
    assert found[0].edits is None


@pytest.mark.parametrize("code", ["raise RuntimeError('words of a row')", "import sys; sys.exit(3)", ""])
def test_a_process_that_stops_is_told_without_text(stand_in: Path, code: str) -> None:
    stand_in.write_text(code, encoding="utf-8")
    with pytest.raises(YibuError, match="stopped") as told:
        attack(["a good bank"], [1], classify, Settings(), 0)
    assert "words of a row" not in told.value.render()
    assert ("RuntimeError" in told.value.render()) == ("raise" in code)


def test_where_it_is_not_installed_the_way_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(textattack.importlib.util, "find_spec", lambda name: None)
    monkeypatch.delenv(PYTHON, raising=False)
    with pytest.raises(InputError, match="environment of its own") as told:
        attack(["a"], [0], classify, Settings(), 0)
    assert "pip install textattack" in str(told.value.do)
    monkeypatch.setenv(PYTHON, "/no/such/python")
    with pytest.raises(InputError, match="names no program"):
        attack(["a"], [0], classify, Settings(), 0)


@pytest.mark.skipif(not os.environ.get(PYTHON), reason=f"{PYTHON} names no Python that has TextAttack")
def test_the_real_one_misspells_the_word_that_counts() -> None:
    (found,) = attack(["what a good little bank that is"], [1], classify, Settings(), 0)
    assert found.flipped
    assert "good" not in found.text
    assert "little bank that is" in found.text
    assert 1 <= found.num_changes <= 2
