"""Phrases that say the same, by field: what `yibu.augmenters.templates` exchanges.

Kept apart from the code because it is a list to be read by people who know the field. Each group's phrases have the
same number of negations and no numbers (a test counts them).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Field = Literal["general", "clinical", "legal", "financial"]


class Group(NamedTuple):
    """Phrases that say the same, each with one gap ``{x}``.

    Attributes:
        find: looked for, and made.
        only_into: made, never looked for: too short or too common to be sure of what they say.
        at_start: look at the start of a clause only.
        but_not: a pattern that must not follow the words before the gap.
    """

    find: tuple[str, ...]
    only_into: tuple[str, ...] = ()
    at_start: bool = False
    but_not: str = ""


_CLAUSE = r"\s*(?:that|he|she|they|it|we|i|you|no|not|being|having|to)(?![A-Za-z])"

_GENERAL = (
    Group(
        ("can you tell me {x}", "could you tell me {x}", "please tell me {x}", "I would like to know {x}"),
        ("I want to know {x}", "do you know {x}"),
        at_start=True,
    ),
    Group(
        ("how do I {x}", "how can I {x}", "how would I {x}"),
        ("what do I need to do to {x}", "can you tell me how to {x}", "what is the way to {x}"),
        at_start=True,
    ),
    Group(
        ("I want to {x}", "I would like to {x}", "I'd like to {x}", "I wish to {x}"),
        ("I am looking to {x}",),
        at_start=True,
        but_not="know",
    ),
    Group(("can I {x}", "could I {x}", "am I able to {x}"), ("is it possible for me to {x}",), at_start=True),
    Group(("is it possible to {x}", "is there a way to {x}", "is there any way to {x}"), at_start=True),
    Group(("what is {x}", "what's {x}"), at_start=True),
    Group(
        ("could you please {x}", "can you please {x}", "would you please {x}", "please {x}"),
        ("kindly {x}",),
        True,
        r"(?:tell|note|do|be|let)(?![A-Za-z])",
    ),
    Group((" do not {x}", " don't {x}")),
    Group((" does not {x}", " doesn't {x}")),
    Group((" did not {x}", " didn't {x}")),
    Group((" is not {x}", " isn't {x}")),
    Group((" was not {x}", " wasn't {x}")),
    Group((" has not {x}", " hasn't {x}")),
    Group((" have not {x}", " haven't {x}")),
    Group((" cannot {x}", " can't {x}", " can not {x}")),
    Group((" due to {x}", " because of {x}", " owing to {x}"), (" on account of {x}",)),
    Group((" prior to {x}",), (" before {x}",)),
    Group((" approximately {x}", " roughly {x}"), (" about {x}",)),
    Group((" in addition to {x}",), (" besides {x}", " as well as {x}")),
    Group((" in order to {x}",), (" so as to {x}", " to {x}")),
    Group(("请问{x}", "想问下{x}", "我想问下{x}", "想咨询下{x}", "我想咨询下{x}", "麻烦问下{x}"), at_start=True),
    Group(("{x}应该怎么办", "{x}该怎么办", "{x}要怎么办"), ("{x}该怎么处理", "{x}应该如何处理")),
    Group(("为什么{x}", "为何{x}")),
    Group(("怎么样{x}", "怎样{x}", "如何{x}"), ("怎么{x}",), but_not="[了样吗呢啊]"),
    Group(("由于{x}",), ("因为{x}",)),
    Group(("如果{x}", "假如{x}", "要是{x}"), ("若{x}",), at_start=True),
    Group(("但是{x}", "然而{x}", "可是{x}"), ("但{x}",), at_start=True),
    Group(("应该{x}", "应当{x}"), but_not="怎|如何"),
    Group(("大约{x}", "大概{x}"), ("约{x}",)),
    Group(("目前{x}", "现在{x}", "如今{x}"), at_start=True),
    Group(("已经{x}",), ("已{x}",)),
    Group(("但{x}能否", "请问{x}能否"), ("但{x}可否", "请问{x}可否")),
    Group(("并且{x}", "而且{x}"), at_start=True),
    Group(("另外{x}", "此外{x}"), at_start=True),
)
_CLINICAL = (
    Group(
        (
            "patient denies {x}",
            "the patient denies {x}",
            "pt denies {x}",
            "patient denied {x}",
            "denies {x}",
            "negative for {x}",
        ),
        ("no {x}", "no complaints of {x}"),
        at_start=True,
        but_not=_CLAUSE,
    ),
    Group(
        ("no complaints of {x}", "no complaint of {x}", "no evidence of {x}", "no signs of {x}", "no sign of {x}"),
        ("no {x}",),
    ),
    Group(
        (
            "patient complains of {x}",
            "the patient complains of {x}",
            "patient reports {x}",
            "the patient reports {x}",
            "pt complains of {x}",
            "pt reports {x}",
            "patient presents with {x}",
            "the patient presents with {x}",
        ),
        ("complains of {x}", "presents with {x}"),
        at_start=True,
        but_not=_CLAUSE,
    ),
    Group(("past medical history of {x}", "a history of {x}", "h/o {x}"), ("a past history of {x}",)),
    Group((" consistent with {x}", " compatible with {x}", " in keeping with {x}")),
    Group((" secondary to {x}",), (" due to {x}", " caused by {x}")),
    Group((" was treated with {x}", " was managed with {x}"), (" received {x}",)),
    Group((" was started on {x}", " was put on {x}", " was commenced on {x}")),
    Group(("{x} was noted", "{x} was observed", "{x} was seen")),
    Group(("{x} were noted", "{x} were observed", "{x} were seen")),
    Group(
        ("患者否认{x}", "病人否认{x}", "否认有{x}", "否认{x}"),
        ("患者无{x}", "无{x}"),
        at_start=True,
        but_not="[了其曾]",
    ),
    Group(("患者诉{x}", "患者自诉{x}", "患者自述{x}", "患者主诉{x}", "病人自诉{x}"), at_start=True),
    Group(("因{x}入院", "因{x}收入院", "因{x}住院"), ("因{x}就诊并入院",)),
    Group(("未见明显{x}", "未发现明显{x}", "未观察到明显{x}", "无明显{x}")),
    Group(("未发现{x}", "未观察到{x}"), ("未见{x}",), but_not="明显"),
    Group(("既往有{x}病史", "既往患有{x}", "有{x}病史"), ("既往患{x}",), but_not="[无否未]"),
    Group(("予以{x}治疗", "给予{x}治疗"), ("予{x}治疗", "使用{x}治疗")),
    Group(("查体{x}", "体格检查{x}", "体检{x}"), at_start=True, but_not="[^：:]"),
    Group(("临床诊断为{x}", "诊断为{x}"), but_not="[无未]"),
    Group(("伴有{x}", "并伴有{x}", "同时伴有{x}"), ("伴{x}",), at_start=True),
)
_LEGAL = (
    Group((" pursuant to {x}", " in accordance with {x}"), (" under {x}",)),
    Group(("in the event that {x}", "in case {x}"), ("if {x}",), at_start=True, but_not="of"),
    Group((" with respect to {x}", " in respect of {x}", " with regard to {x}"), (" regarding {x}", " concerning {x}")),
    Group((" on the grounds that {x}",), (" because {x}",)),
    Group((" for the purpose of {x}", " for purposes of {x}")),
    Group(("notwithstanding {x}",), ("in spite of {x}", "despite {x}"), at_start=True),
    Group(("根据{x}规定", "依据{x}规定", "依照{x}规定", "按照{x}规定")),
    Group(("根据{x}", "依据{x}", "依照{x}"), at_start=True),
    Group(("应当承担{x}", "应承担{x}", "须承担{x}", "应该承担{x}")),
    Group(("公诉机关指控{x}", "检察机关指控{x}", "起诉书指控{x}"), at_start=True),
    Group(("本院经审理查明{x}", "经本院审理查明{x}", "经审理查明{x}"), at_start=True),
    Group(("涉案金额共计{x}", "涉案金额合计{x}", "涉案金额总计{x}")),
    Group(("向{x}提起诉讼",), ("向{x}起诉",)),
)
_FINANCIAL = (
    Group((" increased by {x}", " rose by {x}", " went up by {x}", " grew by {x}")),
    Group((" decreased by {x}", " fell by {x}", " declined by {x}", " dropped by {x}")),
    Group((" in the amount of {x}", " amounting to {x}", " totalling {x}")),
    Group(("同比增长{x}", "较上年同期增长{x}", "较去年同期增长{x}", "比上年同期增长{x}")),
    Group(("同比下降{x}", "较上年同期下降{x}", "较去年同期下降{x}", "同比减少{x}")),
    Group(("金额共计{x}", "金额合计{x}", "金额总计{x}")),
    Group(("实现营业收入{x}",), ("营业收入达到{x}", "营业收入为{x}")),
)

PHRASES: dict[str, tuple[Group, ...]] = {
    "general": _GENERAL,
    "clinical": _CLINICAL,
    "legal": _LEGAL,
    "financial": _FINANCIAL,
}
"""Groups by the field whose language they are."""
