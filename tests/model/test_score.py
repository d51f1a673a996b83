"""Answers scored as a tree must have the probabilities they have one by one."""

from __future__ import annotations

import pytest
import torch

from tiny import tiny_ids, tiny_model
from yibu.model import attention
from yibu.model.score import AnswerTree, _common_beginning, score_answers, tree_is_exact

ANSWERS = [[7, 8, 4], [7, 9, 10, 4], [11, 4], [7, 8, 12, 13, 4], [14, 4]]


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "deepseek_v2", "deepseek_v3"])
def test_tree_and_single_passes_agree_for_prompts_of_all_lengths(architecture: str) -> None:
    model = tiny_model(architecture)
    model.set_attn_implementation(attention.NAME)
    prompts = [tiny_ids(1, length, length)[0].tolist() for length in (3, 17, 9, 1)]
    tree = score_answers(model, prompts, ANSWERS, tree=True, max_tokens=40)
    single = score_answers(model, prompts, ANSWERS, tree=False)
    torch.testing.assert_close(tree, single, rtol=1e-4, atol=1e-4)
    assert tree_is_exact(model, prompts[1], ANSWERS)


def test_a_common_beginning_of_all_prompts_changes_no_score() -> None:
    model = tiny_model("llama")
    model.set_attn_implementation(attention.NAME)
    start = tiny_ids(1, 12, 9)[0].tolist()
    prompts = [start + tiny_ids(1, length, length)[0].tolist() for length in (3, 8, 1)]
    assert _common_beginning(prompts) == 12
    tree = score_answers(model, prompts, ANSWERS)
    torch.testing.assert_close(tree, score_answers(model, prompts, ANSWERS, tree=False), rtol=1e-4, atol=1e-4)


def test_equal_prompts_keep_a_token_of_their_own() -> None:
    assert _common_beginning([[1, 2, 3], [1, 2, 3]]) == 2
    assert _common_beginning([[1]]) == 0


def test_single_passes_have_the_probabilities_of_transformers() -> None:
    model = tiny_model("llama")
    prompt = tiny_ids(1, 6)[0].tolist()
    scores = score_answers(model, [prompt], ANSWERS, tree=False)[0]
    for answer, score in zip(ANSWERS, scores, strict=True):
        with torch.no_grad():
            log_probs = model(torch.tensor([prompt + answer])).logits[0].log_softmax(-1)
        expected = sum(log_probs[len(prompt) - 1 + place, token] for place, token in enumerate(answer))
        assert float(score) == pytest.approx(float(expected), abs=1e-4)


def test_answers_that_begin_alike_share_their_branch() -> None:
    tree = AnswerTree.of(ANSWERS)
    assert len(tree.tokens) == 8  # 7, 8, 9, 10, 11, 12, 13, 14; the last token of an answer is predicted, never read
    assert tree.depths()[tree.tokens.index(13)] == 3
    sees = tree.sees()
    assert not sees[tree.tokens.index(9), tree.tokens.index(8)]


def test_an_architecture_that_takes_no_tree_is_found_out() -> None:
    model = tiny_model("deepseek_v4")
    assert not tree_is_exact(model, tiny_ids(1, 12)[0].tolist(), ANSWERS)
