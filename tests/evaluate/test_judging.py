"""A judge behind an endpoint: both orders, agreement, what cannot be used, and that nothing is paid for twice."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from augmenters.endpoint import Endpoint
from yibu.core.endpoint import CallSettings
from yibu.core.errors import YibuError
from yibu.core.recipe import Settings
from yibu.core.record import Row
from yibu.core.store import Artifact, Store, Work, stage
from yibu.evaluate import JudgeConfig, JudgeSettings, judge
from yibu.evaluate.judging import agreements, scores_of
from yibu.tasks import settings_of

TASK = {"kind": "generate", "prompt": "{dialogue}", "target": "{note}"}
N = 12


class Given(Settings):
    answers: tuple[str, ...] = ()


@stage(name="given_rows")
def given_rows(config: Given, work: Work) -> None:
    rows = [Row(f"row-{n}", {"dialogue": f"talk {n}", "note": f"true {n}"}) for n in range(N)]
    work.write_text("test.jsonl", "".join(row.to_json() + "\n" for row in rows))
    work.write_json("summary.json", {"labels": None, "language": "en"})


@stage(name="answer")
def given_answers(config: Given, work: Work) -> None:
    lines = [{"id": f"row-{n}", "answer": answer} for n, answer in enumerate(config.answers)]
    work.write_text("answers.jsonl", "".join(json.dumps(line) + "\n" for line in lines))


def verdict(body: dict[str, Any], bias: int = 0) -> str:
    """Counts the word "wrong" of each note; `bias` more in the second."""
    text = body["messages"][-1]["content"]
    first, second = re.split(r"### NOTE [AB]\n", text)[1:]
    table = {
        "A": {"unsupported": first.count("wrong"), "omitted": 0},
        "B": {"unsupported": second.count("wrong") + bias, "omitted": 1},
    }
    return f"<think>A: {{1}}</think> Here it is:\n```json\n{json.dumps(table)}\n```"


def judged(store: Store, endpoint: Endpoint, max_rows: int = 100, retries: int = 0) -> Artifact:
    config = JudgeConfig(
        task=settings_of(TASK),
        split="test",
        judge=JudgeSettings(endpoint=endpoint.address, model="m", max_rows=max_rows),
        calls=CallSettings(timeout=5, retries=retries, pause=0, workers=2),
    )
    base = Given(answers=tuple("wrong wrong" for _ in range(N)))
    tuned = Given(answers=tuple("wrong" if n < 3 else "fine" for n in range(N)))
    return store.run(
        judge,
        config,
        data=store.run(given_rows, Given()),
        base_answers=store.run(given_answers, base),
        answers=store.run(given_answers, tuned),
    )


def test_each_pair_is_judged_in_both_orders_and_counts_go_to_their_system(tmp_path: Path) -> None:
    with Endpoint(lambda body, number: verdict(body)) as endpoint:
        found = judged(Store(tmp_path), endpoint)
    assert len(endpoint.requests) == 2 * N
    asked = endpoint.requests[0]["messages"][-1]["content"]
    assert re.search(r"### SOURCE\ntalk \d+\n\n### REFERENCE\ntrue \d+\n\n### NOTE A\n", asked)
    scores = scores_of(found, [*(f"row-{n}" for n in range(N)), "another"])
    assert scores["base"]["unsupported"] == [*[2.0] * N, None]
    assert scores["tuned"]["unsupported"] == [*[1.0] * 3, *[0.0] * (N - 3), None]
    assert scores["tuned"]["omitted"] == [*[0.5] * N, None]  # only the second note was told of an omission
    summary = found.read_json("summary.json")
    assert (summary["n"], summary["refused"], summary["rows"]) == (N, 0, N)
    assert summary["unsupported"]["share"] == 1
    assert summary["omitted"]["share"] == 0


def test_a_taste_for_the_first_note_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Endpoint(lambda body, number: verdict(body, bias=5)) as endpoint, caplog.at_level("INFO", logger="yibu"):
        summary = judged(Store(tmp_path), endpoint).read_json("summary.json")
    assert summary["first_is_better"] == 1
    assert (summary["preference"]["share"], summary["preference"]["n"]) == (0, N)
    assert "0% of them both orders agree" in caplog.text
    assert "wrong" not in caplog.text


def test_answers_that_cannot_be_read_leave_their_row_out(tmp_path: Path) -> None:
    replies = ["no idea", '{"A": {"unsupported": -1, "omitted": 0}, "B": {}}', 400, '{"A": 3}']

    def reply(body: dict[str, Any], number: int) -> Any:
        return replies[number - 1] if number <= len(replies) else verdict(body)

    with Endpoint(reply) as endpoint:
        found = judged(Store(tmp_path), endpoint)
    summary = found.read_json("summary.json")
    assert summary["refused"] == 4
    assert summary["reasons"] == {"not_read": 3, "status_400": 1}
    assert N - 4 <= summary["n"] < N
    scores = scores_of(found, [f"row-{n}" for n in range(N)])["base"]["unsupported"]
    assert sum(score is None for score in scores) == N - summary["n"]


def test_no_more_rows_than_asked_for_and_always_the_same(tmp_path: Path) -> None:
    chosen = []
    for folder in ("one", "two"):
        with Endpoint(lambda body, number: verdict(body)) as endpoint:
            found = judged(Store(tmp_path / folder), endpoint, max_rows=5)
        assert len(endpoint.requests) == 10
        chosen.append({json.loads(line)["id"] for line in found.file("judgements.jsonl").read_text().splitlines()})
    assert chosen[0] == chosen[1]


def test_a_judge_that_dies_is_asked_only_for_the_rest(tmp_path: Path) -> None:
    alive = {"until": 9}

    def reply(body: dict[str, Any], number: int) -> Any:
        return verdict(body) if number <= alive["until"] else 503

    with Endpoint(reply) as endpoint:
        with pytest.raises(YibuError, match="judging notes"):
            judged(Store(tmp_path), endpoint)
        before = len(endpoint.requests)
        alive["until"] = 10**6
        found = judged(Store(tmp_path), endpoint)
        assert len(endpoint.requests) - before == 2 * N - 9
    assert found.read_json("summary.json")["n"] == N


def test_nothing_judged_has_no_agreement() -> None:
    found = agreements([{"id": "1", "order": ["base", "tuned"], "refused": "cut"}])
    assert (found["n"], found["preference"], found["first_is_better"], found["reasons"]) == (0, None, None, {"cut": 1})
