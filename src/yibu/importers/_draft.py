"""A recipe while it is written, and the account of the keys that it is written from.

Each value is checked against the class of recipes as it is put in, so that the recipe is valid at every moment; what
the class does not take is left out, and its own words become the reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import SequenceMatcher
from typing import Any, Literal

from yibu.core.architecture import Facts
from yibu.core.errors import RecipeError, nearest
from yibu.core.recipe import Settings, parse

State = Literal["taken", "changed", "not taken"]
_ORDER = ("name", "base", "task", "data", "augment", "inspect", "adapter", "train", "evaluate")
_UNSET = "(no data set yet)"
_TYPO = 0.85  # likeness from which another name is taken for what was meant


@dataclass(frozen=True)
class Key:
    """What became of one key.

    Attributes:
        name: dotted, as in the config.
        value: as in the config.
        state: taken: it means the same here; changed: the nearest that there is; not taken.
        becomes: keys of the recipe and their values; None where nothing is set.
        why: what differs, or why it was not taken; empty where nothing is to be said.
        given: False for a default of the tool, which the file does not name.
    """

    name: str
    value: Any
    state: State
    becomes: str | None
    why: str
    given: bool = True


@dataclass(frozen=True)
class Imported:
    """A config as a recipe.

    Attributes:
        tool: what the config was of.
        recipe: the table, valid, without the defaults of yibu.
        keys: every key of the config, then the defaults of the tool that count.
    """

    tool: str
    recipe: dict[str, Any]
    keys: list[Key]

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {"tool": self.tool, "recipe": self.recipe, "keys": [asdict(key) for key in self.keys]}


class Draft:
    """The recipe so far.

    Args:
        tool: for messages.
        name: of the recipe.
        table: the config.
        recipe: the class that the recipe must satisfy.
        facts: of the base's architecture, or None.
    """

    def __init__(
        self, tool: str, name: str, table: Mapping[str, Any], recipe: type[Settings], facts: Facts | None
    ) -> None:
        self.tool = tool
        self.facts = facts
        self.table = dict(table)
        self._class = recipe
        self._recipe: dict[str, Any] = {"name": name, "data": {"source": _UNSET}}
        self._keys: dict[str, Key] = {}

    def get(self, *names: str) -> Any:
        """The value of the first of these keys that has one."""
        return next((self.table[name] for name in names if self.table.get(name) is not None), None)

    def given(self, *names: str) -> list[str]:
        """Those of these keys that the config has, with or without a value."""
        return [name for name in names if name in self.table]

    def value(self, path: str) -> Any:
        """What the recipe holds at a dotted path so far; None where nothing was set."""
        place: Any = self._recipe
        for part in path.split("."):
            place = place.get(part) if isinstance(place, Mapping) else None
        return place

    def take(self, name: str, path: str, value: Any, why: str = "", *, state: State = "taken") -> bool:
        """Set a value of the recipe for a key of the config.

        Returns:
            Whether the class of recipes accepted it; if not, the key is listed as not taken, with the reason.
        """
        reason = self._put({path: value})
        if reason is None:
            self._note(name, state, f"{path}: {shown(value)}", why)
        else:
            self._note(name, "not taken", None, f"{why}; {reason}" if why and state == "changed" else reason)
        return reason is None

    def change(self, name: str, path: str, value: Any, why: str) -> bool:
        """The same, where it does not mean quite the same."""
        return self.take(name, path, value, why, state="changed")

    def agree(self, name: str, why: str) -> None:
        """It is so in yibu without being asked for."""
        self._note(name, "taken", None, why)

    def differ(self, name: str, becomes: str | None, why: str) -> None:
        """It is otherwise in yibu, and there is nothing to set."""
        self._note(name, "changed", becomes, why)

    def leave(self, name: str, why: str) -> None:
        """Not taken."""
        self._note(name, "not taken", None, why)

    def default(self, name: str, value: Any, path: str | None, becomes: Any = None, why: str = "") -> None:
        """A default of the tool that the config leaves unsaid: set it if there is a path, else only tell."""
        if self.get(name) is not None:
            return
        given = name in self.table
        told = f"{'left empty' if given else 'not in the file'}; the default of {self.tool}"
        told += f" is {shown(value)}" if given else ""
        told += f": {why}" if why else ""
        reason = self._put({path: becomes}) if path else ""
        done = bool(path) and reason is None
        self._keys[name] = Key(
            name,
            None if given else value,
            "taken" if done else "not taken",
            f"{path}: {shown(becomes)}" if done else None,
            f"{told}; {reason}" if reason else told,
            given,
        )

    def put(self, values: Mapping[str, Any]) -> str | None:
        """Set several paths at once, on nobody's behalf; the reason why not, or None."""
        return self._put(values)

    def refuse(self, what: str, name: str, do: str) -> RecipeError:
        """The error for a config that trains something else."""
        return RecipeError(
            f"{what}, so this config of {self.tool} cannot become a recipe.",
            got=f"{name}: {shown(self.table.get(name))}",
            allowed="supervised fine-tuning on questions and answers, conversations or raw text",
            do=do,
        )

    def rest(self, reasons: Mapping[str, str], prefixes: Mapping[str, str], known: Iterable[str] = ()) -> None:
        """List every key that nothing was said of: by its reason, by that of its beginning, or as unknown."""
        for name in self.table:
            if name in self._keys:
                continue
            reason = reasons.get(name)
            if reason is None:
                reason = next((why for begin, why in prefixes.items() if name.startswith(begin)), None)
            if reason is None and self.table[name] is None:
                reason = "it has no value"
            if reason is None:
                close = nearest(name, [*known, *reasons, *(key for key in self._keys if "." not in key)])
                near = close is not None and SequenceMatcher(None, name, close).ratio() >= _TYPO
                told = f"; did you mean {close}?" if near and close not in self.table else ""
                reason = f"unknown to this importer{told}"
            self.leave(name, reason)

    def finish(self) -> Imported:
        """The result.

        Raises:
            RecipeError: the config names no data set, or no base.
        """
        if self.value("data.source") == _UNSET:
            raise RecipeError(
                f"This config of {self.tool} names no data set that can be read.",
                got=[f"{key.name}: {key.why}" for key in self._keys.values() if "data" in key.name and key.why][:3]
                or "no data set",
                do="write the data set into the file (it may have stood on the command line)",
            )
        if "base" not in self._recipe:
            raise RecipeError(
                f"This config of {self.tool} names no base.",
                got=sorted(map(str, self.table)),
                do="write the model into the file (it may have stood on the command line)",
            )
        parse(self._class, self._recipe)
        place = {name: number for number, name in enumerate(self.table)}
        keys = sorted(
            self._keys.values(), key=lambda key: (not key.given, place.get(key.name.partition(".")[0], len(place)))
        )
        recipe = {section: self._recipe[section] for section in _ORDER if section in self._recipe}
        return Imported(self.tool, recipe, keys)

    def _note(self, name: str, state: State, becomes: str | None, why: str) -> None:
        value: Any = self.table
        for part in name.split("."):
            if isinstance(value, list):
                value = value[int(part)] if part.isdigit() and int(part) < len(value) else None
            else:
                value = value.get(part) if isinstance(value, Mapping) else None
        self._keys[name] = Key(name, value, state, becomes, why)

    def _put(self, values: Mapping[str, Any]) -> str | None:
        trial = self._recipe
        for path, value in values.items():
            trial = _with(trial, path.split("."), value)
        try:
            parse(self._class, trial)
        except RecipeError as error:
            return "; ".join(line.strip(" -") for line in error.what.splitlines()[1:]) or error.what
        self._recipe = trial
        return None


def shown(value: Any) -> str:
    """A value as YAML would have it, on one line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {shown(one)}" for key, one in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(shown, value)) + "]"
    return "null" if value is None else str(value)


def _with(table: Mapping[str, Any], keys: Sequence[str], value: Any) -> dict[str, Any]:
    """A copy with the value in its place."""
    first, *others = keys
    if not others:
        return {**table, first: value}
    below = table.get(first)
    return {**table, first: _with(below if isinstance(below, Mapping) else {}, others, value)}
