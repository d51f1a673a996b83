"""Dictionaries in every format and encoding that operators have, and what is said of those that are wrong."""

import json
from pathlib import Path

import pytest

from yibu.core.errors import DataError, RecipeError, YibuError
from yibu.terms.tables import HEADERS, ROLES, read

SEPARATORS = "|;；、"


def rows(path: Path, text: str, encoding: str = "utf-8") -> list[tuple[tuple[str, ...], str, str | None]]:
    path.write_bytes(text.encode(encoding))
    return [(row.variants, row.preferred, row.code) for row in read(str(path), {}, SEPARATORS)]


EXPECTED = [(("心梗", "急性心梗"), "急性心肌梗死", "I21.9"), ((), "高血压病", None)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
@pytest.mark.parametrize(
    "text",
    [
        "同义词,标准词,编码\n心梗|急性心梗,急性心肌梗死,I21.9\n,高血压病,\n",
        "variants;preferred_term;ICD-10 Code\n心梗|急性心梗;急性心肌梗死;I21.9\n;高血压病;\n",
        "Synonym\tPreferred Term\tcode\r\n心梗、急性心梗\t急性心肌梗死\tI21.9\r\n\r\n\t高血压病\t\r\n",
        '编码,标准词,别名,缩写\n"I21.9","急性心肌梗死","心梗","急性心梗"\n,高血压病,,\n',
    ],
)
def test_tables(tmp_path: Path, text: str, encoding: str) -> None:
    assert rows(tmp_path / "terms.csv", text, encoding) == EXPECTED


@pytest.mark.parametrize(
    "value",
    [
        [
            {"variants": ["心梗", "急性心梗"], "preferred": "急性心肌梗死", "code": "I21.9"},
            {"preferred": "高血压病", "code": None},
        ],
        {"急性心肌梗死": {"variants": "心梗|急性心梗", "编码": "I21.9"}, "高血压病": []},
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_json(tmp_path: Path, value: object, indent: int | None) -> None:
    assert rows(tmp_path / "terms.json", json.dumps(value, ensure_ascii=False, indent=indent)) == EXPECTED


def test_json_of_pairs_and_json_lines(tmp_path: Path) -> None:
    assert rows(tmp_path / "terms.json", '{"HTN": "hypertension"}') == [(("HTN",), "hypertension", None)]
    lines = (
        '{"variant": "HTN", "preferred": "hypertension"}\n\n{"variant": "DM", "preferred": "diabetes", "code": 11}\n'
    )
    assert rows(tmp_path / "terms.jsonl", lines) == [(("HTN",), "hypertension", None), (("DM",), "diabetes", "11")]


def test_the_national_tables_as_they_are(tmp_path: Path) -> None:
    """国家临床版 ICD-10 and GB/T 14396: codes and names, and other columns."""
    clinical = "主要编码,附加编码,疾病名称\nA01.000x001,,伤寒杆菌性败血症\nA17.000†,G01*,结核性脑膜炎\n"
    assert rows(tmp_path / "a.csv", clinical, "gb18030") == [
        ((), "伤寒杆菌性败血症", "A01.000x001"),
        ((), "结核性脑膜炎", "A17.000†"),
    ]
    assert rows(tmp_path / "b.csv", "疾病分类代码,疾病分类名称\nA00,霍乱\n") == [((), "霍乱", "A00")]


def test_a_column_called_term_is_a_variant_beside_preferred(tmp_path: Path) -> None:
    assert rows(tmp_path / "a.csv", "term,preferred\nHTN,hypertension\n") == [(("HTN",), "hypertension", None)]
    assert rows(tmp_path / "b.csv", "term,code\nhypertension,I10\n") == [((), "hypertension", "I10")]


def test_columns_can_be_named(tmp_path: Path) -> None:
    path = tmp_path / "export.csv"
    path.write_text("DNAME,名称,DCODE\n心梗,急性心肌梗死,I21\n", encoding="utf-8")
    found = read(str(path), {"variants": "DNAME", "preferred": "名称", "code": "DCODE"}, SEPARATORS)
    assert [(row.variants, row.preferred, row.code, row.line) for row in found] == [
        (("心梗",), "急性心肌梗死", "I21", 2)
    ]
    with pytest.raises(RecipeError, match="DKODE"):
        read(str(path), {"preferred": "名称", "code": "DKODE"}, SEPARATORS)


def test_lines_are_those_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "terms.csv"
    path.write_text('同义词,标准词\n\n"甲\n乙",丙\n丁,戊\n', encoding="utf-8")
    assert [(row.line, row.variants) for row in read(str(path), {}, SEPARATORS)] == [(3, ("甲", "乙")), (5, ("丁",))]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.csv", "同义词,标准词\n心梗,急性心肌梗死\nMI,\n心衰,  \n", ["line 3", "line 4", "empty", "MI"]),
        ("b.csv", "心梗,急性心肌梗死,I21\n", ["no column of preferred terms", "标准词", "心梗"]),
        ("c.csv", "同义词,编码\n心梗,I21\n", ["no column of preferred terms"]),
        ("d.csv", "同义词,标准词\n心梗\n", ["line 2", "1 cells", "2"]),
        ("e.csv", "同义词,标准词\n心梗,急性,心肌梗死\n", ["line 2", "3 cells"]),
        ("f.csv", "同义词,标准词,标准词\n", ["same name", "标准词"]),
        ("g.csv", "preferred,canonical,code\na,b,c\n", ["Two columns", "preferred, canonical", "data.terms.columns"]),
        ("h.csv", '同义词,标准词\n"心梗"x,y\n', ["quoting", "line 2"]),
        ("i.csv", "", ["no row"]),
        ("j.csv", "同义词,标准词\n\n,\n", ["no row"]),
        ("k.json", "[]", ["no row"]),
        ("l.json", '[{"preferred": "a"},\n {"preferred": "b"},\n oops]', ["not valid JSON", "line 3"]),
        ("m.json", '[{"preferred": "a"}\n {"preferred": "b"}]', ["not valid JSON", "line 2"]),
        ("n.json", '[{"preferred": "a"},\n"b"]', ["line 2", "an object, not str"]),
        ("o.json", '[{"preferred": "a", "variants": ["b", ""]}]', ["line 1", "not empty"]),
        ("p.json", '[{"preferred": ["a"]}]', ["line 1", "must be text, not list"]),
        ("q.json", '"a"', ["not valid JSON"]),
        ("r.jsonl", '{"preferred": "a"}\n{"preferred": }\n', ["not valid JSON", "line 2"]),
        ("s.json", '{"a": 3}', ["line 1", "an object, not int"]),
    ],
)
def test_bad_tables_name_the_line(tmp_path: Path, name: str, text: str, expected: list[str]) -> None:
    with pytest.raises(DataError) as caught:
        rows(tmp_path / name, text)
    message = str(caught.value)
    assert name in message
    assert caught.value.exit_code == 2
    assert [part for part in expected if part not in message] == []


@pytest.mark.parametrize("name", ["missing.csv", "folder.csv", "table.xlsx", "table"])
def test_what_cannot_be_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "table.xlsx").write_bytes(b"PK")
    with pytest.raises(RecipeError) as caught:
        read(str(tmp_path / name), {}, SEPARATORS)
    assert name in str(caught.value)
    assert caught.value.do


@pytest.mark.parametrize("data", [b"preferred\nok\n\xff\xff\n", b"preferred\n\x00\x01\x02\n"])
def test_no_text(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "terms.csv"
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"line [23]") as caught:
        read(str(path), {}, SEPARATORS)
    assert "UTF-8" in str(caught.value)


def test_every_error_is_one_of_ours(tmp_path: Path) -> None:
    for number, text in enumerate(["{", "[", "[1", '{"a"', "﻿", "\n\n", '"', ",,,", "标准词\n" + '"' * 5]):
        for suffix in (".csv", ".tsv", ".json", ".jsonl"):
            with pytest.raises(YibuError):
                rows(tmp_path / f"{number}{suffix}", text)


def test_no_header_has_two_roles() -> None:
    names = [name for role in ROLES for name in HEADERS[role]]
    assert len(names) == len(set(names))
