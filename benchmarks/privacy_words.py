"""Makes ``ambiguous.txt`` and ``words_en.txt`` of the detectors of personal data, from two lists on PyPI.

A word of running English is one that the American Hunspell dictionary accepts in lower case (Max only capitalised, may
both) and that is frequent in books. The dictionary of `spylls` 0.1.7 is en_US of SCOWL (its copyright: free to use,
change and sell with the notice); the frequencies are `symspellpy` 6.10.1's (MIT), from Google Books n-grams. What is
written down are the words that pass both. The bounds were set on the development halves (``privacy.py --dev``): a name
is also a word from 20 in a million on, below that more names are lost than false ones are avoided.

    pip install --target /tmp/lists spylls==0.1.7 symspellpy==6.10.1
    PYTHONPATH=/tmp/lists python benchmarks/privacy_words.py && python benchmarks/privacy.py
"""

from __future__ import annotations

import argparse
import textwrap
from importlib import resources
from pathlib import Path

from yibu.detectors._lists import words

DATA = Path(__file__).parents[1] / "src" / "yibu" / "detectors" / "data"
SOURCE = """\
# Words that en_US of Hunspell (SCOWL, Copyright 2000-2018 Kevin Atkinson; as in spylls 0.1.7) accepts in lower case and
# that are frequent in books by symspellpy 6.10.1 (MIT). Made by benchmarks/privacy_words.py."""


def frequencies() -> dict[str, float]:
    """Word -> uses in a million words of books."""
    text = resources.files("symspellpy").joinpath("frequency_dictionary_en_82_765.txt").read_text("utf-8-sig")
    counts = {word: int(count) for word, count in (line.split() for line in text.splitlines())}
    total = sum(counts.values())
    return {word: 1e6 * count / total for word, count in counts.items()}


def in_lower_case() -> set[str]:
    """Words of the frequency list that are words in lower case, and not only as names."""
    from spylls.hunspell import Dictionary

    known = Dictionary.from_files(str(resources.files("spylls").joinpath("hunspell/data/en/en_US")))
    return {word for word in frequencies() if word.isascii() and word.isalpha() and known.lookup(word)}


def write(name: str, what: str, found: set[str]) -> None:
    body = textwrap.fill(" ".join(sorted(found)), 118, break_on_hyphens=False)
    (DATA / f"{name}.txt").write_text(f"{what}\n{SOURCE}\n{body}\n", encoding="utf-8")
    print(f"{name}: {len(found)} words")


def main(per_million: float, names_per_million: float) -> None:
    often, names = frequencies(), words("given_names") | words("surnames")
    plain = in_lower_case()
    ambiguous = {word for word in plain & names if len(word) > 2 and often[word] >= names_per_million}
    english = {word for word in plain - names if len(word) > 2 and often[word] >= per_million}
    write(
        "ambiguous",
        "# Names that running English text also uses as words: names only beside another name or in context.",
        ambiguous,
    )
    write("words_en", "# English words that are no names. After a given name they are no surname.", english)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--per-million", type=float, default=1.0)
    parser.add_argument("--names-per-million", type=float, default=20.0)
    arguments = parser.parse_args()
    main(arguments.per_million, arguments.names_per_million)
