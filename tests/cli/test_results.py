from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from yibu.cli.results import results_view

SHARES = {"base": 0.22, "tuned": 0.68, "majority": 0.1, "tfidf_svm": 0.66}
LOSSES = {"base": 2.2, "tuned": 0.98}


def metric(name: str, field: str | None, unit: str, values: dict[str, float], p: dict[str, float]) -> dict[str, Any]:
    return {
        "metric": name,
        "field": field,
        "unit": unit,
        "higher_is_better": name != "target_loss",
        "values": {
            system: {"value": value, "low": value - 0.04, "high": value + 0.04, "n": 400, "interval": "Wilson 95 %"}
            for system, value in values.items()
        },
        "tests": [
            {
                "a": "tuned",
                "b": system,
                "test": "exact McNemar",
                "difference": values["tuned"] - values[system],
                "low": values["tuned"] - values[system] - 0.01,
                "high": values["tuned"] - values[system] + 0.01,
                "p": chance,
            }
            for system, chance in p.items()
        ],
    }


METRICS: dict[str, Any] = {
    "n": 400,
    "split": "test",
    "task": "classify",
    "language": "en",
    "systems": list(SHARES),
    "metrics": [
        metric("accuracy", "chapter", "share", SHARES, {"base": 1e-9, "majority": 1e-9, "tfidf_svm": 0.4}),
        metric("target_loss", None, "nats", LOSSES, {"base": 1e-4}),
    ],
    "notes": ["30 of 200 test targets occur word for word in train."],
}


def shown(width: int = 80, lang: str = "en") -> str:
    out = io.StringIO()
    Console(file=out, width=width).print(results_view(METRICS, "quickstart", "packaged:smollm2-135m", lang))
    return out.getvalue()


def test_it_says_every_value_interval_and_p() -> None:
    text = shown(width=120)
    for told in ("22.0%", "[18.0, 26.0]", "68.0%", "p < 0.001", "p = 0.400", "n = 400", "TF-IDF + SVM", "0.980"):
        assert told in text
    assert "word for word" in text
    assert "no proof that it beats TF-IDF + SVM" in " ".join(text.split())


def test_metrics_with_other_baselines_stand_in_tables_of_their_own() -> None:
    lines = shown(width=120).splitlines()
    heads = [line.split() for line in lines if line.split()[:1] == ["Base"]]
    assert len(heads) == 2
    assert heads[1] == ["Base", "Tuned"]


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_it_fits_on_a_screen_of_eighty_columns(lang: str) -> None:
    text = shown(80, lang)
    assert "…" not in text
    assert "[64.0, 72.0]" in text
    assert "[0.940, 1.020]" in text


def test_it_speaks_chinese() -> None:
    assert "微调" in shown(lang="zh")
