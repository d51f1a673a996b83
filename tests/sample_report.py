"""A small report of each kind, and a reader of pages that notices what a browser would forgive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from typing import Any

from yibu.evaluate.beside import of_energy, of_load, of_retention
from yibu.evaluate.gates import ask
from yibu.evaluate.matrix import matrix
from yibu.evaluate.report import Lineage, ReportData, TestRow
from yibu.retain.kept import mean_of

VOID = {"meta", "link", "br", "img", "input", "hr", "base", "source", "wbr"}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    parent: Element | None
    content: list[Element | str] = field(default_factory=list)

    @property
    def children(self) -> list[Element]:
        return [part for part in self.content if isinstance(part, Element)]

    @property
    def text(self) -> str:
        """All text in order, white space folded."""
        parts = (part if isinstance(part, str) else f" {part.text} " for part in self.content)
        return " ".join("".join(parts).split())

    @property
    def own_text(self) -> str:
        return " ".join("".join(part for part in self.content if isinstance(part, str)).split())

    def all(self, tag: str) -> list[Element]:
        return [found for child in self.children for found in ([child] if child.tag == tag else []) + child.all(tag)]

    def has_class(self, name: str) -> bool:
        return name in self.attributes.get("class", "").split()

    def by_class(self, name: str) -> list[Element]:
        here = [child for child in self.children if child.has_class(name)]
        return here + [found for child in self.children for found in child.by_class(name)]


class Page(HTMLParser):
    """The tree of a page; a tag that does not match the one it closes is an error."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("", {}, None)
        self._here = self.root
        self.feed(html)
        self.close()
        assert self._here is self.root, f"<{self._here.tag}> is never closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"an attribute twice in <{tag}>"
        element = Element(tag, {name: value or "" for name, value in attrs}, self._here)
        self._here.content.append(element)
        if tag not in VOID:
            self._here = element

    def handle_endtag(self, tag: str) -> None:
        assert self._here.tag == tag, f"</{tag}> closes <{self._here.tag}>"
        assert self._here.parent is not None
        self._here = self._here.parent

    def handle_data(self, data: str) -> None:
        self._here.content.append(data)

    def elements(self) -> list[Element]:
        found, todo = [], [self.root]
        while todo:
            element = todo.pop()
            found.append(element)
            todo += element.children
        return found

    @property
    def tags(self) -> list[str]:
        return sorted(element.tag for element in self.elements())


def value(share: float, n: int = 200) -> dict[str, Any]:
    return {"value": share, "low": share - 0.05, "high": share + 0.05, "n": n, "interval": "Wilson 95 %"}


def paired(b: str, difference: float, p: float, a: str = "tuned", **more: Any) -> dict[str, Any]:
    width = abs(difference) / 2 if p < 0.05 else abs(difference) + 0.1
    limits = {"low": difference - width, "high": difference + width}
    return {"a": a, "b": b, "test": "exact McNemar", "difference": difference, **limits, "p": p, "n": 200, **more}


def metric(
    values: dict[str, float],
    tests: Sequence[dict[str, Any]] = (),
    name: str = "accuracy",
    of: str | None = "topic",
    higher: bool = True,
    unit: str = "share",
) -> dict[str, Any]:
    entries = {system: value(share) for system, share in values.items()}
    return {
        "metric": name, "field": of, "unit": unit, "higher_is_better": higher, "values": entries, "tests": list(tests)
    }  # fmt: skip


def metrics(*tables: dict[str, Any], n: int = 200, **more: Any) -> dict[str, Any]:
    systems = list(dict.fromkeys(system for table in tables for system in table["values"]))
    return {"n": n, "split": "test", "systems": systems, "metrics": list(tables), "notes": [], **more}


def prediction(row: str, system: str, said: dict[str, str], correct: bool | None, **more: Any) -> dict[str, Any]:
    answer = "\n".join(said.values())
    return {"id": row, "system": system, "answer": answer, "fields": said, "stopped": True, "correct": correct, **more}


LABELS = ("heart", "lung", "skin")


