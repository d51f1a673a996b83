"""Every tracker against a stand-in of its service: what is sent, and what is said where it is not installed."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from yibu.core.errors import MissingExtra
from yibu.train import TRACKERS

MODULES = {"mlflow": "mlflow", "tensorboard": "torch.utils.tensorboard", "wandb": "wandb"}
Sent = list[tuple[int, str, float]]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    """Stands in for all services; what reaches one is here."""
    found: Sent = []

    def many(values: Mapping[str, float], step: int) -> None:
        found.extend((step, key, value) for key, value in values.items())

    def end() -> None:
        found.append((-1, "end", 0.0))

    class Writer:
        def __init__(self, folder: str) -> None: ...

        def add_text(self, name: str, text: str) -> None: ...

        def add_scalar(self, key: str, value: float, step: int) -> None:
            found.append((step, key, value))

        def close(self) -> None:
            end()

    nothing: Any = lambda *arguments, **options: None  # noqa: E731
    services = {
        "mlflow": {
            "set_tracking_uri": nothing,
            "set_experiment": nothing,
            "start_run": nothing,
            "log_dict": nothing,
            "log_metrics": many,
            "end_run": end,
        },
        "torch.utils.tensorboard": {"SummaryWriter": Writer},
        "wandb": {"init": lambda **options: SimpleNamespace(log=many, finish=end)},
    }
    for name, names in services.items():
        module = ModuleType(name)
        module.__dict__.update(names)
        monkeypatch.setitem(sys.modules, name, module)
    return found


@pytest.mark.parametrize("name", TRACKERS.names())
def test_values_arrive_with_their_step(name: str, sent: Sent, tmp_path: Path) -> None:
    tracker = TRACKERS.load(name).Tracker("train-1", {"lr": 1e-4}, tmp_path)
    tracker.log({"loss": 2.0, "lr": 0.1}, 1)
    tracker.log({"valid_loss": 1.5}, 2)
    tracker.close()
    assert sent == [(1, "loss", 2.0), (1, "lr", 0.1), (2, "valid_loss", 1.5), (-1, "end", 0.0)]


@pytest.mark.parametrize("name", TRACKERS.names())
def test_a_service_that_is_not_installed_is_told_with_its_extra(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, MODULES[name], None)  # an import raises
    with pytest.raises(MissingExtra, match=rf"yibu\[{name}\]"):
        TRACKERS.load(name).Tracker("train-1", {}, tmp_path)


def test_wandb_stays_offline_unless_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    module = ModuleType("wandb")
    module.__dict__["init"] = lambda **options: asked.append(options["mode"])
    monkeypatch.setitem(sys.modules, "wandb", module)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    TRACKERS.load("wandb").Tracker("train-1", {}, tmp_path)
    monkeypatch.setenv("WANDB_MODE", "online")
    TRACKERS.load("wandb").Tracker("train-1", {}, tmp_path)
    assert asked == ["offline", "online"]
