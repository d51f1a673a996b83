"""Recipes that are published: they parse, and they are short enough to be read."""

from pathlib import Path

import pytest

from yibu.core.recipe import parse
from yibu.pipeline import Recipe, load

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))


def test_there_are_recipes() -> None:
    assert {"quickstart", "mts_dialog"} <= {path.stem for path in RECIPES}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipe_parses_and_survives_being_written_out(path: Path) -> None:
    recipe = load(path)
    assert recipe.name == path.stem
    assert parse(Recipe, recipe.as_config()) == recipe


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipe_has_at_most_forty_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 40
