"""Families: one file is one plug, the contract is checked at the door, other distributions may add plugs."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import pytest

from yibu.core.errors import InputError, YibuError
from yibu.core.plugs import Family

_GOOD = "class Settings: pass\ndef read(): return 1\n"


def _family(name: str) -> Family:
    family: Family = importlib.import_module(name).FAMILY
    return family


def test_each_file_is_a_plug_but_private_ones(packages: Any) -> None:
    packages.family("fruits", pear=_GOOD, apple=_GOOD, _shared="x = 1\n")
    packages.module("fruits/melon/__init__", _GOOD)
    family = _family("fruits")
    assert family.name == "fruits"
    assert family.names() == ["apple", "melon", "pear"]
    assert list(family.all()) == ["apple", "melon", "pear"]
    assert family.load("pear").read() == 1


def test_a_file_added_later_is_a_plug_without_any_edit(packages: Any) -> None:
    packages.family("fruits", pear=_GOOD)
    assert _family("fruits").names() == ["pear"]
    packages.module("fruits/kiwi", _GOOD)
    assert _family("fruits").names() == ["kiwi", "pear"]


def test_naming_plugs_imports_none_and_loading_imports_one(packages: Any) -> None:
    packages.family("fruits", pear=_GOOD, rotten="raise RuntimeError\n")
    family = _family("fruits")
    assert family.names() == ["pear", "rotten"]
    family.load("pear")
    assert "fruits.rotten" not in sys.modules


@pytest.mark.parametrize("name", ["peer", "Pear", "PEAR"])
def test_an_unknown_plug_is_answered_with_the_nearest(packages: Any, name: str) -> None:
    packages.family("fruits", pear=_GOOD, apple=_GOOD)
    with pytest.raises(InputError, match="no fruits plug of that name") as caught:
        _family("fruits").load(name)
    assert caught.value.do == "did you mean 'pear'?"
    assert caught.value.allowed == ["apple", "pear"]


@pytest.mark.parametrize("name", ["", "_shared", "fruits.pear", "../os", "os", "__init__", "zzz"])
def test_only_plugs_can_be_loaded(packages: Any, name: str) -> None:
    packages.family("fruits", pear=_GOOD, _shared="x = 1\n")
    with pytest.raises(InputError):
        _family("fruits").load(name)


def test_a_plug_that_breaks_the_contract_names_what_it_lacks(packages: Any) -> None:
    packages.family("fruits", requires=("Settings", "read", "accepts"), pear=_GOOD, plum="Settings = None\n")
    with pytest.raises(YibuError, match=r"fruits\.plum does not keep the contract") as caught:
        _family("fruits").load("plum")
    assert caught.value.got == "missing: read, accepts"
    assert not isinstance(caught.value, InputError), "the plug is wrong, not what the user gave"
    with pytest.raises(YibuError, match="does not keep"):
        _family("fruits").all()


def test_a_plug_that_cannot_be_imported_is_named(packages: Any) -> None:
    packages.family("fruits", pear="import no_such_package_anywhere\n")
    with pytest.raises(YibuError, match=r"fruits\.pear cannot be imported") as caught:
        _family("fruits").load("pear")
    assert "no_such_package_anywhere" in str(caught.value)


def test_another_distribution_adds_a_plug(packages: Any) -> None:
    packages.family("fruits", requires=("Settings", "read"), pear=_GOOD)
    packages.module("exotic", "class Settings: pass\ndef read(): return 'exotic'\n")
    packages.distribution("exotic", "[yibu.fruits]\nmango = exotic\n\n[yibu.roots]\ncarrot = exotic\n")
    family = _family("fruits")
    assert family.names() == ["mango", "pear"]
    assert family.load("mango").read() == "exotic"


def test_the_contract_holds_for_other_distributions_too(packages: Any) -> None:
    packages.family("fruits", requires=("Settings", "read"), pear=_GOOD)
    packages.module("exotic", "Settings = None\n")
    packages.distribution("exotic", "[yibu.fruits]\nmango = exotic\nlost = not_there\n")
    with pytest.raises(YibuError, match="exotic does not keep the contract of fruits"):
        _family("fruits").load("mango")
    with pytest.raises(YibuError, match="not_there cannot be imported"):
        _family("fruits").load("lost")


def test_two_plugs_of_one_name_are_an_error_and_not_a_silent_choice(packages: Any) -> None:
    packages.family("fruits", pear=_GOOD)
    packages.module("exotic", _GOOD)
    packages.module("rival", _GOOD)
    packages.distribution("exotic", "[yibu.fruits]\npear = exotic\nmango = exotic\n")
    packages.distribution("rival", "[yibu.fruits]\nmango = rival\n")
    with pytest.raises(YibuError, match="Two fruits plugs have the name 'pear'") as caught:
        _family("fruits").load("pear")
    assert "fruits.pear" in str(caught.value)
    assert "exotic" in str(caught.value)
    with pytest.raises(YibuError, match="Two fruits plugs have the name 'mango'"):
        _family("fruits").load("mango")
