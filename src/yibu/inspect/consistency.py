"""What the rows say in more than one way: one input with two labels, one term in several spellings, mistyped labels.

Nothing is changed here; it is a report and a list for people. The rows are read several times and never held: what
stays in memory is a number per distinct input and a bounded table of words.

Spellings
    With a dictionary, the forms in which a term of it stands in the rows. Without one, the rows themselves: words that
    are equal but for case, hyphen, space or width; words one edit away from a word that is much more frequent; and
    Chinese words that sound like a much more frequent one (阿斯匹林, 阿司匹林). Chinese words one character apart
    are no variants in general: 高血压 and 低血压 are not, which is why sound decides there.
Labels
    Rare labels that look like a frequent one. Edits that carry meaning are no typos: digits (I10, I11), hyper and hypo,
    a prefix that negates.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from itertools import pairwise
from typing import Any, NamedTuple

from pydantic import Field

from yibu.core.chance import exact_key, uniform
from yibu.core.recipe import Settings
from yibu.core.record import Row, Split
from yibu.inspect.labels import same_text
from yibu.tasks import Task

Rows = Callable[[], Iterator[tuple[Split, Row]]]

_MAX_IDS = 50  # of one conflict
_MAX_WORDS = 400_000  # of the table; beyond it the words seen once are forgotten
_LONGEST_KNOWN = 30  # characters of a piece of text that is remembered
_MAX_CJK = 3_000_000  # characters that are cut into Chinese words, which is slow
_MIN_WORD = 7  # letters: shorter words have real neighbours (taking, talking), which are no mistakes
_WORD = re.compile(r"[^\W\d_][\w]*(?:[-‐‑‒–'’][\w]+)*")
_LONGER_WORD = re.compile(r"[^\W\d_](?:\w+(?:[-‐‑‒–'’]\w+)*|(?:[-‐‑‒–'’]\w+)+)")  # but for those of one letter
_CJK_RUN = re.compile("[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+")
_JOINT = re.compile("[-‐‑‒–—_ \u3000]+")
_DASH = re.compile("[-‐‑‒–—]")
_DIGIT = re.compile(r"\d")
_WIDE = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}
# Prefixes and words that turn a meaning round, though they are one or two edits apart.
_OPPOSITES = (
    ("hyper", "hypo"), ("in", ""), ("un", ""), ("im", ""), ("ir", ""), ("il", ""), ("a", ""), ("de", ""), ("re", ""),
    ("ab", "ad"), ("ex", "im"), ("inter", "intra"), ("infra", "intra"), ("macro", "micro"), ("en", "un"), ("fe", ""),
)  # fmt: skip


class ConsistencySettings(Settings):
    """What is listed, and what counts as rare."""

    max_conflicts: int = Field(default=200, ge=1, description="inputs with several labels that are listed")
    max_spellings: int = Field(default=200, ge=1, description="terms in several spellings that are listed")
    max_typos: int = Field(default=100, ge=1, description="mistyped labels that are listed")
    min_frequent: int = Field(default=20, ge=2, description="times that a word stands in the rows to have variants")
    ratio: float = Field(default=50.0, ge=1, description="a word is a variant of one this many times as frequent")
    label_ratio: float = Field(default=10.0, ge=1, description="a label is a typo of one this many times as frequent")
    seed: int = 0


def find(rows: Rows, task: Task, dictionary: Any | None, settings: ConsistencySettings) -> dict[str, Any]:
    """The consistency report.

    Args:
        rows: gives a fresh iterator each time.
        task: says what the input, the answer and the class of a row are.
        dictionary: a `yibu.terms.Dictionary`, or None.
        settings: limits.

    Returns:
        ``conflicts``: ``{"ids", "labels", "n", "targets"}`` (most rows first; ``labels`` with the most frequent
        first, empty where the task has no classes, and then ``targets`` counts the different answers);
        ``spellings``: ``{"preferred", "code", "kind", "forms": {form: n}}``; ``label_typos``: ``{"label", "n", "like",
        "of", "kind"}``; ``counts``: the true totals, rows seen, and whether Chinese words could be looked at.
    """
    return report(answers(rows, task), spellings(rows, task, dictionary, settings), settings)


def report(answered: Answers, spelled: Spellings, settings: ConsistencySettings) -> dict[str, Any]:
    """What `find` returns, of its two halves."""
    typos = label_typos(answered.labels, settings.label_ratio)
    counts: dict[str, Any] = {
        "rows": answered.num_rows,
        "conflicts": len(answered.conflicts),
        "conflict_rows": sum(conflict["n"] for conflict in answered.conflicts),
    }
    if spelled.chinese_words is not None:
        counts["chinese_words"] = spelled.chinese_words
    counts |= {"spellings": len(spelled.found), "label_typos": len(typos), "labels": len(answered.labels)}
    return {
        "conflicts": answered.conflicts[: settings.max_conflicts],
        "spellings": spelled.found[: settings.max_spellings],
        "label_typos": typos[: settings.max_typos],
        "counts": counts,
    }


class Answers(NamedTuple):
    """What is answered to equal inputs.

    Attributes:
        conflicts: as `find` returns them, all of them.
        num_rows: seen.
        labels: label -> rows.
    """

    conflicts: list[dict[str, Any]]
    num_rows: int
    labels: dict[str, int]


class Spellings(NamedTuple):
    """Terms in more than one form.

    Attributes:
        found: as `find` returns them, all of them.
        chinese_words: whether Chinese words could be looked at; None where a dictionary says which words are.
    """

    found: list[dict[str, Any]]
    chinese_words: bool | None


def answers(rows: Rows, task: Task) -> Answers:
    """Inputs that stand with different labels (or answers)."""
    inputs = _Inputs(task)
    for _, row in rows():
        inputs.see(row)
    conflicts = _Conflicts(task, inputs.in_conflict)
    num_rows, labels = inputs.num_rows, inputs.labels
    del inputs  # a number per distinct input
    if conflicts.is_needed:
        for _, row in rows():
            conflicts.see(row)
    return Answers(conflicts.listed(), num_rows, labels)


def spellings(rows: Rows, task: Task, dictionary: Any | None, settings: ConsistencySettings) -> Spellings:
    """Variants of the dictionary's terms; without one, of the words that the rows hold."""
    if dictionary is not None:
        return Spellings(_spellings_of_terms(rows, task, dictionary), None)
    words = _Words(task)
    for _, row in rows():
        words.see(row)
    # Reading the rows costs as much as looking at them: what needs a second look shares it.
    apart, chinese = _TwoWords(task, words.counts), _ChineseWords(task, words.num_chinese, settings.seed)
    if apart.is_needed or chinese.is_needed:
        for _, row in rows():
            for looker in (apart, chinese):
                if looker.is_needed:
                    looker.see(row)
    return Spellings(_spellings_of_rows(words.counts, apart.found, chinese.words(), settings), chinese.can_cut)


