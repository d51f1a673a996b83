"""Show 2: 50 test items planted in train, and how many rows are lost that only look like test items.

Real notes in Chinese and English (see duplicates.py; no two alike) are divided into train and test. Into train go

- ten test items each: word for word, in full width, in Traditional characters, with other punctuation and spaces, and
  inside of a longer text (half of each in Chinese, the Traditional ones all);
- 200 hard negatives: other test items with one to three other values, half of them inside of a longer text.

The recipe is then prepared as a user would (`yibu prepare`), a second time with a train split without any of these. A
planted row is found if it is neither in ``train.jsonl`` nor in ``valid.jsonl``, which is carved from train; the test
split must have the same bytes both times.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from claims import record
from duplicates import distinct, hard_negative, is_chinese, notes
from yibu.core.store import Store, digest_file
from yibu.metrics.stats import wilson
from yibu.pipeline import load, make_data

KINDS = ("word for word", "full width", "traditional", "other punctuation", "embedded")
EACH = 10
NUM_HARD = 200
console = Console()


@dataclass(frozen=True)
class Run:
    """What came out of one preparation.

    Attributes:
        kept: ids of the rows of train and valid.
        reasons: id -> why a row was left out.
        test: SHA-256 of the test split.
    """

    kept: set[str]
    reasons: dict[str, str]
    test: str


def changed(text: str, kind: str, frame: str, chance: random.Random) -> str:
    """The text as it is planted."""
    if kind == "full width":
        return "".join(chr(ord(sign) + 0xFEE0) if "!" <= sign <= "~" else sign for sign in text)
    if kind == "traditional":
        import opencc

        return str(opencc.OpenCC("s2t").convert(text))
    if kind == "other punctuation":
        return _other_punctuation(text, chance)
    if kind == "embedded":
        return inside(text, frame)
    return text


def inside(text: str, frame: str) -> str:
    """The text in the middle of another, after a heading."""
    cut = len(frame) // 2
    while cut < len(frame) and not frame[cut].isspace() and frame[cut] not in "，。；":
        cut += 1
    return f"{frame[: cut + 1]}\nCase: {text}\n{frame[cut + 1 :]}"


def plant(folder: Path, num_train: int, seed: int) -> dict[str, str]:
    """Write clean.jsonl, planted.jsonl and test.jsonl; returns what each planted id is."""
    chance = random.Random(seed)
    own = list(notes())
    chance.shuffle(own)
    texts = distinct(own[: num_train * 3])
    chinese, english = [text for text in texts if is_chinese(text)], [text for text in texts if not is_chinese(text)]
    num_test = 400
    tests = [*chinese[: num_test // 2], *english[: num_test // 2]]
    frames = [*chinese[num_test // 2 : num_test], *english[num_test // 2 : num_test]]
    train = [*chinese[num_test : num_test + num_train // 2], *english[num_test : num_test + num_train // 2]]
    chance.shuffle(tests)
    planted: list[tuple[str, str, str]] = []
    left = list(tests)
    for kind in KINDS:
        for number in range(EACH):
            wants_chinese = kind == "traditional" or number % 2 == 0
            item = next(text for text in left if is_chinese(text) == wants_chinese)
            left.remove(item)
            planted.append((f"planted-{len(planted)}", kind, changed(item, kind, chance.choice(frames), chance)))
    num_hard = 0
    for item in left:
        negative = hard_negative(item, chance)
        if negative is None or num_hard == NUM_HARD:
            continue
        kind = "hard negative" if num_hard % 2 == 0 else "hard negative, embedded"
        text = negative if num_hard % 2 == 0 else inside(negative, chance.choice(frames))
        planted.append((f"hard-{num_hard}", kind, text))
        num_hard += 1
    rows = [(f"row-{number}", "", text) for number, text in enumerate(train)]
    mixed = [*rows, *planted]
    chance.shuffle(mixed)
    _write(folder / "clean.jsonl", [(id, text) for id, _, text in rows])
    _write(folder / "planted.jsonl", [(id, text) for id, _, text in mixed])
    _write(folder / "test.jsonl", [(f"test-{number}", text) for number, text in enumerate(tests)])
    return {id: kind for id, kind, _ in planted}


def prepare(folder: Path, train: str) -> Run:
    recipe = folder / f"{train}.yaml"
    recipe.write_text(
        json.dumps(
            {
                "name": train,
                "task": {"kind": "generate", "prompt": "{text}", "target": "{answer}"},
                "data": {
                    "source": {"train": str(folder / f"{train}.jsonl"), "test": str(folder / "test.jsonl")},
                    "id": "id",
                },
            }
        ),
        encoding="utf-8",
    )
    artifact = make_data(load(recipe), Store(folder / "store"))
    rows = [*_rows(artifact.path / "train.jsonl"), *_rows(artifact.path / "valid.jsonl")]
    kept = {row["id"].partition("-")[2] for row in rows}
    reasons = {row["id"].partition("-")[2]: row["reason"] for row in _rows(artifact.path / "dropped.jsonl")}
    return Run(kept, reasons, digest_file(artifact.path / "test.jsonl"))


def main(num_train: int, seed: int, dry: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kinds = plant(folder, num_train, seed)
        clean = prepare(folder, "clean")
        began = time.perf_counter()
        run = prepare(folder, "planted")
        seconds = time.perf_counter() - began
    table = Table("planted", "rows", "left out", "why")
    outcomes: dict[bool, list[int]] = {True: [], False: []}
    for kind in dict.fromkeys(kinds.values()):
        ids = [id for id, other in kinds.items() if other == kind]
        lost = [id for id in ids if id not in run.kept]
        outcomes[not kind.startswith("hard")] += [int(id in lost) for id in ids]
        why = Counter(run.reasons.get(id, "not said") for id in lost)
        table.add_row(kind, str(len(ids)), str(len(lost)), ", ".join(f"{reason} {n}" for reason, n in why.items()))
    others = [id for id in run.reasons if id not in kinds]
    table.add_row("rows that are nothing of these", str(len(run.kept | set(others)) - len(kinds)), str(len(others)), "")
    console.print(table)
    same = clean.test == run.test
    found, hard = outcomes[True], outcomes[False]
    console.print(f"{sum(found)} of {len(found)} found, test bytes unchanged: {same}, {seconds:.1f} s")
    if not same:
        raise SystemExit("the test split changed")
    if dry:
        return
    interval = wilson(found)
    record(
        "data.contamination_found",
        sum(found),
        n=len(found),
        low=interval.low * len(found),
        high=interval.high * len(found),
        unit=f"of {len(found)} test items planted in train in five ways, left out ({interval.method}); test bytes same",
        goal=">= 49",
    )
    interval = wilson(hard)
    record(
        "data.contamination_hard_negatives_lost",
        interval.value,
        low=interval.low,
        high=interval.high,
        n=len(hard),
        unit=f"share of train rows lost that are test items with other values, {interval.method}",
        goal="<= 0.02",
    )


def _other_punctuation(text: str, chance: random.Random) -> str:
    """Other marks between words, and other spaces; none of a number."""
    swaps = {
        "，": "、;",
        "。": "！;",
        "；": ",。",
        "：": " ",
        ", ": [" ", "; ", " - "],
        ". ": ["! ", "… ", "\n"],
        "; ": [", "],
    }
    for one, others in swaps.items():
        text = text.replace(one, chance.choice(others))
    return text.replace(" ", "  ") if chance.random() < 0.5 else f"“{text}”"


def _write(path: Path, rows: list[tuple[str, str]]) -> None:
    lines = [
        json.dumps({"id": id, "text": text, "answer": f"answer to {id}"}, ensure_ascii=False) + "\n"
        for id, text in rows
    ]
    path.write_text("".join(lines), encoding="utf-8")


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2000, help="of train, besides those that are planted")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dry", action="store_true", help="print the figures and write none of them down")
    arguments = parser.parse_args()
    main(arguments.rows, arguments.seed, arguments.dry)
