"""LLaMA-Factory's registry as it is: columns, tags, folders; what cannot be honoured is refused, not ignored."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from yibu import shapes
from yibu.core.errors import DataError
from yibu.readers import Bad, Raw, digest, open_sources, read


def _registry(folder: Path, table: Any, **files: list[dict[str, Any]]) -> Path:
    path = folder / "dataset_info.json"
    path.write_text(json.dumps(table), encoding="utf-8")
    for name, rows in files.items():
        (folder / f"{name}.json").write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    return path


def _fields(source: str) -> list[dict[str, Any]]:
    records = [item.record for item in read(source) if isinstance(item, Raw)]
    plug = shapes.FAMILY.load(shapes.detect(records))
    return [plug.to_fields(record) for record in records]


def _chat(*turns: str) -> dict[str, Any]:
    roles = ["user", "assistant"]
    return {"messages": [{"role": roles[i % 2], "content": turn} for i, turn in enumerate(turns)]}


def test_a_folder_with_one_data_set_in_alpaca(tmp_path: Path) -> None:
    entry = {
        "file_name": "rows.json",
        "columns": {"prompt": "q", "query": "extra", "response": "a", "system": "sys", "history": "before"},
    }
    row = {"q": "ask", "extra": "more", "a": "answer", "sys": "be brief", "before": [["one", "two"]]}
    _registry(tmp_path, {"mine": entry}, rows=[row])
    assert _fields(str(tmp_path)) == [
        {
            "messages": [
                {"role": "system", "content": "be brief"},
                *_chat("one", "two", "ask\nmore", "answer")["messages"],
            ]
        }
    ]
    (item,) = read(str(tmp_path))
    assert (item.source, item.line) == (str(tmp_path / "rows.json"), 1)


def test_defaults_of_alpaca_and_sharegpt(tmp_path: Path) -> None:
    table = {"a": {"file_name": "a.json"}, "s": {"file_name": "s.json", "formatting": "sharegpt"}}
    turns = [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "ho"}]
    path = _registry(
        tmp_path, table, a=[{"instruction": "hi", "input": "", "output": "ho"}], s=[{"conversations": turns}]
    )
    assert _fields(f"{path}:a") == _fields(f"{path}:s") == [_chat("hi", "ho")]


@pytest.mark.parametrize("formatting", ["sharegpt", "openai"])
def test_columns_and_tags(tmp_path: Path, formatting: str) -> None:
    tags = {"role_tag": "who", "content_tag": "said", "user_tag": "me", "assistant_tag": "it", "system_tag": "rule"}
    entry = {"file_name": "rows.json", "formatting": formatting, "columns": {"messages": "talk"}, "tags": tags}
    talk = [{"who": "rule", "said": "r"}, {"who": "me", "said": "hi"}, {"who": "it", "said": "ho"}]
    _registry(tmp_path, {"mine": entry}, rows=[{"talk": talk}])
    assert _fields(str(tmp_path)) == [
        {"messages": [{"role": "system", "content": "r"}, *_chat("hi", "ho")["messages"]]}
    ]


def test_a_role_that_no_tag_names_is_a_bad_row(tmp_path: Path) -> None:
    turns = [{"from": "human", "value": "hi"}, {"from": "function_call", "value": "{}"}, {"from": "gpt", "value": "x"}]
    _registry(tmp_path, {"s": {"file_name": "s.json", "formatting": "sharegpt"}}, s=[{"conversations": turns}])
    with pytest.raises(ValueError, match="unknown role"):
        _fields(str(tmp_path))


def test_a_pretraining_set(tmp_path: Path) -> None:
    entry = {"file_name": "rows.json", "columns": {"prompt": "content"}}
    _registry(tmp_path, {"wiki": entry}, rows=[{"content": "a text"}])
    assert _fields(str(tmp_path)) == [{"text": "a text"}]


def test_bad_rows_keep_their_place(tmp_path: Path) -> None:
    path = _registry(tmp_path, {"s": {"file_name": "s.jsonl", "formatting": "sharegpt", "columns": {"tools": "tools"}}})
    good = {"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "ho"}]}
    rows = [json.dumps(good), "broken", '{"conversations": "text"}', json.dumps(good | {"tools": "[{}]"})]
    (tmp_path / "s.jsonl").write_text("\n".join(rows))
    items = list(read(str(path)))
    assert [(type(item), item.line) for item in items] == [(Raw, 1), (Bad, 2), (Bad, 3), (Bad, 4)]


def test_several_data_sets_ask_and_can_be_named(tmp_path: Path) -> None:
    rows = [{"instruction": "x", "output": "y"}]
    path = _registry(tmp_path, {"one": {"file_name": "a.json"}, "two": {"file_name": "b.json"}}, a=rows, b=rows * 2)
    with pytest.raises(DataError, match="describes 2 data sets") as caught:
        open_sources(str(tmp_path))
    assert f"{path}:one" in str(caught.value)
    assert len(list(read(f"{path}:one,two"))) == 3
    with pytest.raises(DataError, match="did you mean 'two'"):
        open_sources(f"{path}:twoo")


def test_the_digest_covers_the_registry_and_its_files(tmp_path: Path) -> None:
    path = _registry(tmp_path, {"one": {"file_name": "a.json"}}, a=[{"instruction": "x", "output": "y"}])
    assert set(digest(str(tmp_path))) == {str(path), str(tmp_path / "a.json")}


def test_num_samples_draws_the_same_rows_each_time(tmp_path: Path) -> None:
    rows = [{"instruction": "x", "output": str(number)} for number in range(50)]
    _registry(tmp_path, {"a": {"file_name": "a.json", "num_samples": 10}}, a=rows)
    drawn = [item.line for item in read(str(tmp_path))], list(_fields(str(tmp_path)))
    outputs = [fields["messages"][1]["content"] for fields in drawn[1]]
    assert len(set(outputs)) == 10
    assert outputs != [str(number) for number in range(10)]
    assert list(_fields(str(tmp_path))) == drawn[1]


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"ranking": True}, "ranking"),
        ({"columns": {"kto_tag": "label"}}, "kto_tag"),
        ({"columns": {"images": "pictures"}}, "images"),
        ({"script_url": "loader"}, "script_url"),
        ({"formatting": "chatml"}, "formatting"),
    ],
)
def test_what_cannot_be_honoured_is_refused(tmp_path: Path, entry: dict[str, Any], reason: str) -> None:
    _registry(tmp_path, {"a": {"file_name": "a.json"} | entry}, a=[{"instruction": "x", "output": "y"}])
    with pytest.raises(DataError, match=reason):
        list(read(str(tmp_path)))
    with pytest.raises(DataError, match=reason):
        digest(str(tmp_path))


def test_only_ms_hub_or_cloud_is_refused(tmp_path: Path) -> None:
    _registry(tmp_path, {"a": {"ms_hub_url": "owner/name"}})
    with pytest.raises(DataError, match="no file_name and no hf_hub_url"):
        list(read(str(tmp_path)))


def test_a_hub_id_goes_to_the_hub_with_subset_and_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from yibu.readers import hub

    asked: list[str] = []
    monkeypatch.setattr(hub, "read", lambda address: asked.append(address) or iter(()))
    entry = {"hf_hub_url": "owner/name", "file_name": "ignored.json", "subset": "zh", "split": "test"}
    _registry(tmp_path, {"a": entry})
    assert list(read(str(tmp_path))) == []
    assert asked == ["hub:owner/name:zh:test"]


def test_unused_keys_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _registry(tmp_path, {"a": {"file_name": "a.json", "folder": "x"}}, a=[{"instruction": "x", "output": "y"}])
    with caplog.at_level(logging.WARNING):
        assert len(list(read(str(tmp_path)))) == 1
    assert "folder" in caplog.text


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = _registry(tmp_path, {"a": {"file_name": "gone.json"}})
    with pytest.raises(DataError, match=r"gone\.json"):
        list(read(str(path)))
    with pytest.raises(DataError, match="no such file"):
        open_sources(str(tmp_path / "elsewhere" / "dataset_info.json:a"))


def test_the_file_of_ms_swift_is_told_apart(tmp_path: Path) -> None:
    _registry(tmp_path, [{"ms_dataset_id": "owner/name", "tags": ["chat"]}])
    with pytest.raises(DataError, match="ms-swift"):
        open_sources(str(tmp_path))


@pytest.mark.parametrize("table", [{"a": {"columns": {}}}, {"a": "b"}, "text"])
def test_any_other_schema_is_refused(tmp_path: Path, table: Any) -> None:
    _registry(tmp_path, table)
    with pytest.raises(DataError, match="LLaMA-Factory"):
        open_sources(str(tmp_path))


def test_a_registry_that_is_no_json(tmp_path: Path) -> None:
    (tmp_path / "dataset_info.json").write_text("{")
    with pytest.raises(DataError, match="not valid JSON"):
        open_sources(str(tmp_path))


def test_a_folder_that_datasets_saved_is_read_from_its_arrow_files(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    table = arrow.table({"text": ["a"], "label": [1]})
    features = {"label": {"names": ["neg", "pos"], "_type": "ClassLabel"}}
    schema = table.schema.with_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    data = str(tmp_path / "data-00000-of-00001.arrow")
    with arrow.OSFile(data, "wb") as file, arrow.ipc.new_stream(file, schema) as writer:
        writer.write_table(table.replace_schema_metadata(schema.metadata))
    path = _registry(tmp_path, {"citation": "", "features": features})
    (tmp_path / "state.json").write_text('{"_data_files": []}')
    assert _fields(str(tmp_path)) == [{"text": "a", "label": "pos"}]
    with pytest.raises(DataError, match="datasets library"):
        list(read(str(path)))
