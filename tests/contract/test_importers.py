"""One test over every importer: no key is dropped, and what comes out is a recipe, whatever went in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from yibu import importers
from yibu.core.errors import RecipeError
from yibu.core.recipe import load_yaml, parse
from yibu.pipeline import Recipe

CONFIGS = Path(__file__).parents[1] / "importers" / "configs"
TOOLS = ["axolotl", "llamafactory", "swift", "trl"]
STATES = {"taken", "changed", "not taken"}
every_tool = pytest.mark.parametrize("tool", TOOLS)


def config(tool: str) -> dict[str, Any]:
    return load_yaml(CONFIGS / f"{tool}.yaml")


def check(table: dict[str, Any], found: importers.Imported) -> None:
    """What must hold of every result."""
    parse(Recipe, found.recipe)
    named = [key.name for key in found.keys]
    assert len(named) == len(set(named))
    missing = {name for name in table if name not in named and not any(key.startswith(f"{name}.") for key in named)}
    assert not missing, f"dropped in silence: {missing}"
    for key in found.keys:
        assert key.state in STATES
        assert key.given == (key.name.partition(".")[0] in table)
        assert key.why or key.state == "taken", f"{key.name}: {key.state} without a reason"
        assert key.why or key.becomes, f"{key.name}: neither what it becomes nor why"
        if key.given and "." not in key.name:
            assert key.value == table[key.name]


def test_list_of_importers() -> None:
    assert importers.FAMILY.names() == TOOLS


@every_tool
def test_knows_its_own(tool: str) -> None:
    table = config(tool)
    assert importers.detect(table) == tool
    assert [name for name, plug in importers.FAMILY.all().items() if plug.fits(table)] == [tool]
    assert importers.base_of(table) == importers.convert(table, "x.yaml", Recipe).recipe["base"]


@every_tool
def test_every_key_is_accounted_for(tool: str) -> None:
    table = config(tool)
    found = importers.convert(table, CONFIGS / f"{tool}.yaml", Recipe)
    check(table, found)
    assert found.recipe["name"] == tool
    assert found.tool == importers.FAMILY.load(tool).TOOL
    assert not [key.name for key in found.keys if "unknown" in key.why]
    assert json.loads(json.dumps(found.as_dict()))["recipe"]["base"] == found.recipe["base"]
    assert importers.convert(table, f"{tool}.yaml", Recipe) == found


@every_tool
def test_unknown_keys_are_said_to_be(tool: str) -> None:
    table = {**config(tool), "learning_rat": 1, "no_such_key_at_all": {"a": 1}}
    found = {key.name: key for key in importers.convert(table, "x.yaml", Recipe).keys}
    assert found["no_such_key_at_all"].why == "unknown to this importer"
    assert found["learning_rat"].state == "not taken"


@every_tool
def test_a_typo_is_guessed(tool: str) -> None:
    table = config(tool)
    table["learning_ratee"] = table.pop("learning_rate")
    found = {key.name: key for key in importers.convert(table, "x.yaml", Recipe).keys}
    assert "did you mean learning_rate?" in found["learning_ratee"].why


@every_tool
def test_no_data_set_is_an_error(tool: str) -> None:
    table = {name: value for name, value in config(tool).items() if name not in ("dataset", "datasets", "dataset_name")}
    with pytest.raises(RecipeError, match="names no data set"):
        importers.convert(table, "x.yaml", Recipe, tool=tool)


@every_tool
def test_no_base_is_an_error(tool: str) -> None:
    """A recipe without a base would train another one than was meant."""
    table = {name: value for name, value in config(tool).items() if name not in ("model", "base_model")}
    table.pop("model_name_or_path", None)
    with pytest.raises(RecipeError, match="names no base"):
        importers.convert(table, "x.yaml", Recipe, tool=tool)


WRONG = st.sampled_from([None, "", "abc", -1, 0, 0.5, 7, True, False, [], ["x"], {}, {"a": 1}, "1e-4", 10**12])


@every_tool
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_values_give_a_recipe_or_a_clear_error(tool: str, data: st.DataObject) -> None:
    table = config(tool)
    for name in data.draw(st.lists(st.sampled_from(sorted(table)), unique=True, max_size=8)):
        if data.draw(st.booleans()):
            del table[name]
        else:
            table[name] = data.draw(WRONG)
    try:
        found = importers.convert(table, "x.yaml", Recipe, tool=tool)
    except RecipeError:
        return
    check(table, found)


PAIRS = [(one, other) for one in TOOLS for other in TOOLS if one < other]


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_two_tools_in_one_file_are_never_mixed(one: str, other: str) -> None:
    """Several signatures are an error that asks; told which, the other's keys are listed all the same."""
    table = {**config(one), **config(other)}
    fitting = [name for name, plug in importers.FAMILY.all().items() if plug.fits(table)]
    if len(fitting) != 1:
        with pytest.raises(RecipeError, match="several tools"):
            importers.detect(table)
    check(table, importers.convert(table, "x.yaml", Recipe, tool=one))
