"""Data sets as the data report meets them: a Chinese hospital with everything, an English bank with 171 classes, two
classes of short texts, and a data artifact in a store for the stage itself."""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from yibu.core.recipe import Settings
from yibu.core.record import SPLITS, Row, Split
from yibu.core.store import Artifact, Store, Work, stage
from yibu.inspect.report import DataFigures, Lengths, Lineage, Loss

DEPARTMENTS = ("心血管内科", "呼吸与危重症医学科", "消化内科", "神经内科", "内分泌科", "肾脏病科")
_HISTORY = "既往体健，否认药物过敏史，否认家族遗传病史，无吸烟饮酒史，近期未到过疫区。"
VERSIONS = {"python": "3.11.2", "pydantic": "2.12.0", "scikit-learn": "1.8.0"}


def _classes(sizes: Mapping[str, int]) -> dict[str, dict[str, int]]:
    table = {}
    for label, n in sizes.items():
        held = round(n / 10)
        table[label] = {"train": n - 2 * held, "valid": held, "test": held}
    return table


def _splits(classes: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    return {split: sum(row[split] for row in classes.values()) for split in SPLITS}


def _lengths(middle: float, splits: Mapping[str, int], unit: str, longest: int) -> Lengths:
    chance = random.Random(7)
    counts = {}
    for split, n in splits.items():
        drawn = Counter(max(3, min(longest, round(chance.lognormvariate(0, 0.55) * middle))) for _ in range(n))
        drawn[longest] += 1
        counts[split] = dict(drawn)
    return Lengths(unit, counts, sampled=False)  # type: ignore[arg-type]


def _labels_covered(classes: Mapping[str, Mapping[str, int]], edges: int) -> list[dict[str, Any]]:
    chance = random.Random(3)
    rows = []
    for label, row in sorted(classes.items(), key=lambda item: (-item[1]["train"], item[0])):
        cells = [0] * (edges + 1)
        for _ in range(row["train"]):
            cells[min(edges, max(0, round(chance.gauss(2.6, 1.1))))] += 1
        test = [round(n / 9) for n in cells]
        rows.append({"label": label, **row, "missing": max(0, 20 - row["train"]), "train_lengths": cells,
                     "test_lengths": test})  # fmt: skip
    return rows


def chinese() -> DataFigures:
    """4,000 notes of six departments with every kind of finding."""
    classes = _classes(dict(zip(DEPARTMENTS, (1210, 902, 644, 411, 205, 26), strict=True)))
    classes["肾脏病科"] = {"train": 9, "valid": 0, "test": 0}
    splits = _splits(classes)
    kept = sum(splits.values())
    funnel = [
        {"step": "read", "n": kept + 641, "reasons": {}},
        {"step": "rejected", "n": 61, "reasons": {"empty prompt": 40, "the id is that of an earlier row": 21}},
        {"step": "review", "n": 12, "reasons": {"review": 12}},
        {"step": "filter", "n": 45, "reasons": {"shorter than 5 characters": 31, "another language": 14}},
        {"step": "duplicate", "n": 233, "reasons": {}},
        {"step": "near_duplicate", "n": 0, "reasons": {}},
        {"step": "leak", "n": 38, "reasons": {"equal prompt": 30, "equal group": 8}},
        {"step": "contaminated", "n": 7, "reasons": {}},
        {"step": "limit", "n": 245, "reasons": {}},
        {"step": "kept", "n": kept, "reasons": {}},
    ]
    edges = [20, 50, 100, 200, 500, 1000, 2000, 5000]
    labels = _labels_covered(classes, len(edges))
    return DataFigures(
        recipe="门诊分诊",
        task="classify",
        language="zh",
        summary={
            "rows_read": kept + 641, "rejected": 61, "splits": {**splits, "train": splits["train"] + 734},
            "classes": classes, "shape": "text_label", "reject_reasons": {"empty prompt": 40},
            "funnel": funnel, "groups": 1711, "target_in_train": 0,
            "missing_labels": {"train": [], "valid": ["肾脏病科"], "test": ["肾脏病科"]},
            "balance": {"largest_deviation": 0.0061, "shares": {}}, "conflicts": 9,
            "changes": {
                "clean": {"rows": 1804, "what": {"width": 3120, "whitespace": 911, "invisible": 87, "html": 12}},
                "units": {"rows": 306, "what": {"mmol/L": 411, "mmHg": 122}},
                "terms": {"rows": 512, "what": {"高血压病": 288, "2 型糖尿病": 240, "慢性阻塞性肺疾病": 77}},
                "privacy": {"rows": 644, "what": {"name": 702, "phone": 266, "id_card": 98}},
            },
            "flags": {"repetition": 12, "truncated": 71},
            "near": {"clusters": 88, "rows": 214, "largest": 9, "threshold": 0.8, "mode": "group"},
            "contamination": {"cmb_exam.jsonl": {"items": 811, "hits": 7}, "cblue.jsonl": {"items": 90, "hits": 0}},
            "terms": {"found": {"高血压病": 288, "2 型糖尿病": 240, "慢性阻塞性肺疾病急性加重": 77, "胃食管反流病": 61},
                      "different": 4, "n": 666},
            "privacy": {
                "name": {"found": 702, "rows": 611, "mode": "surrogate"},
                "phone": {"found": 266, "rows": 244, "mode": "mask"},
                "id_card": {"found": 98, "rows": 98, "mode": "hash"},
            },
            "folds": {"k": 5, "sizes": [681, 676, 672, 679, 671], "largest_deviation": 0.0042, "groups_shared": 0},
            "augmented": {
                "homophones": {"rows": 320, "refused": 11, "reasons": {"nothing_to_change": 8, "cuts_an_entity": 3}},
                "glyphs": {"rows": 318, "refused": 2, "reasons": {"nothing_to_change": 2}},
                "rewrite": {"rows": 96, "refused": 24, "reasons": {"numbers": 13, "entities": 9, "my_own": 2}},
            },
            "robustness": {"split": "test", "noise": {"homophones": {"0.05": 336, "0.1": 336}},
                           "attack": {"greedy": {"rows": 120, "mean_changes": 1.7}}},
            "boilerplate": ["以上内容由门诊病历系统自动生成，请核对后签字。"],
            "labels": list(DEPARTMENTS), "language": "zh", "task": {"kind": "classify"},
        },
        losses=[
            Loss("rejected", "empty prompt", 40, ["门诊记录_2024年一季度.xlsx:12", "二季度.xlsx:88"]),
            Loss("rejected", "the id is that of an earlier row", 21, ["门诊记录_2024年二季度.xlsx:4"]),
            Loss("review", "review", 12, ["门诊记录_2024年一季度.xlsx:119"]),
            Loss("filter", "shorter than 5 characters", 31, ["门诊记录_2024年一季度.xlsx:7"]),
            Loss("filter", "another language", 14, ["门诊记录_2024年一季度.xlsx:501"]),
            Loss("duplicate", "", 233, ["门诊记录_2024年一季度.xlsx:31"], ["0f3a9be2c11d77aa"]),
            Loss("leak", "equal prompt", 30, ["门诊记录_2024年一季度.xlsx:90"], ["77aa0f3a9be2c11d"]),
            Loss("leak", "equal group", 8, ["门诊记录_2024年一季度.xlsx:93"], ["b0c4d2e6f8a01122"]),
            Loss("contaminated", "", 7, ["门诊记录_2024年一季度.xlsx:640"], ["cmb_exam.jsonl:53"]),
            Loss("limit", "", 245),
        ],
        lengths=_lengths(96, splits, "tokens", 1800),
        examples=[
            {"id": "0f3a9be2c11d77aa", "step": "clean", "field": "text",
             "before": "患者男，５６岁，体温３８．５℃，血压１６０／９５mmHg，\u200b头晕3天。" + _HISTORY,
             "after": "患者男，56岁，体温38.5℃，血压160/95mmHg，头晕3天。" + _HISTORY},
            {"id": "77aa0f3a9be2c11d", "step": "terms", "field": "text",
             "before": "高血压3级，糖尿病A型，反流性食管炎待查。",
             "after": "高血压病3级，2 型糖尿病，胃食管反流病待查。"},
            {"id": "b0c4d2e6f8a01122", "step": "privacy", "field": "text", "before": "",
             "after": "[姓名]，联系电话[电话]，身份证号[身份证号]已登记，胸闷两周。"},
        ],
        consistency={
            "conflicts": [{"ids": ["0f3a9be2c11d77aa", "77aa0f3a9be2c11d"], "labels": ["心血管内科", "神经内科"],
                           "n": 2, "targets": 2}],
            "spellings": [{"preferred": "阿司匹林", "code": None, "kind": "sound",
                           "forms": {"阿司匹林": 310, "阿斯匹林": 22}}],
            "label_typos": [{"label": "心血管内料", "n": 3, "like": "心血管内科", "of": 1210, "kind": "edit"}],
            "counts": {"rows": kept, "conflicts": 9, "conflict_rows": 20, "spellings": 14, "label_typos": 1},
        },
        suspects={
            "n": 3056, "folds": 5, "model": "tfidf_logistic", "found": 141, "noise_rate": 0.0461,
            "suspects": [
                {"id": hashlib.sha256(str(n).encode()).hexdigest()[:16], "split": "train", "given": DEPARTMENTS[n % 4],
                 "suggested": DEPARTMENTS[(n + 1) % 4], "score": 0.003 * n, "confidence": 0.97 - 0.01 * n}
                for n in range(26)
            ],
            "skipped": {"no_label": 0, "rare_classes": {"肾脏病科": 4}, "beyond_limit": 0},
        },
        coverage={
            "language": "zh", "edges": edges, "splits": splits, "labels": labels,
            "lengths": {"train": [9, 300, 1000, 900, 300, 80, 4, 0, 0], "test": [0, 40, 120, 110, 40, 10, 2, 1, 0]},
            "terms": {"total": 320, "mentioned": 204, "missing": 116, "num_groups": 2, "frequent": [], "groups": [
                {"group": "诊断 I00-I99", "total": 120, "missing": 66,
                 "first": [{"code": "I25.1", "preferred": "冠状动脉粥样硬化性心脏病"},
                           {"code": "I50", "preferred": "心力衰竭"}]},
                {"group": "药品", "total": 200, "missing": 50,
                 "first": [{"code": None, "preferred": "沙库巴曲缬沙坦钠片"}]},
            ]},
            "suggestions": [
                {"key": "label", "values": {"label": "肾脏病科", "missing": 11, "train": 9, "minimum": 20}},
                {"key": "length", "values": {"low": 2001, "high": 5000, "train": 0, "test": 1}},
                {"key": "terms", "values": {"group": "诊断 I00-I99", "missing": 66, "total": 120}},
            ],
        },
        review={"label_error": 141, "conflict": 20, "label_typo": 3, "rows": 160},
        lineage=_lineage("门诊分诊"),
    )  # fmt: skip


def english(num_classes: int = 171) -> DataFigures:
    """Tickets of a bank in many classes, some of which test lacks; characters, no dictionary, no privacy."""
    names = [
        f"{verb}_{noun}_{place}" if place else f"{verb}_{noun}"
        for place in range(4)
        for verb in ("cancel", "change", "dispute", "request", "verify", "report", "activate", "close")
        for noun in ("card_payment", "transfer", "exchange_rate", "top_up_limit", "statement", "account_pin")
    ]
    names = names[:num_classes]
    sizes = {name: max(4, round(1400 / (place + 2) ** 0.9)) for place, name in enumerate(names)}
    classes = _classes(sizes)
    for name in names[-9:]:
        classes[name] = {"train": 4, "valid": 0, "test": 0}
    classes[names[-12]] = {"train": 0, "valid": 1, "test": 2}
    splits = _splits(classes)
    kept = sum(splits.values())
    edges = [50, 100, 200, 500, 1000, 2000, 5000, 10000]
    return DataFigures(
        recipe="bank-tickets",
        task="classify",
        language="en",
        summary={
            "rows_read": kept + 170, "rejected": 3, "reject_reasons": {"empty label": 3}, "splits": splits,
            "dropped": {"duplicate": 160, "leak": 7, "limit": 0}, "classes": classes, "shape": "text_label",
            "missing_labels": {split: [name for name in names if not classes[name][split]] for split in SPLITS},
            "balance": {"largest_deviation": 0.0312, "shares": {}}, "conflicts": 0, "groups": 0, "target_in_train": 4,
            "near": {"clusters": 402, "rows": 1160, "largest": 31, "threshold": 0.8, "mode": "group"},
            "language": "en", "task": {"kind": "classify"}, "labels": names,
        },
        losses=[Loss("rejected", "empty label", 3, ["tickets.csv:18", "tickets.csv:2044", "tickets.csv:5120"]),
                Loss("duplicate", "", 160, ["tickets.csv:77"], ["9be2c11d77aa0f3a"]), Loss("leak", "", 7)],
        lengths=_lengths(58, splits, "characters", 430),
        suspects={"n": 6900, "folds": 5, "found": 12, "noise_rate": 0.0017, "skipped": {}, "suspects": [
            {"id": "57a75a4ec3f19f32", "split": "train", "given": names[0].upper(), "suggested": names[1].upper(),
             "score": 0.001, "confidence": 0.98}]},
        coverage={"language": "en", "edges": edges, "labels": _labels_covered(classes, len(edges)), "terms": None,
                  "lengths": {"train": [4000, 2000, 300, 20, 0, 0, 0, 0, 0], "test": [400, 200, 30, 2, 0, 0, 0, 0, 0]},
                  "suggestions": [{"key": "labels_more", "values": {"labels": 30, "minimum": 20, "missing": 344}}]},
        lineage=_lineage("bank-tickets"),
    )  # fmt: skip


def binary() -> DataFigures:
    """Two classes, clean; nothing is off."""
    classes = _classes({"negative": 5200, "positive": 4800})
    splits = _splits(classes)
    return DataFigures(
        recipe="reviews",
        task="classify",
        language="en",
        summary={
            "rows_read": 10000, "rejected": 0, "splits": splits, "classes": classes, "shape": "text_label",
            "dropped": {"duplicate": 0, "leak": 0, "limit": 0}, "missing_labels": {split: [] for split in SPLITS},
            "balance": {"largest_deviation": 0.0002, "shares": {}}, "privacy": {}, "language": "en",
            "task": {"kind": "classify"}, "labels": ["negative", "positive"], "target_in_train": 0,
        },
        lengths=_lengths(180, splits, "characters", 900),
        suspects={"n": 9000, "folds": 5, "found": 0, "noise_rate": 0.0, "suspects": [], "skipped": {}},
        lineage=_lineage("reviews"),
    )  # fmt: skip


def bare() -> DataFigures:
    """A summary of an older version and nothing beside it."""
    summary = {"rows_read": 120, "rejected": 0, "dropped": {"duplicate": 0}, "shape": "fields",
               "splits": {"train": 100, "valid": 10, "test": 10}, "language": "en"}  # fmt: skip
    return DataFigures("notes", "generate", "en", summary)


def _lineage(recipe: str) -> Lineage:
    return Lineage(
        artifacts={"prepare": "prepare-00aa11bb22cc33dd"},
        versions=VERSIONS,
        seconds={"prepare": 12.4},
        date="2026-11-24",
        platform="Linux-6.1-x86_64",
        command=f"yibu prepare recipes/{recipe}.yaml",
    )


# --- a data artifact in a store ---------------------------------------------------------------------------------------


class _Sample(Settings):
    """What the sample stage is made from."""

    num_rows: int = 240
    kind: str = "classify"


_SYMPTOMS = {
    "heart": ("chest pain on exertion", "palpitations at night", "swollen ankles"),
    "lung": ("a cough with sputum", "shortness of breath", "wheezing since spring"),
    "skin": ("an itching rash", "a mole that grew", "dry scaling hands"),
}


def sample_rows(num_rows: int = 240) -> list[tuple[Split, Row]]:
    """Notes of three classes, one in thirty with a wrong label, a mistyped label, and one input with two labels."""
    labels = list(_SYMPTOMS)
    rows: list[tuple[Split, Row]] = []
    for place in range(num_rows):
        label = labels[place % 3]
        symptom = _SYMPTOMS[label][place // 3 % 3]
        text = f"Patient {place} reports {symptom} for {place % 17 + 2} days. " + "No fever. " * (place % 5)
        given = labels[(place + 1) % 3] if place % 30 == 7 else label
        split: Split = "test" if place % 10 == 9 else "valid" if place % 10 == 8 else "train"
        flags = ("truncated",) if place % 50 == 3 else ()
        fields = {"text": text.strip(), "label": given}
        rows.append(
            (split, Row(f"row-{place:04d}", fields, given, None, source="notes.csv", line=place + 2, flags=flags))
        )
    twice = rows[0][1]
    other = {"text": twice.fields["text"], "label": "skin"}
    rows.append(("train", replace(twice, id="row-twice", fields=other, label="skin", line=9999)))
    return rows


def sample_summary(rows: list[tuple[Split, Row]]) -> dict[str, Any]:
    """``summary.json`` of these rows, with one of everything."""
    splits = Counter(split for split, _ in rows)
    classes = {label: {split: 0 for split in SPLITS} for label in _SYMPTOMS}
    for split, row in rows:
        classes[str(row.label)][split] += 1
    taken = {"rejected": 3, "duplicate": 2, "leak": 1}
    funnel = [{"step": "read", "n": len(rows) + 6, "reasons": {}}]
    funnel += [{"step": step, "n": n, "reasons": {"empty label": 3} if step == "rejected" else {}} for step, n in
               taken.items()]  # fmt: skip
    funnel.append({"step": "kept", "n": len(rows), "reasons": {}})
    return {
        "rows_read": len(rows) + 6, "rejected": 3, "reject_reasons": {"empty label": 3}, "funnel": funnel,
        "dropped": {"duplicate": 2, "leak": 1, "limit": 0}, "splits": {split: splits[split] for split in SPLITS},
        "shape": "text_label", "readers": ["csv"], "clean": {"profile": "clinical", "rows_changed": 40},
        "changes": {"clean": {"rows": 40, "what": {"width": 51}}, "privacy": {"rows": 1, "what": {"phone": 1}}},
        "privacy": {"phone": {"found": 1, "rows": 1, "mode": "mask"}}, "flags": {"truncated": 5}, "conflicts": 1,
        "labels": list(_SYMPTOMS), "classes": classes, "missing_labels": {split: [] for split in SPLITS},
        "balance": {"largest_deviation": 0.01, "shares": {}}, "groups": 0, "target_in_train": 0,
        "lengths": {"prompt_characters": {"p50": 60, "p90": 90, "p99": 99, "max": 110}}, "language": "en",
        "task": {"kind": "classify", "prompt": "{text}", "label": "{label}"},
    }  # fmt: skip


@stage(version=1, name="prepare")
def _prepare(config: _Sample, work: Work) -> None:
    """Writes what the real stage writes."""
    rows = sample_rows(config.num_rows)
    for split in SPLITS:
        lines = [replace(row, split=split).to_json() + "\n" for place, row in rows if place == split]
        work.write_text(f"{split}.jsonl", "".join(lines))
    rejected = [{"source": "notes.csv", "line": n, "reason": "empty label"} for n in (300, 301, 302)]
    repeated = {"source": "notes.csv", "reason": "duplicate"}
    dropped = [
        {"id": "row-d1", "line": 310, "other": "row-0001", **repeated},
        {"id": "row-d2", "line": 311, "other": "row-0002", **repeated},
        {"id": "row-l1", "source": "notes.csv", "line": 312, "reason": "leak", "other": "row-0009"},
    ]
    changes = [
        {"id": "row-0003", "step": "clean", "field": "text", "what": {"width": 2}},
        {"id": "row-0005", "step": "privacy", "field": "text", "what": {"phone": 1}},
    ]
    examples = [
        {
            "id": "row-0003",
            "step": "clean",
            "field": "text",
            "before": "temperature ３８．５",
            "after": "temperature 38.5",
        },
        {
            "id": "row-0005",
            "step": "clean",
            "field": "text",
            "before": "call １３８００１３８０００",
            "after": "call 13800138000",
        },
        {"id": "row-0005", "step": "privacy", "field": "text", "before": "", "after": "call [PHONE]"},
    ]
    for name, lines_ in (("rejected", rejected), ("dropped", dropped), ("changes", changes)):
        work.write_text(f"{name}.jsonl", "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines_))
    work.write_json("examples.json", examples)
    work.write_json("summary.json", sample_summary(rows))


def artifact(store: Store, num_rows: int = 240) -> Artifact:
    """A data artifact as the stage `inspect` gets it."""
    return store.run(_prepare, _Sample(num_rows=num_rows))
