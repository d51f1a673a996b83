"""Every form in which a model leaves: its settings are closed, its bounds are bounds, its files come with a usage."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from yibu import exporters

PLUGS = exporters.FAMILY.names()
every_plug = pytest.mark.parametrize("name", PLUGS)


@every_plug
def test_settings_are_closed_and_name_their_plug(name: str) -> None:
    settings = exporters.FAMILY.load(name).Settings()
    assert settings.kind == name
    with pytest.raises(ValidationError):
        type(settings)(nobody_knows_this=1)
    with pytest.raises(ValidationError):
        settings.kind = "other"


@every_plug
def test_bounds_refuse_a_model_that_lost_its_adapter(name: str) -> None:
    plug = exporters.FAMILY.load(name)
    bounds = plug.bounds(plug.Settings())
    assert 0 < bounds.missing < 1, "a form without the adapter is missing all of its effect"
    assert 0 < bounds.probability < 1
    assert 0.5 < bounds.first_choices <= 1
    assert bounds.gain is None or 0.5 < bounds.gain <= 1
