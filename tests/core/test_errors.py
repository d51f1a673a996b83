"""Errors: four parts, an exit code by class, nothing endless, the nearest known word."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yibu.core import errors
from yibu.core.errors import MissingExtra, YibuError, nearest


def _classes() -> list[type[YibuError]]:
    found = [item for item in vars(errors).values() if isinstance(item, type) and issubclass(item, YibuError)]
    assert len(found) >= 12
    return found


@pytest.mark.parametrize("error", _classes(), ids=lambda error: error.__name__)
def test_every_class_stands_in_the_drawn_tree_with_its_exit_code(error: type[YibuError]) -> None:
    """The docstring of the module draws the tree; it must not drift from the classes."""
    lines = (errors.__doc__ or "").splitlines()
    (index,) = [number for number, line in enumerate(lines) if error.__name__ in line.split()]
    indent = lines[index].index(error.__name__)
    above = [line for line in lines[:index] if any(other.__name__ in line.split() for other in _classes())]
    parents = [line for line in above if _indent(line) < indent]
    if error is not YibuError:
        assert error.__base__ is not None
        assert error.__base__.__name__ in parents[-1].split()
    drawn = [word for word in lines[index].split() if word in "0123"]
    inherited = [word for line in parents[-1:] for word in line.split() if word in "0123"]
    assert str(error.exit_code) == (drawn or inherited)[0]


def _indent(line: str) -> int:
    return next(line.index(error.__name__) for error in _classes() if error.__name__ in line.split())


def test_the_four_parts_are_rendered_and_absent_ones_are_not() -> None:
    full = YibuError("It is wrong.", got=3, allowed=["a", "b"], do="run x")
    assert str(full) == "It is wrong.\n  got:     3\n  allowed: a, b\n  do:      run x"
    assert str(YibuError("It is wrong.")) == "It is wrong."
    assert str(YibuError("It is wrong.", got=0)) == "It is wrong.\n  got:     0"
    assert str(YibuError("It is wrong.", got="", do="x")) == "It is wrong.\n  got:     \n  do:      x"


def test_the_dictionary_is_json_and_names_the_class() -> None:
    error = errors.RecipeError("No.", got={"b", "a"}, allowed=(1, 2), do="x")
    assert json.loads(json.dumps(error.as_dict())) == {
        "error": "RecipeError",
        "what": "No.",
        "got": "a, b",
        "allowed": "1, 2",
        "do": "x",
    }
    assert errors.StoreError("No.").as_dict() == {
        "error": "StoreError",
        "what": "No.",
        "got": None,
        "allowed": None,
        "do": None,
    }


@given(st.text() | st.integers() | st.lists(st.text(), max_size=50) | st.sets(st.integers()))
def test_no_value_makes_a_message_endless(value: object) -> None:
    assert len(YibuError("x", got=value).render()) < 230
    assert len(YibuError("x", allowed=value).render()) < 630


def test_long_values_end_in_a_dot_dot_dot() -> None:
    assert str(YibuError("x", got="y" * 200)).endswith("y" * 200)
    assert str(YibuError("x", got="y" * 201)).endswith("y" * 199 + "…")


def test_a_missing_extra_says_how_to_install_it() -> None:
    error = MissingExtra("pyarrow", "parquet", "Reading Parquet")
    assert str(error) == (
        "Reading Parquet needs the package 'pyarrow', which is not installed.\n  do:      pip install \"yibu[parquet]\""
    )
    assert error.exit_code == 2


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("epocs", "epochs"),
        ("learning_rat", "learning_rate"),
        ("LR", "lr"),
        ("Epochs", "epochs"),
        ("zzz", None),
        ("", None),
    ],
)
def test_the_nearest_word(word: str, found: str | None) -> None:
    assert nearest(word, ["epochs", "lr", "learning_rate"]) == found
    assert nearest(word, []) is None


def test_the_nearest_word_keeps_its_case() -> None:
    assert nearest("hf_home", iter(["HF_HOME", "PATH"])) == "HF_HOME"
