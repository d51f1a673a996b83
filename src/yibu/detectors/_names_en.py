"""Names in Latin script: by lists of given names and surnames, by titles, and by the words that introduce a person."""

from __future__ import annotations

import re
from collections.abc import Iterator

from yibu.detectors._found import Found
from yibu.detectors._lists import fold, spaced, words

_UPPER, _LOWER = (
    "A-ZÀ-ÖØ-ÞĀĂĄĆĈĊČĎĐĒĔĖĘĚĜĞĠĢĤĦĨĪĬĮİĴĶĹĻĽĿŁŃŅŇŌŎŐŒŔŖŘŚŜŞŠŢŤŦŨŪŬŮŰŲŴŶŸŹŻŽȘȚ",
    "a-zà-öø-ÿāăąćĉċčďđēĕėęěĝğġģĥħĩīĭįıĵķĺļľŀłńņňōŏőœŕŗřśŝşšţťŧũūŭůűųŵŷźżžșț",
)
_ANY = _UPPER + _LOWER
_CAPITAL = rf"[{_UPPER}](?<![{_ANY}0-9_@.'-].)[{_ANY}]*(?:['-][{_ANY}]+)*"
_PARTICLE = r"(?:van|von|der|den|de|da|do|dos|das|di|del|della|la|le|bin|ibn|al|el|ter|af|y)"
_RUN = re.compile(
    rf"{_CAPITAL}(?:(?:\. ?|[ \t]{{1,2}})(?:(?:{_PARTICLE} ){{1,2}})?[{_UPPER}][{_ANY}]*(?:['-][{_ANY}]+)*)*"
)
_PARTICLES = spaced("van von der den de da do dos di del la le el bin al y ter af")
_WORD = re.compile(rf"[{_ANY}]+(?:['-][{_ANY}]+)*")
_TITLES = spaced(
    "mr mrs ms miss mx dr prof professor doctor sir madam madame rev reverend judge justice nurse sister "
    "father capt captain lt sgt officer detective attorney senator president uncle aunt auntie grandma grandpa "
    "herr frau signor senor senora monsieur"
)
# What introduces a person. After the strong ones any capitalised word is a name, in lower case too a listed one.
_STRONG = re.compile(
    r"(?:\b[Nn]ame(?:'s)?(?: of (?:the )?(?:patient|client|insured|claimant))?(?: is|:| was)|\b(?:[Cc]alled|"
    r"[Nn]amed)|[Uu]ser(?: ?name)?:|"
    r"[Ss]igned(?: by)?:?|[Aa]ttending(?: physician)?:|[Pp]hysician:|[Pp]rovider:|[Pp]atient(?: name)?:|"
    r"[Cc]lient:|[Cc]ustomer:|"
    r"[Cc]ontact(?: person)?:|[Ss]urgeon:|[Pp]laintiff|[Dd]efendant|[Aa]ccount ?holder:?|[Nn]ext of kin:?|"
    r"[Cc]c:|[Dd]ictated by:?|[Rr]eferred by)[ \t]*$"
)
# After these a listed word is a name; after a role of people two capitalised words that are not English are one too.
_ROLE = re.compile(
    r"(?:\b(?:I am|I'm|i am|i'm|[Tt]his is|[Dd]ear|[Hh]i|[Hh]ello|[Hh]ey|[Tt]hanks|[Rr]egards|[Ss]incerely|says|said|"
    r"[Nn]urse|[Dd]octor|[Pp]hysician|[Ss]urgeon|[Pp]atient|[Cc]lient|[Cc]ustomer|[Ww]ife|[Hh]usband|[Ss]on|"
    r"[Dd]aughter|[Bb]rother|[Mm]other|[Ff]riend|[Aa]sk(?:ed)?|[Tt]old|[Ss]poke (?:with|to)),?:?)[ \t\n]*$"
)
_PREPOSITION = re.compile(
    r"(?:\b(?:[Ff]rom|[Bb]y|[Ww]ith|[Tt]o|[Ff]or|and|[Cc]all(?:ed)?|[Ss]ee|[Ss]aw|[Mm]et|[Cc]ontact|including|[Ww]here)"
    r",?:?)[ \t\n]*$"
)
# What only people do.
_VERB = re.compile(
    r" (?:says|said|told|asked|wrote|lives|lived|shouted|replied|thinks|reports|denies|complains|began to|was born|"
    r"has been diagnosed|had given|turned|retired|presents|presented|agrees|agreed|declined|called)(?![A-Za-z])"
)
# Words of places, firms and eponyms: what they follow or precede is no person.
_NOT_PERSON = spaced(
    "street st avenue ave road rd lane ln drive boulevard blvd square court place way highway hospital clinic "
    "university college school center centre inc ltd llc corp corporation company co bank group county city "
    "town river lake island park bridge museum airport hotel disease syndrome sign test catheter score scale "
    "index palsy virus cell cells lymphoma sarcoma tumor tumour ulcer reflex fracture procedure operation "
    "method law act classification criteria stage grade maneuver manoeuvre pouch node nodes body bodies tube "
    "drain monitor incision duct gland canal store insurance foundation institute church cathedral stadium "
    "league cup award prize lines movers orchestra ratings technologies trail partners capital associates princess"
)
_PLACES = spaced(
    "alabama alaska arizona arkansas california colorado connecticut delaware hawaii idaho illinois indiana iowa "
    "kansas kentucky louisiana maine maryland massachusetts michigan minnesota mississippi missouri montana "
    "nebraska nevada hampshire ohio oklahoma oregon pennsylvania rhode tennessee texas utah vermont wisconsin wyoming "
    "paris london houston madison austin charlotte florence georgia virginia victoria chelsea india asia "
    "carolina dakota sydney kent lincoln washington jackson cleveland denver dallas phoenix orlando berlin "
    "milan rome china japan kenya jordan israel america africa europe france spain germany italy russia "
    "ireland scotland england wales canada mexico brazil chile cuba iran iraq lourdes geneva vienna bristol "
    "chester lancaster york jersey orleans diego francisco angeles jose antonio paul louis santa san saint st "
    "new north south east west christian english french german dutch irish scottish roman king queen prince "
    "lord lady bishop pope abbey mary monday tuesday wednesday thursday friday saturday sunday january "
    "february march april may june july august september october november december christmas easter apple "
    "google amazon visa mastercard paypal mercedes bentley chevy ford wells chase santander parkinson "
    "alzheimer foley holter babinski crohn hodgkin down bell murphy romberg marfan cushing graves addison "
    "huntington tylenol percocet lasix ativan zoloft lipitor plavix advil aspirin allegra viagra kaposi "
    "barrett doppler gram lyme swan ganz kelly penrose sen al los las del the god jesus christ bible mass "
    "messiah republic empire castle hall temple garden mount valley republic czech poland denmark "
    "sweden norway finland austria hungary portugal greece turkey belgium switzerland danish royal guilty opus"
)


