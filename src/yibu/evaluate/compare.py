"""Several systems' answers to the same rows, made into the metrics, intervals and paired tests of ``metrics.json``.

Everything is scored once per row; the whole set, each subset of it and each pair of systems are sums over those scores.
The tuned system is tested against every other one. Within a metric those tests are one family, so each carries its
Holm-adjusted p beside its own.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from yibu.core.errors import DataError
from yibu.metrics import scores, stats
from yibu.metrics.resample import Additive, FloatArray, Groups, mean
from yibu.tasks import Measure

BoolArray = npt.NDArray[np.bool_]

# What a flag of a row means, as the note of its subset says it.
_FLAGS = {"target_in_train": "have a target that occurs word for word in train"}


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
    """

    system: str
    fields: Sequence[Mapping[str, str]]
    gives: Collection[str] | None = None
    stopped: Sequence[bool] | None = None
    loss: Sequence[float | None] | None = None
    num_targets: Sequence[int | None] | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """The parts of ``metrics.json`` that come from comparing; plain JSON values, NaN and infinity as None.

    Attributes:
        metrics: one table per metric and field: ``metric``, ``field`` (None for metrics of the whole answer), ``unit``,
            ``higher_is_better``, ``values`` {system: value, low, high, n, interval} and ``tests`` [a, b, test,
            difference (a - b, in the unit), low, high, interval, p, p_holm, n, favours].
        notes: one table per flag that rows carry: ``kind`` ``"subset"``, ``without`` (the flag), ``left_out``, ``n``,
            ``text`` (an English sentence) and ``metrics`` (as above, over the rows without the flag).
    """

    metrics: list[dict[str, Any]]
    notes: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class _Kind:
    metric: str
    field: str | None
    unit: str
    higher_is_better: bool = True


@dataclass(frozen=True, slots=True)
class _Figure:
    """A metric of one system. `applies` [N] marks the rows that it has a score for."""

    measure: Additive
    applies: BoolArray
    outcomes: FloatArray | None = None  # 0/1 per row, where the metric is a share of rows


@dataclass(frozen=True, slots=True)
class _Settings:
    groups: Groups
    seed: int
    num_resamples: int
    num_permutations: int


_Figures = dict[_Kind, dict[str, _Figure]]


