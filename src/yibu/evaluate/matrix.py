"""The matrix of proof: every figure that was measured of the tuned model, by one name, with interval and n.

Names are those of the metrics, with the field where a task has several (``rouge1.section_text``); where only one field
has a metric, its bare name means the same; and those of `yibu.evaluate.beside` (``p99_ms``, ``retention``).
``<name>.over.<system>`` is the paired difference to another system, which may be ``champion``: the model whose gates
were passed last, on the test rows that it shares with this one. With a cross-validation a name means the pooled figure
of all folds, and ``test.<name>`` that of the test split.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from yibu.evaluate.beside import Beside, names_of
from yibu.tasks import Measure

TUNED = "tuned"
CHAMPION = "champion"
_OF_THE_MODEL = {
    "trainable_ratio": "share of all parameters",
    "trainable_parameters": "parameters",
    "total_parameters": "parameters",
    "training_tokens_per_second": "training tokens/s",
}
_OF_PROBABILITIES = {"ece": False, "brier": False, "nll": False, "average_precision": True}  # higher is better
_BASELINES = {"label": ("majority", "tfidf_svm")}
_TEXT_BASELINES = ("copy_input", "nearest_target")
Figures = dict[str, dict[str, Any]]


def matrix(
    metrics: Mapping[str, Any],
    model: Mapping[str, Any],
    folds: Mapping[str, Any] | None = None,
    beside_champion: Mapping[str, Any] | None = None,
    beside_task: Figures | None = None,
) -> Figures:
    """All figures by name.

    Args:
        metrics: ``metrics.json`` of the test split.
        model: ``summary.json`` of the trained model.
        folds: ``folds.json`` of the cross-validation.
        beside_task: what `yibu.evaluate.beside.beside` found.
        beside_champion: what `yibu.evaluate.leaderboard.leaderboard` says of ``tuned`` and ``champion``.

    Returns:
        Name -> ``value``, ``low``, ``high``, ``n``, ``unit``, ``higher_is_better`` (None: neither), ``where``
        (``test``, ``folds`` or ``model``).
    """
    on_test = {**_of_metrics(metrics["metrics"], "test"), **_of_calibration(metrics.get("calibration"))}
    figures: Figures = {}
    if folds is not None:
        figures.update(_of_metrics(folds["metrics"], "folds"))
        figures.update({f"test.{name}": figure for name, figure in on_test.items() if name in figures})
    figures.update({name: figure for name, figure in on_test.items() if name not in figures})
    if beside_champion is not None:
        found = _of_metrics(beside_champion["metrics"], "test")
        figures.update({name: figure for name, figure in found.items() if name.endswith(f".over.{CHAMPION}")})
    for name, unit in _OF_THE_MODEL.items():
        value = model.get(name.removeprefix("training_"))  # with a load there are two kinds of tokens per second
        if value is not None:
            figures[name] = _figure(value, None, None, None, unit, None, "model")
    return figures | (beside_task or {})


def known_names(
    names: Sequence[tuple[str, str | None]],
    measures: Sequence[Measure],
    with_folds: bool,
    beside: Beside | None = None,
) -> list[str]:
    """The names that `matrix` will have, before anything is measured.

    Args:
        names: (metric, field) of all metrics of the task.
        measures: of the task.
        with_folds: whether there is a cross-validation.
        beside: what is measured beside the task.
    """
    others = ["base", CHAMPION]
    if any(measure.kind == "label" for measure in measures):
        others += _BASELINES["label"]
    if any(measure.kind != "label" for measure in measures):
        others += _TEXT_BASELINES
    known: list[str] = []
    for name in _names(names):
        known += [name, *(f"{name}.over.{other}" for other in others)]
    known += _OF_PROBABILITIES
    return [*known, *(f"test.{name}" for name in known if with_folds), *_OF_THE_MODEL, *names_of(beside)]


def _names(found: Sequence[tuple[str, str | None]]) -> Iterable[str]:
    times = Counter(metric for metric, _ in found)
    for metric, field in found:
        if field is not None:
            yield f"{metric}.{field}"
        if times[metric] == 1:
            yield metric


def _of_metrics(tables: Sequence[Mapping[str, Any]], where: str) -> Figures:
    times = Counter(table["metric"] for table in tables)
    figures: Figures = {}
    for table in tables:
        value = table["values"].get(TUNED)
        if value is None:
            continue
        names = [f"{table['metric']}.{table['field']}"] if table["field"] is not None else []
        names += [table["metric"]] if times[table["metric"]] == 1 else []
        better = table["higher_is_better"]
        for name in names:
            figures[name] = _figure(
                value["value"], value["low"], value["high"], value["n"], table["unit"], better, where
            )
            for test in table["tests"]:
                figures[f"{name}.over.{test['b']}"] = _figure(
                    test["difference"], test["low"], test["high"], test["n"], table["unit"], better, where
                )
    return figures


def _of_calibration(calibration: Mapping[str, Any] | None) -> Figures:
    """Of the probabilities that the answers come with: corrected ones, where there was something to correct them on."""
    if calibration is None:
        return {}
    forms = calibration["systems"][TUNED]
    form = forms.get("corrected") or forms["raw"]
    found = {name: form.get(name) for name in _OF_PROBABILITIES}
    return {
        name: _figure(
            value["value"], value["low"], value["high"], value["n"], "probability", _OF_PROBABILITIES[name], "test"
        )
        for name, value in found.items()
        if value is not None
    }


def _figure(
    value: float | None,
    low: float | None,
    high: float | None,
    n: int | None,
    unit: str,
    higher_is_better: bool | None,
    where: str,
) -> dict[str, Any]:
    return {
        **{"value": value, "low": low, "high": high, "n": n},
        **{"unit": unit, "higher_is_better": higher_is_better, "where": where},
    }
