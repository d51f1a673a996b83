"""Cleaning of text: profiles, mojibake, HTML, traditional characters, boilerplate. What carries meaning stays.

``plain``
    For any domain. Unicode NFC; control, zero-width and bidirectional-control characters out; white space made
    one space within lines, trailing white space off. Line breaks and the indentation of lines stay (code, lists).
``clinical``
    For notes and reports: plain, without indentation and runs of blank lines; full-width digits, letters and signs of
    numbers become ASCII (３７．５ becomes 37.5), the minus sign U+2212 becomes a hyphen before a digit, and rules drawn
    with four or more ``_ - = * ~ .`` become three. Every decimal point, sign, unit and comparison stays: no
    NFKC here, which would turn ℃ into °C and 10⁹ into 109.
``financial``
    For statements, reports and tickets: as clinical, and currency signs, and the commas and the minus of an amount that
    has one, are no longer full-width (￥１，２３４．５０ becomes ¥1,234.50). The brackets of a negative amount,
    per cent, per mille, basis points, 亿 and 万 stay; so do runs of ``*``, which hide digits of an account number.
``legal``
    For statutes, judgments and contracts: as clinical; 《》〔〕【】 and the numbers in them, §, ① and （一） stay, and
    so do runs of ``*``, which hide a name.
``strict``
    The function ``clean_text`` of the guide that this project grew from, kept exactly so that its effect can be
    measured: it removes all punctuation, so 37.5 becomes 375. Not for text in which numbers matter.

Every change is an edit with a place (`yibu.core.edits`), so that entities follow their text whatever was done to it.
Cleaning twice is cleaning once. Text that is clean already is only looked at: the gates in front of the steps scan it a
few times at a nanosecond a character.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from importlib.util import find_spec
from itertools import accumulate
from typing import Any, Literal, get_args

from pydantic import Field, field_validator, model_validator

from yibu.core.edits import Edit, SpanLost, apply, are_spans
from yibu.core.errors import MissingExtra, nearest
from yibu.core.recipe import Settings
from yibu.prepare import boilerplate as repeated
from yibu.prepare import language, markup

Profile = Literal["plain", "clinical", "financial", "legal", "strict"]
_DOMAINS = ("clinical", "financial", "legal")


def _default_html(chosen: dict[str, Any]) -> Literal["auto", False]:
    return "auto" if chosen.get("profile") in _DOMAINS else False


def _default_mojibake(chosen: dict[str, Any]) -> bool:
    return chosen.get("profile") != "strict"


class CleanSettings(Settings):
    """How text is cleaned, and which rows are left out by it; labels and ids never are."""

    profile: Profile = Field(
        default="plain", description="plain | clinical | financial | legal | strict, see `yibu.prepare.clean`"
    )
    html: bool | Literal["auto"] = Field(
        default_factory=_default_html,
        description="HTML to text; auto: only in rows that really hold some (the default of clinical, financial and "
        "legal; of plain and strict: false, since code may be meant)",
    )
    mojibake: bool = Field(
        default_factory=_default_mojibake,
        description="repair text that was decoded with the wrong encoding (â‰¥ becomes ≥); default: but for strict",
    )
    chinese: Literal["keep", "simplified"] = Field(
        default="keep", description="simplified: traditional characters become simplified ones"
    )
    boilerplate: bool = Field(
        default=False,
        description="take out lines that stand at the top or the end of many rows (letterheads, disclaimers)",
    )
    min_characters: int = Field(default=0, ge=0, description="rows with a shorter prompt are left out")
    max_characters: int | None = Field(default=None, ge=1, description="rows with a longer prompt are left out")
    languages: tuple[str, ...] = Field(
        default=(), description="codes such as zh and en: rows that are clearly in none of them are left out"
    )

    @field_validator("languages")
    @classmethod
    def _known_languages(cls, languages: tuple[str, ...]) -> tuple[str, ...]:
        for code in languages:
            if code not in language.CODES:
                close = nearest(code, language.CODES) or nearest(code[:2], language.CODES)
                raise ValueError(
                    f"{code!r} is no language code that can be told" + (f"; did you mean {close!r}?" if close else "")
                )
        return languages

    @model_validator(mode="after")
    def _lengths_in_order(self) -> CleanSettings:
        if self.max_characters is not None and self.max_characters < self.min_characters:
            raise ValueError(
                f"max_characters ({self.max_characters}) is less than min_characters ({self.min_characters})"
            )
        return self


class Step:
    """A replacement by a regular expression.

    Args:
        kind: what a change is called in the counts.
        pattern: matches only what is changed.
        new: what is put there.
    """

    def __init__(self, kind: str, pattern: str, new: str | Callable[[re.Match[str]], str] = "") -> None:
        self.kind = kind
        self.run = partial(re.compile(pattern).subn, new)  # text -> the new text, and how many places were changed
        self._matches = re.compile(pattern).finditer
        self._new = new

    def edits(self, text: str) -> tuple[list[Edit], int]:
        """The same as edits, and how many places are changed."""
        edits: list[Edit] = []
        matches = [*self._matches(text)]
        for match in matches:
            new = self._new if isinstance(self._new, str) else self._new(match)
            edits += _between(match[0], new, match.start())
        return edits, len(matches)


def _narrow(match: re.Match[str]) -> str:
    return match[0].translate(_NARROW)


_NARROW = {wide: wide - 0xFEE0 for wide in range(0xFF01, 0xFF5F)} | dict(zip(map(ord, "￠￡￥￦"), "¢£¥₩", strict=True))
_SPACE = "[^\\S\n]"

_VISIBLE = (
    Step("line_breaks", "\r\n|[\r\x0b\x0c\x85\u2028\u2029]", "\n"),
    # C0 and C1 controls but tab and line feed; soft hyphen, zero-width and bidirectional controls, byte order mark,
    # halves of surrogate pairs, which no tokenizer takes, interlinear and tag characters.
    Step(
        "invisible",
        "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff"
        "\ud800-\udfff\ufff9-\ufffb\U000e0000-\U000e007f]",
    ),
    # Joiners spell words in Arabic, Indic and South-East Asian scripts and build emoji; elsewhere they are dirt.
    Step(
        "invisible",
        "[\u200c\u200d](?<![\u0600-\u08ff\u0900-\u109f\u1780-\u18af\u2600-\u27bf\ufe0f\U0001f000-\U0001faff].)",
    ),
)
_WIDE_ALNUM = Step("width", "[０-９Ａ-Ｚａ-ｚ]+", _narrow)
_WIDE_SIGN = Step("width", "[．：／－＋％＾](?<=[0-9].)|[－＋＜＞＝](?=[0-9])", _narrow)
_MINUS = Step("minus", "\u2212(?=[0-9])", "-")
_FOLDS: dict[str, tuple[Step, ...]] = {
    "clinical": (_WIDE_ALNUM, _WIDE_SIGN, _MINUS),
    "financial": (
        _WIDE_ALNUM,
        Step("width", "[＄￠￡￥￦]", _narrow),
        # Only where a currency sign says that it is one number, in groups of three to its end: 第100，200号 are two.
        Step("width", "[$¢£¥₩€][0-9]{1,3}(?:，[0-9]{3})+(?![0-9]|，[0-9])", lambda match: match[0].replace("，", ",")),
        _WIDE_SIGN,
        Step("minus", "[\u2212－](?=[$¢£¥₩€]?[0-9])", "-"),
    ),
    "legal": (_WIDE_ALNUM, _WIDE_SIGN, _MINUS),
}
_FOLDED = re.compile("[０-９Ａ-Ｚａ-ｚ．：／－＋％＾＜＞＝＄￠￡￥￦\u2212]|[$¢£¥₩€][0-9]{1,3}，")

# A run of white space within a line, unless it is one plain space. Patterns begin at the first character of a run, so
# that a run of any length costs its length once.
_INNER = Step("whitespace", f"{_SPACE}(?<=\\S{_SPACE})(?:(?<! ){_SPACE}*|{_SPACE}+)", " ")
_INNER_PLAIN = Step("whitespace", " (?<=\\S ) +", " ")  # where all white space is plain; faster
_TRAILING = Step("whitespace", f"(?<!{_SPACE}){_SPACE}+(?=\n)")
_LEADING = Step("whitespace", f"(?<=\n){_SPACE}+")
_BLANK_LINES = Step("whitespace", "(?<=\n\n)\n+")
_RULE_MARKS = {"clinical": "_-=*~.", "financial": "_-=~.", "legal": "_-=~."}
_RULES = {
    profile: Step("rules", "|".join(f"(?<={re.escape(mark) * 3}){re.escape(mark)}+" for mark in marks))
    for profile, marks in _RULE_MARKS.items()
}
_GUIDE = (
    Step("whitespace", r"[^\S ]\s*| \s+", " "),
    Step("punctuation", r"[^\w\s\u4e00-\u9fff]"),
)

# What a byte that begins a character in UTF-8 looks like, decoded as Latin-1 or Windows-1252; and the C1 controls,
# which were Windows-1252 once: but U+0085, a line break.
_LEAD = re.compile("[\x80-\x84\x86-\x9f\xc2-\xd6\xd8-\xf4]")
# A space may have been the byte A0. × is left out: ×² is more often meant than the Hebrew ligature that it might be.
_NOT_ASCII = re.compile("[^\x00-\x7f×]+(?: [^\x00-\x7f×]+)*")
_MAX_PASSES = 1000  # each pass shortens the text or is the last, unless a conversion ran in a circle


class _Work:
    """A text that is being cleaned.

    Attributes:
        text: as it is now.
        spans: places in it that must be followed; None if nobody asks.
        counts: what was changed how often.
    """

    __slots__ = ("_looked_at", "_printable", "counts", "spans", "text")

    def __init__(self, text: str, counts: Counter[str], spans: list[tuple[int, int]] | None = None) -> None:
        self.text = text
        self.counts = counts
        self.spans = spans
        self._looked_at: str | None = None
        self._printable = False

    def is_printable(self) -> bool:
        """Nothing but what can be seen, plain spaces and line feeds. Most text is, and this is ten times as fast to
        find out as to search for what is not."""
        if self._looked_at is not self.text:
            self._looked_at = self.text
            self._printable = self.text.replace("\n", "").isprintable()
        return self._printable

    def run(self, *steps: Step) -> None:
        for step in steps:
            if self.spans is None:
                self.text, num_places = step.run(self.text)
            else:
                edits, num_places = step.edits(self.text)
                self.apply(edits)
            if num_places:
                self.counts[step.kind] += num_places

    def edit(self, kind: str, edits: list[Edit]) -> None:
        if edits:
            self.apply(edits)
            self.counts[kind] += len(edits)

    def strip(self) -> None:
        text = self.text
        stripped = text.strip()
        if len(stripped) != len(text):
            start = len(text) - len(text.lstrip())
            edits = [Edit(0, start, ""), Edit(start + len(stripped), len(text), "")]
            self.edit("whitespace", [edit for edit in edits if edit.start != edit.end])

    def apply(self, edits: list[Edit]) -> None:
        if edits:
            if self.spans is not None:
                self.spans = _moved(self.spans, edits)
            self.text = apply(self.text, edits)


class Cleaner:
    """Cleans texts and the fields of rows.

    Args:
        settings: of the recipe.
        boilerplate: pieces that are taken out, see `yibu.prepare.boilerplate.learn`.

    Raises:
        MissingExtra: a library that the settings ask for is not installed.
    """

    def __init__(self, settings: CleanSettings, boilerplate: frozenset[str] = frozenset()) -> None:
        self.settings = settings
        self.boilerplate = boilerplate
        self._profile = settings.profile
        self._html = settings.html is not False
        for package, asked in (
            ("ftfy", settings.mojibake),
            ("selectolax", self._html),
            ("opencc", settings.chinese == "simplified"),
        ):
            # Asked here and not at the first text that needs it, which may come after hours.
            if asked and find_spec(package) is None:
                raise MissingExtra(package, extra="data", use="cleaning")

    def text(self, text: str) -> str:
        """The clean text."""
        work = _Work(text, Counter())
        self._clean(work)
        return work.text

    def fields(self, fields: dict[str, Any], names: Sequence[str]) -> tuple[dict[str, Any], Counter[str]]:
        """The fields with those named clean, and how often what was changed; others (labels, ids) are not touched.

        Text is cleaned, in a list of turns the content of each; the offsets of ``entities`` follow their ``text``;
        other JSON values stay as they are. Where nothing changes, the very table that was given comes back.

        Kinds: ``mojibake html line_breaks invisible width minus composed simplified rules boilerplate whitespace
        punctuation``.

        Raises:
            ValueError: why the row is lost by cleaning: an entity is no longer there.
        """
        counts: Counter[str] = Counter()
        changed: dict[str, Any] = {}
        for name in names:
            value = fields.get(name)
            if isinstance(value, str):
                spans: Any = fields.get("entities") if name == "text" else None
                work = _Work(value, counts, _places(spans, value) if spans and are_spans(spans, value) else None)
                try:
                    self._clean(work)
                    if work.text != value:
                        changed[name] = work.text
                        if work.spans is not None:
                            changed["entities"] = _placed(fields["entities"], work)
                except SpanLost as error:
                    raise ValueError(f"an entity is lost by cleaning with profile {self._profile!r}") from error
            elif isinstance(value, list):
                turns = [self._turn(item, counts) for item in value]
                if turns != value:
                    changed[name] = turns
        return ({**fields, **changed} if changed else fields), counts

    def _turn(self, item: Any, counts: Counter[str]) -> Any:
        if not (isinstance(item, dict) and isinstance(item.get("content"), str)):
            return item
        work = _Work(item["content"], counts)
        self._clean(work)
        return {**item, "content": work.text}

    def _clean(self, work: _Work) -> None:
        """Run the steps until none finds anything.

        One pass is enough for most; but what one step uncovers may be for an earlier one: ``&amp;lt;``, or ``&ｌｔ；``.
        """
        for _ in range(_MAX_PASSES):
            before = work.text
            self._convert(work)
            if self._profile != "strict":
                self._tidy(work)
            if work.text == before or not self._may_convert(work.text):
                break
        if self._profile == "strict":
            work.run(*_GUIDE)
            work.strip()

    def _may_convert(self, text: str) -> bool:
        return (
            bool(self.boilerplate)
            or (self._html and ("<" in text or "&" in text))
            or (not text.isascii() and (self.settings.chinese == "simplified" or _LEAD.search(text) is not None))
        )

    def _convert(self, work: _Work) -> None:
        """What the settings ask for beyond the profile."""
        if self.settings.mojibake and not work.text.isascii() and _LEAD.search(work.text):
            work.edit("mojibake", list(_decodings(work.text)))
        if (self._html or self._profile != "strict") and not work.is_printable():
            work.run(*_VISIBLE)
        if self._html and ("<" in work.text or "&" in work.text):
            self._unmark(work)
        if self.settings.chinese == "simplified" and not work.text.isascii():
            work.edit("simplified", language.simplifications(work.text))

    def _unmark(self, work: _Work) -> None:
        """HTML to text."""
        always = self.settings.html is True
        if not always and "```" in work.text:
            return  # code is shown
        tags = [*markup.TAG.finditer(work.text)]
        if tags and (always or markup.is_html(tags)):
            work.text, work.spans = markup.unmarked(work.text, work.spans)
            work.counts["html"] += len(tags)
        else:
            work.edit("html", markup.references(work.text))

    def _tidy(self, work: _Work) -> None:
        """The profile."""
        if not work.is_printable():
            work.run(*_VISIBLE)
        if not work.text.isascii():
            if self._profile in _FOLDS and _FOLDED.search(work.text):
                work.run(*_FOLDS[self._profile])
            self._compose(work)
        rules = _RULES.get(self._profile)
        if rules is not None and any(mark * 4 in work.text for mark in _RULE_MARKS[self._profile]):
            work.run(rules)
        if self.boilerplate:
            work.edit("boilerplate", repeated.edits(work.text, self.boilerplate, work.spans or ()))
        text = work.text
        if not work.is_printable():
            work.run(_INNER, _TRAILING)
        elif "  " in text or " \n" in text:
            work.run(_INNER_PLAIN, _TRAILING)
        if self._profile in _DOMAINS:
            if "\n " in text or not work.is_printable():
                work.run(_LEADING)
            if "\n\n\n" in work.text:
                work.run(_BLANK_LINES)
        work.strip()

    @staticmethod
    def _compose(work: _Work) -> None:
        if unicodedata.is_normalized("NFC", work.text):
            return
        work.counts["composed"] += 1
        if work.spans is None:
            work.text = unicodedata.normalize("NFC", work.text)
        else:
            work.apply(list(_compositions(work.text)))


def clean_as(profile: Profile, text: str) -> str:
    """The text cleaned by a profile alone."""
    return Cleaner(CleanSettings(profile=profile, html=False, mojibake=False)).text(text)


PROFILES: dict[Profile, Callable[[str], str]] = {profile: partial(clean_as, profile) for profile in get_args(Profile)}


# --- places -----------------------------------------------------------------------------------------------------------


def _between(old: str, new: str, start: int) -> Iterator[Edit]:
    """The edits that make one piece of a text into another, no larger than they must be."""
    if len(old) == len(new):
        for index, (was, now) in enumerate(zip(old, new, strict=True), start=start):
            if was != now:
                yield Edit(index, index + 1, now)
    elif old != new:
        yield Edit(start, start + len(old), new)


def _moved(spans: list[tuple[int, int]], edits: list[Edit]) -> list[tuple[int, int]]:
    """Where the spans are after the edits; what was taken off their ends is no longer theirs.

    Raises:
        SpanLost: a border lies within what became something else as a whole.
    """
    starts = [edit.start for edit in edits]
    ends = [edit.end for edit in edits]
    growth = [0, *accumulate(len(edit.new) - (edit.end - edit.start) for edit in edits)]

    def place(border: int, opens: bool) -> int:
        index = bisect_right(ends, border)
        if index == len(edits) or starts[index] >= border:
            return border + growth[index]
        edit = edits[index]
        if edit.new.strip():
            raise SpanLost("an edit reaches over the border of a span")
        return edit.start + growth[index] + (len(edit.new) if opens else 0)

    return [(place(start, True), place(end, False)) for start, end in spans]


def _places(entities: list[dict[str, Any]], text: str) -> list[tuple[int, int]]:
    """The spans of entities.

    Raises:
        ValueError: offsets that do not lie in the text.
    """
    spans = [(entity["start"], entity["end"]) for entity in entities]
    if not all(type(start) is type(end) is int and 0 <= start < end <= len(text) for start, end in spans):
        raise ValueError("the offsets of an entity do not lie in its text")
    return spans


def _placed(entities: list[dict[str, Any]], work: _Work) -> list[dict[str, Any]]:
    """The entities where they are now, without white space at their ends.

    Raises:
        SpanLost: nothing is left of one.
    """
    placed = []
    for entity, (start, end) in zip(entities, work.spans or (), strict=True):
        words = work.text[start:end]
        start += len(words) - len(words.lstrip())
        words = words.strip()
        if not words:
            raise SpanLost("nothing is left of a span")
        placed.append(
            {**entity, "start": start, "end": start + len(words)} | ({"text": words} if "text" in entity else {})
        )
    return placed


# --- encodings --------------------------------------------------------------------------------------------------------


def _decodings(text: str) -> Iterator[Edit]:
    """Repairs of text that was decoded with the wrong encoding, found by ftfy.

    Each run of characters beyond ASCII is judged by itself: no digit, sign or quote of ASCII can change, and good
    text beside bad is safe. Nothing else of ftfy is used: it would uncurl quotes, change widths, take ligatures apart.
    """
    for match in _NOT_ASCII.finditer(text):
        run = match[0]
        if not _LEAD.search(run):
            continue
        start = match.start()
        for old, new in _aligned(run, _decoded(run)):
            yield from _between(old, new, start)
            start += len(old)


def _aligned(run: str, decoded: str) -> list[tuple[str, str]]:
    """What became what: a character, or the two to four that its bytes were taken for."""
    if run == decoded:
        return []
    pairs = []
    place = 0
    for character in decoded:
        encoded = character.encode("utf-8", "surrogatepass")
        old = run[place : place + len(encoded)]
        if len(encoded) == 1 or old not in (encoded.decode("latin-1"), encoded.decode("sloppy-windows-1252")):
            old = run[place : place + 1]
        pairs.append((old, character))
        place += len(old)
    # Otherwise it was decoded wrongly twice, or with a rare encoding, and only the whole is known to be the whole.
    is_whole = place == len(run) and all(old for old, _ in pairs)
    return pairs if is_whole else [(run, decoded)]


@cache
def _fixer() -> Callable[[str], str]:
    from ftfy import TextFixerConfig, fix_encoding

    # A lossy sequence would become U+FFFD, and be seen no more.
    config = TextFixerConfig(replace_lossy_sequences=False, explain=False)
    return partial(fix_encoding, config=config)


def _decoded(run: str) -> str:
    fixed = _fixer()(f" {run}")  # some pairs, such as Â¥, look wrong to ftfy only after a space
    return fixed[1:] if fixed[:1] == " " else run


def _compositions(text: str) -> Iterator[Edit]:
    """Unicode NFC as edits, each of one base character and what is written on it."""
    start = 0
    for end in range(1, len(text) + 1):
        if end == len(text) or _begins(text[start:end], text[end]):
            yield from _between(text[start:end], unicodedata.normalize("NFC", text[start:end]), start)
            start = end


def _begins(before: str, character: str) -> bool:
    """Whether a character begins something new, for NFC."""
    if character < "\u0300":
        return True
    if unicodedata.combining(unicodedata.normalize("NFD", character)[0]):
        return False
    parts = unicodedata.normalize("NFC", before) + unicodedata.normalize("NFC", character)
    return unicodedata.normalize("NFC", before + character) == parts