def compare(
    truth: Sequence[Mapping[str, str]],
    systems: Sequence[Answers],
    measures: Sequence[Measure],
    *,
    language: str,
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
        measures: which field is scored how: ``label`` (accuracy, macro-F1), ``exact``, ``text`` (ROUGE), ``number``.
        language: ``"en"`` or ``"zh"``, for ROUGE.
        groups: per row, who it belongs to; rows of one group are not taken for independent.
        flags: per row, what must stay visible, e.g. ``("target_in_train",)``.
        tuned: the system that is tested against each of the others; where it is missing there are no tests.
        num_resamples: draws of a bootstrap interval.
        num_permutations: swaps of a permutation test; no p is below 1 / (num_permutations + 1).

    Raises:
        DataError: no rows, two systems of one name, not one value per row, a field that the truth lacks, an unknown
            kind of measure or language.
    """
    _check(truth, systems, measures, groups, flags)
    settings = _Settings(groups, seed, num_resamples, num_permutations)
    figures = _figures(truth, systems, measures, language)
    metrics = _tables(figures, np.ones(len(truth), dtype=bool), tuned, settings)
    notes = []
    for flag in sorted({flag for row in flags or () for flag in row}):
        keep = np.array([flag not in row for row in flags or ()])
        notes.append(_note(flag, keep, _tables(figures, keep, tuned, settings)))
    return Comparison(metrics, notes)


def point_values(
    truth: Sequence[Mapping[str, str]], systems: Sequence[Answers], measures: Sequence[Measure], language: str
) -> dict[tuple[str, str | None], dict[str, float]]:
    """(metric, field) -> system -> value, without intervals and tests: for parts of the rows, such as folds.

    Raises:
        DataError: as `compare`.
    """
    _check(truth, systems, measures, None, None)
    return {
        (kind.metric, kind.field): {
            system: figure.measure.take(figure.applies).value
            for system, figure in by_system.items()
            if figure.applies.any()
        }
        for kind, by_system in _figures(truth, systems, measures, language).items()
    }


def metric_names(measures: Sequence[Measure]) -> list[tuple[str, str | None]]:
    """(metric, field) of everything that `compare` finds for these measures, whatever the answers are."""
    names = [(kind.metric, kind.field) for measure in measures for kind in _score(measure, ["1"], ["1"], "en")]
    return [*names, ("stop_rate", None), ("target_loss", None)]


def _figures(
    truth: Sequence[Mapping[str, str]], systems: Sequence[Answers], measures: Sequence[Measure], language: str
) -> _Figures:
    """Every metric of every system that has it."""
    figures: _Figures = {}
    for measure in measures:
        right = [row[measure.field] for row in truth]
        for answers in systems:
            if answers.gives is None or measure.field in answers.gives:
                said = [row.get(measure.field, "") for row in answers.fields]
                for kind, figure in _score(measure, right, said, language).items():
                    figures.setdefault(kind, {})[answers.system] = figure
    for answers in systems:
        if answers.stopped is not None:
            stop_rate = _Kind("stop_rate", None, "share")
            figures.setdefault(stop_rate, {})[answers.system] = _share(np.asarray(answers.stopped, dtype=float))
        if answers.loss is not None:
            target_loss = _Kind("target_loss", None, "nats", higher_is_better=False)
            figures.setdefault(target_loss, {})[answers.system] = _loss(answers.loss, answers.num_targets)
    return figures


def _score(measure: Measure, right: list[str], said: list[str], language: str) -> dict[_Kind, _Figure]:
    field = measure.field
    every = np.ones(len(right), dtype=bool)
    if measure.kind == "label":
        return {
            _Kind("accuracy", field, "share"): _share(scores.exact_match(right, said)),
            _Kind("macro_f1", field, "F1"): _Figure(scores.macro_f1(right, said), every),
        }
    if measure.kind == "exact":
        return {_Kind("exact_match", field, "share"): _share(scores.exact_match(right, said))}
    if measure.kind == "text":
        by_kind = scores.rouge(right, said, language)
        return {_Kind(kind, field, "F1"): _Figure(mean(values), every) for kind, values in by_kind.items()}
    if measure.kind == "number":
        kept = scores.numbers_kept(right, said)
        return {_Kind("numbers_kept", field, "share"): _Figure(mean(kept), np.isfinite(kept))}
    raise DataError("There is no measure of that kind.", got=measure.kind, allowed=["label", "exact", "text", "number"])


def _share(outcomes: FloatArray) -> _Figure:
    return _Figure(mean(outcomes), np.ones(len(outcomes), dtype=bool), outcomes)


def _loss(loss: Sequence[float | None], num_targets: Sequence[int | None] | None) -> _Figure:
    """Nats per target token over all rows (long targets weigh more), or per row where tokens are not counted."""
    totals = np.array([math.nan if value is None else value for value in loss], dtype=float)
    tokens = np.ones(len(totals)) if num_targets is None else np.array([count or 0 for count in num_targets], float)
    applies = np.isfinite(totals) & (tokens > 0)
    return _Figure(mean(totals / np.maximum(tokens, 1), tokens), applies)


def _tables(figures: _Figures, keep: BoolArray, tuned: str, settings: _Settings) -> list[dict[str, Any]]:
    """The ``metrics`` list over the rows marked in `keep`, without metrics and systems that apply to none of them."""
    tables = []
    for kind, by_system in figures.items():
        values = {
            system: _value(kind, figure, keep & figure.applies, settings)
            for system, figure in by_system.items()
            if (keep & figure.applies).any()
        }
        if not values:
            continue
        others = [system for system in values if tuned in values and system != tuned]
        tests = [_test(kind, by_system, tuned, other, keep, settings) for other in others]
        tests = [test for test in tests if test]
        for test, adjusted in zip(tests, stats.holm([test["p"] for test in tests]), strict=True):
            test["p_holm"] = adjusted
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


def _value(kind: _Kind, figure: _Figure, keep: BoolArray, settings: _Settings) -> dict[str, Any]:
    groups = _taken(settings.groups, keep)
    if figure.outcomes is not None:
        found = stats.wilson(figure.outcomes[keep], groups)
    else:
        found = stats.interval(figure.measure.take(keep), groups, resamples=settings.num_resamples, seed=settings.seed)
    # The jackknife is symmetric and knows no bounds.
    bounded = kind.unit != "nats"
    low, high = (max(found.low, 0.0), min(found.high, 1.0)) if bounded else (found.low, found.high)
    return {
        "value": _json(found.value),
        "low": _json(low),
        "high": _json(high),
        "n": found.n,
        "interval": found.method,
    }


def _test(
    kind: _Kind, by_system: Mapping[str, _Figure], a: str, b: str, keep: BoolArray, settings: _Settings
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
) -> None:
    if not truth:
        raise DataError("There are no rows to compare systems on.", got="0 rows")
    names = [answers.system for answers in systems]
    if len(set(names)) != len(names):
        raise DataError("Two systems have the same name.", got=names)
    lacking = {measure.field for measure in measures if any(measure.field not in row for row in truth)}
    if lacking:
        raise DataError("The truth lacks a field that is to be measured.", got=lacking)
    per_row: dict[str, Sequence[Any] | None] = {"groups": groups, "flags": flags}
    for answers in systems:
        per_row |= {
            f"fields of {answers.system}": answers.fields,
            f"stopped of {answers.system}": answers.stopped,
            f"loss of {answers.system}": answers.loss,
            f"num_targets of {answers.system}": answers.num_targets,
        }
    for what, values in per_row.items():
        if values is not None and len(values) != len(truth):
            raise DataError("Each row needs one value.", got=f"{what}: {len(values)}", allowed=f"{len(truth)} rows")