def find(text: str) -> list[Found]:
    """Names of Latin script: listed given names with what follows, listed pairs, and whoever is introduced."""
    result: list[Found] = []
    taken = 0
    for match in _RUN.finditer(text):
        for start, end, certain in _names(text, match.start(), match.group()):
            if start >= taken:
                result.append(Found(start, end, "name", certain))
                taken = end
    result += [
        one for one in _lower(text) if not any(other.start < one.end and one.start < other.end for other in result)
    ]
    return sorted(result)


def _names(text: str, offset: int, run: str) -> Iterator[tuple[int, int, bool]]:
    """Names in a run of capitalised words."""
    parts = [(match.start(), match.end(), match[0]) for match in _WORD.finditer(run)]
    parts = [
        (start, end - 2, word[:-2]) if word[-2:] in ("'s", "'S") else (start, end, word) for start, end, word in parts
    ]
    place = 0
    while place < len(parts):
        titled = False
        while place < len(parts) and parts[place][2].lower() in _TITLES and (place + 1 < len(parts)):
            titled, place = True, place + 1
        taken = _take(text, offset, parts, place, titled)
        if taken:
            first, last = parts[place], parts[place + taken - 1]
            yield offset + first[0], offset + last[1], titled
        place += max(1, taken)


def _take(text: str, offset: int, parts: list[tuple[int, int, str]], place: int, titled: bool) -> int:
    """How many words from here are one person's name; 0 for none."""
    if place >= len(parts):
        return 0
    given, surnames, english = words("given_names"), words("surnames"), words("words_en")
    ambiguous = words("ambiguous")
    word = parts[place][2]
    key = fold(word)
    if key in english or len(word) < 2:
        return 0
    is_given, is_surname = key in given, key in surnames or _has_prefix(word)
    plain = key in ambiguous or key in _PLACES
    known = (is_given or is_surname) and key not in _PLACES
    before = text[max(0, offset + parts[place][0] - 44) : offset + parts[place][0]]
    strong = titled or _STRONG.search(before) is not None
    if key in _NOT_PERSON and not strong:
        return 0
    if len(key) < 3 and not titled:
        return 0
    if key in _PLACES and not (is_given and place + 1 < len(parts)) and not titled:
        return 0
    role = _ROLE.search(before) is not None
    length, sure = 1, strong
    while place + length < len(parts) and length < 5:
        start, end, following = parts[place + length]
        gap = text[offset + parts[place + length - 1][1] : offset + start]
        folded = fold(following)
        initial = len(following) == 1 and following.isupper()
        if "\n" in gap or (gap.startswith(".") and len(parts[place + length - 1][2]) > 2):
            break
        if initial or following.lower() in _PARTICLES:
            length += 1
            continue
        if len(folded) < 3 and folded not in surnames:
            break
        if following.lower() in _TITLES or folded in english or folded in _NOT_PERSON:
            break
        listed = folded in given or folded in surnames or _has_prefix(following)
        if listed and folded not in _PLACES:
            sure = sure or known or not plain
        elif is_given and not plain:
            sure = True
        elif folded in _PLACES or not (listed or strong or role or is_given):
            break
        length += 1
    while length > 1 and (len(parts[place + length - 1][2]) == 1 or parts[place + length - 1][2].lower() in _PARTICLES):
        length -= 1
    end = offset + parts[place + length - 1][1]
    if _is_thing(text, end):
        return 0
    num_words = sum(len(part[2]) > 1 for part in parts[place : place + length])
    if strong:
        return min(length, 4) if (known or num_words > 1 or key not in english) else 0
    acts = _VERB.match(text, end) is not None
    if num_words > 1:
        return length if (sure and (is_given or is_surname)) or role or acts else 0
    if plain or not word[1:].islower() or len(word) < 4:
        return 0
    if not known:
        return 1 if acts and key not in _NOT_PERSON else 0
    # A lone given name is one inside a sentence, or where somebody is introduced; a lone surname only there.
    opens = not before.rstrip() or before.rstrip()[-1] in ".!?\n"
    introduced = role or acts or _PREPOSITION.search(before) is not None
    return 1 if introduced or (is_given and not opens) or (is_given and len(word) > 4) else 0


