"""From YAML to settings: nothing unknown passes, nothing changes on the way, every mistake is named by its path."""

from __future__ import annotations

import importlib
import math
from pathlib import Path
from typing import Annotated, Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from yibu.core.errors import RecipeError
from yibu.core.recipe import PlugSettings, Settings, apply_overrides, dump_yaml, json_schema, load_yaml, parse

_LORA = """
from typing import Literal
from yibu.core.recipe import Settings as Base
class Experts(Base):
    top: int = 6
class Settings(Base):
    kind: Literal["lora"] = "lora"
    rank: int = 16
    experts: Experts = Experts()
"""
_BOTTLENECK = """
from typing import Literal
from yibu.core.recipe import Settings as Base
class Experts(Base):
    width: int
class Settings(Base):
    kind: Literal["bottleneck"] = "bottleneck"
    width: int
    experts: Experts | None = None
"""


class Split(Settings):
    train: float = 0.8
    seed: int = 0


class Data(Settings):
    source: str | list[str] = "x"
    split: Split = Split()
    parts: tuple[Split, ...] = ()
    named: dict[str, Split] = Field(default_factory=dict)
    shuffle: bool = True


class Train(Settings):
    lr: float = Field(default=2e-4, gt=0)
    epochs: int = 1


class Plain(Settings):
    name: str = "unnamed"
    data: Data = Data()
    train: Train = Train()


@pytest.fixture
def recipe_class(packages: Any) -> type[Settings]:
    """A recipe with plugs: one that has a default, one that may be left out, and a list of them."""
    packages.family("grafts", lora=_LORA, bottleneck=_BOTTLENECK)
    plug = PlugSettings("grafts", default="lora")

    class Recipe(Settings):
        data: Data = Data()
        adapter: Annotated[Settings, plug] = Field(default=None, validate_default=True)
        task: Annotated[Settings, plug] | None = None
        exports: tuple[Annotated[Settings, plug], ...] = ()

    return Recipe


# ---- files


def _yaml(tmp_path: Path, text: str | bytes) -> dict[str, Any]:
    path = tmp_path / "recipe.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return load_yaml(path)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5e-5", 5e-5), ("5E-5", 5e-5), ("1e5", 1e5), ("2.5e-4", 2.5e-4), ("-1e-3", -1e-3), ("+.5e-3", 5e-4),
        ("3.", 3.0),
        ("0", 0), ("-7", -7), ("1_000", 1000), ("0x1f", 31), (".inf", math.inf), ("-.inf", -math.inf),
        ("true", True), ("False", False), ("null", None), ("~", None), ("", None),
        ("yes", "yes"), ("no", "no"), ("on", "on"), ("Off", "Off"), ("y", "y"),
        ("0123", "0123"), ("089", "089"), ("1:30", "1:30"), ("2024-01-31", "2024-01-31"), ("=", "="),
        ("1.2.3", "1.2.3"),
        ("5e", "5e"), ("e5", "e5"), ("E11.9", "E11.9"), ("'5e-5'", "5e-5"), ("auto", "auto"), ("门诊", "门诊"),
    ],
)  # fmt: skip
def test_scalars_are_those_of_yaml_1_2(tmp_path: Path, text: str, value: object) -> None:
    """Where 1.1 would turn 5e-5 into a text, the labels yes/no/maybe into booleans, and a code 0123 into 83."""
    read = _yaml(tmp_path, f"a: {text}")["a"]
    assert read == value
    assert type(read) is type(value)
    assert _yaml(tmp_path, f"a: [{text or '~'}]")["a"] == [value]


def test_a_boolean_setting_still_understands_yes_and_no(tmp_path: Path) -> None:
    assert parse(Data, _yaml(tmp_path, "shuffle: no")).shuffle is False
    assert parse(Data, _yaml(tmp_path, "shuffle: yes")).shuffle is True


