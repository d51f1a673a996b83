"""One object a line; a broken line is reported with its number and costs nothing else."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from subprocess import run

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from yibu.readers import Bad, Raw
from yibu.readers.jsonl import read

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
RECORDS = st.lists(st.dictionaries(st.text(), VALUES, min_size=1, max_size=4), max_size=8)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=RECORDS, escaped=st.booleans(), encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
def test_what_is_written_is_read(
    tmp_path: Path, records: list[dict[str, object]], escaped: bool, encoding: str
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes("".join(json.dumps(record, ensure_ascii=escaped) + "\n" for record in records).encode(encoding))
    assert list(read(str(path))) == [Raw(str(path), line, record) for line, record in enumerate(records, start=1)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
def test_chinese_in_each_encoding(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "rows.jsonl"
    records = [{"text": "高血压3级，血糖7.8 mmol/L"}, {"text": "未见异常"}]
    path.write_bytes("\n".join(json.dumps(record, ensure_ascii=False) for record in records).encode(encoding))
    assert [item.record for item in read(str(path)) if isinstance(item, Raw)] == records


def test_each_kind_of_bad_row_has_its_line_and_reason(tmp_path: Path) -> None:
    secret = "Zhang San"
    rows = [
        b'{"text": "good"}',
        b'{"text": "%s"' % secret.encode(),
        b'["%s"]' % secret.encode(),
        b'"%s"' % secret.encode(),
        b"null",
        b"{}",
        b"",
        b'{"text": "\xff\xfe"}',
        b'{"text": "half a pair \\ud83d"}',
        b'{"text": "whole pair \\ud83d\\ude00"}',
        b'{"value": NaN}',
        b'{"value": Infinity}',
        b'{"value": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b'{"text": "good too"}',
    ]
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\n".join(rows) + b"\n\n\n")
    items = list(read(str(path)))
    assert [item.line for item in items] == list(range(1, 16))
    good = {item.line: item.record for item in items if isinstance(item, Raw)}
    assert good == {
        1: {"text": "good"},
        10: {"text": "whole pair 😀"},
        11: {"value": None},
        15: {"text": "good too"},
    }
    reasons = {item.line: item.reason for item in items if isinstance(item, Bad)}
    assert "broken JSON" in reasons[2]
    assert "not an object but an array" in reasons[3]
    assert "not an object but a text" in reasons[4]
    assert "not an object but null" in reasons[5]
    assert reasons[6] == "empty row"
    assert reasons[7] == "empty line"
    assert "wrong encoding" in reasons[8]
    assert "wrong encoding" in reasons[9]
    assert "Infinity" in reasons[12]
    assert "nested too deeply" in reasons[14]
    assert not any(secret in reason or "999" in reason for reason in reasons.values())


def test_an_empty_file_has_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    for content in (b"", b"\n\n", b"\xef\xbb\xbf"):
        path.write_bytes(content)
        assert list(read(str(path))) == []


MEASURE = """
import sys, resource
from yibu import readers

def peak():
    # ru_maxrss is inherited from the parent at exec, so the kernel's own mark is better where there is one.
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform == "darwin" else 1)

small, big = sys.argv[1:]
list(readers.read(small))
before = peak()
count = sum(isinstance(item, readers.Raw) for item in readers.read(big))
print(count, peak() - before)
"""


@pytest.mark.parametrize("form", ["rows.jsonl", "rows.json", "rows.csv"])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, form: str) -> None:
    record = {"prompt": "x" * 2000, "answer": "血压" * 500}
    row = json.dumps(record, ensure_ascii=False)
    opening, line, closing = {
        "rows.jsonl": ("", row + "\n", ""),
        "rows.json": ("[" + row, "," + row, "]"),
        "rows.csv": ("prompt,answer\n", f'{record["prompt"]},"{record["answer"]}\n"\n', ""),
    }[form]
    count = 60_000_000 // len(line.encode())
    big, small = tmp_path / form, tmp_path / f"small_{form}"
    for path, times in ((big, count), (small, 2)):
        with path.open("w", encoding="utf-8") as file:
            file.write(opening)
            for _ in range(times):
                file.write(line)
            file.write(closing)
    done = run([sys.executable, "-c", MEASURE, small, big], capture_output=True, text=True, check=True, timeout=120)
    read_rows, kilobytes = map(int, done.stdout.split())
    assert read_rows == count + (form == "rows.json")
    assert kilobytes < 30_000, f"reading 60 MB took {kilobytes} KB more than reading two rows"