def _has_prefix(word: str) -> bool:
    """Mac, Mc, O' and a second capital: the form of a surname in itself."""
    return (word[:2] == "Mc" and word[2:3].isupper()) or word[:2] == "O'"


def _is_thing(text: str, end: int) -> bool:
    following = re.match(r"(?:'s)?[ -]([A-Za-z]+)", text[end : end + 24])
    return following is not None and following[1].lower() in _NOT_PERSON


def _lower(text: str) -> Iterator[Found]:
    """Names in lower case after a title or an introduction: mr. spears, my name is rubija."""
    given, surnames, english = words("given_names"), words("surnames"), words("words_en")
    for match in _LOWERED.finditer(text):
        start = match.end()
        length = 0
        for word in _WORD.finditer(text, start, start + 40):
            gap = text[start + length : word.start()]
            key = fold(word[0])
            listed = key in given or key in surnames
            if len(gap) > (1 if length else 0) or gap.strip() or key in english or not (listed or not length):
                break
            length = word.end() - start
        name = text[start : start + length]
        if length > 2 and fold(name.split()[0]) not in _NOT_NAMES:
            yield Found(start, start + length, "name", False)


_LOWERED = re.compile(
    r"[mMdDpPn](?<![A-Za-z].)(?:(?<=[mM])y name is|(?<=[mM])rs?\.|(?<=[mM])s\.|(?<=[mM])iss|(?<=[dD])r\.|"
    r"(?<=[pP])rof\.|(?<=n)ame:) (?=[a-zà-ÿ])"
)
_NOT_NAMES = spaced("not the a an on is was in of to my your his her")
