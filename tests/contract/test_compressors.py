"""Every compressor: its settings are closed, and it says how many bits a weight has."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from yibu import compressors

PLUGS = compressors.FAMILY.names()
LEAST = {"prune": {"layers": 1}}  # settings without which a plug would do nothing, and says so


@pytest.mark.parametrize("name", PLUGS)
def test_settings_are_closed_and_bits_are_told(name: str) -> None:
    plug = compressors.FAMILY.load(name)
    settings = plug.Settings(**LEAST.get(name, {}))
    assert plug.CHANGES in ("shape", "bits")
    assert settings.kind == name
    assert plug.bits(settings) in (4, 8, 16, 32)
    with pytest.raises(ValidationError):
        type(settings)(**LEAST.get(name, {}), nobody_knows_this=1)
