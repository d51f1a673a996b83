"""Personal data: how much of what is there is found, and how much of what is found is there.

**Planted.** 1,000 identifiers of Chinese and English form, written by the generator in this file (its own check digits,
nothing of `yibu.detectors` is imported for it; one in six of those with a check digit has a wrong one, as people
mistype), are glued without spaces into real sentences of lawbench, MTS-Dialog and banking77 that are full of other
numbers, with decoys beside them: order numbers, amounts, doses, hashes, versions, article numbers. Names, streets and
cities come from ``privacy_heldout.json`` (mimesis); no list of the detectors is made from mimesis, though Chinese
surnames are a closed class that both have. Chinese estates and towns are written below. Sentences with years, months,
titles or parties of a case are left out beforehand by a plain pattern, since what they hold is personal data that
nobody planted; everything found in the others counts as false, the names that the pattern overlooked too. Found is an
identifier that is covered whole.

**presidio_synth.** 1,500 sentences with spans (English, synthetic), cut by a hash of the text in a half for work on the
detectors and a half for this figure. Beside ours: the recognisers of presidio-analyzer itself on the same rows. spaCy's
models are not on PyPI, so presidio runs **without a model** here: no names, no context words. The figures say what its
patterns do, not what it does with a model. F1 per type over exact spans, and over spans that overlap. Years and
weekdays alone are dates in that data set and none here (Safe Harbor keeps years), which costs recall of DATE_TIME.

``--dev`` uses the other halves of lists, sentences and rows, and of the words around names and addresses; it prints
what went wrong, and records nothing.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

from claims import record
from privacy_planted import DATA, Document, carriers, chinese_sentences, documents, english_sentences, half_of
from yibu.detectors import expand, find_all

NUM_PLANTED = 1000


def wilson(hits: int, total: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927)."""
    if not total:
        return 0.0, 1.0
    z, share = 1.959964, hits / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    spread = z / (1 + z * z / total) * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return middle - spread, middle + spread


def microseconds(docs: list[Document], half: int) -> float:
    """Per 500 characters, over texts of about that length with one identifier each, all kinds; processor time."""
    kinds = frozenset(expand(["all"]))
    fill = {True: carriers(chinese_sentences(), half)[::7], False: carriers(english_sentences(), half)[::7]}
    texts, place = [], 0
    for doc in docs[:300]:
        text, chinese = doc.text, re.search("[一-鿿]", doc.text) is not None
        while len(text) < 480:
            text += ("" if chinese else " ") + fill[chinese][place % len(fill[chinese])]
            place += 1
        texts.append(text)
    for text in texts[:20]:
        find_all(text, kinds)
    begin = time.process_time()
    for text in texts:
        find_all(text, kinds)
    return 1e6 * (time.process_time() - begin) / sum(map(len, texts)) * 500


def run_planted(docs: list[Document], show: bool) -> dict[str, Any]:
    kinds = frozenset(expand(["all"]))
    found_of, exact_of, total_of, false_of = Counter(), Counter(), Counter(), Counter()
    num_found, num_true = 0, 0
    for doc in docs:
        found = find_all(doc.text, kinds)
        for planted in doc.planted:
            inside = [one for one in found if one.start < planted.end and planted.start < one.end]
            covered = set().union(*(range(one.start, one.end) for one in inside)) if inside else set()
            group = ("zh " if not doc.text.isascii() and re.search("[一-鿿]", doc.text) else "en ") + planted.kind
            total_of[group] += 1
            hit = set(range(planted.start, planted.end)) <= covered
            found_of[group] += hit
            exact_of[group] += any((one.start, one.end) == (planted.start, planted.end) for one in inside)
            if show and not hit:
                print(
                    "  MISSED",
                    planted.kind,
                    repr(doc.text[max(0, planted.start - 12) : planted.end + 12]),
                    [doc.text[o.start : o.end] + ":" + o.kind for o in inside],
                )
        for one in found:
            true = any(
                min(one.end, planted.end) - max(one.start, planted.start) > 0.5 * (one.end - one.start)
                for planted in doc.planted
            )
            num_found, num_true = num_found + 1, num_true + true
            false_of[one.kind] += not true
            if show and not true:
                print(
                    "  FALSE ",
                    one.kind,
                    repr(doc.text[max(0, one.start - 12) : one.start]),
                    repr(doc.text[one.start : one.end]),
                    repr(doc.text[one.end : one.end + 8]),
                )
    return {
        "found": found_of,
        "exact": exact_of,
        "total": total_of,
        "false": false_of,
        "num_found": num_found,
        "num_true": num_true,
    }


