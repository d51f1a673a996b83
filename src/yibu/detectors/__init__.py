"""Detectors: where in a text personal data is, and of which kind.

A detector is one file here. Its contract::

    KINDS: tuple[str, ...]                 what it finds, by the names that a recipe uses
    IN_ALL: bool                           whether `all` in a recipe means it too: yes where it needs nothing installed
    find(text: str) -> list[Found]         sorted spans, none empty; equal text, equal spans

`find_all` runs those that a recipe asks for, over a text in which full-width digits and letters, odd dashes and odd
spaces have become ASCII one for one (so offsets stay), and settles what overlaps. Placeholders that an earlier run
left, such as ``[PHONE]``, are never looked into.

**A recogniser of your own** (a spaCy pipeline, GLiNER, an `extract` adapter tuned with yibu) is a module with these
three names in an installed package that declares, in its ``pyproject.toml``::

    [project.entry-points."yibu.detectors"]
    ward_names = "hospital_tools.ward_names"

Its kinds are then known to every recipe. ``KINDS`` may name a kind that exists (``name``): both are asked and the
better span wins. It should load its model once, at the first call; ``IN_ALL = False`` leaves it to recipes that
name it. It must be deterministic, since artifacts are named by what made them.

`HIPAA` maps the 18 classes of the Safe Harbor rule to kinds. What a pattern, a list and a context word cannot see is
not found: a rare name in a sentence without any hint, a disease that only one person in a village has.
"""

from __future__ import annotations

import bisect
import functools
import re
from collections.abc import Callable, Iterable
from types import ModuleType

from yibu.core.errors import InputError, nearest
from yibu.core.plugs import Family
from yibu.detectors._found import Found
from yibu.detectors._lists import is_given_name
from yibu.detectors._placeholders import pattern, placeholder

__all__ = [
    "ALIASES",
    "FAMILY",
    "HIPAA",
    "Found",
    "expand",
    "find_all",
    "is_given_name",
    "kinds",
    "placeholder",
    "settle",
]

FAMILY = Family(__name__, requires=("KINDS", "IN_ALL", "find"))

HIPAA: dict[str, tuple[str, ...]] = {
    "names": ("name",),
    "geographic subdivisions smaller than a state": ("address",),
    "dates but the year, and ages over 89": ("birth_date", "date", "age_over_89"),
    "telephone numbers": ("phone",),
    "fax numbers": ("phone",),
    "electronic mail addresses": ("email",),
    "social security numbers": ("ssn", "id_card"),
    "medical record numbers": ("medical_record",),
    "health plan beneficiary numbers": ("insurance",),
    "account numbers": ("account", "bank_card"),
    "certificate and licence numbers": ("licence", "passport", "credit_code"),
    "vehicle identifiers and licence plates": ("licence_plate", "vehicle"),
    "device identifiers and serial numbers": ("device",),
    "web universal resource locators": ("url",),
    "internet protocol addresses": ("ip",),
    "biometric identifiers": ("biometric",),
    "full face photographs and comparable images": ("biometric",),
    "any other unique identifying number, characteristic or code": ("other_id",),
}
"""The 18 classes of 45 CFR 164.514(b)(2)(i)(A-R), in its order, and the kinds that find them where they are text.

Finger prints, voices and photographs are not text; `biometric` finds what refers to them: file names and numbers.
"""

ALIASES = ("all", "hipaa")
"""Words of a recipe that stand for many kinds."""

# Full width to ASCII, and dashes and spaces of every sort to the plain ones: one character for one.
_PLAIN = {code: code - 0xFEE0 for code in [*range(0xFF10, 0xFF1A), *range(0xFF21, 0xFF3B), *range(0xFF41, 0xFF5B)]}
_PLAIN |= {ord(sign): ord(sign) - 0xFEE0 for sign in "＃＋－／：＠．＿（）"}
_PLAIN |= dict.fromkeys(map(ord, "‐‑‒–—―−﹣"), ord("-"))
_PLAIN |= dict.fromkeys(map(ord, "\u00a0\u2002\u2003\u2005\u2007\u2009\u202f\u3000"), ord(" "))
_PLAIN |= {ord("’"): ord("'")}
_ODD = re.compile("[" + "".join(map(re.escape, map(chr, _PLAIN))) + "]")
_HIDDEN = "\ue000"  # stands for each character of a placeholder while detectors look: no letter, digit, space or sign


