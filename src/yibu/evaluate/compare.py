"""Several systems' answers to the same rows, made into the metrics, intervals and paired tests of ``metrics.json``.

Everything is scored once per row; the whole set, each subset of it and each pair of systems are sums over those scores.
The tuned system is tested against every other one. All metrics of two systems are one family, and so are all systems
of one metric: each test carries beside its own p one that is adjusted for both (Westfall and Young over metrics, Holm
over systems). Without it a model would be called different from itself in one evaluation of four.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from yibu.core.errors import DataError
from yibu.evaluate.scoring import METRICS, WHOLE, BoolArray, Context, Figure, Kind, average, score, share
from yibu.metrics import scores, stats
from yibu.metrics.resample import Additive, Groups, mean
from yibu.tasks import Measure
from yibu.terms import Dictionary

# What a flag of a row means, as the note of its subset says it.
_FLAGS = {"target_in_train": "have a target that occurs word for word in train"}


# Lowest and highest value of a metric in this unit; 0 and 1 in any other.
_BOUNDS = {"nats": (-math.inf, math.inf), "MCC": (-1.0, 1.0), "statements": (0.0, math.inf)}


@dataclass(frozen=True, slots=True)
class Answers:
    """What one system said, row by row.

    Attributes:
        system: its name, e.g. ``"tuned"``.
        fields: per row, its answer taken apart into the fields that are measured; a field that is not there counts
            as the empty answer.
        gives: the fields that the system answers at all (an SVM gives a label and no text); None: all of them.
        stopped: per row, whether it ended its answer by itself; None where nothing is generated.
        loss: per row, the summed cross entropy of the true target in nats; None, for all or for a row: not measured.
        num_targets: per row, the tokens that `loss` sums over; without them `loss` is averaged over rows.
        written: per row, the whole answer as it was generated; None where nothing is.
        judged: what a judge counted in each row, by ``unsupported`` and ``omitted``; None where it was not asked.
    """

    system: str
    fields: Sequence[Mapping[str, str]]
    gives: Collection[str] | None = None
    stopped: Sequence[bool] | None = None
    loss: Sequence[float | None] | None = None
    num_targets: Sequence[int | None] | None = None
    written: Sequence[str] | None = None
    judged: Mapping[str, Sequence[float | None]] | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """The parts of ``metrics.json`` that come from comparing; plain JSON values, NaN and infinity as None.

    Attributes:
        metrics: one table per metric and field: ``metric``, ``field`` (None for metrics of the whole answer), ``unit``,
            ``higher_is_better``, ``values`` {system: value, low, high, n, interval} and ``tests`` [a, b, test,
            difference (a - b, in the unit), low, high, interval, p, p_adjusted, n, favours].
        notes: one table per flag that rows carry: ``kind`` ``"subset"``, ``without`` (the flag), ``left_out``, ``n``,
            ``text`` (an English sentence) and ``metrics`` (as above, over the rows without the flag).
    """

    metrics: list[dict[str, Any]]
    notes: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class _Settings:
    groups: Groups
    seed: int
    num_resamples: int
    num_permutations: int


Figures = dict[Kind, dict[str, Figure]]


def compare(
    truth: Sequence[Mapping[str, str]],
    systems: Sequence[Answers],
    measures: Sequence[Measure],
    *,
    language: str,
    sources: Sequence[str] | None = None,
    dictionary: Dictionary | None = None,
    groups: Groups = None,
    flags: Sequence[Collection[str]] | None = None,
    tuned: str = "tuned",
    seed: int = 0,
    num_resamples: int = stats.RESAMPLES,
    num_permutations: int = stats.PERMUTATIONS,
) -> Comparison:
    """Score, compare, and do so again without the rows that carry each flag.

    Args:
        truth: per row, what would have been right, by field.
        systems: in the order in which they are to be shown.
        measures: which field is scored how, see `yibu.evaluate.scoring`.
        language: ``"en"`` or ``"zh"``, for tokens.
        sources: per row, what the answer was to be made from; without them nothing is said about support.
        dictionary: its concepts are looked for in truths and answers.
        groups: per row, who it belongs to; rows of one group are not taken for independent.
        flags: per row, what must stay visible, e.g. ``("target_in_train",)``.
        tuned: the system that is tested against each of the others; where it is missing there are no tests.
        num_resamples: draws of a bootstrap interval.
        num_permutations: swaps of a permutation test; no p is below 1 / (num_permutations + 1).

    Raises:
        DataError: no rows, two systems of one name, not one value per row, a field that the truth lacks, an unknown
            kind of measure or language, a truth that has not the form of its kind.
    """
    _check(truth, systems, measures, groups, flags, sources)
    settings = _Settings(groups, seed, num_resamples, num_permutations)
    figures = figures_of(truth, systems, measures, Context(language, sources, dictionary))
    metrics = _tables(figures, np.ones(len(truth), dtype=bool), tuned, settings)
    notes = []
    for flag in sorted({flag for row in flags or () for flag in row}):
        keep = np.array([flag not in row for row in flags or ()])
        notes.append(_note(flag, keep, _tables(figures, keep, tuned, settings)))
    return Comparison(metrics, notes)


def point_values(
    truth: Sequence[Mapping[str, str]],
    systems: Sequence[Answers],
    measures: Sequence[Measure],
    language: str,
    sources: Sequence[str] | None = None,
    dictionary: Dictionary | None = None,
) -> dict[tuple[str, str | None], dict[str, float]]:
    """(metric, field) -> system -> value, without intervals and tests: for parts of the rows, such as folds.

    Raises:
        DataError: as `compare`.
    """
    _check(truth, systems, measures, None, None, sources)
    context = Context(language, sources, dictionary)
    return {
        (kind.metric, kind.field): {
            system: figure.measure.take(figure.applies).value
            for system, figure in by_system.items()
            if figure.applies.any()
        }
        for kind, by_system in figures_of(truth, systems, measures, context).items()
    }


def metric_names(measures: Sequence[Measure]) -> list[tuple[str, str | None]]:
    """(metric, field) of everything that `compare` may find for these measures.

    Which of them there are depends on the rows, too: offsets of entities, a dictionary, numbers in the truth.
    """
    names: list[tuple[str, str | None]] = [
        (metric, measure.field) for measure in measures for metric in METRICS[measure.kind]
    ]
    return [*names, *((metric, None) for metric in WHOLE)]


def figures_of(
    truth: Sequence[Mapping[str, str]], systems: Sequence[Answers], measures: Sequence[Measure], context: Context
) -> Figures:
    """Every metric of every system that has it, scored row by row."""
    figures: Figures = {}
    for measure in measures:
        right = [row[measure.field] for row in truth]
        for answers in systems:
            if answers.gives is None or measure.field in answers.gives:
                said = [row.get(measure.field, "") for row in answers.fields]
                for kind, figure in score(measure, right, said, context).items():
                    figures.setdefault(kind, {})[answers.system] = figure
    for metric, (unit, higher) in WHOLE.items():
        for answers in systems:
            whole = _of_whole(metric, answers, context)
            if whole is not None:
                figures.setdefault(Kind(metric, None, unit, higher), {})[answers.system] = whole
    return figures


def _of_whole(metric: str, answers: Answers, context: Context) -> Figure | None:
    if metric == "stop_rate":
        return None if answers.stopped is None else share(np.asarray(answers.stopped, dtype=float))
    if metric == "repetition":
        return None if answers.written is None else average(scores.repetition(answers.written, context.language))
    if metric == "target_loss":
        return None if answers.loss is None else _loss(answers.loss, answers.num_targets)
    counted = None if answers.judged is None else answers.judged[metric.removeprefix("judge_")]
    return None if counted is None else average(np.array([math.nan if one is None else one for one in counted]))


def _loss(loss: Sequence[float | None], num_targets: Sequence[int | None] | None) -> Figure:
    """Nats per target token over all rows (long targets weigh more), or per row where tokens are not counted."""
    totals = np.array([math.nan if value is None else value for value in loss], dtype=float)
    tokens = np.ones(len(totals)) if num_targets is None else np.array([count or 0 for count in num_targets], float)
    applies = np.isfinite(totals) & (tokens > 0)
    return Figure(mean(totals / np.maximum(tokens, 1), tokens), applies)


def _tables(figures: Figures, keep: BoolArray, tuned: str, settings: _Settings) -> list[dict[str, Any]]:
    """The ``metrics`` list over the rows marked in `keep`, without metrics and systems that apply to none of them."""
    tables = []
    adjusted = _adjusted(figures, keep, tuned, settings)
    for kind, by_system in figures.items():
        values = {
            system: value_of(
                kind, figure, keep & figure.applies, settings.groups, settings.seed, settings.num_resamples
            )
            for system, figure in by_system.items()
            if (keep & figure.applies).any()
        }
        if not values:
            continue
        others = [system for system in values if tuned in values and system != tuned]
        tests = [_test(kind, by_system, tuned, other, keep, settings) for other in others]
        tests = [test for test in tests if test]
        over_metrics = [max(test["p"], adjusted[test["b"]][kind]) for test in tests]
        for test, p in zip(tests, stats.holm(over_metrics), strict=True):
            test["p_adjusted"] = p
        tables.append(
            {
                "metric": kind.metric,
                "field": kind.field,
                "unit": kind.unit,
                "higher_is_better": kind.higher_is_better,
                "values": values,
                "tests": tests,
            }
        )
    return tables


def _adjusted(figures: Figures, keep: BoolArray, tuned: str, settings: _Settings) -> dict[str, dict[Kind, float]]:
    """Other system -> metric -> p of the tuned one against it, adjusted for all metrics that both have."""
    groups = _taken(settings.groups, keep)
    others = dict.fromkeys(system for by_system in figures.values() for system in by_system if system != tuned)
    found: dict[str, dict[Kind, float]] = {}
    for other in others:
        pairs: dict[Kind, tuple[Additive, Additive]] = {}
        for kind, by_system in figures.items():
            if tuned in by_system and other in by_system:
                one, two = by_system[tuned], by_system[other]
                applies = one.applies & two.applies
                if (applies & keep).any():
                    pairs[kind] = (_only(one.measure, applies).take(keep), _only(two.measure, applies).take(keep))
        p_values = stats.westfall_young(
            list(pairs.values()), groups, permutations=settings.num_permutations, seed=settings.seed
        )
        found[other] = dict(zip(pairs, p_values, strict=True))
    return found


def _only(measure: Additive, applies: BoolArray) -> Additive:
    """The measure with nothing added by the items that it does not apply to."""
    return replace(measure, parts=np.where(applies[:, None], measure.parts, 0.0))


def value_of(
    kind: Kind, figure: Figure, keep: BoolArray, all_groups: Groups, seed: int, num_resamples: int
) -> dict[str, Any]:
    """A metric over the rows that are marked: ``value``, ``low``, ``high``, ``n`` and the name of the interval."""
    groups = _taken(all_groups, keep)
    if figure.outcomes is not None:
        found = stats.wilson(figure.outcomes[keep], groups)
    else:
        found = stats.interval(figure.measure.take(keep), groups, resamples=num_resamples, seed=seed)
    # The jackknife is symmetric and knows no bounds.
    lowest, highest = _BOUNDS.get(kind.unit, (0.0, 1.0))
    low, high = max(found.low, lowest), min(found.high, highest)
    return {
        "value": _json(found.value),
        "low": _json(low),
        "high": _json(high),
        "n": found.n,
        "interval": found.method,
    }


def _test(
    kind: Kind, by_system: Mapping[str, Figure], a: str, b: str, keep: BoolArray, settings: _Settings
) -> dict[str, Any]:
    """One paired test on the rows that both systems have a score for; {} where there is none."""
    one, other = by_system[a], by_system[b]
    keep = keep & one.applies & other.applies
    if not keep.any():
        return {}
    groups = _taken(settings.groups, keep)
    if one.outcomes is not None and other.outcomes is not None:
        found = stats.mcnemar(one.outcomes[keep], other.outcomes[keep], groups)
    else:
        found = stats.permutation(
            one.measure.take(keep),
            other.measure.take(keep),
            groups,
            permutations=settings.num_permutations,
            resamples=settings.num_resamples,
            seed=settings.seed,
        )
    gain = found.difference if kind.higher_is_better else -found.difference
    return {
        "a": a,
        "b": b,
        "test": found.test,
        "difference": _json(found.difference),
        "low": _json(found.low),
        "high": _json(found.high),
        "interval": found.method,
        "p": found.p,
        "n": found.n,
        "favours": None if gain == 0 else a if gain > 0 else b,
    }


def _note(flag: str, keep: BoolArray, tables: list[dict[str, Any]]) -> dict[str, Any]:
    left_out, n = int((~keep).sum()), int(keep.sum())
    parts = [
        f"{table['metric']}{' of ' + table['field'] if table['field'] else ''}: "
        + ", ".join(f"{system} {entry['value']:.3f}" for system, entry in table["values"].items())
        for table in tables
    ]
    meaning = _FLAGS.get(flag, f"are flagged {flag!r}")
    rest = f"Without them (n = {n}): {'; '.join(parts)}." if parts else "Nothing is left without them."
    return {
        "kind": "subset",
        "without": flag,
        "left_out": left_out,
        "n": n,
        "text": f"{left_out} of {left_out + n} rows {meaning}. {rest}",
        "metrics": tables,
    }


def _taken(groups: Groups, keep: BoolArray) -> Groups:
    return None if groups is None else [group for group, kept in zip(groups, keep, strict=True) if kept]


def _json(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _check(
    truth: Sequence[Mapping[str, str]],
    systems: Sequence[Answers],
    measures: Sequence[Measure],
    groups: Groups,
    flags: Sequence[Collection[str]] | None,
    sources: Sequence[str] | None,
) -> None:
    if not truth:
        raise DataError("There are no rows to compare systems on.", got="0 rows")
    names = [answers.system for answers in systems]
    if len(set(names)) != len(names):
        raise DataError("Two systems have the same name.", got=names)
    lacking = {measure.field for measure in measures if any(measure.field not in row for row in truth)}
    if lacking:
        raise DataError("The truth lacks a field that is to be measured.", got=lacking)
    per_row: dict[str, Sequence[Any] | None] = {"groups": groups, "flags": flags, "sources": sources}
    for answers in systems:
        per_row |= {
            f"fields of {answers.system}": answers.fields,
            f"stopped of {answers.system}": answers.stopped,
            f"loss of {answers.system}": answers.loss,
            f"num_targets of {answers.system}": answers.num_targets,
            f"written of {answers.system}": answers.written,
        }
    for what, values in per_row.items():
        if values is not None and len(values) != len(truth):
            raise DataError("Each row needs one value.", got=f"{what}: {len(values)}", allowed=f"{len(truth)} rows")