TYPES = {
    "PERSON": "name",
    "STREET_ADDRESS": "address",
    "CREDIT_CARD": "bank_card",
    "DATE_TIME": "date",
    "PHONE_NUMBER": "phone",
    "EMAIL_ADDRESS": "email",
    "DOMAIN_NAME": "url",
    "IBAN_CODE": "account",
    "US_SSN": "ssn",
    "IP_ADDRESS": "ip",
    "US_DRIVER_LICENSE": "licence",
}
SHARED = tuple(name for name in TYPES if name not in ("PERSON", "STREET_ADDRESS"))
"""Types for which presidio has a recogniser that needs no model."""


def synth_rows(half: int) -> list[dict[str, Any]]:
    rows = json.loads((DATA / "presidio_synth/synth_dataset_v2.json").read_text(encoding="utf-8"))
    return [row for row in rows if half_of(row["full_text"]) == half]


def ours(text: str, kinds: frozenset[str]) -> list[tuple[int, int, str]]:
    back = {kind: name for name, kind in TYPES.items()} | {"birth_date": "DATE_TIME"}
    return [(one.start, one.end, back[one.kind]) for one in find_all(text, kinds) if one.kind in back]


def presidio() -> Callable[[str], list[tuple[int, int, str]]]:
    """presidio's own pattern recognisers, the best span where they overlap; the threshold of its analyzer (0)."""
    import tldextract
    from presidio_analyzer import EntityRecognizer
    from presidio_analyzer import predefined_recognizers as all_of

    # Its e-mail recogniser would download the list of public suffixes; the copy in the package does.
    tldextract.extract = tldextract.TLDExtract(suffix_list_urls=())
    made = [
        all_of.CreditCardRecognizer(),
        all_of.DateRecognizer(),
        all_of.PhoneRecognizer(),
        all_of.EmailRecognizer(),
        all_of.UrlRecognizer(),
        all_of.IbanRecognizer(),
        all_of.UsSsnRecognizer(),
        all_of.IpRecognizer(),
        all_of.UsLicenseRecognizer(),
    ]

    def find(text: str) -> list[tuple[int, int, str]]:
        found = [one for recogniser in made for one in recogniser.analyze(text, recogniser.supported_entities, None)]
        # Below .3 lie the patterns that presidio calls very weak and only keeps where a context word lifts them.
        found = EntityRecognizer.remove_duplicates([one for one in found if one.score >= 0.3])
        kept: list[Any] = []
        for one in sorted(found, key=lambda one: (-one.score, one.start - one.end)):
            if not any(one.start < other.end and other.start < one.end for other in kept):
                kept.append(one)
        return [(one.start, one.end, "DOMAIN_NAME" if one.entity_type == "URL" else one.entity_type) for one in kept]

    return find


def span_f1(
    rows: list[dict[str, Any]], find: Callable[[str], list[tuple[int, int, str]]], exact: bool, show: str = ""
) -> dict[str, tuple[float, float, float, int]]:
    """(precision, recall, F1, gold spans) per type. Neighbouring gold pieces of one address are one."""
    hits, said, gold = Counter(), Counter(), Counter()
    for row in rows:
        text = row["full_text"]
        truth = [(s["start_position"], s["end_position"], s["entity_type"]) for s in row["spans"]]
        found = find(text)
        for name in TYPES:
            true = [(a, b) for a, b, kind in truth if kind == name]
            # A zip code or an apartment inside an address that was found is no false alarm, nor is a place.
            other = [(a, b) for a, b, kind in truth if kind in ("ZIP_CODE", "GPE") and name == "STREET_ADDRESS"]
            mine = [(a, b) for a, b, kind in found if kind == name]
            gold[name] += len(true)
            if exact:
                hits[name] += len(set(true) & set(mine))
                said[name] += len(mine)
            else:
                hits[name] += sum(any(a < d and c < b for c, d in mine) for a, b in true)
                wrong = [(a, b) for a, b in mine if not any(a < d and c < b for c, d in true + other)]
                said[name] += sum(any(a < d and c < b for c, d in mine) for a, b in true) + len(wrong)
                if show == name or show == "all":
                    for a, b in wrong:
                        print("  FALSE ", name, repr(text[max(0, a - 15) : a]), repr(text[a:b]), repr(text[b : b + 10]))
                    for a, b in true:
                        if not any(a < d and c < b for c, d in mine):
                            print(
                                "  MISSED",
                                name,
                                repr(text[max(0, a - 15) : a]),
                                repr(text[a:b]),
                                repr(text[b : b + 10]),
                            )
    result = {}
    for name in TYPES:
        precision = hits[name] / said[name] if said[name] else 0.0
        recall = hits[name] / gold[name] if gold[name] else 0.0
        f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
        result[name] = (precision, recall, f1, gold[name])
    return result


