"""The stage that turns a base and prepared rows into an adapter.

`fit` (in `yibu.train.loop`) is the loop itself; this file holds its settings and the way from artifacts to an artifact.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from yibu.core.plugs import Family
from yibu.core.recipe import PlugSettings, Settings
from yibu.core.store import Artifact, Work, stage


class TrainSettings(Settings):
    """How an adapter is trained.

    One optimizer step sees ``batch * accumulate`` rows; how they are cut into forward passes never changes the
    gradient, since each target token weighs the same.
    """

    lr: Annotated[float, Field(gt=0)] | Literal["auto"] = Field(
        2e-4,
        description="peak learning rate; for LoRA about ten times that of full fine-tuning; auto: tried on the "
        "validation rows before the run, see yibu.train.sweep",
    )
    epochs: int = Field(3, ge=1)
    max_steps: int | None = Field(None, ge=1, description="stop after so many optimizer steps")
    batch: int = Field(8, ge=1, description="rows of one micro-batch")
    accumulate: int = Field(2, ge=1, description="micro-batches of one optimizer step")
    warmup_steps: int | None = Field(None, ge=0, description="linear warm-up; default 6 % of all steps")
    weight_decay: float = Field(0.0, ge=0)
    betas: tuple[float, float] = (0.9, 0.999)
    max_grad_norm: float = Field(1.0, gt=0)
    max_length: int | Literal["auto"] = Field("auto", description="longest row in tokens; auto: the longest there is")
    too_long: Literal["refuse", "drop", "split"] = Field("refuse", description="rows longer than max_length")
    pack_tokens: int = Field(2048, ge=16, description="tokens of one forward pass; bounds memory")
    sampler: Literal["shuffle", "weighted"] = Field(
        "shuffle", description="weighted: rows are drawn in inverse proportion to the size of their class"
    )
    class_weights: Literal["none", "balanced"] = Field(
        "none", description="balanced: the tokens of the label weigh in inverse proportion to the size of the class"
    )
    balance_strength: float = Field(
        1.0, gt=0, le=1, description="of sampler or class_weights: a class of n rows weighs n^-strength a row"
    )
    seed: int = 0
    evaluate_every: int | None = Field(None, ge=1, description="steps between validations; default once an epoch")
    patience: int | None = Field(None, ge=1, description="stop after so many validations without gain")
    checkpoint_every: int = Field(20, ge=1, description="steps between checkpoints")
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = Field("auto", description="of the frozen base; adapters are fp32")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = Field(None, ge=1, description="CPU threads; default: torch's choice")
    recompute: bool = Field(False, description="recompute activations in the backward pass: less memory, slower")
    lower_cache: bool = Field(
        False,
        description="run the frozen layers below the lowest adapter (adapter.layers) once and keep what they make of "
        "every row on disk: the same losses, less time from the second epoch on",
    )
    trackers: tuple[str, ...] = Field((), description="tensorboard | mlflow | wandb")
    processes: int = Field(1, ge=1, description="that share the passes of each step; the gradient stays the same")
    engine: Literal["local", "ray"] = Field(
        "local", description="what starts the processes: this machine, or a cluster"
    )
    shard: Literal["none", "full"] = Field("none", description="full: each process holds 1/N of the base (FSDP2)")
    hang_seconds: float = Field(
        600.0, gt=0, description="a process that is silent for longer is named and the run ends"
    )

    @field_validator("trackers")
    @classmethod
    def _known_trackers(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        known = TRACKERS.names()
        unknown = [name for name in names if name not in known]
        if unknown:
            raise ValueError(f"unknown trackers {unknown}; known: {known}")
        return names

    @model_validator(mode="after")
    def _whole_layers_are_kept(self) -> TrainSettings:
        if self.lower_cache and self.shard == "full":
            raise ValueError(
                "lower_cache needs whole layers and shard: full cuts them; take one of the two out (with lower_cache "
                "the lower layers are not run again in any case)"
            )
        return self

    @model_validator(mode="after")
    def _one_remedy(self) -> TrainSettings:
        if self.sampler == "weighted" and self.class_weights == "balanced":
            raise ValueError(
                "sampler: weighted and class_weights: balanced would count rare classes twice (a class of 1 in 50 "
                "would weigh 2,500 times as much, not 50 times); keep one of them: take out class_weights, or set "
                "sampler: shuffle"
            )
        return self


TRACKERS = Family("yibu.trackers", requires=("Tracker",))


class BaseSettings(Settings):
    """A resolved base: what the recipe called it, where its files lie, and the digest of those files."""

    name: str
    path: str
    digest: str


class Config(Settings):
    """Everything that decides what comes out of training, besides the rows."""

    base: BaseSettings
    task: Annotated[Settings, PlugSettings("yibu.tasks", default="generate")]
    adapter: Annotated[Settings, PlugSettings("yibu.adapters", default="lora")]
    train: TrainSettings


class TrialConfig(Config):
    """A learning rate that is tried for a few steps."""

    rate: float = Field(gt=0)


# The place of the base is not its content; a device, a number of threads or processes, a log, or what is kept of the
# lower layers changes nothing that is promised (results are equal up to the order of sums, and `fingerprint.json` says
# which order it was).
_NEUTRAL = (
    "base.name",
    "base.path",
    "train.checkpoint_every",
    "train.device",
    "train.threads",
    "train.recompute",
    "train.lower_cache",
    "train.trackers",
    "train.processes",
    "train.engine",
    "train.shard",
    "train.hang_seconds",
)
TRIAL = "trial.json"


@stage(version=1, resumable=True, neutral=_NEUTRAL)
def trial(config: TrialConfig, work: Work, *, data: Artifact) -> None:
    """One learning rate of a sweep: ``trial.json`` with ``lr``, ``valid_loss`` and ``steps``.

    Raises:
        YibuError: as `train`.
    """
    from yibu.train.run import try_rate

    try_rate(config, work, data)


@stage(version=2, resumable=True, neutral=_NEUTRAL)
def train(config: Config, work: Work, *, data: Artifact, **trials: Artifact) -> None:
    """Train an adapter on a data artifact.

    Writes ``adapter/`` (a plain PEFT folder where peft has the kind), ``plan.json``, ``preview.json``, ``proof.json``,
    ``history.jsonl``, ``summary.json``; ``batches.jsonl``, ``batches.salt`` and ``fingerprint.json``, from which
    `yibu.train.replay` makes the same adapter again; and ``lr_sweep.json`` where the learning rate was looked for.

    Args:
        trials: of the stage `trial`: learning rates that were tried elsewhere and are not tried again.

    Raises:
        RecipeError: classes are to be balanced and the task has no label.
        InputError: the lower layers are to be kept, and no frozen layer lies below the adapter.
        NoSpace: what is to be kept of the lower layers does not fit on the disk.
        DataError: rows that do not fit, or a single class that is to be balanced.
        TrainingError: something that must hold does not (``proof.json``), a planned module that is not trained, a loss
            that is no number, or too little memory for a single row.
    """
    from yibu.train.run import run

    run(config, work, data, list(trials.values()))
