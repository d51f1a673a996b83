"""Words in English and in Chinese, and how a page asks for them.

A page has a table of its own and takes from `COMMON` what every page says. A test holds the two languages of each
table equal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from yibu.core.errors import InputError

Lang = Literal["en", "zh"]
Table = Mapping[str, tuple[str, str]]
"""key: (English, Chinese). Placeholders are the same in both."""

COMMON: dict[str, tuple[str, str]] = {
    "html_lang": ("en", "zh-CN"),
    "contents": ("Contents", "目录"),
    "meta.task": ("Task", "任务"),
    "meta.rows": ("Language of the rows", "数据语言"),
    "meta.date": ("Date", "日期"),
    "task.classify": ("classification", "分类"),
    "task.generate": ("text generation", "文本生成"),
    "language.en": ("English", "英文"),
    "language.zh": ("Chinese", "中文"),
    "list.comma": (", ", "、"),
    "list.and": (" and ", "和"),
    "list.or": (" or ", "或"),
    "sentences": (" ", ""),
    "list.more": ("{items} and {n} more", "{items}等，另有 {n} 个"),
    "caution.title": ("Read this first", "请先阅读"),
    "split.test": ("test", "测试集"),
    "split.valid": ("validation", "验证集"),
    "split.train": ("train", "训练集"),
    "points": ("pp", "个百分点"),
    "provenance.title": ("Provenance", "来源"),
    "provenance.again": ("Make it again", "如何重现"),
    "provenance.again_text": (
        "The same command on the same rows gives artifacts of the same names; what exists is not made again.",
        "同样的数据、同样的命令得到同名的产物；已有的不会重做。",
    ),
    "provenance.stages": ("Stages", "各阶段"),
    "provenance.caption": ("Artifacts that this report was made from", "本报告所依据的产物"),
    "provenance.stage": ("Stage", "阶段"),
    "provenance.artifact": ("Artifact", "产物"),
    "provenance.seconds": ("Time", "用时"),
    "provenance.machine": ("Machine and versions", "机器与版本"),
    "provenance.device": ("Device", "设备"),
    "provenance.dtype": ("Number type of the base", "基座数值类型"),
    "provenance.threads": ("Threads", "线程数"),
    "provenance.platform": ("Platform", "平台"),
    "time.seconds": ("{s} s", "{s} 秒"),
    "time.minutes": ("{m} min {s} s", "{m} 分 {s} 秒"),
    "time.hours": ("{h} h {m} min", "{h} 小时 {m} 分"),
    "stage.prepare": ("prepare", "准备数据"),
    "stage.augment": ("augment", "数据增强"),
    "stage.inspect": ("inspect", "数据检查"),
    "stage.train": ("train", "训练"),
    "stage.answer (base)": ("answer (base)", "作答（基座）"),
    "stage.answer (tuned)": ("answer (tuned)", "作答（微调）"),
    "stage.evaluate": ("evaluate", "评测"),
}


class Text:
    """The words of one language: ``t("contents")``, ``t("time.seconds", s=3)``."""

    def __init__(self, lang: str, texts: Table = COMMON) -> None:
        """
        Args:
            lang: ``"en"`` or ``"zh"``.
            texts: the page's own words, `COMMON` included.

        Raises:
            InputError: a language that no page is written in.
        """
        if lang not in ("en", "zh"):
            raise InputError("The report is not written in that language.", got=lang, allowed=["en", "zh"])
        self.lang = lang
        self._texts = texts
        self._column = 0 if lang == "en" else 1

    def __call__(self, key: str, **values: object) -> str:
        return self._texts[key][self._column].format(**values)

    def known(self, family: str, name: str) -> str:
        """The words for a name that a plug or a recipe may have made up; such a name stands for itself."""
        key = f"{family}.{name}"
        return self._texts[key][self._column] if key in self._texts else name.replace("_", " ")

    def join(self, items: Sequence[str], last: str = "and") -> str:
        """``a, b and c``, or with ``last="or"`` ``a, b or c``."""
        if len(items) < 2:
            return "".join(items)
        return self("list.comma").join(items[:-1]) + self(f"list.{last}") + items[-1]

    def some(self, items: Sequence[str], most: int = 8) -> str:
        """The first items, and how many more there are."""
        listed = self("list.comma").join(items[:most])
        return listed if len(items) <= most else self("list.more", items=listed, n=len(items) - most)

    def seconds(self, seconds: float) -> str:
        """A time span in the two largest units that matter."""
        if seconds < 60:
            return self("time.seconds", s=f"{seconds:.1f}" if seconds < 10 else f"{seconds:.0f}")
        whole = round(seconds)
        if whole < 3600:
            return self("time.minutes", m=whole // 60, s=whole % 60)
        return self("time.hours", h=whole // 3600, m=whole % 3600 // 60)
