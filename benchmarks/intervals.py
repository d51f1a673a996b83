"""Whether intervals cover what they say, and whether the same model twice is ever called two.

Coverage: a true value is fixed, evaluations of 100 rows are drawn, and the intervals of `yibu.metrics.stats` that hold
it are counted. Every method meets several populations (symmetric and skewed, easy and hard, in groups of four rows and
not); the claim is its worst one on either side. A/A: two runs of one model differ only by chance, each drawing its
answers from the same chances of the same row, and go through the comparison and the rule by which the report calls a
metric better or worse. An evaluation is clean where no metric at all is called so.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np

from claims import record
from yibu.metrics import scores
from yibu.metrics.resample import mean
from yibu.metrics.stats import Interval, PairedTest, interval, mcnemar, permutation, wilson

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


def shares_of_two() -> list[Scenario]:
    """Tango: the difference of two systems' shares on the same rows."""

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
    "paired_difference": means_of_two,
}


def coverage(method: str, runs: int) -> list[float]:
    """Percent of the evaluations whose interval holds the true value, scenario by scenario."""
    found = []
    for name, true, draw in METHODS[method]():
        rng = np.random.default_rng(0)
        made = [draw(rng, run) for run in range(runs)]
        found.append(100 * sum(one.low <= true <= one.high for one in made) / runs)
        print(f"{method}: {name}: {found[-1]:.1f} %", flush=True)
    return found


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=4_000, help="evaluations of each scenario")
    parser.add_argument("--only", choices=METHODS, help="one method")
    parser.add_argument("--dry", action="store_true", help="record nothing")
    given = parser.parse_args()
    for method in [given.only] if given.only else METHODS:
        found = coverage(method, given.runs)
        if not given.dry:
            unit = f"% of 95 % intervals at n = {ROWS} that hold the truth, {{}} of {len(found)} populations"
            n = given.runs * len(found)
            record(f"proof.coverage_{method}.lowest", min(found), unit=unit.format("lowest"), n=n, goal=">= 93")
            record(f"proof.coverage_{method}.highest", max(found), unit=unit.format("highest"), n=n, goal="<= 97")


if __name__ == "__main__":
    main()
