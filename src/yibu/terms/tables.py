"""Dictionaries as operators have them: csv, tsv, json and jsonl, with English or Chinese headers.

A row says which variants are written for which preferred term, and perhaps its code, kind and language. Rows are only
read here; whether they contradict each other is seen in `yibu.terms.entries`. The content of a dictionary is no
personal data, so errors show it, with the line it stands on.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from yibu.core.errors import DataError, RecipeError
from yibu.terms.table_files import DO, csv_records, json_records, jsonl_records, refuse, text_of

Role = Literal["variants", "preferred", "code", "kind", "language"]
ROLES: tuple[Role, ...] = ("variants", "preferred", "code", "kind", "language")

HEADERS: dict[Role, tuple[str, ...]] = {
    "variants": (
        *("variants", "variant", "synonyms", "synonym", "aliases", "alias", "abbreviations", "abbreviation"),
        *("同义词", "近义词", "别名", "又名", "俗称", "异名", "变体", "简称", "缩写", "原词", "原始词", "非标准词"),
    ),
    "preferred": (
        *("preferred", "preferred term", "standard", "standard term", "canonical", "normalised", "normalized"),
        *("term", "name", "title", "标准词", "标准术语", "首选词", "首选术语", "规范词", "标准名称", "规范名称"),
        *("疾病名称", "诊断名称", "手术名称", "疾病分类名称", "药品名称", "名称"),
    ),
    "code": (
        *("code", "codes", "concept id", "icd", "icd10", "icd 10", "icd code", "icd10 code", "icd 10 code"),
        *("编码", "代码", "主要编码", "疾病编码", "诊断编码", "诊断代码", "手术编码", "疾病分类代码", "icd编码"),
        *("icd10编码", "icd 10编码", "icd代码"),
    ),
    "kind": ("kind", "type", "category", "semantic type", "类型", "类别", "分类", "种类"),
    "language": ("language", "lang", "语言", "语种"),
}
_WEAK = {"term", "name", "title", "名称"}
_ROLE_OF = {name: role for role, names in HEADERS.items() for name in names}


class TableRow(NamedTuple):
    """What one row of a dictionary says; texts without white space round them.

    Attributes:
        variants: how the term is also written; may be empty.
        preferred: the term to use.
        code: of the term in its coding system, if known.
        kind: e.g. ``disease``, ``drug``, if known.
        language: e.g. ``zh``, ``en``, if known.
        path: of the file.
        line: on which the row begins, from 1.
    """

    variants: tuple[str, ...]
    preferred: str
    code: str | None
    kind: str | None
    language: str | None
    path: str
    line: int

    @property
    def place(self) -> str:
        return f"{self.path}, line {self.line}"


def read(path: str, columns: Mapping[Role, str], separators: str) -> list[TableRow]:
    """All rows of one file.

    Args:
        path: of a file that ends in one of `SUFFIXES`.
        columns: role -> name of the column, where it is not one of `HEADERS`.
        separators: the characters that part several variants in one cell.

    Raises:
        RecipeError: there is no such file, it cannot be read, or it has another format.
        DataError: what is wrong in which line.
    """
    text = text_of(path)
    suffix = Path(path).suffix.lower()
    if suffix in (".csv", ".tsv"):
        records = csv_records(path, text, suffix)
    elif suffix == ".jsonl":
        records = jsonl_records(path, text)
    else:
        records = json_records(path, text)
    roles: dict[str, Role] = {}
    known: set[str] = set()
    rows: list[TableRow] = []
    problems: list[str] = []
    for line, record in records:
        if not known >= record.keys():
            known |= record.keys()
            roles.update(_roles(path, line, record, columns))
            if suffix in (".csv", ".tsv"):
                continue  # the header
        try:
            rows.append(_row(record, roles, path, line, separators))
        except ValueError as error:
            problems.append(f"line {line}: {error}")
    refuse(path, problems)
    if not rows:
        raise DataError("This dictionary holds no row.", got=path, do=DO)
    return rows


def _roles(path: str, line: int, record: Mapping[str, Any], columns: Mapping[Role, str]) -> dict[str, Role]:
    """Which column plays which role; the columns without one play none and are left out."""
    named = {name: role for role, name in columns.items()}
    missing = sorted(set(columns.values()) - set(record))
    if missing and not path.lower().endswith((".json", ".jsonl")):
        raise RecipeError(
            "A column named under data.terms.columns is not in the dictionary.",
            got=f"{', '.join(missing)} ({path})",
            allowed=list(record),
        )
    roles: dict[str, Role] = dict(named)
    for name in record:
        role = _ROLE_OF.get(" ".join(name.casefold().replace("_", " ").replace("-", " ").split()))
        if role and role not in columns:
            roles.setdefault(name, role)
    _settle(roles, record)
    for role in ROLES:
        candidates = [name for name in record if roles.get(name) == role]
        if role != "variants" and len(candidates) > 1:
            raise DataError(
                f"Two columns of this dictionary could be the {role}.",
                got=f"{path}, line {line}: {', '.join(candidates)}",
                do=f"say which: data.terms.columns: {{{role}: {candidates[0]}}}",
            )
    if "preferred" not in roles.values():
        raise DataError(
            "This dictionary has no column of preferred terms.",
            got=f"{path}, line {line}: {', '.join(record) or 'no column'}",
            allowed=", ".join(HEADERS["preferred"]),
            do="name the columns in the first line, or say which is which: data.terms.columns: {preferred: NAME}",
        )
    return roles


def _settle(roles: dict[str, Role], record: Mapping[str, Any]) -> None:
    """Beside a column such as "preferred", one called "term" holds what is written: a variant."""
    preferred = [name for name in record if roles.get(name) == "preferred"]
    weak = [name for name in preferred if name.casefold() in _WEAK]
    if weak and len(preferred) > len(weak):
        for name in weak:
            if "variants" in roles.values():
                del roles[name]
            else:
                roles[name] = "variants"


def _row(record: Mapping[str, Any], roles: Mapping[str, Role], path: str, line: int, separators: str) -> TableRow:
    """Raises ValueError with what is wrong in the row."""
    found: dict[str, str] = {}
    variants: list[str] = []
    for name, value in record.items():
        role = roles.get(name)
        if role == "variants":
            variants += _variants(name, value, separators)
        elif role is not None and value is not None:
            if isinstance(value, bool) or not isinstance(value, (str, int)):
                raise ValueError(f"{name!r} must be text, not {type(value).__name__}")
            found[role] = str(value).strip()
    preferred = found.get("preferred", "")
    if not preferred:
        shown = f" (its variants: {', '.join(variants)})" if variants else ""
        raise ValueError(f"the preferred term is empty{shown}")
    code, kind, language = (found.get(role) or None for role in ("code", "kind", "language"))
    return TableRow(tuple(dict.fromkeys(variants)), preferred, code, kind, language, path, line)


def _variants(name: str, value: Any, separators: str) -> list[str]:
    if value is None:
        return []
    if isinstance(value, list):
        if not all(isinstance(item, str) and item.strip() for item in value):
            raise ValueError(f"{name!r} must be a list of texts that are not empty")
        return [item.strip() for item in value]
    if not isinstance(value, str):
        raise ValueError(f"{name!r} must be text or a list of texts, not {type(value).__name__}")
    for sign in separators:
        value = value.replace(sign, "\n")
    return [item.strip() for item in value.split("\n") if item.strip()]
