"""Names: told by characters, lists, titles and introductions; and words that look like names."""

from __future__ import annotations

import pytest

from yibu.detectors import name


def texts(text: str) -> list[str]:
    return [text[one.start : one.end] for one in name.find(text)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("患者张伟因腹痛就诊", ["张伟"]),
        ("姓名：欧阳震华，男，45岁", ["欧阳震华"]),
        ("由李秀英签字确认", ["李秀英"]),
        ("被告王建国、刘志强辩称", ["王建国", "刘志强"]),
        ("王先生来电", ["王"]),
        ("陈晓东医生查房", ["陈晓东"]),
        ("联系人：赵敏，电话", ["赵敏"]),
        ("买买提·艾力到庭", ["买买提·艾力"]),
        ("希望向王波院长反映", ["王波"]),
        ("My name is John Smith.", ["John Smith"]),
        ("Dr. Cettina Fanucci agreed", ["Cettina Fanucci"]),
        ("Mr. Baader called", ["Baader"]),
        ("mr. spears called", ["spears"]),
        ("spoke with Maria de la Cruz today", ["Maria de la Cruz"]),
        ("Maria M. Szász wrote", ["Maria M. Szász"]),
        ("患者John Smith已登记", ["John Smith"]),
        ("Susan's results", ["Susan"]),
    ],
)
def test_finds_names(text: str, found: list[str]) -> None:
    assert texts(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "高血压患者应当主张权利，于明天复诊。",
        "安全方面，金额较大，时间充足，马上处理，周围都是黄色。",
        "请班主任到场，诉讼费由律师解答。",
        "吕梁市中级人民法院、夏邑县公安局、海颐软件公司",
        "当事人的陈述和申辩属于法定范畴。",
        "Parkinson's disease, a Foley catheter and Bell palsy were discussed in Houston, Texas.",
        "The Patient denies pain. No Known Drug Allergies. Will may mark the bill in March.",
        "I want to top up with Apple Pay or Google Pay.",
        "She is on Aspirin and Lipitor.",
    ],
)
def test_leaves_words(text: str) -> None:
    assert texts(text) == []


def test_a_title_makes_sure() -> None:
    assert name.find("Mr. Baader called")[0].certain
    assert not name.find("spoke with Maria Gomez")[0].certain