def label_typos(counts: dict[str, int], ratio: float) -> list[dict[str, Any]]:
    """Labels that look like another one mistyped, the one with the most rows first.

    Equal but for case, width, punctuation or white space: the rarer is a typo of the more frequent, however often it
    stands. Else one or two edits (one where the label is shorter than eight characters or Chinese; none where it is
    shorter than six, or four in Chinese) from a label that is ``ratio`` times as frequent.
    """
    order = sorted(counts, key=lambda label: (-counts[label], label))
    found: list[dict[str, Any]] = []
    first: dict[str, str] = {}
    distinct: list[str] = []
    for label in order:
        like = first.setdefault(bare_label(label), label)
        if like == label:
            distinct.append(label)
        else:
            found.append({"label": label, "n": counts[label], "like": like, "of": counts[like], "kind": "form"})
    most = max(counts.values(), default=0)
    near = _Near([label for label in distinct if counts[label] >= ratio], 2)
    for label in distinct:
        if counts[label] * ratio > most:
            continue
        best: tuple[int, int, str] | None = None
        for like, distance in near.of(label):
            short = min(len(label), len(like))
            chinese = _CJK_RUN.search(label) is not None
            allowed = 0 if short < (4 if chinese else 6) else 1 if short < 8 or chinese else 2
            if distance <= allowed and counts[label] * ratio <= counts[like] and not carries_meaning(label, like):
                candidate = (distance, -counts[like], like)
                best = candidate if best is None else min(best, candidate)
        if best is not None:
            found.append({"label": label, "n": counts[label], "like": best[2], "of": -best[1], "kind": "edit"})
    return sorted(found, key=lambda typo: (-typo["n"], -typo["of"], typo["label"]))


