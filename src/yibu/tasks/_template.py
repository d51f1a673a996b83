"""Templates: text with ``{column}`` in it, rendered from a row and, for answers, read back into fields.

Only plain column names are allowed: ``str.format`` itself would also follow attributes and indices of whatever the
row holds, which is a well-known hole, and format specs would make the reading back ambiguous.
"""

from __future__ import annotations

import json
import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from yibu.core.errors import DataError, RecipeError, nearest


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template.

    Attributes:
        literals: the text before each field and after the last one; one more than there are `names`.
        names: the fields in order of appearance, repeats included.
    """

    literals: tuple[str, ...]
    names: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> Template:
        """Read a template.

        Raises:
            RecipeError: a lone brace, an empty name, an attribute, an index, a conversion or a format spec.
        """
        literals: list[str] = []
        names: list[str] = []
        literal = ""
        try:
            pieces = list(string.Formatter().parse(text))
        except ValueError as error:
            raise _refuse(text, f"a brace stands alone ({error})") from error
        for before, name, spec, conversion in pieces:
            literal += before
            if name is None:
                continue
            if not name:
                raise _refuse(text, "a field has no name: {}")
            if spec or conversion:
                raise _refuse(text, "a field has a format spec or a conversion")
            if "." in name or "[" in name:
                raise _refuse(text, f"{{{name}}} reaches into a value")
            literals.append(literal)
            names.append(name)
            literal = ""
        return cls((*literals, literal), tuple(names))

    @property
    def fields(self) -> tuple[str, ...]:
        """The field names, each once, in order of appearance."""
        return tuple(dict.fromkeys(self.names))

    def render(self, fields: Mapping[str, Any]) -> str:
        """The text for one row.

        Raises:
            DataError: the row lacks a field of the template.
        """
        parts = [self.literals[0]]
        for name, literal in zip(self.names, self.literals[1:], strict=True):
            parts += [text_of(fields, name), literal]
        return "".join(parts)

    def read(self, text: str) -> dict[str, str]:
        """Take a rendered text apart again: the inverse of `render` for values that do not hold the separators.

        A text that does not follow the template (a model may say anything) is read as far as it does: each field
        ends where its separator is first found; without it the field takes the rest and the later ones are ``""``.
        One pass from left to right, so that no answer, however long, can make it slow.
        """
        found = {name: "" for name in self.names}
        first, *separators = self.literals
        rest: str | None = text.strip().removeprefix(first.strip())
        for place, (name, separator) in enumerate(zip(self.names, separators, strict=True), start=1):
            if rest is None:
                break
            if place == len(self.names):
                value, rest = rest.strip().removesuffix(separator.strip()), None
            else:
                value, present, after = rest.lstrip().partition(separator)
                rest = after if present else None
            found[name] = value.strip()
        return found

    def check_readable(self) -> None:
        """Refuse a template that could not be read back.

        Raises:
            ValueError: two fields touch, or one field stands twice.
        """
        if any(not literal for literal in self.literals[1:-1]):
            raise ValueError("two fields touch, so an answer could not be taken apart; put text between them")
        if len(self.fields) < len(self.names):
            raise ValueError("a field stands twice, so an answer could not be taken apart")


def check_template(text: str) -> None:
    """For settings classes: refuse a template that cannot be parsed or that names no column.

    Raises:
        ValueError: as pydantic wants it; `yibu.core.recipe.parse` makes it a RecipeError with the key's path.
    """
    try:
        template = Template.of(text)
    except RecipeError as error:
        raise ValueError(error.what) from error
    if not template.names:
        raise ValueError("the template names no column, so it would be the same for every row")


def text_of(fields: Mapping[str, Any], name: str) -> str:
    """A field as text: text as it is, anything else as JSON.

    Raises:
        DataError: there is no such field; names the row's columns and the nearest one.
    """
    value = fields.get(name)
    if isinstance(value, str):
        return value
    if value is None:
        close = nearest(name, fields)
        raise DataError(
            "The template names a field that the row does not have.",
            got=name,
            allowed=list(fields),
            do=f"did you mean {{{close}}}?" if close and close != name else None,
        )
    return json.dumps(value, ensure_ascii=False)


def _refuse(text: str, why: str) -> RecipeError:
    what = f"{why}; a template holds {{column}} and nothing else between braces; write {{{{ and }}}} for braces"
    return RecipeError(what, got=text)
