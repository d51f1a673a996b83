"""The searched tree gives the label, and nearly the likelihoods, that every answer alone has."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest
import torch

from tiny import tiny_ids, tiny_model
from yibu.exporters import _labels
from yibu.exporters._labels import FOLLOW, Chooser, LabelTree, common, corrected, groups
from yibu.exporters._network import Transformers
from yibu.exporters._triton_transformers import TritonPythonModel

PREFIX = [7, 8, 9, 10]


def alone(model: Any, prompt: list[int], answer: tuple[int, ...]) -> float:
    ids = torch.tensor([[*prompt, *answer]])
    with torch.no_grad():
        log_probs = model(input_ids=ids).logits[0].log_softmax(-1)
    return float(sum(log_probs[len(prompt) - 1 + place, token] for place, token in enumerate(answer)))


def asked(count: int) -> tuple[list[list[int]], list[tuple[int, ...]]]:
    chance = random.Random(count)
    prompts = [[*PREFIX, *(chance.randrange(6, 500) for _ in range(chance.randrange(1, 30)))] for _ in range(count)]
    prompts[0][0] = 99  # does not begin as the others do
    answers = {tuple(chance.randrange(20, 28) for _ in range(chance.randrange(1, 6))) for _ in range(40)}
    return prompts, [(*answer, 4) for answer in sorted(answers)]


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "deepseek_v3"])
def test_the_label_is_that_of_all_answers_one_by_one(architecture: str) -> None:
    model = tiny_model(architecture).eval()
    with torch.no_grad():  # as sure of itself as a tuned one, so that branches are cut
        model.get_output_embeddings().weight.mul_(6)
    prompts, answers = asked(6)
    tree = LabelTree(answers)
    chooser = Chooser(tree, Transformers(model, tree.tokens, PREFIX), PREFIX)
    for prompt, found in zip(prompts, chooser.scores(prompts), strict=True):
        wanted = np.array([alone(model, prompt, answer) for answer in answers])
        assert found.argmax() == wanted.argmax()
        near = wanted > wanted.max() + math.log(FOLLOW)
        np.testing.assert_allclose(found[near], wanted[near], rtol=1e-3, atol=1e-3)
        assert (found[~near] < wanted.max() + math.log(FOLLOW) + 1e-2).all()
        assert np.exp(found).sum() < 1 + 1e-3, "what was not followed shares the likelihood of its beginning"


@pytest.mark.parametrize("architecture", ["llama", "gemma3", "deepseek_v3", "deepseek_v32", "deepseek_v4"])
def test_labels_of_prompts_that_come_together_are_those_of_each_alone(architecture: str) -> None:
    """V4 keeps several tokens as one, from which no mask hides padding."""
    few_keys = {"index_topk": 16, "index_n_heads": 16}  # heads enough that no two keys score exactly nothing
    model = tiny_model(architecture, **(few_keys if architecture == "deepseek_v32" else {}))
    back_end = object.__new__(TritonPythonModel)
    back_end.network, back_end.device, back_end.pad = model, torch.device("cpu"), 0
    back_end.task = {"label_ids": [[7, 8, 4], [7, 9, 10, 4], [11, 4]]}
    back_end.chooser = None
    prompts = [tiny_ids(1, length, seed=length)[0].tolist() for length in (41, 30, 18)]
    with torch.no_grad():
        found = back_end.choose(prompts)
    for prompt, scores in zip(prompts, found, strict=True):
        wanted = [alone(model, prompt, tuple(label)) for label in back_end.task["label_ids"]]
        np.testing.assert_allclose(scores, wanted, rtol=1e-4)


def test_a_label_that_the_report_lifts_is_found() -> None:
    model = tiny_model("llama").eval()
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(6)
    prompts, answers = asked(4)
    chance = np.random.default_rng(0)
    correction = {"temperature": 1.7, "offsets": chance.normal(0, 4, len(answers)).tolist()}
    tree, plain = LabelTree(answers, correction), LabelTree(answers)
    lifted, raw = (
        Chooser(one, Transformers(model, one.tokens, PREFIX), PREFIX).scores(prompts) for one in (tree, plain)
    )
    moved = 0
    for prompt, found, before in zip(prompts, lifted, raw, strict=True):
        wanted = corrected(np.array([alone(model, prompt, answer) for answer in answers]), correction)
        assert corrected(found, correction).argmax() == wanted.argmax()
        near = wanted > wanted.max() + math.log(FOLLOW)
        np.testing.assert_allclose(corrected(found, correction)[near], wanted[near], rtol=1e-3, atol=1e-3)
        moved += int(wanted.argmax() != before.argmax())
    assert moved, "the correction changes a label, or nothing was tested"


class Counted:
    """A network without weights: its own table says how likely each token is, behind any other."""

    def __init__(self, tree: LabelTree, sure: dict[int, float]) -> None:
        self.tree, self.sure, self.asked = tree, sure, 0

    def begin(self, prefix: bool, num_rows: int) -> int:
        return num_rows

    def select(self, kept: int, rows: Any) -> int:
        return len(rows)

    def step(self, kept: int, ids: Any, positions: Any, mask: Any, places: Any) -> tuple[Any, int]:
        self.asked += len(places)
        row = np.array([self.sure.get(token, -9.0) for token in self.tree.tokens])
        return np.tile(row, (len(places), 1)), kept


def test_a_sure_model_computes_a_path_and_not_the_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_labels, "WIDTH", 4)
    answers = [(first, second, third, 4) for first in range(10, 20) for second in range(20, 30) for third in (30, 31)]
    tree = LabelTree(answers)
    network = Counted(tree, {13: 0.0, 25: 0.0, 30: 0.0, 4: 0.0})
    (scores,) = Chooser(tree, network, ()).scores([[5, 6]])
    assert answers[int(scores.argmax())] == (13, 25, 30, 4)
    assert network.asked < 18, f"of {len(tree.ids)} tokens"


def test_rows_of_very_different_length_pass_apart() -> None:
    lengths = [800, 10, 11, 790, 12, 12]
    assert groups(range(6), lengths) == [[0, 3], [4, 5, 2, 1]]
    assert all(len(group) * 300 <= _labels.AT_ONCE for group in groups(range(40), [300] * 40))


def test_the_common_beginning_leaves_a_token_to_each() -> None:
    assert common([[1, 2, 3], [1, 2, 4]]) == [1, 2]
    assert common([[1, 2], [1, 2]]) == [1]
    assert common([[5], [5, 6]]) == []