def bare_label(label: str) -> str:
    """A label without case, width, punctuation and white space; what may be a value stays: A+ is not A-, 1.5 is not 15,
    Rh- is not Rh."""
    folded = unicodedata.normalize("NFC", label).translate(_WIDE).casefold().replace("_", " ")
    folded = re.sub(r"(?<!\d)\s+|\s+(?!\d)", "", folded)
    folded = re.sub(r"(?<=[^\W\d])[-‐‑‒–—](?=[^\W\d])", "", folded)
    return re.sub(r"(?<!\d)[.,;:!?'\"’()\[\]{}/\\、。·《》「」“”]+(?!\d)", "", folded) or folded


def carries_meaning(one: str, other: str) -> bool:
    """Whether two similar names differ in what decides their meaning: a digit, a negation, hyper and hypo."""
    if _digits(one) != _digits(other):
        return True
    one, other = one.casefold(), other.casefold()
    return any(
        one.startswith(left) and other.startswith(right) and one[len(left) :] == other[len(right) :]
        for pair in _OPPOSITES
        for left, right in (pair, pair[::-1])
    ) or any(sign in one + other and one.replace(sign, "") == other.replace(sign, "") for sign in "+-<>≤≥非无不未")


def edits(one: str, other: str, limit: int) -> int:
    """Insertions, deletions, substitutions and swaps of neighbours between two texts (Damerau 1964, optimal string
    alignment); ``limit + 1`` where they are more than the limit."""
    if abs(len(one) - len(other)) > limit:
        return limit + 1
    before: list[int] = []
    row = list(range(len(other) + 1))
    for place, letter in enumerate(one, start=1):
        before, above, row = row, before, [place]
        for column, against in enumerate(other, start=1):
            cost = min(before[column] + 1, row[-1] + 1, before[column - 1] + (letter != against))
            if place > 1 and column > 1 and letter == other[column - 2] and one[place - 2] == against:
                cost = min(cost, above[column - 2] + 1)
            row.append(cost)
        if min(row) > limit and (not before or min(before) > limit):
            return limit + 1
    return min(row[-1], limit + 1)


