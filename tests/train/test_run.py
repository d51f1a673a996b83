"""What surrounds the loop: rows that do not fit are named, and a model that would never stop is not trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tiny import tiny_base, tiny_model, tiny_tokenizer
from yibu.core.errors import DataError, RecipeError
from yibu.core.recipe import Settings
from yibu.core.record import Row
from yibu.core.store import Artifact, Store, Work, stage
from yibu.model.packing import context_length
from yibu.model.render import Example, Renderer
from yibu.train import BaseSettings, Config, train
from yibu.train.check import check
from yibu.train.run import check_stops, fitting, trainable_ratio


def example(length: int, last: int, name: str = "row") -> Example:
    return Example((*range(5, 4 + length), last), (False,) * (length - 1) + (True,), name)


def test_validation_rows_that_do_not_fit_are_left_out_by_name(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("WARNING", logger="yibu"):
        kept = fitting([example(5, 4, "short"), example(30, 4, "long")], 10)
    assert [row.name for row in kept] == ["short"]
    assert "1 validation rows are longer than 10 tokens" in caplog.text
    assert "long" in caplog.text


def test_rows_that_do_not_end_in_a_trained_stop_token_stop_the_run() -> None:
    renderer = Renderer(tiny_tokenizer())
    stop = renderer.stop_ids[0]
    check_stops([example(5, stop, "whole")], renderer)
    check_stops([example(5, stop, "whole"), example(5, 9, "part#1"), example(5, stop, "part#2")], renderer)
    with pytest.raises(DataError, match="1 of 2 rows do not end") as error:
        check_stops([example(5, stop, "a"), example(5, 9, "b")], renderer)
    assert "b" in str(error.value)


def test_share_and_context_are_read_off_the_model() -> None:
    model = tiny_model("llama").requires_grad_(False)
    assert trainable_ratio(model) == 0
    assert context_length(model) == 256


CLASSES = ["often", "often", "often", "rare"]
NOTE = {
    "kind": "generate",
    "prompt": "{text}",
    "target": "{label}: {note}",
    "score": {"label": "label"},
    "max_new_tokens": 4,
}


class Nothing(Settings):
    pass


@stage()
def given(config: Nothing, work: Work) -> None:
    """A dozen rows, a quarter of them of a rare class."""
    rows = [
        Row(f"{n}", {"text": f"cough {n}", "label": CLASSES[n % 4], "note": f"seen {n}"}, label=CLASSES[n % 4])
        for n in range(12)
    ]
    text = "".join(row.to_json() + "\n" for row in rows)
    for split in ("train", "valid", "test"):
        work.write_text(f"{split}.jsonl", text)
    work.write_json("summary.json", {"labels": None, "splits": {"train": 12, "valid": 12, "test": 12}})


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Artifact, Path]:
    folder = tmp_path_factory.mktemp("imbalance")
    store = Store(folder / "store")
    return store, store.run(given, Nothing()), tiny_base(folder / "base")


def config(base: Path, task: dict[str, Any], **settings: Any) -> Config:
    made = {"epochs": 1, "batch": 4, "accumulate": 1, "threads": 1, "dtype": "fp32", "device": "cpu", **settings}
    return Config.model_validate(
        {"base": BaseSettings(name="tiny", path=str(base), digest="0" * 64), "task": task, "train": made, "adapter": {}}
    )


@pytest.mark.parametrize(
    ("settings", "remedy"), [({"sampler": "weighted"}, "sampler"), ({"class_weights": "balanced"}, "class_weights")]
)
def test_what_was_done_against_imbalance_is_written_down(
    prepared: tuple[Store, Artifact, Path], settings: dict[str, str], remedy: str
) -> None:
    store, data, base = prepared
    plain = store.run(train, config(base, NOTE), data=data)
    made = store.run(train, config(base, NOTE, **settings), data=data)
    balance = made.read_json("summary.json")["class_balance"]
    assert (balance["remedy"], balance["counts"]) == (remedy, {"often": 9, "rare": 3})
    assert balance["training_prior"] == pytest.approx({"often": 0.5, "rare": 0.5})
    assert balance["natural_prior"] == pytest.approx({"often": 0.75, "rare": 0.25})
    assert plain.read_json("summary.json")["class_balance"] is None
    weights = "adapter/adapter_model.safetensors"
    assert made.file(weights).read_bytes() != plain.file(weights).read_bytes()
    first, other = (json.loads(a.file("history.jsonl").read_text().splitlines()[0]) for a in (plain, made))
    assert first["loss"] != other["loss"]


@pytest.mark.parametrize("settings", [{"sampler": "weighted"}, {"class_weights": "balanced"}])
def test_a_remedy_without_labels_is_refused_and_foreseen(
    prepared: tuple[Store, Artifact, Path], settings: dict[str, str]
) -> None:
    store, data, base = prepared
    plain = {key: value for key, value in NOTE.items() if key != "score"}
    with pytest.raises(RecipeError, match="this task has no label"):
        store.run(train, config(base, plain, **settings), data=data)
    refused = check(config(base, plain, **settings), data).refusals
    assert any("this task has no label" in error.what for error in refused)
    assert check(config(base, NOTE, **settings), data).refusals == ()
