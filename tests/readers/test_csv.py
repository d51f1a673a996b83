"""Tables: RFC 4180 strictly, so that a stray quote is seen and costs its own line."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from yibu.core.errors import DataError
from yibu.readers import Bad, Raw, _text
from yibu.readers import csv as plug
from yibu.readers.csv import read


def _write(folder: Path, content: str | bytes, name: str = "rows.csv") -> str:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def _good(address: str) -> list[dict[str, str]]:
    return [item.record for item in read(address) if isinstance(item, Raw)]


# A lone carriage return ends a row for the csv module's writer but not for RFC 4180.
CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"))
TABLES = st.lists(st.tuples(CELLS, CELLS, CELLS).filter(lambda row: any(cell.strip() for cell in row)), max_size=8)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=TABLES,
    name=st.sampled_from(["rows.csv", "rows.tsv"]),
    ending=st.sampled_from(["\n", "\r\n"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_what_is_written_is_read(
    tmp_path: Path, rows: list[tuple[str, str, str]], name: str, ending: str, encoding: str
) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter="\t" if name.endswith("tsv") else ",", lineterminator=ending)
    writer.writerow(["a", "b", "c"])
    starts = []
    for row in rows:
        starts.append(text.getvalue().count("\n") + 1)
        writer.writerow(row)
    address = _write(tmp_path, text.getvalue().encode(encoding), name)
    expected = [Raw(address, line, dict(zip("abc", row, strict=True))) for line, row in zip(starts, rows, strict=True)]
    assert list(read(address)) == expected


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
def test_chinese_in_each_encoding(tmp_path: Path, encoding: str) -> None:
    text = '主诉,诊断\n"头痛，发热\n三天",上呼吸道感染\n'
    assert _good(_write(tmp_path, text.encode(encoding))) == [{"主诉": "头痛，发热\n三天", "诊断": "上呼吸道感染"}]


@pytest.mark.parametrize(("mark", "name"), [(",", "a.csv"), (";", "a.csv"), ("\t", "a.csv"), ("\t", "a.tsv")])
def test_separators(tmp_path: Path, mark: str, name: str) -> None:
    assert _good(_write(tmp_path, f"text{mark}label\nx{mark}y\n", name)) == [{"text": "x", "label": "y"}]


def test_a_semicolon_in_a_comma_table_is_text(tmp_path: Path) -> None:
    assert _good(_write(tmp_path, "text,label;x\na;b,c\n")) == [{"text": "a;b", "label;x": "c"}]


def test_bad_rows_have_the_line_on_which_they_begin(tmp_path: Path) -> None:
    rows = [
        "text,label",  # 1
        '"two',  # 2
        'lines",a',  # 3
        "one",  # 4
        "x,y,z",  # 5
        "",  # 6
        ",",  # 7
        '"after"quote,b',  # 8
        '"three',  # 9
        "lines",  # 10
        'and a half"x,b',  # 11
        "good,c",  # 12
    ]
    items = list(read(_write(tmp_path, "\r\n".join(rows) + "\r\n\r\n")))
    assert [(item.line, type(item)) for item in items] == [
        (2, Raw),
        (4, Bad),
        (5, Bad),
        (6, Bad),
        (7, Bad),
        (8, Bad),
        (9, Bad),
        (12, Raw),
    ]
    reasons = {item.line: item.reason for item in items if isinstance(item, Bad)}
    assert reasons == {
        4: "1 cells, where the header has 2",
        5: "3 cells, where the header has 2",
        6: "empty line",
        7: "empty row",
        8: "broken quoting",
        9: "broken quoting in lines 9 to 11",
    }


def test_a_quote_that_is_never_closed_costs_one_line(tmp_path: Path) -> None:
    items = list(read(_write(tmp_path, 'text,label\ngood,1\n"open,2\n' + "x,3\n" * 50)))
    assert [item.line for item in items if isinstance(item, Bad)] == [3]
    assert sum(isinstance(item, Raw) for item in items) == 51


def test_a_quote_open_for_too_long_costs_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plug, "MAX_LINE", 100)
    monkeypatch.setattr(_text, "CHUNK", 16)
    items = list(read(_write(tmp_path, 'text,label\n"open,2\n' + "x,3\n" * 50 + 'y,"4"\n')))
    assert [item.line for item in items if isinstance(item, Bad)] == [2]
    assert sum(isinstance(item, Raw) for item in items) == 51


def test_a_wrongly_encoded_line_spoils_its_record_only(tmp_path: Path) -> None:
    data = "text,label\n好,1\n".encode() + b'"two\nlin\xffes",2\n' + "好,3\n".encode()
    items = list(read(_write(tmp_path, data)))
    assert [(item.line, type(item)) for item in items] == [(2, Raw), (3, Bad), (5, Raw)]
    assert isinstance(items[1], Bad)
    assert "wrong encoding" in items[1].reason


def test_cells_longer_than_the_modules_own_limit(tmp_path: Path) -> None:
    assert len(_good(_write(tmp_path, "text\n" + "x" * 300_000 + "\n"))[0]["text"]) == 300_000


def test_header(tmp_path: Path) -> None:
    assert _good(_write(tmp_path, "\n, Text ,\n0,a,b\n")) == [{"column_1": "0", "Text": "a", "column_3": "b"}]
    assert list(read(_write(tmp_path, ""))) == []
    assert list(read(_write(tmp_path, "a,b\n"))) == []
    with pytest.raises(DataError, match="same name"):
        list(read(_write(tmp_path, "a,b,a\n1,2,3\n")))
    with pytest.raises(DataError, match=r"header.*\n.*wrong encoding"):
        list(read(_write(tmp_path, b"a\xff,b\n1,2\n")))
