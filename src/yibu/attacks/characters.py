"""Our own search for the fewest changed characters that flip a classifier; made for Chinese, right for any script.

Chinese classifiers fall to a change of fewer than two characters on average (Su et al. 2020, arXiv:2004.03742), and the
attacks for English work on words between spaces, so this one works on places and on given changes (homophones,
look-alikes, keyboard slips):

1. rank the places by what the class loses when the place is deleted (as in TextFooler, Jin et al. 2020);
2. try every change at the best places alone; one that flips is the shortest there is;
3. else keep the change that costs the class most and go on from there, place by place in the order of 2;
4. then take back every change without which it still flips, so that none is left that does nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any, Literal

from pydantic import Field

from yibu.attacks import Attacked, Classify, Options
from yibu.core.edits import Edit, apply
from yibu.core.errors import InputError
from yibu.core.recipe import Settings as BaseSettings


class Settings(BaseSettings):
    """Table ``{kind: characters, ...}``."""

    kind: Literal["characters"] = "characters"
    noise: tuple[Literal["homophones", "glyphs", "keyboard", "ocr"], ...] = Field(
        default=("homophones", "glyphs", "keyboard"), min_length=1, description="augmenters whose changes may be made"
    )
    dictionary: str | list[str] | None = Field(
        default=None, description="terms that are never touched: icd10cm, or files as in data.terms.dictionary"
    )
    most: int = Field(default=5, ge=1, description="changes of one text at most")
    share: float = Field(default=0.2, gt=0, le=1, description="changes at most, as a share of the characters (one may)")
    places: int = Field(default=40, ge=1, description="places of a text that are tried, the most important ones")
    queries: int = Field(default=3000, ge=10, description="texts the classifier is asked about for one text at most")


def attack(
    texts: Sequence[str],
    labels: Sequence[int],
    classify: Classify,
    settings: Settings,
    seed: int,
    options: Options | None = None,
) -> list[Attacked]:
    """See `yibu.attacks`. The search draws nothing, so the seed has no effect.

    Raises:
        InputError: no changes were given to search among.
    """
    if options is None:
        raise InputError("The attack `characters` needs the changes that it may make.", do="pass options")
    return [
        _Search(text, label, classify, settings).run(options(text)) for text, label in zip(texts, labels, strict=True)
    ]


class _Search:
    """The search for one text."""

    def __init__(self, text: str, label: int, classify: Classify, settings: Settings) -> None:
        self.text = text
        self.label = label
        self.settings = settings
        self.num_queries = 0
        self._classify = classify
        self._most = max(1, min(settings.most, int(settings.share * len(text))))

    def run(self, options: Sequence[Edit]) -> Attacked:
        if self._flips([self.text])[0]:
            return self._result((), "wrong")
        places = [list(group) for _, group in groupby(sorted(options, key=_start), key=_start)]
        found = self._find(places) if places else None
        if found is None:
            return self._result((), "held")
        return self._result(self._prune(found), "flipped")

    def _find(self, places: list[list[Edit]]) -> list[Edit] | None:
        """Changes that flip, or None."""
        deleted = [apply(self.text, [Edit(place[0].start, place[0].end, "")]) for place in places]
        belief = self._belief(deleted)
        best = sorted(range(len(places)), key=lambda i: (belief[i], i))[: self.settings.places]
        singles = [edit for i in best for edit in places[i]]
        singles = singles[: max(1, self.settings.queries - self.num_queries)]
        belief, flips = self._ask([apply(self.text, [edit]) for edit in singles])
        order = sorted(range(len(singles)), key=lambda i: (not flips[i], belief[i], i))
        if flips[order[0]]:
            return [singles[order[0]]]
        strongest: dict[int, list[Edit]] = {}
        for i in order:
            strongest.setdefault(singles[i].start, []).append(singles[i])
        return self._pile_up(list(strongest.values()), singles[order[0]], belief[order[0]])

    def _pile_up(self, places: list[list[Edit]], first: Edit, belief: float) -> list[Edit] | None:
        """Add changes, the strongest place first, as long as each costs the class something."""
        chosen = [first]
        for place in places[1:]:
            if len(chosen) >= self._most or self.num_queries >= self.settings.queries:
                return None
            fitting = [edit for edit in place if all(_apart(edit, other) for other in chosen)]
            if not fitting:
                continue
            beliefs, flips = self._ask([apply(self.text, sorted([*chosen, edit])) for edit in fitting])
            k = min(range(len(fitting)), key=lambda i: (not flips[i], beliefs[i], i))
            if beliefs[k] < belief or flips[k]:
                chosen.append(fitting[k])
                belief = beliefs[k]
            if flips[k]:
                return chosen
        return None

    def _prune(self, chosen: list[Edit]) -> tuple[Edit, ...]:
        """Take back what is not needed, the latest (the weakest) first."""
        for edit in reversed(chosen[:]):
            fewer = [other for other in chosen if other != edit]
            if fewer and self._flips([apply(self.text, sorted(fewer))])[0]:
                chosen = fewer
        return tuple(sorted(chosen))

    def _ask(self, texts: list[str]) -> tuple[list[float], list[bool]]:
        """How far the classifier believes in the right class, and whether it says another one."""
        self.num_queries += len(texts)
        probabilities: Any = self._classify(texts)
        right = [float(row[self.label]) for row in probabilities]
        flips = [int(row.argmax()) != self.label for row in probabilities]
        return right, flips

    def _belief(self, texts: list[str]) -> list[float]:
        return self._ask(texts)[0]

    def _flips(self, texts: list[str]) -> list[bool]:
        return self._ask(texts)[1]

    def _result(self, edits: tuple[Edit, ...], status: Literal["flipped", "held", "wrong"]) -> Attacked:
        return Attacked(apply(self.text, edits), len(edits), status, edits, self.num_queries)


def _start(edit: Edit) -> int:
    return edit.start


def _apart(one: Edit, other: Edit) -> bool:
    return one.end <= other.start or other.end <= one.start
