"""Take the figures of a recipe's report from the store and write them down as claims.

The run itself is ``yibu run recipes/<name>.yaml``; this reads its ``metrics.json`` (untouched test split, intervals and
paired tests as there) and the seconds of its artifacts, so that no figure is typed by hand.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from claims import record
from yibu.core.store import Store

# Metric -> the field it must beat the baselines on; what else is measured is written down without a goal.
SYSTEMS = {"base": "the base", "majority": "the majority class", "tfidf_svm": "TF-IDF + SVM", "copy_input": "copying"}


def main(recipe: str, minutes: float | None) -> None:
    store = Store()
    report = store.get(f"{recipe}/report")
    metrics: dict[str, Any] = report.read_json("metrics.json")
    prefix = f"spine.{recipe}"
    for metric in metrics["metrics"]:
        name = metric["metric"] if metric["field"] is None else f"{metric['metric']}.{metric['field']}"
        for system, value in metric["values"].items():
            record(
                f"{prefix}.{name}.{system}",
                value["value"],
                low=value["low"],
                high=value["high"],
                n=value["n"],
                unit=f"{metric['unit']}, {value['interval']}",
            )
        if metric["metric"] not in ("accuracy", "rouge1"):
            continue
        for test in metric["tests"]:
            if test["b"] in SYSTEMS:
                record(
                    f"{prefix}.{name}.p_tuned_over_{test['b']}",
                    test["p"] if (test["difference"] > 0) == metric["higher_is_better"] else 1.0,
                    n=test["n"],
                    unit=f"p that tuned beats {SYSTEMS[test['b']]} ({test['test']}; 1 where it does not)",
                    goal="< 0.05",
                )
    made = [report, *(store.get(name) for name in report.manifest.inputs.values())]
    base = store.find(Path(store.get(f"{recipe}/model").manifest.config["base"]["path"]).name)
    seconds = sum(artifact.manifest.seconds for artifact in [*made, *([base] if base else [])])
    record(
        f"{prefix}.minutes",
        round(seconds / 60, 2),
        n=1,
        unit="minutes of all stages, from rows and a packed base to the report",
        goal=None if minutes is None else f"<= {minutes:g}",
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", help="name of a recipe that was run in this store")
    parser.add_argument("--minutes", type=float, help="goal for the time of the whole run")
    arguments = parser.parse_args()
    main(arguments.recipe, arguments.minutes)
