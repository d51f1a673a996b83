"""Personal data in rows: modes, idempotence, annotations, the secret, and what a refusal says."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yibu.core.edits import Edit, apply
from yibu.core.errors import DataError, InputError, RecipeError
from yibu.core.recipe import parse
from yibu.detectors import expand, find_all
from yibu.prepare.privacy import LOST_ENTITIES, Privacy, PrivacySettings, refusal

NOTE = "患者张伟，男，身份证号11010519491231002X已登记，电话13812345678，2016年3月28日入院，体温37.5℃。"
LETTER = "Mr. John Smith, DOB 12/31/1949, SSN 123-45-6789, lives at 12 Main Street, Springfield, IL 62704."


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YIBU_SECRET", "a secret of thirty-two bytes ...")


def privacy(**given: Any) -> Privacy:
    if given.keys() & {"hash", "surrogate"}:
        given["secret_env"] = "YIBU_SECRET"
    return Privacy(parse(PrivacySettings, given))


def changed(worker: Privacy, text: str, person: str | None = None) -> str:
    return apply(text, worker.edits(text, person)[0])


def test_masks_and_counts_and_keeps_every_other_number() -> None:
    edits, counts = privacy(mask=["all"]).edits(NOTE)
    masked = apply(NOTE, edits)
    assert masked == "患者[姓名]，男，身份证号[身份证号]已登记，电话[电话]，[日期]入院，体温37.5℃。"
    assert counts == {"name": 1, "id_card": 1, "phone": 1, "date": 1}
    assert changed(privacy(mask="all"), LETTER) == "Mr. [NAME], DOB [BIRTH_DATE], SSN [SSN], lives at [ADDRESS]."


def test_the_language_of_placeholders_is_a_setting() -> None:
    assert "[ID_CARD]" in changed(privacy(mask=["all"], placeholders="english"), NOTE)
    assert "[姓名]" in changed(privacy(mask=["all"], placeholders="chinese"), LETTER)


def test_only_named_kinds_change_and_nothing_named_changes_nothing() -> None:
    assert changed(privacy(mask=["phone"]), NOTE) == NOTE.replace("13812345678", "[电话]")
    assert privacy().edits(NOTE) == ([], Counter())


def test_a_masked_date_can_keep_its_year() -> None:
    worker = privacy(mask=["all"], keep_years=True)
    assert "，2016年入院" in changed(worker, NOTE)
    assert "DOB 1949," in changed(worker, LETTER)
    assert changed(worker, "3月28日入院") == "[日期]入院"
    assert changed(worker, changed(worker, NOTE)) == changed(worker, NOTE)


def test_hashes_tell_equal_values_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = privacy(hash=["phone"])
    one, two, other = (changed(worker, f"电话{number}") for number in ("13812345678", "138 1234 5678", "13812345679"))
    assert one == two != other
    assert one.startswith("电话[电话:")
    monkeypatch.setenv("YIBU_SECRET", "another secret of thirty-two ...")
    assert changed(privacy(hash=["phone"]), "电话13812345678") != one


@pytest.mark.parametrize("how", [{"mask": ["all"]}, {"hash": ["all"]}, {"mask": ["all"], "keep_years": True}])
@settings(max_examples=150, deadline=None)
@given(
    parts=st.lists(
        st.sampled_from(
            [
                "患者张伟",
                "李秀英",
                "王",
                "先生",
                "，",
                " ",
                "13812345678",
                "电话",
                "2016年3月28日",
                "11010519491231002X",
                "Mr. ",
                "John Smith",
                "Anna ",
                "\n",
                "浙江省杭州市西湖区",
                "文三路478号",
                "12 Main Street",
                ", CA 94110",
                "a@b.com",
                "www.x.cn",
                "MRN: 0012345",
                "1949",
                "-12-31",
                "93岁",
                "[姓名]",
                "[",
                "]",
                "号",
                "的",
            ]
        ),
        max_size=14,
    )
)
def test_masked_text_holds_nothing_more_and_is_not_changed_again(how: dict[str, Any], parts: list[str]) -> None:
    worker = privacy(**how)
    text = "".join(parts)
    masked = changed(worker, text)
    assert worker.edits(masked) == ([], Counter())
    edits, counts = worker.edits(text)
    assert sum(counts.values()) == len(edits)
    assert all(0 <= edit.start < edit.end <= len(text) for edit in edits)
    assert all(one.end <= two.start for one, two in itertools.pairwise(edits))


@given(st.text(max_size=80))
@settings(max_examples=150, deadline=None)
def test_any_text_is_read_and_what_no_edit_touches_stays(text: str) -> None:
    edits, _ = privacy(mask=["all"]).edits(text)
    masked = apply(text, edits)
    assert masked.startswith(text[: edits[0].start] if edits else text)
    assert masked.endswith(text[edits[-1].end :] if edits else text)


def test_one_person_has_one_invented_name_in_every_row_and_field() -> None:
    worker = privacy(surrogate=["all"])
    rows = [{"text": NOTE, "answer": "张伟先生已出院"}, {"text": "张伟复诊", "answer": "联系13812345678"}]
    new = [worker.fields(row, ["text", "answer"], "p1")[0] for row in rows]
    name = new[0]["text"][2:4]
    assert name != "张伟"
    assert new[0]["answer"].startswith(name)
    assert new[1]["text"].startswith(name)
    phone = new[1]["answer"].removeprefix("联系")
    assert phone in new[0]["text"]
    assert phone.startswith("161")
    again = [privacy(surrogate=["all"]).fields(row, ["text", "answer"], "p1")[0] for row in rows]
    assert again == new
    assert worker.fields(rows[1], ["text"], "p2")[0]["text"] != new[1]["text"]


def test_refused_kinds_are_counted_and_left_alone() -> None:
    worker = privacy(refuse=["id_card"], mask=["phone"])
    edits, counts = worker.edits(NOTE)
    assert apply(NOTE, edits) == NOTE.replace("13812345678", "[电话]")
    assert worker.refused(counts) == {"id_card": 1}
    error = refusal({f"row{number}": {"id_card": 1} for number in range(12)})
    assert isinstance(error, DataError)
    assert "12 rows" in str(error)
    assert "12 id_card" in str(error)
    assert "row9: 1 id_card" in str(error)
    assert "2 more rows" in str(error)


def test_turns_are_searched_and_other_values_are_not() -> None:
    fields = {
        "messages": [{"role": "user", "content": "我的电话13812345678"}, {"role": "tool", "content": None}],
        "label": "13812345678",
    }
    new, counts = privacy(mask=["all"]).fields(fields, ["messages"])
    assert new == {
        **fields,
        "messages": [{"role": "user", "content": "我的电话[电话]"}, {"role": "tool", "content": None}],
    }
    assert counts == {"phone": 1}


def entities(text: str, *words: str) -> list[dict[str, Any]]:
    return [
        {"start": text.index(word), "end": text.index(word) + len(word), "type": "t", "text": word} for word in words
    ]


def test_annotations_follow_hold_or_are_the_data() -> None:
    fields = {"text": NOTE, "entities": entities(NOTE, "张伟", "体温37.5℃", "2016年3月28日入院")}
    new, counts = privacy(mask=["all"]).fields(fields, ["text"])
    assert [span["text"] for span in new["entities"]] == ["[姓名]", "体温37.5℃", "[日期]入院"]
    assert all(new["text"][span["start"] : span["end"]] == span["text"] for span in new["entities"])
    assert LOST_ENTITIES not in counts


def test_an_annotation_that_is_cut_is_hidden_whole_and_dropped() -> None:
    text = "住址浙江省杭州市西湖区文三路478号的张三"
    fields = {"text": text, "entities": entities(text, "杭州市", "478号的", "张三")}
    new, counts = privacy(mask=["address"]).fields(fields, ["text"])
    assert new["text"] == "住址[地址]张三"
    assert [span["text"] for span in new["entities"]] == ["张三"]
    assert counts == {"address": 1, LOST_ENTITIES: 2}


@given(st.data())
@settings(max_examples=80, deadline=None)
def test_no_annotation_ever_points_astray_and_nothing_is_uncovered(data: st.DataObject) -> None:
    worker = privacy(mask=["all"])
    cuts = st.integers(0, len(NOTE) - 1)
    spans = [{"start": a, "end": b} for a, b in data.draw(st.lists(st.tuples(cuts, cuts), max_size=6)) if a < b]
    new, counts = worker.fields({"text": NOTE, "entities": spans}, ["text"])
    assert len(new["entities"]) + counts[LOST_ENTITIES] == len(spans)
    assert all(0 <= span["start"] < span["end"] <= len(new["text"]) for span in new["entities"])
    for value in ("张伟", "11010519491231002X", "13812345678", "3月28日"):
        assert value not in new["text"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"mask": ["bankcard"]}, "did you mean 'bank_card'"),
        ({"mask": ["phone"], "refuse": ["phone"]}, "two lists"),
        ({"mask": ["all"], "refuse": ["hipaa"]}, "two lists"),
        ({"hash": ["phone"]}, "secret_env"),
        ({"mark": ["phone"]}, "did you mean 'mask'"),
    ],
)
def test_mistakes_in_settings_are_said(table: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        parse(PrivacySettings, table)


def test_an_alias_gives_way_to_a_name() -> None:
    modes = PrivacySettings(mask=("all",), surrogate=("name", "date"), secret_env="S").modes()
    assert modes["name"] == modes["date"] == "surrogate"
    assert modes["phone"] == "mask"
    assert set(modes) == set(expand(["all"]))


def test_a_missing_or_short_secret_is_said_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = PrivacySettings(hash=("phone",), secret_env="YIBU_SECRET")
    fingerprint = settings.secret_fingerprint()
    assert fingerprint is not None
    assert len(fingerprint) == 16
    assert "secret of" not in str(settings.as_config())
    monkeypatch.setenv("YIBU_SECRET", "another secret of thirty-two ...")
    assert settings.secret_fingerprint() != fingerprint
    monkeypatch.setenv("YIBU_SECRET", "short")
    with pytest.raises(InputError, match="too short") as caught:
        Privacy(settings)
    assert "short\n" not in caught.value.render().replace("too short", "")
    monkeypatch.delenv("YIBU_SECRET")
    with pytest.raises(InputError, match="YIBU_SECRET: not set"):
        settings.secret_fingerprint()
    assert PrivacySettings(mask=("all",)).secret_fingerprint() is None


def test_two_names_side_by_side_are_both_hidden() -> None:
    text = "患者张伟李秀英"
    edits, _ = privacy(mask=["name"]).edits(text)
    assert find_all(apply(text, edits), ["name"]) == []
    assert edits[0] == Edit(2, 4, "[姓名]")
