"""Two Ray workers on a local cluster give the adapter of one process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from many_processes import Nothing, config, curve, given, largest_difference, weights
from tiny import tiny_base
from yibu.core.errors import TrainingError
from yibu.core.store import Store
from yibu.train import train

ray = pytest.importorskip("ray")


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    ray.init(num_cpus=2, log_to_driver=False, include_dashboard=False)
    yield
    ray.shutdown()


@pytest.mark.usefixtures("cluster")
def test_a_cluster_trains_what_one_process_does(tmp_path: Path) -> None:
    base = tiny_base(tmp_path / "base")
    here, there = Store(tmp_path / "here"), Store(tmp_path / "there")
    alone = here.run(train, config(base, epochs=1), data=here.run(given, Nothing()))
    data = there.run(given, Nothing())
    made = there.run(train, config(base, epochs=1, processes=2, engine="ray", hang_seconds=60), data=data)
    assert made.id == alone.id
    assert curve(made) == pytest.approx(curve(alone), abs=2e-6)
    assert largest_difference(weights(made), weights(alone)) < 1e-5
    assert made.read_json("summary.json")["processes"] == 2

    with pytest.raises(TrainingError, match="no room") as error:
        there.run(train, config(base, epochs=2, processes=3, engine="ray"), data=data)
    assert "at most 2" in str(error.value)
