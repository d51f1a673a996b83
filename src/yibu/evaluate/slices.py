"""The tuned model on parts of the rows: by length, label, term, language and group, and how far each part lags.

A part is compared with all other rows. The two are different rows, so the limits of their difference follow from those
of each (Newcombe 1998, Statistics in Medicine 17, 873-890, method 10, for shares; Zou and Donner 2008, "MOVER", for
anything else); where a group's rows lie on both sides they are a little too wide or too narrow. Below `FEWEST` rows
nothing is said: an interval over so few would be taken for more than it is. Many parts are looked at, so one gap in
twenty leaves out zero by chance.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from yibu.core.record import Row
from yibu.evaluate.compare import Figures, value_of
from yibu.evaluate.scoring import METRICS, BoolArray
from yibu.metrics.resample import Groups
from yibu.tasks import Measure
from yibu.terms import Dictionary

FEWEST = 30
MOST = 20
"""Parts of one kind, the largest first; the others are counted."""

_HAN = re.compile(r"[\u3400-\u9fff]")
_LETTER = re.compile(r"[^\W\d_]")
Parts = dict[str, BoolArray]


def parts_of(
    rows: Sequence[Row], sources: Sequence[str], truth: Sequence[Mapping[str, str]], dictionary: Dictionary | None
) -> dict[str, Parts]:
    """Kind -> name of the part -> its rows [N]; a kind with a single part is left out.

    Args:
        sources: per row, what the answer was to be made from.
        truth: per row, what would have been right.
    """
    found = {
        "length": _by_length([len(text) for text in sources]),
        "label": _by_name([row.label for row in rows]),
        "term": {} if dictionary is None else _by_term(sources, truth, dictionary),
        "language": _by_name([language_of(text) for text in sources]),
        "group": _by_name([row.group for row in rows]),
    }
    return {kind: parts for kind, parts in found.items() if len(parts) > 1 or (kind == "term" and parts)}


def slices(
    figures: Figures,
    parts: Mapping[str, Parts],
    measures: Sequence[Measure],
    groups: Groups,
    *,
    system: str = "tuned",
    seed: int = 0,
    num_resamples: int = 2000,
) -> list[dict[str, Any]]:
    """One table a kind and measured field, for ``metrics.json``.

    Args:
        figures: of the whole split, see `yibu.evaluate.compare.figures_of`.
        parts: see `parts_of`.
        measures: the first metric of each is told.
        groups: per row, who it belongs to.

    Returns:
        ``by``, ``metric``, ``field``, ``unit``, ``higher_is_better``, ``fewest``, ``more`` (parts that are not listed)
        and ``slices``: ``name``, ``n`` (rows with a score), ``too_few``, ``value`` and ``gap`` (the part less all other
        rows, in the unit), each with ``low`` and ``high``, or None.
    """
    tables = []
    for measure in measures:
        metric = next(iter(METRICS[measure.kind]))
        kind, by_system = next(
            ((kind, found) for kind, found in figures.items() if (kind.metric, kind.field) == (metric, measure.field)),
            (None, {}),
        )
        if kind is None or system not in by_system:
            continue
        figure = by_system[system]
        for by, named in parts.items():
            ordered = sorted(named, key=lambda name: -int(named[name].sum())) if by != "length" else list(named)
            lines = []
            for name in ordered[:MOST]:
                inside, outside = named[name] & figure.applies, ~named[name] & figure.applies
                n = int(inside.sum())
                one = other = None
                if n >= FEWEST:
                    one = value_of(kind, figure, inside, groups, seed, num_resamples)
                    if int(outside.sum()) >= FEWEST:
                        other = value_of(kind, figure, outside, groups, seed, num_resamples)
                gap = None if one is None or other is None else gap_of(one, other)
                lines.append({"name": name, "n": n, "too_few": n < FEWEST, "value": one, "gap": gap})
            tables.append(
                {
                    **{"by": by, "metric": kind.metric, "field": kind.field, "unit": kind.unit},
                    **{"higher_is_better": kind.higher_is_better, "fewest": FEWEST},
                    **{"more": max(0, len(ordered) - MOST), "slices": lines},
                }
            )
    return tables


def gap_of(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """The difference of two independent figures with its limits; those are None where one of them has none."""
    difference = one["value"] - other["value"]
    if any(side[key] is None for side in (one, other) for key in ("low", "high")):
        return {"value": difference, "low": None, "high": None}
    low = difference - math.hypot(one["value"] - one["low"], other["high"] - other["value"])
    high = difference + math.hypot(one["high"] - one["value"], other["value"] - other["low"])
    return {"value": difference, "low": low, "high": high}


def language_of(text: str) -> str:
    """``zh`` where at least half of the letters are Chinese, ``mixed`` from a tenth on, else ``other``."""
    letters = len(_LETTER.findall(text))
    share = len(_HAN.findall(text)) / letters if letters else 0.0
    return "zh" if share >= 0.5 else "mixed" if share >= 0.1 else "other"


def _by_name(names: Sequence[str | None]) -> Parts:
    known = Counter(name for name in names if name is not None)
    return {name: np.array([one == name for one in names]) for name in known}


def _by_length(lengths: Sequence[int]) -> Parts:
    """Quarters of the rows by characters of the input; fewer where lengths repeat."""
    values = np.array(lengths)
    edges = sorted({int(edge) for edge in np.quantile(values, (0.25, 0.5, 0.75, 1.0), method="inverted_cdf")})
    parts, below = {}, -1
    for edge in edges:
        parts[f"{below + 1}–{edge}"] = (values > below) & (values <= edge)
        below = edge
    return parts


def _by_term(sources: Sequence[str], truth: Sequence[Mapping[str, str]], dictionary: Dictionary) -> Parts:
    """Rows whose input or right answer mentions a concept of the dictionary."""
    mentioned = []
    for text, right in zip(sources, truth, strict=True):
        matches = [match for part in (text, *right.values()) for match in dictionary.find(part)]
        mentioned.append({match.entry.preferred for match in matches})
    known = Counter(term for terms in mentioned for term in terms)
    return {term: np.array([term in terms for terms in mentioned]) for term, _ in known.most_common()}