def main(dev: bool, count: int, show: str, keep: bool) -> None:
    half = 0 if dev else 1
    docs = list(documents(seed=7 if dev else 20261124, half=half, count=count))
    result = run_planted(docs, show=dev and show != "none")
    table: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    print(f"{'planted':22} {'n':>5} {'found':>6} {'exact':>6}   95 %")
    for group in sorted(result["total"]):
        total, hit, exact = result["total"][group], result["found"][group], result["exact"][group]
        low, high = wilson(hit, total)
        print(f"{group:22} {total:5} {hit / total:6.3f} {exact / total:6.3f}   {low:.3f} to {high:.3f}")
        bucket = table["names_addresses" if group[3:] in ("name", "address") else "patterned"]
        for place, value in enumerate((total, hit, exact)):
            bucket[place] += value
    for bucket_name, (total, hit, exact) in table.items():
        print(f"{bucket_name:22} {total:5} {hit / total:6.3f} {exact / total:6.3f}   {wilson(hit, total)}")
    precision = result["num_true"] / result["num_found"]
    low, high = wilson(result["num_true"], result["num_found"])
    print(
        f"precision {precision:.3f} of {result['num_found']} ({low:.3f} to {high:.3f}); false: {dict(result['false'])}"
    )
    speed = microseconds(docs, half)
    print(f"{speed:.0f} us per 500 characters, all kinds")

    rows = synth_rows(half)
    kinds = frozenset({*TYPES.values(), "birth_date"})
    theirs = presidio()
    figures = {}
    for who, find in (("ours", lambda text: ours(text, kinds)), ("presidio", theirs)):
        for exact in (True, False):
            figures[who, exact] = span_f1(rows, find, exact, show if who == "ours" and not exact and dev else "")
    print(
        f"presidio_synth, {len(rows)} rows; presidio without a model\n{'type':18} {'n':>4}  ours: exact  "
        f"overlap   presidio: exact  overlap"
    )
    for name in TYPES:
        cells = "   ".join(
            f"{figures[who, True][name][2]:.3f}    {loosely[2]:.3f} ({loosely[0]:.2f}/{loosely[1]:.2f})"
            for who in ("ours", "presidio")
            for loosely in [figures[who, False][name]]
        )
        print(f"{name:18} {figures['ours', True][name][3]:4}        {cells}")
    macro = {who: sum(figures[who, True][name][2] for name in SHARED) / len(SHARED) for who in ("ours", "presidio")}
    loose = {who: sum(figures[who, False][name][2] for name in SHARED) / len(SHARED) for who in ("ours", "presidio")}
    print(f"macro F1 over {len(SHARED)} shared types: exact {macro}, overlap {loose}")
    if dev or not keep:
        return
    for claim, bucket_name, goal in (
        ("data.privacy_recall_patterned", "patterned", ">= 0.98"),
        ("data.privacy_recall_names_addresses", "names_addresses", ">= 0.9"),
    ):
        total, hit, _ = table[bucket_name]
        low, high = wilson(hit, total)
        record(
            claim,
            round(hit / total, 4),
            low=round(low, 4),
            high=round(high, 4),
            n=total,
            unit="planted identifiers covered whole",
            goal=goal,
        )
    low, high = wilson(result["num_true"], result["num_found"])
    record(
        "data.privacy_precision",
        round(precision, 4),
        low=round(low, 4),
        high=round(high, 4),
        n=result["num_found"],
        unit="spans found that were planted",
        goal=">= 0.95",
    )
    unit = f"macro exact-span F1 over {len(SHARED)} types, held-out half of presidio_synth"
    record("data.privacy_presidio_f1", round(macro["ours"], 4), n=len(rows), unit=unit)
    record(
        "data.privacy_presidio_f1_presidio",
        round(macro["presidio"], 4),
        n=len(rows),
        unit=unit + "; presidio 2.2.366 without a model",
    )
    record(
        "data.privacy_us_per_500_characters",
        round(speed, 1),
        n=300,
        unit="microseconds of one core, all kinds, texts of 500 characters",
        goal="<= 300",
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dev", action="store_true", help="the other halves; records nothing")
    parser.add_argument("--count", type=int, default=NUM_PLANTED)
    parser.add_argument(
        "--show", default="", help="with --dev: a type of presidio_synth whose mistakes are printed, all, or none"
    )
    parser.add_argument("--dry", action="store_true", help="record nothing")
    arguments = parser.parse_args()
    main(arguments.dev, arguments.count, arguments.show, not arguments.dry)
