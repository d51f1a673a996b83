"""An endpoint that dies half-way: what was done is kept, the run resumes, nothing is paid for twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from augment.artifacts import consultations, data, rows_of
from augmenters.endpoint import Endpoint, asked
from yibu.augment import AugmentSettings, augment, version_of
from yibu.augment.rewrites import Finished
from yibu.augmenters import Rewritten
from yibu.core.errors import YibuError
from yibu.core.recipe import parse
from yibu.core.store import Store

CALLS = {"timeout": 1, "retries": 1, "pause": 0, "workers": 3}


def said(body: dict[str, Any], number: int = 0) -> str:
    return asked(body).replace("请问应该怎么办", "想问下这时要怎么办才好")


def settings(address: str, **calls: Any) -> AugmentSettings:
    step = {"kind": "rewrite", "endpoint": address, "model": "m", "share": 1}
    return parse(AugmentSettings, {"steps": [step], "robustness": None, "calls": {**CALLS, **calls}})


def test_the_run_resumes_where_the_endpoint_died(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    given = data(store, consultations(60))
    num_rows = len(rows_of(given, "train"))
    alive = num_rows // 2
    dead = False

    def reply(body: dict[str, Any], number: int) -> Any:
        return "hang" if dead or number > alive else said(body)

    with Endpoint(reply, hang=1.5) as endpoint:
        config = settings(endpoint.address)
        with pytest.raises(YibuError, match="does not answer"):
            store.run(augment, config, data=given)
        assert not list(store.root.glob("artifacts/augment-*"))
        (scratch,) = store.root.glob("work/augment-*/scratch/rewrites.jsonl")
        kept = scratch.read_text(encoding="utf-8").count("\n")
        assert kept == alive
        first = {asked(body) for body in endpoint.requests[:alive]}
        endpoint.requests.clear()
        endpoint.reply = said
        made = store.run(augment, settings(endpoint.address, timeout=5), data=given)  # patience is not in the id
        second = [asked(body) for body in endpoint.requests]
    assert len(second) == len(set(second)) == num_rows - alive
    assert not first & set(second)
    copies = [row for row in rows_of(made, "train") if version_of(row)]
    assert [row.id for row in copies] == [f"{row.id}~rewrite1" for row in rows_of(given, "train")]
    assert all(row.fields["text"].endswith("怎么办才好") for row in copies)
    assert made.manifest.notes["resumed"] is True
    assert not [name for name in made.manifest.files if "scratch" in name or "rewrites" in name]

    whole = Store(tmp_path / "whole")
    with Endpoint(said) as endpoint:
        uninterrupted = whole.run(augment, settings(endpoint.address), data=data(whole, consultations(60)))
    assert uninterrupted.file("train.jsonl").read_bytes() == made.file("train.jsonl").read_bytes()


def test_refusals_are_counted_by_reason(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    given = data(store, consultations(12))

    def reply(body: dict[str, Any], number: int) -> Any:
        return said(body) if "贷款" in asked(body) else said(body).replace("号", "0号")

    with Endpoint(reply) as endpoint:
        made = store.run(augment, settings(endpoint.address), data=given)
    tally = made.read_json("summary.json")["augmented"]["rewrite"]
    rows = rows_of(given, "train")
    assert tally["rows"] == sum(row.label == "贷款" for row in rows)
    assert tally["reasons"] == {"numbers": len(rows) - tally["rows"]}


def test_nothing_is_sent_where_no_rewrite_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    store = Store(tmp_path / "store")
    steps = [{"kind": "homophones"}, {"kind": "mix"}, {"kind": "templates"}]
    config = parse(AugmentSettings, {"steps": steps, "attack": {"kind": "characters"}, "attack_limit": 2})
    store.run(augment, config, data=data(store, consultations(30)))


def test_finished_rewrites_survive_a_killed_process(tmp_path: Path) -> None:
    path = tmp_path / "rewrites.jsonl"
    finished = Finished(path)
    finished.put("a", Rewritten("甲\n乙"))
    finished.put("b", Rewritten(None, "numbers"))
    finished.close()
    with path.open("ab") as file:
        file.write(b'{"key": "c", "te')
    again = Finished(path)
    assert len(again) == 2
    assert again.get("a") == Rewritten("甲\n乙")
    assert again.get("b") == Rewritten(None, "numbers")
    assert again.get("c") is None
    again.put("c", Rewritten("丙"))
    again.close()
    assert Finished(path).get("c") == Rewritten("丙")
