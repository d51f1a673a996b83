"""From what the user wrote to addresses: files, folders, globs, lists, schemes; and what is said about nothing."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from yibu.core.errors import DataError
from yibu.readers import Bad, Raw, digest, open_sources, read, reader_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.csv", "a.jsonl", "notes.md", ".hidden.jsonl"):
        (tmp_path / name).write_text('{"text": "a"}\n' if name.endswith("jsonl") else "text\nb\n")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "c.jsonl").write_text('{"text": "c"}\n')
    return tmp_path


def test_a_folder_is_its_readable_files_in_order(folder: Path) -> None:
    assert open_sources(str(folder)) == [str(folder / "a.jsonl"), str(folder / "b.csv")]
    assert [item.record for item in read(str(folder)) if isinstance(item, Raw)] == [{"text": "a"}, {"text": "b"}]


def test_globs(folder: Path) -> None:
    assert open_sources(f"{folder}/*.jsonl") == [str(folder / "a.jsonl")]
    assert open_sources(f"{folder}/**/*.jsonl") == [str(folder / "a.jsonl"), str(folder / "more" / "c.jsonl")]
    with pytest.raises(DataError, match=r"No file matches[\s\S]*did you mean .*b\.csv"):
        open_sources(f"{folder}/*.tsv")


def test_a_list_keeps_its_order_and_reads_a_file_once(folder: Path) -> None:
    source = [str(folder / "b.csv"), str(folder), f"{folder}/*.csv"]
    assert open_sources(source) == [str(folder / "b.csv"), str(folder / "a.jsonl")]


def test_a_name_with_pattern_characters_is_a_file_first(tmp_path: Path) -> None:
    path = tmp_path / "rows[1].jsonl"
    path.write_text('{"text": "a"}\n')
    assert open_sources(str(path)) == [str(path)]


def test_a_missing_file_names_the_nearest(folder: Path) -> None:
    with pytest.raises(DataError) as caught:
        open_sources(str(folder / "a.json1"))
    assert caught.value.exit_code == 2
    assert f"did you mean {folder / 'a.jsonl'}?" in str(caught.value)
    with pytest.raises(DataError, match=r"holds: a\.jsonl, b\.csv, more, notes\.md"):
        open_sources(str(folder / "zzzzzz" / "rows.csv"))


def test_a_missing_path_relative_to_here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(DataError, match=r"did you mean a\.jsonl"):
        open_sources("b.jsonl")
    with pytest.raises(DataError, match="no such file or folder"):
        open_sources("more/train")


def test_an_unknown_format_says_which_are_known(folder: Path) -> None:
    for source in (str(folder / "notes.md"), f"{folder}/*.md"):
        with pytest.raises(DataError, match=r"\.parquet") as caught:
            open_sources(source)
        assert "notes.md" in str(caught.value)


def test_a_folder_without_data_says_what_it_saw(folder: Path, tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.csv"):
        (folder / name).unlink()
    with pytest.raises(DataError, match=r"more, notes\.md") as caught:
        open_sources(str(folder))
    assert str(folder / "more") in str(caught.value)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match="empty: empty"):
        open_sources(str(empty))


def test_no_source(folder: Path) -> None:
    with pytest.raises(DataError, match="No data source"):
        open_sources([])


def test_home_is_expanded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    assert open_sources("~/a.jsonl") == [str(folder / "a.jsonl")]


def test_schemes_need_no_file() -> None:
    assert open_sources("package:simple-icd-10-cm") == ["package:simple-icd-10-cm"]
    assert reader_of("package:simple-icd-10-cm") == "icd10cm"
    assert open_sources("hub:owner/name:test") == ["hub:owner/name:test"]
    with pytest.raises(DataError, match="no such file"):
        open_sources("package:something-else")


def test_a_mistyped_path_below_a_real_folder_does_not_go_to_the_hub(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(DataError, match="no such file or folder"):
        open_sources("more/cc")


def test_digest_is_by_content(folder: Path) -> None:
    expected = {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in (folder / "a.jsonl", folder / "b.csv")
    }
    assert digest(str(folder)) == expected
    (folder / "b.csv").write_text("text\nchanged\n")
    changed = digest(str(folder))
    assert [path for path in expected if changed[path] != expected[path]] == [str(folder / "b.csv")]


def test_a_file_that_cannot_be_opened(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.open

    def refuse(self: Path, *given: object, **more: object) -> object:
        if self.name == "a.jsonl":
            raise PermissionError(13, "Permission denied")
        return real(self, *given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataError, match="Permission denied"):
        list(read(str(folder / "a.jsonl")))


def test_bad_rows_do_not_stop_the_next_file(folder: Path) -> None:
    (folder / "a.jsonl").write_text("oops\n")
    assert [type(item) for item in read(str(folder))] == [Bad, Raw]
