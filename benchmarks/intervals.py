"""Whether intervals cover what they say, and whether the same model twice is ever called two.

Coverage: a true value is fixed, evaluations of 100 rows are drawn, and the intervals of `yibu.metrics.stats` that hold
it are counted. Every method meets several populations (symmetric and skewed, easy and hard, in groups of four rows and
not); the claim is its worst one on either side. A/A: two runs of one model differ only by chance, each drawing its
answers from the same chances of the same row, and go through the comparison and the rule by which the report calls a
metric better or worse. An evaluation is clean where no metric at all is called so.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from claims import record
from yibu.evaluate.compare import Answers, compare
from yibu.evaluate.report import claims as report_claims
from yibu.metrics import scores
from yibu.metrics.resample import mean
from yibu.metrics.stats import Interval, PairedTest, interval, mcnemar, permutation, wilson
from yibu.tasks import Measure

Generator = np.random.Generator
Draw = Callable[[Generator, int], Interval | PairedTest]
Scenario = tuple[str, float, Draw]  # what is drawn, its true value, and an interval of one evaluation

ROWS = 100
SIZE = 4  # rows of a group
GROUPS = np.repeat(np.arange(ROWS // SIZE), SIZE)
RESAMPLES = 1_000


def shares() -> list[Scenario]:
    """Wilson: outcomes of one system."""

    def plain(share: float) -> Draw:
        return lambda rng, run: wilson(rng.random(ROWS) < share)

    def grouped(right: float, wrong: float) -> Draw:
        return lambda rng, run: wilson(rng.random(ROWS) < rng.beta(right, wrong, ROWS // SIZE)[GROUPS], GROUPS.tolist())

    return [
        *((f"share {share}", share, plain(share)) for share in (0.1, 0.3, 0.5, 0.7, 0.9)),
        *((f"share {right}:{wrong} in groups", right / (right + wrong), grouped(right, wrong))
          for right, wrong in ((2, 2), (2, 1), (6, 2))),
    ]  # fmt: skip


def means() -> list[Scenario]:
    """BCa bootstrap: scores between 0 and 1, losses, ratios of two sums."""
    kinds: list[tuple[str, float, Callable[[Generator, int], np.ndarray]]] = [
        ("normal", 0.0, lambda rng, n: rng.normal(size=n)),
        ("like ROUGE", 0.25, lambda rng, n: rng.beta(0.5, 1.5, n)),
        ("like losses", 1.0, lambda rng, n: rng.exponential(size=n)),
    ]

    def plain(kind: Callable[[Generator, int], np.ndarray]) -> Draw:
        return lambda rng, run: interval(mean(kind(rng, ROWS)), resamples=RESAMPLES, seed=run)

    def grouped(kind: Callable[[Generator, int], np.ndarray]) -> Draw:
        def draw(rng: Generator, run: int) -> Interval:
            values = 0.5 * kind(rng, ROWS // SIZE)[GROUPS] + 0.5 * kind(rng, ROWS)
            return interval(mean(values), GROUPS.tolist(), resamples=RESAMPLES, seed=run)

        return draw

    def weighted(rng: Generator, run: int) -> Interval:
        tokens = 1 + rng.poisson(rng.gamma(2, 15, ROWS))
        return interval(mean(rng.gamma(2, 0.5, ROWS), tokens), resamples=RESAMPLES, seed=run)

    return [
        *((name, true, plain(kind)) for name, true, kind in kinds),
        *((f"{name} in groups", true, grouped(kind)) for name, true, kind in kinds),
        ("loss by tokens", 1.0, weighted),
    ]


def class_scores() -> list[Scenario]:
    """Jackknife: macro-F1 of four labels, the rarest with a tenth of the rows."""
    prior = np.array([0.4, 0.3, 0.2, 0.1])
    names = np.array(list("abcd"))

    def answers_for(right: float) -> np.ndarray:
        """Chances of each answer [truth, answer]: wrong ones by the share of the label."""
        wrong = np.where(np.eye(4), 0, prior)
        return right * np.eye(4) + (1 - right) * wrong / wrong.sum(axis=1, keepdims=True)

    def true_macro_f1(right: float) -> float:
        joint = prior[:, None] * answers_for(right)
        return float((2 * np.diag(joint) / (joint.sum(axis=0) + joint.sum(axis=1))).mean())

    def draw_of(right: float, in_groups: bool) -> Draw:
        edges = answers_for(right).cumsum(axis=1)

        def draw(rng: Generator, run: int) -> Interval:
            truth = rng.choice(4, ROWS // SIZE if in_groups else ROWS, p=prior)
            luck = rng.random(ROWS)
            if in_groups:  # rows of one group have one label, and half of them the same luck
                truth = truth[GROUPS]
                luck = np.where(rng.random(ROWS) < 0.5, rng.random(ROWS // SIZE)[GROUPS], luck)
            said = (luck[:, None] > edges[truth]).sum(axis=1).clip(max=3)
            return interval(
                scores.macro_f1(names[truth].tolist(), names[said].tolist()), GROUPS.tolist() if in_groups else None
            )

        return draw

    return [
        (f"macro-F1, {right} right{' in groups' if in_groups else ''}", true_macro_f1(right), draw_of(right, in_groups))
        for right in (0.6, 0.85)
        for in_groups in (False, True)
    ]


SPARSE = "0.98 and 0.95 in groups"


def shares_of_two() -> list[Scenario]:
    """Tango: the difference of two systems' shares on the same rows."""
    return [one for one in _two_shares() if one[0] != SPARSE]


