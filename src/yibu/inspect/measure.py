"""How long rows are: in tokens where a tokenizer is at hand, else in characters.

A length in characters says little about what a model reads: 100 Chinese characters are about 60 to 150 tokens and 100
English ones about 25. So the unit is always said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from yibu.core.chance import uniform
from yibu.core.errors import BaseModelError, MissingExtra
from yibu.core.record import SPLITS, Row, Split
from yibu.inspect.report.shapes import Lengths
from yibu.tasks import Task

Rows = Callable[[], Iterator[tuple[Split, Row]]]

_BATCH = 256  # texts that are tokenized at once


def lengths(rows: Rows, task: Task, tokenizer: str | None, most: int) -> Lengths:
    """Lengths of prompt and target together, by split.

    Args:
        rows: gives a fresh iterator each time.
        task: says what prompt and target are.
        tokenizer: folder of a base, or None for characters.
        most: rows of a split that are measured; of more, about so many, drawn by their id.

    Raises:
        BaseModelError: the tokenizer cannot be read.
        MissingExtra: transformers is not installed.
    """
    sizes = Counter(split for split, _ in rows())
    size_of = _characters if tokenizer is None else _counter(_load(tokenizer))
    counts: dict[str, Counter[int]] = {split: Counter() for split in SPLITS}
    waiting: dict[str, list[str]] = {split: [] for split in SPLITS}

    def measure(split: str) -> None:
        counts[split].update(size_of(waiting[split]))
        waiting[split].clear()

    for split, row in rows():
        if sizes[split] > most and uniform(0, row.id, "lengths") * sizes[split] >= most:
            continue
        prompt, target = task.prompt_text(row), task.target(row)
        # Of raw text the prompt is the text itself.
        waiting[split].append(prompt if prompt == target else f"{prompt}\n{target}")
        if len(waiting[split]) == _BATCH:
            measure(split)
    for split in SPLITS:
        measure(split)
    sampled = any(size > most for size in sizes.values())
    return Lengths("characters" if tokenizer is None else "tokens", counts, sampled)


def _characters(texts: Sequence[str]) -> list[int]:
    return [len(text) for text in texts]


def _counter(tokenizer: Any) -> Callable[[Sequence[str]], list[int]]:
    def count(texts: Sequence[str]) -> list[int]:
        if not texts:
            return []
        encode = getattr(getattr(tokenizer, "backend_tokenizer", None), "encode_batch_fast", None)
        if encode is not None:  # without the offsets that nobody asks for here
            return [len(encoding) for encoding in encode(list(texts), add_special_tokens=False)]
        ids = tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
        return [len(row) for row in ids]

    return count


def _load(folder: str) -> Any:
    try:
        import transformers  # noqa: F401
    except ImportError:
        raise MissingExtra("transformers", extra="train", use="Counting tokens") from None
    from yibu.model.resolve import load_tokenizer

    try:
        return load_tokenizer(Path(folder))
    except (OSError, ValueError) as error:
        raise BaseModelError(
            "The tokenizer of the base cannot be read.", got=f"{folder}: {type(error).__name__}"
        ) from error