def test_a_byte_order_mark_and_merge_keys_are_read(tmp_path: Path) -> None:
    assert _yaml(tmp_path, b"\xef\xbb\xbfname: x") == {"name": "x"}
    text = "base: &base {lr: 1, epochs: 2}\ntrain: {<<: *base, lr: 3}\n"
    assert _yaml(tmp_path, text)["train"] == {"lr": 3, "epochs": 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2", "duplicate key 'a'"),
        ("s:\n  a: 1\n  b: 2\n  a: 1", "duplicate key 'a'"),
        ("s: [{a: 1, a: 2}]", "duplicate key 'a'"),
        ("1: x\n1: y", "duplicate key 1"),
        ("a: {b", "is not valid YAML"),
        ("a:\n\t- b", "is not valid YAML"),
        ("? [a]\n: 1", "a key must be a word"),
        ("? {a: 1}\n: 1", "a key must be a word"),
        ("a: &x {y: *x}", "is not valid YAML"),
        ("a: !!python/object/apply:os.system [ls]", "is not valid YAML"),
        ("- a", "must hold a table"),
        ("just text", "must hold a table"),
        ("", "is empty"),
        ("# only a comment\n", "is empty"),
        (b"a: \xff", "is not valid YAML"),
        ("a: \0", "is not valid YAML"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        _yaml(tmp_path, text)
    assert caught.value.exit_code == 2


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(RecipeError, match="no recipe at this path"):
            load_yaml(path)


# ---- overrides


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("train.lr=1e-3", {"train": {"lr": 1e-3, "epochs": 2}, "name": "x"}),
        ("--train.lr=1e-3", {"train": {"lr": 1e-3, "epochs": 2}, "name": "x"}),
        ("name=a=b", {"train": {"lr": 0.1, "epochs": 2}, "name": "a=b"}),
        ("name=", {"train": {"lr": 0.1, "epochs": 2}, "name": None}),
        ("train={lr: 3}", {"train": {"lr": 3}, "name": "x"}),
        ("data.source=[a, b]", {"train": {"lr": 0.1, "epochs": 2}, "name": "x", "data": {"source": ["a", "b"]}}),
        ("data.split.seed=0123", {"train": {"lr": 0.1, "epochs": 2}, "name": "x", "data": {"split": {"seed": "0123"}}}),
    ],
)
def test_an_override_sets_one_key_and_leaves_the_table_alone(override: str, expected: object) -> None:
    table = {"train": {"lr": 0.1, "epochs": 2}, "name": "x"}
    assert apply_overrides(table, [override]) == expected
    assert table == {"train": {"lr": 0.1, "epochs": 2}, "name": "x"}


def test_later_overrides_win_and_an_empty_section_can_be_set_below() -> None:
    assert apply_overrides({}, ["a.b=1", "a.c=2", "a.b=3"]) == {"a": {"b": 3, "c": 2}}
    assert apply_overrides({"train": None}, ["train.lr=1"]) == {"train": {"lr": 1}}


@pytest.mark.parametrize("override", ["train.lr", "=3", "name.below=1", "a={b", "a={b: 1, b: 2}", ""])
def test_a_malformed_override_is_refused(override: str) -> None:
    with pytest.raises(RecipeError) as caught:
        apply_overrides({"name": "x"}, [override])
    assert caught.value.got == override


# ---- keys and values


def _mistakes(model: type[Settings], table: dict[str, Any]) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        parse(model, table)
    return [line.strip().removeprefix("- ") for line in caught.value.what.splitlines()[1:]]


