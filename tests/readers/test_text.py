"""Encodings are found by strict decoding, and a line that does not belong is reported with its number."""

from __future__ import annotations

import codecs
import hashlib
from pathlib import Path

import pytest

from yibu.core.errors import DataError
from yibu.readers import _text
from yibu.readers._text import TOO_LONG, WRONG_ENCODING, detect_encoding, file_digest, lines

CHINESE = "患者，男，54岁。体温37.5℃，血压150/95 mmHg。\n"


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (b"", "utf-8"),
        (b"plain\n", "utf-8"),
        (CHINESE.encode(), "utf-8"),
        (codecs.BOM_UTF8 + CHINESE.encode(), "utf-8-sig"),
        (CHINESE.encode("utf-16"), "utf-16"),
        (codecs.BOM_UTF16_BE + CHINESE.encode("utf-16-be"), "utf-16"),
        (CHINESE.encode("gb18030"), "gb18030"),
        ("診斷：糖尿病，須複查。\n".encode("gb18030"), "gb18030"),
        ("𠀀字外字：患者𠮷某。\n".encode("gb18030"), "gb18030"),
    ],
)
def test_each_encoding_is_found_and_decoded(tmp_path: Path, data: bytes, encoding: str) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(data)
    assert detect_encoding(path) == encoding
    expected = data.decode(encoding)
    assert "".join(line.text for line in lines(path)) == expected
    assert all(line.fault is None for line in lines(path))


@pytest.mark.parametrize("encoding", ["utf-32", "utf-16-le", "utf-16-be"])
def test_an_encoding_that_cannot_be_told_is_refused(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("text,label\nhello,greeting\n".encode(encoding))
    with pytest.raises(DataError, match="zero bytes") as caught:
        list(lines(path))
    assert caught.value.exit_code == 2
    assert "iconv" in str(caught.value)


def test_a_broken_line_in_a_chinese_utf8_file_does_not_turn_it_into_gb18030(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(CHINESE.encode() * 3 + "另一种编码\n".encode("gb18030") + CHINESE.encode())
    found = list(lines(path))
    assert [line.number for line in found if line.fault] == [4]
    assert found[3].fault == WRONG_ENCODING
    assert found[4].text == CHINESE


def test_a_broken_line_in_a_gb18030_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(CHINESE.encode("gb18030") * 2 + b"\xff\xff broken\n" + CHINESE.encode("gb18030"))
    found = list(lines(path))
    assert [line.number for line in found if line.fault] == [3]
    assert found[3].text == CHINESE


def test_latin_1_is_not_taken_for_chinese(tmp_path: Path) -> None:
    """These bytes are valid GB18030: "ét" would come out as a Chinese character."""
    path = tmp_path / "a.txt"
    data = "étude\néconomie générale\n".encode("latin-1")
    assert "étude" not in data.decode("gb18030")
    path.write_bytes(b"first\n" + data)
    assert [line.number for line in lines(path) if line.fault] == [2, 3]


def test_half_a_utf16_character_at_the_end_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("one\ntwo".encode("utf-16") + b"x")
    assert [(line.number, bool(line.fault)) for line in lines(path)] == [(1, False), (2, True)]


def test_only_line_feeds_end_a_line(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("a\u2028b\x85c\r\nd".encode())
    assert [(line.number, line.text) for line in lines(path)] == [(1, "a\u2028b\x85c\r\n"), (2, "d")]


def test_characters_and_lines_across_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_text, "CHUNK", 3)
    for encoding in ("utf-8", "utf-8-sig", "gb18030", "utf-16"):
        path = tmp_path / f"{encoding}.txt"
        path.write_bytes((CHINESE * 3).encode(encoding))
        assert [line.text for line in lines(path)] == [CHINESE] * 3


def test_a_line_that_is_too_long_costs_only_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_text, "MAX_LINE", 20)
    monkeypatch.setattr(_text, "CHUNK", 7)
    path = tmp_path / "a.txt"
    path.write_text("short\n" + "x" * 100 + "\nlast\n" + "y" * 50)
    assert [(line.number, line.fault) for line in lines(path)] == [(1, None), (2, TOO_LONG), (3, None), (4, TOO_LONG)]


def test_digest_is_the_sha256_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"abc")
    assert file_digest(str(path)) == {str(path): hashlib.sha256(b"abc").hexdigest()}
