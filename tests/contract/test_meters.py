"""What holds for every meter: it says what is missing, or it rises and says whether it measures."""

from __future__ import annotations

from typing import Any

import pytest

from yibu import meters
from yibu.core.errors import InputError

LEAST: dict[str, dict[str, Any]] = {"modelled": {"watts": 10}}


@pytest.mark.parametrize("name", meters.FAMILY.names())
def test_it_measures_or_says_what_is_missing(name: str) -> None:
    plug = meters.FAMILY.load(name)
    settings = plug.Settings(**LEAST.get(name, {}))
    assert settings.kind == name
    missing = plug.available(settings)
    if missing is not None:
        assert missing
        with pytest.raises(InputError):
            plug.Meter(settings)
        return
    meter = plug.Meter(settings)
    assert meter.joules() <= meter.joules()
    assert meter.modelled is (name not in meters.BY_ITSELF)
    assert meter.covers.startswith("modelled" if meter.modelled else "measured")
