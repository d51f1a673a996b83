"""Numbers become names, from a names file beside the data; a number without a name is a bad row."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from yibu.core.errors import DataError
from yibu.readers import Bad, Raw, digest, read
from yibu.readers._labels import class_names, label_names, names_file


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("labels.txt", "neg\r\npos\n\n"),
        ("labels.txt", "\ufeffneg\npos"),
        ("classes.json", '["neg", "pos"]'),
        ("categories.json", '{"1": "pos", "0": "neg"}'),
        ("label_names.json", '{"pos": 1, "neg": 0}'),
    ],
)
def test_each_form_of_a_names_file(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    (tmp_path / "rows.jsonl").write_text(
        '{"text": "a", "label": 1}\n{"text": "b", "label": "0"}\n{"text": "c", "label": "pos"}\n{"text": "d"}\n'
        '{"tokens": ["x"], "ner_tags": [0, 1]}\n{"text": "e", "label": 2}\n{"text": "f", "label": true}\n'
    )
    items = list(read(str(tmp_path)))
    assert [item.record for item in items if isinstance(item, Raw)] == [
        {"text": "a", "label": "pos"},
        {"text": "b", "label": "neg"},
        {"text": "c", "label": "pos"},
        {"text": "d"},
        {"tokens": ["x"], "ner_tags": ["neg", "pos"]},
        {"text": "f", "label": True},
    ]
    (bad,) = [item for item in items if isinstance(item, Bad)]
    assert (bad.line, bad.reason) == (6, "label holds a number that is none of the 2 label names")


def test_numbers_in_a_table_are_named_too(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("neg\npos\n")
    (tmp_path / "rows.csv").write_text("text,label\n7,1\n")
    assert [item.record for item in read(str(tmp_path / "rows.csv")) if isinstance(item, Raw)] == [
        {"text": "7", "label": "pos"}
    ]


def test_the_names_are_part_of_the_digest(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("neg\npos\n")
    (tmp_path / "rows.csv").write_text("text,label\na,1\n")
    before = digest(str(tmp_path))
    (tmp_path / "labels.txt").write_text("pos\nneg\n")
    after = digest(str(tmp_path))
    assert set(before) == {str(tmp_path / "rows.csv"), str(tmp_path / "labels.txt")}
    assert {path for path in before if before[path] != after[path]} == {str(tmp_path / "labels.txt")}


def test_two_names_files_are_refused(tmp_path: Path) -> None:
    for name in ("labels.txt", "classes.txt"):
        (tmp_path / name).write_text("a\n")
    with pytest.raises(DataError, match="several files of label names"):
        names_file(tmp_path)


@pytest.mark.parametrize("content", ['[{"text": "a"}]', "[]", '{"a": 3}', '{"0": "a", "2": "b"}', "[1, 2]", "broken"])
def test_a_file_that_only_sounds_like_names_is_data(tmp_path: Path, content: str) -> None:
    (tmp_path / "labels.json").write_text(content)
    assert names_file(tmp_path) is None
    assert label_names(tmp_path) is None


def test_a_large_file_of_that_name_is_data(tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text(json.dumps([f"name {number}" for number in range(100_000)]))
    assert names_file(tmp_path) is None


def test_class_names_in_a_description_of_features() -> None:
    features = {
        "text": {"dtype": "string", "_type": "Value"},
        "label": {"names": ["a", "b"], "_type": "ClassLabel"},
        "tags": {"feature": {"names": ["O"], "_type": "ClassLabel"}, "_type": "List"},
        "turns": [{"role": {"_type": "Value"}}],
    }
    assert class_names(features) == {"label": ["a", "b"], "tags": ["O"]}
