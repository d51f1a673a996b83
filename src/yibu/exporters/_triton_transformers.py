"""Triton's Python back end for a tuned model in plain transformers; ``task.json`` and the model lie beside it.

Requests that Triton puts together (dynamic batching) pass through the network together.

Legend: B prompts, L labels, T tokens, V vocabulary.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache

AT_ONCE = 256  # prompts times labels in one forward pass
# Caches of one entry for each token, which are copied with their rows and hidden by the mask. What others keep (V4's
# keys of several tokens merged) is not copied, and has padding in it.
PLAIN = ("DynamicLayer", "DynamicSlidingWindowLayer", "DynamicIndexedLayer")


class TritonPythonModel:
    """What the back end calls."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the model onto the device of the instance."""
        folder = os.path.join(args["model_repository"], args["model_version"])
        sys.path.insert(0, folder)  # its other programs lie beside it
        with open(os.path.join(folder, "task.json"), encoding="utf-8") as file:
            self.task = json.load(file)
        torch.set_num_threads(self.task["threads"])
        gpu = args["model_instance_kind"] == "GPU"
        self.device = torch.device(f"cuda:{args['model_instance_device_id']}" if gpu else "cpu")
        model = os.path.join(folder, "model")
        dtype = getattr(torch, self.task["dtype"])
        self.tokenizer = AutoTokenizer.from_pretrained(model, local_files_only=True)
        self.network = AutoModelForCausalLM.from_pretrained(model, dtype=dtype, local_files_only=True)
        self.network = self.network.to(self.device).eval()
        pad = self.tokenizer.pad_token_id
        self.pad = self.task["stop_ids"][0] if pad is None else pad
        from asking import Asking

        asking = Asking(self.task, self.tokenizer)
        self.read = asking.read
        self.chooser: Any = self.searched(asking.examples()) if self.task["labels"] else None

    @torch.no_grad()
    def searched(self, examples: list[list[int]]) -> Any:
        """What searches the labels as a tree; None where this architecture has other likelihoods under a mask."""
        if not is_plain(self.network):
            return None
        import labels
        import network

        words = self.task["label_ids"]
        prefix, tree = labels.common(examples), labels.LabelTree(words, self.task["correction"])
        try:
            made = labels.Chooser(tree, network.Transformers(self.network, tree.tokens, prefix), prefix)
            found = made.scores(examples[:1])[0]
        except (AttributeError, ValueError, RuntimeError, TypeError):
            return None
        lifted = found + tree.lifts
        some = [int(at) for at in lifted.argsort()[::-1][:4]]  # the likeliest are computed whole
        (plain,) = self.score(examples[:1], [words[at] for at in some])
        near = 1e-3 if self.network.dtype == torch.float32 else 8e-2
        followed = [at for at in range(len(some)) if lifted[some[at]] > lifted.max() + tree.least]
        alike = all(abs(found[some[at]] - plain[at]) <= near * (1 + abs(plain[at])) for at in followed)
        return made if alike else None

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response for each request."""
        from batches import execute

        responses: list[Any] = execute(self, requests)
        return responses

    @torch.no_grad()
    def answer(self, asked: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """What the model says to each request."""
        from labels import corrected

        found: list[dict[str, Any]] = [{} for _ in asked]
        written = [n for n, one in enumerate(asked) if one.get("write") or not self.task["labels"]]
        chosen = [n for n, one in enumerate(asked) if self.task["labels"] and not one.get("write")]
        for n, scores in zip(chosen, self.choose([asked[n]["ids"] for n in chosen]), strict=True):
            shares = torch.softmax(torch.as_tensor(corrected(scores, self.task["correction"])), dim=0)
            found[n]["answer"] = self.task["labels"][int(shares.argmax())]
            found[n]["probabilities"] = dict(zip(self.task["labels"], shares.tolist(), strict=True))
        for n in written:
            new = self.write(asked[n]["ids"], int(asked[n].get("write") or self.task["max_new_tokens"]))
            found[n]["ids"] = new
            found[n]["answer"] = self.tokenizer.decode(new, skip_special_tokens=True).strip()
        for n, one in enumerate(asked):
            if one.get("prompt_ids"):
                found[n]["prompt_ids"] = list(one["ids"])
            if one.get("logits"):
                ids = torch.tensor([one["ids"]], device=self.device)
                found[n]["logits"] = self.network(input_ids=ids, use_cache=False).logits[0, -1].float().tolist()
        return found

    def choose(self, prompts: list[list[int]]) -> list[Any]:
        """``log p(label | prompt)`` ``[L]`` of each prompt."""
        if self.chooser is not None:
            return list(self.chooser.scores(prompts))
        words = self.task["label_ids"]
        size = max(1, AT_ONCE // max(1, len(words)))
        return [
            row for begin in range(0, len(prompts), size) for row in self.score(prompts[begin : begin + size], words)
        ]

    def score(self, prompts: list[list[int]], labels: list[list[int]]) -> list[torch.Tensor]:
        """The same without a mask of our own: prompts once, then labels behind copies of what was kept."""
        if not is_plain(self.network):
            return [self.whole(prompt, labels) for prompt in prompts]
        width, longest = max(map(len, prompts)), max(map(len, labels))
        ids_BT = torch.full((len(prompts), width), self.pad)
        mask_BT = torch.zeros((len(prompts), width), dtype=torch.long)
        for row, prompt in enumerate(prompts):  # padded in front, so that all labels begin at one place
            ids_BT[row, width - len(prompt) :] = torch.tensor(prompt)
            mask_BT[row, width - len(prompt) :] = 1
        positions_BT = (mask_BT.cumsum(-1) - 1).clamp_min(0)
        first = self.network(
            input_ids=ids_BT.to(self.device),
            attention_mask=mask_BT.to(self.device),
            position_ids=positions_BT.to(self.device),
            use_cache=True,
            logits_to_keep=1,
        )
        first_BV = torch.log_softmax(first.logits[:, -1].float(), dim=-1).cpu()
        words_LT = torch.full((len(labels), longest), self.pad)
        known_LT = torch.zeros((len(labels), longest), dtype=torch.long)
        for row, label in enumerate(labels):
            words_LT[row, : len(label)] = torch.tensor(label)
            known_LT[row, : len(label)] = 1
        scores_BL = first_BV[:, words_LT[:, 0]]
        if longest == 1:
            return list(scores_BL)
        cache = first.past_key_values
        cache.batch_repeat_interleave(len(labels))
        times = len(prompts)
        mask = torch.cat([mask_BT.repeat_interleave(len(labels), 0), known_LT.repeat(times, 1)[:, :-1]], dim=1)
        lengths_B = mask_BT.sum(-1).repeat_interleave(len(labels))
        positions = lengths_B[:, None] + torch.arange(longest - 1)[None]
        behind = self.network(
            input_ids=words_LT.repeat(times, 1)[:, :-1].to(self.device),
            attention_mask=mask.to(self.device),
            position_ids=positions.to(self.device),
            past_key_values=cache,
            use_cache=True,
        )
        log_probs = torch.log_softmax(behind.logits.float(), dim=-1).cpu()
        targets = words_LT.repeat(times, 1)[:, 1:, None]
        rest = (log_probs.gather(-1, targets)[..., 0] * known_LT.repeat(times, 1)[:, 1:]).sum(-1)
        return list(scores_BL + rest.view(times, len(labels)))

    def whole(self, prompt: list[int], labels: list[list[int]]) -> torch.Tensor:
        """The same of one prompt, each label behind a prompt of its own; padded behind, where no token looks."""
        longest = max(map(len, labels))
        found = []
        for begin in range(0, len(labels), AT_ONCE):
            some = labels[begin : begin + AT_ONCE]
            words_LT = torch.tensor([[*label, *[self.pad] * (longest - len(label))] for label in some])
            known_LT = torch.tensor([[True] * len(label) + [False] * (longest - len(label)) for label in some])
            ids = torch.cat([torch.tensor([prompt]).expand(len(some), -1), words_LT[:, :-1]], dim=1)
            output = self.network(input_ids=ids.to(self.device), use_cache=False, logits_to_keep=longest)
            log_probs = torch.log_softmax(output.logits.float(), dim=-1).cpu()
            found.append((log_probs.gather(-1, words_LT[..., None])[..., 0] * known_LT).sum(-1))
        return torch.cat(found)

    def write(self, prompt: list[int], max_new_tokens: int) -> list[int]:
        """Greedy token ids behind a prompt, the stop token included."""
        ids = torch.tensor([prompt], device=self.device)
        stops = self.task["stop_ids"]
        answer = self.network.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=max_new_tokens,
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            eos_token_id=stops,
            pad_token_id=stops[0],
        )
        new: list[int] = answer[0, len(prompt) :].tolist()
        return new


def is_plain(network: Any) -> bool:
    """Whether this architecture keeps a text token by token."""
    return all(type(layer).__name__ in PLAIN for layer in DynamicCache(config=network.config).layers)
