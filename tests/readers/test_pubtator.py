"""PubTator documents come out as texts with spans, or are bad as a whole."""

from __future__ import annotations

from pathlib import Path

from yibu.readers import Bad, Raw
from yibu.readers.pubtator import accepts, read
from yibu.shapes import spans

GOOD = """12|t|Aspirin and asthma.
12|a|Aspirin can induce asthma.
12\t0\t7\tAspirin\tChemical\tD001241
12\t12\t18\tasthma\tDisease\tD001249
12\t39\t45\tasthma\tDisease\tD001249
12\tCID\tD001241\tD001249
"""


def _write(folder: Path, text: str, name: str = "a.PubTator.txt") -> str:
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


def test_a_document_with_entities_and_relations(tmp_path: Path) -> None:
    address = _write(tmp_path, GOOD)
    (item,) = read(address)
    assert item == Raw(
        address,
        1,
        {
            "id": "12",
            "text": "Aspirin and asthma.\nAspirin can induce asthma.",
            "entities": [
                {"start": 0, "end": 7, "type": "Chemical", "text": "Aspirin", "id": "D001241"},
                {"start": 12, "end": 18, "type": "Disease", "text": "asthma", "id": "D001249"},
                {"start": 39, "end": 45, "type": "Disease", "text": "asthma", "id": "D001249"},
            ],
            "relations": [{"type": "CID", "head": "D001241", "tail": "D001249"}],
        },
    )
    fields = spans.to_fields(item.record)
    assert fields["relations"] == item.record["relations"]
    assert [fields["text"][one["start"] : one["end"]] for one in fields["entities"]] == ["Aspirin", "asthma", "asthma"]


def test_documents_are_parted_by_blank_lines_or_the_next_title(tmp_path: Path) -> None:
    other = GOOD.replace("12|", "13|").replace("12\t", "13\t", 1).replace("\n12\t", "\n13\t")
    for between in ("", "\n", "\n\n\n"):
        items = list(read(_write(tmp_path, GOOD + between + other)))
        assert [item.record["id"] for item in items if isinstance(item, Raw)] == ["12", "13"]
        assert items[1].line == 7 + len(between)


def test_a_bad_line_spoils_its_document_and_is_named(tmp_path: Path) -> None:
    bad = [
        (GOOD.replace("12\tCID\tD001241\tD001249", "12\tCID\tD001241"), 6, "neither"),
        (GOOD.replace("12\t12\t18", "12\ttwelve\t18"), 4, "neither"),
        (GOOD.replace("12\tCID", "99\tCID"), 6, "another document"),
        (GOOD.replace("12|t|Aspirin and asthma.\n", ""), 1, "without a title"),
        (GOOD.replace("12\t0", "12|a|again\n12\t0"), 3, "second"),
    ]
    for text, line, reason in bad:
        items = list(read(_write(tmp_path, text + "\n" + GOOD)))
        assert [type(item) for item in items] == [Bad, Raw]
        assert items[0].line == line
        assert isinstance(items[0], Bad)
        assert reason in items[0].reason


def test_a_wrongly_encoded_line_spoils_its_document(tmp_path: Path) -> None:
    path = tmp_path / "a.pubtator"
    path.write_bytes(GOOD.encode().replace(b"induce", b"ind\xff\xffce") + b"\n" + GOOD.encode())
    assert [(type(item), item.line) for item in read(str(path))] == [(Bad, 2), (Raw, 8)]


def test_a_plain_text_file_is_accepted_only_if_it_begins_with_a_title(tmp_path: Path) -> None:
    assert accepts(_write(tmp_path, GOOD, "notes.txt"))
    assert not accepts(_write(tmp_path, "Some prose.\n", "prose.txt"))
    assert accepts("missing.pubtator")
    assert not accepts("missing.txt")
