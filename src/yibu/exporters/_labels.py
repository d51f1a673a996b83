"""The likeliest of a closed set of labels, found without computing all of them. Needs numpy alone, no yibu.

Three things make it fast. What all prompts begin with is computed once, when the model is loaded. The labels are a tree
of tokens behind the prompt, and the tree is searched best first: a label whose beginning is already less likely than a
share `FOLLOW` of the best whole label is not followed, since it cannot win (a longer text is never likelier than its
beginning). And requests that come together pass through the network together, sorted by length.

Where the model's report corrected its scores (class shares, over- or underconfidence), so does this program: a label
that the correction lifts is followed from as much further down. The label chosen is that of the whole tree. Labels that
were not followed share the likelihood of their beginning, which is below `FOLLOW` of the best.

Legend: B prompts, M inner tokens of the tree, N different tokens of labels, T tokens of a pass, S kept tokens + T.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from itertools import takewhile
from typing import Any, Protocol

import numpy as np

FOLLOW = 0.05
AT_ONCE = 2048  # tokens of one pass
PADDED = 384  # tokens of padding that cost less than passes of their own
WIDTH = 48  # tokens of a pass behind the prompts: below that a pass costs little more than reading the weights


class Network(Protocol):
    """A causal model that keeps keys and values."""

    def begin(self, prefix: bool, num_rows: int) -> Any:
        """What is kept before the first token of so many rows: the common beginning, or nothing."""

    def step(self, kept: Any, ids: Any, positions: Any, mask: Any, places: Any) -> tuple[Any, Any]:
        """One pass.

        Args:
            ids: int64 ``[B, T]``.
            positions: int64 ``[B, T]``.
            mask: True where a token may attend, ``[B, T, S]``.
            places: int64, into ``[B * T]``: which tokens predict.

        Returns:
            ``log p`` of the N tokens of labels behind each place, fp32; and what is kept now.
        """

    def select(self, kept: Any, rows: Any) -> Any:
        """What is kept of some rows alone."""


class LabelTree:
    """The closed set.

    Args:
        answers: token ids of each label, the end of its turn included.
        correction: of the scores, see `corrected`.

    Attributes:
        tokens: the N different token ids, in the order in which a network gives their likelihoods.
        lifts: by how much the correction lifts each label, in nats of its score.
        least: a node this far below the best label is not followed.
    """

    def __init__(self, answers: Sequence[Sequence[int]], correction: dict[str, Any] | None = None) -> None:
        temperature = correction["temperature"] if correction else 1.0
        self.lifts = [temperature * one for one in correction["offsets"]] if correction else [0.0] * len(answers)
        self.least = temperature * math.log(FOLLOW)
        self.num_answers = len(answers)
        self.tokens = sorted({token for answer in answers for token in answer})
        column = {token: place for place, token in enumerate(self.tokens)}
        # Node 0 is the end of the prompt; parents stand before their children.
        self.ids, self.columns, self.depths = [-1], [-1], [-1]
        self.above: list[tuple[int, ...]] = [()]  # a node and its ancestors without the prompt
        self.children: list[list[int]] = [[]]
        self.ends: list[list[tuple[int, int]]] = [[]]  # answers whose last token the node predicts: (answer, column)
        self.under: list[list[int]] = [[]]  # answers that go through the node
        seen: dict[tuple[int, int], int] = {}
        for number, answer in enumerate(answers):
            node = 0
            self.under[0].append(number)
            for token in answer[:-1]:
                if (node, token) not in seen:
                    seen[node, token] = len(self.ids)
                    self.children[node].append(len(self.ids))
                    self.above.append((*self.above[node], len(self.ids)))
                    self.ids.append(token)
                    self.columns.append(column[token])
                    self.depths.append(self.depths[node] + 1)
                    self.children.append([])
                    self.ends.append([])
                    self.under.append([])
                node = seen[node, token]
                self.under[node].append(number)
            self.ends[node].append((number, column[answer[-1]]))
        self.highest = [max(self.lifts[number] for number in under) for under in self.under]  # of the labels below


class _Search:
    """What is known of the labels behind one prompt."""

    def __init__(self, tree: LabelTree, length: int) -> None:
        self.tree, self.length = tree, length
        self.reached = {0: 0.0}  # log p of a node, where its parent was computed
        self.computed: dict[int, int] = {}  # columns of what is kept, by node
        self.open = {0}  # reached and not computed
        self.scores = np.full(tree.num_answers, -np.inf)
        self.best = -math.inf

    def told(self, nodes: Sequence[int], column: int, log_probs: Any) -> None:
        """Take in what a pass gave for some nodes, which are kept from a column on."""
        self.computed.update({node: column + place for place, node in enumerate(nodes)})
        for node, row in zip(nodes, log_probs, strict=True):  # parents come before their children
            here = self.reached[node]
            self.open.discard(node)
            for answer, end in self.tree.ends[node]:
                self.scores[answer] = here + row[end]
                self.best = max(self.best, float(self.scores[answer]) + self.tree.lifts[answer])
            for child in self.tree.children[node]:
                self.reached[child] = here + float(row[self.tree.columns[child]])
                if child not in self.computed:
                    self.open.add(child)

    def wanted(self, most: int) -> list[int]:
        """The nodes to compute next: those that could still win, and what would follow them. None: it is decided."""
        least, lift = self.best + self.tree.least, self.tree.highest
        heap = [
            (-self.reached[node] - lift[node], node, self.reached[node])
            for node in self.open
            if self.reached[node] + lift[node] >= least
        ]
        heapq.heapify(heap)
        found: list[int] = []
        while heap and len(found) < most:
            _, node, likely = heapq.heappop(heap)
            found.append(node)
            # How likely its children are is not known yet; as likely as each other is a guess that costs nothing.
            likely -= math.log(len(self.tree.children[node]) + len(self.tree.ends[node]))
            for child in self.tree.children[node]:
                if likely + lift[child] >= least:
                    heapq.heappush(heap, (-likely - lift[child], child, likely))
        return sorted(found)

    def result(self) -> Any:
        """``[L]``: log likelihoods, for labels that were not followed their part of that of their beginning."""
        for node in self.open:
            self.scores[self.tree.under[node]] = self.reached[node] - math.log(len(self.tree.under[node]))
        return self.scores


class Chooser:
    """Scores labels behind prompts.

    Args:
        network: computes; its `begin` knows `prefix`.
        prefix: token ids that prompts of the task begin with.
    """

    def __init__(self, tree: LabelTree, network: Network, prefix: Sequence[int]) -> None:
        self.tree, self.network, self.prefix = tree, network, list(prefix)

    def scores(self, prompts: Sequence[Sequence[int]]) -> list[Any]:
        """``log p(label | prompt)`` ``[L]`` of each prompt."""
        start = len(self.prefix)
        alike = [len(one) > start and list(one[:start]) == self.prefix for one in prompts]
        found: list[Any] = [None] * len(prompts)
        for with_prefix in (True, False):
            rows = [row for row, begins in enumerate(alike) if begins is with_prefix]
            for group in groups(rows, [len(one) for one in prompts]):
                of_group = self._group([prompts[row] for row in group], with_prefix and start > 0)
                for row, scores in zip(group, of_group, strict=True):
                    found[row] = scores
        return found

    def _group(self, prompts: Sequence[Sequence[int]], with_prefix: bool) -> list[Any]:
        start = len(self.prefix) if with_prefix else 0
        rests = [list(prompt[start:]) for prompt in prompts]
        rows, width = len(rests), max(map(len, rests))
        ids = np.zeros((rows, width), np.int64)
        positions = np.zeros((rows, width), np.int64)
        own = np.zeros((rows, start + width), bool)  # what the labels of a row may attend to
        own[:, :start] = True
        mask = np.zeros((rows, width, start + width), bool)
        mask[:, :, :start] = True
        mask[:, :, start:] = np.tri(width, dtype=bool)  # padding comes behind, where nothing attends to it
        for row, rest in enumerate(rests):
            ids[row, : len(rest)] = rest
            positions[row] = start + np.minimum(np.arange(width), len(rest) - 1)
            own[row, start : start + len(rest)] = True
        places = np.arange(rows) * width + np.array([len(rest) - 1 for rest in rests])
        kept = self.network.begin(with_prefix, rows)
        log_probs, kept = self.network.step(kept, ids, positions, mask, places)
        searches = [_Search(self.tree, start + len(rest)) for rest in rests]
        for search, row in zip(searches, log_probs, strict=True):
            search.told([0], -1, row[None])
        self._search(searches, kept, own)
        return [search.result() for search in searches]

    def _search(self, searches: Sequence[_Search], kept: Any, own: Any) -> None:
        """Go down the trees of all rows, until each is decided."""
        live = list(searches)
        while True:
            most = max(4, WIDTH // len(live))
            wanted = [search.wanted(most) for search in live]
            rows = [row for row, nodes in enumerate(wanted) if nodes]
            if not rows:
                return
            if len(rows) < len(live):
                kept, own = self.network.select(kept, np.array(rows)), own[rows]
                live, wanted = [live[row] for row in rows], [wanted[row] for row in rows]
            before, width = own.shape[1], max(map(len, wanted))
            ids = np.zeros((len(live), width), np.int64)
            positions = np.zeros((len(live), width), np.int64)
            mask = np.zeros((len(live), width, before + width), bool)
            mask[:, :, :before] = own[:, None]
            places: list[int] = []
            for row, (search, nodes) in enumerate(zip(live, wanted, strict=True)):
                columns = {**search.computed, **{node: before + place for place, node in enumerate(nodes)}}
                for place, node in enumerate(nodes):
                    ids[row, place] = self.tree.ids[node]
                    positions[row, place] = search.length + self.tree.depths[node]
                    mask[row, place, [columns[above] for above in self.tree.above[node]]] = True
                    places.append(row * width + place)
            log_probs, kept = self.network.step(kept, ids, positions, mask, np.array(places))
            begin = 0
            for search, nodes in zip(live, wanted, strict=True):
                search.told(nodes, before, log_probs[begin : begin + len(nodes)])
                begin += len(nodes)
            own = np.concatenate([own, np.zeros((len(live), width), bool)], axis=1)


def corrected(scores: Any, correction: dict[str, Any] | None) -> Any:
    """Scores ``[L]`` whose softmax is the probabilities that the model's report gives; None: as they are."""
    if correction is None:
        return scores
    return np.asarray(scores) / correction["temperature"] + np.array(correction["offsets"])


def groups(rows: Sequence[int], lengths: Sequence[int]) -> list[list[int]]:
    """Rows that pass together: alike in length, so that padding costs less than a pass of their own would."""
    made: list[list[int]] = []
    padded = 0
    for row in sorted(rows, key=lambda row: -lengths[row]):
        padded += lengths[made[-1][0]] - lengths[row] if made else 0
        if not made or padded > PADDED or (len(made[-1]) + 1) * lengths[made[-1][0]] > AT_ONCE:
            made.append([])
            padded = 0
        made[-1].append(row)
    return made


def common(prompts: Sequence[Sequence[int]]) -> list[int]:
    """What all begin with; at least the last token of each is its own."""
    shortest = min(map(len, prompts))
    alike = takewhile(lambda place: len({prompt[place] for prompt in prompts}) == 1, range(shortest - 1))
    return [prompts[0][place] for place in alike]
