"""What a template, a server or a mask does wrong is found, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tiny import BOS, TEMPLATE, tiny_tokenizer
from yibu.core.errors import GateRefused
from yibu.model.render import Example, Renderer
from yibu.parity import gate
from yibu.parity.conversations import CONVERSATIONS
from yibu.parity.ids import same_ids, served_by_template

IDS, STARTS, ENDS = range(3)


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(tiny_tokenizer())


def test_there_are_fifty_different_conversations_of_every_kind() -> None:
    assert len(CONVERSATIONS) == 50
    assert len({str(one.messages) + one.target for one in CONVERSATIONS}) == 50
    assert len({one.name for one in CONVERSATIONS}) == 50
    told = str(CONVERSATIONS)
    for part in ("'system'", "'content': ''", "tool_calls", "肺炎", "<think>"):
        assert part in told


def test_training_and_serving_with_one_template_agree(renderer: Renderer) -> None:
    checks = same_ids(renderer, served_by_template(renderer.tokenizer))
    assert [check.ok for check in checks] == [True, True, True]
    assert [check.n for check in checks] == [50, 50, 50]
    gate(checks)


def test_a_template_with_a_changed_space_is_caught(renderer: Renderer) -> None:
    served = tiny_tokenizer()
    served.chat_template = TEMPLATE.replace("assistant\n' }}", "assistant \n' }}")
    assert served.chat_template != TEMPLATE
    checks = same_ids(renderer, served_by_template(served))
    assert [check.ok for check in checks] == [False, True, True]
    assert checks[IDS].measured == 0
    assert "plain 1 (token" in checks[IDS].detail
    with pytest.raises(GateRefused, match="ids of training") as caught:
        gate(checks, "Export to vLLM")
    assert caught.value.exit_code == 3


def test_a_template_that_differs_for_one_kind_of_turn_is_caught(renderer: Renderer) -> None:
    served = tiny_tokenizer()
    served.chat_template = TEMPLATE.replace("message['content']", "(message['content'] or '(empty)')")
    checks = same_ids(renderer, served_by_template(served))
    assert checks[IDS].ok is False
    assert 0.5 < (checks[IDS].measured or 0) < 1


def test_a_doubled_beginning_of_text_is_caught() -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = "{{ '<s>' }}" + TEMPLATE
    renderer = Renderer(tokenizer)
    assert all(check.ok for check in same_ids(renderer, served_by_template(tokenizer)))

    def serve(messages: Sequence[Any]) -> list[int]:
        """Renders a text and tokenises it with the special tokens that are in it already."""
        text = tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
        return [BOS, *tokenizer(text, add_special_tokens=False)["input_ids"]]

    checks = same_ids(renderer, serve)
    assert [check.ok for check in checks] == [False, False, True]
    assert checks[STARTS].measured == 50


def test_an_untrained_stop_token_is_caught(renderer: Renderer) -> None:
    def train(messages: Sequence[Any], target: str) -> Example:
        made = renderer.example(messages, target)
        return replace(made, trained=(*made.trained[:-1], False))

    checks = same_ids(renderer, served_by_template(renderer.tokenizer), train=train)
    assert [check.ok for check in checks] == [True, True, False]


def test_a_server_that_stops_at_another_token_is_caught(renderer: Renderer) -> None:
    checks = same_ids(renderer, served_by_template(renderer.tokenizer), stops=[2])
    assert checks[ENDS].measured == 50


def test_what_both_refuse_is_left_out_and_what_one_refuses_is_a_difference() -> None:
    tokenizer = tiny_tokenizer()
    guard = (
        "{% for m in messages %}{% if m['role'] == 'tool' %}{{ raise_exception('no tools') }}{% endif %}{% endfor %}"
    )
    tokenizer.chat_template = guard + TEMPLATE
    checks = same_ids(Renderer(tokenizer), served_by_template(tokenizer))
    assert [check.ok for check in checks] == [True, True, True]
    assert checks[IDS].n == 45
    assert "5 refused by both" in checks[IDS].detail
    checks = same_ids(Renderer(tokenizer), served_by_template(tiny_tokenizer()))
    assert checks[IDS].ok is False
    assert "tool 1 (training refuses it)" in checks[IDS].detail


def test_a_server_that_refuses_everything_proves_nothing(renderer: Renderer) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError

    assert same_ids(renderer, broken, train=broken)[IDS].ok is False
