from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from tiny import tiny_base
from yibu import pipeline, tasks
from yibu.chat import chat
from yibu.chat.partner import Partner, open_partner, prompt_fields
from yibu.core.errors import DataError
from yibu.core.record import Row
from yibu.core.store import Artifact, Store
from yibu.serve.asked import asked_of

CLASSIFY = {"kind": "classify", "prompt": "Which kind?\n{text}", "label": "{label}"}
WRITE = {"kind": "generate", "prompt": "Answer.\n{text}", "target": "{label}", "max_new_tokens": 6}
TWO = {"kind": "generate", "prompt": "{text} / {more}", "target": "{label}", "max_new_tokens": 6}
TALK = {"kind": "generate", "max_new_tokens": 6, "system": "Be brief."}
RAW = {"kind": "generate", "target": "{text}", "max_new_tokens": 6}

Made = tuple[Store, dict[str, Artifact]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A trained model of every kind of task, on one tiny base."""
    root = tmp_path_factory.mktemp("chat")
    base, store = tiny_base(root / "base"), Store(root / "store")
    rows = [{"text": f"cough {n}", "more": "again", "label": "lung" if n % 2 else "hand"} for n in range(80)]
    turns = [
        {"messages": [{"role": "user", "content": row["text"]}, {"role": "assistant", "content": row["label"]}]}
        for row in rows
    ]
    (root / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (root / "turns.jsonl").write_text("".join(json.dumps(row) + "\n" for row in turns))
    models = {}
    for name, task in {"classify": CLASSIFY, "write": WRITE, "two": TWO, "talk": TALK, "raw": RAW}.items():
        source = root / ("turns.jsonl" if name == "talk" else "rows.jsonl")
        path = root / f"{name}.yaml"
        table = {
            "base": str(base),
            "task": task,
            "data": {"source": str(source), "clean": {"profile": "strict" if name == "write" else "plain"}},
            "train": {"max_steps": 2, "lr": 5e-2, "batch": 4, "threads": 1},
        }
        path.write_text(json.dumps(table))
        recipe = pipeline.load(path)
        models[name] = pipeline.make_model(recipe, store, pipeline.make_data(recipe, store))
    return store, models


@pytest.fixture(scope="module")
def partners(made: Made) -> dict[str, Partner]:
    store, models = made
    return {name: open_partner(model, store) for name, model in models.items()}


def answers(made: Made, name: str, *lines: str, **options: Any) -> str:
    store, models = made
    out = io.StringIO()
    chat(models[name], store, Console(file=out, width=100), lines, **options)
    return out.getvalue()


@pytest.mark.parametrize(
    ("task", "fields"), [(CLASSIFY, ("text",)), (WRITE, ("text",)), (TWO, ("text", "more")), (TALK, ()), (RAW, ())]
)
def test_the_fields_of_the_prompt_are_found(task: dict[str, Any], fields: tuple[str, ...]) -> None:
    assert prompt_fields(tasks.build(tasks.settings_of(task), ["a", "b"])) == fields


def test_the_model_sees_the_ids_that_it_was_trained_on(partners: dict[str, Partner]) -> None:
    partner = partners["write"]
    row = Row(id="", fields={"text": "cough 38", "label": "lung"})  # as `strict` leaves "cough, 3.8"
    _, asked = partner._prompt("cough, 3.8", tuned=True)
    assert asked == partner.system.renderer.prompt(partner.task.messages(row))


def test_a_classifier_tells_its_likeliest_labels(partners: dict[str, Partner]) -> None:
    reply = partners["classify"].ask("cough 3")
    assert reply.text in {"lung", "hand"}
    assert reply.text == reply.choices[0][0]
    assert sum(share for _, share in reply.choices) == pytest.approx(1, abs=1e-4)
    assert reply.choices[0][1] >= reply.choices[1][1]


def test_labels_are_as_likely_as_in_the_report(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    rows = [{"text": f"cough {n}", "label": "hand" if n % 8 == 0 else "lung"} for n in range(200)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    table = {
        "base": str(tiny_base(tmp_path / "base", initializer_range=0.3)),
        "task": CLASSIFY,
        "data": {"source": str(tmp_path / "rows.jsonl")},
        "train": {"max_steps": 8, "lr": 1e-2, "batch": 8, "threads": 1, "dtype": "fp32", "class_weights": "balanced"},
        "evaluate": {"dtype": "fp32", "recalibrate": "temperature", "num_resamples": 200},
    }
    (tmp_path / "recipe.yaml").write_text(json.dumps(table))
    recipe = pipeline.load(tmp_path / "recipe.yaml")
    data = pipeline.make_data(recipe, store)
    model = pipeline.make_model(recipe, store, data)
    raw, texts = open_partner(model, store), [row["text"] for row in rows[:40]]
    before = {text: raw.ask(text) for text in texts}
    report = pipeline.make_report(recipe, store, data, model)
    told = [json.loads(line) for line in report.file("predictions.jsonl").read_text().splitlines()]
    seen = {
        row["id"]: row["fields"]["text"] for row in map(json.loads, data.file("test.jsonl").read_text().splitlines())
    }
    partner, asked = open_partner(model, store), asked_of(model, store)
    assert asked.corrected is not None
    assert asked.corrected.as_dict() == {"report": report.id, "steps": ["prior", "temperature"]}
    for system in ("tuned", "base"):
        for line in (one for one in told if one["system"] == system):
            reply = partner.ask(seen[line["id"]], tuned=system == "tuned")
            assert reply.text == line["answer"]
            assert reply.choices[0][1] == pytest.approx(line["probability"], abs=2e-4)  # scores are kept in 4 digits
    after = {text: partner.ask(text) for text in texts}
    assert any(before[text].choices[0][1] != pytest.approx(after[text].choices[0][1], abs=0.01) for text in texts)


def test_pieces_of_a_written_answer_are_shown_as_they_come(partners: dict[str, Partner]) -> None:
    shown: list[str] = []
    reply = partners["write"].ask("cough 3", show=shown.append)
    assert "".join(shown).strip() == reply.text
    assert "<|im_end|>" not in reply.text


def test_the_base_answers_without_the_adapter_and_leaves_it_on(partners: dict[str, Partner]) -> None:
    partner = partners["classify"]
    tuned, base, again = (partner.ask("cough 3", tuned=tuned) for tuned in (True, False, True))
    assert tuned == again
    assert tuned.choices != base.choices


def test_a_conversation_is_remembered_until_a_new_one(partners: dict[str, Partner]) -> None:
    partner = partners["talk"]
    alone, _ = partner._prompt("and now?", tuned=True)
    assert [turn["role"] for turn in alone] == ["system", "user"]
    partner.ask("cough 1")
    longer, _ = partner._prompt("and now?", tuned=True)
    assert [turn["role"] for turn in longer] == ["system", "user", "assistant", "user"]
    of_base, _ = partner._prompt("and now?", tuned=False)
    assert of_base == alone, "base and tuned each have their own"
    partner.forget()
    assert partner._prompt("and now?", tuned=True)[0] == alone


def test_raw_text_is_continued_without_a_template(partners: dict[str, Partner]) -> None:
    partner = partners["raw"]
    messages, ids = partner._prompt("cough", tuned=True)
    assert messages == []
    assert partner.system.renderer.tokenizer.decode(ids) == "cough"
    assert isinstance(partner.ask("cough").text, str)


@pytest.mark.parametrize("line", ["cough", "[1]", '{"text": "cough"}', '{"text": "cough", "more": 1}'])
def test_a_prompt_of_several_fields_asks_for_all_of_them(partners: dict[str, Partner], line: str) -> None:
    with pytest.raises(DataError, match=r'"more"'):
        partners["two"].ask(line)
    assert isinstance(partners["two"].ask('{"text": "cough", "more": "again"}').text, str)


@pytest.mark.parametrize("line", ["", "  \n"])
def test_nothing_said_is_refused(partners: dict[str, Partner], line: str) -> None:
    with pytest.raises(DataError, match="nothing to answer"):
        partners["write"].ask(line)


def test_a_message_is_answered_on_plain_output(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    answers(made, "classify", "cough 1", "cough 2")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert all("%)" in line and "\t" in line for line in lines)


def test_every_line_of_a_pipe_is_answered(
    made: Made, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store, models = made
    monkeypatch.setattr("sys.stdin", io.StringIO("cough 1\n\ncough 2\n"))
    chat(models["classify"], store, Console(file=io.StringIO()), compare=True)
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["base", "tuned", "base", "tuned"]


def test_answers_are_json_lines_where_asked(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[dict[str, Any]] = []
    monkeypatch.setattr("yibu.core.progress.emit", lambda event, **values: told.append({"event": event, **values}))
    answers(made, "classify", "cough 1", compare=True, json_lines=True)
    answer = next(line for line in told if line["event"] == "answer")
    assert answer["asked"] == "cough 1"
    assert set(answer["tuned"]["probabilities"]) == set(answer["base"]["probabilities"]) == {"lung", "hand"}


@pytest.mark.parametrize("name", ["classify", "write"])
def test_base_and_tuned_stand_beside_each_other_on_a_terminal(made: Made, name: str) -> None:
    store, models = made
    out = io.StringIO()
    chat(models[name], store, Console(file=out, width=100, force_terminal=True), ["cough 1"], compare=True)
    assert "base" in out.getvalue()
    assert "tuned" in out.getvalue()


def test_typing_goes_on_after_a_mistake(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a conversation a wrong line is told and the next one is asked for; Ctrl-D ends it."""
    store, models = made
    typed = iter(["no object", '{"text": "cough", "more": "again"}', "/new"])

    def line(prompt: str) -> str:
        try:
            return next(typed)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr("builtins.input", line)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    out = io.StringIO()
    chat(models["two"], store, Console(file=out, width=1000, force_terminal=True))  # wide: paths of tests are long
    assert "must be a JSON object" in out.getvalue()
    assert "fills the prompt's text, more" in out.getvalue()


def test_the_longest_answer_can_be_set(made: Made) -> None:
    store, models = made
    partner = open_partner(models["write"], store, max_new_tokens=1)
    with torch.no_grad():
        reply = partner.ask("cough", tuned=False)
    assert len(partner.system.renderer.tokenizer(reply.text)["input_ids"]) <= 1


def test_a_base_that_moved_is_found_again_by_its_name(made: Made, tmp_path: Path) -> None:
    store, models = made
    manifest = models["write"].manifest
    moved = manifest.model_copy(
        update={"config": {**manifest.config, "base": {**manifest.config["base"], "path": str(tmp_path / "gone")}}}
    )
    partner = open_partner(Artifact(models["write"].id, models["write"].path, moved), store)
    assert isinstance(partner.ask("cough").text, str)
