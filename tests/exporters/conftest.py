"""What tests of several forms begin with."""

from __future__ import annotations

import pytest

from tuned import Tuned, tuned


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    """A classifier that is exported, and stays as it is."""
    return tuned(tmp_path_factory.mktemp("tuned"), num_rows=120, train={"lr": 1e-2, "epochs": 1, "threads": 1})
