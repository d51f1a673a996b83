"""What tests of several forms begin with."""

from __future__ import annotations

import pytest

from tuned import Tuned, tuned
from yibu import pipeline


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    """A classifier that is exported, and stays as it is; its report corrects what it thinks of its labels."""
    train = {"lr": 1e-2, "epochs": 1, "threads": 1, "class_weights": "balanced"}
    evaluate = {"threads": 1, "dtype": "fp32", "recalibrate": "vector", "num_resamples": 200}
    made = tuned(tmp_path_factory.mktemp("tuned"), num_rows=120, train=train, evaluate=evaluate)
    pipeline.make_report(made.recipe, made.store, made.data, made.model)
    return made
