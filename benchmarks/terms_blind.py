"""Terminology cases written by somebody who had seen what is promised, and neither the code nor the other cases.

``terms_blind.jsonl``: a dictionary (variant, preferred term, code), a text, and the text that a careful user expects.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from claims import record
from yibu.core.edits import apply
from yibu.core.errors import YibuError
from yibu.metrics.stats import wilson
from yibu.terms import Dictionary, TermsSettings

CASES = Path(__file__).with_suffix(".jsonl")
console = Console()


def normalised(case: dict[str, Any], folder: Path) -> str:
    """The text as it becomes; the message where the dictionary is refused, which is a miss too."""
    path = folder / "dictionary.csv"
    with path.open("w", encoding="utf-8", newline="") as lines:
        csv.writer(lines).writerows([("variant", "preferred", "code"), *case["dictionary"]])
    try:
        dictionary = Dictionary.load(TermsSettings(dictionary=str(path)))
    except YibuError as error:
        return f"refused: {error}"
    return apply(case["text"], dictionary.edits(case["text"]))


def main(dry: bool) -> None:
    cases = [json.loads(line) for line in CASES.read_text(encoding="utf-8").splitlines()]
    exact = []
    with tempfile.TemporaryDirectory() as name:
        for number, case in enumerate(cases, start=1):
            found = normalised(case, Path(name))
            exact.append(int(found == case["expected"]))
            if not exact[-1]:
                for part in ("why", "text", "expected"):
                    console.print(Text(f"{number:>4} {part:>8}: {case[part]!r}"))
                console.print(Text(f"{number:>4}    found: {found!r}"))
    interval = wilson(exact)
    if not dry:
        record(
            "data.terms_exact_blind",
            interval.value,
            low=interval.low,
            high=interval.high,
            n=interval.n,
            unit="share of terminology cases, written without sight of the code, whose text becomes what was expected",
            goal=">= 0.99",
        )
    console.print(f"{sum(exact)} of {len(cases)} exact")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dry", action="store_true", help="do not write to results.jsonl")
    arguments = parser.parse_args()
    main(arguments.dry)
