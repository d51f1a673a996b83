"""Importers: a config of another tool becomes a recipe, and every key of it is accounted for.

A tool is one file here. Its contract::

    TOOL: str                                     its name, for messages
    SIGNATURE: str                                what its configs are known by, in words
    fits(table: Mapping) -> bool                  whether a table has that signature
    base(table: Mapping) -> str | None            the base that the table names
    translate(draft: Draft) -> None               every key of the table: taken, changed, or left with the reason

Names are the lesser part of it. The tools count steps, batches and warm-up each in their own way, cut long rows in
silence, and have defaults of their own, which hold for a file that does not name them; a recipe that only looked alike
would train something else. So defaults that differ from yibu's are written into the recipe too (`Key.given` is False).

What the names mean was read in the tools' own code: LLaMA-Factory of August 2026 (``hparams/``), Axolotl of July 2026
(``utils/schemas/``), TRL of July 2026 (``trainer/sft_config.py``, ``model_config.py``), ms-swift of August 2026
(``docs/source_en/Instruction/Command-line-parameters.md``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from yibu.core.architecture import Facts
from yibu.core.errors import RecipeError
from yibu.core.plugs import Family
from yibu.core.recipe import Settings
from yibu.importers._draft import Draft, Imported, Key, State

__all__ = ["FAMILY", "Draft", "Facts", "Imported", "Key", "State", "base_of", "convert", "detect"]

FAMILY = Family(__name__, requires=("TOOL", "SIGNATURE", "fits", "base", "translate"))


def detect(table: Mapping[str, Any]) -> str:
    """Name of the importer whose signature a config has.

    Raises:
        RecipeError: it has none, or those of several tools; asks which.
    """
    plugs = FAMILY.all()
    found = [name for name, plug in plugs.items() if plug.fits(table)]
    if len(found) == 1:
        return found[0]
    signs = "; ".join(f"{name}: {plug.SIGNATURE}" for name, plug in plugs.items())
    if found:
        raise RecipeError(
            "This config has the signs of several tools.", got=found, allowed=signs, do="say which: --tool <name>"
        )
    if isinstance(table.get("data"), Mapping):
        raise RecipeError("This is a recipe of yibu already.", got=sorted(table), do="`yibu run` it as it is")
    raise RecipeError(
        "This config is of no tool that is known here.",
        got=sorted(map(str, table)) or "an empty table",
        allowed=signs,
        do="if it is one of them, say so: --tool <name>",
    )


def base_of(table: Mapping[str, Any], tool: str | None = None) -> str | None:
    """The base that a config names; its facts make `convert` know which modules a name means."""
    found: str | None = FAMILY.load(tool or detect(table)).base(table)
    return found


def convert(
    table: Mapping[str, Any],
    source: str | Path,
    recipe: type[Settings],
    facts: Facts | None = None,
    tool: str | None = None,
) -> Imported:
    """A config as a recipe.

    Args:
        table: the config, as `yibu.core.recipe.load_yaml` reads it.
        source: its path; the recipe is called after it.
        recipe: the class of recipes (`yibu.pipeline.Recipe`), which every value is checked against.
        facts: of the base's architecture; None takes the layer of Llama for granted.
        tool: name of the importer; None asks `detect`.

    Raises:
        RecipeError: an unknown tool, signs of several, a config that trains something else than answers (preferences,
            rewards, export), or one without a data set.
    """
    name = tool or detect(table)
    plug = FAMILY.load(name)
    stem = re.sub(r"[^\w.-]+", "-", Path(source).stem).strip("-.") or name
    draft = Draft(plug.TOOL, stem, table, recipe, facts)
    plug.translate(draft)
    return draft.finish()
