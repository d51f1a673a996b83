"""Prompts as a server builds them; loss on the answer and the end of the turn, nowhere else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiny import TEMPLATE, tiny_tokenizer
from yibu.core.errors import TemplateError
from yibu.model.render import Renderer

TOKENIZER = tiny_tokenizer()
USER = [{"role": "user", "content": "Name the chapter."}]


def renderer(template: str = TEMPLATE) -> Renderer:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = template
    return Renderer(tokenizer)


def trained_text(made: Renderer, messages: list[dict[str, str]], target: str) -> str:
    example = made.example(messages, target)
    return made.tokenizer.decode([i for i, t in zip(example.ids, example.trained, strict=True) if t])


@settings(max_examples=30, deadline=None)
@given(st.text(min_size=1, max_size=40), st.text(min_size=1, max_size=40))
def test_the_prompt_is_what_a_server_builds_and_the_answer_comes_back(prompt: str, target: str) -> None:
    made = Renderer(TOKENIZER)
    messages = [{"role": "user", "content": prompt}]
    served = TOKENIZER.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=False)
    example = made.example(messages, target)
    assert list(example.ids[: len(served)]) == served
    assert not any(example.trained[: len(served)])
    assert all(example.trained[len(served) :])
    assert example.ids[-1] == TOKENIZER.eos_token_id
    without_thought = target.rpartition("</think>")[2]
    assert made.decode(example.ids[len(served) :]) == without_thought.strip()


def test_the_end_of_the_turn_is_trained_and_nothing_behind_it() -> None:
    assert trained_text(renderer(), USER, "lung") == "lung<|im_end|>"


def test_what_the_template_writes_in_front_of_an_answer_is_trained_with_it() -> None:
    """DeepSeek V2: the prompt ends in "Assistant:", an answer in the history begins with a space."""
    spaced = (
        "{% for m in messages %}{% if m['role'] == 'user' %}{{ 'User: ' + m['content'] + '\n\n' }}"
        "{% else %}{{ 'Assistant: ' + m['content'] + '<|im_end|>' }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
    )
    made = renderer(spaced)
    assert trained_text(made, USER, "lung") == " lung<|im_end|>"
    assert made.decode(made.answer("lung", USER)) == "lung"


def test_a_template_without_a_stop_token_is_refused() -> None:
    bare = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}"
    with pytest.raises(TemplateError, match="no stop token"):
        renderer(bare)


def test_a_template_that_writes_no_answers_is_refused() -> None:
    silent = "{% for m in messages if m['role'] == 'user' %}{{ m['content'] }}<|im_end|>{% endfor %}"
    with pytest.raises(TemplateError, match="does not write the assistant's answer"):
        renderer(silent)


def test_two_beginnings_of_text_are_refused() -> None:
    with pytest.raises(TemplateError, match="two beginning-of-text"):
        renderer("{{ '<s><s>' }}" + TEMPLATE).example(USER, "lung")


def test_one_beginning_of_text_from_the_template_stays_one() -> None:
    made = renderer("{{ '<s>' }}" + TEMPLATE)
    assert made.prompt(USER).count(made.tokenizer.bos_token_id) == 1


def test_no_template_is_an_error_that_says_so() -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = None
    with pytest.raises(TemplateError, match="no chat template"):
        Renderer(tokenizer).prompt(USER)


def test_raw_text_needs_no_template_and_trains_all_but_its_first_token() -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = None
    example = Renderer(tokenizer).example([], "Blood pressure is 120")
    assert example.trained == (False,) + (True,) * (len(example.ids) - 1)
    assert example.ids[-1] == tokenizer.eos_token_id


def test_earlier_turns_of_the_assistant_are_targets_too() -> None:
    talk = [*USER, {"role": "assistant", "content": "heart"}, {"role": "user", "content": "And this?"}]
    assert trained_text(renderer(), talk, "lung") == "heart<|im_end|>lung<|im_end|>"


def test_a_turn_that_the_template_rewrites_later_is_context_only() -> None:
    forgets = (
        "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + "
        "(m['content'] if loop.last or m['role'] == 'user' else 'gone') + '<|im_end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    )
    talk = [*USER, {"role": "assistant", "content": "heart"}, {"role": "user", "content": "And this?"}]
    assert trained_text(renderer(forgets), talk, "lung") == "lung<|im_end|>"


def test_a_thought_that_the_prompt_opens_is_closed_by_the_answer_and_taken_off_again() -> None:
    thinks = TEMPLATE.replace("assistant\n' }}{% endif %}", "assistant\n<think>\n' }}{% endif %}")
    made = renderer(thinks)
    example = made.example(USER, "lung")
    assert trained_text(made, USER, "lung") == "</think>\n\nlung<|im_end|>"
    assert made.decode(example.ids[len(made.prompt(USER)) :]) == "lung"


def test_a_known_stop_token_counts_where_the_tokenizer_does_not_mark_it() -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens(["<turn_end>"])
    tokenizer.chat_template = TEMPLATE.replace("<|im_end|>", "<turn_end>")
    with pytest.raises(TemplateError):
        Renderer(tokenizer)
    assert Renderer(tokenizer, stop_tokens=("<turn_end>", "<absent>")).stop_token == "<turn_end>"
