"""Greedy answers in batches: each prompt gets what it would get alone, and what stopped it is known."""

from __future__ import annotations

import pytest
import torch

from tiny import tiny_ids, tiny_model, tiny_tokenizer
from yibu.model.generate import _batches, generate
from yibu.model.render import Renderer


@pytest.mark.parametrize("architecture", ["llama", "gemma3", "deepseek_v3", "deepseek_v4"])
def test_a_batch_gives_what_each_prompt_gives_alone_in_the_order_asked(architecture: str) -> None:
    """V4 compresses padding in front, which no mask hides from it."""
    model, renderer = tiny_model(architecture), Renderer(tiny_tokenizer())
    prompts = [tiny_ids(1, length, length + turn)[0].tolist() for turn in (0, 1) for length in (4, 15, 9)]
    together = generate(model, renderer, prompts, max_new_tokens=6, batch_size=3)
    alone = [generate(model, renderer, [prompt], max_new_tokens=6)[0] for prompt in prompts]
    assert [answer.ids for answer in together] == [answer.ids for answer in alone]


def test_prompts_of_one_length_alone_share_a_batch_where_padding_is_seen() -> None:
    lengths = [7, 9, 7, 9, 9, 3]
    assert list(_batches(lengths, 2, mixed=True)) == [[1, 3], [4, 0], [2, 5]]
    assert list(_batches(lengths, 2, mixed=False)) == [[1, 3], [4], [0, 2], [5]]


def test_an_answer_that_is_cut_is_not_called_stopped() -> None:
    model, renderer = tiny_model("llama"), Renderer(tiny_tokenizer())
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.clone())
    with torch.no_grad():
        model.lm_head.weight[renderer.stop_ids[-1]] = 0.0
        model.lm_head.weight[6] = model.lm_head.weight[7]
    cut = generate(model, renderer, [[5, 6, 7]], max_new_tokens=3)[0]
    assert not cut.stopped
    assert len(cut.ids) == 3


def test_an_answer_ends_with_its_stop_token() -> None:
    model, renderer = tiny_model("llama"), Renderer(tiny_tokenizer())
    stop = renderer.stop_ids[-1]

    class AlwaysStops(torch.nn.Linear):
        def forward(self, hidden: torch.Tensor) -> torch.Tensor:
            logits = torch.zeros(*hidden.shape[:-1], self.out_features)
            logits[..., stop] = 1.0
            return logits

    model.lm_head = AlwaysStops(64, 512, bias=False)
    answer = generate(model, renderer, [[5, 6], [7, 8, 9]], max_new_tokens=5)[1]
    assert answer.stopped
    assert answer.ids == (stop,)
    assert answer.text == ""
