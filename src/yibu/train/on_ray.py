"""The processes of a run on a Ray cluster: Ray Train places them on its machines and says where they meet.

``RAY_ADDRESS`` names the cluster; without one Ray starts a local one. The store and the base must lie at paths that all
machines see. What the processes do there is what they do anywhere (`yibu.train.rank.take_part`).
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from yibu.core.errors import MissingExtra, TrainingError
from yibu.train.launch import why
from yibu.train.rank import Job, Place, take_part

if TYPE_CHECKING:
    from yibu.train import TrainSettings


def train_on_ray(job: Job, settings: TrainSettings) -> None:
    """Run a job in ``train.processes`` Ray workers, one GPU each where the cluster has GPUs and they are wanted.

    Raises:
        MissingExtra: Ray is not installed.
        TrainingError: a worker failed or there is no room for all of them; or any error of the stage.
    """
    try:
        import ray
        from ray.train import FailureConfig, RunConfig, ScalingConfig
        from ray.train.torch import TorchConfig, TorchTrainer
    except ImportError:
        raise MissingExtra("ray", "ray", "train.engine: ray") from None
    started = not ray.is_initialized()
    if started:
        ray.init(log_to_driver=True, include_dashboard=False)
    try:
        on_gpus = settings.device != "cpu" and ray.cluster_resources().get("GPU", 0) > 0
        _require_room(ray.cluster_resources(), settings, on_gpus)
        trainer = TorchTrainer(
            _work,
            train_loop_config=asdict(job),
            torch_config=TorchConfig(timeout_s=max(1, int(settings.hang_seconds))),
            scaling_config=ScalingConfig(
                num_workers=settings.processes,
                use_gpu=on_gpus,
                resources_per_worker={"CPU": settings.threads or 1, **({"GPU": 1} if on_gpus else {})},
            ),
            run_config=RunConfig(
                name="yibu", storage_path=str(job.errors / "ray"), failure_config=FailureConfig(max_failures=0)
            ),
        )
        try:
            trainer.fit()
        except ray.train.TrainingFailedError as error:
            if any(job.errors.glob("error-*.json")):
                raise why(job, {}, settings.processes) from None
            ranks = sorted(getattr(error, "worker_failures", {}))
            raise TrainingError(
                "The run stopped: a Ray worker ended before it was done.",
                got=f"ranks {ranks}" if ranks else type(error).__name__,
                do="look at Ray's log of the worker; the same command goes on from the last checkpoint",
            ) from None
    finally:
        if started:
            ray.shutdown()


def _require_room(resources: dict[str, float], settings: TrainSettings, on_gpus: bool) -> None:
    """Ray itself would wait for machines that may never come.

    Raises:
        TrainingError: fewer CPUs or GPUs than the workers need.
    """
    kind, each = ("GPU", 1) if on_gpus else ("CPU", settings.threads or 1)
    if settings.processes * each > resources.get(kind, 0):
        raise TrainingError(
            "The Ray cluster has no room for all processes.",
            got=f"{settings.processes} processes with {each} {kind} each; the cluster has {resources.get(kind, 0):g}",
            do=f"set train.processes to at most {int(resources.get(kind, 0) // each)}, or add machines to the cluster",
        )


def _work(table: dict[str, Any]) -> None:
    """What each worker does."""
    from ray.train import get_context

    from yibu.core import log

    context = get_context()
    log.configure()
    log.LOGGER.setLevel(table["level"])
    here = Place(
        context.get_world_rank(), context.get_world_size(), context.get_local_rank(), context.get_local_world_size()
    )
    take_part(Job(**{**table, "json_lines": False}), here)
