"""Addresses in Latin script: a house number with a street, an apartment, a city with state and ZIP code.

Streets of other languages are known by their words too (Rue, Via, Calle, -straße, -gatan, -katu), since the notes of a
hospital or a bank hold the addresses of people from everywhere.
"""

from __future__ import annotations

import re

from yibu.detectors._found import Found, has_digit
from yibu.detectors._lists import spaced

_STATES = (
    "AL AK AZ AR CA CO CT DE FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM NY NC ND "
    "OH OK OR PA RI SC SD TN TX "
    "UT VT VA WA WV WI WY DC PR GU VI AA AE AP"
).replace(" ", "|")
_STREET = spaced(
    "street st avenue ave av road rd lane ln drive boulevard blvd square sq court ct place pl way highway hwy "
    "terrace parkway pkwy circle trail loop close crescent row mews grove gardens plaza alley walk bypass "
    "crossing turnpike pike ridge path hill rue via viale vicolo calle avenida camino paseo rua travessa praca "
    "largo estrada allee chemin impasse quai strasse weg platz ulica ulice ul utca ut u str trg piazza corso "
    "boulevarden gata vej odos leoforos avenue dr"
)
_ENDING = re.compile(
    r"(?:stra(?:ss|ß)e|str\.?|gasse|weg|platz|allee|straat|laan|gata|gatan|gate|gaten|vägen|veien|vegen|vej|"
    r"gade|katu|tie|kuja|polku|"
    r"utca|ulica|väg|gränd|stræde|vænget|parken|stræti|gata|braut|vegur|tn|mnt|pst|tee|tänav|iela)\.?,?$"
)
_UNITS = spaced("apt apartment suite ste unit room rm floor fl building bldg box flat trailer")
_PARTICLES = spaced(
    "de da do dos das del della di la le les los las van von der den of the and du des el al am an im zum zur "
    "e i u y na pod"
)
_START = re.compile(r"[0-9](?<![0-9A-Za-z_.,/:-].)[0-9]{0,5}[A-Za-z]?(?:[-/][0-9]{1,4})?,? (?=[A-ZÀ-ÞČĐŁŘŠŽΑ-Ω0-9])")
_UNIT_NUMBER = re.compile(r"[ ,.#]{0,3}(?:[0-9]{1,5}[A-Za-z]?|[A-Za-z][0-9]{0,4})(?![0-9A-Za-z])")
_TOKEN = re.compile(r"[^\s,;]+")
_STATE_ZIP = re.compile(rf"(?:{_STATES})(?<![A-Za-z]...)\.?,? [0-9]{{5}}(?:-[0-9]{{4}})?(?![0-9A-Za-z])")
_CITY = re.compile(r"[A-Z][A-Za-z.'-]+(?: [A-Z][A-Za-z.'-]+){0,2},? ?$")
_ZIP_WORD = re.compile(
    r"(?i:zip(?:[ -]?code)?|post(?:al)? ?code)(?: is|:| =)? ?([0-9]{3,6}(?:[- ][0-9]{2,4})?|"
    r"[A-Z]{1,2}[0-9][A-Z0-9]? ?[0-9][A-Z]{2})(?![0-9A-Za-z])"
)
_UK = re.compile(r"[A-Z](?<![0-9A-Za-z_.-].)[A-Z]?[0-9][A-Z0-9]? [0-9][ABD-HJLNP-UW-Z]{2}(?![0-9A-Za-z])")
_BOX = re.compile(
    r"(?:P\.? ?O\.? ?Box|Post Office Box|PSC|Unit) [0-9]{1,6}(?:,? Box [0-9]{1,5})?(?:,? ?\n? *(?:APO|FPO|"
    r"DPO) (?:AA|AE|AP) [0-9]{5})?(?![0-9A-Za-z])"
)
_CONTEXT = re.compile(
    r"(?i:address(?: is| was|:|)|lives? (?:at|on)|living at|resid(?:es|ing|ence) (?:at|on|is|:)|located at|"
    r"moved to|home is|office is at|meet (?:you )?at|"
    r"ship(?:ped)? to|deliver(?:ed)? to|(?:mail|sent|send)(?:ed)? to|billing address with)[ \t\n]*(?:[:]|is)?[ \t\n]*$"
)
_MONTHS = re.compile(
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)[.,]?$"
)


def find(text: str) -> list[Found]:
    """Addresses, ZIP codes and post boxes."""
    if not has_digit(text):
        return []
    spans: list[tuple[int, int]] = []
    for match in _START.finditer(text):
        if spans and match.start() < spans[-1][1]:
            continue
        end = _scan(text, match.start(), match.end())
        if end is not None:
            spans.append((match.start(), end))
    for match in _STATE_ZIP.finditer(text):
        city = _CITY.search(text, max(0, match.start() - 40), match.start())
        spans.append((city.start() if city is not None else match.start(), match.end()))
    for pattern, group in ((_UK, 0), (_BOX, 0)):
        spans += [match.span(group) for match in pattern.finditer(text)]
    if "ip" in text or "IP" in text or "ost" in text:
        spans += [match.span(1) for match in _ZIP_WORD.finditer(text)]
    return [Found(start, end, "address", False) for start, end in _merged(spans)]


def _scan(text: str, start: int, place: int) -> int | None:
    """Where the address that begins with the house number at ``start`` ends, None where it is none."""
    introduced = _CONTEXT.search(text, max(0, start - 40), start) is not None
    street, unit, names, end = False, False, 0, place
    after_unit = False
    for match in _TOKEN.finditer(text, place, place + 140):
        word = match[0]
        bare = word.strip(".,()").lower()
        gap = text[end : match.start()]
        if gap.count("\n") > 1 or (end > place and "." in text[end - 1 : end] and len(text[:end].split()[-1]) > 5):
            break
        if _STATE_ZIP.match(text, match.start()):
            street = True
        is_street = bare in _STREET or _ENDING.search(word) is not None
        if word.endswith(":"):  # a label of what comes next: Phone:
            break
        if _MONTHS.match(word) and not street:
            return None
        if (
            bare == "dr"
            and word.endswith(".")
            and text[match.end() : match.end() + 2].strip()[:1].isupper()
            and not names
        ):
            return None
        if is_street and (names or bare not in ("st", "dr", "ct", "pl", "way", "no", "u", "ut")):
            street = True
        elif bare in _UNITS and (street or names) and _UNIT_NUMBER.match(text, match.end()):
            unit = after_unit = True
            end = match.end()
            continue
        elif bare[:1].isdigit() and (names or street or after_unit):
            if len(bare) > 7 or any(sign in bare for sign in ":%$@/"):
                break
        elif word[:1].isupper():
            names += 1
        elif bare not in _PARTICLES and not after_unit:
            break
        if names > 8:
            break
        after_unit = False
        end = match.end()
    end = _trimmed(text, place, end)
    if end <= place or not (street or (unit and names) or (introduced and names)):
        return None
    return end


def _trimmed(text: str, place: int, end: int) -> int:
    """The end without punctuation and loose particles; the full stop of an abbreviation (St.) stays."""
    while end > place:
        last = text[place:end].split()[-1] if text[place:end].strip() else ""
        if last.lower() in _PARTICLES:
            end -= len(last)
        elif text[end - 1] in ',;:!?) \n"' or (text[end - 1] == "." and last.strip(".,").lower() not in _STREET):
            end -= 1
        else:
            break
    return end


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    result: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((start, end))
    return result
