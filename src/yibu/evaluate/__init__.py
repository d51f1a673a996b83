"""What the tuned model is worth on rows that nobody trained on, beside its base and baselines that could beat it.

Two stages: `answer` lets one system answer the test split (so that the base's answers are kept when only the training
changes), `evaluate` compares the systems and writes the report.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from yibu.core.recipe import PlugSettings, Settings
from yibu.core.store import Artifact, Work, stage


class EvaluateSettings(Settings):
    """How answers are made and compared."""

    split: Literal["test", "valid"] = Field("test", description="rows to answer; never choose anything on test")
    batch_size: int = Field(16, ge=1, description="prompts generated at once")
    correct_prior: bool = Field(
        True,
        description="after a weighted sampler or class weights: move scores back to the class shares of the train rows "
        "and decide by the moved ones; false: decide by what the model was shown, which finds more of rare classes",
    )
    recalibrate: Literal["auto", "none", "temperature", "vector"] = Field(
        "auto",
        description="fitted on valid: one temperature, or also a bias for each label; auto: vector after a remedy for "
        "imbalance where every label has 5 valid rows, else temperature",
    )
    num_resamples: int = Field(2000, ge=200, description="of the bootstrap intervals")
    seed: int = 0
    lang: Literal["auto", "en", "zh"] = Field("auto", description="language of the report; auto: of the rows")
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = Field(None, ge=1)


class AnswerConfig(Settings):
    """Everything that decides what one system answers."""

    base_path: str
    base_digest: str
    task: Annotated[Settings, PlugSettings("yibu.tasks", default="generate")]
    split: Literal["test", "valid"]
    batch_size: int
    dtype: str
    device: str
    threads: int | None


class ReportConfig(Settings):
    """Everything that decides what the report says, besides the answers."""

    recipe: str
    base: str
    task: Annotated[Settings, PlugSettings("yibu.tasks", default="generate")]
    evaluate: EvaluateSettings


@stage(version=1, neutral=("base_path", "device", "threads"))
def answer(config: AnswerConfig, work: Work, *, data: Artifact, model: Artifact | None = None) -> None:
    """Answers of a base (no `model`) or of a tuned model to every row of a split: ``answers.jsonl``."""
    from yibu.evaluate.answer import run

    run(config, work, data, model)


@stage(version=3, neutral=("evaluate.device", "evaluate.threads"))
def evaluate(
    config: ReportConfig,
    work: Work,
    *,
    data: Artifact,
    model: Artifact,
    base_answers: Artifact,
    answers: Artifact,
    valid_answers: Artifact | None = None,
    valid_base_answers: Artifact | None = None,
) -> None:
    """Compare base, tuned model and baselines: ``metrics.json``, ``predictions.jsonl``, ``report.html``.

    Args:
        valid_answers, valid_base_answers: answers to the validation rows, which the probabilities of a closed set are
            recalibrated on; without them they are only moved to natural class shares.
    """
    from yibu.evaluate.run import run

    run(config, work, data, model, base_answers, answers, valid_answers, valid_base_answers)