@pytest.mark.parametrize(
    ("table", "mistake"),
    [
        ({"dtaa": {}}, "dtaa: unknown key; did you mean 'data'?"),
        ({"zzzz": 1}, "zzzz: unknown key; known keys: data, name, train"),
        ({"Train": {}}, "Train: unknown key; did you mean 'train'?"),
        ({"train": {"learning": 1}}, "train.learning: unknown key; known keys: epochs, lr"),
        ({"data": {"split": {"trian": 1}}}, "data.split.trian: unknown key; did you mean 'train'?"),
        ({"data": {"parts": [{}, {"sead": 1}]}}, "data.parts.1.sead: unknown key; did you mean 'seed'?"),
        ({"data": {"named": {"a": {"sead": 1}}}}, "data.named.a.sead: unknown key; did you mean 'seed'?"),
        ({"train": {"lr": "fast"}}, "train.lr: Input should be a valid number, unable to parse"),
        ({"train": {"lr": 0}}, "train.lr: Input should be greater than 0 (got '0')"),
        ({"train": {"lr": math.nan}}, "train.lr: Input should be a finite number (got 'nan')"),
        ({"train": {"lr": math.inf}}, "train.lr: Input should be a finite number (got 'inf')"),
        ({"train": {"epochs": 1.5}}, "train.epochs: Input should be a valid integer, got a number"),
        ({"train": [1]}, "train: Input should be a valid dictionary or instance of Train (got '[1]')"),
        ({1: 2}, "1: Keys should be strings (got '1')"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_by_its_path(table: dict[str, Any], mistake: str) -> None:
    (found,) = _mistakes(Plain, table)
    assert found.startswith(mistake)


def test_a_union_is_told_by_the_path_that_the_user_wrote() -> None:
    found = _mistakes(Plain, {"data": {"source": 3}})
    assert [mistake.partition(":")[0] for mistake in found] == ["data.source", "data.source"]


def test_all_mistakes_are_told_at_once() -> None:
    found = _mistakes(Plain, {"nme": 1, "train": {"lr": "x", "epochs": 2}, "data": {"split": {"sed": 1}}})
    assert len(found) == 3
    with pytest.raises(RecipeError, match="3 mistakes") as caught:
        parse(Plain, {"nme": 1, "train": {"lr": "x", "epochs": 2}, "data": {"split": {"sed": 1}}})
    assert "yibu schema" in (caught.value.do or "")


def test_a_long_value_is_not_printed_in_full() -> None:
    (mistake,) = _mistakes(Plain, {"train": {"lr": "secret " * 100}})
    assert len(mistake) < 250


def test_settings_are_frozen_closed_and_have_their_defaults_checked() -> None:
    settings = parse(Plain, {"train": {"lr": 1}})
    with pytest.raises(ValidationError, match="frozen"):
        settings.train.lr = 2.0
    with pytest.raises(ValidationError, match="frozen"):
        settings.name = "x"
    with pytest.raises(ValidationError, match="Extra inputs"):
        Train(lr=1, unknown=2)

    class Wrong(Settings):
        lr: float = "fast"  # type: ignore[assignment]

    with pytest.raises(ValidationError):
        Wrong()


def test_the_config_spells_out_every_default() -> None:
    config = parse(Plain, {"train": {"lr": 1}}).as_config()
    assert config == {
        "name": "unnamed",
        "data": {"source": "x", "split": {"train": 0.8, "seed": 0}, "parts": [], "named": {}, "shuffle": True},
        "train": {"lr": 1.0, "epochs": 1},
    }


# ---- plugs


def test_the_kind_chooses_the_class(recipe_class: type[Settings]) -> None:
    lora, bottleneck = (importlib.import_module(f"grafts.{name}").Settings for name in ("lora", "bottleneck"))
    recipe: Any = parse(recipe_class, {"adapter": {"kind": "bottleneck", "width": 3}, "task": {"rank": 8}})
    assert isinstance(recipe.adapter, bottleneck)
    assert recipe.adapter.width == 3
    assert isinstance(recipe.task, lora)
    assert recipe.task.rank == 8
    assert recipe.exports == ()
    default: Any = parse(recipe_class, {})
    assert isinstance(default.adapter, lora)
    assert default.task is None
    assert parse(recipe_class, {"adapter": None}) == default
    assert parse(recipe_class, {"adapter": lora(rank=2)}).as_config()["adapter"]["rank"] == 2


def test_the_config_holds_the_plugs_own_settings(recipe_class: type[Settings]) -> None:
    """Were they left out, adapters of rank 8 and 16 would get the same artifact id."""
    table = {"adapter": {"kind": "bottleneck", "width": 3}, "task": {"rank": 8}, "exports": [{"rank": 1}, {"rank": 2}]}
    recipe = parse(recipe_class, table)
    config = recipe.as_config()
    assert config["adapter"] == {"kind": "bottleneck", "width": 3, "experts": None}
    assert config["task"] == {"kind": "lora", "rank": 8, "experts": {"top": 6}}
    assert [plug["rank"] for plug in config["exports"]] == [1, 2]
    assert parse(recipe_class, config) == recipe
    assert parse(recipe_class, yaml.safe_load(dump_yaml(recipe))) == recipe
    assert parse(recipe_class, {}).as_config()["task"] is None


@pytest.mark.parametrize(
    ("table", "mistake"),
    [
        ({"adapter": {"rnk": 1}}, "adapter.rnk: unknown key; did you mean 'rank'?"),
        ({"adapter": {"experts": {"tip": 1}}}, "adapter.experts.tip: unknown key; did you mean 'top'?"),
        ({"adapter": {"kind": "bottleneck", "width": 1, "rank": 2}},
         "adapter.rank: unknown key; known keys: experts, kind, width"),
        ({"adapter": {"kind": "bottleneck", "width": 1, "experts": {"widht": 2, "width": 1}}},
         "adapter.experts.widht: unknown key; did you mean 'width'?"),
        ({"adapter": {"kind": "bottleneck"}}, "adapter.width: Field required"),
        ({"task": {"rnk": 1}}, "task.rnk: unknown key; did you mean 'rank'?"),
        ({"task": {"rank": "x"}}, "task.rank: Input should be a valid integer, unable to parse"),
        ({"exports": [{}, {"rnk": 1}]}, "exports.1.rnk: unknown key; did you mean 'rank'?"),
        ({"exports": [{"kind": "bottleneck", "widht": 1, "width": 2}]},
         "exports.0.widht: unknown key; did you mean 'width'?"),
        ({"adapter": "lora"}, "adapter: must be a table such as {kind: lora} (got 'lora')"),
        ({"adapter": {"kind": "lorra"}},
         "adapter: There is no grafts plug of that name. (got: lorra, allowed: bottleneck, lora, do: did you mean"),
        ({"adapter": {"kind": ["x"]}}, "adapter: There is no grafts plug of that name. (got: ['x'], allowed: "),
    ],
)  # fmt: skip
def test_a_mistake_inside_a_plug_is_named_by_its_path(
    recipe_class: type[Settings], table: dict[str, Any], mistake: str
) -> None:
    (found,) = _mistakes(recipe_class, table)
    assert found.startswith(mistake)


def test_the_schema_is_valid_and_agrees_with_the_parser(recipe_class: type[Settings]) -> None:
    schema = json_schema(recipe_class)
    assert schema["$schema"].endswith("2020-12/schema")
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    good = [
        {}, {"adapter": None}, {"adapter": {}}, {"adapter": {"rank": 3, "experts": {"top": 2}}}, {"task": None},
        {"adapter": {"kind": "bottleneck", "width": 3, "experts": {"width": 1}}}, {"exports": [{}, {"kind": "lora"}]},
        {"data": {"source": ["a"], "parts": [{"seed": 1}]}},
    ]  # fmt: skip
    bad = [
        {"dtaa": {}}, {"adapter": {"rnk": 3}}, {"adapter": {"width": 3}}, {"adapter": {"kind": "bottleneck"}},
        {"adapter": {"kind": "bottleneck", "width": 3, "experts": {"top": 1}}}, {"adapter": {"kind": "other"}},
        {"adapter": "lora"}, {"exports": [{"rnk": 1}]}, {"data": {"split": {"trian": 1}}}, {"task": {"rank": "x"}},
    ]  # fmt: skip
    for table in good:
        parse(recipe_class, table)
        assert validator.is_valid(table), table
    for table in bad:
        with pytest.raises(RecipeError):
            parse(recipe_class, table)
        assert not validator.is_valid(table), table


# ---- round trip

_texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x85"), max_size=12) | st.sampled_from(
    [
        "1e5",
        "5e-5",
        "yes",
        "no",
        "0123",
        "1:30",
        "2024-01-01",
        "~",
        "null",
        "true",
        "<<",
        "=",
        "-",
        "",
        "a: b",
        "#",
        "é",
    ]
)


@given(
    name=_texts,
    source=_texts | st.lists(_texts, max_size=3),
    lr=st.floats(min_value=1e-300, max_value=1e300, allow_nan=False),
    named=st.dictionaries(_texts, st.builds(Split, seed=st.integers()), max_size=3),
)
def test_the_written_recipe_reads_back_as_the_same(
    name: str, source: str | list[str], lr: float, named: dict[str, Split], tmp_path_factory: pytest.TempPathFactory
) -> None:
    recipe = Plain(name=name, data=Data(source=source, named=named), train=Train(lr=lr))
    path = tmp_path_factory.getbasetemp() / "round-trip.yaml"
    path.write_text(dump_yaml(recipe), encoding="utf-8", newline="")
    assert parse(Plain, load_yaml(path)) == recipe
