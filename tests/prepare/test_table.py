"""What is remembered of each row, and duplicates found by it."""

from __future__ import annotations

from yibu.core.record import SPLITS, Split
from yibu.prepare.table import Labels, Names, Seen, Table


def tables() -> dict[Split, Table]:
    return {split: Table(ids_are_hex=False) for split in SPLITS}


def append(table: Table, id: str, prompt: int, target: int) -> None:
    table.append(
        id,
        prompt=prompt,
        target=target,
        answer=0,
        group=0,
        label=-1,
        stratum=-1,
        prompt_characters=1,
        target_characters=1,
    )


def test_names_come_back() -> None:
    made, own = Names(are_hex=True), Names(are_hex=False)
    made.append("00ffee0123456789")
    own.append("patient 7")
    assert (made[0], own[0]) == ("00ffee0123456789", "patient 7")


def test_labels_are_numbered_in_order() -> None:
    labels = Labels()
    assert [labels.number(text) for text in ("b", "a", "b", None)] == [0, 1, 0, -1]
    assert labels.texts == ["b", "a"]


def test_the_first_row_with_prompt_and_target_is_found() -> None:
    held = tables()
    seen = Seen(held)
    places: list[tuple[str, Split, int, int]] = [("a", "train", 1, 1), ("b", "test", 1, 2), ("c", "valid", 2, 1)]
    for id, split, prompt, target in places:
        assert seen.find(prompt, target) is None
        append(held[split], id, prompt, target)
        seen.add(prompt, target, split)
    assert [seen.find(1, 1), seen.find(1, 2), seen.find(2, 1), seen.find(2, 2)] == ["a", "b", "c", None]
    assert seen.num_conflicts == 1


def test_dropped_rows_are_not_kept() -> None:
    table = Table(ids_are_hex=False)
    for id in "abc":
        append(table, id, 0, 0)
    table.dropped[1] = 2
    assert list(table.kept) == [0, 2]
    assert (table.num_kept, len(table)) == (2, 3)
