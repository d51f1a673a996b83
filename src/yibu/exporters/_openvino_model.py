"""Chooses a label in OpenVINO: ``python classify.py < texts``, one text or JSON request a line; answers as JSON lines.

Needs openvino, numpy and the tokenizer of transformers; neither torch nor yibu. ``Classifier`` is for programs.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
HIDDEN = np.float32(-1e9)


class OpenVINO:
    """The network of `labels.Chooser`: keys and values are plain arrays that go in and out.

    Args:
        folder: with ``network.xml``.
        tokens: whose likelihoods are wanted.
        prefix: token ids that prompts of the task begin with.
        task: of ``task.json``, for the form of what is kept, precision and threads.
    """

    def __init__(self, folder: Path, tokens: Sequence[int], prefix: Sequence[int], task: dict[str, Any]) -> None:
        import openvino

        self.version = openvino.__version__
        options = {
            "INFERENCE_PRECISION_HINT": task["precision"],
            "INFERENCE_NUM_THREADS": task["threads"],
            "NUM_STREAMS": 1,
        }
        model = openvino.Core().compile_model(folder / "network.xml", "CPU", options)
        self._request, self._num_outputs = model.create_infer_request(), len(model.outputs)
        self._tokens = np.array(tokens, np.int64)
        self._nothing = [np.zeros((1, heads, 0, width), np.float32) for heads, width in task["kept"]]
        self._prefix = self._nothing
        if prefix:
            _, self._prefix = self.ask(self._nothing, list(prefix))

    def begin(self, prefix: bool, num_rows: int) -> list[Any]:
        """Keys and values before the first token: of the common beginning, or none."""
        return [np.repeat(one, num_rows, axis=0) for one in (self._prefix if prefix else self._nothing)]

    def select(self, kept: list[Any], rows: Any) -> list[Any]:
        """Those of some rows."""
        return [one[rows] for one in kept]

    def step(self, kept: list[Any], ids: Any, positions: Any, mask: Any, places: Any) -> tuple[Any, list[Any]]:
        """One pass; see `labels.Network`."""
        return self._pass(kept, ids, positions, mask, places, self._tokens)

    def ask(self, kept: list[Any], ids: Sequence[int], tokens: Any = None) -> tuple[Any, list[Any]]:
        """``log p`` of some tokens behind the ids of one row, whose keys and values are kept; and what is kept now."""
        before, width = kept[0].shape[2], len(ids)
        mask = np.concatenate([np.ones((width, before), bool), np.tri(width, dtype=bool)], axis=1)
        positions = np.arange(before, before + width)
        wanted = self._tokens if tokens is None else tokens
        found, kept = self._pass(kept, np.array([ids]), positions[None], mask[None], np.array([width - 1]), wanted)
        return found[0], kept

    def _pass(
        self, kept: list[Any], ids: Any, positions: Any, mask: Any, places: Any, tokens: Any
    ) -> tuple[Any, list[Any]]:
        seen = np.where(mask[:, None], np.float32(0), HIDDEN)
        self._request.infer([ids, positions, seen, places, tokens, *kept], share_inputs=True)
        log_probs, *new = (self._request.get_output_tensor(place).data for place in range(self._num_outputs))
        return log_probs.copy(), [np.concatenate(pair, axis=2) for pair in zip(kept, new, strict=True)]


class Classifier:
    """A tuned classifier in OpenVINO.

    Args:
        folder: that the exporter wrote.
    """

    def __init__(self, folder: Path = HERE) -> None:
        sys.path.insert(0, str(folder))  # its other programs lie beside it
        from asking import Asking
        from labels import Chooser, LabelTree, common, corrected
        from transformers import AutoTokenizer

        self.task = json.loads((folder / "task.json").read_text(encoding="utf-8"))
        self.asking = Asking(self.task, AutoTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True))
        prefix = common(self.asking.examples())
        tree = LabelTree(self.task["label_ids"], self.task["correction"])
        self.network = OpenVINO(folder, tree.tokens, prefix, self.task)
        self._chooser, self._corrected = Chooser(tree, self.network, prefix), corrected

    def answer(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """``answer`` and ``probabilities`` of each request; those that come together are computed together.

        Raises:
            ValueError: a request lacks a field.
        """
        return self.choose([self.asking.read(text)["ids"] for text in texts])

    def choose(self, prompts: Sequence[Sequence[int]]) -> list[dict[str, Any]]:
        """The same for token ids of prompts."""
        found = (self._corrected(scores, self.task["correction"]) for scores in self._chooser.scores(prompts))
        return [answer_of(self.task["labels"], scores) for scores in found]

    def write(self, prompt: Sequence[int], longest: int) -> tuple[Any, list[int]]:
        """Logits ``[V]`` behind a prompt, up to a constant, and the greedy token ids, the stop token included."""
        every = np.arange(self.task["vocabulary"])
        logits, kept = self.network.ask(self.network.begin(False, 1), prompt, every)
        first, written = logits, [int(logits.argmax())]
        while len(written) < longest and written[-1] not in self.task["stop_ids"]:
            logits, kept = self.network.ask(kept, written[-1:], every)
            written.append(int(logits.argmax()))
        return first, written


def answer_of(labels: Sequence[str], scores: Any) -> dict[str, Any]:
    """The likeliest label, and the share of each."""
    shares = np.exp(scores - scores.max())
    shares /= shares.sum()
    return {"answer": labels[int(scores.argmax())], "probabilities": dict(zip(labels, shares.tolist(), strict=True))}


def reply(classifier: Classifier, questions: Path, out: Path) -> None:
    """Answer the questions of an exporter: ``OUT.json`` and ``OUT.npz``."""
    table = json.loads(questions.read_text(encoding="utf-8"))
    rendered: list[list[int] | None] = []
    for messages in table["conversations"]:
        try:
            rendered.append(classifier.asking.ids(messages))
        except Exception:  # whatever the author of the template chose to raise
            rendered.append(None)
    found = [classifier.write(prompt, table["max_new_tokens"]) for prompt in table["prompts"]]
    chosen = classifier.choose(table["choices"])
    if any(name.partition(".")[0] == "yibu" for name in sys.modules):
        raise SystemExit("yibu was imported, so this proves nothing")
    np.savez(out.with_suffix(".npz"), np.stack([logits for logits, _ in found]))
    replies = {
        "rendered": rendered,
        "written": [written for _, written in found],
        "chosen": [one["answer"] for one in chosen],
        "engine": f"OpenVINO {classifier.network.version.partition('-')[0]}",
    }
    out.with_suffix(".json").write_text(json.dumps(replies), encoding="utf-8")


def lines(classifier: Classifier) -> Iterator[str]:
    """An answer for each line that comes in."""
    for line in sys.stdin:
        if line.strip():
            yield json.dumps(classifier.answer([line.strip()])[0], ensure_ascii=False)


if __name__ == "__main__":
    made = Classifier()
    if sys.argv[1:]:
        reply(made, Path(sys.argv[1]), Path(sys.argv[2]))
    else:
        for said in lines(made):
            print(said, flush=True)
