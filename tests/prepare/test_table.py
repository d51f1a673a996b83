"""What is remembered of each row, and duplicates found by it."""

from __future__ import annotations

from yibu.prepare.table import Labels, Names, Seen, Table


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
    table = Table(ids_are_hex=False)
    seen = Seen(table)
    for id, prompt, target in (("a", 1, 1), ("b", 1, 2), ("c", 2, 1)):
        assert seen.find(prompt, target) is None
        append(table, id, prompt, target)
        seen.add(prompt, target)
    assert [seen.find(1, 1), seen.find(1, 2), seen.find(2, 1), seen.find(2, 2)] == ["a", "b", "c", None]
    assert seen.num_conflicts == 1


def test_dropped_rows_are_not_kept() -> None:
    table = Table(ids_are_hex=False)
    for id in "abc":
        append(table, id, 0, 0)
    table.dropped[1] = 2
    assert list(table.kept) == [0, 2]
    assert (table.num_kept, len(table)) == (2, 3)


def test_a_row_is_taken_whole() -> None:
    table, other = Table(ids_are_hex=False), Table(ids_are_hex=False)
    append(other, "a", 7, 8)
    other.dropped[0], other.folds[0] = 3, 2
    table.take(other, 0)
    assert (table.ids[0], table.prompts[0], table.targets[0], table.dropped[0], table.folds[0]) == ("a", 7, 8, 3, 2)
