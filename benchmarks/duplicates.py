"""Show 1: exact and near copies among 5,000 notes in Chinese and English, beside hard negatives.

Rows are real (MTS-Dialog, ACI-Bench, CodiEsp, LawBench; no two of them alike), and to them come 300 exact copies (other
width, capitals, white space), 300 near copies (typos, synonyms, filler words, moved sentences, other punctuation; no
value changed) and 300 hard negatives (the same text with one to three other values: a number, a side, a negation, a
masked name). How alike two texts are is told here by a plain program of sets of 5-grams (words of English, characters
of Chinese, letters and digits only), which shares no code with what is measured; a near copy is edited as long as that
stays >= 0.85.

What is found is a pair (row, the earlier row that it repeats). A row counts as found if that pair was planted, and as a
false alarm if not; precision is that of near copies alone, exact ones are taken out first. datasketch's MinHashLSH with
its usual settings (128 permutations, threshold 0.85, the same 5-grams, no verification) runs beside, on the same rows.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import re
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from claims import record
from yibu.metrics.stats import Interval, wilson
from yibu.prepare.near import DuplicateSettings, find_clusters, signatures
from yibu.prepare.same import key

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
THRESHOLD = 0.85
WIDTH = 5
console = Console()

# Words that an edit must not touch: an own list, and not that of yibu.
_PROTECTED = re.compile(
    r"\d|^(no|not|nor|never|none|without|denie[sd]|deny|negative|positive|left|right|bilateral|upper|lower|first|second|third"
    r"|one|two|three|four|five|six|seven|eight|nine|ten|once|twice|half|mild|moderate|severe|acute|chronic|normal"
    r"|abnormal|increased|decreased|elevated|reduced|high|low|higher|lower|above|below|over|under|before|after|male"
    r"|female|man|woman|daily|weekly|monthly|more|less|mg|ml|cm|mm|kg|day|days|week|weeks|month|months|year|years|hour"
    r"|hours|stable|improved|worse|start|started|stop|stopped|mother|father|single|double|free|unable|benign|malignant)$",
    re.IGNORECASE,
)
_PROTECTED_ZH = (
    "不未无没非否勿禁免拒左右上下前后内外男女阳阴正异升降高低增减大小多少良恶急慢轻中"
    "重第一二三四五六七八九十百千万亿两半某原被告甲乙丙丁买卖借贷收付盈亏胜败双单每"
)
_SYNONYMS = {
    "patient": "pt",
    "shows": "demonstrates",
    "reports": "states",
    "because": "since",
    "history": "hx",
    "also": "additionally",
    "however": "yet",
    "physician": "doctor",
    "okay": "ok",
    "medication": "medicine",
    "revealed": "demonstrated",
}
_SYNONYMS_ZH = {
    "患者": "病人",
    "因为": "由于",
    "但是": "可是",
    "法院": "法庭",
    "公司": "企业",
    "依法": "依照法律",
    "之后": "以后",
    "应当": "应该",
}
_FILLERS = ("indeed", "as noted", "of note", "well", "in summary", "basically", "otherwise")
_FILLERS_ZH = ("另外", "目前", "据悉", "此外", "同时", "确实", "其实")


@dataclass(frozen=True)
class Rows:
    """What was planted where.

    Attributes:
        texts: shuffled.
        exact, near, hard: pairs of places.
    """

    texts: list[str]
    exact: set[frozenset[int]]
    near: set[frozenset[int]]
    hard: set[frozenset[int]]


def notes() -> Iterator[str]:
    """Real texts in both languages, each of 60 to 350 words or 90 to 900 characters of Chinese."""
    for name in ("TrainingSet", "ValidationSet", "TestSet-1-MEDIQA-Chat-2023"):
        with (DATA / "mts_dialog" / f"MTS-Dialog-{name}.csv").open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines):
                yield from _cut(row["section_text"])
                yield from _cut(row["dialogue"])
    for file in ("train", "valid", "clinicalnlp_taskB_test1"):
        with (DATA / "aci_bench" / "challenge_data" / f"{file}.csv").open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines):
                yield from _cut(row["note"])
                yield from _cut(row["dialogue"])
    for file in ("train", "dev"):
        for line in (DATA / "codiesp" / f"{file}.jsonl").read_text(encoding="utf-8").splitlines():
            yield from _cut(json.loads(line)["text_en_mt"])
    for file in ("2-6", "3-3", "3-7", "3-8", "2-7", "3-2"):
        for row in json.loads((DATA / "lawbench" / "zero_shot" / f"{file}.json").read_text(encoding="utf-8")):
            yield from _cut(row["question"])
            yield from _cut(row["answer"])


def is_chinese(text: str) -> bool:
    return sum("\u4e00" <= sign <= "\u9fff" for sign in text) * 3 > len(text)


def grams(text: str) -> frozenset[str]:
    """5-grams of words or, in Chinese, of characters; letters and digits only."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    if is_chinese(text):
        units = [sign for sign in plain if sign.isalnum()]
        return frozenset("".join(units[place : place + WIDTH]) for place in range(len(units) - WIDTH + 1))
    units = re.findall(r"[^\W_]+", plain)
    return frozenset(" ".join(units[place : place + WIDTH]) for place in range(len(units) - WIDTH + 1))


