"""Terms that stand in the rows in several spellings.

With a dictionary, the forms in which a term of it stands in the rows. Without one, the rows themselves: words that are
equal but for case, hyphen, space or width; words one edit away from a word that is much more frequent; and Chinese
words that sound like a much more frequent one (阿斯匹林, 阿司匹林). Chinese words one character apart are no
variants in general: 高血压 and 低血压 are not, which is why sound decides there.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from itertools import pairwise
from typing import Any, NamedTuple

from yibu.core.chance import uniform
from yibu.core.record import Row, Split
from yibu.inspect.alike import Near, carries_meaning
from yibu.tasks import Task

Rows = Callable[[], Iterator[tuple[Split, Row]]]

_MAX_WORDS = 400_000  # of the table; beyond it the words seen once are forgotten
_LONGEST_KNOWN = 30  # characters of a piece of text that is remembered
_MAX_CJK = 3_000_000  # characters that are cut into Chinese words, which is slow
_MIN_WORD = 7  # letters: shorter words have real neighbours (taking, talking), which are no mistakes
_WORD = re.compile(r"[^\W\d_][\w]*(?:[-‐‑‒–'’][\w]+)*")
_LONGER_WORD = re.compile(r"[^\W\d_](?:\w+(?:[-‐‑‒–'’]\w+)*|(?:[-‐‑‒–'’]\w+)+)")  # but for those of one letter
_CJK_RUN = re.compile("[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+")
_JOINT = re.compile("[-‐‑‒–—_ \u3000]+")
_DASH = re.compile("[-‐‑‒–—]")


class Spellings(NamedTuple):
    """Terms in more than one form.

    Attributes:
        found: ``{"preferred", "code", "kind", "forms": {form: n}}``, all of them.
        chinese_words: whether Chinese words could be looked at; None where a dictionary says which words are.
    """

    found: list[dict[str, Any]]
    chinese_words: bool | None


def spellings(
    rows: Rows, task: Task, dictionary: Any | None, *, min_frequent: int, ratio: float, seed: int
) -> Spellings:
    """Variants of the dictionary's terms; without one, of the words that the rows hold.

    Args:
        rows: gives a fresh iterator each time.
        task: says what the texts of a row are.
        dictionary: a `yibu.terms.Dictionary`, or None.
        min_frequent: times that a word stands in the rows to have variants.
        ratio: a word is a variant of one this many times as frequent.
        seed: of the draw of rows whose Chinese words are looked at.
    """
    if dictionary is not None:
        return Spellings(_spellings_of_terms(rows, task, dictionary), None)
    words = _Words(task)
    for _, row in rows():
        words.see(row)
    # Reading the rows costs as much as looking at them: what needs a second look shares it.
    apart, chinese = _TwoWords(task, words.counts), _ChineseWords(task, words.num_chinese, seed)
    if apart.is_needed or chinese.is_needed:
        for _, row in rows():
            for looker in (apart, chinese):
                if looker.is_needed:
                    looker.see(row)
    return Spellings(
        _spellings_of_rows(words.counts, apart.found, chinese.words(), min_frequent, ratio), chinese.can_cut
    )


def _spellings_of_terms(rows: Rows, task: Task, dictionary: Any) -> list[dict[str, Any]]:
    """Terms of the dictionary that stand in the rows in more than one form."""
    forms: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for _, row in rows():
        for text in _texts(row, task):
            for match in dictionary.find(text):
                name = (match.entry.preferred, match.entry.code or "")
                forms[name][_sentence_case(text[match.start : match.end])] += 1
    found = [
        {"preferred": preferred, "code": code or None, "kind": "term", "forms": _by_number(counter)}
        for (preferred, code), counter in forms.items()
        if len(counter) > 1
    ]
    return _by_weight(found)


def _spellings_of_rows(
    words: Counter[str], apart: dict[str, Counter[str]], chinese: Counter[str], min_frequent: int, ratio: float
) -> list[dict[str, Any]]:
    """Variants of words found by the rows themselves."""
    found = _same_but_for_form(words, apart)
    told = {form for spelling in found for form in spelling["forms"]}
    plain: Counter[str] = Counter()
    for word, number in words.items():
        plain[unicodedata.normalize("NFKC", word).casefold()] += number
    found += _mistyped(plain, min_frequent, ratio, told)
    if chinese:
        found += _same_sound(chinese, min_frequent, ratio)
    return _by_weight(found)


class _Cased(dict[str, str]):
    """Words without the capital that a sentence begins with; most of them are asked for again and again."""

    def __missing__(self, word: str) -> str:
        if len(self) > _MAX_WORDS:
            self.clear()
        self[word] = cased = _sentence_case(word)
        return cased


class _Words:
    """Words of alphabets with their numbers; when the table is full the words seen once are forgotten.

    Attributes:
        counts: word -> how often.
        num_chinese: characters of Chinese between them.
    """

    def __init__(self, task: Task) -> None:
        self.counts: Counter[str] = Counter()
        self.num_chinese = 0
        self._task = task
        self._cased = _Cased()

    def see(self, row: Row) -> None:
        for text in _texts(row, self._task):
            if not text.isascii():
                rest = _CJK_RUN.split(text)
                self.num_chinese += len(text) - sum(map(len, rest))
                text = " ".join(rest)
            self.counts.update(map(self._cased.__getitem__, _LONGER_WORD.findall(text)))
        if len(self.counts) > _MAX_WORDS:
            self.counts = Counter({word: number for word, number in self.counts.items() if number > 1})
            if len(self.counts) > _MAX_WORDS:
                most = sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))
                self.counts = Counter(dict(most[: _MAX_WORDS // 2]))


def _same_but_for_form(words: Counter[str], apart: dict[str, Counter[str]]) -> list[dict[str, Any]]:
    """Words that are equal but for case, hyphen, space or width. A heading in capitals is no other spelling."""
    by_key: dict[str, Counter[str]] = defaultdict(Counter)
    for word, number in words.items():
        by_key[_joined(word)][word] += number
    for key, forms in apart.items():
        by_key[key].update(forms)
    found = []
    for key, forms in by_key.items():  # one letter, repeated, is a mask
        narrow = {unicodedata.normalize("NFKC", form) for form in forms}
        joints = len({_DASH.sub("-", form).casefold() for form in narrow}) > 1
        kind = "hyphen" if joints else "width" if len(narrow) < len(forms) else "case"
        if len(forms) > 1 and len(set(key)) > 1 and (kind != "case" or _case_matters(forms)):
            found.append({"preferred": _most(forms), "code": None, "kind": kind, "forms": _by_number(forms)})
    return found


def _case_matters(forms: Counter[str]) -> bool:
    """Abbreviations (ECG, Ecg, ecg) and mixed case (mmHg, mmHG); not a word that is sometimes shouted."""
    mixed = any(form != form.lower() and form != form.upper() and form != form.capitalize() for form in forms)
    top = _most(forms)
    return mixed or (len(top) <= 5 and top.isupper())


class _Edges(dict[str, tuple[str, str]]):
    """Of what stands between two spaces: the word that it ends with, if a spelling with a hyphen begins so, and the
    word that it begins with; "" for none. Most pieces are asked for again and again."""

    def __init__(self, starts: set[str]) -> None:
        super().__init__()
        self._starts = starts

    def __missing__(self, piece: str) -> tuple[str, str]:
        words = [*_WORD.finditer(piece)]
        last = words[-1][0] if words and words[-1].end() == len(piece) else ""
        first = words[0][0] if words and words[0].start() == 0 else ""
        edges = last if last.casefold() in self._starts else "", first
        if len(piece) <= _LONGEST_KNOWN:
            if len(self) > _MAX_WORDS:
                self.clear()
            self[piece] = edges
        return edges


class _TwoWords:
    """Words with a hyphen as they are also written, as two words (follow-up, follow up).

    Attributes:
        found: joined form -> forms with a space.
    """

    def __init__(self, task: Task, words: Counter[str]) -> None:
        hyphened = [word for word, number in words.items() if number > 1 and _JOINT.search(word)]
        self.is_needed = bool(hyphened)
        self.found: dict[str, Counter[str]] = defaultdict(Counter)
        self._task = task
        self._joined = {_joined(word) for word in hyphened}
        self._edges = _Edges({_JOINT.split(word)[0].casefold() for word in hyphened})

    def see(self, row: Row) -> None:
        for text in _texts(row, self._task):
            for (left, _), (_, right) in pairwise(map(self._edges.__getitem__, text.split(" "))):
                if left and right and (key := _joined(left + right)) in self._joined:
                    self.found[key][f"{_sentence_case(left)} {_sentence_case(right)}"] += 1


def _mistyped(plain: Counter[str], min_frequent: int, ratio: float, told: set[str]) -> list[dict[str, Any]]:
    """Rare words one edit away from a frequent one; with the same first letter, and no mere inflection of it."""
    frequent = [word for word, number in plain.items() if number >= min_frequent and len(word) >= _MIN_WORD]
    near = Near(frequent, 1)
    variants: dict[str, Counter[str]] = defaultdict(Counter)
    most_of_a_typo = max((plain[word] for word in frequent), default=0) / ratio
    for word, number in plain.items():
        if len(word) < _MIN_WORD or number > most_of_a_typo or word in told:
            continue
        likes = [
            like
            for like, _ in near.of(word)
            if plain[like] >= number * ratio and like[0] == word[0] and not _inflected(word, like)
        ]
        likes = [like for like in likes if not carries_meaning(word, like)]
        if likes:
            variants[min(likes, key=lambda like: (-plain[like], like))][word] += number
    return [
        {"preferred": like, "code": None, "kind": "edit", "forms": _by_number(Counter({like: plain[like]}) + forms)}
        for like, forms in variants.items()
    ]


def _inflected(one: str, other: str) -> bool:
    """Whether two words differ only in their last letters (patient, patients; walked, walker)."""
    stem = min(len(one), len(other)) - 1
    return one[:stem] == other[:stem] and sorted(one) != sorted(other)


class _ChineseWords:
    """Chinese words of three characters and more, in rows drawn by hash.

    Attributes:
        can_cut: False where there are characters, and no library to cut or spell them.
    """

    def __init__(self, task: Task, num_characters: int, seed: int) -> None:
        libraries = ("jieba", "pypinyin")
        self.can_cut = not num_characters or all(find_spec(library) is not None for library in libraries)
        self.is_needed = num_characters > 0 and self.can_cut
        self._task = task
        self._seed = seed
        self._share = _MAX_CJK / max(1, num_characters)
        self._runs: Counter[str] = Counter()

    def see(self, row: Row) -> None:
        if self._share < 1 and uniform(self._seed, row.id, "chinese words") >= self._share:
            return
        for text in _texts(row, self._task):
            if not text.isascii():
                self._runs.update(_CJK_RUN.findall(text))

    def words(self) -> Counter[str]:
        """What the rows hold, each run of characters cut once: phrases come back, and cutting is slow."""
        words: Counter[str] = Counter()
        if self._runs:
            import jieba

            jieba.setLogLevel("ERROR")
            cut = jieba.Tokenizer()
            for run, number in self._runs.items():
                for word in cut.lcut(run):
                    if len(word) >= 3:
                        words[word] += number
        return words


def _same_sound(words: Counter[str], min_frequent: int, ratio: float) -> list[dict[str, Any]]:
    """Chinese words that sound alike (tones aside) and differ in one character, beside a much more frequent one."""
    from pypinyin import lazy_pinyin

    by_sound: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for word, number in words.items():
        by_sound[tuple(lazy_pinyin(word))][word] += number
    found = []
    for group in by_sound.values():
        top = _most(group)
        forms = {
            word: number
            for word, number in group.items()
            if number * ratio <= group[top] and sum(a != b for a, b in zip(word, top, strict=True)) == 1
        }
        if forms and group[top] >= min_frequent:
            forms = _by_number(Counter({top: group[top], **forms}))
            found.append({"preferred": top, "code": None, "kind": "sound", "forms": forms})
    return found


def _texts(row: Row, task: Task) -> Iterator[str]:
    """The text of the row: its prompt, and its answer where that is no class."""
    prompt = task.prompt_text(row)
    yield prompt
    if not task.closed_set:
        target = task.target(row)
        if target != prompt:
            yield target


def _sentence_case(word: str) -> str:
    """Without the capital that a sentence begins with."""
    return word[0].lower() + word[1:] if word[:1].isupper() and word[1:].islower() else word


def _joined(word: str) -> str:
    return _JOINT.sub("", unicodedata.normalize("NFKC", word).casefold())


def _most(forms: Counter[str]) -> str:
    return min(forms, key=lambda form: (-forms[form], form))


def _by_number(forms: Counter[str]) -> dict[str, int]:
    return dict(sorted(forms.items(), key=lambda item: (-item[1], item[0])))


def _by_weight(spellings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those first whose less frequent forms stand in the rows most often."""

    def weight(spelling: dict[str, Any]) -> int:
        numbers = spelling["forms"].values()
        return int(sum(numbers) - max(numbers))

    return sorted(spellings, key=lambda one: (-weight(one), one["preferred"], one["kind"], str(one["code"])))