class _Near:
    """Finds words within so many edits of another: with k edits, one of k + 1 parts of the word is untouched.

    A swap of neighbours may touch two parts, so there is one part more for each edit. Words with other digits are not
    looked for, since `carries_meaning` would refuse them: without that, thousands of codes would all be neighbours.
    """

    def __init__(self, words: Iterable[str], limit: int) -> None:
        self._limit = limit
        self._parts: dict[tuple[str, int, str], list[str]] = defaultdict(list)
        for word in words:
            for start, part in self._cut(word):
                self._parts[_digits(word), start, part].append(word)

    def of(self, word: str) -> list[tuple[str, int]]:
        """The words within the limit, but the word itself, sorted, with their distances."""
        found: set[str] = set()
        digits = _digits(word)
        for length in range(max(1, len(word) - self._limit), len(word) + self._limit + 1):
            for start, size in self._places(length):
                for shift in range(-self._limit, self._limit + 1):
                    if start + shift >= 0:
                        part = word[start + shift : start + shift + size]
                        if len(part) == size:
                            found.update(w for w in self._parts.get((digits, start, part), ()) if len(w) == length)
        found.discard(word)
        distances = ((other, edits(word, other, self._limit)) for other in sorted(found))
        return [(other, distance) for other, distance in distances if distance <= self._limit]

    def _cut(self, word: str) -> Iterator[tuple[int, str]]:
        for start, size in self._places(len(word)):
            yield start, word[start : start + size]

    def _places(self, length: int) -> list[tuple[int, int]]:
        num_parts = min(2 * self._limit + 1, max(1, length))
        cuts = [length * part // num_parts for part in range(num_parts + 1)]
        return [(start, end - start) for start, end in pairwise(cuts) if end > start]


class _Inputs:
    """Which inputs stand with different labels (or answers), and how often each label.

    Attributes:
        num_rows: seen.
        labels: label -> rows.
        in_conflict: keys of those inputs.
    """

    def __init__(self, task: Task) -> None:
        self.num_rows = 0
        self.labels: Counter[str] = Counter()
        self.in_conflict: set[int] = set()
        self._task = task
        self._first: dict[int, int] = {}

    def see(self, row: Row) -> None:
        self.num_rows += 1
        label = self._task.label(row)
        if label is not None:
            self.labels[label] += 1
        prompt, answer = _key(self._task.prompt_text(row)), _key(_answer(row, self._task))
        if self._first.setdefault(prompt, answer) != answer:
            self.in_conflict.add(prompt)


class _Conflicts:
    """The rows of inputs that stand with different labels (or answers)."""

    def __init__(self, task: Task, inputs: set[int]) -> None:
        self.is_needed = bool(inputs)
        self._task = task
        self._inputs = inputs
        self._ids: dict[int, list[str]] = defaultdict(list)
        self._labels: dict[int, Counter[str]] = defaultdict(Counter)
        self._answers: dict[int, set[int]] = defaultdict(set)
        self._sizes: Counter[int] = Counter()

    def see(self, row: Row) -> None:
        prompt = _key(self._task.prompt_text(row))
        if prompt not in self._inputs:
            return
        self._sizes[prompt] += 1
        self._answers[prompt].add(_key(_answer(row, self._task)))
        if len(self._ids[prompt]) < _MAX_IDS:
            self._ids[prompt].append(row.id)
        label = self._task.label(row)
        if label is not None:
            self._labels[prompt][label] += 1

    def listed(self) -> list[dict[str, Any]]:
        """Those with the most rows first."""
        found: list[dict[str, Any]] = []
        for prompt, size in self._sizes.items():
            labels = self._labels[prompt]
            told = sorted(labels, key=lambda label: (-labels[label], label))
            found.append({"ids": self._ids[prompt], "labels": told, "n": size, "targets": len(self._answers[prompt])})
        found.sort(key=lambda conflict: (-conflict["n"], -conflict["targets"], conflict["ids"]))
        return found


def _answer(row: Row, task: Task) -> str:
    """What must not differ for one input: the class, or the whole answer where there is none. Raw text has no input."""
    label = task.label(row)
    if label is not None:
        return label
    prompt = task.prompt_text(row)
    target = task.target(row)
    return "" if target == prompt else same_text(target)


def _key(text: str) -> int:
    """64 bits that stand for the text as it is compared."""
    return exact_key(same_text(text))


def _texts(row: Row, task: Task) -> Iterator[str]:
    """The text of the row: its prompt, and its answer where that is no class."""
    prompt = task.prompt_text(row)
    yield prompt
    if not task.closed_set:
        target = task.target(row)
        if target != prompt:
            yield target


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
    words: Counter[str], apart: dict[str, Counter[str]], chinese: Counter[str], settings: ConsistencySettings
) -> list[dict[str, Any]]:
    """Variants of words found by the rows themselves."""
    found = _same_but_for_form(words, apart)
    told = {form for spelling in found for form in spelling["forms"]}
    plain: Counter[str] = Counter()
    for word, number in words.items():
        plain[unicodedata.normalize("NFKC", word).casefold()] += number
    found += _mistyped(plain, settings, told)
    if chinese:
        found += _same_sound(chinese, settings)
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


def _mistyped(plain: Counter[str], settings: ConsistencySettings, told: set[str]) -> list[dict[str, Any]]:
    """Rare words one edit away from a frequent one; with the same first letter, and no mere inflection of it."""
    frequent = [word for word, number in plain.items() if number >= settings.min_frequent and len(word) >= _MIN_WORD]
    near = _Near(frequent, 1)
    variants: dict[str, Counter[str]] = defaultdict(Counter)
    most_of_a_typo = max((plain[word] for word in frequent), default=0) / settings.ratio
    for word, number in plain.items():
        if len(word) < _MIN_WORD or number > most_of_a_typo or word in told:
            continue
        likes = [
            like
            for like, _ in near.of(word)
            if plain[like] >= number * settings.ratio and like[0] == word[0] and not _inflected(word, like)
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


def _same_sound(words: Counter[str], settings: ConsistencySettings) -> list[dict[str, Any]]:
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
            if number * settings.ratio <= group[top] and sum(a != b for a, b in zip(word, top, strict=True)) == 1
        }
        if forms and group[top] >= settings.min_frequent:
            forms = _by_number(Counter({top: group[top], **forms}))
            found.append({"preferred": top, "code": None, "kind": "sound", "forms": forms})
    return found


def _digits(text: str) -> str:
    return "".join(_DIGIT.findall(text))


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