def alike(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / max(1, len(one | other))


def distinct(texts: Iterable[str], most: int = 3) -> list[str]:
    """Texts of which no two share more than a few 5-grams in a hundred: found by an index of every 5-gram."""
    kept: list[str] = []
    holders: dict[str, list[int]] = {}
    sizes: list[int] = []
    for text in texts:
        own = grams(text)
        shared: dict[int, int] = {}
        for gram in own:
            for place in holders.get(gram, ()):
                shared[place] = shared.get(place, 0) + 1
        if any(number * 100 > most * 10 * min(len(own), sizes[place]) for place, number in shared.items()):
            continue
        for gram in own:
            holders.setdefault(gram, []).append(len(kept))
        kept.append(text)
        sizes.append(len(own))
    return kept


def exact_copy(text: str, chance: random.Random) -> str:
    change = chance.randrange(4)
    if change == 0:
        return text
    if change == 1:
        return text.upper() if not is_chinese(text) else text.replace("，", ",").replace("。", ". ")
    if change == 2:
        return "".join(chr(ord(sign) + 0xFEE0) if "a" <= sign <= "z" or "A" <= sign <= "Z" else sign for sign in text)
    return "\n " + text.replace(" ", "  ") + " \n"


def near_copy(text: str, chance: random.Random) -> str | None:
    """The text after one to eight edits, as long as it stays near; None where not a single edit does."""
    own, copy = grams(text), None
    edited = text
    for _ in range(chance.randint(1, 8)):
        edited = _edit_zh(edited, chance) if is_chinese(text) else _edit_en(edited, chance)
        share = alike(own, grams(edited))
        if share < THRESHOLD:
            break
        if share < 1 and key(edited) != key(text):
            copy = edited
    return copy


def hard_negative(text: str, chance: random.Random) -> str | None:
    """The text with one to three other values."""
    changed = text
    for _ in range(chance.randint(1, 3)):
        changed = chance.choice((_other_number, _other_number, _other_side, _other_name))(changed, chance)
    return changed if changed != text else None


def plant(num_rows: int, seed: int) -> Rows:
    """5,000 rows with 300 of each kind, or the same shares of fewer."""
    chance = random.Random(seed)
    number = num_rows * 300 // 5000
    bases = distinct(_balanced(notes(), num_rows, chance))
    chance.shuffle(bases)
    bases = bases[: num_rows - 3 * number]
    if len(bases) < num_rows - 3 * number:
        raise SystemExit(f"only {len(bases)} distinct notes")
    texts = list(bases)
    place = 0
    kinds: tuple[tuple[str, Callable[[str, random.Random], str | None]], ...] = (
        ("exact", exact_copy),
        ("near", near_copy),
        ("hard", hard_negative),
    )
    pairs: dict[str, list[tuple[int, int]]] = {}
    for kind, make in kinds:
        while len(pairs.setdefault(kind, [])) < number:
            copy = make(bases[place], chance)
            if copy is not None:
                pairs[kind].append((place, len(texts)))
                texts.append(copy)
            place += 1
    order = list(range(len(texts)))
    chance.shuffle(order)
    at = {old: new for new, old in enumerate(order)}
    planted = {kind: {frozenset((at[one], at[other])) for one, other in those} for kind, those in pairs.items()}
    return Rows([texts[old] for old in order], planted["exact"], planted["near"], planted["hard"])


def by_yibu(texts: list[str]) -> tuple[set[frozenset[int]], set[frozenset[int]], float]:
    """Exact pairs, near pairs, seconds."""
    began = time.perf_counter()
    seen: dict[int, int] = {}
    exact: set[frozenset[int]] = set()
    kept: list[int] = []
    for place, text in enumerate(texts):
        first = seen.setdefault(key(text), place)
        if first == place:
            kept.append(place)
        else:
            exact.add(frozenset((first, place)))
    made: list[bytes] = []
    for start in range(0, len(kept), 200):
        made += signatures([texts[place] for place in kept[start : start + 200]])
    found = find_clusters(made, lambda place: texts[kept[place]], DuplicateSettings(near="drop", threshold=THRESHOLD))
    near = {frozenset((kept[place], kept[other])) for place, (other, _) in found.duplicates.items()}
    return exact, near, time.perf_counter() - began


def by_datasketch(texts: list[str]) -> tuple[set[frozenset[int]], float]:
    from datasketch import MinHash, MinHashLSH

    began = time.perf_counter()
    index = MinHashLSH(threshold=THRESHOLD, num_perm=128)
    found: set[frozenset[int]] = set()
    seen: set[int] = set()
    for place, text in enumerate(texts):
        folded = key(text)
        if folded in seen:
            continue
        seen.add(folded)
        sketch = MinHash(num_perm=128)
        sketch.update_batch([gram.encode() for gram in grams(text)])
        found |= {frozenset((other, place)) for other in index.query(sketch)}
        index.insert(place, sketch)
    return found, time.perf_counter() - began


def main(num_rows: int, seed: int, dry: bool) -> None:
    rows = plant(num_rows, seed)
    exact, near, seconds = by_yibu(rows.texts)
    others, other_seconds = by_datasketch(rows.texts)
    figures = {
        "exact recall": _recall(exact, rows.exact),
        "near recall": _recall(near, rows.near),
        "near precision": _precision(near, rows.near),
    }
    table = Table("", "yibu", "datasketch MinHashLSH")
    rivals = {"near recall": _recall(others, rows.near), "near precision": _precision(others, rows.near)}
    for name, interval in figures.items():
        table.add_row(name, _show(interval), _show(rivals[name]) if name in rivals else "")
    hard_found = [len(found & rows.hard) for found in (near, others)]
    table.add_row("hard negatives taken for copies", *(f"{number} of {len(rows.hard)}" for number in hard_found))
    table.add_row("seconds", f"{seconds:.1f}", f"{other_seconds:.1f}")
    console.print(table)
    shares = [alike(*(grams(rows.texts[place]) for place in sorted(pair))) for pair in rows.hard]
    above = sum(share >= THRESHOLD for share in shares)
    chinese = sum(map(is_chinese, rows.texts))
    console.print(
        f"{len(rows.texts)} rows, {chinese} Chinese; {above} of {len(shares)} hard negatives are >= {THRESHOLD}"
    )
    strange = near - rows.near - rows.hard - rows.exact
    missed = [round(alike(*(grams(rows.texts[place]) for place in pair)), 3) for pair in rows.near - near]
    console.print(f"missed near copies, how alike they are: {missed}; other pairs: {len(strange)}")
    if dry:
        return
    goals = {"exact recall": "== 1", "near recall": ">= 0.98", "near precision": ">= 0.97"}
    for name, interval in figures.items():
        record(
            "data.duplicates_" + {"near precision": "precision"}.get(name, name.replace(" ", "_")),
            interval.value,
            low=interval.low,
            high=interval.high,
            n=interval.n,
            unit=f"{name} among {len(rows.texts)} notes in two languages, {interval.method}",
            goal=goals[name],
        )
    for name, interval in rivals.items():
        record(
            "data.duplicates_" + {"near precision": "precision"}.get(name, name.replace(" ", "_")) + ".datasketch",
            interval.value,
            low=interval.low,
            high=interval.high,
            n=interval.n,
            unit=f"{name} of datasketch's MinHashLSH on the same rows, {interval.method}",
        )
    record("data.duplicates_seconds", seconds, n=len(rows.texts), unit="seconds in one process", goal="<= 60")


def _recall(found: set[frozenset[int]], planted: set[frozenset[int]]) -> Interval:
    return wilson([pair in found for pair in sorted(planted, key=sorted)])


def _precision(found: set[frozenset[int]], planted: set[frozenset[int]]) -> Interval:
    return wilson([pair in planted for pair in sorted(found, key=sorted)])


def _show(interval: Interval) -> str:
    return f"{interval.value:.4f} ({interval.low:.3f} to {interval.high:.3f}, n {interval.n})"


def _cut(text: str) -> Iterator[str]:
    """Parts of a text that are long enough for an edit to leave it near, cut after sentences."""
    text = text.strip()
    least, most = (90, 500) if is_chinese(text) else (65, 200)
    part = ""
    for sentence in re.split(r"(?<=[。；！？\n])|(?<=[.!?])\s+", text):
        part = f"{part} {sentence}" if part and not is_chinese(text) else part + sentence
        if _length(part) >= most:
            yield part.strip()
            part = ""
    if _length(part) >= least:
        yield part.strip()


def _length(text: str) -> int:
    return len(text) if is_chinese(text) else len(text.split())


def _balanced(texts: Iterable[str], num_rows: int, chance: random.Random) -> list[str]:
    by_language: dict[bool, list[str]] = {True: [], False: []}
    for text in texts:
        by_language[is_chinese(text)].append(text)
    for those in by_language.values():
        chance.shuffle(those)
    return [*by_language[True][: num_rows * 6 // 10], *by_language[False]][: num_rows * 13 // 10]


def _edit_en(text: str, chance: random.Random) -> str:
    words = text.split(" ")
    free = [place for place, word in enumerate(words) if not _PROTECTED.search(word.strip(".,;:!?()\n"))]
    if not free:
        return text
    place = chance.choice(free)
    word = words[place]
    change = chance.randrange(7)
    if change == 0 and len(word) > 4 and word[1:3].isalpha():
        words[place] = word[0] + word[2] + word[1] + word[3:]
    elif change == 1:
        known = [number for number in free if words[number].strip(".,").lower() in _SYNONYMS]
        if known:
            place = chance.choice(known)
            words[place] = _SYNONYMS[words[place].strip(".,").lower()]
    elif change == 2:
        words.insert(place, chance.choice(_FILLERS))
    elif change == 3:
        small = [
            number for number in free if words[number].lower() in ("the", "a", "an", "that", "very", "of", "so", "and")
        ]
        if small:
            del words[chance.choice(small)]
    elif change == 4:
        return text.replace(", ", " ").replace(". ", "; ")
    elif change == 5:
        sentences = re.split(r"(?<=[.!?]) ", text)
        sentences.insert(chance.randrange(len(sentences)), sentences.pop(chance.randrange(len(sentences))))
        return " ".join(sentences)
    else:
        return text + chance.choice((" Thank you.", " Signed electronically.", " End of note."))
    return " ".join(words)


def _edit_zh(text: str, chance: random.Random) -> str:
    free = [
        place
        for place, sign in enumerate(text)
        if "\u4e00" <= sign <= "\u9fff"
        and not any(other.isdigit() or other in _PROTECTED_ZH for other in text[max(0, place - 2) : place + 3])
    ]
    if not free:
        return text
    place = chance.choice(free)
    change = chance.randrange(6)
    if change == 0:
        return text[:place] + chance.choice("的了之其于以") + text[place + 1 :]
    if change == 1:
        for one, other in chance.sample(sorted(_SYNONYMS_ZH.items()), len(_SYNONYMS_ZH)):
            if one in text:
                return text.replace(one, other, 1)
        return text
    if change == 2:
        starts = [found.end() for found in re.finditer("[，。；]", text)]
        start = chance.choice(starts) if starts else 0
        return text[:start] + chance.choice(_FILLERS_ZH) + text[start:]
    if change == 3:
        return text[:place] + text[place + 1 :]
    if change == 4:
        sentences = re.split("(?<=。)", text)
        sentences.insert(chance.randrange(len(sentences)), sentences.pop(chance.randrange(len(sentences))))
        return "".join(sentences)
    return text.replace("，", "、").replace("。", "；") + chance.choice(("", "特此说明。", "以上属实。"))


def _other_number(text: str, chance: random.Random) -> str:
    found = list(re.finditer(r"[0-9]+", text))
    if not found:
        return text
    number = chance.choice(found)
    other = number[0]
    while other == number[0]:
        first = chance.choice("123456789")
        other = first + "".join(chance.choice("0123456789") for _ in number[0][1:])
    return text[: number.start()] + other + text[number.end() :]


def _other_side(text: str, chance: random.Random) -> str:
    """Another side, or what was denied is there."""
    swaps = [
        *(
            (r"\bleft\b", "right"),
            (r"\bright\b(?= \w+)", "left"),
            (r"\bdenies\b", "reports"),
            (r"\bno (?=\w)", "some "),
        ),
        *((r"\bnot (?=\w)", ""), (r"\bwithout\b", "with"), ("左(?!右)", "右"), ("(?<!左)右", "左"), ("未(?!来)", "已")),
        *(("无(?![论数])", "有"), ("不(?![但仅断过])", "")),
    ]
    held = [(pattern, other) for pattern, other in swaps if re.search(pattern, text)]
    if not held:
        return text
    pattern, other = chance.choice(held)
    return re.sub(pattern, other, text, count=1)


def _other_name(text: str, chance: random.Random) -> str:
    """Another masked name in all places, or another dose."""
    name = re.search(r"([\u4e00-\u9fff])某", text)
    if name is None:
        return _other_number(text, chance)
    return text.replace(name[0], chance.choice([sign for sign in "赵钱孙李周吴郑王" if sign != name[1]]) + "某")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dry", action="store_true", help="print the figures and write none of them down")
    arguments = parser.parse_args()
    main(arguments.rows, arguments.seed, arguments.dry)