def _two_shares() -> list[Scenario]:

    def draw_of(a: float, b: float, shared: float, in_groups: bool) -> Draw:
        def draw(rng: Generator, run: int) -> PairedTest:
            item, outcomes = rng.random(ROWS), []
            for right in (a, b):  # luck with the row that both have, or luck of their own: with the group or the row
                luck = np.where(rng.random(ROWS) < shared, item, rng.random(ROWS))
                if in_groups:
                    luck = np.where(rng.random(ROWS) < 0.5, rng.random(ROWS // SIZE)[GROUPS], luck)
                outcomes.append(luck < right)
            return mcnemar(outcomes[0], outcomes[1], GROUPS.tolist() if in_groups else None)

        return draw

    return [
        (f"{a} and {b}{' in groups' if in_groups else ''}", a - b, draw_of(a, b, shared, in_groups))
        for a, b, shared in ((0.8, 0.7, 0.7), (0.6, 0.3, 0.5), (0.9, 0.9, 0.8), (0.98, 0.95, 0.5))
        for in_groups in (False, True)
    ]


def few_differ() -> list[Scenario]:
    """Tango where the systems differ on 6 rows of 100, in groups: too wide, which is known and has no goal."""
    return [one for one in _two_shares() if one[0] == SPARSE]


def means_of_two() -> list[Scenario]:
    """Permutation: the interval of the difference that goes with the test."""

    def draw_of(gain: float, in_groups: bool) -> Draw:
        def draw(rng: Generator, run: int) -> PairedTest:
            item = rng.beta(0.5, 1.5, ROWS // SIZE)[GROUPS] if in_groups else rng.beta(0.5, 1.5, ROWS)
            shift = rng.normal(gain, 0.1, ROWS // SIZE)[GROUPS] if in_groups else gain
            one, other = item + shift + rng.normal(0, 0.1, ROWS), item + rng.exponential(0.1, ROWS) - 0.1
            groups = GROUPS.tolist() if in_groups else None
            return permutation(mean(one), mean(other), groups, permutations=19, resamples=RESAMPLES, seed=run)

        return draw

    return [
        (f"gain {gain}{' in groups' if in_groups else ''}", gain, draw_of(gain, in_groups))
        for gain in (0.0, 0.1)
        for in_groups in (False, True)
    ]


METHODS: dict[str, Callable[[], list[Scenario]]] = {
    "wilson": shares,
    "bca_bootstrap": means,
    "jackknife": class_scores,
    "tango": shares_of_two,
    "tango_few_differ": few_differ,
    "paired_difference": means_of_two,
}


def wilson_limits(right: int, n: int) -> tuple[float, float]:
    """Of a share, between 0 and 1."""
    found = wilson(np.arange(n) < right)
    return found.low, found.high


def coverage(method: str, runs: int) -> list[float]:
    """Percent of the evaluations whose interval holds the true value, scenario by scenario."""
    found = []
    for name, true, draw in METHODS[method]():
        rng = np.random.default_rng(0)
        made = [draw(rng, run) for run in range(runs)]
        found.append(100 * sum(one.low <= true <= one.high for one in made) / runs)
        print(f"{method}: {name}: {found[-1]:.1f} %", flush=True)
    return found


# --- the same model twice ---------------------------------------------------------------------------------------------

LABELS = ("ALLERGY", "PLAN", "HISTORY", "MEDICATION", "LABS")
WORDS = [f"word{number}" for number in range(300)]
DRUGS = [f"drug{number}" for number in range(30)]
MEASURES = (Measure("section", "label"), Measure("note", "note"), Measure("drugs", "spans"), Measure("facts", "json"))


def twin_runs(rng: Generator, rows: int, in_groups: bool) -> tuple[list[dict[str, str]], list[Answers], list[str], Any]:
    """Truths, the answers of two runs of one model, the sources, and the groups.

    Every row (and group, where there are groups) has its own difficulty. A run gets each part of an answer right by a
    draw of its own with the chances of that row: the two differ as two seeds of one sampling model do.
    """
    codes = np.arange(rows) // SIZE if in_groups else np.arange(rows)
    ease = np.clip(rng.beta(3, 1.5, codes.max() + 1)[codes] + rng.normal(0, 0.1, rows), 0.02, 0.98)
    truth: list[dict[str, str]] = []
    sources: list[str] = []
    said: tuple[list[dict[str, str]], list[dict[str, str]]] = ([], [])
    for row in range(rows):
        case = _Case(
            words=rng.choice(WORDS, 14).tolist(),
            section=str(rng.choice(LABELS)),
            dose=int(rng.integers(1, 90)),
            side=str(rng.choice(["left", "right"])),
            drugs=rng.choice(DRUGS, 3).tolist(),
        )
        truth.append(_answer(case, rng, 1.0))
        sources.append(truth[-1]["note"])
        for run in said:
            run.append(_answer(case, rng, float(ease[row])))
    systems = [
        Answers(
            name,
            run,
            stopped=(rng.random(rows) < 0.9).tolist(),
            loss=(20 * (1 - ease) + rng.gamma(2, 1, rows)).tolist(),
            num_targets=[20] * rows,
            written=[one["note"] for one in run],
        )
        for name, run in zip(("tuned", "base"), said, strict=True)
    ]
    return truth, systems, sources, [f"group {code}" for code in codes] if in_groups else None


@dataclass(frozen=True)
class _Case:
    words: list[str]
    section: str
    dose: int
    side: str
    drugs: list[str]


def _answer(case: _Case, rng: Generator, chance: float) -> dict[str, str]:
    """The truth with each of its parts kept by this chance."""

    def keep() -> bool:
        return bool(rng.random() < chance)

    told = " ".join(word if keep() else str(rng.choice(WORDS)) for word in case.words)
    dose = case.dose if keep() else int(rng.integers(1, 90))
    side, symptom = case.side if keep() else "right", "no fever" if keep() else "fever"
    found = [
        {"type": "drug", "start": 10 * at, "end": 10 * at + (5 if keep() else 6), "text": drug if keep() else "?"}
        for at, drug in enumerate(case.drugs)
    ]
    facts = {"dose": case.dose, "unit": "mg", "side": case.side}
    return {
        "section": case.section if keep() else str(rng.choice(LABELS)),
        "note": f"{told}. Takes {dose} mg. Pain in the {side} knee. There is {symptom}.",
        "drugs": json.dumps(found) if keep() else json.dumps(found)[:-1],
        "facts": json.dumps({name: value if keep() else "?" for name, value in facts.items()}),
    }


def clean_evaluations(evaluations: int, rows: int) -> tuple[int, Counter[str], int]:
    """How many evaluations call no metric better or worse, which were called so, and how many metrics there are."""
    clean, called, num_metrics = 0, Counter[str](), 0
    rng = np.random.default_rng(0)
    for number in range(evaluations):
        truth, systems, sources, groups = twin_runs(rng, rows, in_groups=number % 2 == 1)
        found = compare(
            truth,
            systems,
            MEASURES,
            language="en",
            sources=sources,
            groups=groups,
            seed=number,
            num_resamples=1_000,
            num_permutations=1_999,
        )
        num_metrics = len(found.metrics)
        wrong = [
            f"{table['metric']}"
            for table in found.metrics
            if report_claims.compare(table, "tuned", "base").outcome in ("better", "worse")
        ]
        called.update(wrong)
        clean += not wrong
        if number % 50 == 49:
            print(f"A/A: {clean} of {number + 1} clean; called: {dict(called)}", flush=True)
    return clean, called, num_metrics


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=4_000, help="evaluations of each scenario")
    parser.add_argument("--only", choices=[*METHODS, "aa"], help="one method, or the same model twice")
    parser.add_argument("--evaluations", type=int, default=2_000, help="of the same model twice")
    parser.add_argument("--dry", action="store_true", help="record nothing")
    given = parser.parse_args()
    if given.only in (None, "aa"):
        clean, _, num_metrics = clean_evaluations(given.evaluations, ROWS)
        low, high = (100 * limit for limit in wilson_limits(clean, given.evaluations))
        print(f"A/A: {clean} of {given.evaluations} evaluations with {num_metrics} metrics are clean")
        if not given.dry:
            record(
                "proof.aa_clean_resamples",
                100 * clean / given.evaluations,
                low=low,
                high=high,
                unit=f"of 100 evaluations of one model against itself in which none of {num_metrics} metrics is called "
                f"different, {ROWS} rows each, half of them in groups",
                n=given.evaluations,
                goal=">= 95",
            )
    for method in [given.only] if given.only in METHODS else METHODS if given.only is None else ():
        found = coverage(method, given.runs)
        if given.dry:
            continue
        if method == "tango_few_differ":
            unit = f"% of 95 % intervals at n = {ROWS} that hold the truth, systems that differ on 6 rows, in groups"
            record(f"proof.coverage_{method}", found[0], unit=unit, n=given.runs)
        else:
            unit = f"% of 95 % intervals at n = {ROWS} that hold the truth, {{}} of {len(found)} populations"
            n = given.runs * len(found)
            record(f"proof.coverage_{method}.lowest", min(found), unit=unit.format("lowest"), n=n, goal=">= 93")
            record(f"proof.coverage_{method}.highest", max(found), unit=unit.format("highest"), n=n, goal="<= 97")


if __name__ == "__main__":
    main()