def classified() -> ReportData:
    """200 rows of three classes; base is right on every third row, tuned on all but every seventh, the SVM on half."""
    rows, predictions = {}, []
    for place in range(200):
        truth = LABELS[place % 3]
        wrong = LABELS[(place + 1) % 3]
        name = f"row-{place}"
        rows[name] = TestRow(f"term number {place}", {"topic": truth})
        for system, right in (("base", place % 3 == 0), ("tuned", place % 7 != 0), ("tfidf_svm", place % 2 == 0)):
            predictions.append(prediction(name, system, {"topic": truth if right else wrong}, right))
    accuracy = metric(
        {"base": 0.335, "tuned": 0.855, "majority": 0.335, "tfidf_svm": 0.5},
        [paired("base", 0.52, 1e-9), paired("majority", 0.52, 1e-9), paired("tfidf_svm", 0.355, 0.004)],
    )
    loss = metric(
        {"base": 2.4, "tuned": 0.9}, [paired("base", -1.5, 1e-4)], "target_loss", None, higher=False, unit="nats"
    )
    history: list[dict[str, Any]] = []
    for step in range(1, 41):
        history.append({"step": step, "epoch": step // 20, "loss": 3 / step + 0.5, "lr": 1e-4})
        if step % 10 == 0:
            history.append({"step": step, "valid_loss": 3.2 / step + 0.55})
    lengths = {"p50": 40, "p90": 60, "p99": 70, "max": 80, "max_length": 80, "dropped": 0, "split": 0}
    return ReportData(
        recipe="terms",
        base="packaged:tiny",
        task="classify",
        language="en",
        metrics=metrics(accuracy, loss),
        data={
            "rows_read": 1010, "rejected": 4, "dropped": {"duplicate": 5, "leak": 1, "limit": 0},
            "reject_reasons": {"empty label": 4}, "splits": {"train": 700, "valid": 100, "test": 200},
            "shape": "text_label", "clean": {"profile": "plain", "rows_changed": 9, "characters_removed": 12},
            "classes": {name: {"train": 233, "valid": 33, "test": 66} for name in LABELS},
            "missing_labels": {"train": [], "valid": [], "test": []}, "target_in_train": 0, "groups": 0, "conflicts": 2,
            "lengths": {
                "prompt_characters": {"p50": 30, "p90": 50, "p99": 60, "max": 70},
                "target_characters": {"p50": 5, "p90": 6, "p99": 7, "max": 8},
            },
        },
        model={
            "steps": 40, "epochs": 2, "best_step": 40, "best_valid_loss": 0.63, "stopped_early": False,
            "trainable_parameters": 4_884_480, "total_parameters": 139_399_488, "trainable_ratio": 0.035,
            "seconds": 372.4, "tokens": 12000, "target_tokens": 900, "tokens_per_second": 943.2,
            "lengths": lengths | {"histogram": [20 + place % 61 for place in range(700)]},
            "device": "cpu", "dtype": "bfloat16", "threads": 2,
        },
        plan=[
            {"role": "query", "num_modules": 30, "shapes": [[576, 576]], "parameters": 300, "share": 0.01},
            {"role": "experts", "num_modules": 2, "shapes": [[8, 64, 32], [8, 32, 64]], "parameters": 100},
        ],
        history=history,
        predictions=predictions,
        rows=rows,
        lineage=Lineage(
            artifacts={"prepare": "prepare-00aa", "train": "train-11bb"}, versions={"torch": "2.13.0"},
            seconds={"prepare": 3.2, "train": 4000.0}, date="2026-11-18", platform="Linux",
            command="yibu run terms.yaml",
        ),
    )  # fmt: skip


def generated() -> ReportData:
    """120 rows with a header that is right or wrong and a text that is neither; one baseline for each."""
    rows, predictions = {}, []
    for place in range(120):
        name = f"note {place}"
        truth = {"header": ("PLAN", "EXAM")[place % 2], "text": f"No pain since day {place}."}
        rows[name] = TestRow("Doctor: pain?\nPatient: none.", truth)
        said = {"header": truth["header"] if place % 4 else "?", "text": "No pain."}
        predictions += [
            prediction(name, "base", {"header": "", "text": "I am a doctor."}, False, stopped=False),
            prediction(name, "tuned", said, False),
            prediction(name, "copy_input", {"text": "Doctor: pain?"}, None, stopped=None),
        ]
    header = metric({"base": 0.0, "tuned": 0.75}, [paired("base", 0.75, 1e-9)], of="header")
    text = metric({"base": 0.1, "tuned": 0.6, "copy_input": 0.3}, name="rouge1", of="text", unit="F1")
    text["tests"] = [paired("base", 0.5, 1e-4), paired("copy_input", 0.3, 1e-4)]
    return ReportData(
        recipe="notes", base="packaged:tiny", task="generate", language="en", metrics=metrics(header, text, n=120),
        predictions=predictions, rows=rows,
    )  # fmt: skip


def _order(value: float, reach: float, n: int, high: bool = True) -> dict[str, Any]:
    return {"value": value, "low": value - reach, "high": value + reach if high else None, "n": n}


def _rate(at: float, slower: float, saturated: bool = False) -> dict[str, Any]:
    n = 100 if saturated else 400
    found = {
        name: {
            "p50": _order(slower * median, slower * median / 10, n),
            "p90": _order(slower * median * 1.6, slower * median / 6, n),
            "p99": _order(slower * median * 2.4, slower * median / 3, n, high=n > 299),
        }
        for name, median in (("ttft", 0.021), ("per_token", 0.006), ("e2e", 0.045))
    }
    return {
        "rate": at, "n": n, "answered": n, "saturated": saturated, "ended": None, "arrived_rate": at * 1.02,
        "achieved_rate": at * (0.6 if saturated else 1), "tokens_per_second": 4 * at, "client_cpu_share": 0.04, **found,
    }  # fmt: skip


def proven(with_load: bool = True) -> ReportData:
    """The matrix whole: folds, three rates, modelled joules, two sets kept, gates passed and missed; or with holes."""
    data = classified()
    accuracy, loss = data.metrics["metrics"]
    by_fold = {"base": [0.33, 0.34, 0.33, 0.32, 0.35], "tuned": [0.84, 0.86, 0.88, 0.83, 0.86]}
    over = {"a": "tuned", "b": "base", "difference": 0.52, "low": 0.48, "high": 0.56, "p": 0.0004, "n": 5}
    pooled = accuracy | {
        "values": {name: value(sum(row) / 5, 800) for name, row in by_fold.items()},
        "tests": [paired("base", 0.52, 1e-9) | {"n": 800}], "by_fold": by_fold, "tests_over_folds": [over],
    }  # fmt: skip
    folds = {"k": 5, "seeds": 1, "n": 800, "metrics": [pooled]} if with_load else None
    latency = {"at": 4.0, "ended": None, "rates": [_rate(2.0, 1.0), _rate(4.0, 1.5), _rate(8.0, 30.0, True)]}
    energy = {"modelled": True, "covers": "modelled: 65 W, as stated, times seconds; nothing was measured"}
    costs = [
        {"rate": at, "joules_per_answer": 65 / at, "flops_per_joule": 2e8 * at, "tokens_per_joule": 0.06 * at}
        for at in (2.0, 4.0, 8.0)
    ]
    efficiency = {"energy": energy, "rates": costs}
    sets = [
        {"name": name, "kind": kind, "retained": {"value": kept, "low": kept - 0.02, "high": kept + 0.02, "n": n}}
        for name, kind, kept, n in (("wikitext2", "corpus", 0.94, 40), ("blimp_100", "pairs", 0.98, 1000))
    ]
    figures = {
        "flops_per_token": {"value": 2.69e8, "unit": "FLOPs"},
        "training_flops_per_token": {"value": 5.6e8, "unit": "FLOPs"},
        "activated_parameters": {"value": 134_515_008, "unit": "parameters"},
    }
    figures = {name: {**one, "low": None, "high": None, "n": None, "where": "model"} for name, one in figures.items()}
    told: dict[str, Any] = {"load": None, "retention": None, "cost": {}}
    if with_load:
        told |= {"load": {"latency": latency, "efficiency": efficiency}}
        told |= {"retention": {"sets": sets, "retention": mean_of(sets)}}
        figures |= of_load(latency) | of_energy(efficiency, 4.0) | of_retention(told["retention"])
    gates = {"accuracy.low": ">= 0.6", "accuracy.over.base": "> 0", "trainable_ratio": "<= 0.05"}
    gates |= {"p99_ms": "<= 100", "retention": ">= 0.95", "p99_ms.high": "<= 200"}
    found = matrix({**data.metrics, "metrics": [accuracy, loss]}, data.model, folds, None, figures)
    asked = [outcome.as_dict() for outcome in ask(gates, found)]
    part = {"by": "label", "metric": "accuracy", "field": "topic", "unit": "share", "higher_is_better": True, "more": 2}
    parts = [
        {"name": "heart", "n": 90, "too_few": False, "value": value(0.75, 90),
         "gap": {"value": -0.2, "low": -0.29, "high": -0.11}},
        {"name": "a class with a long name, as they are in the wild", "n": 12, "too_few": True, "value": None,
         "gap": None},
    ]  # fmt: skip
    noise = {"kind": "keyboard", "rate": 0.05, **{name: part[name] for name in ("metric", "field", "unit")}}
    noise |= {"higher_is_better": True, "clean": value(0.85), "changed": value(0.7)}
    noise |= {"test": {"difference": -0.15, "low": -0.2, "high": -0.1}}
    swaps = [{"swap": "sex", "n": 60, "changed": 0.05, "low": 0.017, "high": 0.137}]
    told |= {"slices": [part | {"fewest": 30, "slices": parts}], "robustness": {"noise": [noise], "swaps": swaps}}
    return replace(data, folds=folds, metrics={**data.metrics, **told, "matrix": found, "gates": asked})
