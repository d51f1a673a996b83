"""What surrounds the loop: rows that do not fit are named, and a model that would never stop is not trained."""

from __future__ import annotations

import pytest

from tiny import tiny_model, tiny_tokenizer
from yibu.core.errors import DataError
from yibu.model.packing import context_length
from yibu.model.render import Example, Renderer
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
