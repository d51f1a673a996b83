"""MLflow. The server is the one that ``MLFLOW_TRACKING_URI`` names; without it, a file store beside the artifacts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from yibu.core.errors import MissingExtra


class Tracker:
    def __init__(self, name: str, config: Mapping[str, Any], folder: Path) -> None:
        try:
            import mlflow
        except ImportError as error:
            raise MissingExtra("mlflow-skinny", "mlflow", "the tracker mlflow") from error
        if "MLFLOW_TRACKING_URI" not in os.environ:
            # The skinny package has no database; its file store must be allowed by name since MLflow 3.
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
            mlflow.set_tracking_uri((folder / "mlflow").absolute().as_uri())
        mlflow.set_experiment("yibu")
        self._run = mlflow.start_run(run_name=name)
        self._mlflow = mlflow
        mlflow.log_dict(dict(config), "config.json")

    def log(self, values: Mapping[str, float], step: int) -> None:
        self._mlflow.log_metrics(dict(values), step=step)

    def close(self) -> None:
        self._mlflow.end_run()
