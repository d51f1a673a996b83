"""Personal data in rows: masked, hashed, replaced by invented values, or a reason to stop.

``mask``       ``[ID_CARD]``, or ``[身份证号]`` in Chinese: the kind and nothing else.
``hash``       ``[ID_CARD:5f1c0a9b3e77]``: the first 12 hexadecimal digits of HMAC-SHA-256 over kind and value, so that
               equal values can be told to be equal, and nobody without the secret can try values out.
``surrogate``  an invented value of the same form (see `yibu.prepare.surrogates`); dates move per person.
``refuse``     nothing is changed; the run stops and names rows by id, with counts of kinds (see `refusal`).

Masking and hashing are idempotent: their output is searched again until nothing is found in it, placeholders are never
looked into, and a second run over the output changes nothing. Surrogates look real: a second run replaces them again.

An annotation that personal data cuts (``entities``) never keeps a piece of it visible: the edit is widened to the whole
annotation, and an annotation that is gone from the text is dropped and counted as `LOST_ENTITIES`; one that holds the
data, or is exactly it, stays, around the new text.

The secret is read from the environment variable that ``secret_env`` names; no settings, artifact, log or error has it.
`PrivacySettings.secret_fingerprint` tells secrets apart and must go into what an artifact's id is made from.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from yibu.core.edits import Edit, apply, are_spans, edit_field
from yibu.core.errors import DataError, InputError
from yibu.core.recipe import Settings
from yibu.detectors import ALIASES, Found, expand, find_all, placeholder
from yibu.prepare.surrogates import Surrogates, key_of

Mode = Literal["mask", "hash", "surrogate", "refuse"]
MODES: tuple[Mode, ...] = ("mask", "hash", "surrogate", "refuse")

LOST_ENTITIES = "lost_entities"
"""Counted beside the kinds: annotations dropped because what they marked is gone."""

MIN_SECRET = 16
"""Bytes. A shorter secret could be found by trying, and with it every hashed number."""

_HAN = re.compile("[\u4e00-\u9fff]")
_YEAR = re.compile(r"(?<![0-9])(?:1[89]|20)[0-9]{2}(?![0-9])")
_MAX_PASSES = 6


class PrivacySettings(Settings):
    """What becomes of which kind of personal data. Kinds that no list names are left alone.

    ``all`` stands for every kind that needs nothing installed, ``hipaa`` for the 18 classes of Safe Harbor. A kind that
    another list names itself is not meant by an alias: ``{mask: [all], surrogate: [name, date]}``.
    """

    mask: tuple[str, ...] = Field((), description="kinds that become a placeholder; all and hipaa stand for many")
    hash: tuple[str, ...] = Field((), description="kinds that become a placeholder with a keyed hash")
    surrogate: tuple[str, ...] = Field((), description="kinds that become an invented value, the same each time")
    refuse: tuple[str, ...] = Field((), description="kinds that stop the run")
    secret_env: str | None = Field(None, description="environment variable that holds the secret of hash and surrogate")
    placeholders: Literal["english", "chinese", "auto"] = Field(
        "auto", description="language of placeholders; auto: Chinese in text that has Chinese characters"
    )
    keep_years: bool = Field(False, description="a masked date becomes its year, as Safe Harbor allows")

    @field_validator("mask", "hash", "surrogate", "refuse", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("mask", "hash", "surrogate", "refuse")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        try:
            expand(value)
        except InputError as error:
            raise ValueError(" ".join(" ".join(line.split()) for line in error.render().splitlines())) from None
        return value

    @model_validator(mode="after")
    def _one_mode_each(self) -> PrivacySettings:
        self.modes()
        if (self.hash or self.surrogate) and not self.secret_env:
            raise ValueError(
                "hash and surrogate need a secret: set secret_env to the name of the variable that holds it"
            )
        return self

    def modes(self) -> dict[str, Mode]:
        """Kind -> what becomes of it.

        Raises:
            ValueError: a kind is in two lists, by name or by aliases.
        """
        found: dict[str, Mode] = {}
        for aliases in (False, True):
            named = dict(found)
            for mode in MODES:
                for kind in expand(name for name in getattr(self, mode) if (name in ALIASES) == aliases):
                    if kind in named:
                        continue  # named itself, so no alias means it
                    if found.setdefault(kind, mode) != mode:
                        raise ValueError(f"{kind!r} is in two lists: {found[kind]} and {mode}; one must go")
        return found

    def secret(self) -> bytes | None:
        """The secret, None where no kind needs one.

        Raises:
            InputError: the environment variable is not set, or too short.
        """
        if not (self.hash or self.surrogate):
            return None
        value = os.environ.get(self.secret_env or "", "").encode("utf-8", "surrogateescape")
        if len(value) < MIN_SECRET:
            raise InputError(
                "The secret for hashed and invented values is missing." if not value else "The secret is too short.",
                got=f"environment variable {self.secret_env}: {'not set' if not value else f'{len(value)} bytes'}",
                allowed=f"at least {MIN_SECRET} bytes",
                do=(
                    f"export {self.secret_env}=$(openssl rand -hex 32), and keep it: the same secret gives the "
                    f"same values"
                ),
            )
        return value

    def secret_fingerprint(self) -> str | None:
        """16 hexadecimal digits that differ for different secrets and say nothing else; None where there is no secret.

        Raises:
            InputError: see `secret`.
        """
        secret = self.secret()
        return None if secret is None else hmac.digest(secret, b"yibu.privacy.fingerprint", hashlib.sha256)[:8].hex()


class Privacy:
    """Does to personal data what the settings say. Built in each worker.

    Args:
        settings: which kinds, and what becomes of them.

    Raises:
        InputError: the secret is missing; `MissingExtra` where a kind needs a package that is not installed.
    """

    def __init__(self, settings: PrivacySettings) -> None:
        self._settings = settings
        self._modes = settings.modes()
        self.kinds = frozenset(self._modes)
        self._secret = settings.secret() or b""
        self._surrogates = Surrogates(self._secret)
        find_all("0", self.kinds)  # a package that is missing is said now, not in the middle of a run

    def edits(self, text: str, person: str | None = None) -> tuple[list[Edit], Counter[str]]:
        """What to change in a text, and how many of each kind were found in it, refused ones too.

        Args:
            text: any text.
            person: whose text it is, for surrogates; None where that is not known.
        """
        found = find_all(text, self.kinds) if self.kinds else []
        if not found:
            return [], Counter()
        chinese = self._settings.placeholders == "chinese" or (
            self._settings.placeholders == "auto" and _HAN.search(text) is not None
        )
        found, whole = self._all_of(text, found, chinese)
        edits = []
        for one in found:
            new = self._new(text[one.start : one.end], one.kind, person, chinese, one not in whole)
            if new is not None:
                edits.append(Edit(one.start, one.end, new))
        return edits, Counter(one.kind for one in found)

    def fields(
        self, fields: dict[str, Any], names: Iterable[str], person: str | None = None
    ) -> tuple[dict[str, Any], Counter[str]]:
        """A copy of a row's fields without personal data in those named, and how many of each kind were found.

        Text is searched, and in a list of turns the content of each; ``entities`` follow their ``text``.

        Args:
            fields: of a row.
            names: of the fields that may be changed; a label or an id is none.
            person: whose row it is.
        """
        counts: Counter[str] = Counter()
        for name in names:
            value = fields.get(name)
            if isinstance(value, str):
                edits, found = self.edits(value, person)
                counts += found
                if name == "text" and edits and are_spans(fields.get("entities"), value):
                    fields, edits, num_lost = _without_cut_entities(fields, edits)
                    counts += Counter({LOST_ENTITIES: num_lost})
                fields = edit_field(fields, name, edits)
            elif isinstance(value, list):
                turns = []
                for turn in value:
                    if isinstance(turn, dict) and isinstance(turn.get("content"), str):
                        edits, found = self.edits(turn["content"], person)
                        counts += found
                        turn = {**turn, "content": apply(turn["content"], edits)} if edits else turn
                    turns.append(turn)
                if turns != value:
                    fields = {**fields, name: turns}
        return fields, counts

    def refused(self, counts: Mapping[str, int]) -> dict[str, int]:
        """The counts of kinds that must stop the run."""
        return {kind: count for kind, count in counts.items() if count and self._modes.get(kind) == "refuse"}

    def _all_of(self, text: str, found: list[Found], chinese: bool) -> tuple[list[Found], set[Found]]:
        """Everything that is found in the text and then in what masking makes of it, until that holds nothing more.

        What is hidden changes what stands beside it: of two names side by side the second may only now be told.

        Returns:
            all spans, and those of dates of which not even the year can stay, since beside something it is found again.
        """
        whole: set[Found] = set()
        for _ in range(_MAX_PASSES):
            edits = [Edit(one.start, one.end, self._hidden(text, one, chinese, one not in whole)) for one in found]
            again = find_all(apply(text, edits), self.kinds)
            if not again:
                break
            for one in again:
                start, end, touched = _back(one.start, one.end, edits)
                whole.update(other for other in found if (other.start, other.end) in touched)
                if start < end and not any(start < other.end and other.start < end for other in found):
                    found = sorted([*found, Found(start, end, one.kind, one.certain)])
        return found, whole

    def _hidden(self, text: str, one: Found, chinese: bool, year: bool) -> str:
        """How a span looks while its neighbours are searched again: as it will, where that hides it."""
        if self._modes[one.kind] in ("mask", "hash"):
            return self._new(text[one.start : one.end], one.kind, None, chinese, year) or ""
        return placeholder(one.kind, chinese)

    def _new(self, value: str, kind: str, person: str | None, chinese: bool, year: bool) -> str | None:
        mode = self._modes[kind]
        if mode == "refuse":
            return None
        if mode == "hash":
            return placeholder(kind, chinese, self._token(kind, value))
        if mode == "surrogate":
            new = self._surrogates.replace(kind, value, person)
            return placeholder(kind, chinese) if new is None else new
        if year and self._settings.keep_years and kind in ("date", "birth_date") and (found := _YEAR.search(value)):
            return found[0] + "年" if "年" in value else found[0]
        return placeholder(kind, chinese)

    def _token(self, kind: str, value: str) -> str:
        message = f"hash\0{kind}\0{key_of(value)}".encode("utf-8", "surrogatepass")
        return hmac.digest(self._secret, message, hashlib.sha256)[:6].hex()


def refusal(rows: Mapping[str, Mapping[str, int]]) -> DataError:
    """The error that stops a run over rows with refused personal data: ids and counts, never text.

    Args:
        rows: id of a row -> kind -> count, as `Privacy.refused` gives them.
    """
    totals: Counter[str] = Counter()
    for counts in rows.values():
        totals.update(counts)
    shown = [
        f"{row}: " + ", ".join(f"{count} {kind}" for kind, count in sorted(rows[row].items()))
        for row in list(rows)[:10]
    ]
    more = f"; and {len(rows) - 10:,} more rows" if len(rows) > 10 else ""
    return DataError(
        f"{len(rows):,} rows hold personal data that data.privacy.refuse names: "
        + ", ".join(f"{count:,} {kind}" for kind, count in sorted(totals.items())),
        got="; ".join(shown) + more,
        do="take these rows out, or move the kinds to mask, hash or surrogate",
    )


def _back(start: int, end: int, edits: list[Edit]) -> tuple[int, int, set[tuple[int, int]]]:
    """Where a span of the edited text lies in the original, and which edits it touches; empty where it touches one."""
    growth = 0
    touched = set()
    for edit in edits:
        at = edit.start + growth
        behind = at + len(edit.new)
        if end <= at:
            break
        if start < behind:
            touched.add((edit.start, edit.end))
        growth += len(edit.new) - (edit.end - edit.start)
    return (0, 0, touched) if touched else (start - growth, end - growth, touched)


def _without_cut_entities(fields: dict[str, Any], edits: list[Edit]) -> tuple[dict[str, Any], list[Edit], int]:
    """Edits widened over the annotations that they cut, and the fields without the annotations that they swallow."""
    spans: list[dict[str, Any]] = fields["entities"]
    settled = False
    while not settled:
        settled = True
        for span in spans:
            for place, edit in enumerate(edits):
                start, end = span["start"], span["end"]
                cuts = edit.start < end and start < edit.end
                inside = start <= edit.start and edit.end <= end
                covers = edit.start <= start and end <= edit.end
                if cuts and not inside and not covers:
                    edits = [
                        *edits[:place],
                        edit._replace(start=min(start, edit.start), end=max(end, edit.end)),
                        *edits[place + 1 :],
                    ]
                    edits = _merged(edits)
                    settled = False
                    break
    kept = [
        span
        for span in spans
        if not any(
            edit.start < span["end"]
            and span["start"] < edit.end
            and not (span["start"] <= edit.start and edit.end <= span["end"])
            for edit in edits
        )
    ]
    return {**fields, "entities": kept}, edits, len(spans) - len(kept)


def _merged(edits: list[Edit]) -> list[Edit]:
    """Edits of which those that overlap have become one, with the texts of both."""
    result: list[Edit] = []
    for edit in sorted(edits):
        if result and edit.start < result[-1].end:
            last = result[-1]
            new = last.new if edit.new in last.new else last.new + edit.new
            result[-1] = Edit(last.start, max(last.end, edit.end), new)
        else:
            result.append(edit)
    return result