@functools.cache
def _plugs() -> dict[str, ModuleType]:
    return FAMILY.all()


@functools.cache
def _placeholder() -> re.Pattern[str]:
    return pattern(kinds())


@functools.cache
def kinds() -> tuple[str, ...]:
    """Every kind that some detector finds, sorted."""
    return tuple(sorted({kind for plug in _plugs().values() for kind in plug.KINDS}))


def expand(names: Iterable[str]) -> tuple[str, ...]:
    """The kinds that names and aliases stand for, sorted.

    Raises:
        InputError: a name that is no kind.
    """
    found: set[str] = set()
    for name in names:
        if name == "all":
            found.update(kind for plug in _plugs().values() if plug.IN_ALL for kind in plug.KINDS)
        elif name == "hipaa":
            found.update(kind for some in HIPAA.values() for kind in some)
        elif name in kinds():
            found.add(name)
        else:
            close = nearest(name, [*kinds(), *ALIASES])
            raise InputError(
                "There is no kind of personal data of that name.",
                got=name,
                allowed=[*ALIASES, *kinds()],
                do=f"did you mean {close!r}?" if close else None,
            )
    return tuple(sorted(found))


def find_all(text: str, kinds: Iterable[str]) -> list[Found]:
    """Personal data of these kinds, sorted by place, none overlapping another.

    Args:
        text: any text; offsets are into it.
        kinds: names of kinds, no aliases (see `expand`).
    """
    wanted = kinds if isinstance(kinds, frozenset) else frozenset(kinds)
    plain = _plain(text)
    found: list[Found] = []
    for find, given in _finders(wanted):
        for one in find(plain):
            if given or one.kind in wanted:
                found.append(one)
    return settle(found, plain) if len(found) > 1 else found


def settle(found: Iterable[Found], text: str = "") -> list[Found]:
    """Of spans that overlap the certain one stays, then the longer, then the earlier; sorted by place.

    What a span that lost has outside the winners is kept as a span of its own where it was certain too, or longer: a
    telephone number in an address takes itself out of it, it does not uncover the rest.

    Args:
        found: spans in any order.
        text: that they point into; what is kept of a loser begins and ends with a letter or digit of it.
    """
    # The order of kinds decides where all else is equal, so that the result never depends on the order of plugs.
    ranked = sorted(set(found), key=lambda one: (not one.certain, one.start - one.end, one.start, one.kind))
    kept: list[Found] = []  # always sorted, none overlapping another
    for one in ranked:
        first = bisect.bisect_left(kept, (one.start,))
        first -= first > 0 and kept[first - 1].end > one.start
        last = bisect.bisect_left(kept, (one.end,), lo=first)
        clashes = kept[first:last]
        if not clashes:
            kept.insert(first, one)
        elif one.certain or all(one.end - one.start > other.end - other.start for other in clashes):
            edges = [one.start, *(edge for other in clashes for edge in (other.start, other.end)), one.end]
            for start, end in zip(edges[::2], edges[1::2], strict=True):
                while start < end and text and not text[start].isalnum():
                    start += 1
                while start < end and text and not text[end - 1].isalnum():
                    end -= 1
                if start < end:
                    bisect.insort(kept, one._replace(start=start, end=end))
    return kept


@functools.lru_cache(maxsize=32)
def _finders(wanted: frozenset[str]) -> list[tuple[Callable[[str], list[Found]], bool]]:
    """(find, whether all it finds is wanted) of the plugs that know a wanted kind."""
    return [
        (plug.find, wanted.issuperset(plug.KINDS)) for plug in _plugs().values() if not wanted.isdisjoint(plug.KINDS)
    ]


def _plain(text: str) -> str:
    if "[" in text:
        text = _placeholder().sub(lambda match: _HIDDEN * len(match[0]), text)
    return text.translate(_PLAIN) if not text.isascii() and _ODD.search(text) else text
